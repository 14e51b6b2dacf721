package failover_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/storetest"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// newWorld reads the "resource" lines:
//
//	resource NAME ENDPOINT… [key=value …]
//
// An ENDPOINT is NAME[@HOST][:PASSWORD]; its host is its first name.
func newWorld(t teller, story string) *world {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w := &world{t: t, out: &bytes.Buffer{}, now: start, start: start, store: storetest.NewModel(100), truth: map[string]probe.Class{}, booted: map[string]time.Time{}, answered: map[uint64]bool{},
		fate: map[failover.Purpose]func(failover.Transact, *failover.Answered) time.Duration{}, denied: map[failover.Purpose]bool{}, shut: map[string]bool{}, wreck: &wreckage{}}
	w.cfg = failover.Config{Observer: "mon-a", Zone: "az-1", Observers: []string{"mon-a"}}
	for line := range strings.Lines(story) {
		if words := strings.Fields(line); len(words) > 2 && words[0] == "resource" {
			w.cfg.Resources = append(w.cfg.Resources, defineResource(t, words[1], words[2:]))
		}
	}
	w.boot()
	return w
}

func defineResource(t teller, name string, words []string) *policy.Resource {
	r := &policy.Resource{Name: name, Veto: true, FailbackAfter: 10 * time.Minute,
		Protocol: probe.Protocol{Name: "mysql", Holds: true, Traits: probe.Traits{StoreOfData: true, Taints: true,
			FenceCommand: func(u probe.URL) string { return "set read_only on " + u.Host }}},
		Pace:  probe.Pace{Interval: time.Second, FreshInterval: 10 * time.Second, SuspectInterval: 100 * time.Millisecond},
		Judge: policy.Thresholds{Bad: 3, Of: 3, Rise: 2, Sustain: 10 * time.Second}}
	keys, same := 1, false
	for _, word := range words {
		key, value, set := strings.Cut(word, "=")
		if !set {
			r.Endpoints = append(r.Endpoints, defineEndpoint(t, name, word))
			continue
		}
		switch key {
		case "fence", "promote", "abort", "after":
			defineStep(t, r, key, value)
		case "before": // what a candidate must show before it is promoted
			r.Steps.Require = append(r.Steps.Require, require(t, value))
		case "proceed":
			r.Steps.Proceed = true
		case "sustain":
			r.Judge.Sustain, _ = time.ParseDuration(value)
		case "bootstrap":
			r.Bootstrap = value == "true"
		case "require":
			r.Require = append(r.Require, require(t, value))
		case "expect":
			r.Judge.Expect = append(r.Judge.Expect, require(t, value))
		case "failback":
			r.Failback = policy.FailbackAuto
		case "mode":
			r.Mode = policy.Observe
		case "handles":
			keys = int(value[0] - '0')
		case "same": // the last handle says the same of every endpoint
			same = true
		case "mass": // in a mass failure, too, it is switched
			r.MassFailure = policy.MassProceed
		case "cache":
			r.Protocol.Traits = probe.Traits{Taints: true, RestartClears: true}
		case "queue":
			r.Protocol.Traits = probe.Traits{LeftWork: true, LeftWorkCommand: func(probe.URL) string { return "rabbitmqctl list_queues" }}
		case "also":
			var c probe.Class
			if err := c.UnmarshalText([]byte(value)); err != nil {
				t.Fatal(err)
			}
			r.Judge.AlsoEvidence, r.Judge.AlsoSustain = []probe.Class{c}, 60*time.Second
		default:
			t.Fatalf("unknown setting %q", word)
		}
	}
	if r.Protocol.Traits.LeftWork { // as require and expect would have it
		for i := range r.Endpoints {
			r.Endpoints[i].Target.Wanted = []string{"queue(orders)", "queue(mail)", "queue(gone)"}
		}
	}
	for i := range keys {
		h := policy.Handle{Key: fmt.Sprintf("app/%s/URL%d", name, i)}
		for _, ep := range r.Endpoints {
			h.Values = append(h.Values, probe.Secret(ep.Target.URL.Reveal()))
		}
		if same && i == keys-1 {
			h.Values = slices.Repeat([]probe.Secret{"orders"}, len(r.Endpoints))
		}
		r.Handles = append(r.Handles, h)
	}
	return r
}

