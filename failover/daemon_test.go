package failover_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/storetest"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeServers are the servers of all endpoints, by host. They are in the test's
// hands; the daemon is the unit here.
type fakeServers struct {
	mu     sync.Mutex
	class  map[string]probe.Class
	opened map[string]int
	held   map[string]int
}

func (s *fakeServers) set(host string, c probe.Class) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.class[host] = c
}

// conversations is how many were begun with host so far, and how many of its
// sessions are held.
func (s *fakeServers) conversations(host string) (opened, held int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened[host], s.held[host]
}

func (s *fakeServers) Open(ctx context.Context, t probe.Target) (probe.Held, probe.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	host := t.URL.Host
	s.opened[host]++
	r := probe.Result{Class: probe.OK, Began: time.Now(), Ended: time.Now()}
	if c, ok := s.class[host]; ok {
		r.Class = c
	}
	if r.Class != probe.OK {
		return nil, r
	}
	s.held[host]++
	return &fakeHeld{s, host}, r
}

type fakeHeld struct {
	s    *fakeServers
	host string
}

func (h *fakeHeld) result() probe.Result {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	r := probe.Result{Class: probe.OK, Began: time.Now(), Ended: time.Now()}
	if c, ok := h.s.class[h.host]; ok && c != probe.OK {
		r.Class = probe.Reset
	}
	return r
}

func (h *fakeHeld) Ping(context.Context) probe.Result { return h.result() }

func (h *fakeHeld) Wait(ctx context.Context) probe.Result {
	<-ctx.Done()
	return h.result()
}

func (h *fakeHeld) Close(context.Context) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.s.held[h.host]--
}

// hookedStore is a store that can be held up, by the test.
type hookedStore struct {
	failover.Store
	mu    sync.Mutex
	txn   func(ctx context.Context, ops []failover.Op) error // before each transaction
	watch func(ctx context.Context, index uint64) (uint64, error)
}

func (s *hookedStore) hook(txn func(context.Context, []failover.Op) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.txn = txn
}

func (s *hookedStore) Txn(ctx context.Context, ops []failover.Op) (failover.Reply, error) {
	s.mu.Lock()
	txn := s.txn
	s.mu.Unlock()
	if txn != nil {
		if err := txn(ctx, ops); err != nil {
			return failover.Reply{}, err
		}
	}
	return s.Store.Txn(ctx, ops)
}

func (s *hookedStore) Watch(ctx context.Context, prefix string, index uint64) ([]failover.Entry, uint64, error) {
	if s.watch != nil {
		if next, err := s.watch(ctx, index); next != 0 || err != nil {
			return nil, next, err
		}
	}
	return s.Store.Watch(ctx, prefix, index)
}

// silent is a store that answers nothing until its caller gives up.
func silent(ctx context.Context, _ []failover.Op) error {
	<-ctx.Done()
	return failover.ErrUnknown
}

// commits reports whether ops write a handle.
func commits(ops []failover.Op) bool {
	return slices.ContainsFunc(ops, func(op failover.Op) bool { return op.Verb.Writes() && strings.HasPrefix(op.Key, "app/") })
}

// recorder is a tap that keeps the events, and may hold the loop up.
type recorder struct {
	mu     sync.Mutex
	events []failover.Event
	stall  func()
}

func (r *recorder) Saw(_ time.Time, ev failover.Event, _ []failover.Effect) {
	r.mu.Lock()
	r.events = append(r.events, ev)
	stall := r.stall
	r.stall = nil
	r.mu.Unlock()
	if stall != nil {
		stall()
	}
}

// count counts the events for which is is true.
func (r *recorder) count(is func(failover.Event) bool) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ev := range r.events {
		if is(ev) {
			n++
		}
	}
	return n
}

// running is a daemon that runs in a bubble of synctest, on a model of a store,
// with one resource that is attached to its primary.
type running struct {
	t       *testing.T
	ctx     context.Context
	d       *failover.Daemon
	cfg     failover.Config
	model   *storetest.Model
	store   *hookedStore
	servers *fakeServers
	tap     *recorder
	log     *bytes.Buffer
	stop    func()
}

