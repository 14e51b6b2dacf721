package notify

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/reattach/reattach/failover"
)

// remindAfter is how much later a notice of what is active has to be to count as
// a reminder, and not as the same again.
const remindAfter = 12 * time.Hour

// Keep implements [failover.Journal]. An error wraps ErrUnwritten.
func (o *Outbox) Keep(notices []failover.Notice) error {
	o.keeping.Lock()
	defer o.keeping.Unlock()
	now := time.Now()
	var fresh []*record
	o.mu.Lock()
	for _, n := range notices {
		if r := o.take(now, n); r != nil {
			fresh = append(fresh, r)
		}
	}
	o.trim()
	o.mu.Unlock()

	err := o.flush() // on disk before anybody is told

	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range fresh {
		for _, d := range r.Deliveries {
			o.enqueue(d.Notifier, r)
		}
	}
	close(o.news)
	o.news = make(chan struct{})
	return err
}

// flush writes what waits to be written. That the disk takes nothing any more,
// and that it does again, is logged once.
func (o *Outbox) flush() error {
	err := o.disk.flush()
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err != nil && o.failing == nil:
		o.opt.Log.Error("the outbox cannot be written: notices are handed on from memory, and are lost if this process is killed", "error", err)
	case err == nil && o.failing != nil:
		o.opt.Log.Warn("the outbox is written again, with all that waited")
	}
	if o.failing = err; err != nil {
		return fmt.Errorf("%w: %w", ErrUnwritten, err)
	}
	return nil
}

// take takes a notice in, and returns the record whose deliveries are new; nil if
// there is none, because all were told already.
func (o *Outbox) take(now time.Time, n failover.Notice) *record {
	if n.Over {
		return o.end(now, n)
	}
	to := o.routing.tells(n)
	if n.Teller != "" {
		o.note(n, to)
		return nil
	}
	if r := o.prior(n); r != nil {
		to = slices.DeleteFunc(to, func(name string) bool { return r.delivery(name) != nil })
		if len(to) == 0 {
			return nil
		}
		o.know(r, to, now) // who was told before is not told again
		o.write(r)
		return r
	}
	r := &record{Told: failover.Told{Notice: n, Seq: o.number()}, Queued: now}
	o.count++
	o.keys[n.Key] = r.Seq
	o.lasts(n, r.Seq)
	o.know(r, to, now)
	o.write(r)
	return r
}

// note keeps what another observer has told, and to whom: should it be for this one
// to tell its end, they are to hear of it.
func (o *Outbox) note(n failover.Notice, to []string) {
	r := &record{Told: failover.Told{Notice: n, Seq: o.number()}, Queued: n.At}
	o.count++
	o.lasts(n, r.Seq)
	id := r.Matter()
	m := o.matters[id]
	if m == nil {
		m = &matter{Dests: map[string]string{}, Told: map[string]bool{}}
		o.matters[id] = m
	}
	m.Last, m.Over = r.Seq, false
	for _, name := range to {
		if m.Dests[name] == "" {
			m.Dests[name] = id
		}
		m.Told[name] = true
	}
	o.writeMatter(id)
	o.write(r)
}

// know adds whom a notice goes to, to those who know its matter.
func (o *Outbox) know(r *record, to []string, now time.Time) {
	id := r.Matter()
	m := o.matters[id]
	if m == nil {
		m = &matter{Dests: map[string]string{}, Told: map[string]bool{}}
		o.matters[id] = m
	}
	m.Last, m.Over = r.Seq, false
	for _, name := range to {
		if _, known := m.Dests[name]; !known {
			m.Dests[name] = ""
		}
		m.open++
		r.Deliveries = append(r.Deliveries, failover.Delivery{Notifier: name, State: pending, At: now})
	}
	o.writeMatter(id)
}

// lasts keeps what is active after a notice, by the same rule as the engine.
func (o *Outbox) lasts(n failover.Notice, seq uint64) {
	before := map[string]bool{} // by key: whether it was acknowledged
	for _, a := range o.active {
		before[a.Key] = a.Acked
	}
	o.active = failover.Lasting(o.active, n)
	for _, a := range o.active {
		acked, was := before[a.Key]
		if delete(before, a.Key); !n.Over && a.Key == n.Key {
			o.activeSeq[a.Key] = seq
		} else if was && acked == a.Acked {
			continue
		}
		o.disk.put(inActive, a.Key, failover.Told{Seq: o.activeSeq[a.Key], Notice: a})
	}
	for key := range before {
		delete(o.activeSeq, key)
		o.disk.put(inActive, key, nil)
	}
}

