package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/httpapi"
	"github.com/reattach/reattach/policy"
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
	width int // of the terminal; 0: none
}

// columns is how wide lines may be.
func (e explanation) columns() int {
	if e.width > 0 {
		return min(e.width, screenColumns)
	}
	return screenColumns
}

func renderExplanation(p paint, width int, x failover.Explanation) string {
	e := explanation{p, x, width}
	top := append(e.head(), e.endpoints(6)...)
	decision := e.decision()
	tail := append(e.candidates(6), e.votes()...)
	switches, told := e.switches(3), e.told(3)
	// The gates are the answer. Where there is no room for all, what they rest on gives way.
	for len(top)+len(decision)+len(tail)+len(switches)+len(told) > screenLines {
		switch {
		case len(told) > titleLines+1:
			told = told[:len(told)-1]
		case len(told) > 0:
			told = nil
		case len(switches) > 0:
			switches = nil
		case len(tail) > 0:
			tail = tail[:len(tail)-1]
		default:
			top = top[:len(top)-1]
		}
	}
	var b strings.Builder
	for _, part := range [][]string{top, decision, tail, switches, told} {
		for _, line := range part {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// titleLines are those of a title, and of the gap above it.
const titleLines = 2

// lines sets a table below a title.
func (e explanation) lines(title string, t table) []string {
	t.paint, t.width, t.fold, t.indent = e.paint, e.columns(), true, "  "
	lines := strings.Split(strings.TrimSuffix(t.String(), "\n"), "\n")
	return append([]string{"", e.in(bold, cut(title, e.columns()))}, lines...)
}

func (e explanation) ago(at time.Time) string { return httpapi.Age(e.AsOf.Sub(at)) }

func (e explanation) head() []string {
	s := e.Status
	title := fmt.Sprintf("%s: %s, %s", s.Name, s.Protocol, s.Activity)
	if s.Mode != "act" {
		title += ", mode " + s.Mode
	}
	title += fmt.Sprintf("; as %s saw it at %s", e.Observer, e.AsOf.Format("2006-01-02 15:04:05 MST"))
	return append([]string{e.in(bold, cut(title, e.columns()))}, e.facts()...)
}

// facts say what is attached, protected, held and paused.
func (e explanation) facts() []string {
	s, t := e.Status, table{paint: e.paint, width: e.columns(), fold: true, indent: "  "}
	add := t.facet
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
	if s.Operation != "" {
		add("steps", yellow, s.Operation)
	}
	for _, step := range s.Steps {
		add("  "+step.Step, plain, stepText(step))
	}
	if g := s.GivenUp; g != nil {
		add("given up", red, fmt.Sprintf("%s to %s, %s ago: %s", g.Kind, g.To, e.ago(g.At), g.Why))
		for _, step := range g.Steps {
			add("  "+step.Step, plain, stepText(step))
		}
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

// facets sets names and what is to be said of each.
func (e explanation) facets(facts [][2]string) []string {
	t := table{paint: e.paint, width: e.columns(), fold: true, indent: "  "}
	for _, f := range facts {
		t.facet(f[0], plain, f[1])
	}
	return strings.Split(strings.TrimSuffix(t.String(), "\n"), "\n")
}

// facet adds a name and what is to be said of it.
func (t *table) facet(name string, c ink, text string) { t.row(cell{name, dim}, cell{text, c}) }

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
	return e.gates(title, d.Gates)
}

// gates sets a row for each gate. On a terminal those that are open keep to one line
// each: the reason of a closed one is what people came for.
func (e explanation) gates(title string, passages []policy.Passage) []string {
	var t table
	for _, g := range passages {
		mark := cell{"✓", green}
		if !g.Open {
			mark = cell{"✗", red}
		}
		why := g.Why
		if g.Waived {
			mark, why = cell{"~", yellow}, "waived by a person: "+why
		}
		if g.Open && !g.Waived && e.width > 0 {
			why = cut(why, e.columns()-gateColumn)
		}
		t.row(mark, cell{g.Gate, plain}, cell{why, plain})
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
	return e.candidacies("Who could take over", all, most)
}

func (e explanation) candidacies(title string, all []policy.Candidacy, most int) []string {
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
	return e.lines(title, t)
}

// votes shows what this observer voted last, and what the others did.
func (e explanation) votes() (lines []string) {
	if e.Vote != nil {
		title := "Last vote of " + e.Vote.Observer
		saw := fold(title+": "+sawText(*e.Vote), e.columns())
		saw[0] = e.in(bold, title) + strings.TrimPrefix(saw[0], title)
		lines = append([]string{""}, saw...)
	}
	if len(e.Heard) == 0 {
		return lines
	}
	var t table
	for _, h := range e.Heard {
		t.row(cell{voter(h.Vote), plain}, cell{e.ago(h.At) + " ago", plain}, cell{sawText(h.Vote), plain})
	}
	return append(lines, e.lines("What the others voted last", t)...)
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
	return e.lines("Last switches (reattach explain "+e.Status.Name+" --epoch N shows the gates of one)", t)
}

// told shows the last notices, and whether they reached anybody.
func (e explanation) told(most int) []string {
	if len(e.Told) == 0 {
		return nil
	}
	var t table
	for i, one := range e.Told {
		if i == most {
			break
		}
		word, c := severityWord(one.Notice)
		t.row(cell{e.ago(one.At) + " ago", plain}, cell{word, c}, cell{one.Event, plain}, cell{reached(one), plain})
	}
	return e.lines("Last notices (reattach events "+e.Status.Name+" shows all)", t)
}

// reached says in a few words whom a notice reached, and whom it did not.
func reached(t failover.Told) string {
	if len(t.Deliveries) == 0 {
		return deliveriesText(t)
	}
	by := map[string][]string{}
	for _, d := range t.Deliveries {
		by[d.State] = append(by[d.State], d.Notifier)
	}
	var parts []string
	for _, state := range []struct{ name, words string }{{"dead", "given up for "}, {"pending", "pending for "}, {"sent", "sent to "}} {
		if names := by[state.name]; len(names) > 0 {
			parts = append(parts, state.words+strings.Join(names, ", "))
		}
	}
	return strings.Join(parts, "; ")
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
	why := r.Why
	if r.Person != "" {
		why = r.Person + ": " + r.Reason
	}
	if len(r.Forced) > 0 {
		why += "; forced: " + strings.Join(r.Forced, ", ")
	}
	for _, s := range r.Steps {
		why += fmt.Sprintf("; %s %s", s.Step, s.Outcome)
	}
	if names := sayers(r); len(r.Votes) > 1 && len(names) > 0 {
		why += "; so said " + strings.Join(names, ", ")
	}
	return why
}

// sayers are the observers whose votes a switch rests on: of a failover, that what it
// left was down, of any other, that its target was up.
func sayers(r failover.Record) (names []string) {
	endpoint, state := r.To, policy.Up
	if r.Kind == policy.Failover {
		endpoint, state = r.From, policy.Down
	}
	for _, v := range r.Votes {
		said := slices.ContainsFunc(v.Saw, func(s failover.EndpointVote) bool { return s.Endpoint == endpoint && s.State == state })
		if said && !slices.Contains(names, v.Observer) {
			names = append(names, v.Observer)
		}
	}
	return names
}
