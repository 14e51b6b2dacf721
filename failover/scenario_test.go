package failover_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/storetest"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestScenarios plays each story of testdata/scenario: what happens to the
// world stands in the .txt, and what reattach made of it in the .golden beside
// it. Read them as a reviewer would; rewrite them with -update.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenario/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			story, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(story))
			if again := play(t, string(story)); again != got {
				t.Fatalf("the same events gave other effects:\n%s\n---\n%s", got, again)
			}
			golden := strings.TrimSuffix(file, ".txt") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s tells another story now (-update rewrites it):\n%s", golden, got)
			}
		})
	}
}

// world is a small deterministic world around one engine: endpoints with a
// truth, a store that can fail, and a clock.
type world struct {
	t       *testing.T
	now     time.Time
	start   time.Time
	engine  *failover.Engine
	cfg     failover.Config
	store   *storetest.Model
	down    bool   // the store does not answer
	lose    string // purpose of the transaction whose reply is lost next
	truth   map[string]probe.Class
	probing map[string]*pacing
	queue   []timed
	seq     int
	orders  uint64
	watched map[string]uint64
	out     bytes.Buffer
}

type pacing struct {
	resource *policy.Resource
	name     string
	quick    bool
	next     time.Time
}

type timed struct {
	at  time.Time
	seq int
	ev  failover.Event
}

const (
	storeDelay = 2 * time.Millisecond
	worldTick  = 100 * time.Millisecond
)

func play(t *testing.T, story string) string {
	w := newWorld(t, story)
	scan := bufio.NewScanner(strings.NewReader(story))
	for scan.Scan() {
		line, _, _ := strings.Cut(scan.Text(), "#")
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "resource" {
			continue
		}
		after, err := time.ParseDuration(strings.TrimPrefix(words[0], "+"))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		w.run(w.now.Add(after))
		w.do(words[1:], line)
	}
	w.end()
	return w.out.String()
}

// newWorld reads the "resource" lines:
//
//	resource NAME ENDPOINT… [key=value …]
func newWorld(t *testing.T, story string) *world {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w := &world{t: t, now: start, start: start, store: storetest.NewModel(100), truth: map[string]probe.Class{}, probing: map[string]*pacing{}, watched: map[string]uint64{}}
	w.cfg = failover.Config{Observer: "mon-a", Zone: "az-1", Observers: []string{"mon-a"}}
	for line := range strings.Lines(story) {
		if words := strings.Fields(line); len(words) > 2 && words[0] == "resource" {
			w.cfg.Resources = append(w.cfg.Resources, defineResource(t, words[1], words[2:]))
		}
	}
	w.boot()
	return w
}

