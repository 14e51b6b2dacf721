package sim

import (
	"slices"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// fails has one more thing go wrong, and holds how soon it is acted on.
func (w *world) fails() {
	r := w.defs[w.rnd.IntN(len(w.defs))]
	if all := w.oracle.lately(r.Name); all > 0 { // a minute has two ballots, and a failed step its pause
		if !w.one(3) {
			return
		}
		w.run(time.Minute)
	}
	s := w.stateOf(r.Name)
	if len(s.Taints) > 0 || s.Acked != s.Epoch || w.failsBack() {
		return // a gate may be closed, and rightly
	}
	srv := w.servers[r.Name+"/"+s.Attached]
	switch w.rnd.IntN(4) {
	case 0:
		w.blips(r, srv)
	case 1:
		w.switches(r, srv, probe.Timeout)
	case 2:
		w.switches(r, srv, probe.Refused)
	default:
		w.worse(r, srv)
	}
}

// blips has one conversation fail, and holds that nothing comes of it.
func (w *world) blips(r *policy.Resource, srv *server) {
	was := w.stateOf(r.Name).Epoch
	w.becomes(srv, probe.Refused, "")
	w.run(5 * time.Millisecond)
	w.becomes(srv, probe.OK, "")
	timeout := r.Endpoints[0].Target.Timeout
	w.run(r.Pace.Interval + 3*r.Pace.SuspectInterval + timeout/2)
	for _, n := range w.living() {
		for _, ep := range w.statusOf(n, r.Name).Endpoints {
			if ep.State != policy.Up {
				w.breaks("liveness", "%s still finds %s/%s %s after a blip", n.name, r.Name, ep.Name, ep.State)
			}
		}
	}
	if w.stateOf(r.Name).Epoch != was {
		w.breaks("liveness", "a blip of %s was switched", r.Name)
	}
}

// sessionsEnd has somebody end the sessions that are held with servers that are well,
// and holds that nobody believes anything else of them: every conversation is well.
func (w *world) sessionsEnd() {
	state := func(n *node, r *policy.Resource, ep string) policy.State {
		for _, e := range w.statusOf(n, r.Name).Endpoints {
			if e.Name == ep {
				return e.State
			}
		}
		return policy.Unknown
	}
	for _, r := range w.defs {
		for _, ep := range r.Endpoints {
			for _, l := range slices.Clone(w.servers[r.Name+"/"+ep.Name].sessions) {
				was := state(l.n, r, ep.Name)
				if l.lost(); was == policy.Up && state(l.n, r, ep.Name) > policy.Up {
					w.breaks("liveness", "%s finds %s/%s %s only because a session ended; every conversation with it is well", l.n.name, r.Name, ep.Name, state(l.n, r, ep.Name))
				}
			}
		}
	}
}

// explain is what each observer says of a resource.
func (w *world) explain(resource string) (text string) {
	for _, n := range w.living() {
		s := w.statusOf(n, resource)
		text += n.name + ": " + s.Activity
		if s.Hold != nil {
			text += " (" + s.Hold.Gate + ": " + s.Hold.Why + ")"
		}
		text += "; "
	}
	return text
}

// stepsTake is how long a resource's steps may take, with what is looked at between them.
func stepsTake(r *policy.Resource) (d time.Duration) {
	for _, name := range []string{policy.Fence, policy.Promote} {
		if r.Steps.Has(name) {
			d += 2 * time.Second
		}
	}
	return d
}
