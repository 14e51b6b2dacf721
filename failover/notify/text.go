package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
)

// Bounds of what people read.
const (
	titleNames  = 3  // resources that the title of a storm names
	titleReason = 80 // characters of a reason in a title
	textLines   = 40 // notices that the text of a storm lists
)

// Title is a message in one line: how severe, which resource, what happened.
func Title(m Message) string {
	if len(m.Notices) > 1 && len(named(m)) > 1 {
		return stormTitle(m)
	}
	n := leading(m)
	if m.Over {
		n = m.Notices[len(m.Notices)-1]
	}
	return grade(m) + " " + about(n) + ": " + headline(n)
}

// grade is a message's first word: what it asks of who reads it.
func grade(m Message) string {
	if !m.Over {
		return strings.ToUpper(worst(m).String())
	}
	if !slices.ContainsFunc(m.Notices, func(n failover.Notice) bool { return !n.Acked }) {
		return "ACKNOWLEDGED"
	}
	return "RECOVERED"
}

// about is what a notice is about: a resource, or the observer itself.
func about(n failover.Notice) string {
	switch {
	case n.Resource != "":
		return n.Resource
	case n.Observer != "":
		return "observer " + n.Observer
	}
	return "reattach"
}

// named lists what a message is about, each once, in its order.
func named(m Message) (all []string) {
	for _, n := range m.Notices {
		if name := about(n); !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

func stormTitle(m Message) string {
	names := named(m)
	list := strings.Join(names, ", ")
	if len(names) > titleNames {
		list = fmt.Sprintf("%s and %d more", strings.Join(names[:titleNames], ", "), len(names)-titleNames)
	}
	what := "resources"
	if slices.ContainsFunc(m.Notices, func(n failover.Notice) bool { return n.Resource == "" }) {
		what = "matters"
	}
	if m.Over {
		return fmt.Sprintf("%s %d %s: %s", grade(m), len(names), what, list)
	}
	return fmt.Sprintf("%s %d %s: %s: %s", grade(m), len(names), what, list, tally(m))
}

// tally counts the kinds of notice in a message, the most severe first.
func tally(m Message) string {
	counts := map[string]int{}
	for _, n := range m.Notices {
		counts[n.Event]++
	}
	var parts []string
	for _, k := range bySeverity() {
		if c := counts[k.Name]; c > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c, strings.ReplaceAll(k.Name, "_", " ")))
		}
	}
	return strings.Join(parts, ", ")
}

func bySeverity() []failover.EventKind {
	kinds := failover.EventKinds()
	slices.SortStableFunc(kinds, func(a, b failover.EventKind) int { return int(b.Severity - a.Severity) })
	return kinds
}

// headline is what happened, in a few words.
func headline(n failover.Notice) string {
	if n.Over {
		return ending(n)
	}
	switch n.Event {
	case "suspect":
		return or(n.From, "the attached endpoint") + " failed a probe" + brackets(evidence(n))
	case "failover", "switchover", "failback", "restore", "adopted":
		return past[n.Event] + way(n)
	case "refresh", "bootstrap":
		return past[n.Event]
	case "held":
		return "not switched" + because(n)
	case "would_fail_over":
		return "would fail over" + way(n) + " (observe mode)"
	case "not_protected":
		return "not protected" + because(n)
	case "old_primary_writable":
		return or(n.From, "the endpoint that was left") + " still takes writes"
	case "split_writes":
		return or(n.From, "the endpoint that was left") + " is written to, and is not attached"
	case "step_failed":
		if n.Urgent {
			return "two endpoints may take writes"
		}
		return "a step around its switch failed" + way(n)
	case "left_work":
		return or(n.From, "the endpoint that was left") + " may hold work that nobody fetches"
	}
	if text, ok := plain[n.Event]; ok {
		return text
	}
	return strings.ReplaceAll(n.Event, "_", " ")
}

// What the title of a switch says was done, and that of what has no more to say.
var (
	past = map[string]string{
		"failover": "failed over", "switchover": "moved", "failback": "went home", "restore": "its handles were written anew",
		"adopted": "somebody else moved it", "refresh": "its handles were spelt anew", "bootstrap": "its handles were created",
	}
	plain = map[string]string{
		"recovered": "protected again", "another_writer": "somebody else keeps writing its handles", "blind": "cannot judge anything",
		"quorum_margin": "no other observer may fail now", "quorum_lost": "too few observers are left, nothing is switched",
		"store_lost": "the store does not answer", "denied": "the store refuses what a switch needs", "rewound": "the store went back in time",
		"certificate": "a certificate expires soon", "config_not_reloaded": "the new configuration was not taken", "test": "a test",
		"order": "a person's order was carried out", "cleared": "an endpoint that was left is a standby again",
	}
)