func defineResource(t *testing.T, name string, words []string) *policy.Resource {
	r := &policy.Resource{Name: name, Veto: true, FailbackAfter: 10 * time.Minute,
		Protocol: probe.Protocol{Name: "mysql", Holds: true, Traits: probe.Traits{StoreOfData: true, Taints: true}},
		Pace:     probe.Pace{Interval: time.Second, FreshInterval: 10 * time.Second, SuspectInterval: 100 * time.Millisecond},
		Judge:    policy.Thresholds{Bad: 3, Of: 3, Rise: 2, Sustain: 10 * time.Second}}
	keys := 1
	for _, word := range words {
		key, value, set := strings.Cut(word, "=")
		if !set {
			u, err := probe.ParseURL("mysql://app:secret@" + name + "-" + word + ".internal:3306/orders")
			if err != nil {
				t.Fatal(err)
			}
			r.Endpoints = append(r.Endpoints, policy.Endpoint{Name: word, Target: probe.Target{URL: u, Timeout: time.Second}})
			continue
		}
		switch key {
		case "sustain":
			r.Judge.Sustain, _ = time.ParseDuration(value)
		case "bootstrap":
			r.Bootstrap = value == "true"
		case "failback":
			r.Failback = policy.FailbackAuto
		case "mode":
			r.Mode = policy.Observe
		case "handles":
			keys = int(value[0] - '0')
		case "cache":
			r.Protocol.Traits = probe.Traits{Taints: true, RestartClears: true}
		case "queue":
			r.Protocol.Traits = probe.Traits{LeftWork: true, LeftWorkCommand: "rabbitmqctl list_queues"}
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
	for i := range keys {
		h := policy.Handle{Key: fmt.Sprintf("app/%s/URL%d", name, i)}
		for _, ep := range r.Endpoints {
			h.Values = append(h.Values, probe.Secret(ep.Target.URL.Reveal()))
		}
		r.Handles = append(r.Handles, h)
	}
	return r
}

// boot starts the engine, for the first time or again.
func (w *world) boot() {
	w.cfg.Seed[0]++
	w.engine = failover.NewEngine(w.cfg)
	w.queue, w.probing, w.watched = nil, map[string]*pacing{}, map[string]uint64{}
	w.startProbing()
}

// startProbing probes every endpoint of the configuration, and no other.
func (w *world) startProbing() {
	old := w.probing
	w.probing = map[string]*pacing{}
	for _, r := range w.cfg.Resources {
		for _, ep := range r.Endpoints {
			name := r.Name + "/" + ep.Name
			if w.probing[name] = old[name]; old[name] == nil {
				w.probing[name] = &pacing{resource: r, name: ep.Name, next: w.now.Add(10 * time.Millisecond)}
			}
		}
	}
}

func (w *world) say(format string, args ...any) {
	fmt.Fprintf(&w.out, "%9.3f  %s\n", w.now.Sub(w.start).Seconds(), fmt.Sprintf(format, args...))
}

// run lets the world turn until then.
func (w *world) run(until time.Time) {
	next := w.now
	for !w.now.After(until) {
		w.watch()
		w.step(failover.Tick{})
		w.probe()
		next = next.Add(worldTick)
		for {
			slices.SortStableFunc(w.queue, func(a, b timed) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.seq, b.seq)) })
			if len(w.queue) == 0 || w.queue[0].at.After(next) || w.queue[0].at.After(until) {
				break
			}
			item := w.queue[0]
			w.queue = w.queue[1:]
			if item.at.After(w.now) {
				w.now = item.at
			}
			if send, ok := item.ev.(sending); ok {
				w.transact(send.Transact)
				continue
			}
			w.step(item.ev)
		}
		w.now = next
	}
	w.now = until
}

// sending is a transaction on its way to the store.
type sending struct {
	failover.Event
	failover.Transact
}

func (w *world) later(d time.Duration, ev failover.Event) {
	w.seq++
	w.queue = append(w.queue, timed{w.now.Add(d), w.seq, ev})
}

func (w *world) step(ev failover.Event) {
	for _, effect := range slices.Clone(w.engine.Step(w.now, ev)) {
		switch f := effect.(type) {
		case failover.Transact:
			w.later(storeDelay/2, sending{Transact: f})
		case failover.Examine:
			p := w.probing[f.Resource+"/"+f.Endpoint]
			if p == nil {
				continue
			}
			if p.quick = f.On; f.On && p.next.After(w.now) {
				p.next = w.now
				w.later(0, failover.Tick{})
			}
		case failover.Tell:
			mark := "told"
			if f.Notice.Urgent {
				mark = "PAGED"
			}
			if f.Notice.Over {
				mark = "over"
			}
			w.say("%s %s [%s] %s", mark, f.Notice.Event, f.Notice.Key, f.Notice.Text)
		case failover.Respond:
			w.say("answer: done=%v %s %s", f.Answer.Done, f.Answer.Text, f.Answer.Hint)
		case failover.Switched:
			w.say("SWITCHED %s %s: %s -> %s, epoch %d", f.Record.Resource, f.Record.Kind, f.Record.From, f.Record.To, f.Record.Epoch)
		case failover.Remember:
			w.cfg.Seen = f.Seen
		}
	}
}

