package probe_test

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/reattach/reattach/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeServer is a prober whose server is in its own hands. The loop is the
// unit here; real servers are met elsewhere.
type fakeServer struct {
	mu       sync.Mutex
	class    probe.Class   // what a fresh conversation comes to
	takes    time.Duration // and how long it takes
	closes   bool          // a session is closed as soon as it is held
	slow     time.Duration // how long a ping takes
	cut      chan struct{} // closed when the sessions die
	open     int           // conversations in flight
	most     int           // and the most there ever were
	sessions int           // held and not said goodbye to
	began    []time.Time   // of each conversation
	pings    int
	deep     probe.Class // what a conversation of depth write comes to in its last phase
	deeps    int         // how many there were
	facts    probe.Facts // what a conversation learns
	deeper   probe.Facts // what one of depth write learns besides
}

func newFakeServer() *fakeServer {
	return &fakeServer{class: probe.OK, deep: probe.OK, facts: probe.Facts{}, takes: time.Millisecond, cut: make(chan struct{})}
}

func (s *fakeServer) with(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// die closes every held session, and lets no conversation succeed from now on.
func (s *fakeServer) die(class probe.Class, takes time.Duration) {
	s.with(func() {
		s.class, s.takes = class, takes
		close(s.cut)
		s.cut = make(chan struct{})
	})
}

func (s *fakeServer) Open(ctx context.Context, t probe.Target) (probe.Held, probe.Result) {
	r := probe.Result{Began: time.Now()}
	var takes time.Duration
	var cut chan struct{}
	s.with(func() {
		s.began = append(s.began, r.Began)
		s.open++
		s.most = max(s.most, s.open)
		r.Class, takes, cut, r.Facts = s.class, s.takes, s.cut, maps.Clone(s.facts)
		if t.Depth == probe.PhaseWrite {
			s.deeps++
			if r.Class == probe.OK {
				r.Class, r.Phase = s.deep, probe.PhaseWrite
				maps.Copy(r.Facts, s.deeper)
			}
		}
	})
	defer s.with(func() { s.open-- })
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		r.Class = probe.Timeout
		if context.Cause(ctx) == context.Canceled {
			r.Class = probe.Local
		}
	}
	r.Ended = time.Now()
	if r.Class != probe.OK {
		return nil, r
	}
	s.with(func() { s.sessions++ })
	return &fakeSession{s, cut}, r
}

// fakeSession is a held session with a fakeServer.
type fakeSession struct {
	s   *fakeServer
	cut chan struct{}
}

func (h *fakeSession) Ping(ctx context.Context) probe.Result {
	r := probe.Result{Class: probe.OK, Began: time.Now()}
	var slow time.Duration
	h.s.with(func() { h.s.pings++; slow = h.s.slow })
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		r.Class = probe.Timeout
	case <-h.cut:
		r.Class = probe.Reset
	}
	r.Ended = time.Now()
	return r
}

func (h *fakeSession) Wait(ctx context.Context) probe.Result {
	r := probe.Result{Class: probe.OK, Began: time.Now()}
	closes := false
	h.s.with(func() { closes = h.s.closes })
	if closes {
		r.Class = probe.Reset
		return r
	}
	select {
	case <-ctx.Done():
	case <-h.cut:
		r.Class = probe.Reset
	}
	r.Ended = time.Now()
	return r
}

func (h *fakeSession) Close(context.Context) { h.s.with(func() { h.s.sessions-- }) }

// watching is a loop that runs in a bubble of synctest, and what it emitted.
type watching struct {
	t      *testing.T
	server *fakeServer
	loop   *probe.Loop
	host   atomic.Value // what the endpoint's name leads to
	mu     sync.Mutex
	seen   []probe.Result
	stop   func()
}

func plain(*watching) {}

