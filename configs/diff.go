package configs

import (
	"reflect"
	"slices"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// Changes are what a reload would do.
type Changes struct {
	Added, Removed []string // names of resources
	Changed        []Change // resources that are in both, in the new order
	// Restart names what a running daemon cannot change: its name, its store,
	// its doors. A reload with any of these is refused.
	Restart []string
	// Tokens names the tokens that have a new value: "store", "listen". They
	// were rotated, and are for the caller to hand on.
	Tokens []string
	// Peers says that other observers are configured, or are reached elsewhere, or
	// that this one stands in another zone.
	Peers bool
	// Notices are what changes about notifiers.
	Notices Notices
}

// Change says what is different about one resource.
type Change struct {
	Name string
	// What names settings and blocks: "endpoints", "handles", "sustain". It
	// never tells a value.
	What []string
	// Dropped names endpoints that are gone. The attached one among them makes
	// the engine refuse the reload, unless another endpoint has its URL.
	Dropped []string
}

// Empty reports whether nothing is different.
func (c Changes) Empty() bool {
	return len(c.Added)+len(c.Removed)+len(c.Changed)+len(c.Restart)+len(c.Tokens) == 0 && !c.Peers && c.Notices.Empty()
}

// Diff compares two configurations.
func Diff(old, next *Config) Changes {
	var c Changes
	for i := range next.Resources {
		r := &next.Resources[i]
		before := old.Resource(r.Name)
		if before == nil {
			c.Added = append(c.Added, r.Name)
			continue
		}
		if change := changed(before, r); len(change.What) > 0 {
			c.Changed = append(c.Changed, change)
		}
	}
	for _, r := range old.Resources {
		if next.Resource(r.Name) == nil {
			c.Removed = append(c.Removed, r.Name)
		}
	}
	c.Restart = restart(old, next)
	c.Notices = notices(old, next)
	c.Peers = !slices.Equal(old.Observer.Peers, next.Observer.Peers) || old.Observer.Zone != next.Observer.Zone
	c.Tokens = differ(
		field{"store", old.Store.Consul.Token, next.Store.Consul.Token},
		field{"listen", old.Listen.Token, next.Listen.Token},
	)
	return c
}

// restart names what differs of what a running daemon is built on.
func restart(old, next *Config) []string {
	was, is := old.Store, next.Store
	was.Consul.Token, is.Consul.Token = "", ""
	doors, nextDoors := old.Listen, next.Listen
	doors.Token, nextDoors.Token = "", ""
	return differ(
		field{"observer.name", old.Observer.Name, next.Observer.Name},
		field{"observer.state_dir", old.Observer.StateDir, next.Observer.StateDir},
		field{"store", was, is},
		field{"listen", doors, nextDoors},
	)
}

// field is one thing to compare.
type field struct {
	name      string
	old, next any
}

func differ(fields ...field) []string {
	var out []string
	for _, f := range fields {
		if !reflect.DeepEqual(f.old, f.next) && !slices.Contains(out, f.name) {
			out = append(out, f.name)
		}
	}
	return out
}

// changed compares a resource with what it was.
func changed(old, next *policy.Resource) Change {
	a, b := old.Judge, next.Judge
	c := Change{Name: next.Name, What: differ(
		field{"protocol", old.Protocol.Name, next.Protocol.Name},
		field{"endpoints", urls(old), urls(next)},
		field{"probe", targets(old, next), targets(next, old)},
		field{"handles", old.Handles, next.Handles},
		field{"require", requirements(old.Require), requirements(next.Require)},
		field{"expect", requirements(a.Expect), requirements(b.Expect)},
		field{"fence", stepOf(old, policy.Fence), stepOf(next, policy.Fence)},
		field{"promote", stepOf(old, policy.Promote), stepOf(next, policy.Promote)},
		field{"abort", stepOf(old, policy.Abort), stepOf(next, policy.Abort)},
		field{"after", stepOf(old, policy.After), stepOf(next, policy.After)},
		field{"interval", old.Pace.Interval, next.Pace.Interval},
		field{"fresh_interval", old.Pace.FreshInterval, next.Pace.FreshInterval},
		field{"suspect_interval", old.Pace.SuspectInterval, next.Pace.SuspectInterval},
		field{"timeout", timeout(old), timeout(next)},
		field{"sustain", a.Sustain, b.Sustain},
		field{"fail_after", [2]int{a.Bad, a.Of}, [2]int{b.Bad, b.Of}},
		field{"rise", a.Rise, b.Rise},
		field{"also_evidence", a.AlsoEvidence, b.AlsoEvidence},
		field{"also_sustain", a.AlsoSustain, b.AlsoSustain},
		field{"mode", old.Mode, next.Mode},
		field{"failback", old.Failback, next.Failback},
		field{"failback_after", old.FailbackAfter, next.FailbackAfter},
		field{"mass_failure", old.MassFailure, next.MassFailure},
		field{"quorum", old.Veto, next.Veto},
		field{"bootstrap", old.Bootstrap, next.Bootstrap},
	)}
	for _, e := range old.Endpoints {
		if next.Endpoint(e.Name) < 0 {
			c.Dropped = append(c.Dropped, e.Name)
		}
	}
	return c
}

// urls returns each endpoint's name and URL.
func urls(r *policy.Resource) []string {
	var out []string
	for _, e := range r.Endpoints {
		out = append(out, e.Name, e.Target.URL.Reveal())
	}
	return out
}

// requirements returns what is required, as it is written.
func requirements(all []policy.Requirement) []string {
	var out []string
	for _, q := range all {
		out = append(out, q.Text)
	}
	return out
}

// stepOf is all that is configured of a step.
func stepOf(r *policy.Resource, name string) any {
	type all struct {
		policy.Step
		proceed bool
		require []string
	}
	a := all{Step: r.Steps.Of(name)}
	switch name {
	case policy.Fence:
		a.proceed = r.Steps.Proceed
	case policy.Promote:
		a.require = requirements(r.Steps.Require)
	}
	return a
}

// targets returns how each endpoint that the other has, too, is asked, but for
// its URL and its times.
func targets(r, other *policy.Resource) map[string]probe.Target {
	out := map[string]probe.Target{}
	for _, e := range r.Endpoints {
		if other.Endpoint(e.Name) < 0 {
			continue
		}
		t := e.Target
		t.URL, t.Timeout, t.Idle, t.Wanted = probe.URL{}, 0, 0, nil // which follows from what is required
		out[e.Name] = t
	}
	return out
}

func timeout(r *policy.Resource) any {
	if len(r.Endpoints) == 0 {
		return nil
	}
	return r.Endpoints[0].Target.Timeout
}
