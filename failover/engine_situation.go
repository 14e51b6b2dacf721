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
		v := ep.verdict.At(now, r.def.Pace, def.Target.Timeout)
		all[i] = policy.Standing{Name: def.Name, Verdict: v, Fresh: v.SeenOK(fresh), Tainted: r.taint(def.Name),
			Drained: e.drained(now, r, def.Name), Tried: e.wasTried(now, r, def.Name), ServerID: serverID(ep.facts)}
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
		ep := &r.endpoints[r.attached]
		a := policy.Attachment{Address: address(r, r.attached)}
		if s := ep.verdict.State; s == policy.Down || s == policy.Suspect {
			a.Bad = ep.verdict.FirstBad()
		}
		all = append(all, a)
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
	s := &policy.Situation{Now: now, Resource: r.def, Kind: w.kind, Automatic: w.automatic(), Forced: w.forced, Attached: r.attached,
		Target: w.target, Endpoints: e.standings(now, r, w.since), Paused: e.paused(now, r), Blind: e.blind(now, r), Rewound: r.rewound,
		Condition: r.cond, Detail: r.detail, Switches: e.autoSwitches(now, r), Fleet: e.fleetSwitches(now),
		Acked: r.state.Acked == r.state.Epoch && r.state.Epoch > 0, Mass: e.massNow()}
	s.MassAcked = s.Acked && r.outage != nil && !r.ackAt.Before(r.outage.Since)
	s.Tally = e.tally(s)
	return s
}

// tally counts this observer's own vote.
func (e *Engine) tally(s *policy.Situation) policy.Tally {
	t := policy.Tally{Observers: max(1, len(e.cfg.Observers)), Zones: 1, Up: make([]int, len(s.Endpoints))}
	for i, ep := range s.Endpoints {
		if ep.Verdict.State == policy.Up && ep.Fresh {
			t.Up[i] = 1
		}
	}
	if s.Attached >= 0 && policy.SaysDown(s) {
		t.Down = 1
	}
	return t
}
