package failover

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// ErrNoResource means that no resource of that name is configured.
var ErrNoResource = errors.New("no such resource")

// Status tells all that is known, at one moment.
func (e *Engine) Status(now time.Time) Status {
	s := Status{Observer: e.cfg.Observer, Zone: e.cfg.Zone, AsOf: now, Blind: e.blind(now, nil), Observers: e.observers(now), Notices: e.unacked()}
	var all Control
	if decode(e.controls[controlAll], &all) == nil && all.Pause != nil {
		if on, text := e.standing(now, controlAll, *all.Pause); on {
			s.Paused = text
		}
	}
	mass := e.mass() // once, not for each resource
	e.counted = &mass
	defer func() { e.counted = nil }()
	for _, name := range e.order {
		s.Resources = append(s.Resources, e.resourceStatus(now, e.res[name]))
	}
	slices.SortStableFunc(s.Resources, func(a, b ResourceStatus) int { return cmp.Compare(a.urgency(), b.urgency()) })
	return s
}

// urgency sorts what needs a person before what does not.
func (s *ResourceStatus) urgency() int {
	switch {
	case s.Hold != nil && s.Hold.Kind == policy.Failover && s.Hold.Gate != "paused":
		return 0
	case s.Outage != nil:
		return 1
	case s.Hold != nil:
		return 2
	case !s.Protected && s.Activity != Init.String():
		return 3
	case !s.Protected:
		return 4
	}
	return 5
}

// Activity says what r does now.
func (r *resource) activity() Activity {
	switch {
	case r.reading == nil:
		return Init
	case r.ballot != nil && !r.ballot.stamps[2].IsZero():
		return Committing
	case r.state.Operation != nil && (r.ballot == nil || r.ballot.claim == nil):
		return Stepping
	case r.ballot != nil || r.want != nil:
		return Confirming
	case r.hold != nil:
		return Holding
	case r.attached >= 0:
		switch r.endpoints[r.attached].verdict.State {
		case policy.Unknown:
			return Init
		case policy.Suspect, policy.Down:
			return Suspecting
		}
	}
	return Steady
}

func (e *Engine) resourceStatus(now time.Time, r *resource) ResourceStatus {
	s := ResourceStatus{Name: r.def.Name, Protocol: r.def.Protocol.Name, Mode: r.def.Mode.String(), Activity: r.activity().String(),
		Condition: r.cond.String(), Detail: r.detail, Epoch: r.state.Epoch, Paused: e.paused(now, r)}
	if r.attached >= 0 {
		s.Attached = r.def.Endpoints[r.attached].Name
	}
	if n := len(r.state.Recent); n > 0 {
		s.Since = &r.state.Recent[n-1].At
	}
	if r.hold != nil {
		hold := *r.hold
		s.Hold = &hold
	}
	if r.outage != nil {
		outage := *r.outage
		s.Outage = &outage
	}
	if op := r.state.Operation; op != nil {
		s.Operation, s.Steps = op.describe(), op.Steps
	} else if g := r.gaveUp; g != nil && g.epoch == r.state.Epoch {
		s.GivenUp = g
	}
	s.Protected, s.Target, s.Why = e.protected(now, r)
	for i := range r.endpoints {
		s.Endpoints = append(s.Endpoints, e.endpointStatus(now, r, i))
	}
	for i, h := range r.def.Handles {
		s.Handles = append(s.Handles, r.handleStatus(i, h))
	}
	return s
}

// protected says whether a failover would be made if the attached endpoint died
// now, to where, and why or why not.
func (e *Engine) protected(now time.Time, r *resource) (ok bool, target, why string) {
	shut, d := e.exposed(now, r)
	if shut.Why != "" {
		return false, "", shut.Why
	}
	target = r.def.Endpoints[d.Target].Name
	if r.def.Mode == policy.Observe {
		return false, target, "the mode is observe: it would only say that it should go to " + target
	}
	return true, target, "would go to " + target
}

