package sim

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// The small world: three observers, one resource with two standbys, and its primary
// dies. A moment is the landing of a transaction from then on. At any of them, any
// fault of a short list may befall it, and at a later one the next.

// Choice is one fault of the small world at one of its moments.
type Choice struct{ Moment, Fault int }

// Searched is what an exhaustive search came to.
type Searched struct {
	Depth    int // faults in a run, at most, of those that were all tried
	Runs     int
	Distinct int // runs that were gone on from, each with effects of its own
	Same     int // runs whose effects another one had already: gone on from no further
	Moments  int // in the longest run
	Left     int // runs of the next depth that the time did not allow
	Failed   []Choice
	Verdict  *Violation
}

// smallFaults are what may befall the small world. The first ones befall one observer.
var smallFaults = []struct {
	name string
	do   func(w *world, n *node)
}{
	{"killed", func(w *world, n *node) {
		n.kill()
		w.soon(3*time.Second, func() {
			if !n.alive {
				n.start()
			}
		})
	}},
	{"stopped", func(w *world, n *node) {
		n.freeze(false)
		life := n.life
		w.soon(4*time.Second, func() {
			if n.frozen && n.life == life {
				n.thaw()
			}
		})
	}},
	{"reply lost", func(w *world, n *node) { n.next("reply lost", 0) }},
	{"request lost", func(w *world, n *node) { n.next("request lost", 0) }},
	{"applied late", func(w *world, n *node) { n.next("applied late", 5*time.Second) }},
	{"cut off", func(w *world, n *node) {
		w.store.reach(n, false)
		w.soon(4*time.Second, func() { w.store.reach(n, true) })
	}},
	{"sees it well", func(w *world, n *node) { n.well = true; w.soon(3*time.Second, func() { n.well = false }) }},
	{"asked to pause", func(w *world, n *node) { n.ask(failover.Command{Verb: "pause", Resource: "r0"}) }},
	{"primary well", func(w *world, n *node) {
		if n == w.nodes[0] {
			w.becomes(w.servers["r0/a"], probe.OK, "")
		}
	}},
	{"standby dies", func(w *world, n *node) {
		if n == w.nodes[0] {
			w.becomes(w.servers["r0/b"], probe.Refused, "")
		}
	}},
	{"hand edit", func(w *world, n *node) {
		if n == w.nodes[0] {
			h := w.defs[0].Handles[0]
			w.store.write(failover.Op{Verb: failover.Set, Key: h.Key, Value: []byte(h.Values[2].Reveal())})
		}
	}},
}

// next has something befall the next transaction that is no sweep.
func (n *node) next(kind string, late time.Duration) {
	n.fates = append(n.fates, &fate{kind: kind, late: late, until: n.w.now + 5*time.Second})
}

// soon has something end, unless all is mended before.
func (w *world) soon(d time.Duration, do func()) {
	w.mendAt = max(w.mendAt, w.now+d)
	w.later(d, func() {
		if !w.mended {
			do()
		}
	})
}

// drawSmall is draw for the small world.
func (w *world) drawSmall() {
	w.names = []string{"mon-a", "mon-b", "mon-c"}
	for i, name := range w.names {
		w.zones[name] = string(rune('1' + i))
	}
	r := w.drawResource("r0")
	for len(r.Endpoints) != 3 {
		r = w.drawResource("r0")
	}
	r.Protocol, r.Mode, r.Failback, r.Veto, r.Bootstrap = storeOfData, policy.Act, policy.FailbackManual, true, false
	r.Require, r.Judge.Expect, r.Judge.AlsoEvidence, r.Steps = nil, nil, nil, policy.Steps{}
	r.Judge.Of, r.Judge.Sustain = 3, time.Second
	if w.opt.Seed%2 == 1 { // with steps
		step := func(name string) policy.Step { return policy.Step{Command: []string{name}, Timeout: 2 * time.Second} }
		r.Steps = policy.Steps{Fence: step(policy.Fence), Promote: step(policy.Promote), Abort: step(policy.Abort)}
	}
	w.defs = []*policy.Resource{r}
	w.drawServers()
	w.drawHandles()
	for _, name := range w.names {
		w.newNode(name, w.config(name, w.names, w.defs))
	}
}

// liveSmall is the life of the small world.
func (w *world) liveSmall() {
	for _, n := range w.nodes {
		w.later(w.between(0, 500*time.Millisecond), n.start)
	}
	w.run(4 * time.Second)
	w.moments = 0
	w.becomes(w.servers["r0/a"], probe.Refused, "")
	w.run(6 * time.Second)
	w.run(w.mendAt + 2*time.Second - w.now)
	w.end()
}

// moment counts the landing of a transaction, and has befall the world what was chosen.
func (w *world) moment() {
	if !w.opt.Small || w.mended || w.now < 4*time.Second {
		return
	}
	w.moments++
	for _, c := range w.opt.Choices {
		if c.Moment == w.moments {
			w.later(0, func() { w.befall(c.Fault) })
		}
	}
}

// befallSmall has one of the small faults befall an observer.
func befallSmall(w *world, fault int) {
	f, n := smallFaults[fault/3], w.nodes[fault%3]
	if n.alive && !n.frozen {
		w.say(n.name, "— %s", f.name)
		f.do(w, n)
	}
}

// Search runs the small world with every choice of up to depth faults, but for those
// that go on from a run whose effects were another's: whatever follows at a later
// moment follows there, too. It stops at the first violation, and once so long has
// passed (0: never).
func Search(seed uint64, depth, workers int, lasts time.Duration) Searched {
	var s Searched
	began := time.Now()
	level := [][]Choice{nil}
	from := map[uint64]int{} // the moment after which runs with those effects were gone on from
	for d := 0; d <= depth; d++ {
		ends := make([]runEnd, len(level))
		var found atomic.Bool
		each(len(level), workers, func(i int) {
			if found.Load() || lasts > 0 && time.Since(began) > lasts {
				return
			}
			r := Run(Options{Seed: seed, Small: true, Choices: level[i]})
			ends[i] = runEnd{r.Hash, r.Moments, r.Violation, true}
			if r.Violation != nil {
				found.Store(true)
			}
		})
		var next [][]Choice
		for i, end := range ends {
			if !end.ran {
				s.Left++
				continue
			}
			s.Runs++
			s.Moments = max(s.Moments, end.moments)
			if end.violation != nil && s.Verdict == nil {
				s.Verdict, s.Failed = end.violation, level[i]
			}
			last := 0
			if n := len(level[i]); n > 0 {
				last = level[i][n-1].Moment
			}
			if before, ok := from[end.hash]; ok && before <= last {
				s.Same++
				continue
			} else if !ok {
				s.Distinct++
			}
			from[end.hash] = last
			for m := last + 1; m <= end.moments && d < depth; m++ {
				for f := range 3 * len(smallFaults) {
					next = append(next, append(slices.Clone(level[i]), Choice{m, f}))
				}
			}
		}
		if s.Verdict != nil || s.Left > 0 {
			break
		}
		s.Depth, level = d, next
	}
	return s
}

// runEnd is what is kept of a run.
type runEnd struct {
	hash      uint64
	moments   int
	violation *Violation
	ran       bool
}

// each does something for every i below n, so many at a time.
func each(n, workers int, do func(i int)) {
	var group sync.WaitGroup
	for k := range workers {
		group.Go(func() {
			for i := k; i < n; i += workers {
				do(i)
			}
		})
	}
	group.Wait()
}