// watch runs a loop on server, after set has changed it: interval 1 s, fresh 10 s, suspect 100 ms,
// timeout 2 s. It is stopped, and has returned, when f has ended.
func watch(t *testing.T, holds bool, set func(*watching), f func(w *watching)) {
	synctest.Test(t, func(t *testing.T) {
		w := &watching{t: t, server: newFakeServer()}
		w.host.Store("127.0.0.1")
		w.loop = &probe.Loop{Name: "orders-db/primary",
			Target: func() probe.Target {
				return probe.Target{URL: probe.URL{Scheme: "fake", Host: w.host.Load().(string), Port: "1"}, Timeout: 2 * time.Second}
			},
			Protocol: probe.Protocol{Name: "fake", Schemes: []probe.Scheme{{Name: "fake", Port: "1"}}, Prober: w.server, Holds: holds},
			Pace:     probe.Pace{Interval: time.Second, FreshInterval: 10 * time.Second, SuspectInterval: 100 * time.Millisecond},
			Emit: func(r probe.Result) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.seen = append(w.seen, r)
			}}
		set(w)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { w.loop.Run(ctx); close(ended) }()
		w.stop = func() {
			cancel()
			<-ended
			if w.server.sessions != 0 || w.server.open != 0 {
				t.Errorf("Run has returned, and %d sessions and %d conversations are left", w.server.sessions, w.server.open)
			}
		}
		f(w)
		w.stop()
	})
}

// after lets time pass, and returns what was emitted meanwhile.
func (w *watching) after(d time.Duration) []probe.Result {
	time.Sleep(d) // in a bubble of synctest
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	w.seen = nil
	return seen
}

func count(seen []probe.Result, is func(probe.Result) bool) (n int) {
	for _, r := range seen {
		if is(r) {
			n++
		}
	}
	return n
}

func fresh(r probe.Result) bool { return r.Kind == probe.Fresh }
func ping(r probe.Result) bool  { return r.Kind == probe.Session && !r.Hint }
func hint(r probe.Result) bool  { return r.Hint }

// TestPace: a held session is pinged each interval, with a fresh conversation
// each fresh interval beside it.
func TestPace(t *testing.T) {
	watch(t, true, plain, func(w *watching) {
		first := w.after(600 * time.Millisecond)
		if len(first) != 1 || !fresh(first[0]) || first[0].Class != probe.OK {
			t.Fatalf("the first half second: %+v", first)
		}
		seen := w.after(60 * time.Second)
		if n := count(seen, ping); n != 60 {
			t.Errorf("%d pings in a minute", n)
		}
		if n := count(seen, fresh); n != 6 {
			t.Errorf("%d fresh conversations in a minute", n)
		}
		if n := count(seen, hint); n != 0 {
			t.Errorf("%d hints of a healthy server", n)
		}
	})
}

// TestPaceWithoutSession: where nothing is held, there is a fresh conversation
// each interval, and no other beside it.
func TestPaceWithoutSession(t *testing.T) {
	watch(t, false, plain, func(w *watching) {
		w.after(600 * time.Millisecond)
		seen := w.after(60 * time.Second)
		if n := count(seen, fresh); n != 60 || len(seen) != n {
			t.Errorf("%d fresh conversations of %d results in a minute", n, len(seen))
		}
	})
}

// TestSpread: loops of other names begin at other times, none later than half a second.
func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		start, server := time.Now(), newFakeServer()
		for i := range 40 {
			l := &probe.Loop{Name: "orders-db/" + string(rune('a'+i)), Emit: func(probe.Result) {},
				Target: func() probe.Target {
					return probe.Target{URL: probe.URL{Host: "127.0.0.1", Port: "1"}, Timeout: time.Second}
				},
				Protocol: probe.Protocol{Prober: server}, Pace: probe.Pace{Interval: time.Minute, FreshInterval: time.Minute, SuspectInterval: time.Second}}
			group.Go(func() { l.Run(ctx) })
		}
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		cancel()
		group.Wait()
		at := map[time.Duration]bool{}
		for _, began := range server.began {
			at[began.Sub(start)] = true
		}
		if len(server.began) != 40 || len(at) < 30 {
			t.Errorf("%d of 40 loops began within half a second, at %d different times", len(server.began), len(at))
		}
	})
}