// exposed says what would keep a failover from being made if the attached
// endpoint died now, but for the mode: a closed gate, or what is no gate. If
// nothing would, Why is empty and the decision has a target.
func (e *Engine) exposed(now time.Time, r *resource) (shut policy.Passage, d policy.Decision) {
	switch {
	case now.Before(r.unreadable):
		return policy.Passage{Why: "the store denies reading its keys"}, d
	case r.reading == nil:
		return policy.Passage{Why: "the store has not been read yet"}, d
	case !e.controlsOK:
		return policy.Passage{Why: "people's orders below " + controlPrefix + " have not been read yet"}, d
	}
	if r.attached >= 0 {
		if st := r.endpoints[r.attached].verdict.State; st == policy.Down || st == policy.Unknown && r.activity() == Init {
			return policy.Passage{Why: fmt.Sprintf("%s itself is %s", r.def.Endpoints[r.attached].Name, st)}, d
		}
	}
	d = e.ifDown(now, r)
	return d.Closed(), d
}

// ifDown is the decision that would be made if the attached endpoint died now.
func (e *Engine) ifDown(now time.Time, r *resource) policy.Decision {
	s := e.situation(now, r, &wish{kind: policy.Failover, target: -1})
	e.supposeQuiet(now, r, s)
	return policy.Protected(e.gates, *s)
}

func (e *Engine) endpointStatus(now time.Time, r *resource, i int) EndpointStatus {
	ep, def := &r.endpoints[i], &r.def.Endpoints[i]
	v := e.verdictAt(now, r, i)
	return EndpointStatus{Name: def.Name, URL: def.Target.URL, Attached: i == r.attached, State: v.State, Since: v.Since,
		Class: ep.last.Class, Phase: ep.last.Phase, Code: ep.last.Code, Err: ep.last.Err, LastSeen: ep.seen,
		LatencyS: ep.last.Ended.Sub(ep.last.Began).Seconds(), Addr: ep.last.Addr, Tainted: r.taint(def.Name),
		Drained: e.drained(now, r, def.Name), Facts: ep.facts}
}

func (r *resource) handleStatus(i int, h policy.Handle) HandleStatus {
	s := HandleStatus{Key: h.Key}
	if r.reading == nil || i >= len(r.reading.Handles) {
		return s
	}
	entry := r.reading.Handles[i]
	s.Index, s.Ours = entry.ModifyIndex, isOurs(r.state, r.reading.State, entry)
	at, named := r.attached, false
	if at >= 0 { // of several that it names, this one
		named, _ = h.Names(string(entry.Value), at)
	}
	if !named {
		at, _ = h.Named(string(entry.Value))
	}
	if entry.Exists() && at >= 0 {
		s.Names = r.def.Endpoints[at].Name
	}
	return s
}

// Explain tells why a resource was, or was not, switched. Its history is for
// the caller to add, because that is in the store.
func (e *Engine) Explain(now time.Time, name string) (Explanation, error) {
	r := e.res[name]
	if r == nil {
		return Explanation{}, fmt.Errorf("%w: %q", ErrNoResource, name)
	}
	x := Explanation{Status: e.resourceStatus(now, r), Observer: e.cfg.Observer, AsOf: now, Blind: e.blind(now, nil), Last: r.decision}
	if r.decision != nil {
		x.Target = r.decision.To
		if r.decision.Act() { // a vote is cast where there is a ballot
			x.Vote = r.vote
		}
	}
	if x.Vote == nil && r.cast != nil {
		x.Vote = r.cast
	}
	x.Heard = r.heardLast()
	if r.reading != nil {
		x.IfDown = e.ifDown(now, r)
	}
	return x, nil
}

// settled reports whether every resource was read and has a first verdict on
// what is attached.
func (e *Engine) settled() bool {
	for _, name := range e.order {
		r := e.res[name]
		if r.reading == nil || r.attached >= 0 && r.endpoints[r.attached].last.Class == probe.None {
			return false
		}
	}
	return true
}