// transact lets a transaction reach the store.
func (w *world) transact(f failover.Transact) {
	answer := failover.Answered{ID: f.ID, Sent: w.now}
	switch {
	case !f.Before.IsZero() && w.now.After(f.Before):
		answer.Err = failover.ErrLate
	case w.down:
		answer.Err = failover.ErrUnknown
		w.later(f.Timeout, answer)
		return
	default:
		answer.Reply, answer.Err = w.store.Txn(context.Background(), f.Ops)
		if f.Purpose != failover.PurposeSweep {
			w.say("%s: %s", f.Purpose, outcome(answer))
		}
		if w.lose == string(f.Purpose) {
			w.lose = ""
			w.say("the reply to %s is lost", f.Purpose)
			answer = failover.Answered{ID: f.ID, Sent: w.now, Err: failover.ErrUnknown}
		}
	}
	w.later(storeDelay/2, answer)
}

func outcome(a failover.Answered) string {
	switch {
	case a.Err != nil:
		return a.Err.Error()
	case !a.Reply.OK:
		return fmt.Sprintf("refused by the store: %s", a.Reply.Failed[0].What)
	}
	return "ok"
}

// watch delivers what changed below the watched prefixes.
func (w *world) watch() {
	if w.down {
		return
	}
	for _, prefix := range []string{"reattach/control/", "reattach/ballot/"} {
		entries, index, err := w.store.Watch(context.Background(), prefix, 0)
		if err != nil {
			w.t.Fatal(err)
		}
		if last, ok := w.watched[prefix]; !ok || last != index {
			w.watched[prefix] = index
			w.later(storeDelay/2, failover.Changed{Prefix: prefix, Entries: entries})
		}
	}
}

// probe has the conversations that are due, each with the outcome that the truth says.
func (w *world) probe() {
	names := make([]string, 0, len(w.probing))
	for name := range w.probing {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		p := w.probing[name]
		if p.next.After(w.now) {
			continue
		}
		pace := p.resource.Pace.Interval
		if p.quick {
			pace = p.resource.Pace.SuspectInterval
		}
		p.next = w.now.Add(pace)
		class, ok := w.truth[name]
		if !ok {
			class = probe.OK
		}
		took := time.Millisecond
		if class == probe.Timeout {
			took = time.Second
		}
		res := probe.Result{Kind: probe.Fresh, Class: class, Phase: probe.PhasePing, Began: w.now, Ended: w.now.Add(took), Addr: name + ":3306"}
		if class == probe.Auth {
			res.Code = "1045"
		}
		w.later(took, failover.Observed{Resource: p.resource.Name, Endpoint: p.name, Result: res})
	}
}

// do is one line of the story.
func (w *world) do(words []string, line string) {
	w.say("— %s", strings.Join(words, " "))
	switch words[0] {
	case "end":
	case "store":
		w.down = words[1] == "down"
	case "lose":
		w.lose = words[1]
	case "restart":
		w.boot()
	case "stand-still":
		d, _ := time.ParseDuration(words[1])
		w.now = w.now.Add(d)
		w.step(failover.Stood{From: w.now.Add(-d)})
	case "write": // write KEY ENDPOINT|foreign: somebody else's hand
		w.write(words[1], words[2])
	case "delete":
		w.apply(failover.Op{Verb: failover.Delete, Key: words[1]})
	case "order": // order VERB RESOURCE [to=…] [force=…] [for=…]
		w.order(words[1:])
	case "reload": // reload RESOURCE ENDPOINT… : the resource has these endpoints now
		w.reload(words[1], words[2:])
	default: // RESOURCE/ENDPOINT CLASS
		var c probe.Class
		if err := c.UnmarshalText([]byte(words[1])); err != nil {
			w.t.Fatalf("%q: %v", line, err)
		}
		w.truth[words[0]] = c
	}
}

