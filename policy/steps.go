package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The names of steps, in the order in which they run around a switch.
const (
	Fence   = "fence"   // makes the endpoint that is left harmless
	Promote = "promote" // makes the one that is attached next ready
	Abort   = "abort"   // after a promotion that was not followed by its switch
	After   = "after"   // once a switch was committed
)

// Step is a person's command around a switch. One without a command is none.
type Step struct {
	Command []string // program and arguments, run without a shell
	Timeout time.Duration
}

// Steps are the commands around a resource's switches.
type Steps struct {
	Fence, Promote, Abort, After Step
	// Proceed goes on after a fence that failed, instead of holding.
	Proceed bool
	// Require is what a candidate must show before it is promoted.
	Require []Requirement
}

// Of returns the step of that name; one without a command if there is none.
func (s Steps) Of(name string) Step {
	switch name {
	case Fence:
		return s.Fence
	case Promote:
		return s.Promote
	case Abort:
		return s.Abort
	case After:
		return s.After
	}
	return Step{}
}

// Has reports whether there is a step of that name.
func (s Steps) Has(name string) bool { return len(s.Of(name).Command) > 0 }

// text stands for the steps in a resource's hash; empty if there are none.
func (s Steps) text() string {
	var b strings.Builder
	for _, name := range []string{Fence, Promote, Abort, After} {
		if step := s.Of(name); s.Has(name) {
			fmt.Fprintf(&b, "%s %q\n", name, step.Command)
		}
	}
	if s.Has(Fence) && s.Proceed {
		b.WriteString("proceed\n")
	}
	for _, q := range s.Require {
		fmt.Fprintf(&b, "promote require %q\n", q.Text)
	}
	return b.String()
}

// Stepped reports whether switches of this kind run fence and promote. Restore
// and bootstrap are a person's repair and a first day; refresh moves nothing.
func (k Kind) Stepped() bool { return slices.Contains(moving, k) }

// Due returns the step that comes first in a switch of that kind, as far as a
// person did not waive it and it was not done: fence, promote, or "" for none.
func (r *Resource) Due(kind Kind, forced []string, fenced bool) string {
	if !kind.Stepped() {
		return ""
	}
	for _, name := range []string{Fence, Promote} {
		if r.Steps.Has(name) && !slices.Contains(forced, name) && (name != Fence || !fenced) {
			return name
		}
	}
	return ""
}

// Next returns the step that comes after fence; "" for none.
func (r *Resource) Next(forced []string) string {
	if r.Steps.Has(Promote) && !slices.Contains(forced, Promote) {
		return Promote
	}
	return ""
}

// required is what a candidate must show now: before it is promoted what the
// promotion wants, and what applications want on the ballot that commits.
func (s *Situation) required() []Requirement {
	if !s.Confirms && s.Kind.Stepped() && s.Resource.Next(s.Forced) != "" {
		return s.Resource.Steps.Require
	}
	return s.Resource.Require
}