// TestHintExaminesAtOnce: a session that dies is followed by a fresh
// conversation in the same instant.
func TestHintExaminesAtOnce(t *testing.T) {
	watch(t, true, plain, func(w *watching) {
		w.after(5300 * time.Millisecond)
		w.server.die(probe.Refused, 0)
		seen := w.after(time.Millisecond)
		if len(seen) != 2 || !seen[0].Hint || seen[0].Class != probe.Reset || !fresh(seen[1]) || seen[1].Class != probe.Refused {
			t.Fatalf("%+v", seen)
		}
		// The engine has not asked for more: the loop goes on at its interval.
		if seen = w.after(10 * time.Second); count(seen, fresh) > 12 {
			t.Errorf("%d fresh conversations in 10 s, without an examination", count(seen, fresh))
		}
	})
}

// TestHintWhileLooking: a conversation that was under way when the session died
// is no look at what happened then.
func TestHintWhileLooking(t *testing.T) {
	watch(t, true, plain, func(w *watching) {
		w.after(600 * time.Millisecond)
		w.server.with(func() { w.server.takes = 50 * time.Millisecond })
		w.loop.Examine(true)
		w.after(10 * time.Millisecond) // one is under way, and will be OK
		w.loop.Examine(false)
		w.server.die(probe.Refused, 0)
		seen := w.after(200 * time.Millisecond)
		if count(seen, func(r probe.Result) bool { return fresh(r) && r.Class == probe.Refused }) == 0 {
			t.Errorf("nobody looked after the hint: %+v", seen)
		}
	})
}

// TestExamine: one fresh conversation each suspect interval, whether or not
// earlier ones have ended, at most three in flight; and none once it is off.
func TestExamine(t *testing.T) {
	watch(t, false, plain, func(w *watching) {
		w.after(600 * time.Millisecond)
		w.loop.Examine(true)
		if n := count(w.after(1990*time.Millisecond), fresh); n < 20 || n > 23 {
			t.Errorf("%d fresh conversations in 2 s", n)
		}
		w.server.with(func() { w.server.class, w.server.takes, w.server.most = probe.Timeout, time.Hour, 0 })
		seen := w.after(20 * time.Second)
		// Three in flight, each for 2 s, and the loop's own: 30 and 7.
		if n := count(seen, fresh); n < 30 || n > 40 {
			t.Errorf("%d fresh conversations with a server that hangs for 20 s", n)
		}
		if w.server.most > 4 {
			t.Errorf("%d conversations at a time", w.server.most)
		}
		w.server.with(func() { w.server.class, w.server.takes = probe.OK, 0 })
		w.loop.Examine(false)
		w.after(3 * time.Second)
		if n := count(w.after(10*time.Second), fresh); n > 11 {
			t.Errorf("%d fresh conversations in 10 s after the examination", n)
		}
	})
}

// TestExamineAnew: who asks again wants conversations from now on. Those that a
// hang keeps under way do not stand in their way, and there is a bound to it.
func TestExamineAnew(t *testing.T) {
	watch(t, false, plain, func(w *watching) {
		w.after(600 * time.Millisecond)
		w.server.with(func() { w.server.class, w.server.takes = probe.Timeout, time.Hour })
		w.loop.Examine(true)
		w.after(500 * time.Millisecond) // three hang
		for range 2 {                   // for the suspicion, and for a ballot
			before := len(w.server.began)
			w.loop.Examine(true)
			w.after(400 * time.Millisecond)
			if n := len(w.server.began) - before; n < 3 || n > 4 { // the loop's own may be among them
				t.Errorf("%d conversations began within 400 ms", n)
			}
		}
		for range 20 {
			w.loop.Examine(true)
			w.after(100 * time.Millisecond)
		}
		if w.server.most > 10 {
			t.Errorf("%d conversations at a time", w.server.most)
		}
	})
}

// TestExamineLastCallWins: calls never block, and the last one holds.
func TestExamineLastCallWins(t *testing.T) {
	watch(t, true, plain, func(w *watching) {
		w.after(600 * time.Millisecond)
		for range 100 {
			w.loop.Examine(true)
			w.loop.Examine(false)
		}
		w.after(100 * time.Millisecond)
		if n := count(w.after(5*time.Second), fresh); n > 1 {
			t.Errorf("%d fresh conversations: the examination is on", n)
		}
	})
}