const (
	hostPrimary = "orders-db-primary.internal"
	hostStandby = "orders-db-standby.internal"
)

// config is a configuration with one resource that has these endpoints.
func (r *running) config(endpoints ...string) failover.Config {
	res := defineResource(r.t, "orders-db", append(endpoints, "sustain=1s"))
	r.equip(res)
	return failover.Config{Observer: "mon-a", Observers: []string{"mon-a"}, Resources: []*policy.Resource{res}}
}

// equip gives every endpoint an address of its own, which no resolver need find.
func (r *running) equip(res *policy.Resource) {
	res.Protocol.Prober, res.Protocol.Schemes = byName{r.servers}, []probe.Scheme{{Name: "mysql", Port: "3306"}}
	for i := range res.Endpoints {
		u := &res.Endpoints[i].Target.URL
		u.Path, u.Host = "/"+u.Host, "127.0.0.1"
	}
}

// byName tells the servers apart by the path of their URLs.
type byName struct{ s *fakeServers }

func (b byName) Open(ctx context.Context, t probe.Target) (probe.Held, probe.Result) {
	t.URL.Host = strings.TrimPrefix(t.URL.Path, "/")
	return b.s.Open(ctx, t)
}

// run runs a daemon while f lasts, for 2 s before it begins; then it is stopped.
func run(t *testing.T, dir string, f func(r *running)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := &running{t: t, ctx: t.Context(), model: storetest.NewModel(100), tap: &recorder{}, log: &bytes.Buffer{},
			servers: &fakeServers{class: map[string]probe.Class{}, opened: map[string]int{}, held: map[string]int{}}}
		r.store = &hookedStore{Store: r.model}
		r.cfg = r.config("primary", "standby")
		put := failover.Op{Verb: failover.Set, Key: handle0, Value: []byte(r.cfg.Resources[0].Handles[0].Values[0].Reveal())}
		if _, err := r.model.Apply([]failover.Op{put}); err != nil {
			t.Fatal(err)
		}
		var err error
		r.d, err = failover.NewDaemon(failover.Options{Config: r.cfg, Store: r.store, StateDir: dir, Version: "test",
			Taps: []failover.Tap{r.tap}, Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- r.d.Run(ctx) }()
		r.stop = sync.OnceFunc(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
			for host, held := range r.servers.held {
				if held != 0 {
					t.Errorf("Run has returned, and %d sessions with %s are left", held, host)
				}
			}
		})
		defer r.stop()
		r.after(2 * time.Second)
		f(r)
	})
}

func (r *running) after(d time.Duration) {
	time.Sleep(d) // in a bubble of synctest
	synctest.Wait()
}

