package probe_test

import (
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

// withWrites has the loop write each 10 s.
func withWrites(w *watching) {
	w.loop.Protocol.Writes, w.loop.Pace.WriteInterval = true, 10*time.Second
}

// TestWrites: nothing is written but to an attached endpoint, and what a write
// comes to keeps its class.
func TestWrites(t *testing.T) {
	watch(t, true, withWrites, func(w *watching) {
		if seen := w.after(time.Minute); count(seen, write) != 0 || w.server.deeps != 0 {
			t.Errorf("%d writes to a standby", w.server.deeps)
		}
		w.loop.Write(true)
		if seen := w.after(2 * time.Second); count(seen, write) != 1 {
			t.Errorf("%d writes at once", count(seen, write))
		}
		if seen := w.after(time.Minute); count(seen, write) != 6 {
			t.Errorf("%d writes in a minute", count(seen, write))
		}
		w.server.with(func() { w.server.deep = probe.Timeout })
		hangs := func(r probe.Result) bool { return write(r) && r.Class == probe.Timeout }
		if n := count(w.after(30*time.Second), hangs); n < 10 {
			t.Errorf("%d of them in half a minute of trouble", n)
		}
		w.loop.Write(false)
		w.after(2 * time.Second) // one may be under way
		had := w.server.deeps
		if w.after(time.Minute); w.server.deeps != had {
			t.Errorf("%d writes to what is not attached any more", w.server.deeps-had)
		}
	})
}
