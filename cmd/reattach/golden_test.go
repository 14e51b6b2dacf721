package main

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// update writes golden files and scripts anew: review what changes.
var update = flag.Bool("update", false, "write golden files anew")

const secret = "s3cr3t-of-orders"

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func golden(t *testing.T, name, got string) {
	t.Helper()
	if strings.Contains(got, secret) {
		t.Errorf("a secret is shown:\n%s", got)
	}
	for line := range strings.Lines(got) {
		if line != strings.TrimRight(line, " \n")+"\n" {
			t.Errorf("white space at the end of %q", line)
		}
	}
	path := filepath.Join("testdata", "golden", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got (go test -update writes it anew):\n%s", diff)
	}
}

func mustURL(s string) probe.URL {
	u, err := probe.ParseURL(s)
	if err != nil {
		panic(err)
	}
	return u
}

func ago(d time.Duration) time.Time { return noon.Add(-d) }

func orders() failover.ResourceStatus {
	since := ago(3*time.Hour + 20*time.Minute)
	why := "no standby can take over: standby: tainted: it was left by the failover of 2026-03-01 08:40:00Z"
	return failover.ResourceStatus{
		Name: "orders-db", Protocol: "mysql", Mode: "act", Activity: "hold", Condition: "ours", Attached: "primary", Epoch: 7, Since: &since, Why: "primary itself is down",
		Hold:   &failover.Hold{Kind: policy.Failover, Gate: "candidate", Why: why, Since: ago(4 * time.Minute)},
		Outage: &failover.Outage{Key: "orders-db/7", Since: ago(4*time.Minute + 10*time.Second)},
		Endpoints: []failover.EndpointStatus{
			{Name: "primary", URL: mustURL("mysql://app:" + secret + "@db1.internal:3306/orders"), Attached: true, State: policy.Down, Since: ago(4 * time.Minute),
				Class: probe.Refused, Phase: probe.PhaseConnect, Err: "connection refused", LatencyS: .0003, Addr: "10.0.0.7:3306"},
			{Name: "standby", URL: mustURL("mysql://app:" + secret + "@db2.internal:3306/orders"), State: policy.Up, Since: ago(50 * time.Hour), Class: probe.OK, LatencyS: .0021,
				Addr: "10.0.0.8:3306", Tainted: "it was left by the failover of 2026-03-01 08:40:00Z",
				Facts: probe.Facts{"version": "11.8.2-MariaDB", "uptime": 180000.0, "writable": true, "tls_expiry": "2026-06-01T00:00:00Z"}},
		},
		Handles: []failover.HandleStatus{{Key: "production/DATABASE_URL", Index: 4711, Ours: true, Names: "primary"}, {Key: "production/JDBC_URL", Index: 4711, Ours: true, Names: "primary"}},
	}
}

func mail() failover.ResourceStatus {
	return failover.ResourceStatus{
		Name: "mail", Protocol: "smtp", Mode: "observe", Activity: "suspect", Condition: "unmanaged", Detail: "nothing is recorded yet", Attached: "relay-a",
		Why: "the handles are unmanaged: nothing is recorded yet", Paused: "by ana@ops: new relay (for another 1h0m0s)",
		Endpoints: []failover.EndpointStatus{
			{Name: "relay-a", URL: mustURL("submission://app:" + secret + "@mx1.internal"), Attached: true, State: policy.Suspect, Since: ago(2 * time.Second),
				Class: probe.Auth, Phase: probe.PhaseAuth, Code: "535 5.7.8", Err: "535 5.7.8 Error: authentication failed", LatencyS: .012},
			{Name: "relay-b", URL: mustURL("submission://app:" + secret + "@mx2.internal"), State: policy.Unknown, Drained: "by ana@ops: disk swap"},
		},
		Handles: []failover.HandleStatus{{Key: "production/SMTP_URL", Index: 12, Names: "relay-a"}},
	}
}

func sessions() failover.ResourceStatus {
	since := ago(53 * time.Hour)
	return failover.ResourceStatus{
		Name: "sessions", Protocol: "memcached", Mode: "act", Activity: "steady", Condition: "ours", Attached: "cache-1", Epoch: 1, Since: &since,
		Protected: true, Target: "cache-2", Why: "would go to cache-2",
		Endpoints: []failover.EndpointStatus{
			{Name: "cache-1", URL: mustURL("memcached://10.0.0.7:11211"), Attached: true, State: policy.Up, Since: since, Class: probe.OK, LatencyS: .0002},
			{Name: "cache-2", URL: mustURL("memcached://10.0.0.8:11211"), State: policy.Up, Since: since, Class: probe.OK, LatencyS: .00019},
		},
		Handles: []failover.HandleStatus{{Key: "production/CACHE_URL", Index: 13, Ours: true, Names: "cache-1"}},
	}
}