func (r *running) status() failover.ResourceStatus {
	r.t.Helper()
	s, err := r.d.Status(r.ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	return s.Resources[0]
}

func (r *running) do(c failover.Command) failover.Answer {
	r.t.Helper()
	c.Resource, c.By, c.Reason = "orders-db", "alice", "a test"
	a, err := r.d.Do(r.ctx, c)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func (r *running) keys(prefix string) (keys []string) {
	r.t.Helper()
	reply, err := r.model.Apply([]failover.Op{{Verb: failover.GetTree, Key: prefix}})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range reply.Entries {
		keys = append(keys, e.Key)
	}
	return keys
}

// TestDaemonSwitches: a server dies, and everything that should know of it does.
func TestDaemonSwitches(t *testing.T) {
	dir := t.TempDir()
	run(t, dir, func(r *running) {
		if s := r.status(); s.Attached != "primary" || !s.Protected || s.Activity != "steady" {
			t.Fatalf("before: %+v", s)
		}
		if err := r.d.Ready(r.ctx); err != nil {
			t.Fatalf("not ready: %v", err)
		}
		r.servers.set(hostPrimary, probe.Refused)
		began := time.Now()
		for r.status().Attached != "standby" {
			if r.after(10 * time.Millisecond); time.Since(began) > 10*time.Second {
				t.Fatalf("no switch: %+v", r.status())
			}
		}
		// The session's ping comes within an interval; then sustain is 1 s.
		if took := time.Since(began); took > 2400*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		history, err := r.d.History(r.ctx, "")
		if err != nil || len(history) != 2 || history[0].To != "standby" || history[0].Kind != policy.Failover {
			t.Errorf("history: %v, %+v", err, history)
		}
		if only, err := r.d.History(r.ctx, "orders-db"); err != nil || len(only) != 2 {
			t.Errorf("history of one: %v, %+v", err, only)
		}
		x, err := r.d.Explain(r.ctx, "orders-db")
		if err != nil || x.Target != "standby" || len(x.History) != 2 || x.Vote == nil || len(x.IfDown.Gates) == 0 {
			t.Errorf("explained: %v, %+v", err, x)
		}
		for _, want := range []string{"msg=switched", "kind=failover", "level=ERROR"} {
			if !strings.Contains(r.log.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, r.log)
			}
		}
		if strings.Contains(r.log.String(), "secret") {
			t.Error("the log holds a secret")
		}
	})
	seen, err := failover.ReadSeen(filepath.Join(dir, "seen.json"))
	if err != nil || seen["orders-db"].Epoch != 2 {
		t.Errorf("seen last: %v, %+v", err, seen)
	}
}

// TestDaemonKeepsWhatItSawLast, even what it saw in its last moment.
func TestDaemonKeepsWhatItSawLast(t *testing.T) {
	for range 20 {
		dir := t.TempDir()
		run(t, dir, func(r *running) {
			if a := r.do(failover.Command{Verb: "switchover"}); !a.Done {
				t.Fatal(a.Text)
			}
			r.stop()
		})
		if seen, err := failover.ReadSeen(filepath.Join(dir, "seen.json")); err != nil || seen["orders-db"].Epoch != 2 {
			t.Fatalf("%v, %+v", err, seen)
		}
	}
}

func TestDaemonCommands(t *testing.T) {
	run(t, "", func(r *running) {
		if a := r.do(failover.Command{Verb: "switchover"}); !a.Done || a.Record == nil || a.Record.To != "standby" {
			t.Errorf("switchover: %+v", a)
		}
		if a := r.do(failover.Command{Verb: "pause"}); !a.Done {
			t.Errorf("pause: %+v", a)
		}
		if a := r.do(failover.Command{Verb: "nonsense"}); !a.Invalid {
			t.Errorf("nonsense: %+v", a)
		}
		if _, err := r.d.Explain(r.ctx, "nobody"); !errors.Is(err, failover.ErrNoResource) {
			t.Errorf("explain nobody: %v", err)
		}
		gone, cancel := context.WithCancel(r.ctx)
		cancel()
		if _, err := r.d.Do(gone, failover.Command{Verb: "resume", Resource: "orders-db"}); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("of who has gone: %v", err)
		}
		r.stop()
		if _, err := r.d.Do(r.ctx, failover.Command{}); !errors.Is(err, failover.ErrStopped) {
			t.Errorf("do after the end: %v", err)
		}
		if _, err := r.d.Status(r.ctx); !errors.Is(err, failover.ErrStopped) {
			t.Errorf("status after the end: %v", err)
		}
		if err := r.d.Healthy(r.ctx); !errors.Is(err, failover.ErrStopped) {
			t.Errorf("healthy after the end: %v", err)
		}
	})
}

