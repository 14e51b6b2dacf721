package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/httpapi"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// statusView shows a status to a person.
type statusView struct {
	paint paint
	width int  // of the terminal; 0: none
	all   bool // every detail, also of what needs nobody
}

func (v statusView) render(s failover.Status) string {
	var b strings.Builder
	b.WriteString(v.head(s) + v.observers(s) + v.troubles(s) + "\n")
	next, rest := httpapi.Notices(s)
	t := table{paint: v.paint, width: v.width, fold: true}
	t.texts(dim, "", "RESOURCE", "ATTACHED", "STATE", "PROTECTED")
	var details []string
	for _, r := range s.Resources {
		t.row(v.line(r, s.AsOf)...)
		details = append(details, v.details(r, next[r.Name], s.AsOf))
	}
	// The details of a resource stand below its line, which is aligned with all others.
	lines := t.texted()
	b.WriteString(lines[0])
	for i := range s.Resources {
		b.WriteString(lines[i+1])
		b.WriteString(details[i])
	}
	for i, n := range rest {
		if i == noticesShown {
			fmt.Fprintf(&b, "  and %d more: reattach status --json\n", len(rest)-i)
			break
		}
		b.WriteString(v.notice(n, s.AsOf))
	}
	return b.String()
}

// noticesShown is how many notices are shown.
const noticesShown = 5

// head says who speaks, when, and how it is.
func (v statusView) head(s failover.Status) string {
	who := s.Observer
	if s.Zone != "" {
		who += " (" + s.Zone + ")"
	}
	protected := 0
	for _, r := range s.Resources {
		if r.Protected {
			protected++
		}
	}
	out := fmt.Sprintf("%s at %s: %d of %s protected\n", v.paint.in(bold, who), s.AsOf.Format("2006-01-02 15:04:05 MST"), protected, plural(len(s.Resources), "resource"))
	if s.Blind != "" {
		out += v.paint.in(red, "blind: "+clean(s.Blind)) + "\n  Nothing is switched; what follows is from memory.\n"
	}
	if s.Paused != "" {
		out += v.paint.in(yellow, "everything is paused "+clean(s.Paused)) + "\n"
	}
	return out
}

// observers says how each observer is, where there are several.
func (v statusView) observers(s failover.Status) string {
	t := table{paint: v.paint, width: v.width, fold: true}
	for _, o := range httpapi.Observers(s) {
		t.row(marks[o.Level], cell{o.Name, bold}, cell{o.Zone, dim}, cell{o.Text, plain})
	}
	return t.String()
}

func (v statusView) notice(n failover.Notice, now time.Time) string {
	c, mark := yellow, "·"
	if n.Urgent {
		c, mark = red, "!"
	}
	when := httpapi.Age(now.Sub(n.At)) + " ago"
	if n.Teller != "" {
		when += ", told by " + clean(n.Teller)
	}
	out := fmt.Sprintf("\n%s  %s: %s\n", v.paint.in(c, mark), when, clean(n.Text))
	if n.Next != "" {
		out += "   next: " + v.paint.in(bold, clean(n.Next)) + "\n"
	}
	return out
}

// troubles names the destinations of notices that do not take them: whoever is
// to be told of all this does not hear it.
func (v statusView) troubles(s failover.Status) string {
	t := table{paint: v.paint, width: v.width}
	for _, one := range httpapi.Troubles(s) {
		t.row(marks[one.Level], cell{one.Text, plain})
	}
	return t.String()
}

// marks stand at a line's begin, so that it can be told without colours, too.
var marks = map[httpapi.Attention]cell{
	httpapi.Calm:  {"✓", green},
	httpapi.Watch: {"·", yellow},
	httpapi.Alarm: {"!", red},
}

func (v statusView) line(r failover.ResourceStatus, now time.Time) []cell {
	mark := marks[httpapi.AttentionOf(r)]
	attached, state := cell{r.Attached, plain}, cell{"-", dim}
	if r.Attached == "" {
		attached = cell{"-", dim}
	}
	if i := slices.IndexFunc(r.Endpoints, func(e failover.EndpointStatus) bool { return e.Attached }); i >= 0 {
		e := r.Endpoints[i]
		state = cell{stateText(e, now), stateInk(e.State)}
	}
	verdict := cell{"no: " + r.Why, mark.ink}
	if r.Protected {
		verdict = cell{"yes, it " + r.Why, plain}
	}
	return []cell{mark, {r.Name, bold}, attached, state, verdict}
}

