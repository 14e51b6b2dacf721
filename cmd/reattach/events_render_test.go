package main

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/reattach/reattach/failover"
)

// tellings are the notices of an outage at midnight, as a journal keeps them.
func tellings() []failover.Told {
	midnight := noon.Truncate(24 * time.Hour)
	at := func(d time.Duration) time.Time { return midnight.Add(d) }
	sent := func(name string, d time.Duration) failover.Delivery {
		return failover.Delivery{Notifier: name, State: "sent", At: at(d)}
	}
	return []failover.Told{
		{Seq: 40, Notice: failover.Notice{Key: "k40", Event: "suspect", Resource: "orders-db", At: at(-3 * time.Second), Text: "orders-db: primary refuses connections, and is being examined."}},
		{
			Seq: 41, Notice: failover.Notice{Key: "k41", Event: "held", Urgent: true, Resource: "orders-db", At: at(-2 * time.Second), Next: "reattach clear orders-db standby --reason TEXT",
				Text: "orders-db: primary is down, and the failover to standby is held by the gate candidate: no standby can take over: standby: tainted: it was left by the failover of 2026-02-28 08:40:00Z."},
			Deliveries: []failover.Delivery{sent("ops-chat", -1700*time.Millisecond), {Notifier: "mail", State: "pending", Error: "451 4.3.0 try again later"}, {Notifier: "pager", State: "dead", At: at(24 * time.Hour), Error: "403 Forbidden"}},
		},
		{
			Seq: 42, Notice: failover.Notice{Key: "k42", Event: "failover", Urgent: true, Lasts: true, Resource: "orders-db", At: at(90 * time.Second), From: "primary", To: "standby", Next: "reattach explain orders-db",
				Text: "orders-db: failover from primary to standby: primary was down (refused), standby was up."},
			Deliveries: []failover.Delivery{{Notifier: "mail", State: "pending"}, sent("ops-chat", 90*time.Second+312*time.Millisecond)},
		},
		{Seq: 43, Notice: failover.Notice{Key: "k43", Event: "not_protected", Resource: "mail", At: at(2 * time.Minute), Acked: true, Text: "mail: nobody would take over."}, Deliveries: []failover.Delivery{sent("ops-chat", 2*time.Minute+time.Second)}},
		{Seq: 44, Notice: failover.Notice{Key: "store_lost", Event: "store_lost", Urgent: true, Over: true, At: at(3 * time.Minute), Text: "The store answers again; what was seen meanwhile is void, and fresh evidence decides."}, Deliveries: []failover.Delivery{sent("ops-chat", 3*time.Minute+time.Millisecond)}},
	}
}

func TestEventsRendered(t *testing.T) {
	all := tellings()
	list := noticeList{width: 200}
	once := list.render(all)
	golden(t, "events", once)
	golden(t, "events-follow", (&noticeList{width: 200, next: true}).render(all[1:3]))
	golden(t, "events-narrow", (&noticeList{width: 72}).render(all[:3]))
	parts := noticeList{width: 200}
	if later := parts.render(all[:3]) + parts.render(all[3:]); later != once {
		t.Errorf("shown in two parts it is another text:\n%s", later)
	}
	for line := range strings.Lines(once) {
		if n := utf8.RuneCountInString(line) - 1; n > screenColumns {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// TestEventsPiped: what is no terminal gets a line for each notice, which begins with
// its date.
func TestEventsPiped(t *testing.T) {
	all := tellings()
	all[0].Text += "\nA second line."
	got := (&noticeList{next: true}).render(all)
	golden(t, "events-piped", got)
	if strings.Count(got, "\n") != len(all) {
		t.Errorf("%d notices are\n%s", len(all), got)
	}
	for line := range strings.Lines(got) {
		if _, err := time.Parse(dayFormat+" "+clockFormat, line[:min(len(line), len(dayFormat+" "+clockFormat))]); err != nil {
			t.Errorf("%v: %s", err, line)
		}
	}
}

func TestFold(t *testing.T) {
	for _, c := range []struct {
		text string
		n    int
		want []string
	}{
		{"", 5, []string{""}},
		{"one two three", 7, []string{"one two", "three"}},
		{"one two three", 13, []string{"one two three"}},
		{"abcdefghij kl", 4, []string{"abcd", "efgh", "ij", "kl"}},
		{"äöü ß", 3, []string{"äöü", "ß"}},
	} {
		if got := fold(c.text, c.n); !slices.Equal(got, c.want) {
			t.Errorf("fold(%q, %d) = %q, want %q", c.text, c.n, got, c.want)
		}
	}
}

func notifiers() []failover.NotifierStatus {
	return []failover.NotifierStatus{
		{Name: "mail", Kind: "email", Severity: "critical", Events: []string{"failover", "held"}, Pending: 2, Oldest: ago(4 * time.Minute), Sent: 3, Dead: 1, Error: "451 4.3.0 try again later"},
		{Name: "ops-chat", Kind: "slack", Severity: "info", Sent: 128, LastOK: ago(time.Minute)},
		{Name: "pager", Kind: "pagerduty", Severity: "critical", Dead: 12},
	}
}

func TestNotifiersRendered(t *testing.T) {
	s := status()
	s.Notifiers = notifiers()
	golden(t, "notifiers", renderNotifiers(paint{}, 0, s))
	golden(t, "notifiers-none", renderNotifiers(paint{}, 0, failover.Status{}))
	golden(t, "status-notifiers", statusView{}.render(s))
}