// ending is how a matter ended, and after how long.
func ending(n failover.Notice) string {
	what := "it is over"
	switch {
	case n.Acked:
		what = "somebody looks after it"
	case n.Event == "recovered", n.Event == "not_protected":
		what = "all is well again"
	case n.Event == "held":
		what = "nothing is held any more"
	case n.Event == "blind":
		what = "it can judge again"
	case n.Event == "store_lost":
		what = "the store answers again"
	case n.Event == "denied":
		what = "the store lets it again"
	case n.Event == "config_not_reloaded":
		what = "the configuration is taken"
	}
	if d := lasted(n); d != "" {
		what += ", after " + d
	}
	return what
}

// lasted is how long a matter went on until n ended it; empty: not known.
func lasted(n failover.Notice) string {
	d := n.At.Sub(n.Since)
	switch {
	case n.Since.IsZero() || d <= 0:
		return ""
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func way(n failover.Notice) string {
	s := ""
	if n.From != "" && n.From != n.To {
		s = " from " + n.From
	}
	if n.To != "" {
		s += " to " + n.To
	}
	return s
}

// because is why nothing is switched, in words for somebody who never heard of
// gates. What the server says is more than we could, so the gate "class", which
// rests on it, speaks for itself.
func because(n failover.Notice) string {
	text := gateWords[n.Gate]
	if n.Gate == "class" {
		text, _, _ = strings.Cut(n.Why, ": ")
		text, _, _ = strings.Cut(text, "; ")
		text = clip(strings.TrimSuffix(text, "."), titleReason)
	}
	if text == "" {
		return ""
	}
	return ": " + text
}

// gateWords says of each gate but "class" what is the matter when it is closed.
var gateWords = map[string]string{
	"paused": "somebody paused it", "blind": "this observer cannot judge", "rewound": "the store went back in time",
	"ours": "its handles are not as reattach wrote them", "pace": "too many switches within a minute",
	"damping": "it goes back and forth", "step": "another operation is under way", "quorum": "the observers do not agree",
	"mass_failure": "half of everything failed at once", "candidate": "no standby can take over",
}

func brackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// Text is a message in several lines, for people to read and act on. It does not
// repeat the title.
func Text(m Message) string {
	var b strings.Builder
	if len(m.Notices) == 1 {
		single(&b, m.Notices[0], m.Runbook)
	} else {
		several(&b, m)
	}
	row(&b, "matter", m.Matter)
	return b.String()
}

// single tells all that a notice says.
func single(b *strings.Builder, n failover.Notice, page string) {
	fmt.Fprintf(b, "%s\n\n", n.Text)
	row(b, "from", n.From)
	row(b, "to", n.To)
	row(b, "why", n.Why)
	row(b, "seen", evidence(n))
	row(b, "gate", n.Gate)
	row(b, "gates", gateSummary(n.Gates))
	if !n.Since.IsZero() {
		row(b, "since", stamp(n.Since))
	}
	if n.Over {
		row(b, "lasted", lasted(n))
	}
	row(b, "at", stamp(n.At)+teller(n.Observer))
	row(b, "next", n.Next)
	row(b, "runbook", runbookLink(page, n.Event))
}

func teller(observer string) string {
	if observer == "" {
		return ""
	}
	return " by " + observer
}

// several tells each notice of a storm in short, and once what to do for each kind.
func several(b *strings.Builder, m Message) {
	for i, n := range m.Notices {
		if i == textLines {
			fmt.Fprintf(b, "… and %d more: `reattach status` shows all.\n", len(m.Notices)-textLines)
			break
		}
		fmt.Fprintf(b, "%s %s\n", n.At.UTC().Format("15:04:05.000"), n.Text)
	}
	b.WriteString("\n")
	first, last := m.Notices[0].At, m.Notices[len(m.Notices)-1].At
	row(b, "first", stamp(first))
	row(b, "last", stamp(last)+teller(m.Notices[0].Observer))
	if m.Over {
		return
	}
	row(b, "next", "reattach status")
	for _, event := range kinds(m) {
		row(b, "runbook", runbookLink(m.Runbook, event))
	}
}

// kinds lists the kinds of notice in a message, the most severe first.
func kinds(m Message) (all []string) {
	for _, k := range bySeverity() {
		if slices.ContainsFunc(m.Notices, func(n failover.Notice) bool { return n.Event == k.Name }) {
			all = append(all, k.Name)
		}
	}
	return all
}

// row writes one named value; further lines of it are set below the first.
func row(b *strings.Builder, name, value string) {
	if value == "" {
		return
	}
	fmt.Fprintf(b, "%-8s %s\n", name, strings.ReplaceAll(value, "\n", "\n"+strings.Repeat(" ", 9)))
}