// isActive reports whether what has that key lasts, and whether it was acknowledged.
func (o *Outbox) isActive(key string) (active, acked bool) {
	for _, a := range o.active {
		if a.Key == key {
			return true, a.Acked
		}
	}
	return false, false
}

// prior returns the record that tells the same as n; nil: n says something new.
func (o *Outbox) prior(n failover.Notice) *record {
	seq, ok := o.keys[n.Key]
	if !ok {
		return nil
	}
	p := o.read(seq)
	_, acked := o.isActive(n.Key)
	switch {
	case p == nil, quiet(n.Event), n.Severity() > p.Severity():
		return nil
	case !n.At.After(p.At), !n.Lasts, acked:
		return p
	}
	if m := o.matters[p.Matter()]; m == nil || m.Over {
		return nil // it ended, and has begun anew
	}
	if n.At.Sub(p.At) >= remindAfter {
		return nil
	}
	return p
}

func quiet(event string) bool {
	return slices.ContainsFunc(failover.EventKinds(), func(k failover.EventKind) bool { return k.Name == event && k.Quiet })
}

// end takes in that matters are over: whoever was told of them is told so.
func (o *Outbox) end(now time.Time, n failover.Notice) *record {
	r := &record{Told: failover.Told{Notice: n, Seq: o.number()}, Queued: now}
	o.count++
	if !r.onlyAcked() {
		delete(o.keys, n.Key)
	}
	ends := map[string]bool{n.Matter(): true, n.Key: true}
	for _, a := range o.active {
		if n.Ends(a) {
			ends[a.Matter()] = true
		}
	}
	o.lasts(n, r.Seq)
	for _, id := range slices.Sorted(maps.Keys(ends)) {
		if m := o.matters[id]; m != nil && !m.Over {
			m.Last, m.Over = r.Seq, true
			r.Ends = append(r.Ends, id)
			if n.Teller != "" {
				o.hushed(id, m)
				continue
			}
			o.tellEnd(now, r, id, m)
		}
	}
	o.write(r)
	return r
}

// hushed is a matter whose end another observer has told.
func (o *Outbox) hushed(id string, m *matter) {
	for _, name := range slices.Sorted(maps.Keys(m.Dests)) {
		o.queue(name).leave(o, m.Dests[name], id)
	}
	o.writeMatter(id)
}

func (o *Outbox) tellEnd(now time.Time, r *record, id string, m *matter) {
	for _, name := range slices.Sorted(maps.Keys(m.Dests)) {
		if d, ok := o.routing.destination(name); ok && !d.Resolve {
			o.queue(name).leave(o, m.Dests[name], id)
			continue
		}
		m.open++
		if r.delivery(name) == nil {
			r.Deliveries = append(r.Deliveries, failover.Delivery{Notifier: name, State: pending, At: now})
		}
	}
	o.writeMatter(id)
}

// writeMatter has a matter on its way to the disk, or removes it once nobody has
// to hear of it any more.
func (o *Outbox) writeMatter(id string) {
	m := o.matters[id]
	if m == nil {
		return
	}
	if m.open == 0 && (m.Over || !o.goesOn(id)) {
		delete(o.matters, id)
		o.disk.put(inMatters, id, nil)
		return
	}
	o.disk.put(inMatters, id, m)
}

// goesOn reports whether an end of the matter is to come.
func (o *Outbox) goesOn(id string) bool {
	return slices.ContainsFunc(o.active, func(a failover.Notice) bool { return a.Matter() == id })
}

// trim has the oldest notices removed, but none that is on its way.
func (o *Outbox) trim() {
	if o.count <= kept+surplus {
		return
	}
	gone := o.disk.unwritten(inNotices)
	_ = o.disk.view(func(tx *bbolt.Tx) error {
		if tx == nil {
			return nil
		}
		c := tx.Bucket([]byte(inNotices)).Cursor()
		for k, v := c.First(); k != nil && o.count > kept; k, v = c.Next() {
			seq := binary.BigEndian.Uint64(k)
			if _, changing := gone[string(k)]; o.live[seq] == nil && !changing {
				o.drop(seq, v)
			}
		}
		return nil
	})
}

func (o *Outbox) drop(seq uint64, v []byte) {
	var r record
	if parse(v, &r) == nil {
		for _, d := range r.Deliveries {
			if d.State == dead {
				o.dead[d.Notifier]--
			}
		}
		if o.keys[r.Key] == seq {
			delete(o.keys, r.Key)
		}
	}
	o.disk.put(inNotices, seqKey(seq), nil)
	o.count--
}
