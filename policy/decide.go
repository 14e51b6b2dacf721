package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Passage is what one gate came to.
type Passage struct {
	Gate   string `json:"gate"`
	Open   bool   `json:"open"`
	Waived bool   `json:"waived,omitempty"` // closed, and forced by a person
	Why    string `json:"why"`
}

// Candidacy is what a decision made of one endpoint as a target.
type Candidacy struct {
	Endpoint string `json:"endpoint"`
	// Reason is empty if it may be the target; else attached, taint, drained,
	// requirement, same_server, damping, votes, not_chosen or a state.
	Reason string `json:"reason,omitempty"`
	Why    string `json:"why"`
}

// Decision is the outcome of all gates at one moment. It is kept whether it
// led to a switch or not.
type Decision struct {
	At         time.Time   `json:"at"`
	Kind       Kind        `json:"kind"`
	Target     int         `json:"-"` // -1: none
	To         string      `json:"target,omitempty"`
	Gates      []Passage   `json:"gates"`
	Candidates []Candidacy `json:"candidates"`
}

// Decide asks every gate that guards the situation's kind of switch.
func Decide(gates []Gate, s *Situation) Decision {
	target, all := s.candidate()
	d := Decision{At: s.Now, Kind: s.Kind, Target: target, Candidates: all, Gates: make([]Passage, 0, len(gates))}
	if target >= 0 {
		d.To = s.Endpoints[target].Name
	}
	for _, g := range gates {
		if !slices.Contains(g.Kinds, s.Kind) {
			continue
		}
		open, why := g.Check(s)
		waived := !open && g.Waivable && slices.Contains(s.Forced, g.Name)
		d.Gates = append(d.Gates, Passage{g.Name, open || waived, waived, why})
	}
	return d
}

// Closed returns the first closed gate; its Gate is empty if all are open.
func (d Decision) Closed() Passage {
	for _, p := range d.Gates {
		if !p.Open {
			return p
		}
	}
	return Passage{}
}

// ClosedAt returns the first closed gate of a stage; its Gate is empty if all are open.
func (d Decision) ClosedAt(gates []Gate, stage Stage) Passage {
	for _, p := range d.Gates {
		i := slices.IndexFunc(gates, func(g Gate) bool { return g.Name == p.Gate })
		if !p.Open && i >= 0 && gates[i].Stage == stage {
			return p
		}
	}
	return Passage{}
}

// Act reports whether all gates are open.
func (d Decision) Act() bool { return d.Closed().Gate == "" }

// Protected asks Decide as if the attached endpoint were down and every observer
// said so who answers: would a failover happen now, and to where?
func Protected(gates []Gate, s Situation) Decision {
	s.Kind, s.Automatic, s.Forced, s.Target = Failover, true, nil, -1
	s.Endpoints = slices.Clone(s.Endpoints)
	for i := range s.Endpoints {
		s.Endpoints[i].Fresh = s.Endpoints[i].Verdict.State == Up
	}
	s.Supposed = true
	if s.Attached >= 0 {
		s.Endpoints[s.Attached].Verdict = Verdict{State: Down}
	}
	t := s.Tally
	if t.Answering == 0 {
		t.Answering = t.Observers
	}
	s.Tally = Tally{Observers: t.Observers, Down: t.Answering, Zones: t.Zones, Up: make([]int, len(s.Endpoints)), Said: t.Health}
	for i := range s.Endpoints {
		if s.Endpoints[i].Verdict.State == Up {
			s.Tally.Up[i] = t.Answering
		}
	}
	return Decide(gates, &s)
}

// candidate returns the target of a switch, -1 if there is none, and what
// became of each endpoint.
func (s *Situation) candidate() (int, []Candidacy) {
	target, all := -1, make([]Candidacy, 0, len(s.Endpoints))
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		reason, why := s.unfit(i)
		if reason == "" && target >= 0 {
			reason, why = "not_chosen", s.Endpoints[target].Name+" comes before it"
		}
		if reason == "" {
			target, why = i, e.Verdict.Describe()
		}
		all = append(all, Candidacy{e.Name, reason, why})
	}
	return target, all
}

// unfit says why endpoint i may not be the target; an empty reason means it may.
func (s *Situation) unfit(i int) (reason, why string) {
	e := &s.Endpoints[i]
	switch s.Kind {
	case Refresh:
		if i != s.Attached {
			return "not_chosen", "refresh keeps the attached endpoint"
		}
		return "", ""
	case Restore:
		if i != s.Target {
			return "not_chosen", "a person named another"
		}
		return s.unsafe(e)
	case Bootstrap, FailbackTo:
		if i != 0 && s.Target < 0 {
			return "not_chosen", fmt.Sprintf("%s goes to the first endpoint", s.Kind)
		}
	}
	if s.Target >= 0 && i != s.Target {
		return "not_chosen", "a person named another"
	}
	if i == s.Attached {
		return "attached", "it is attached"
	}
	if reason, why := s.unsafe(e); reason != "" {
		return reason, why
	}
	if reason, why := s.unwell(i); reason != "" {
		return reason, why
	}
	if unmet := Unmet(s.required(), e.Facts); len(unmet) > 0 && !slices.Contains(s.Forced, "requirement") {
		return "requirement", "it does not meet what is required: " + strings.Join(unmet, ", ")
	}
	return "", ""
}

// unsafe turns down an endpoint that may have missed writes or is in a
// person's hands.
func (s *Situation) unsafe(e *Standing) (reason, why string) {
	if e.Tainted != "" && !slices.Contains(s.Forced, "taint") {
		return "taint", "tainted: " + e.Tainted
	}
	if e.Drained != "" && !slices.Contains(s.Forced, "drained") {
		return "drained", "drained " + e.Drained
	}
	return "", ""
}

// unwell turns down an endpoint that is not up, is the failed server under
// another name, or was tried already by a resource that goes back and forth.
func (s *Situation) unwell(i int) (reason, why string) {
	e := &s.Endpoints[i]
	if a := s.Attached; a >= 0 && e.ServerID != "" && e.ServerID == s.Endpoints[a].ServerID {
		return "same_server", "it is the same server as " + s.Endpoints[a].Name
	}
	if s.Automatic && s.Switches >= DampingLimit && !s.Acked && e.Tried {
		return "damping", "it was tried within the last hour"
	}
	switch {
	case slices.Contains(s.Forced, "candidate"):
		return "", ""
	case e.Verdict.State != Up:
		return e.Verdict.State.String(), fmt.Sprintf("it is %s", e.Verdict.Describe())
	case !e.Fresh:
		if s.Kind != Failover {
			return "unknown", "it was up, but has not answered since it was asked for"
		}
		return "unknown", "it was up, but has not answered since the suspicion"
	case s.Tally.Voted && s.Tally.Up[i] < s.Tally.Majority():
		return "votes", fmt.Sprintf("%d of %d observers find it up; %d needed", s.Tally.Up[i], s.Tally.Observers, s.Tally.Majority())
	}
	return "", ""
}

// noCandidate says in one sentence why nobody can take over.
func noCandidate(all []Candidacy) string {
	var parts []string
	for _, c := range all {
		if c.Reason != "attached" && c.Reason != "not_chosen" {
			parts = append(parts, c.Endpoint+": "+c.Why)
		}
	}
	if len(parts) == 0 {
		return "there is no standby"
	}
	return "no standby can take over: " + strings.Join(parts, "; ")
}
