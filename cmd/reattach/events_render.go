package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/reattach/reattach/failover"
)

// noticeList shows notices below each other, also those that come later: on a
// terminal the day, where it changes, and a paragraph for each; elsewhere a line for
// each, with its date, as grep and logs want it.
type noticeList struct {
	paint    paint
	width    int  // of the terminal; 0: none
	next     bool // show what to type, where it wants a person
	day      string
	resource int // columns of the longest name so far
}

const (
	clockFormat = "15:04:05.000"
	dayFormat   = "2006-01-02"
)

func (l *noticeList) render(told []failover.Told) string {
	for _, t := range told {
		l.resource = max(l.resource, utf8.RuneCountInString(subject(t)))
	}
	var b strings.Builder
	for _, t := range told {
		if l.width == 0 {
			l.line(&b, t)
			continue
		}
		if day := t.At.UTC().Format(dayFormat); day != l.day {
			l.day = day
			b.WriteString(l.paint.in(bold, day+" UTC") + "\n")
		}
		l.notice(&b, t)
	}
	return b.String()
}

// subject is what a notice is about.
func subject(t failover.Told) string {
	if t.Resource == "" {
		return "-"
	}
	return clean(t.Resource)
}

// line shows a notice in one line.
func (l *noticeList) line(b *strings.Builder, t failover.Told) {
	word, c := severityWord(t.Notice)
	name := subject(t)
	fmt.Fprintf(b, "%s  %s%s%s%s%s", t.At.UTC().Format(dayFormat+" "+clockFormat), l.paint.in(c, word), strings.Repeat(" ", len("critical")-len(word)+2),
		name, strings.Repeat(" ", l.resource-utf8.RuneCountInString(name)+2), clean(strings.TrimPrefix(t.Text, t.Resource+": ")))
	if l.wants(t) {
		b.WriteString("  next: " + clean(t.Next))
	}
	b.WriteString("  " + clean(t.Event+"; "+deliveriesText(t)) + "\n")
}

// wants reports whether what to type is shown with a notice.
func (l *noticeList) wants(t failover.Told) bool {
	return l.next && t.Next != "" && !t.Over && t.Severity() > failover.Info
}

func (l *noticeList) notice(b *strings.Builder, t failover.Told) {
	word, c := severityWord(t.Notice)
	name := subject(t)
	gap := strings.Repeat(" ", l.resource-utf8.RuneCountInString(name)+2)
	column := len(clockFormat) + 2 + len("critical") + 2 + l.resource + 2
	room := min(max(screenColumns, column+40), max(l.width, column+20))
	b.WriteString(t.At.UTC().Format(clockFormat) + "  " + l.paint.in(c, word) + strings.Repeat(" ", len("critical")-len(word)+2) + l.paint.in(bold, name) + gap)
	indent := ""
	add := func(c ink, text string) {
		for _, line := range fold(clean(text), room-column) {
			b.WriteString(indent + l.paint.in(c, line) + "\n")
			indent = strings.Repeat(" ", column)
		}
	}
	add(plain, strings.TrimPrefix(t.Text, t.Resource+": "))
	if l.wants(t) {
		add(bold, "next: "+t.Next)
	}
	add(dim, t.Event+"; "+deliveriesText(t))
}

// severityWord is how much a notice wants of a person.
func severityWord(n failover.Notice) (string, ink) {
	switch {
	case n.Over:
		return "over", green
	case n.Acked:
		return "acked", green
	case n.Severity() == failover.Critical:
		return "critical", red
	case n.Severity() == failover.Warning:
		return "warning", yellow
	}
	return n.Severity().String(), plain
}

// deliveriesText says what became of a notice at each destination.
func deliveriesText(t failover.Told) string {
	if t.Teller != "" {
		return "told by " + t.Teller
	}
	if len(t.Deliveries) == 0 {
		return "only logged"
	}
	var parts []string
	order := []string{"sent", "pending", "waiting", "dead"}
	sorted := slices.Clone(t.Deliveries)
	slices.SortStableFunc(sorted, func(a, b failover.Delivery) int {
		return slices.Index(order, a.State) - slices.Index(order, b.State)
	})
	for _, d := range sorted {
		parts = append(parts, deliveryText(d, t.At))
	}
	return strings.Join(parts, "; ")
}

func deliveryText(d failover.Delivery, told time.Time) string {
	at := d.At.UTC().Format(clockFormat)
	if day := d.At.UTC().Format(dayFormat); day != told.UTC().Format(dayFormat) {
		at = day + " " + at
	}
	text := ""
	switch d.State {
	case "sent":
		return fmt.Sprintf("sent %s to %s", at, d.Notifier)
	case "dead":
		text = fmt.Sprintf("given up %s for %s", at, d.Notifier)
	case "waiting":
		text = "waits with the rest of its storm for " + d.Notifier
	default:
		text = d.State + " for " + d.Notifier
	}
	if d.Error != "" {
		text += ": " + d.Error
	}
	return text
}

// fold breaks text into lines of n columns at most, between words where it can.
func fold(text string, n int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= n {
			line += " " + word
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		for line = word; utf8.RuneCountInString(line) > n; line = string([]rune(line)[n:]) {
			lines = append(lines, string([]rune(line)[:n]))
		}
	}
	return append(lines, line)
}
