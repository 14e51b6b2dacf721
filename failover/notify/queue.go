package notify

import (
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/reattach/reattach/failover"
)

// Paces of handing on.
const (
	gather    = 500 * time.Millisecond // from the first notice after another, for more to come
	many      = 5                      // matters that wait for a destination; more are a storm
	atOnce    = 200                    // notices in one message, or messages in one batch
	firstWait = time.Second            // after a failed attempt
	longWait  = 5 * time.Minute        // at most
	askedWait = time.Hour              // at most, where a destination asks for it
	giveUp    = 24 * time.Hour         // after which a notice that cannot be delivered is dead
)

// item is one notice on its way to one destination.
type item struct {
	rec    *record
	matter string
	fails  int
	alone  bool // a batch with it was refused: it goes by itself
}

// queue is what one destination waits for, and how it fares.
type queue struct {
	name   string
	items  []*item
	storms map[string]*storm
	wake   chan struct{}
	retry  *backoff.ExponentialBackOff

	handed    time.Time // when the last attempt began
	notBefore time.Time // of the next one
	resendAt  time.Time

	sent    uint64
	lastOK  time.Time
	lastErr string
}

// queue returns a destination's queue.
func (o *Outbox) queue(name string) *queue {
	q := o.queues[name]
	if q == nil {
		q = &queue{name: name, storms: map[string]*storm{}, wake: make(chan struct{}, 1), retry: backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(firstWait), backoff.WithMultiplier(2), backoff.WithRandomizationFactor(0.2),
			backoff.WithMaxInterval(longWait), backoff.WithMaxElapsedTime(0))}
		o.queues[name] = q
	}
	return q
}

// hint has the next attempt made now.
func (q *queue) hint() {
	q.notBefore = time.Time{}
	q.retry.Reset()
	q.nudge()
}

