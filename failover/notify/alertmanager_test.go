package notify

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/probe"
)

// alertRules are the published rules of POST /api/v2/alerts.
func alertRules() rule {
	text := rule{kind: "text"}
	at := rule{kind: "text", format: "date-time"}
	set := rule{kind: "object", free: true, items: &text}
	return rule{kind: "array", items: &rule{kind: "object", required: []string{"labels"}, props: map[string]rule{
		"labels": set, "annotations": set, "startsAt": at, "endsAt": at, "generatorURL": {kind: "text", format: "url"}}}}
}

func newAlerts(t *testing.T) *service {
	t.Helper()
	return newService(t, alertRules(), func(http.ResponseWriter) {}, func(w http.ResponseWriter, wrong []string) {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(wrong)
	})
}

func newAlertmanager(t *testing.T, urls ...string) *Alertmanager {
	t.Helper()
	opt := AlertmanagerOptions{Page: "http://eu-1.test:8420", Token: "tokentokentoken"}
	for _, u := range urls {
		opt.URLs = append(opt.URLs, probe.Secret(u))
	}
	a, err := NewAlertmanager(opt)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestAlertmanagerStory: what is posted for one outage.
func TestAlertmanagerStory(t *testing.T) {
	s := newAlerts(t)
	a := newAlertmanager(t, s.URL)
	for i, name := range []string{"held", "failover", "recovered"} {
		mustSend(t, a, message(outage()[i]))
		golden(t, "alertmanager/"+name+".json", s.last(t))
	}
	for name, m := range odd() {
		mustSend(t, a, m)
		if !strings.Contains(s.last(t), `"alertname": "Reattach"`) {
			t.Error(name)
		}
	}
}

// TestAlertmanagerStates: which alerts stand after which notices, and which end.
// A line is severity, matter, and "on", "event" (it ends by itself) or "end".
func TestAlertmanagerStates(t *testing.T) {
	n := outage()
	mild := n[0]
	mild.Urgent = false
	event := failover.Notice{Key: "orders-db/9.switchover", Event: "switchover", Resource: "orders-db", At: morning.Add(time.Minute), Text: "moved"}
	early := n[2]
	early.At = early.Since.Add(-time.Hour)
	raise, lower := message(n[1]), message(mild)
	for _, c := range []struct {
		name  string
		sends [][]Message
		want  string
	}{
		{"one outage", [][]Message{{message(n[0])}, {raise}, {message(n[2])}}, "critical on; critical on; critical end"},
		{"a matter grows severe", [][]Message{{lower}, {raise}, {lower}, {message(n[2])}}, "warning on; critical on, warning end; critical on; critical end"},
		{"repeated, both last", [][]Message{{lower, raise}, {lower, raise}}, "critical on; critical on"},
		{"an end after a restart", [][]Message{{message(n[2])}}, "info end, warning end, critical end"},
		{"an event", [][]Message{{message(event)}}, "info event"},
		{"begun and over at once", [][]Message{{raise, message(n[2])}}, "info end, warning end, critical end"},
		{"over and begun again", [][]Message{{message(n[2]), raise}}, "critical on"},
		{"an event within what lasts", [][]Message{{raise}, {{Matter: n[1].Matter(), Notices: []failover.Notice{event}}}}, "critical on; critical on"},
		{"an end by a clock that went back", [][]Message{{raise}, {message(early)}}, "critical on; critical end"},
		{"an end by another notice", [][]Message{{{Matter: "x", Notices: n[1:2]}}, {{Matter: "x", Notices: n[2:], Over: true}}}, "critical on; critical end"},
		{"a storm", [][]Message{{manyOutages(3)}}, "critical on, critical on, critical on"},
	} {
		s := newAlerts(t)
		a := newAlertmanager(t, s.URL)
		var got []string
		for _, ms := range c.sends {
			if err := a.SendAll(t.Context(), ms); err != nil {
				t.Fatal(err)
			}
			got = append(got, alertStates(t, s.bodies[len(s.bodies)-1]))
		}
		if got := strings.Join(got, "; "); got != c.want {
			t.Errorf("%s: %s, not %s", c.name, got, c.want)
		}
	}
}

func alertStates(t *testing.T, body string) string {
	t.Helper()
	var alerts []alert
	if err := json.Unmarshal([]byte(body), &alerts); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, a := range alerts {
		state := "end"
		switch {
		case a.EndsAt.IsZero():
			state = "on"
		case a.EndsAt.Equal(morning.Add(time.Minute + alertEvent)):
			state = "event"
		case a.EndsAt.Before(a.StartsAt):
			t.Errorf("it ends before it begins: %+v", a)
		}
		all = append(all, a.Labels["severity"]+" "+state)
	}
	return strings.Join(all, ", ")
}

// TestAlertmanagerCluster: all instances are told, one is enough, and one that
// hangs leaves the others their share of the time.
func TestAlertmanagerCluster(t *testing.T) {
	before := goleak.IgnoreCurrent()
	release := make(chan struct{})
	hang := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	s, s2 := newAlerts(t), newAlerts(t)
	a := newAlertmanager(t, hang.URL, gone.URL, s.URL, s2.URL+"/")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	for range 2 {
		if err := a.SendAll(ctx, []Message{message(outage()[1])}); err != nil {
			t.Error(err)
		}
	}
	if len(s.bodies) != 2 || len(s2.bodies) != 2 {
		t.Errorf("told %d and %d times", len(s.bodies), len(s2.bodies))
	}
	s.Close()
	s2.Close()
	err := a.SendAll(ctx, []Message{message(outage()[2])})
	if err == nil || IsPermanent(err) || !strings.Contains(err.Error(), "instance 4") {
		t.Errorf("nobody took it: %v", err)
	}
	noSecret(t, err, "tokentokentoken", s.URL)
	if a.known["orders-db/7.1"].severity != failover.Critical {
		t.Error("what was not taken is forgotten")
	}
	close(release)
	hang.Close()
	goleak.VerifyNone(t, before)
}

// TestAlertmanagerRefused: what every instance refuses is not tried again.
func TestAlertmanagerRefused(t *testing.T) {
	s := newAlerts(t)
	a := newAlertmanager(t, s.URL)
	for status, permanent := range map[int]bool{400: true, 401: true, 404: true, 429: false, 500: false, 502: false} {
		s.answer(status, "no, tokentokentoken", "", "")
		err := send(t, a, message(outage()[1]))
		if err == nil || IsPermanent(err) != permanent {
			t.Errorf("%d: %v", status, err)
		}
		noSecret(t, err, "tokentokentoken", s.URL)
	}
	s.answer(503, "", "Retry-After", "9")
	var wait interface{ RetryAfter() time.Duration }
	if err := send(t, a, message(outage()[1])); !errors.As(err, &wait) || wait.RetryAfter() != 9*time.Second {
		t.Errorf("the wait is lost: %v", err)
	}
	both := newAlertmanager(t, s.URL, s.URL+"/other")
	nothing := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	s.Config.Handler = nothing
	if err := send(t, both, message(outage()[1])); !IsPermanent(err) {
		t.Errorf("refused by all: %v", err)
	}
	for _, urls := range [][]probe.Secret{nil, {""}, {"ftp://secretsecret"}} {
		_, err := NewAlertmanager(AlertmanagerOptions{URLs: urls})
		if err == nil {
			t.Errorf("%d urls are taken", len(urls))
		}
		noSecret(t, err, "secretsecret")
	}
}
