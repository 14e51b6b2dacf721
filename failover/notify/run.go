package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Bounds of an attempt, and of the end.
const (
	usualTimeout = 10 * time.Second
	grace        = 3 * time.Second  // for attempts under way when Run is to end
	lookAround   = 30 * time.Second // between two looks at what nobody else looks at
)

// Run hands on what is kept until ctx ends, and then returns nil, once the last
// attempt has ended: within 3 seconds, as far as senders obey their context.
//
// Each destination has a goroutine of its own, for one that hangs must not delay
// the others; all of them have ended when Run returns. That of a destination
// which was taken out of the configuration idles, so that it never meets another
// of the same name.
func (o *Outbox) Run(ctx context.Context) error {
	var group sync.WaitGroup
	defer group.Wait()
	workers := map[string]bool{}
	look := time.NewTicker(lookAround)
	defer look.Stop()
	for {
		for _, name := range o.names() {
			if !workers[name] {
				workers[name] = true
				group.Go(func() { o.hand(ctx, name) })
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-o.changed:
		case <-look.C:
			o.lookAround(time.Now())
		}
	}
}

func (o *Outbox) names() (names []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, d := range o.routing.Destinations {
		names = append(names, d.Name)
	}
	return names
}

// lookAround gives up what waits for destinations that are gone, and tries what
// the disk did not take.
func (o *Outbox) lookAround(now time.Time) {
	o.mu.Lock()
	for name, q := range o.queues {
		if _, ok := o.routing.destination(name); !ok {
			o.expire(q, now, errors.New("the notifier is not configured any more"))
		}
	}
	o.mu.Unlock()
	_ = o.flush() // it says itself what came of it
}

// hand hands on what waits for one destination until ctx ends.
func (o *Outbox) hand(ctx context.Context, name string) {
	for ctx.Err() == nil {
		o.mu.Lock()
		d, ok := o.routing.destination(name)
		q := o.queue(name)
		var b *batch
		wait := time.Duration(-1)
		if ok {
			b, wait = o.next(time.Now(), d)
		}
		o.mu.Unlock()
		if b == nil {
			pause(ctx, q.wake, wait)
			continue
		}
		if !b.resends {
			_ = o.flush() // by what name the destination will know it
		}
		err := attemptFor(ctx, d, b.ms)
		if err != nil && ctx.Err() != nil {
			return // cut short: the next life tries again
		}
		o.settle(q, d, b, err)
	}
}

// pause waits until there is a reason to look again.
func pause(ctx context.Context, wake <-chan struct{}, wait time.Duration) {
	var due <-chan time.Time
	if wait >= 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-wake:
	case <-due:
	}
}

// attemptFor is one attempt, which outlives ctx by the grace that it has.
func attemptFor(ctx context.Context, d Destination, ms []Message) error {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	return attempt(own, d, ms)
}