// nudge has the queue's worker look.
func (q *queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// enqueue puts a record that is pending for a destination into its queue.
func (o *Outbox) enqueue(name string, r *record) {
	q := o.queue(name)
	if d := r.delivery(name); d.State != pending {
		return
	}
	for _, id := range o.told(name, r) {
		if !slices.ContainsFunc(q.items, func(it *item) bool { return it.rec.Seq == r.Seq && it.matter == id }) {
			q.items = append(q.items, &item{rec: r, matter: id})
		}
	}
	q.nudge()
}

// batch is what is handed to a destination at once.
type batch struct {
	items   []*item
	storm   string   // whose end it is; empty: not one
	ends    []uint64 // the notices that end it
	resends bool     // what was told is told again: nothing becomes of it
	ms      []Message
}

func stormKey(name, id string) string { return name + "\x00" + id }

func cutStorm(key string) (name, id string) {
	name, id, _ = strings.Cut(key, "\x00")
	return name, id
}

// outward is what a destination knows a matter by, or is to; empty: nothing yet.
func (o *Outbox) outward(q *queue, id string) string {
	if m := o.matters[id]; m != nil {
		return m.Dests[q.name]
	}
	return id
}

// next returns what is to be handed to a destination now, or how long there will
// be nothing to do unless somebody nudges; a negative time: for ever.
func (o *Outbox) next(now time.Time, d Destination) (*batch, time.Duration) {
	q := o.queue(d.Name)
	if wait := q.notBefore.Sub(now); wait > 0 {
		return nil, wait
	}
	r, resends := d.Sender.(Resender)
	if resends && !q.resendAt.After(now) {
		q.resendAt = now.Add(r.Every())
		if ms := o.again(d.Name); len(ms) > 0 {
			return &batch{ms: ms, resends: true}, 0
		}
	}
	o.absorb(q)
	b, wait := o.choose(now, q, d)
	if b != nil {
		q.handed = now
		return b, 0
	}
	if until := q.resendAt.Sub(now); resends && (wait < 0 || until < wait) {
		wait = until
	}
	return nil, wait
}

func (o *Outbox) choose(now time.Time, q *queue, d Destination) (*batch, time.Duration) {
	head := o.head(q)
	if end, id := o.endOfStorm(q); end != nil && (head == nil || end.fails < head.fails) {
		b := &batch{storm: id, ends: slices.Clone(end.Waiting)}
		m := o.message(id, true)
		for _, seq := range b.ends {
			if r := o.read(seq); r != nil {
				m.Notices = append(m.Notices, r.Notice)
			}
		}
		b.ms = []Message{m}
		return b, 0
	}
	if head == nil {
		return nil, -1
	}
	ready := head.rec.Queued.Add(gather)
	if head.fails == 0 && head.rec.Queued.Before(q.handed.Add(gather)) && ready.After(now) {
		return nil, ready.Sub(now) // others may be about to follow
	}
	if _, ok := d.Sender.(Batcher); ok {
		return o.unmerged(q, head), 0
	}
	return o.merged(q, head), 0
}

// head returns the item that is next: the oldest of those that failed least, so
// that one that is never taken does not keep back all others. A matter's own
// order is kept.
func (o *Outbox) head(q *queue) (head *item) {
	seen := map[string]bool{}
	for _, it := range q.items {
		group := o.outward(q, it.matter)
		if group == "" {
			group = it.matter
		}
		if !seen[group] && (head == nil || it.fails < head.fails) {
			head = it
		}
		seen[group] = true
	}
	return head
}

// unmerged is one message for each notice, for a [Batcher].
func (o *Outbox) unmerged(q *queue, head *item) *batch {
	b := &batch{}
	for _, it := range q.items {
		if head.alone && it != head || it.alone && it != head || len(b.items) == atOnce {
			continue
		}
		o.knowBy(q, it.matter, it.matter)
		m := o.message(it.matter, it.rec.Over)
		m.Notices = []failover.Notice{it.rec.Notice}
		b.items, b.ms = append(b.items, it), append(b.ms, m)
	}
	return b
}

// merged is one notice, or all that were, or are now to be, told as one storm.
func (o *Outbox) merged(q *queue, head *item) *batch {
	id := o.outward(q, head.matter)
	if id == "" {
		id = o.gather(q, head)
	}
	b := &batch{items: []*item{head}}
	m := o.message(id, head.rec.Over)
	if q.storms[id] != nil {
		m.Over, b.items = false, nil
		for _, it := range q.items {
			if o.outward(q, it.matter) == id && !it.rec.Over && len(b.items) < atOnce {
				b.items = append(b.items, it)
			}
		}
	}
	for _, it := range b.items {
		m.Notices = append(m.Notices, it.rec.Notice)
	}
	b.ms = []Message{m}
	return b
}

// gather settles by what a matter that was not handed over yet will be known: by
// its own name, or, if many such wait, as part of a storm.
func (o *Outbox) gather(q *queue, head *item) string {
	var fresh []string
	for _, it := range q.items {
		if !it.rec.Over && o.outward(q, it.matter) == "" && !slices.Contains(fresh, it.matter) && len(fresh) < atOnce {
			fresh = append(fresh, it.matter)
		}
	}
	if len(fresh) <= many {
		o.knowBy(q, head.matter, head.matter)
		return head.matter
	}
	id := "storm/" + head.matter
	s := q.storms[id]
	if s == nil {
		s = &storm{Over: map[string]uint64{}}
		q.storms[id] = s
	}
	for _, member := range fresh {
		o.knowBy(q, member, id)
		if s.Over[member] = 0; !o.goesOn(member) && !o.ends(q, member) {
			s.Over[member] = o.matters[member].Last // it needs no end
		}
	}
	o.disk.put(inStorms, stormKey(q.name, id), s)
	return id
}

// ends reports whether the end of a matter waits in a queue.
func (o *Outbox) ends(q *queue, id string) bool {
	return slices.ContainsFunc(q.items, func(it *item) bool { return it.matter == id && it.rec.Over })
}

// knowBy writes down what a destination knows a matter by, before it is told: so a
// second life tells it by the same name.
func (o *Outbox) knowBy(q *queue, id, by string) {
	if m := o.matters[id]; m != nil && m.Dests[q.name] == "" {
		m.Dests[q.name] = by
		o.writeMatter(id)
	}
}

// absorb takes the ends of matters that were told in a storm out of the queue:
// they are told together.
func (o *Outbox) absorb(q *queue) {
	q.items = slices.DeleteFunc(q.items, func(it *item) bool {
		id := o.outward(q, it.matter)
		s := q.storms[id]
		if s == nil {
			return false
		}
		if !it.rec.Over {
			if it.rec.Lasts && it.rec.Seq > s.Over[it.matter] {
				s.Over[it.matter] = 0 // it may have begun anew
			}
			return false
		}
		s.Over[it.matter] = it.rec.Seq
		if !slices.Contains(s.Waiting, it.rec.Seq) {
			s.Waiting = append(s.Waiting, it.rec.Seq)
		}
		o.disk.put(inStorms, stormKey(q.name, id), s)
		d := it.rec.delivery(q.name)
		d.State = waiting
		o.write(it.rec)
		return true
	})
}

// endOfStorm returns a storm whose end is to be told now.
func (o *Outbox) endOfStorm(q *queue) (end *storm, id string) {
	for key, s := range q.storms {
		if len(s.Waiting) > 0 && s.allOver() && !o.holds(q, key) && (end == nil || s.fails < end.fails || s.fails == end.fails && key < id) {
			end, id = s, key
		}
	}
	return end, id
}

// holds reports whether something waits that a destination is to know by that name.
func (o *Outbox) holds(q *queue, by string) bool {
	return slices.ContainsFunc(q.items, func(it *item) bool { return o.outward(q, it.matter) == by })
}

// leave marks a matter as over for a destination that is not told of ends.
func (q *queue) leave(o *Outbox, by, id string) {
	s := q.storms[by]
	if s == nil {
		return
	}
	if s.Over[id] = o.seq; s.allOver() {
		o.dropStorm(q, by)
		return
	}
	o.disk.put(inStorms, stormKey(q.name, by), s)
}

func (o *Outbox) dropStorm(q *queue, id string) {
	delete(q.storms, id)
	o.disk.put(inStorms, stormKey(q.name, id), nil)
}

func (o *Outbox) message(id string, over bool) Message {
	return Message{Matter: id, Over: over, Runbook: o.routing.Runbook}
}

// again returns what lasts and was told to a destination, one message for each
// matter, oldest first.
func (o *Outbox) again(name string) []Message {
	var ms []Message
	for _, a := range o.active {
		m := o.matters[a.Matter()]
		if a.Acked || m == nil || m.Over || m.Dests[name] == "" {
			continue
		}
		if r := o.read(o.activeSeq[a.Key]); r == nil || r.delivery(name) == nil {
			continue // this one was not for them
		}
		i := slices.IndexFunc(ms, func(m Message) bool { return m.Matter == a.Matter() })
		if i < 0 {
			i, ms = len(ms), append(ms, o.message(a.Matter(), false))
		}
		ms[i].Notices = append(ms[i].Notices, a)
	}
	return ms
}