// require is a requirement on one of the facts that stories know.
func require(t teller, text string) policy.Requirement {
	q, err := policy.ParseRequirement(text, []probe.Fact{{Name: "writable", Type: "bool"}, {Name: "applied", Type: "bool"}, {Name: "lag", Type: "int64"}})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func defineEndpoint(t teller, resource, word string) policy.Endpoint {
	word, password, rotated := strings.Cut(word, ":")
	name, host, renamed := strings.Cut(word, "@")
	if !renamed {
		host = name
	}
	if !rotated {
		password = "secret"
	}
	u, err := probe.ParseURL("mysql://app:" + password + "@" + resource + "-" + host + ".internal:3306/orders")
	if err != nil {
		t.Fatal(err)
	}
	return policy.Endpoint{Name: name, Target: probe.Target{URL: u, Timeout: time.Second}}
}

// end shows what is left: the handles, and what a person would read.
func (w *world) end() {
	w.out.WriteString("\n")
	w.status()
	w.checkInvariants()
	if _, ok := w.t.(*random); ok {
		w.checkMended()
	}
}

// status shows what people see now.
func (w *world) status() {
	for _, r := range w.engine.Status(w.at(w.now)).Resources {
		fmt.Fprintf(w.out, "%s: %s, handles %s, attached %s, epoch %d, protected=%v: %s\n", r.Name, r.Activity, r.Condition, r.Attached, r.Epoch, r.Protected, r.Why)
		for _, ep := range r.Endpoints {
			fmt.Fprintf(w.out, "  endpoint %-8s %-8s %-12s tainted=%q drained=%q\n", ep.Name, ep.State, ep.Class, ep.Tainted, ep.Drained)
		}
		for _, h := range r.Handles {
			fmt.Fprintf(w.out, "  handle   %s names %q ours=%v\n", h.Key, h.Names, h.Ours)
		}
		if r.Hold != nil {
			fmt.Fprintf(w.out, "  held     %s by %s since %.3f: %s\n", r.Hold.Kind, r.Hold.Gate, r.Hold.Since.Sub(w.start).Seconds(), r.Hold.Why)
		}
		x, err := w.engine.Explain(w.at(w.now), r.Name)
		if err != nil {
			w.t.Fatal(err)
		}
		if x.Last != nil {
			fmt.Fprintf(w.out, "  last decision: %s to %q\n", x.Last.Kind, x.Target)
			for _, g := range x.Last.Gates {
				fmt.Fprintf(w.out, "    %-13s open=%-5v %s\n", g.Gate, g.Open, g.Why)
			}
		}
	}
}

// checkInvariants holds what is true at the end of every story.
func (w *world) checkInvariants() {
	all, err := w.store.Txn(context.Background(), []failover.Op{{Verb: failover.GetTree, Key: "reattach/"}})
	if err != nil {
		w.t.Fatal(err)
	}
	for id := uint64(1); id <= w.orders; id++ {
		if !w.answered[id] {
			w.t.Errorf("order %d was never answered", id)
		}
	}
	history := map[string][]failover.Record{}
	for _, entry := range all.Entries {
		if strings.HasPrefix(entry.Key, "reattach/ballot/") && strings.HasSuffix(entry.Key, "/_") {
			w.t.Errorf("a ballot is left open: %s", entry.Key)
		}
		if strings.Contains(string(entry.Value), "secret") {
			w.t.Errorf("%s holds a secret", entry.Key)
		}
		if strings.HasPrefix(entry.Key, "reattach/history/") {
			var rec failover.Record
			w.decode(entry, &rec)
			history[rec.Resource] = append(history[rec.Resource], rec)
		}
	}
	for name, recs := range history {
		w.checkHistory(name, recs)
	}
}

// checkHistory holds that each operation has one record, and that state is as
// the last one left it.
func (w *world) checkHistory(name string, recs []failover.Record) {
	ops := map[string]bool{}
	for _, rec := range recs {
		if ops[rec.Op] {
			w.t.Errorf("the operation %s of %s has two records", rec.Op, name)
		}
		ops[rec.Op] = true
		for _, seconds := range []float64{rec.Times.Detect, rec.Times.Read, rec.Times.Open, rec.Times.Vote, rec.Times.Total} {
			if seconds < 0 || seconds > time.Hour.Seconds() {
				w.t.Errorf("a stage of %s took %v s: %+v", rec.Op, seconds, rec.Times)
			}
		}
	}
	last := recs[len(recs)-1]
	reply, err := w.store.Txn(context.Background(), []failover.Op{{Verb: failover.Get, Key: "reattach/state/" + name}})
	if err != nil {
		w.t.Fatal(err)
	}
	var s failover.State
	if entry := reply.Entries[0]; entry.Exists() {
		w.decode(entry, &s)
		if s.Epoch != last.Epoch || s.Op != last.Op || s.Attached != last.To {
			w.t.Errorf("state of %s is at epoch %d, attached to %s; its last record is %d, to %s", name, s.Epoch, s.Attached, last.Epoch, last.To)
		}
	}
}

func (w *world) decode(entry failover.Entry, v any) {
	if err := json.Unmarshal(entry.Value, v); err != nil {
		w.t.Fatalf("%s: %v", entry.Key, err)
	}
}

// checkWrites holds what is true of every transaction: a handle is written by a
// commit only, and never without its record, its state and its ballot.
func (w *world) checkWrites(f failover.Transact) {
	has := map[failover.Verb][]string{}
	for _, op := range f.Ops {
		has[op.Verb] = append(has[op.Verb], op.Key)
	}
	for verb, keys := range has {
		for _, key := range keys {
			if !verb.Writes() || !strings.HasPrefix(key, "app/") {
				continue
			}
			below := func(verb failover.Verb, prefix string) bool {
				return slices.ContainsFunc(has[verb], func(k string) bool { return strings.HasPrefix(k, prefix) })
			}
			if f.Purpose != failover.PurposeCommit || verb != failover.CAS || !below(failover.CheckIndex, "reattach/ballot/") ||
				!below(failover.CAS, "reattach/state/") || !below(failover.CAS, "reattach/history/") {
				w.t.Errorf("%s writes the handle %s by %v", f.Purpose, key, f.Ops)
			}
		}
	}
}

// at is what the engine's clock shows then.
func (w *world) at(t time.Time) time.Time { return t.Add(w.clock) }

// clocked is an event with its times by that clock.
func (w *world) clocked(ev failover.Event) failover.Event {
	switch ev := ev.(type) {
	case failover.Observed:
		ev.Result.Began, ev.Result.Ended = w.at(ev.Result.Began), w.at(ev.Result.Ended)
		return ev
	case failover.Answered:
		ev.Sent = w.at(ev.Sent)
		return ev
	case failover.Stood:
		ev.From = w.at(ev.From)
		return ev
	}
	return ev
}
