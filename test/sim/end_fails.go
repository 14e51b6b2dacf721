package sim

import (
	"slices"
	"strings"
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
	default:
		w.switches(r, srv, probe.Refused)
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

// switches has the attached server fail for good, and holds that this is switched
// within its bound.
func (w *world) switches(r *policy.Resource, srv *server, c probe.Class) {
	w.run(w.between(0, time.Second))
	was, timeout := w.stateOf(r.Name), r.Endpoints[0].Target.Timeout
	sustain := r.Judge.Sustain
	bound := max(sustain, 2*r.Pace.SuspectInterval)
	if c == probe.Timeout {
		bound = r.Pace.Interval + max(sustain, 2*timeout+r.Pace.SuspectInterval)
		if len(w.names) > 1 {
			bound += timeout
		}
	} else if !r.Protocol.Holds {
		bound += r.Pace.Interval
	}
	began := w.now
	if was.Attached != strings.TrimPrefix(srv.name, r.Name+"/") {
		return // it failed back by itself
	}
	w.becomes(srv, c, "")
	done := func() bool {
		if r.Mode == policy.Observe {
			return slices.ContainsFunc(w.living(), func(n *node) bool {
				h := w.statusOf(n, r.Name).Hold
				return h != nil && h.Gate == "observe"
			})
		}
		return w.stateOf(r.Name).Epoch > was.Epoch
	}
	slack := 300*time.Millisecond + stepsTake(r)
	if !w.runUntil(bound+slack+5*time.Second, done) {
		w.breaks("liveness", "the %s of %s was not switched within %v: %s", c, srv.name, bound+slack+5*time.Second, w.explain(r.Name))
	}
	if made := w.oracle.order; stepsTake(r) == 0 && r.Mode == policy.Act {
		w.report.Late = append(w.report.Late, made[len(made)-1].at-began-bound)
	}
	w.run(4 * time.Second)
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