func status() failover.Status {
	return failover.Status{
		Observer: "mon-a", Zone: "az-1", Version: "v0.1.0", AsOf: noon, Resources: []failover.ResourceStatus{orders(), mail(), sessions()},
		Notices: []failover.Notice{
			{Key: "k0", Event: "bootstrap", Resource: "sessions", Text: "sessions: bootstrap to cache-1: cache-1 is up.", At: ago(53 * time.Hour), Next: "reattach explain sessions"},
			{Key: "k1", Event: "held", Urgent: true, Resource: "orders-db", Text: "this is told by the hold", Next: "reattach clear orders-db standby --reason TEXT", At: ago(4 * time.Minute)},
			{Key: "k2", Event: "another_writer", Urgent: true, Resource: "mail", Text: "mail: somebody else writes its handles.", At: ago(9 * time.Minute)},
			{Key: "k3", Event: "recovered", Text: "this is over", Over: true, At: noon},
		},
	}
}

func TestStatus(t *testing.T) {
	blind := status()
	blind.Blind, blind.Paused = "the store has not answered for 12 s", "by ana@ops: network work"
	one := status()
	one.Resources, one.Notices = one.Resources[:1], nil
	golden(t, "status", statusView{}.render(status()))
	golden(t, "status-blind", statusView{}.render(blind))
	golden(t, "status-one", statusView{all: true}.render(one))
	golden(t, "status-none", statusView{}.render(failover.Status{Observer: "mon-a", AsOf: noon}))
	narrow := statusView{width: 80}.render(status())
	golden(t, "status-narrow", narrow)
}

// On a terminal colours are added and nothing else is.
func TestColoursChangeNoWord(t *testing.T) {
	plain, coloured := statusView{width: 100}.render(status()), statusView{width: 100, paint: paint{on: true}}.render(status())
	if plain == coloured {
		t.Error("there is no colour")
	}
	for _, c := range []ink{bold, dim, red, green, yellow} {
		coloured = strings.ReplaceAll(coloured, "\x1b["+string(c)+"m", "")
	}
	if got := strings.ReplaceAll(coloured, "\x1b[0m", ""); got != plain {
		t.Errorf("-plain +coloured:\n%s", cmp.Diff(plain, got))
	}
}

// A reason is typed by one person and shown to another: it must not write to his terminal.
func TestNoControlCharacters(t *testing.T) {
	const bad = "\x1b[2J\x1b]0;owned\x07\r\nnext line"
	s := status()
	s.Blind, s.Paused, s.Notices[0].Text, s.Notices[0].Next = bad, bad, bad, bad
	s.Resources[0].Paused, s.Resources[0].Why, s.Resources[0].Endpoints[0].Err = bad, bad, bad
	x := explanationOf(s.Resources[0], nil)
	x.Blind, x.History[0].Person, x.History[0].Reason = bad, "ana@ops", bad
	for name, text := range map[string]string{
		"status": statusView{all: true}.render(s), "explain": renderExplanation(paint{}, 0, x),
		"history": renderHistory(paint{}, 0, x.History, 0), "record": renderRecord(paint{}, 0, x.History[0]), "answer": renderAnswer(paint{}, failover.Answer{Text: bad, Hint: bad}),
	} {
		if strings.ContainsAny(text, "\x1b\x07\r") || strings.Contains(text, "\nnext line") {
			t.Errorf("%s: %q", name, text)
		}
	}
}

// gates is a decision on orders whose gate shut is closed.
func gates(shut string) policy.Decision {
	d := policy.Decision{At: ago(time.Second), Kind: policy.Failover, Candidates: []policy.Candidacy{
		{Endpoint: "primary", Reason: "attached", Why: "it is attached"},
		{Endpoint: "standby", Reason: "taint", Why: "tainted: it was left by the failover of 2026-03-01 08:40:00Z"},
	}}
	for _, g := range policy.Gates() {
		p := policy.Passage{Gate: g.Name, Open: g.Name != shut, Why: "a sentence that says why the gate " + g.Name + " is open, at some length because people want to know more"}
		d.Gates = append(d.Gates, p)
	}
	return d
}

