package notify

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

const routingKey = "0123456789abcdef0123456789abcdef"

// pagerRules are the published rules of the Events API v2. Resolve and trigger
// are told apart, as a resolve needs its key and no payload.
func pagerRules() rule {
	text, link := rule{kind: "text"}, rule{kind: "text", format: "url"}
	detail := rule{kind: "string"}
	return rule{kind: "object", required: []string{"routing_key", "event_action", "dedup_key"}, props: map[string]rule{
		"routing_key":  {kind: "text", exact: 32},
		"event_action": {kind: "text", enum: []string{"trigger", "acknowledge", "resolve"}},
		"dedup_key":    {kind: "text", max: 255},
		"client":       text,
		"client_url":   link,
		"links": {kind: "array", items: &rule{kind: "object", required: []string{"href"}, props: map[string]rule{
			"href": link, "text": text}}},
		"payload": {kind: "object", required: []string{"summary", "source", "severity"}, props: map[string]rule{
			"summary":   {kind: "text", max: 1024},
			"source":    text,
			"severity":  {kind: "text", enum: []string{"critical", "error", "warning", "info"}},
			"timestamp": {kind: "text", format: "date-time"},
			"component": text, "group": text, "class": text,
			"custom_details": {kind: "object", free: true, items: &detail,
				props: map[string]rule{"gates": {kind: "array", items: &detail}, "others": {kind: "array", max: pagerNotices + 1, items: &detail}}},
		}},
	}}
}

func newPager(t *testing.T) (*service, *PagerDuty) {
	t.Helper()
	s := newService(t, pagerRules(),
		func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, `{"status":"success","message":"Event processed","dedup_key":"k"}`)
		},
		func(w http.ResponseWriter, wrong []string) {
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]any{"status": "invalid event", "message": "Event object is invalid", "errors": wrong})
		})
	p, err := NewPagerDuty(PagerDutyOptions{RoutingKey: routingKey, URL: probe.Secret(s.URL), Page: "http://eu-1.test:8420"})
	if err != nil {
		t.Fatal(err)
	}
	return s, p
}

// TestPagerDutyStory: one outage is triggered, changed and resolved by one key.
func TestPagerDutyStory(t *testing.T) {
	s, p := newPager(t)
	for i, name := range []string{"held", "failover", "recovered"} {
		mustSend(t, p, message(outage()[i]))
		golden(t, "pagerduty/"+name+".json", s.last(t))
	}
	mustSend(t, p, manyOutages(12))
	golden(t, "pagerduty/storm.json", s.last(t))
	var event struct {
		Action string `json:"event_action"`
		Key    string `json:"dedup_key"`
	}
	actions := ""
	for _, body := range s.bodies[:3] {
		if err := json.Unmarshal([]byte(body), &event); err != nil {
			t.Fatal(err)
		}
		if actions += event.Action + " "; event.Key != "orders-db/7.1" {
			t.Errorf("%s: the key is %q", event.Action, event.Key)
		}
	}
	if actions != "trigger trigger resolve " {
		t.Error(actions)
	}
}

// TestPagerDutyTakesOdd: whatever a notice holds, PagerDuty's rules are kept.
func TestPagerDutyTakesOdd(t *testing.T) {
	s, p := newPager(t)
	for name, m := range odd() {
		if err := send(t, p, m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		m.Over = true
		if err := send(t, p, m); err != nil {
			t.Errorf("%s, over: %v", name, err)
		}
	}
	for _, body := range s.bodies {
		if len(body) > 512<<10 {
			t.Errorf("an event of %d bytes", len(body))
		}
	}
}

// TestPagerDutyKeys: two long matters stay two, and one stays one.
func TestPagerDutyKeys(t *testing.T) {
	long := strings.Repeat("é", 200)
	a, b := shortKey(long+"a", pagerDedupKey), shortKey(long+"b", pagerDedupKey)
	if a == b || a != shortKey(long+"a", pagerDedupKey) || len(a) > pagerDedupKey || !strings.HasPrefix(a, "ééé") {
		t.Errorf("%q and %q", a, b)
	}
	if got := shortKey("orders-db/7.1", pagerDedupKey); got != "orders-db/7.1" {
		t.Error(got)
	}
}

// TestPagerDutyRefuses: what can be mended by waiting is tried again, nothing else.
func TestPagerDutyRefuses(t *testing.T) {
	s, p := newPager(t)
	for _, c := range []struct {
		status    int
		permanent bool
	}{{400, true}, {429, false}, {500, false}, {503, false}} {
		s.answer(c.status, "why: "+routingKey, "Retry-After", "7")
		err := send(t, p, message(outage()[1]))
		if err == nil || IsPermanent(err) != c.permanent {
			t.Errorf("%d: %v", c.status, err)
		}
		noSecret(t, err, routingKey, s.URL)
		var wait interface{ RetryAfter() time.Duration }
		if !errors.As(err, &wait) || wait.RetryAfter() != 7*time.Second {
			t.Errorf("%d: the wait is lost: %v", c.status, err)
		}
	}
	s.Close()
	if err := send(t, p, message(outage()[1])); err == nil || IsPermanent(err) {
		t.Errorf("nobody there: %v", err)
	}
	wrong := *p
	wrong.opt.RoutingKey = "short"
	s2, _ := newPager(t)
	wrong.opt.URL = probe.Secret(s2.URL)
	if err := send(t, &wrong, message(outage()[1])); !IsPermanent(err) || !strings.Contains(err.Error(), "routing_key") {
		t.Errorf("a key that is none: %v", err)
	}
}

func TestPagerDutyOptions(t *testing.T) {
	for _, opt := range []PagerDutyOptions{{}, {RoutingKey: routingKey, URL: "ftp://a/" + routingKey}, {RoutingKey: routingKey, URL: "http://\x00" + routingKey}} {
		_, err := NewPagerDuty(opt)
		if err == nil {
			t.Errorf("%v is taken", opt)
		}
		noSecret(t, err, routingKey)
	}
	p, err := NewPagerDuty(PagerDutyOptions{RoutingKey: routingKey})
	if err != nil || p.opt.URL != PagerDutyURL {
		t.Errorf("%v, %v", p, err)
	}
}

// noSecret fails if an error shows one of the texts.
func noSecret(t *testing.T, err error, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		if err != nil && strings.Contains(err.Error(), s) {
			t.Errorf("%q shows %q", err, s)
		}
	}
}
