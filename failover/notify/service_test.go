package notify

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// service is a stand-in for a closed service: it takes what its published rules
// allow, answers as it documents, and keeps what it took.
type service struct {
	*httptest.Server
	rules  rule
	accept func(w http.ResponseWriter)
	refuse func(w http.ResponseWriter, wrong []string)

	mu     sync.Mutex
	next   func(w http.ResponseWriter) // answers the next request instead
	bodies []string                    // as they were taken
}

func newService(t *testing.T, rules rule, accept func(http.ResponseWriter), refuse func(http.ResponseWriter, []string)) *service {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	s := &service{rules: rules, accept: accept, refuse: refuse}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next := s.next; next != nil {
		s.next = nil
		next(w)
		return
	}
	body, _ := io.ReadAll(r.Body)
	var v any
	switch err := json.Unmarshal(body, &v); {
	case r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json":
		s.refuse(w, []string{"no POST of application/json"})
	case err != nil:
		s.refuse(w, []string{err.Error()})
	default:
		if wrong := s.rules.check("event", v); wrong != nil {
			s.refuse(w, wrong)
			return
		}
		s.bodies = append(s.bodies, string(body))
		s.accept(w)
	}
}

// answer has the next request answered with a status, a text and a header.
func (s *service) answer(status int, text, header, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = func(w http.ResponseWriter) {
		if header != "" {
			w.Header().Set(header, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

// last is what was taken last, indented.
func (s *service) last(t *testing.T) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.bodies) == 0 {
		t.Fatal("nothing was taken")
	}
	var v any
	if err := json.Unmarshal([]byte(s.bodies[len(s.bodies)-1]), &v); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

const runbookPage = "https://runbook.test/reattach.md"

var morning = time.Date(2026, 3, 14, 3, 7, 12, 345e6, time.UTC)

// outage is how one failover is told: held, made, and over.
func outage() []failover.Notice {
	gates := []policy.Passage{{Gate: "paused", Open: true, Why: "nobody paused it"}, {Gate: "class", Open: true, Why: "refused is evidence"},
		{Gate: "damping", Open: false, Waived: true, Why: "3 switches within an hour"}}
	return []failover.Notice{
		{Key: "orders-db/7.1.held.quorum", Event: "held", Urgent: true, Resource: "orders-db", Outage: "orders-db/7.1", Lasts: true, Observer: "eu-1",
			At: morning, Since: morning.Add(-9 * time.Second), From: "primary", To: "standby", Gate: "quorum", Class: "refused", Phase: "dial",
			Why:  "1 of 3 observers finds primary down",
			Text: "orders-db: the failover to standby is held by the gate quorum: 1 of 3 observers finds primary down.", Next: "reattach explain orders-db"},
		{Key: "orders-db/8.failover", Event: "failover", Urgent: true, Resource: "orders-db", Outage: "orders-db/7.1", Lasts: true, Observer: "eu-1",
			At: morning.Add(4 * time.Second), Since: morning.Add(-9 * time.Second), From: "primary", To: "standby",
			Why: "primary refuses connections", Class: "refused", Phase: "dial", Code: "1040", Gates: gates,
			Text: "orders-db: failover from primary to standby: primary refuses connections.", Next: "reattach clear orders-db primary --reason …"},
		{Key: "orders-db/8.failover", Event: "recovered", Resource: "orders-db", Outage: "orders-db/7.1", Over: true, Observer: "eu-1",
			At: morning.Add(time.Hour), Since: morning.Add(-9 * time.Second), From: "primary", To: "standby",
			Text: "orders-db: it is protected again: primary is a standby now. It lasted 1h0m9s."},
	}
}

// message is a message of one notice.
func message(n failover.Notice) Message {
	return Message{Matter: n.Matter(), Notices: []failover.Notice{n}, Over: n.Over, Runbook: runbookPage}
}

// manyOutages is many outages at once.
func manyOutages(n int) Message {
	m := Message{Matter: "storm/r0/1.1", Runbook: runbookPage}
	for i := range n {
		name := "r" + string(rune('0'+i%10)) + strings.Repeat("x", i/10)
		m.Notices = append(m.Notices, failover.Notice{Key: name + "/2.failover", Event: "failover", Urgent: i > 0, Resource: name, Outage: name + "/1.1",
			Lasts: true, At: morning.Add(time.Duration(i) * time.Millisecond), Text: name + ": failover from a to b: a is silent.", Observer: "eu-1"})
	}
	return m
}

// odd are messages that people, databases and mischief can bring about.
func odd() map[string]Message {
	all := map[string]Message{"a storm": manyOutages(12), "a great storm": manyOutages(300)}
	for name, text := range map[string]string{
		"empty":     "",
		"mentions":  "<!channel> & <https://evil.test|click> `rm` *bold* @here",
		"controls":  "line\r\nBcc: all@lab.test\x00\x1b[31m\u2028end",
		"not UTF-8": "caf\xe9 \xff",
		"wide":      strings.Repeat("\U0001F600", 5000),
		"long":      strings.Repeat("the server is gone away & ", 1000),
		"entities":  strings.Repeat("<&>", 3000),
	} {
		n := outage()[1]
		n.Text, n.Why, n.From, n.Next, n.Code, n.Observer, n.Gate, n.Resource = text, text, text, text, text, text, text, text
		n.Gates = append(n.Gates, policy.Passage{Gate: text, Why: text})
		n.Outage += text
		all[name] = message(n)
	}
	return all
}

// send sends with a bound.
func send(t *testing.T, s Sender, m Message) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return s.Send(ctx, m)
}

// mustSend sends, and fails the test if it is not taken.
func mustSend(t *testing.T, s Sender, m Message) {
	t.Helper()
	if err := send(t, s, m); err != nil {
		t.Fatalf("%s: %v", m.Matter, err)
	}
}
