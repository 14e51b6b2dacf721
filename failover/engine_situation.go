package failover

import (
	"slices"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// standings returns every endpoint as a decision sees it; fresh is what is OK
// since then.
func (e *Engine) standings(now time.Time, r *resource, fresh time.Time) []policy.Standing {
	all := make([]policy.Standing, len(r.endpoints))
	for i := range r.endpoints {
		ep, def := &r.endpoints[i], &r.def.Endpoints[i]
		v := e.verdictAt(now, r, i)
		all[i] = policy.Standing{Name: def.Name, Verdict: v, Fresh: v.SeenOK(fresh), Tainted: r.taint(def.Name),
			Drained: e.drained(now, r, def.Name), Tried: e.wasTried(now, r, def.Name), ServerID: serverID(ep.facts)}
		if !ep.learnt.Before(fresh) {
			all[i].Facts = r.shown(now, i)
		}
	}
	return all
}

func serverID(f probe.Facts) string {
	id, _ := f["server_id"].(string)
	return id
}

func (r *resource) taint(name string) string {
	for _, t := range r.state.Taints {
		if t.marks(r.def, name) {
			return t.Why
		}
	}
	return ""
}

// switchAge is how long ago a switch was first seen here.
func (e *Engine) switchAge(now time.Time, r *resource, s Switch) time.Duration {
	at, ok := r.switchAt[s.Op]
	if !ok {
		return 0
	}
	return now.Sub(at)
}

func (e *Engine) wasTried(now time.Time, r *resource, name string) bool {
	return slices.ContainsFunc(r.state.Recent, func(s Switch) bool {
		return s.Automatic && (s.From == name || s.To == name) && e.switchAge(now, r, s) < policy.DampingWindow
	})
}

func (e *Engine) autoSwitches(now time.Time, r *resource) (n int) {
	for _, s := range r.state.Recent {
		if s.Automatic && s.Kind != policy.Bootstrap && e.switchAge(now, r, s) < policy.DampingWindow {
			n++
		}
	}
	return n
}

// fleetSwitches counts automatic switches of all resources within the pace's window.
func (e *Engine) fleetSwitches(now time.Time) int {
	e.fleet = slices.DeleteFunc(e.fleet, func(t time.Time) bool { return now.Sub(t) >= policy.PaceWindow })
	return len(e.fleet)
}

// massNow is the mass failure as a decision sees it.
func (e *Engine) massNow() policy.Mass {
	if e.counted != nil {
		return *e.counted
	}
	return e.mass()
}

// mass counts what is attached and bad, over all resources.
func (e *Engine) mass() policy.Mass {
	var all []policy.Attachment
	for _, name := range e.order {
		r := e.res[name]
		if r.attached < 0 {
			continue
		}
		all = append(all, policy.Attachment{Address: address(r, r.attached), Bad: r.endpoints[r.attached].verdict.Failing()})
	}
	return policy.MassOf(all)
}

// address is the host that an endpoint was last spoken to at.
func address(r *resource, i int) string {
	if addr := r.endpoints[i].last.Addr; addr != "" {
		if host, _, ok := cutPort(addr); ok {
			return host
		}
	}
	return r.def.Endpoints[i].Target.URL.Host
}

func cutPort(addr string) (host, port string, ok bool) {
	for i := len(addr) - 1; i >= 0; i-- {
		if addr[i] == ':' {
			return addr[:i], addr[i+1:], true
		}
	}
	return addr, "", false
}

// situation gathers what a decision on w rests on.
func (e *Engine) situation(now time.Time, r *resource, w *wish) *policy.Situation {
	s := &policy.Situation{Now: now, Resource: r.def, Kind: w.kind, Automatic: w.automatic(), Forced: e.forced(w), Attached: r.attached,
		Target: w.target, Endpoints: e.standings(now, r, w.since), Paused: e.paused(now, r), Blind: e.blind(now, r), Rewound: r.rewound,
		Condition: r.cond, Detail: r.detail, Switches: e.autoSwitches(now, r), Fleet: e.fleetSwitches(now),
		Acked: e.acked(r), Mass: e.massNow()}
	if op := r.state.Operation; e.keepsBack(op, w) {
		s.Step = op.describe()
	} else if w.carries != nil && !e.stillCarries(r, w) {
		s.Step = w.carries.describe() + ", but it did not stay as it was"
	}
	if w.kind != policy.Failover && e.dueStep(r, w) == policy.Fence { // after which nothing more arrives, and it is asked again
		e.supposeQuiet(now, r, s)
	}
	s.Fenced, s.Confirms = e.fenced(r), w.carries != nil
	if e.holds(RuleTwoWritable) {
		s.TwoWritable = r.state.TwoWritable
	}
	for _, name := range e.order { // what is promised counts as made
		if name != r.def.Name && e.res[name].promised() && e.holds(RulePromised) {
			s.Fleet++
		}
	}
	s.MassAcked = s.Acked && r.outage != nil && !r.ackAt.Before(r.outage.Since)
	e.loosen(s)
	s.Tally = e.tally(r, s)
	return s
}

// promised reports whether an automatic switch is under way: its steps are, or it
// was sent to the store and no answer has come.
func (r *resource) promised() bool {
	if op := r.state.Operation; op != nil {
		return op.Automatic
	}
	b := r.ballot
	return b != nil && !b.stamps[2].IsZero() && b.wish.automatic() && b.wish.kind != policy.Bootstrap
}

// acknowledged reports whether a person acknowledged since the last automatic
// switch. What people do afterwards does not take that back.
func (s State) acknowledged() bool {
	return s.Acked > 0 && !slices.ContainsFunc(s.Recent, func(sw Switch) bool { return sw.Automatic && sw.Epoch > s.Acked })
}