func stateText(e failover.EndpointStatus, now time.Time) string {
	if e.Since.IsZero() {
		return e.State.String()
	}
	return e.State.String() + " " + httpapi.Age(now.Sub(e.Since))
}

func stateInk(s policy.State) ink {
	switch s {
	case policy.Up:
		return green
	case policy.Down:
		return red
	case policy.Suspect:
		return yellow
	}
	return dim
}

// details says what is wrong with a resource, what to type (next), and how its
// endpoints are.
func (v statusView) details(r failover.ResourceStatus, next string, now time.Time) string {
	if httpapi.AttentionOf(r) == httpapi.Calm && !v.all {
		return ""
	}
	t := table{paint: v.paint, indent: "     ", width: v.width, fold: true}
	if r.Operation != "" {
		t.row(cell{r.Operation, yellow})
	}
	if r.Hold != nil {
		t.row(cell{fmt.Sprintf("%s held by gate %s for %s", r.Hold.Kind, r.Hold.Gate, httpapi.Age(now.Sub(r.Hold.Since))), red})
		if r.Hold.Why != r.Why {
			t.row(cell{r.Hold.Why, plain})
		}
		if next != "" {
			t.row(cell{"next: " + next, bold})
		}
	} else if r.Outage != nil {
		t.row(cell{"outage for " + httpapi.Age(now.Sub(r.Outage.Since)), red})
	}
	if r.Paused != "" {
		t.row(cell{"paused " + r.Paused, yellow})
	}
	if r.Condition != policy.Ours.String() || v.all {
		t.row(cell{strings.TrimSuffix("handles "+r.Condition+": "+r.Detail, ": "), plain})
	}
	for _, e := range r.Endpoints {
		mark := ""
		if e.Attached {
			mark = "*"
		}
		t.row(cell{e.Name + mark, plain}, cell{stateText(e, now), stateInk(e.State)}, cell{endpointText(e), plain})
	}
	out := t.String()
	if v.all {
		out += v.everything(r, now)
	}
	return out
}

// endpointText says how the last conversation with an endpoint went, and what
// keeps it from taking over.
func endpointText(e failover.EndpointStatus) string {
	var parts []string
	switch {
	case e.Class == probe.None:
		parts = append(parts, "no conversation yet")
	case e.Class == probe.OK:
		parts = append(parts, "ok in "+httpapi.Millis(time.Duration(e.LatencyS*float64(time.Second))))
	default:
		parts = append(parts, problemText(e))
	}
	if e.Tainted != "" {
		parts = append(parts, "tainted: "+e.Tainted)
	}
	if e.Drained != "" {
		parts = append(parts, "drained "+e.Drained)
	}
	return strings.Join(parts, "; ")
}

func problemText(e failover.EndpointStatus) string {
	text := strings.TrimSpace(e.Class.String()+" "+e.Code) + " in " + e.Phase.String()
	if why := strings.TrimSpace(strings.TrimPrefix(e.Err, e.Code)); why != "" {
		text += ": " + why
	}
	return text
}

// everything shows a resource's handles and what is known of its endpoints.
func (v statusView) everything(r failover.ResourceStatus, now time.Time) string {
	var b strings.Builder
	since := "never switched"
	if r.Since != nil {
		since = httpapi.Age(now.Sub(*r.Since)) + " ago"
	}
	fmt.Fprintf(&b, "\n     %s, mode %s, %s; epoch %d, last switch: %s\n", r.Protocol, r.Mode, r.Activity, r.Epoch, since)
	t := table{paint: v.paint, indent: "     ", width: v.width}
	for _, h := range r.Handles {
		ours := "ours"
		if !h.Ours {
			ours = "not ours"
		}
		names := h.Names
		if names == "" {
			names = "names no endpoint"
		}
		t.row(cell{"handle", dim}, cell{h.Key, plain}, cell{names, plain}, cell{ours, plain}, cell{fmt.Sprintf("index %d", h.Index), dim})
	}
	b.WriteString(t.String())
	for _, e := range r.Endpoints {
		fmt.Fprintf(&b, "\n     %s  %s\n", v.paint.in(bold, e.Name), e.URL)
		facts := table{paint: v.paint, indent: "       ", width: v.width}
		if e.Addr != "" {
			facts.row(cell{"address", dim}, cell{e.Addr, plain})
		}
		for _, name := range factNames(e.Facts) {
			facts.row(cell{name, dim}, cell{factText(name, e.Facts[name], now), plain})
		}
		b.WriteString(facts.String())
	}
	return b.String()
}

func factNames(facts probe.Facts) []string {
	names := make([]string, 0, len(facts))
	for name := range facts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
