package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/httpapi"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// One screen: what explain prints never has more lines or columns.
const (
	screenLines   = 40
	screenColumns = 100
)

// explanation renders one, part by part, within the screen.
type explanation struct {
	paint
	failover.Explanation
}

func renderExplanation(p paint, x failover.Explanation) string {
	e := explanation{p, x}
	top := append(e.head(), e.endpoints(6)...)
	decision := e.decision()
	tail := append(e.candidates(6), e.votes()...)
	switches := e.switches(3)
	// The gates are the answer. Where there is no room for all, what they rest on gives way.
	for len(top)+len(decision)+len(tail)+len(switches) > screenLines {
		switch {
		case len(switches) > 0:
			switches = nil
		case len(tail) > 0:
			tail = tail[:len(tail)-1]
		default:
			top = top[:len(top)-1]
		}
	}
	var b strings.Builder
	for _, part := range [][]string{top, decision, tail, switches} {
		for _, line := range part {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// lines sets a table below a title.
func (e explanation) lines(title string, t table) []string {
	t.paint, t.width, t.indent = e.paint, screenColumns, "  "
	lines := strings.Split(strings.TrimSuffix(t.String(), "\n"), "\n")
	return append([]string{"", e.in(bold, cut(title, screenColumns))}, lines...)
}

func (e explanation) ago(at time.Time) string { return httpapi.Age(e.AsOf.Sub(at)) }

func (e explanation) head() []string {
	s := e.Status
	title := fmt.Sprintf("%s: %s, %s", s.Name, s.Protocol, s.Activity)
	if s.Mode != "act" {
		title += ", mode " + s.Mode
	}
	title += fmt.Sprintf("; as %s saw it at %s", e.Observer, e.AsOf.Format("2006-01-02 15:04:05 MST"))
	return append([]string{e.in(bold, cut(title, screenColumns))}, e.facts()...)
}

// facts say what is attached, protected, held and paused.
func (e explanation) facts() []string {
	s, t := e.Status, table{paint: e.paint, width: screenColumns, indent: "  "}
	add := func(name string, c ink, text string) {
		for i, part := range wrap(text, screenColumns-14) {
			if i > 0 {
				name = ""
			}
			t.row(cell{name, dim}, cell{part, c})
		}
	}
	attached := "nothing"
	if s.Attached != "" {
		attached = s.Attached
	}
	if s.Since != nil {
		attached += fmt.Sprintf(", for %s (epoch %d)", e.ago(*s.Since), s.Epoch)
	}
	add("attached", plain, attached)
	add("handles", plain, handlesText(s))
	if s.Protected {
		add("protected", green, "yes: it "+s.Why)
	} else {
		add("protected", red, "no: "+s.Why)
	}
	if s.Hold != nil {
		held := fmt.Sprintf("%s, by the gate %s, for %s", s.Hold.Kind, s.Hold.Gate, e.ago(s.Hold.Since))
		if s.Outage != nil {
			held += ", in an outage of " + e.ago(s.Outage.Since)
		}
		add("held", red, held)
		if !e.shows(s.Hold.Gate) {
			add("", plain, s.Hold.Why)
		}
	}
	if s.Outage != nil && s.Hold == nil {
		add("outage", red, "for "+e.ago(s.Outage.Since))
	}
	if e.Blind != "" {
		add("blind", red, e.Blind)
	}
	if s.Paused != "" {
		add("paused", yellow, s.Paused)
	}
	return strings.Split(strings.TrimSuffix(t.String(), "\n"), "\n")
}

// shows reports whether the last decision has a line for the gate.
func (e explanation) shows(gate string) bool {
	return e.Last != nil && slices.ContainsFunc(e.Last.Gates, func(p policy.Passage) bool { return p.Gate == gate })
}

func handlesText(s failover.ResourceStatus) string {
	var keys []string
	for _, h := range s.Handles {
		keys = append(keys, h.Key)
	}
	text := s.Condition
	if s.Detail != "" {
		text += " (" + s.Detail + ")"
	}
	return text + ": " + strings.Join(keys, ", ")
}

func (e explanation) endpoints(most int) []string {
	var t table
	for i, ep := range e.Status.Endpoints {
		if i == most {
			t.row(cell{fmt.Sprintf("and %d more: reattach status %s", len(e.Status.Endpoints)-most, e.Status.Name), dim})
			break
		}
		mark := ""
		if ep.Attached {
			mark = "*"
		}
		t.row(cell{ep.Name + mark, plain}, cell{stateText(ep, e.AsOf), stateInk(ep.State)}, cell{endpointText(ep), plain})
	}
	return e.lines("Endpoints (* attached)", t)
}

// decision shows the gates of the decision that matters now.
func (e explanation) decision() []string {
	d, target := e.IfDown, e.Status.Target
	title := fmt.Sprintf("If %s died now", e.Status.Attached)
	if e.Status.Attached == "" {
		title = "If the attached endpoint died now"
	}
	if e.lastMatters() {
		d, target = *e.Last, e.Target
		title = fmt.Sprintf("Last decision: %s, %s ago", d.Kind, e.ago(d.At))
	}
	switch shut := d.Closed(); {
	case len(d.Gates) == 0:
		return []string{"", e.in(bold, "No decision can be weighed yet: the store has not been read")}
	case shut.Gate != "":
		title += ": no switch, because of the gate " + shut.Gate
	case target != "":
		title += ": all gates open, to " + target
	default:
		title += ": all gates open"
	}
	var t table
	for _, g := range d.Gates {
		mark := cell{"✓", green}
		if !g.Open {
			mark = cell{"✗", red}
		}
		why := g.Why
		if g.Waived {
			mark, why = cell{"~", yellow}, "waived by a person: "+why
		}
		lines := []string{why}
		if !g.Open { // the reason is what people came for
			lines = wrap(why, screenColumns-gateColumn)
		}
		for i, line := range lines {
			if i > 0 {
				mark, g.Gate = cell{}, ""
			}
			t.row(mark, cell{g.Gate, plain}, cell{line, plain})
		}
	}
	return e.lines(title, t)
}

// gateColumn is where the sentences of the gates begin, behind the longest name.
const gateColumn = 2 + 3 + len("mass_failure") + 2

// lastMatters reports whether the last wanted switch is what a person asks
// about: while all is well it is history, and listed there.
func (e explanation) lastMatters() bool {
	s := e.Status
	return e.Last != nil && (s.Hold != nil || s.Outage != nil || s.Activity == failover.Confirming.String() || s.Activity == failover.Committing.String())
}

func (e explanation) candidates(most int) []string {
	all := e.IfDown.Candidates
	if e.lastMatters() {
		all = e.Last.Candidates
	}
	if len(all) == 0 {
		return nil
	}
	var t table
	for i, c := range all {
		if i == most {
			t.row(cell{fmt.Sprintf("and %d more", len(all)-most), dim})
			break
		}
		mark := cell{"✓", green}
		if c.Reason != "" {
			mark = cell{"-", dim}
		}
		t.row(mark, cell{c.Endpoint, plain}, cell{c.Why, plain})
	}
	return e.lines("Who could take over", t)
}

func (e explanation) votes() []string {
	if e.Vote == nil {
		return nil
	}
	var saw []string
	for _, v := range e.Vote.Saw {
		text := v.Endpoint + " " + v.State.String()
		if v.Class != probe.OK && v.Class != probe.None {
			text += " (" + strings.TrimSpace(v.Class.String()+" "+v.Code) + ")"
		}
		saw = append(saw, text)
	}
	title := "Last vote of " + e.Vote.Observer
	return []string{"", e.in(bold, title) + ": " + cut(strings.Join(saw, ", "), screenColumns-2-utf8.RuneCountInString(title))}
}

func (e explanation) switches(most int) []string {
	if len(e.History) == 0 {
		return nil
	}
	var t table
	for i, r := range e.History {
		if i == most {
			break
		}
		t.row(cell{fmt.Sprint(r.Epoch), plain}, cell{e.ago(r.At) + " ago", plain}, cell{r.Kind.String(), plain}, cell{move(r), plain}, cell{reasonOf(r), plain})
	}
	return e.lines("Last switches", t)
}

// move says from where to where a switch went.
func move(r failover.Record) string {
	if r.From == "" || r.From == r.To {
		return r.To
	}
	return r.From + " → " + r.To
}

// reasonOf says why a switch was made, and by whom if a person asked for it.
func reasonOf(r failover.Record) string {
	if r.Person == "" {
		return r.Why
	}
	return r.Person + ": " + r.Reason
}

// wrap breaks text into at most two lines of n columns.
func wrap(text string, n int) []string {
	if utf8.RuneCountInString(text) <= n {
		return []string{text}
	}
	head := string([]rune(text)[:n])
	at := strings.LastIndexByte(head, ' ')
	if at < n/2 {
		at = len(head)
	}
	return []string{text[:at], cut(strings.TrimSpace(text[at:]), n)}
}
