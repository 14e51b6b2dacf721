package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/storetest"
)

// store is the model of the store, and the way to it.
type store struct {
	*storetest.Model
	w        *world
	down     bool // no leader: whatever is asked hangs
	held     []func()
	slow     time.Duration
	lag      time.Duration   // of watches
	cut      map[*node]bool  // who does not reach it
	denied   map[string]bool // roles of keys that may not be written, or read
	restored int             // how often it went back
	// disturbed is when it was last without a leader, or slow.
	disturbed time.Duration
}

// fate is what befalls one transaction of that purpose.
type fate struct {
	purpose failover.Purpose
	kind    string        // the fault's name
	late    time.Duration // applied so much later
	until   time.Duration // it befalls none after this
}

// queue hands a transaction to the workers.
func (n *node) queue(t failover.Transact) {
	n.txns = append(n.txns, t)
	n.work()
}

func (n *node) work() {
	for n.busy < txnWorkers && len(n.txns) > 0 {
		t := n.txns[0]
		n.txns = n.txns[1:]
		n.busy++
		n.after(n.w.between(20*time.Microsecond, 200*time.Microsecond), func() { n.dispatch(t) })
	}
}

// send carries one out beside the workers.
func (n *node) send(t failover.Transact) {
	n.busy++
	n.after(0, func() { n.dispatch(t) })
}

// dispatch sends a transaction, unless its time is over by either clock.
func (n *node) dispatch(t failover.Transact) {
	now := n.clock()
	answer := failover.Answered{ID: t.ID, Sent: now}
	if !t.Before.IsZero() && (now.After(t.Before) || now.Round(0).After(t.Before.Round(0))) {
		answer.Err = failover.ErrLate
		n.answered(t, answer)
		return
	}
	w, over, life := n.w, false, n.life
	reply := func(r failover.Reply, err error) {
		if !over {
			over = true
			answer.Reply, answer.Err = r, err
			n.answered(t, answer)
		}
	}
	n.after(t.Timeout, func() { reply(failover.Reply{}, failover.ErrUnknown) })
	f := n.fated(t.Purpose)
	if w.store.cut[n] || f != nil && f.kind == "request lost" {
		return
	}
	there := w.between(300*time.Microsecond, time.Millisecond) + w.store.slow
	if f != nil {
		w.say(n.name, "%s: %s", t.Purpose, f.kind)
		there += f.late
		w.strays = max(w.strays, w.now+there)
	}
	if late := w.raced(n, t); late > 0 {
		there += late
		w.strays = max(w.strays, w.now+there)
	}
	stopped := f != nil && f.kind == "stopped while sending"
	if stopped { // after its clocks were looked at, and before anything left
		n.freeze(false)
		w.later(f.late, func() {
			if n.frozen && n.life == life {
				n.thaw()
			}
		})
	}
	w.later(there, func() {
		w.store.arrive(n, t, func(r failover.Reply, err error) {
			if f != nil && !stopped || w.store.cut[n] || life != n.life {
				return // its reply is lost
			}
			n.after(w.between(300*time.Microsecond, time.Millisecond)+w.store.slow, func() { reply(r, err) })
		})
	})
}

// fated is what is to befall a transaction of that purpose, if anything is.
func (n *node) fated(p failover.Purpose) *fate {
	n.fates = slices.DeleteFunc(n.fates, func(f *fate) bool { return f.until < n.w.now })
	i := slices.IndexFunc(n.fates, func(f *fate) bool { return f.purpose == p || f.purpose == "" && p != failover.PurposeSweep })
	if i < 0 {
		return nil
	}
	f := n.fates[i]
	n.fates = slices.Delete(n.fates, i, i+1)
	n.w.happened(f.kind)
	n.w.oracle.befell(n, f)
	return f
}

func (n *node) answered(t failover.Transact, a failover.Answered) {
	n.busy--
	if n.w.story != nil && t.Purpose != failover.PurposeSweep {
		n.w.say(n.name, "%s: %s", t.Purpose, outcome(a))
	}
	n.step(a)
	n.work()
}

func outcome(a failover.Answered) string {
	switch {
	case a.Err != nil:
		return a.Err.Error()
	case !a.Reply.OK:
		return fmt.Sprintf("refused by the store: %s", a.Reply.Failed[0].What)
	}
	return "ok"
}