func explanationOf(r failover.ResourceStatus, last *policy.Decision) failover.Explanation {
	x := failover.Explanation{Status: r, Observer: "mon-a", AsOf: noon, Last: last, IfDown: gates(""), Vote: &failover.Vote{Observer: "mon-a", Saw: []failover.EndpointVote{
		{Endpoint: "primary", State: policy.Down, Class: probe.Refused}, {Endpoint: "standby", State: policy.Up, Class: probe.OK},
	}}}
	for i := range 5 {
		x.History = append(x.History, failover.Record{Resource: r.Name, Epoch: uint64(7 - i), Kind: policy.Failover, From: "standby", To: "primary", Why: "standby was down (timeout), primary was up",
			At: ago(time.Duration(i+1) * 3 * time.Hour), Times: failover.Times{Total: 10.6}})
	}
	x.History[1].Kind, x.History[1].Person, x.History[1].Reason = policy.Switchover, "ana@ops", "kernel update"
	x.Told = tellings()[:3]
	slices.Reverse(x.Told)
	return x
}

func TestExplain(t *testing.T) {
	held, waived, crowd := gates("candidate"), gates(""), gates("candidate")
	waived.Gates[6].Waived = true
	unread := explanationOf(mail(), nil)
	unread.IfDown, unread.History, unread.Vote, unread.Blind = policy.Decision{}, nil, nil, "the store has not answered yet"
	observed := orders()
	observed.Hold = &failover.Hold{Kind: policy.Failover, Gate: "observe", Why: "the mode is observe; it would go to standby", Since: ago(time.Minute)}
	stepping, aborted := sessions(), sessions()
	fenced := failover.StepEnd{Step: "fence", Outcome: failover.StepOK, Attempt: 1, By: "mon-a", Seconds: 1.25}
	stepping.Activity, stepping.Operation, stepping.Steps = "steps", "the failover to standby, step promote runs", []failover.StepEnd{fenced}
	aborted.GivenUp = &failover.GivenUp{Kind: policy.Failover, To: "standby", Why: "promote failed: exit status 1", At: ago(3 * time.Minute),
		Steps: []failover.StepEnd{fenced, {Step: "promote", Outcome: failover.StepFailed, Why: "exit status 1", Attempt: 1, By: "mon-a", Seconds: 9}, {Step: "abort", Outcome: failover.StepOK, Attempt: 1, By: "mon-a", Seconds: 2}}}
	quorum := gates("quorum")
	for i := range quorum.Gates {
		quorum.Gates[i].Why = "as short as most are"
	}
	quorum.Gates[8].Why = "vetoed: mon-b finds primary up, and people want to know more"
	several := explanationOf(orders(), &quorum)
	several.Heard = []failover.Heard{
		{Vote: failover.Vote{Observer: "mon-b", Zone: "az-2", Saw: []failover.EndpointVote{{Endpoint: "primary", State: policy.Up}, {Endpoint: "standby", State: policy.Up}}}, At: ago(3 * time.Second)},
		{Vote: failover.Vote{Observer: "mon-c", Saw: []failover.EndpointVote{{Endpoint: "primary", State: policy.Down, Class: probe.Timeout}, {Endpoint: "standby", State: policy.Up, Class: probe.OK}}}, At: ago(time.Minute)},
	}
	many := orders()
	for range 20 {
		many.Endpoints = append(many.Endpoints, many.Endpoints[1])
		crowd.Candidates = append(crowd.Candidates, crowd.Candidates[1])
	}
	for name, x := range map[string]failover.Explanation{
		"explain-held":     explanationOf(orders(), &held),
		"explain-calm":     explanationOf(sessions(), &held), // what was held is history
		"explain-unread":   unread,
		"explain-observe":  explanationOf(observed, &waived),
		"explain-many":     explanationOf(many, &crowd),
		"explain-unwanted": explanationOf(mail(), nil),
		"explain-steps":    explanationOf(stepping, &held),
		"explain-given-up": explanationOf(aborted, &held),
		"explain-several":  several,
	} {
		got := renderExplanation(paint{}, 0, x)
		golden(t, name, got)
		if n := strings.Count(got, "\n"); n > screenLines {
			t.Errorf("%s: %d lines, more than a screen's %d", name, n, screenLines)
		}
		for line := range strings.Lines(got) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > screenColumns {
				t.Errorf("%s: %d columns, more than a screen's %d: %s", name, n, screenColumns, line)
			}
		}
		for line := range strings.Lines(renderExplanation(paint{}, 80, x)) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("%s: %d columns on a terminal that has 80: %s", name, n, line)
			}
		}
		if x.Status.Hold != nil && !strings.Contains(got, "know more") && name != "explain-observe" {
			t.Errorf("%s: the closed gate's sentence is cut", name)
		}
		for _, g := range x.IfDown.Gates {
			if !strings.Contains(got, "  "+g.Gate+" ") {
				t.Errorf("%s: the gate %s is not shown", name, g.Gate)
			}
		}
	}
}

