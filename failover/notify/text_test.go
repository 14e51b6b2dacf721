package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

var (
	noon  = time.Date(2026, 3, 1, 12, 0, 15, 107e6, time.UTC)
	began = noon.Add(-10*time.Second - 6*time.Millisecond)
)

// notices is one of each kind, as an engine words them, and some ends.
func notices() []failover.Notice {
	gates := []policy.Passage{{Gate: "paused", Open: true, Why: "nobody paused it"}, {Gate: "class", Open: true, Why: "primary is down (timeout)"}}
	shut := append(gates[:1:1], policy.Passage{Gate: "damping", Why: "3 of 3 automatic switches in the last hour"},
		policy.Passage{Gate: "quorum", Waived: true, Why: "0 of 1 observers say it is down; 1 needed"})
	all := []failover.Notice{
		{Event: "suspect", Resource: "orders-db", From: "primary", Class: "timeout", Phase: "greeting", Text: "orders-db: a probe of primary failed (timeout in the phase greeting); it is being examined."},
		{Event: "failover", Resource: "orders-db", Urgent: true, From: "primary", To: "standby", Class: "timeout", Phase: "greeting", Since: began, Gates: gates,
			Outage: "orders-db/1.20260301T120005Z", Lasts: true, Why: "primary was down (timeout), standby was up",
			Text: "orders-db: failover from primary to standby: primary was down (timeout), standby was up. primary had been failing since 12:00:05Z.", Next: "reattach explain orders-db"},
		{Event: "held", Resource: "orders-db", Urgent: true, From: "primary", To: "standby", Class: "refused", Phase: "connect", Since: began, Gates: shut, Gate: "damping",
			Why:  "3 of 3 automatic switches in the last hour",
			Text: "orders-db: failover is held by the gate damping: 3 of 3 automatic switches in the last hour.", Next: "reattach ack orders-db --reason …"},
		{Event: "would_fail_over", Resource: "orders-db", From: "primary", To: "standby", Code: "1040", Class: "refused",
			Text: "orders-db: would make the failover to standby now; the mode is observe.", Next: "reattach explain orders-db"},
		{Event: "not_protected", Resource: "orders-db", From: "standby", Gate: "candidate", Since: began,
			Text: "orders-db has not been protected since 12:00:05Z: if standby died now, nothing would be switched: primary is tainted.", Next: "reattach clear orders-db primary --reason …"},
		{Event: "old_primary_writable", Resource: "orders-db", Urgent: true, From: "primary", To: "standby", Text: "orders-db: primary, which was left, answers and takes writes.", Next: "reattach clear orders-db primary --reason …"},
		{Event: "split_writes", Resource: "orders-db", Urgent: true, From: "primary", To: "standby", Why: "its own log went from 0-1-21 to 0-1-41",
			Text: "orders-db: primary is written to: its own log went from 0-1-21 to 0-1-41, and 3 clients are connected to it.", Next: "reattach explain orders-db"},
		{Event: "left_work", Resource: "queue", From: "rabbit-a", To: "rabbit-b", Text: "queue: rabbit-a may hold work that nobody fetches now.", Next: "rabbitmqadmin list queues"},
		{Event: "another_writer", Resource: "orders-db", Text: "orders-db: somebody else keeps writing its handles.", Next: "reattach explain orders-db"},
		{Event: "switchover", Resource: "orders-db", From: "standby", To: "primary", Why: "a person asked for it", Text: "orders-db: switchover from standby to primary: maintenance."},
		{Event: "refresh", Resource: "orders-db", From: "primary", To: "primary", Text: "orders-db: refresh to primary: the password was rotated."},
		{Event: "adopted", Resource: "orders-db", From: "primary", To: "standby", Text: "orders-db: somebody else led it from primary to standby; it was taken as it is."},
		{Event: "blind", Since: began, Text: "This observer has no file descriptors left: it judges nobody.", Next: "reattach doctor"},
		{Event: "store_lost", Since: began, Text: "The store does not answer: nothing can be switched.", Next: "reattach doctor"},
		{Event: "certificate", Resource: "orders-db", From: "primary", Text: "orders-db: the certificate of primary expires on 2026-03-08."},
		{Event: "config_not_reloaded", Text: "The new configuration was not taken: orders.hcl:4:3: no such setting.", Next: "reattach check /etc/reattach"},
		{Event: "test", Text: "This is a test of the notifier ops."},
		{Event: "recovered", Resource: "orders-db", From: "primary", To: "standby", Over: true, Since: began.Add(-2 * time.Minute), Outage: "orders-db/1.20260301T120005Z",
			Text: "orders-db is protected again: if standby died now, it would go to primary."},
		{Event: "held", Resource: "orders-db", Over: true, Since: began, Text: "orders-db: nothing is held any more."},
		{Event: "failover", Resource: "orders-db", Over: true, Acked: true, Since: began, Text: "orders-db: acknowledged by ann: I am on it."},
	}
	for i := range all {
		n := &all[i]
		n.At, n.Observer = noon, "obs-a"
		if n.Key = n.Event; n.Resource != "" {
			n.Key = n.Resource + "/2." + n.Event
		}
	}
	return all
}

