package failover_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/storetest"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

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
	watch func(prefix string, index uint64) (uint64, error)
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
		if next, err := s.watch(prefix, index); next != 0 || err != nil {
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
func run(t *testing.T, dir string, f func(r *running)) { runWith(t, dir, nil, f) }

// runWith is run with a journal.
func runWith(t *testing.T, dir string, journal failover.Journal, f func(r *running)) {
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
		r.d, err = failover.NewDaemon(failover.Options{Config: r.cfg, Store: r.store, StateDir: dir, Version: "test", Journal: journal,
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