func (w *world) apply(op failover.Op) {
	if _, err := w.store.Txn(context.Background(), []failover.Op{op}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(key, endpoint string) {
	value := "mysql://somebody:else@elsewhere/"
	for _, r := range w.cfg.Resources {
		for _, h := range r.Handles {
			if i := r.Endpoint(endpoint); h.Key == key && i >= 0 {
				value = h.Values[i].Reveal()
			}
		}
	}
	w.apply(failover.Op{Verb: failover.Set, Key: key, Value: []byte(value), Flags: 7})
}

func (w *world) order(words []string) {
	w.orders++
	c := failover.Command{Verb: words[0], By: "alice@desk", Reason: "the story wants it"}
	for _, word := range words[1:] {
		key, value, set := strings.Cut(word, "=")
		switch {
		case !set && word == "--all":
			c.All = true
		case !set:
			c.Resource = word
		case key == "to":
			c.Endpoint = value
		case key == "force":
			c.Force = strings.Split(value, ",")
		case key == "for":
			c.For, _ = time.ParseDuration(value)
		}
	}
	w.step(failover.Ordered{ID: w.orders, Command: c})
}

func (w *world) reload(name string, words []string) {
	next := w.cfg
	next.Resources = slices.Clone(w.cfg.Resources)
	for i, r := range next.Resources {
		if r.Name == name {
			next.Resources[i] = defineResource(w.t, name, words)
		}
	}
	w.orders++
	before := w.out.Len()
	w.step(failover.Reloaded{ID: w.orders, Config: next})
	if strings.Contains(w.out.String()[before:], "done=true") {
		w.cfg = next
		w.startProbing()
	}
}

// end shows what is left: the handles, and what a person would read.
func (w *world) end() {
	w.out.WriteString("\n")
	for _, r := range w.engine.Status(w.now).Resources {
		fmt.Fprintf(&w.out, "%s: %s, handles %s, attached %s, epoch %d, protected=%v: %s\n", r.Name, r.Activity, r.Condition, r.Attached, r.Epoch, r.Protected, r.Why)
		for _, ep := range r.Endpoints {
			fmt.Fprintf(&w.out, "  endpoint %-8s %-8s %-12s tainted=%q drained=%q\n", ep.Name, ep.State, ep.Class, ep.Tainted, ep.Drained)
		}
		for _, h := range r.Handles {
			fmt.Fprintf(&w.out, "  handle   %s names %q ours=%v\n", h.Key, h.Names, h.Ours)
		}
		if r.Hold != nil {
			fmt.Fprintf(&w.out, "  held     %s by %s since %.3f: %s\n", r.Hold.Kind, r.Hold.Gate, r.Hold.Since.Sub(w.start).Seconds(), r.Hold.Why)
		}
		x, err := w.engine.Explain(w.now, r.Name)
		if err != nil {
			w.t.Fatal(err)
		}
		if x.Last != nil {
			fmt.Fprintf(&w.out, "  last decision: %s to %q\n", x.Last.Kind, x.Target)
			for _, g := range x.Last.Gates {
				fmt.Fprintf(&w.out, "    %-13s open=%-5v %s\n", g.Gate, g.Open, g.Why)
			}
		}
	}
	w.checkInvariants()
}

// checkInvariants holds what is true at the end of every story.
func (w *world) checkInvariants() {
	all, err := w.store.Txn(context.Background(), []failover.Op{{Verb: failover.GetTree, Key: "reattach/"}})
	if err != nil {
		w.t.Fatal(err)
	}
	records := map[string]int{}
	for _, entry := range all.Entries {
		if strings.HasPrefix(entry.Key, "reattach/ballot/") && strings.HasSuffix(entry.Key, "/_") {
			w.t.Errorf("a ballot is left open: %s", entry.Key)
		}
		if strings.HasPrefix(entry.Key, "app/") || strings.HasPrefix(entry.Key, "reattach/state/") {
			continue
		}
		if strings.Contains(string(entry.Value), "secret") {
			w.t.Errorf("%s holds a secret", entry.Key)
		}
		if rest, ok := strings.CutPrefix(entry.Key, "reattach/history/"); ok {
			records[rest]++
		}
	}
	for key, n := range records {
		if n != 1 {
			w.t.Errorf("history has %d records for %s", n, key)
		}
	}
}
