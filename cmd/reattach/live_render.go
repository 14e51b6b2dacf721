package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/reattach/reattach/failover/httpapi"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// render shows what check --live found.
func (l *liveReport) render(p paint) string {
	var b strings.Builder
	for _, r := range l.Resources {
		b.WriteString("\n" + r.render(p))
	}
	if l.Note != "" {
		fmt.Fprintf(&b, "\nnote: %s\n", l.Note)
	}
	if l.Store != "" {
		fmt.Fprintf(&b, "\n%s: %s\n", p.in(red, "the store cannot be read"), l.Store)
	}
	return b.String()
}

func (r liveResource) render(p paint) string {
	var b strings.Builder
	fmt.Fprintln(&b, p.in(bold, r.Name))
	t := table{paint: p, indent: "  "}
	for _, e := range r.Endpoints {
		mark := ""
		if e.Name == r.Attached {
			mark = "attached"
		}
		outcome := httpapi.Millis(time.Duration(e.Millis * float64(time.Millisecond)))
		if e.Class != probe.OK {
			outcome = strings.TrimSpace(e.Phase.String() + ": " + strings.TrimSpace(e.Code+" "+strings.TrimPrefix(e.Error, e.Code)))
		}
		t.row(cell{"endpoint", dim}, cell{e.Name, plain}, cell{mark, plain}, cell{e.Class.String(), inkOf(e.Class)}, cell{outcome, plain})
	}
	b.WriteString(t.String() + r.renderFacts(p))
	if r.Condition == "" {
		return b.String()
	}
	t = table{paint: p, indent: "  "}
	for _, h := range r.Handles {
		names := "names " + h.Names
		if h.Names == "" {
			names = "names no endpoint"
		}
		t.row(cell{"handle", dim}, cell{h.Key, plain}, cell{names, plain})
		for _, d := range h.Differs {
			t.row(cell{}, cell{}, cell{d, yellow})
		}
	}
	b.WriteString(t.String())
	fmt.Fprintf(&b, "  %s\n", conditionText(p, r))
	return b.String()
}

// conditionText says what the handles are, and what comes of it.
func conditionText(p paint, r liveResource) string {
	c := yellow
	switch r.Condition {
	case policy.Ours.String():
		c = green
	case policy.Foreign.String(), policy.Deleted.String():
		c = red
	}
	text := p.in(c, r.Condition)
	if r.Detail != "" {
		text += " (" + r.Detail + ")"
	}
	if next := conditionNext(r); next != "" {
		text += ": " + next
	}
	return text
}

func conditionNext(r liveResource) string {
	force := "" // what writes a handle is refused in observe mode without it
	if r.observed {
		force = " --force observe"
	}
	switch r.Condition {
	case policy.Ours.String():
		return "the handles are as reattach wrote them"
	case policy.Outdated.String():
		return "protected as ever; reattach refresh " + r.Name + force + " --reason … writes the new spelling"
	case policy.Unmanaged.String():
		return "the daemon will adopt what is there"
	case policy.Moved.String():
		return "the daemon will adopt it"
	case policy.Empty.String():
		return "created where bootstrap = true, once the first endpoint is up; else reattach restore " + r.Name + " --to ENDPOINT" + force + " --reason …"
	case policy.Foreign.String():
		return "never overwritten; a person says reattach adopt or restore " + r.Name + " --to ENDPOINT --reason …" + force
	case policy.Deleted.String():
		return "never recreated by itself; reattach restore " + r.Name + " --to ENDPOINT" + force + " --reason …"
	}
	return ""
}