// TestDaemonReload: loops of what is new begin, of what is gone end, and the
// others go on as they are.
func TestDaemonReload(t *testing.T) {
	run(t, "", func(r *running) {
		before, held := r.servers.conversations(hostPrimary)
		a, err := r.d.Reload(r.ctx, r.config("primary", "reserve"))
		if err != nil || !a.Done {
			t.Fatalf("%v, %+v", err, a)
		}
		r.after(1500 * time.Millisecond)
		if now, still := r.servers.conversations(hostPrimary); now != before || still != 1 || held != 1 {
			t.Errorf("primary: %d conversations and %d sessions, then %d and %d", before, held, now, still)
		}
		if _, held := r.servers.conversations(hostStandby); held != 0 {
			t.Error("the session with what is gone is held on")
		}
		if _, held := r.servers.conversations("orders-db-reserve.internal"); held != 1 {
			t.Error("what is new is not watched")
		}
		if s := r.status(); !s.Protected || s.Target != "reserve" {
			t.Errorf("%+v", s)
		}
		if a, err = r.d.Reload(r.ctx, r.config("reserve")); err != nil || a.Done {
			t.Errorf("a reload that drops what is attached: %v, %+v", err, a)
		}
		r.after(1500 * time.Millisecond)
		if _, held := r.servers.conversations(hostPrimary); held != 1 {
			t.Error("a refused reload ended a loop")
		}
		slower := r.config("primary", "reserve")
		slower.Resources[0].Pace.Interval = 5 * time.Second
		if a, err = r.d.Reload(r.ctx, slower); err != nil || !a.Done {
			t.Fatalf("%v, %+v", err, a)
		}
		r.after(time.Second)
		if now, held := r.servers.conversations(hostPrimary); now == before || held != 1 {
			t.Errorf("another pace: %d conversations, %d sessions", now, held)
		}
	})
}

// TestDaemonSilentStore: a store that answers nothing holds up nobody else.
func TestDaemonSilentStore(t *testing.T) {
	run(t, "", func(r *running) {
		r.store.hook(silent)
		r.servers.set(hostPrimary, probe.Refused)
		r.after(10 * time.Second)
		asked := time.Now()
		s, err := r.d.Status(r.ctx)
		if err != nil || s.Blind == "" || s.Resources[0].Attached != "primary" || s.Resources[0].Endpoints[0].State == policy.Up {
			t.Errorf("%v, %+v", err, s)
		}
		if r.d.Healthy(r.ctx) != nil || r.d.Ready(r.ctx) == nil {
			t.Error("it is healthy, and not ready")
		}
		if a := r.do(failover.Command{Verb: "failover"}); a.Done || !a.Unsure {
			t.Errorf("%+v", a)
		}
		if time.Since(asked) != 0 {
			t.Errorf("the answers took %v", time.Since(asked))
		}
		if x, err := r.d.Explain(r.ctx, "orders-db"); err != nil || x.Blind == "" || len(x.History) != 0 {
			t.Errorf("%v, %+v", err, x)
		}
		if _, err := r.d.History(r.ctx, ""); !errors.Is(err, failover.ErrUnknown) {
			t.Errorf("history: %v", err)
		}
		began := time.Now()
		r.stop()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v to end", took)
		}
		if got := r.keys("reattach/ballot/orders-db/"); len(got) != 0 {
			t.Errorf("left are %v", got)
		}
	})
}

// TestDaemonOverflow: more transactions than there is room for are as if the
// store had not answered; the loop never waits for room.
func TestDaemonOverflow(t *testing.T) {
	run(t, "", func(r *running) {
		r.store.hook(silent)
		const many = failover.TxnWorkers + failover.EventBuffer + 50
		var group sync.WaitGroup
		var mu sync.Mutex
		early := 0
		began := time.Now()
		for range many {
			group.Go(func() {
				a, err := r.d.Do(r.ctx, failover.Command{Verb: "pause", Resource: "orders-db", Reason: "a test"})
				if err != nil || a.Done || !a.Unsure {
					t.Errorf("%v, %+v", err, a)
				}
				mu.Lock()
				defer mu.Unlock()
				if time.Since(began) == 0 {
					early++
				}
			})
		}
		group.Wait()
		if early == 0 {
			t.Error("nothing overflowed: the test proves nothing")
		}
	})
}

// TestDaemonLeaves: who ends while his commit is on its way closes his ballot
// first; what lands afterwards changes nothing.
func TestDaemonLeaves(t *testing.T) {
	run(t, "", func(r *running) {
		waits, release := make(chan struct{}), make(chan struct{})
		r.store.hook(func(_ context.Context, ops []failover.Op) error {
			if commits(ops) {
				close(waits)
				<-release
			}
			return nil
		})
		go func() {
			_, _ = r.d.Do(r.ctx, failover.Command{Verb: "switchover", Resource: "orders-db", Reason: "a test"})
		}()
		<-waits
		if got := r.keys("reattach/ballot/orders-db/"); len(got) != 1 {
			t.Fatalf("open are %v", got)
		}
		go r.stop()
		r.after(time.Second)
		if got := r.keys("reattach/ballot/orders-db/"); len(got) != 0 {
			t.Errorf("it ends, and leaves %v", got)
		}
		close(release)
		r.stop()
		if got := r.keys("reattach/history/"); len(got) != 1 {
			t.Errorf("the commit landed after all: %v", got)
		}
	})
}

