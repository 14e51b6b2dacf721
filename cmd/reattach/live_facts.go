package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// liveRequirement is one requirement of a resource, held against an endpoint.
type liveRequirement struct {
	Require string `json:"require"`
	Fact    string `json:"fact"`
	Value   any    `json:"value"` // null where it is not known
	Met     bool   `json:"met"`
	Why     string `json:"why,omitempty"` // it is not met
	// When it is asked, if not of each standby: whileAttached; and where the
	// resource has a promote step, beforePromote or afterPromote, which nothing can
	// show before the day.
	When string `json:"when,omitempty"`
}

const whileAttached, beforePromote, afterPromote = "while attached", "before promote", "after promote"

// livePrivilege is what the probe's account lacks on an endpoint.
type livePrivilege struct {
	Lacks string `json:"lacks"`
	// For is what it is wanted for: "lacks to see replication".
	For string `json:"for,omitempty"`
	// Facts are those that stay unknown without it and are required.
	Facts []string `json:"required_facts,omitempty"`
	Grant string   `json:"grant,omitempty"` // the statement, or what to do
}

// requirements holds what a probe learned against what is required.
func requirements(r *policy.Resource, facts probe.Facts) []liveRequirement {
	var out []liveRequirement
	judge := func(all []policy.Requirement, when string) {
		for _, q := range all {
			met, why := q.Met(facts)
			if met {
				why = ""
			}
			out = append(out, liveRequirement{q.Text, q.Fact, facts[q.Fact], met, why, when})
		}
	}
	judge(r.Judge.Expect, whileAttached)
	if !r.Steps.Has(policy.Promote) {
		judge(r.Require, "")
		return out
	}
	judge(r.Steps.Require, beforePromote)
	judge(r.Require, afterPromote)
	return out
}

const missingPrivilege = "missing_privilege"

// privilege returns what the account lacks, or nil.
func privilege(r *policy.Resource, t probe.Target, facts probe.Facts) *livePrivilege {
	lacks, ok := facts[missingPrivilege].(string)
	if !ok {
		return nil
	}
	out := &livePrivilege{Lacks: lacks}
	if f, ok := factNamed(r.Protocol, missingPrivilege); ok {
		what, _, _ := strings.Cut(f.Meaning, ":")
		out.For, _ = strings.CutPrefix(what, "what the account ")
	}
	for _, q := range slices.Concat(r.Judge.Expect, r.Steps.Require, r.Require) {
		if f, ok := factNamed(r.Protocol, q.Fact); ok && f.Privileged && facts[q.Fact] == nil && !slices.Contains(out.Facts, q.Fact) {
			out.Facts = append(out.Facts, q.Fact)
		}
	}
	if r.Protocol.Grant != nil {
		out.Grant = r.Protocol.Grant(t, facts)
	}
	return out
}

// factNamed returns a protocol's fact by its name, whatever its argument.
func factNamed(p probe.Protocol, name string) (probe.Fact, bool) {
	stem, _, _ := strings.Cut(name, "(")
	i := slices.IndexFunc(p.Facts, func(f probe.Fact) bool {
		known, _, _ := strings.Cut(f.Name, "(")
		return known == stem
	})
	if i < 0 {
		return probe.Fact{}, false
	}
	return p.Facts[i], true
}

// liveProbe has one conversation. Where only a protocol's canary can tell that
// the account lacks a privilege, it has that one, too.
func liveProbe(ctx context.Context, p probe.Protocol, t probe.Target) probe.Result {
	if t.Table != "" {
		t.Depth = probe.PhaseRead // asks whether it would be let, and writes nothing
	}
	r := probe.Once(ctx, p, t)
	f, tells := factNamed(p, missingPrivilege)
	if r.Failed() || t.Depth != probe.PhaseNone || p.Canary == probe.PhaseNone || !tells || f.Depth() < p.Canary {
		return r
	}
	t.Depth = p.Canary
	deep := probe.Once(ctx, p, t)
	if deep.Phase < p.Canary {
		return r // it failed where the first one did not: the next look will tell
	}
	if deep.Class.Evidence() {
		deep.Class = probe.Degraded // as the daemon takes it: the server came as far as this
	}
	return deep
}

