package probe_test

import (
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

func write(r probe.Result) bool { return r.Kind == probe.Write }

// withCanary gives the loop a canary each 30 s.
func withCanary(w *watching) {
	w.loop.Protocol.Canary, w.loop.Protocol.Defaults.CanaryInterval = probe.PhaseWrite, 30*time.Second
}

// TestCanary: it comes soon and then slowly, tells of trouble by a kind of its
// own, looks more often while there is any, and says nothing of what the other
// conversations see as well.
func TestCanary(t *testing.T) {
	watch(t, true, withCanary, func(w *watching) {
		if seen := w.after(2 * time.Second); count(seen, write) != 1 {
			t.Errorf("%d canaries at first", count(seen, write))
		}
		if seen := w.after(60 * time.Second); count(seen, write) != 2 {
			t.Errorf("%d canaries in a minute", count(seen, write))
		}
		w.server.with(func() { w.server.deep = probe.Degraded })
		seen := w.after(60 * time.Second)
		bad := func(r probe.Result) bool { return write(r) && r.Class == probe.Degraded }
		if n := count(seen, bad); n < 6 || n > 8 {
			t.Errorf("%d of them in a minute of trouble", n)
		}
		w.server.with(func() { w.server.deep = probe.Timeout })
		if seen := w.after(10 * time.Second); count(seen, bad) == 0 || count(seen, write) != count(seen, bad) {
			t.Errorf("a server that comes as far as the canary lives: %+v", seen)
		}
		w.server.with(func() { w.server.deep = probe.OK })
		if seen := w.after(11 * time.Second); count(seen, write) < 2 {
			t.Errorf("%d canaries after the trouble: two are needed to believe that it is over", count(seen, write))
		}
		w.after(time.Minute)
		if seen := w.after(time.Minute); count(seen, write) != 2 {
			t.Errorf("%d canaries in a minute, long after the trouble", count(seen, write))
		}
		w.server.die(probe.Refused, time.Millisecond)
		if seen := w.after(2 * time.Minute); count(seen, write) != 0 || count(seen, fresh) == 0 {
			t.Errorf("%d canaries of a dead server", count(seen, write))
		}
	})
}

// TestCanaryIsNotWanted: who says how deep to go gets no canary.
func TestCanaryIsNotWanted(t *testing.T) {
	shallow := func(w *watching) {
		withCanary(w)
		target := w.loop.Target
		w.loop.Target = func() probe.Target { t := target(); t.Depth = probe.PhasePing; return t }
	}
	watch(t, true, shallow, func(w *watching) {
		w.after(time.Minute)
		if w.server.deeps != 0 {
			t.Errorf("%d canaries", w.server.deeps)
		}
	})
}

// deepFacts gives the loop a canary that alone learns a fact, which is wanted or not.
func deepFacts(wanted ...string) func(*watching) {
	return func(w *watching) {
		withCanary(w)
		w.loop.Protocol.Facts = []probe.Fact{
			{Name: "version", Type: "string", Phase: probe.PhaseGreet}, {Name: "confirms", Type: "bool", Phase: probe.PhaseWrite},
		}
		target := w.loop.Target
		w.loop.Target = func() probe.Target { t := target(); t.Wanted = wanted; return t }
		w.server.facts, w.server.deeper = probe.Facts{"version": "1"}, probe.Facts{"confirms": true}
	}
}

// TestCanarysNo: while a fact that only the canary learns is a no, the canary comes
// as often as in any other trouble, and what it learns stays its own.
func TestCanarysNo(t *testing.T) {
	watch(t, true, deepFacts("confirms"), func(w *watching) {
		w.after(2 * time.Second)
		if n := count(w.after(time.Minute), write); n != 2 {
			t.Errorf("%d canaries in a minute of yes", n)
		}
		w.server.with(func() { w.server.deeper = probe.Facts{"confirms": false} })
		w.after(31 * time.Second)
		seen := w.after(time.Minute)
		if n := count(seen, write); n < 11 {
			t.Errorf("%d canaries in a minute of no: nobody would know for long that it is a yes again", n)
		}
		for _, r := range seen {
			if _, known := r.Facts["confirms"]; known != write(r) && !r.Failed() && r.Kind != probe.Session {
				t.Errorf("a conversation of kind %v tells what the canary learnt: %v", r.Kind, r.Facts)
			}
		}
	})
}

// TestCanaryWhenExamined: an examination asks the canary at once for what only it
// learns, where that is wanted.
func TestCanaryWhenExamined(t *testing.T) {
	for wanted, want := range map[string]int{"confirms": 1, "version": 0} {
		watch(t, true, deepFacts(wanted), func(w *watching) {
			w.after(2 * time.Second)
			w.loop.Examine(true)
			if n := count(w.after(2*time.Second), write); n != want {
				t.Errorf("%s is wanted: %d canaries at once, want %d", wanted, n, want)
			}
			w.loop.Examine(true)
			if n := count(w.after(2*time.Second), write); n != 0 {
				t.Errorf("%s is wanted: %d canaries more while the examination goes on", wanted, n)
			}
			w.loop.Examine(false)
		})
	}
}