// TestDaemonStood: a loop that was held up voids its evidence.
func TestDaemonStood(t *testing.T) {
	run(t, "", func(r *running) {
		stood := func(ev failover.Event) bool { _, ok := ev.(failover.Stood); return ok }
		if r.tap.count(stood) != 0 {
			t.Fatal("it stood still at once")
		}
		r.tap.mu.Lock()
		r.tap.stall = func() { time.Sleep(3 * time.Second) } // in a bubble of synctest
		r.tap.mu.Unlock()
		r.after(5 * time.Second)
		if n := r.tap.count(stood); n != 1 {
			t.Errorf("it was noticed %d times", n)
		}
	})
}

// TestDaemonWatches: a watch that fails is begun anew after a second, from 0.
func TestDaemonWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var asked []uint64
		model := storetest.NewModel(100)
		store := &hookedStore{Store: model, watch: func(_ context.Context, index uint64) (uint64, error) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, index)
			switch {
			case len(asked) <= 4:
				return 0, failover.ErrUnknown
			case index > 5 && len(asked) < 12:
				return 5, nil // tombstones were reaped
			}
			return 0, nil
		}}
		d, err := failover.NewDaemon(failover.Options{Store: store})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := d.Run(ctx); err != nil {
			t.Fatal(err)
		}
		// Twice two failures, a second apart; then each restart is from 0.
		want := []uint64{0, 0, 0, 0, 0}
		if len(asked) < 8 || len(asked) > 20 || !slices.Equal(asked[:5], want) {
			t.Errorf("asked from %v", asked)
		}
		for i, index := range asked[:len(asked)-1] {
			if index > 5 && i > 4 && i < 11 && !slices.Contains(asked[i+1:i+3], 0) {
				t.Errorf("after an index that fell, asked from %v", asked[i+1:])
			}
		}
	})
}

// TestDaemonUnderManyHands is for the race detector.
func TestDaemonUnderManyHands(t *testing.T) {
	run(t, t.TempDir(), func(r *running) {
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				for range 20 {
					_, _ = r.d.Status(r.ctx)
					_, _ = r.d.Explain(r.ctx, "orders-db")
					_, _ = r.d.History(r.ctx, "")
					_, _ = r.d.Do(r.ctx, failover.Command{Verb: []string{"pause", "resume", "switchover", "ack"}[i%4], Resource: "orders-db", Reason: "a test", Force: []string{"taint"}})
					if i == 0 {
						_, _ = r.d.Reload(r.ctx, r.config("primary", "standby"))
					}
				}
			})
		}
		group.Wait()
	})
}

func TestNewDaemonWantsWhatItSaw(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "seen.json")
	if seen, err := failover.ReadSeen(file); err != nil || seen != nil {
		t.Errorf("none yet: %v, %v", seen, err)
	}
	if err := os.WriteFile(file, []byte(`{"orders-db":{"epoch":`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := failover.NewDaemon(failover.Options{StateDir: dir})
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a broken file: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := failover.NewDaemon(failover.Options{StateDir: dir}); err == nil {
		t.Error("a directory in its place is no error")
	}
}

// TestDaemonWithoutItsDirectory: what cannot be kept is said, and no more.
func TestDaemonWithoutItsDirectory(t *testing.T) {
	run(t, filepath.Join(t.TempDir(), "gone"), func(r *running) {
		if !r.status().Protected {
			t.Error("it does not work")
		}
		if !strings.Contains(r.log.String(), "could not be kept") {
			t.Errorf("and nobody is told:\n%s", r.log)
		}
	})
}
