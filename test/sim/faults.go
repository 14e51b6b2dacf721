package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/reattach/reattach/policy"
)

// fault is one thing that is planned to go wrong. Its details come from a chance
// of its own, so that leaving out another one changes it little.
type fault struct {
	at     time.Duration
	kind   int
	seed   uint64
	ballot bool // it strikes while the next ballot is open
}

// doing is a fault at the moment when it happens.
type doing struct {
	*world
	rnd  *rand.Rand
	name string
}

// faultKind is a kind of fault.
type faultKind struct {
	name, family string
	weight       int
	do           func(d *doing) bool // false: there was nothing to befall
	later        bool                // it is counted when it strikes
}

// families are the kinds of faults, by what they befall.
var families = [...]string{"target", "network", "daemon", "store", "people", "fleet", "race"}

// faultKinds are all kinds of faults.
var faultKinds = slices.Concat(targetFaults, networkFaults, daemonFaults, storeFaults, peopleFaults, fleetFaults, raceFaults, tangles, betweenSteps)

// places are where each kind stands among them.
func places() map[string]int {
	at := map[string]int{}
	for i, k := range faultKinds {
		at[k.name] = i
	}
	return at
}

// happened counts a fault that has struck.
func (w *world) happened(name string) {
	i, ok := w.places[name]
	if !ok {
		panic("no such fault: " + name)
	}
	w.report.Faults[i]++
}

// drawPlan makes up what befalls the world, and when. Faults come in clusters,
// because it is the second one that hurts.
func (w *world) drawPlan() {
	at := w.between(2*time.Second, 6*time.Second)
	var weights []int
	for i, k := range faultKinds {
		weights = append(weights, i, k.weight)
	}
	steps := slices.ContainsFunc(w.defs, func(r *policy.Resource) bool { return r.Steps.Has(policy.Fence) || r.Steps.Has(policy.Promote) })
	for range w.chance(2, 1, 4, 2, 6, 3, 9, 2, 13, 1) {
		kind := w.chance(weights...)
		if !steps && faultKinds[kind].family == "daemon" && faultKinds[kind].name[:4] == "step" {
			kind = w.places["crash"]
		}
		w.plan = append(w.plan, fault{at, kind, w.rnd.Uint64(), w.one(3)})
		gap := time.Duration(w.chance(0, 3, 3, 2, 20, 2, 100, 3, 400, 3, 1000, 4, 2000, 4, 4000, 3, 8000, 2, 15000, 1))
		at += gap*time.Millisecond + w.between(0, time.Duration(1+w.rnd.IntN(400))*time.Millisecond)
	}
}

// strike has everything happen that is planned, and was not dropped.
func (w *world) strike() (last time.Duration) {
	for i, f := range w.plan {
		if slices.Contains(w.opt.Dropped, i) {
			continue
		}
		last = max(last, f.at)
		k := faultKinds[f.kind]
		d := &doing{world: w, rnd: rand.New(rand.NewPCG(f.seed, 1)), name: k.name}
		do := func() {
			if !w.mended && k.do(d) && !k.later {
				w.happened(k.name)
			}
		}
		w.later(f.at-w.now, func() {
			if f.ballot {
				w.armed = append(w.armed, func() { w.later(d.lasts(0, 250*time.Millisecond), do) })
				return
			}
			do()
		})
	}
	return last
}

// lasts is a time drawn from a to b.
func (d *doing) lasts(a, b time.Duration) time.Duration {
	return a + time.Duration(d.rnd.Int64N(int64(b-a)+1))
}

func (d *doing) one(in int) bool { return d.rnd.IntN(in) == 0 }

// resource is one of those that are watched.
func (d *doing) resource() *policy.Resource { return pick(d.rnd, d.defs) }

// target is a server, mostly one that is attached.
func (d *doing) target() *server {
	r := d.resource()
	name := d.stateOf(r.Name).Attached
	if r.Endpoint(name) < 0 || d.one(4) {
		name = pick(d.rnd, r.Endpoints).Name
	}
	return d.servers[r.Name+"/"+name]
}

// machine is one whose daemon runs.
func (d *doing) machine() *node { return d.anybody(d.rnd) }

// busy keeps all from being mended for so long.
func (d *doing) busy(lasts time.Duration) { d.world.mendAt = max(d.world.mendAt, d.world.now+lasts) }

// until ends a fault after a while, unless all was mended before.
func (d *doing) until(after time.Duration, end func()) {
	w := d.world
	w.later(after, func() {
		if !w.mended {
			end()
		}
	})
}