// TestNoSpin: a server that accepts and closes is not dialled in a spin.
func TestNoSpin(t *testing.T) {
	watch(t, true, plain, func(w *watching) {
		w.server.with(func() { w.server.closes, w.server.takes = true, 0 })
		w.after(time.Second)
		seen := w.after(10 * time.Second)
		// Each second one that is held and closed, a hint, and one look.
		if n := count(seen, fresh); n < 10 || n > 24 {
			t.Errorf("%d fresh conversations in 10 s", n)
		}
	})
}

// TestSlowPingIsAHint: an answer later than half the timeout.
func TestSlowPingIsAHint(t *testing.T) {
	watch(t, true, plain, func(w *watching) {
		w.after(600 * time.Millisecond)
		w.server.with(func() { w.server.slow = 900 * time.Millisecond })
		if seen := w.after(4 * time.Second); count(seen, hint) != 0 {
			t.Errorf("0.9 s of 2 s is no hint: %+v", seen)
		}
		w.server.with(func() { w.server.slow = 1100 * time.Millisecond })
		seen := w.after(4 * time.Second)
		if count(seen, hint) == 0 {
			t.Errorf("1.1 s of 2 s is a hint: %+v", seen)
		}
		if count(seen, func(r probe.Result) bool { return r.Kind == probe.Session && !r.Hint && r.Failed() }) != 0 {
			t.Error("a session gives OK or hints, never evidence")
		}
	})
}

// TestMoved: a session whose address has left its name's answer is dropped and
// examined.
func TestMoved(t *testing.T) {
	watch(t, true, plain, func(w *watching) {
		w.after(3 * time.Second)
		w.server.with(func() {
			if w.server.sessions != 1 {
				t.Errorf("%d sessions", w.server.sessions)
			}
		})
		w.host.Store("127.0.0.2")
		seen := w.after(12 * time.Second) // the next fresh conversation sees the new address
		moved := slices.IndexFunc(seen, func(r probe.Result) bool { return r.Hint && r.Class == probe.NoAddress })
		if moved < 0 {
			t.Fatalf("the session at the old address lives on: %+v", seen)
		}
		if last := seen[len(seen)-1]; last.Failed() {
			t.Errorf("and the new one is not held: %+v", last)
		}
	})
}

// TestGoodbyes: what is emitted after the end, and what is left open.
func TestGoodbyes(t *testing.T) {
	for name, at := range map[string]time.Duration{"at once": 0, "in the first pause": 5 * time.Millisecond, "with a session": 3 * time.Second} {
		t.Run(name, func(t *testing.T) {
			watch(t, true, plain, func(w *watching) {
				w.after(at)
				w.stop()
				if seen := w.after(0); count(seen, probe.Result.Failed) != 0 {
					t.Errorf("our own end is told as a fault: %+v", seen)
				}
			})
		})
	}
}

// TestEndWithinAHang: Run does not wait for a server that hangs.
func TestEndWithinAHang(t *testing.T) {
	watch(t, true, plain, func(w *watching) {
		w.server.with(func() { w.server.takes = time.Hour })
		w.after(3 * time.Second)
		w.loop.Examine(true)
		w.after(time.Second)
		began := time.Now()
		w.stop()
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v to end", took)
		}
		if seen := w.after(0); count(seen, probe.Result.Failed) != 0 {
			t.Errorf("our own end is told as a fault: %+v", seen)
		}
	})
}

// TestSecretsAreAskedForAnew before each conversation.
func TestSecretsAreAskedForAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		l := &probe.Loop{Emit: func(probe.Result) {}, Protocol: probe.Protocol{Prober: newFakeServer()},
			Pace: probe.Pace{Interval: time.Second, FreshInterval: time.Hour, SuspectInterval: time.Second},
			Target: func() probe.Target {
				asked++
				return probe.Target{URL: probe.URL{Host: "127.0.0.1", Port: "1"}, Addr: netip.AddrPort{}, Timeout: time.Second}
			}}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		l.Run(ctx)
		if asked < 9 {
			t.Errorf("asked %d times in 10 s", asked)
		}
	})
}