// arrive carries a transaction out. Without a leader it is held until there is
// one, or until the servers give it up.
func (s *store) arrive(n *node, t failover.Transact, reply func(failover.Reply, error)) {
	if s.down {
		gone := s.w.now + s.w.between(7500*time.Millisecond, 12*time.Second)
		s.held = append(s.held, func() {
			if s.w.now < gone {
				s.arrive(n, t, reply)
			}
		})
		return
	}
	if s.denies(t.Ops) {
		reply(failover.Reply{}, failover.ErrDenied)
		return
	}
	for _, op := range t.Ops {
		if s.w.opt.Guards != nil && guards(op) {
			s.w.opt.Guards[guardOf(t.Purpose, op)]++
		}
	}
	ops := weaken(t, s.w.opt.Drop)
	was := s.w.oracle.keep(t.Ops)
	r, err := s.Apply(ops)
	if err == nil && r.OK && writes(ops) {
		s.w.oracle.landed(n, t, was)
		s.w.moment()
		s.wake()
	}
	reply(r, err)
}

func writes(ops []failover.Op) bool {
	return slices.ContainsFunc(ops, func(op failover.Op) bool { return op.Verb.Writes() })
}

func (s *store) denies(ops []failover.Op) bool {
	if len(s.denied) == 0 {
		return false
	}
	return slices.ContainsFunc(ops, func(op failover.Op) bool { return op.Verb.Writes() && s.denied[role(op.Key)] })
}

// write is somebody's else: a person with the store's own command line.
func (s *store) write(ops ...failover.Op) {
	if r, err := s.Apply(ops); err != nil || !r.OK {
		return
	}
	s.w.oracle.strange(ops)
	s.wake()
}

// elected ends a time without a leader.
func (s *store) elected() {
	s.down, s.disturbed = false, s.w.now
	held := s.held
	s.held = nil
	for _, do := range held {
		do()
	}
	s.wake()
}

// watch is one of a daemon's two blocking queries.
type watch struct {
	n       *node
	prefix  string
	index   uint64
	waiting bool // at the store
	asked   int
}

// ask sends the query.
func (x *watch) ask() {
	w, s := x.n.w, x.n.w.store
	x.asked++
	mine := x.asked
	x.n.after(w.between(300*time.Microsecond, time.Millisecond), func() {
		if mine != x.asked {
			return
		}
		if s.cut[x.n] || s.down {
			x.fails()
			return
		}
		x.waiting = true
		if x.index == 0 || s.Index(x.prefix) != x.index {
			x.fires()
			return
		}
		if s.w.rnd.IntN(8) == 0 { // it may answer that nothing has changed
			x.n.after(w.between(time.Second, 60*time.Second), func() {
				if mine == x.asked && x.waiting {
					x.fires()
				}
			})
		}
	})
}

// fails is an answer that does not come, until it is given up.
func (x *watch) fails() {
	x.waiting = false
	x.asked++
	x.n.after(x.n.w.between(time.Second, 5*time.Second), func() {
		x.index = 0
		x.n.step(failover.Changed{Prefix: x.prefix, Err: failover.ErrUnknown})
		x.n.after(time.Second, x.ask)
	})
}

// fires answers with what the prefix holds now, though it may be read late.
func (x *watch) fires() {
	w, s := x.n.w, x.n.w.store
	x.waiting = false
	x.asked++
	reply, err := s.Apply([]failover.Op{{Verb: failover.GetTree, Key: x.prefix}})
	if err != nil {
		panic(err)
	}
	next := s.Index(x.prefix)
	x.n.after(w.between(300*time.Microsecond, time.Millisecond)+s.slow+w.between(0, s.lag), func() {
		if s.cut[x.n] {
			x.fails()
			return
		}
		if next < x.index {
			w.happened("watch's index falls")
			x.index = 0
		} else {
			x.index = next
			w.oracle.shown(x.n, x.prefix, reply.Entries)
			x.n.step(failover.Changed{Prefix: x.prefix, Entries: reply.Entries})
		}
		x.ask()
	})
}

// wake answers the queries whose prefix changed.
func (s *store) wake() {
	for _, n := range s.w.nodes {
		for _, x := range n.watches {
			if x != nil && n.alive && x.waiting && s.Index(x.prefix) != x.index {
				x.fires()
			}
		}
	}
}

// wakeAll answers every query: all indexes are others.
func (s *store) wakeAll() {
	for _, n := range s.w.nodes {
		for _, x := range n.watches {
			if x != nil && n.alive && x.waiting {
				x.fires()
			}
		}
	}
}

// reach cuts one machine off from the store, or ends that.
func (s *store) reach(n *node, reaches bool) {
	if reaches {
		delete(s.cut, n)
		return
	}
	s.cut[n] = true
	for _, x := range n.watches {
		if x != nil && x.waiting {
			x.fails()
		}
	}
}
