package configs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// written is a requirement and where it stands.
type written struct {
	policy.Requirement
	fact probe.Fact
	at   hcl.Range
}

// The settings that list facts.
const (
	require = "require" // of a candidate
	expect  = "expect"  // of what is attached
)

// requirements reads what a candidate must show: a resource's, or those of its
// promote step; or what is attached.
func (l *loader) requirements(r *policy.Resource, s *section, name string) (required []policy.Requirement) {
	var texts []string
	if !get(s, name, &texts) {
		return nil
	}
	list := s.attrs[name].expr
	exprs, _ := hcl.ExprList(list) // none for a list that is computed
	var all []written
	for i, text := range texts {
		expr := list
		if i < len(exprs) {
			expr = exprs[i]
		}
		q, err := policy.ParseRequirement(text, r.Protocol.Facts)
		if err != nil {
			l.noRequirement(r.Protocol, expr, q, err)
			continue
		}
		now := written{q, factOf(q, r.Protocol), expr.Range()}
		if !slices.ContainsFunc(all, func(before written) bool { return l.clash(before, now, name) }) {
			required = append(required, q)
			if len(r.Endpoints) > 0 {
				l.missed(r, now, name)
			}
		}
		all = append(all, now)
	}
	return required
}

// noRequirement reports a text that is no requirement. A computed one is not
// repeated: nobody knows where it came from.
func (l *loader) noRequirement(p probe.Protocol, expr hcl.Expression, q policy.Requirement, err error) {
	const grammar = `"FACT", "!FACT" or "FACT OP VALUE", as "writable" or "version >= 10.11"; OP is <, <=, ==, !=, >= or >`
	switch unknown := errors.Is(err, policy.ErrUnknownFact); {
	case !literal(expr), q.Text == "":
		l.errorf(expr.Range(), "write "+grammar, "this is no requirement")
	case unknown && strings.ContainsAny(q.Fact, " ="):
		l.errorf(expr.Range(), "write "+grammar, "%q is no requirement", q.Text)
	case unknown:
		l.errorf(expr.Range(), guessFact(q.Fact, p.Facts), "%s has no fact %s", p.Name, q.Fact)
	case q.Fact != "" && factOf(q, p).Type == "bool":
		l.errorf(expr.Range(), fmt.Sprintf("write %q, or \"!%s\" for its opposite", q.Fact, q.Fact), "%s is true or false", q.Fact)
	default:
		l.errorf(expr.Range(), "", "%s", strings.TrimPrefix(err.Error(), policy.ErrRequirement.Error()+": "))
	}
}

// guessFact returns the fact that was probably meant, or all that there are.
func guessFact(word string, facts []probe.Fact) string {
	stem, _, _ := strings.Cut(word, "(")
	var stems, names []string
	for _, f := range facts {
		known, _, _ := strings.Cut(f.Name, "(")
		stems, names = append(stems, known), append(names, f.Name)
	}
	if i := slices.Index(stems, nearest(stem, stems)); i >= 0 {
		return fmt.Sprintf("did you mean %q?", names[i])
	}
	return guess("", names) + "; reattach check --facts says what they mean"
}

// factOf returns the fact of which a requirement speaks.
func factOf(q policy.Requirement, p probe.Protocol) probe.Fact {
	stem, _, _ := strings.Cut(q.Fact, "(")
	i := slices.IndexFunc(p.Facts, func(f probe.Fact) bool {
		known, _, _ := strings.Cut(f.Name, "(")
		return known == stem
	})
	if i < 0 {
		return probe.Fact{}
	}
	return p.Facts[i]
}

// clash reports a requirement that says what another one said, or that no
// endpoint can meet together with it.
func (l *loader) clash(before, now written, name string) bool {
	if before.Fact != now.Fact {
		return false
	}
	same, both := spelt(before.Text) == spelt(now.Text), true
	if now.fact.Type == "bool" {
		same, both = true, false
		for _, value := range []bool{true, false} {
			a, _ := before.Met(probe.Facts{now.Fact: value})
			b, _ := now.Met(probe.Facts{now.Fact: value})
			same, both = same && a == b, both || a && b
		}
	}
	switch {
	case same:
		l.errorf(now.at, "", "%s stands in %s twice: keep one", now.Fact, name)
	case !both:
		l.errorf(now.at, "", "%s and its opposite stand in %s: no endpoint can show both", now.Fact, name)
	}
	return same || !both
}

// spelt is a requirement without its white space.
func spelt(text string) string { return strings.Join(strings.Fields(text), "") }

// missed warns of a requirement that no standby could meet when it matters: over
// a fact that conversations of this depth never learn, or that is gone with the
// server that is to be left. An expectation over the former expects nothing.
func (l *loader) missed(r *policy.Resource, q written, name string) {
	depth := r.Endpoints[0].Target.Depth
	gone, _ := q.Met(probe.Facts{q.Fact: false})
	unlearnt := depth != probe.PhaseNone && depth < q.fact.Depth()
	switch {
	case name == expect && unlearnt:
		l.warnf(q.at, "leave out depth", "%s is never learnt with depth = %q, and what is not known is no evidence: nothing is expected", q.Fact, depth)
	case name == expect:
	case unlearnt:
		l.warnf(q.at, "leave out depth", "%s is never learnt with depth = %q: no standby would ever show it, and so none would take over", q.Fact, depth)
	case q.fact.Dies && !gone:
		l.warnf(q.at, `"applied" (all that it received) and "lag <= 5s" (the last that it showed) can be met then`,
			"a replica shows %s only while its source lives: no replica would take over from a source that is dead", q.Fact)
	}
}

// want tells the probes of a resource which facts are relied on.
func want(r *policy.Resource) {
	var facts []string
	for _, q := range slices.Concat(r.Require, r.Steps.Require, r.Judge.Expect) {
		if !slices.Contains(facts, q.Fact) {
			facts = append(facts, q.Fact)
		}
	}
	for i := range r.Endpoints {
		r.Endpoints[i].Target.Wanted = facts
	}
}
