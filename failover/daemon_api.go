package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// call runs f on the engine's goroutine.
func (d *Daemon) call(ctx context.Context, f func(*Engine, time.Time)) error {
	return d.turnWith(ctx, func(_ context.Context, now time.Time) { f(d.engine, now) })
}

// turnWith runs f on the engine's goroutine, under the daemon's own context.
func (d *Daemon) turnWith(ctx context.Context, f func(context.Context, time.Time)) error {
	ran := make(chan struct{})
	select {
	case d.calls <- func(ctx context.Context, now time.Time) { f(ctx, now); close(ran) }:
		<-ran
		return nil
	case <-d.done:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Status tells all that is known.
func (d *Daemon) Status(ctx context.Context) (s Status, err error) {
	err = d.call(ctx, func(e *Engine, now time.Time) { s = e.Status(now) })
	s.Version = d.opt.Version
	if d.opt.Journal != nil {
		s.Notifiers = d.opt.Journal.Notifiers()
	}
	return s, err
}

// Explain tells why a resource was, or was not, switched. The error wraps
// ErrNoResource if there is none of that name.
func (d *Daemon) Explain(ctx context.Context, resource string) (x Explanation, err error) {
	var unknown error
	if err = d.call(ctx, func(e *Engine, now time.Time) { x, unknown = e.Explain(now, resource) }); err != nil {
		return x, err
	}
	if unknown != nil {
		return x, unknown
	}
	if x.History, err = d.History(ctx, resource); err != nil {
		d.opt.Log.Debug("history", "error", err) // the explanation holds without it
	}
	x.History = x.History[:min(len(x.History), 5)]
	if x.Told, err = d.Events(ctx, 0, resource, 5); err != nil && !errors.Is(err, ErrNoJournal) {
		d.opt.Log.Debug("events", "error", err)
	}
	slices.Reverse(x.Told)
	return x, nil
}

// History returns the records of a resource, or of all (""), newest first, each with
// how its after step stands.
func (d *Daemon) History(ctx context.Context, resource string) ([]Record, error) {
	tree, afters := historyPrefix, afterPrefix
	if resource != "" {
		tree, afters = historyTree(resource), afterTree(resource)
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	reply, err := d.opt.Store.Txn(ctx, []Op{{Verb: GetTree, Key: tree}, {Verb: GetTree, Key: afters}})
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	var all []Record
	for _, entry := range reply.Entries {
		if !strings.HasPrefix(entry.Key, historyPrefix) {
			continue
		}
		var rec Record
		if err := decode(entry, &rec); err != nil {
			return nil, err
		}
		var after AfterRun
		if entry := reply.Entry(afterKey(rec.Resource, rec.Epoch)); entry.Exists() && decode(entry, &after) == nil {
			rec.Steps = append(rec.Steps, after.standing())
		}
		all = append(all, rec)
	}
	slices.SortStableFunc(all, func(a, b Record) int {
		if c := b.At.Compare(a.At); c != 0 {
			return c
		}
		return strings.Compare(b.Resource, a.Resource)
	})
	return all, nil
}

// Do carries out a person's command and waits for what becomes of it.
func (d *Daemon) Do(ctx context.Context, c Command) (Answer, error) {
	return d.ask(ctx, func(ctx context.Context, now time.Time, id uint64) { d.step(ctx, now, Ordered{ID: id, Command: c}) })
}

// Reload puts another configuration in force, or says why the running one stays.
func (d *Daemon) Reload(ctx context.Context, cfg Config) (Answer, error) {
	return d.take(ctx, Reloaded{Config: cfg})
}

// Reread puts the same configuration in force with what the files say that it
// names. A notice that another one was not taken stays.
func (d *Daemon) Reread(ctx context.Context, cfg Config) (Answer, error) {
	return d.take(ctx, Reloaded{Config: cfg, Reread: true})
}

// take has the engine take a configuration, and the loops follow.
func (d *Daemon) take(ctx context.Context, ev Reloaded) (Answer, error) {
	return d.ask(ctx, func(ctx context.Context, now time.Time, id uint64) {
		// The answer is caught on its way: who asks must not have it before the
		// loops run, nor take it away while this goroutine waits for it.
		reply, caught := d.orders[id], make(chan Answer, 1)
		d.orders[id] = caught
		ev.ID = id
		d.step(ctx, now, ev)
		a := <-caught // the engine answers a reload within the step
		if a.Done {
			d.startLoops(ctx, ev.Config.Resources)
			d.askPeers(ctx, ev.Config)
		}
		reply <- a
	})
}

// ask has the engine's goroutine begin something, and waits for the answer.
func (d *Daemon) ask(ctx context.Context, begin func(context.Context, time.Time, uint64)) (Answer, error) {
	reply := make(chan Answer, 1)
	call := func(ctx context.Context, now time.Time) {
		d.order++
		d.orders[d.order] = reply
		begin(ctx, now, d.order)
	}
	select {
	case d.calls <- call:
	case <-d.done:
		return Answer{}, ErrStopped
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
	select {
	case a := <-reply:
		return a, nil
	case <-d.done:
		return Answer{}, ErrStopped
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
}

// Known returns nil once states, handles and orders were read: a person's command
// can be carried out then.
func (d *Daemon) Known(ctx context.Context) error {
	var known bool
	err := d.call(ctx, func(e *Engine, _ time.Time) { known = e.known() })
	if err == nil && !known {
		err = errors.New("the store has not been read yet")
	}
	return err
}

// Healthy returns nil while the engine's loop turns.
func (d *Daemon) Healthy(ctx context.Context) error { return d.call(ctx, func(*Engine, time.Time) {}) }

// Ready returns nil once the store was read, verdicts are in, and while the
// observer is not blind.
func (d *Daemon) Ready(ctx context.Context) error {
	var why string
	err := d.call(ctx, func(e *Engine, now time.Time) {
		if why = e.blind(now, nil); why == "" && !e.settled() {
			why = "the first verdicts are not in yet"
		}
	})
	if err == nil && why != "" {
		err = errors.New(why)
	}
	return err
}
