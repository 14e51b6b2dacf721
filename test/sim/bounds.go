package sim

import (
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// The bounds of DESIGN's liveness. They hold in every run, and not only at p99: when
// all is mended nothing is left that would excuse more. A person's steps take what
// they take, so that where there are some only a generous bound is held.
const (
	slack     = 300 * time.Millisecond
	withSteps = 5 * time.Second
	toldSoon  = time.Second // invariant 14
)

// sure is when an observer is sure, at the latest, that a server failed. A session's
// ping gets half its timeout before a conversation begins that counts: so much later
// than its interval does the run begin that has to last.
func sure(r *policy.Resource, c probe.Class) time.Duration {
	timeout, sustain, pace := r.Endpoints[0].Target.Timeout, r.Judge.Sustain, r.Pace
	if c == probe.Timeout {
		if r.Protocol.Holds {
			sustain += timeout / 2
		}
		return pace.Interval + max(sustain, 2*timeout+pace.SuspectInterval)
	}
	if !r.Protocol.Holds {
		return pace.Interval + max(sustain, 2*pace.SuspectInterval)
	}
	return max(sustain, 2*pace.SuspectInterval)
}

// bound is how soon a failure is to be switched, but for slack.
func (w *world) bound(r *policy.Resource, c probe.Class) time.Duration {
	if c == probe.Timeout && len(w.names) > 1 { // the others' votes rest on conversations of their own
		return sure(r, c) + r.Endpoints[0].Target.Timeout
	}
	return sure(r, c)
}

// switches has the attached server fail for good, and holds that this is switched
// within its bound.
func (w *world) switches(r *policy.Resource, srv *server, c probe.Class) {
	w.run(w.between(0, time.Second))
	w.switchesWithin(r, srv, c, w.bound(r, c))
}

func (w *world) switchesWithin(r *policy.Resource, srv *server, c probe.Class, bound time.Duration) {
	was, began := w.stateOf(r.Name), w.now
	if was.Attached != strings.TrimPrefix(srv.name, r.Name+"/") {
		return // it failed back by itself
	}
	w.becomes(srv, c, "")
	said := ""
	done := func() bool {
		if w.story != nil {
			if text := w.explain(r.Name); text != said {
				w.say("", "they say: %s", text)
				said = text
			}
		}
		if r.Mode == policy.Observe {
			return slices.ContainsFunc(w.living(), func(n *node) bool {
				h := w.statusOf(n, r.Name).Hold
				return h != nil && h.Gate == "observe"
			})
		}
		return w.stateOf(r.Name).Epoch > was.Epoch
	}
	most := bound + slack
	if steps := stepsTake(r); steps > 0 {
		most += steps + withSteps
	}
	if !w.runUntil(most, done) {
		w.breaks("liveness", "the %s of %s was not switched within %v: %s", c, srv.name, most, w.explain(r.Name))
	}
	if made := w.oracle.order; stepsTake(r) == 0 && r.Mode == policy.Act {
		w.report.Late = append(w.report.Late, made[len(made)-1].at-began-bound)
	}
	w.run(4 * time.Second)
}

// worse has the attached server die when that is worst: while nobody could take its
// place, or together with the observer who opens the ballot on it.
func (w *world) worse(r *policy.Resource, srv *server) {
	switch {
	case w.one(2):
		w.standbysDown(r, srv)
	case len(w.names) > 2 && stepsTake(r) == 0 && r.Mode == policy.Act:
		w.openerDies(r, srv)
	default:
		w.switches(r, srv, probe.Refused)
	}
}

// openerDies kills the opener while his ballot is open: that delays the switch by a
// ballot's time at most.
func (w *world) openerDies(r *policy.Resource, srv *server) {
	w.run(w.between(0, time.Second))
	after := w.between(0, 200*time.Millisecond)
	w.armed = append(w.armed, func() {
		b := w.oracle.open[r.Name]
		w.later(after, func() {
			if b != nil && b.by.alive {
				b.by.kill()
			}
		})
	})
	w.switchesWithin(r, srv, probe.Refused, w.bound(r, probe.Refused)+ballotTime(r))
}

// standbysDown has nobody left: the handles stay, and somebody is told (invariant 14).
func (w *world) standbysDown(r *policy.Resource, srv *server) {
	was := w.stateOf(r.Name)
	for _, ep := range r.Endpoints {
		if ep.Name != was.Attached {
			w.becomes(w.servers[r.Name+"/"+ep.Name], probe.Refused, "")
		}
	}
	w.run(sure(r, probe.Refused) + w.between(time.Second, 2*time.Second))
	if w.stateOf(r.Name).Epoch != was.Epoch || was.Attached != strings.TrimPrefix(srv.name, r.Name+"/") {
		return // it failed back by itself
	}
	began := w.now
	w.becomes(srv, probe.Refused, "")
	told := func() bool {
		for key, at := range w.oracle.told {
			if strings.HasPrefix(key, r.Name+"/") && strings.Contains(key, ".held.candidate") && at[len(at)-1] >= began {
				return true
			}
		}
		return false
	}
	most := sure(r, probe.Refused) + slack + toldSoon
	if !w.runUntil(most, told) {
		w.oracle.breaks("14", "%v after %s failed, with nobody to take its place, nobody was told: %s", most, srv.name, w.explain(r.Name))
	}
	w.run(4 * time.Second)
	if w.stateOf(r.Name).Epoch != was.Epoch {
		w.oracle.breaks("14", "with nobody to take its place, %s was switched", srv.name)
	}
}