// unready reports whether an endpoint does not show what is asked of it now.
func (r liveResource) unready() bool {
	return slices.ContainsFunc(r.Endpoints, func(e liveEndpoint) bool { return len(r.unmet(e)) > 0 })
}

// asks reports whether a requirement is one on this endpoint, now: what is expected
// of the attached one, and required of the others until one is promoted.
func (r liveResource) asks(e liveEndpoint, q liveRequirement) bool {
	return q.When != afterPromote && r.attached(e) == (q.When == whileAttached)
}

// unmet returns why an endpoint does not show what is asked of it now.
func (r liveResource) unmet(e liveEndpoint) (why []string) {
	for _, q := range e.Requirements {
		if !q.Met && r.asks(e, q) {
			why = append(why, q.Why)
		}
	}
	return why
}

// attached reports whether an endpoint is the attached one; where none is known,
// the first one is meant to be.
func (r liveResource) attached(e liveEndpoint) bool {
	return e.Name == r.Attached || r.Attached == "" && e.Name == r.Endpoints[0].Name
}

// shown says for doctor what an endpoint lacks that answers well; true if nothing.
func (x *examination) shown(r liveResource, e liveEndpoint) bool {
	name, unmet := r.Name+"/"+e.Name, r.unmet(e)
	if m := e.Privilege; m != nil {
		say := x.warn
		if len(m.Facts) > 0 {
			say = x.fail
		}
		say(m.Grant, "%s: the account of the probe lacks %s", name, m.Lacks)
	}
	if len(unmet) > 0 {
		what := "would not take over, for what is required of it"
		if r.attached(e) {
			what = "does not show what is expected of what is attached"
		}
		x.fail("reattach check --live shows each fact that is required", "%s %s: %s", name, what, strings.Join(unmet, ", "))
	}
	if e.Warning != "" {
		x.warn("require = [\"writable\"] keeps it from being attached; a promote step makes it take writes (steps.md)\nmeant so? require = [\"!writable\"]", "%s: %s", r.Name, e.Warning)
	}
	return len(unmet) == 0 && e.Privilege == nil && e.Warning == ""
}

// renderFacts shows what is required of endpoints, and what their accounts lack,
// below the endpoints and in line with them.
func (r liveResource) renderFacts(p paint) string {
	t := table{paint: p, indent: "  "}
	for _, e := range r.Endpoints {
		if e.Class != probe.OK {
			continue // that it did not answer well is said already
		}
		for _, q := range e.Requirements {
			asked := r.asks(e, q)
			if !asked && (q.When == beforePromote || q.When == whileAttached) {
				continue // what is attached is not promoted, and the others are not attached
			}
			mark, c, word, value := "✓", green, "require ", "unknown"
			switch {
			case !q.Met && asked:
				mark, c = "✗", red
			case !q.Met && r.attached(e): // which need not show it
				mark, c = "✗", yellow
			case !q.Met: // nor need this one, before it was promoted
				mark, c = "-", dim
			}
			if q.Value != nil {
				value = factText(q.Fact, q.Value, time.Now())
			}
			switch {
			case q.When == whileAttached:
				word = "expect  "
			case q.When == beforePromote:
				word = "promote "
			case q.When == afterPromote && !q.Met && !r.attached(e):
				value += ", asked after promote"
			}
			t.row(cell{word, dim}, cell{e.Name, plain}, cell{mark, c}, cell{q.Require, plain}, cell{value, c})
		}
	}
	return t.String() + r.renderPrivileges(p) + r.renderWarnings(p)
}

func (r liveResource) renderPrivileges(p paint) string {
	t := table{paint: p, indent: "  "}
	for _, e := range r.Endpoints {
		m := e.Privilege
		if m == nil {
			continue
		}
		level, c, text := "warning", yellow, m.Lacks
		if m.For != "" {
			text += ", which the account " + m.For
		}
		if len(m.Facts) > 0 {
			level, c = "error", red
			text += "; what is required needs it: " + strings.Join(m.Facts, ", ")
		}
		t.row(cell{"missing ", dim}, cell{e.Name, plain}, cell{level, c}, cell{text, plain})
		if m.Grant != "" {
			t.row(cell{}, cell{}, cell{"→", dim}, cell{m.Grant, plain})
		}
	}
	return t.String()
}