// TestText shows each kind of notice as people read it.
func TestText(t *testing.T) {
	var b strings.Builder
	show := func(m Message) {
		m.Runbook = "https://example.test/runbook.md"
		fmt.Fprintf(&b, "%s\n\n%s\n%s\n\n", Title(m), Text(m), strings.Repeat("-", 100))
	}
	for _, n := range notices() {
		show(Message{Matter: n.Matter(), Notices: []failover.Notice{n}, Over: n.Over})
	}
	golden(t, "text/single.golden", b.String())
	b.Reset()
	storm := Message{Matter: "storm/r1/2.held"}
	for i := range 45 {
		n := notices()[2-i%4/3]
		n.Text = strings.ReplaceAll(n.Text, "orders-db", fmt.Sprintf("r%d", i))
		n.Resource, n.At = fmt.Sprintf("r%d", i), n.At.Add(time.Duration(i)*37*time.Millisecond)
		storm.Notices = append(storm.Notices, n)
	}
	show(storm)
	for i := range storm.Notices {
		n := &storm.Notices[i]
		n.Event, n.Over, n.At, n.Text = "recovered", true, n.At.Add(time.Hour), n.Resource+" is protected again."
	}
	storm.Over = true
	storm.Notices = storm.Notices[:7]
	show(storm)
	golden(t, "text/storm.golden", b.String())
}

// TestTextHasEveryKind: a new kind of notice gets words of its own.
func TestTextHasEveryKind(t *testing.T) {
	for _, k := range failover.EventKinds() {
		n := failover.Notice{Event: k.Name, Gate: "candidate"}
		if got := headline(n); got == strings.ReplaceAll(k.Name, "_", " ") {
			t.Errorf("%s: the title says only %q", k.Name, got)
		}
	}
}

// TestTitleSaysWhy: a pager shows the title alone, and nobody who is woken knows
// the gates by name.
func TestTitleSaysWhy(t *testing.T) {
	for _, gate := range policy.Gates() {
		for _, event := range []string{"held", "not_protected"} {
			n := failover.Notice{Event: event, Resource: "orders-db", Gate: gate.Name, Why: "primary answers auth 1045: the server is alive; so it stays"}
			title := Title(Message{Notices: []failover.Notice{n}})
			if strings.Contains(title, "gate") || strings.Contains(title, "_") || strings.Count(title, ": ") != 2 {
				t.Errorf("%s by %s: %s", event, gate.Name, title)
			}
		}
	}
	for _, c := range []struct{ gate, why, want string }{
		{"class", "primary answers auth 1045: the server is alive and rejects our credentials; a standby would mostly do the same", "not switched: primary answers auth 1045"},
		{"class", "primary is suspect (refused), not down yet", "not switched: primary is suspect (refused), not down yet"},
		{"class", "p answers " + strings.Repeat("ä", 200), "not switched: p answers " + strings.Repeat("ä", titleReason-11) + "…"},
		{"class", "", "not switched"},
		{"candidate", "no standby can take over: standby: tainted", "not switched: no standby can take over"},
		{"mass_failure", "4 of 6 attached addresses failed within 10s", "not switched: half of everything failed at once"},
		{"", "", "not switched"},
	} {
		if got := headline(failover.Notice{Event: "held", Gate: c.gate, Why: c.why}); got != c.want {
			t.Errorf("%s, %s: %q, want %q", c.gate, c.why, got, c.want)
		}
	}
}
