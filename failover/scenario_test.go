package failover_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
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
	playAll(t, "testdata/scenario/*.txt", func(t *testing.T, story string) string { return play(t, story) })
}

// playAll plays every story twice, and holds what came of it to its golden file.
func playAll(t *testing.T, pattern string, play func(*testing.T, string) string) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
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

// teller is a test, or one draw of a property.
type teller interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// world is a small deterministic world around one engine: endpoints with a
// truth, a store that can fail, and a clock.
type world struct {
	t        teller
	now      time.Time
	start    time.Time
	clock    time.Duration // how far its engine's clock is ahead
	engine   *failover.Engine
	cfg      failover.Config
	store    *storetest.Model
	down     bool // the store does not answer
	fate     map[failover.Purpose]func(failover.Transact, *failover.Answered) time.Duration
	denied   map[failover.Purpose]bool
	shut     map[string]bool // keys that the store denies
	kept     []string        // foreign values that a commit would overwrite
	truth    map[string]probe.Class
	booted   map[string]time.Time // when an endpoint's server was started last
	probing  map[string]*pacing
	queue    []timed
	seq      int
	orders   uint64
	answered map[uint64]bool
	watched  map[string]uint64
	out      *bytes.Buffer
	saw      func(time.Time, failover.Event) // what the engine takes in; nil: nobody wants to know
	landed   func(failover.Transact)         // what the store carried out; nil: nobody wants to know
	as       string                          // who it is, where several worlds tell one story
	journal  journal
	facts    map[string]probe.Facts // by resource/endpoint
	details  bool
	wreck    *wreckage // what else can befall it
	steps    map[string]stepFate
	oracle   *oracle                            // watches all that happens; nil: nobody does
	watcher  *watcher                           // the same, over several observers
	stalled  map[failover.Purpose]time.Duration // how long such a transaction waits before it is sent
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

func play(t teller, story string) string { return newWorld(t, story).play(t, story) }

// play has happen what the lines of a story say, and returns what came of it.
func (w *world) play(t teller, story string) string {
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

// boot starts the engine, for the first time or again.
func (w *world) boot() {
	for id := range w.orders { // who asked the former life has seen it end
		w.answered[id+1] = true
	}
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
	fmt.Fprintf(w.out, "%9.3f  %s%s\n", w.now.Sub(w.start).Seconds(), w.as, fmt.Sprintf(format, args...))
}

// run lets the world turn until then.
func (w *world) run(until time.Time) {
	next := w.now
	for !w.now.After(until) {
		w.straysArrive()
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
	if w.saw != nil {
		w.saw(w.now, ev)
	}
	effects := slices.Clone(w.engine.Step(w.at(w.now), w.clocked(ev)))
	w.oracle.stepped(ev, effects)
	w.watcher.stepped(w, ev, effects)
	for _, effect := range effects {
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
			whole(w.t, f.Notice)
			w.journal.noted(w.now, f)
			if len(w.cfg.Observers) > 1 {
				w.later(diskDelay, failover.Kept{Notices: []failover.Notice{f.Notice}})
			}
			if f.Notice.Teller != "" {
				what := ""
				if f.Notice.Over {
					what = "the end of "
				}
				w.say("left to %s: %s%s [%s]", f.Notice.Teller, what, f.Notice.Event, f.Notice.Key)
				continue
			}
			mark := "told"
			if f.Notice.Urgent {
				mark = "PAGED"
			}
			if f.Notice.Over {
				mark = "over"
			}
			w.say("%s %s [%s] %s", mark, f.Notice.Event, f.Notice.Key, f.Notice.Text)
			w.detail(f.Notice)
		case failover.Respond:
			w.answered[f.ID] = true
			w.say("answer: done=%v %s %s", f.Answer.Done, f.Answer.Text, f.Answer.Hint)
		case failover.Switched:
			w.say("SWITCHED %s %s: %s -> %s, epoch %d", f.Record.Resource, f.Record.Kind, f.Record.From, f.Record.To, f.Record.Epoch)
		case failover.RunStep:
			w.runStep(f)
		case failover.Remember:
			w.journal.noted(w.now, f)
			w.cfg.Seen = f.Seen
		}
	}
}

// transact lets a transaction reach the store.
func (w *world) transact(f failover.Transact) {
	answer := failover.Answered{ID: f.ID, Sent: w.now}
	if d := w.stalled[f.Purpose]; d > 0 {
		delete(w.stalled, f.Purpose)
		w.later(d, sending{Transact: f})
		return
	}
	switch {
	case !f.Before.IsZero() && w.at(w.now).After(f.Before):
		answer.Err = failover.ErrLate
	case w.down:
		answer.Err = failover.ErrUnknown
		w.later(f.Timeout, answer)
		return
	case w.denied[f.Purpose] || slices.ContainsFunc(f.Ops, func(op failover.Op) bool { return w.shut[op.Key] }):
		answer.Err = failover.ErrDenied
		w.say("%s: %s", f.Purpose, outcome(answer))
	case w.fate[f.Purpose] != nil:
		fate := w.fate[f.Purpose]
		delete(w.fate, f.Purpose)
		after := fate(f, &answer)
		w.later(after, answer)
		return
	default:
		w.carry(f, &answer)
	}
	w.later(storeDelay/2, answer)
}

// carry has the store carry a transaction out.
func (w *world) carry(f failover.Transact, answer *failover.Answered) {
	if w.oracle == nil { // it looks at what was done, and not at how
		w.checkWrites(f)
		w.checkCommit(f)
	}
	before, was := w.oracle.before(f), w.watcher.before(w)
	answer.Reply, answer.Err = w.store.Txn(context.Background(), f.Ops)
	w.oracle.landed(f, before, *answer)
	w.watcher.landed(w, f, was, *answer)
	if w.landed != nil && answer.Err == nil && answer.Reply.OK {
		w.landed(f)
	}
	if f.Purpose != failover.PurposeSweep {
		w.say("%s: %s", f.Purpose, outcome(*answer))
	}
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
			w.later(w.behind(), failover.Changed{Prefix: prefix, Entries: entries})
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
		if booted, ok := w.booted[name]; ok {
			res.Facts = probe.Facts{"uptime": int64(w.now.Sub(booted) / time.Second)}
		}
		if facts := w.facts[name]; facts != nil && class == probe.OK {
			res.Facts = maps.Clone(res.Facts)
			if res.Facts == nil {
				res.Facts = probe.Facts{}
			}
			maps.Copy(res.Facts, facts)
		}
		w.later(took, failover.Observed{Resource: p.resource.Name, Endpoint: p.name, Result: res})
	}
}