// attempt hands messages to a destination, within its timeout.
func attempt(ctx context.Context, d Destination, ms []Message) (err error) {
	timeout := d.Timeout
	if timeout <= 0 {
		timeout = usualTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer func() {
		if broken := recover(); broken != nil { // the daemon does not end for one destination
			err = Permanent(fmt.Errorf("the notifier broke: %v", broken))
		}
	}()
	if b, ok := d.Sender.(Batcher); ok {
		return b.SendAll(ctx, ms)
	}
	for _, m := range ms {
		if err := d.Sender.Send(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// settle writes down what became of a batch.
func (o *Outbox) settle(q *queue, d Destination, b *batch, err error) {
	now := time.Now()
	o.mu.Lock()
	dead := o.dead[d.Name]
	if err == nil {
		q.lastOK, q.lastErr = now, ""
		q.notBefore = time.Time{}
		q.retry.Reset()
		o.done(q, now, b, sent, "")
	} else {
		q.lastErr = err.Error()
		o.failed(q, now, b, err)
	}
	dead = o.dead[d.Name] - dead
	o.mu.Unlock()
	switch {
	case dead > 0:
		o.opt.Log.Error("notices were given up: a notifier does not take them", "notifier", d.Name, "kind", d.Kind, "matter", b.ms[0].Matter, "notices", dead, "error", err)
	case err != nil:
		o.opt.Log.Warn("a notifier did not take a message; it is tried again", "notifier", d.Name, "kind", d.Kind, "matter", b.ms[0].Matter, "error", err)
	}
	if !b.resends {
		_ = o.flush()
	}
}

// failed settles an attempt that failed: a refusal is final, anything else is
// tried again later, but not for ever.
func (o *Outbox) failed(q *queue, now time.Time, b *batch, err error) {
	switch {
	case b.resends:
		return // its time comes again by itself
	case IsPermanent(err) && len(b.items) > 1 && len(b.ms) > 1:
		for _, it := range b.items { // to find the one that is refused
			it.alone = true
		}
		return
	case IsPermanent(err):
		o.done(q, now, b, dead, err.Error())
		return
	}
	q.notBefore = now.Add(o.patience(q, err))
	for _, it := range q.among(b.items) {
		it.fails++
		d := it.rec.delivery(q.name)
		d.At, d.Error = now, err.Error()
		o.write(it.rec)
	}
	if s := q.storms[b.storm]; s != nil {
		s.fails++
	}
	o.expire(q, now, err)
}

// patience is how long to leave a destination alone after a failure.
func (o *Outbox) patience(q *queue, err error) time.Duration {
	wait := min(q.retry.NextBackOff(), longWait)
	var asks interface{ RetryAfter() time.Duration }
	if errors.As(err, &asks) {
		wait = max(wait, min(asks.RetryAfter(), askedWait))
	}
	return wait
}

// expire gives up what has waited for too long.
func (o *Outbox) expire(q *queue, now time.Time, err error) {
	b := &batch{}
	for _, it := range q.items {
		if now.Sub(it.rec.Queued) >= giveUp {
			b.items = append(b.items, it)
		}
	}
	if len(b.items) > 0 {
		o.done(q, now, b, dead, err.Error())
	}
}

// done settles a batch for good.
func (o *Outbox) done(q *queue, now time.Time, b *batch, state, why string) {
	if b.resends {
		return
	}
	items, unheard := q.among(b.items), []*item(nil)
	q.items = slices.DeleteFunc(q.items, func(it *item) bool { return slices.Contains(items, it) })
	for _, it := range items {
		by := o.outward(q, it.matter)
		unheard = append(unheard, o.toldOf(q, it, state, by)...)
		o.finish(q, now, it.rec, state, why, it.matter)
		o.quietStorm(q, by)
	}
	if len(unheard) > 0 {
		o.done(q, now, &batch{items: unheard}, dead, "its beginning was given up")
	}
	if s := q.storms[b.storm]; s != nil {
		o.dropStorm(q, b.storm)
		for _, seq := range s.Waiting {
			if r := o.read(seq); r != nil {
				o.finish(q, now, r, state, why, slices.DeleteFunc(o.told(q.name, r), func(id string) bool { return o.outward(q, id) != b.storm })...)
			}
		}
	}
}

// among returns those that still wait.
func (q *queue) among(items []*item) []*item {
	return slices.DeleteFunc(slices.Clone(items), func(it *item) bool { return !slices.Contains(q.items, it) })
}

// toldOf notes that a destination was told of a matter. If a beginning was given
// up and it never was, it need not hear the end: what waits of that is returned.
func (o *Outbox) toldOf(q *queue, it *item, state, by string) (ends []*item) {
	m := o.matters[it.matter]
	if m == nil || it.rec.Over {
		return nil
	}
	if state == sent {
		m.Told[q.name] = true
	}
	for _, other := range q.items {
		switch {
		case other.matter != it.matter:
		case !other.rec.Over:
			return nil // it may still be told
		default:
			ends = append(ends, other)
		}
	}
	if m.Told[q.name] {
		return nil
	}
	delete(m.Dests, q.name)
	if s := q.storms[by]; s != nil {
		delete(s.Over, it.matter)
		o.disk.put(inStorms, stormKey(q.name, by), s)
	}
	return ends
}

// quietStorm forgets a storm that needs no end: nothing in it lasted.
func (o *Outbox) quietStorm(q *queue, by string) {
	if s := q.storms[by]; s != nil && s.allOver() && len(s.Waiting) == 0 && !o.holds(q, by) {
		o.dropStorm(q, by)
	}
}

// finish settles a record's delivery, and what there is to know of its matters.
func (o *Outbox) finish(q *queue, now time.Time, r *record, state, why string, matters ...string) {
	more := slices.ContainsFunc(q.items, func(it *item) bool { return it.rec == r })
	for _, s := range q.storms {
		more = more || slices.Contains(s.Waiting, r.Seq)
	}
	if d := r.delivery(q.name); !more && d != nil {
		d.State, d.At, d.Error = state, now, why
		if state == sent {
			q.sent++
		} else {
			o.dead[q.name]++
		}
		o.write(r)
	}
	for _, id := range matters {
		if m := o.matters[id]; m != nil {
			m.open--
			o.writeMatter(id)
		}
	}
}