func TestHistory(t *testing.T) {
	records := explanationOf(orders(), nil).History
	golden(t, "history", renderHistory(paint{}, 0, records, 3))
	records[0].Forced = []string{"taint", "damping"}
	narrow := renderHistory(paint{}, 80, records, 3)
	golden(t, "history-narrow", narrow)
	for line := range strings.Lines(narrow) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	golden(t, "history-none", renderHistory(paint{}, 0, nil, 3))
	if got := renderHistory(paint{}, 0, records, 0); strings.Count(got, "\n") != 6 {
		t.Errorf("not all is shown:\n%s", got)
	}
}

// TestRecord: a switch of the past shows what was kept of it, and nothing of what was not.
func TestRecord(t *testing.T) {
	plan := gates("")
	plan.Gates[6].Open, plan.Gates[6].Waived = false, true
	whole := failover.Record{Resource: "orders-db", Epoch: 8, Kind: policy.Failover, From: "primary", To: "standby", Why: "primary was down (refused), standby was up",
		By: "mon-a", Person: "ana@ops", Reason: "tired of waiting", Forced: []string{"damping"}, At: ago(time.Hour), Gates: plan.Gates, Candidates: plan.Candidates,
		Votes: []failover.Vote{{Observer: "mon-a", Zone: "east", Saw: []failover.EndpointVote{{Endpoint: "primary", State: policy.Down, Class: probe.Refused},
			{Endpoint: "standby", State: policy.Up, Class: probe.OK}}}, {Observer: "mon-b", Saw: []failover.EndpointVote{{Endpoint: "primary", State: policy.Suspect, Class: probe.Auth, Code: "1045"}}}},
		Steps: []failover.StepEnd{{Step: "fence", Outcome: failover.StepOK, Attempt: 1, By: "mon-a", Seconds: 0.25}, {Step: "promote", Outcome: failover.StepFailed, Why: "the replica lags", Attempt: 2, By: "mon-a", Seconds: 3},
			{Step: "after", Outcome: failover.StepRunning, Attempt: 1, By: "mon-b"}},
		Times: failover.Times{Detect: 10.1, Read: 0.002, Open: 0.003, Vote: 0.2, Total: 10.305}}
	bare := failover.Record{Resource: "sessions", Epoch: 1, Kind: policy.Bootstrap, To: "cache-1", Why: "cache-1 is up", By: "mon-a", At: ago(time.Hour)}
	for name, r := range map[string]failover.Record{"explain-epoch": whole, "explain-epoch-bare": bare} {
		got := renderRecord(paint{}, 0, r)
		golden(t, name, got)
		for line := range strings.Lines(got) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > screenColumns {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
		}
	}
	if _, err := recordOf([]failover.Record{bare}, "sessions", 2); err == nil {
		t.Error("an epoch that was never kept is found")
	}
}

func TestProbeResults(t *testing.T) {
	protocol, _ := protocolOf("mysql")
	target := probe.Target{URL: mustURL("mysql://app:" + secret + "@db1.internal/orders")}
	ok := probe.Result{Class: probe.OK, Phase: probe.PhaseRole, Began: ago(3 * time.Millisecond), Ended: noon, Addr: "10.0.0.7:3306", Addrs: []string{"10.0.0.6:3306", "10.0.0.7:3306"},
		Timings: probe.Timings{probe.PhaseResolve: 120 * time.Microsecond, probe.PhaseConnect: 300 * time.Microsecond, probe.PhaseTLS: 1200 * time.Microsecond, probe.PhaseAuth: 900 * time.Microsecond, probe.PhaseRole: 400 * time.Microsecond},
		Facts:   probe.Facts{"version": "11.8.2-MariaDB", "writable": true, "uptime": int64(180000), "tls_expiry": "2026-02-01T00:00:00Z", "unknown_fact": 1.5}}
	golden(t, "probe-ok", renderResult(paint{}, protocol, target, ok))
	for _, class := range probe.Classes()[1:] {
		if meanings[class] == "" {
			t.Errorf("the class %s has no meaning", class)
		}
	}
	var all strings.Builder
	for _, class := range probe.Classes()[1:] {
		r := probe.Result{Class: class, Phase: probe.PhaseAuth, Code: "1040", Err: "1040 Too many connections", Began: ago(time.Millisecond), Ended: noon, Timings: probe.Timings{probe.PhaseConnect: time.Millisecond}}
		all.WriteString(renderResult(paint{}, protocol, target, r) + "\n")
	}
	golden(t, "probe-classes", strings.TrimSuffix(all.String(), "\n"))
}
