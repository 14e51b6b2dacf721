package policy

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reattach/reattach/probe"
)

// Requirement is a condition on what a probe learned of an endpoint: "writable",
// "!read_only", "lag <= 5s", "queue(orders)".
type Requirement struct {
	// Text is as it was written.
	Text string
	// Fact is the name, with its argument if it has one: "queue(orders)".
	Fact string
	not  bool
	op   string // empty: the fact itself, or its opposite
	want any    // bool, float64 or string
	said string // how want was written
}

// ErrRequirement is why a requirement cannot be used. Test with errors.Is.
var ErrRequirement = errors.New("not a requirement")

// ErrUnknownFact means that the protocol has no such fact. It is an
// ErrRequirement, too.
var ErrUnknownFact = fmt.Errorf("%w: no such fact", ErrRequirement)

// operators, longest first.
var operators = []string{"<=", ">=", "==", "!=", "<", ">"}

// ParseRequirement reads FACT, !FACT or FACT OP VALUE over the facts of a
// protocol. A fact that takes an argument stands in facts as "queue(NAME)". The
// error wraps ErrRequirement.
func ParseRequirement(text string, facts []probe.Fact) (Requirement, error) {
	r := Requirement{Text: strings.TrimSpace(text)}
	name, value, op := split(r.Text)
	if op == "" {
		name, r.not = strings.TrimSpace(strings.TrimPrefix(name, "!")), strings.HasPrefix(name, "!")
	}
	r.Fact, r.op = name, op
	fact, err := lookUp(name, facts)
	if err != nil {
		return r, err
	}
	switch {
	case op == "" && fact.Type != "bool":
		return r, fmt.Errorf("%w: %s is no yes or no: compare it, as %s", ErrRequirement, name, example(name, fact.Type))
	case op == "":
		return r, nil
	}
	r.said = value
	r.want, err = wanted(fact, op, value)
	return r, err
}

// split parts a text at its operator.
func split(text string) (name, value, op string) {
	at := strings.IndexAny(text, "<>=!")
	if open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')'); 0 < open && open < at && at < end { // it is part of a name
		if at = strings.IndexAny(text[end:], "<>=!"); at > 0 {
			at += end
		}
	}
	if at == 0 && strings.HasPrefix(text, "!") {
		return text, "", ""
	}
	for _, o := range operators {
		if at > 0 && strings.HasPrefix(text[at:], o) {
			return strings.TrimSpace(text[:at]), strings.TrimSpace(text[at+len(o):]), o
		}
	}
	return text, "", ""
}

// lookUp finds a fact by its name, whatever its argument.
func lookUp(name string, facts []probe.Fact) (probe.Fact, error) {
	stem, argument, takes := strings.Cut(name, "(")
	if takes && (!strings.HasSuffix(argument, ")") || argument == ")") {
		return probe.Fact{}, fmt.Errorf("%w: write %s(NAME)", ErrRequirement, stem)
	}
	i := slices.IndexFunc(facts, func(f probe.Fact) bool {
		known, _, parametric := strings.Cut(f.Name, "(")
		return known == stem && parametric == takes
	})
	if i < 0 {
		return probe.Fact{}, fmt.Errorf("%w %q", ErrUnknownFact, name)
	}
	return facts[i], nil
}

// wanted reads the value that a fact is compared with.
func wanted(fact probe.Fact, op, value string) (any, error) {
	ordered := op != "==" && op != "!="
	switch fact.Type {
	case "int64", "float64":
		if n, err := strconv.ParseFloat(value, 64); err == nil && !math.IsNaN(n) && !math.IsInf(n, 0) {
			return n, nil
		}
		if d, err := time.ParseDuration(value); err == nil {
			return d.Seconds(), nil
		}
		return nil, fmt.Errorf("%w: %s is a number, and %q is none", ErrRequirement, fact.Name, value)
	case "bool":
		if b, err := strconv.ParseBool(value); err == nil && !ordered {
			return b, nil
		}
		return nil, fmt.Errorf("%w: %s is true or false", ErrRequirement, fact.Name)
	}
	if value = strings.Trim(value, `"`); value == "" {
		return nil, fmt.Errorf("%w: nothing to compare %s with", ErrRequirement, fact.Name)
	}
	_, isVersion := version(value)
	switch {
	case ordered && !isVersion && fact.Name == "version":
		return nil, fmt.Errorf("%w: %q is no version number", ErrRequirement, value)
	case ordered && !isVersion:
		return nil, fmt.Errorf("%w: %s is a text: compare it by == or !=", ErrRequirement, fact.Name)
	}
	return value, nil
}

func example(name, kind string) string {
	if kind == "string" {
		return strconv.Quote(name + " == …")
	}
	return strconv.Quote(name + " <= 5")
}

// Met reports whether an endpoint of which those facts are known meets r, and
// says why not. What is not known meets nothing.
func (r Requirement) Met(facts probe.Facts) (ok bool, why string) {
	have, known := facts[r.Fact]
	if !known {
		return false, r.Fact + " is unknown"
	}
	if r.op == "" {
		b, isBool := have.(bool)
		return isBool && b != r.not, fmt.Sprintf("%s is %v", r.Fact, have)
	}
	return r.compare(have), fmt.Sprintf("%s is %v, not %s %s", r.Fact, have, r.op, r.said)
}

func (r Requirement) compare(have any) bool {
	switch want := r.want.(type) {
	case bool:
		b, ok := have.(bool)
		return ok && (b == want) == (r.op == "==")
	case float64:
		n, ok := number(have)
		return ok && holds(r.op, n-want)
	case string:
		text, ok := have.(string)
		if !ok {
			return false
		}
		if r.op == "==" || r.op == "!=" {
			return (text == want) == (r.op == "==")
		}
		a, ok := version(text)
		b, _ := version(want)
		return ok && holds(r.op, float64(slices.Compare(a, b)))
	}
	return false
}

// holds reports whether an operator accepts a difference.
func holds(op string, difference float64) bool {
	switch op {
	case "<":
		return difference < 0
	case "<=":
		return difference <= 0
	case ">":
		return difference > 0
	case ">=":
		return difference >= 0
	case "==":
		return difference == 0
	}
	return difference != 0
}

func number(v any) (float64, bool) {
	switch n := v.(type) {
	case int64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

// version reads the leading numbers of "11.8.9-MariaDB".
func version(text string) (parts []int, ok bool) {
	for part := range strings.SplitSeq(text, ".") {
		digits := part[:len(part)-len(strings.TrimLeft(part, "0123456789"))]
		n, err := strconv.Atoi(digits)
		if err != nil {
			break
		}
		parts = append(parts, n)
		if digits != part {
			break
		}
	}
	return parts, len(parts) > 0
}

// Unmet returns why an endpoint does not meet some of several requirements,
// each in a few words; empty if it meets all.
func Unmet(all []Requirement, facts probe.Facts) []string {
	var out []string
	for _, r := range all {
		if ok, why := r.Met(facts); !ok {
			out = append(out, why)
		}
	}
	return out
}
