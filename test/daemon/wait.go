package daemon

import (
	"testing"
	"time"
)

// patience is how long a test waits for something at least: how fast it comes is
// for benchmarks to say, and a busy machine is no defect.
const patience = 30 * time.Second

// Eventually asks again and again until good is true, and fails the test after
// the limit, or patience where that is longer, with what describe says then.
func Eventually(t testing.TB, limit time.Duration, what string, good func() bool, describe ...func() string) {
	t.Helper()
	limit = max(limit, patience)
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !good() {
		select {
		case <-tick.C:
		case <-deadline.C:
			for _, d := range describe {
				t.Log(d())
			}
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// Throughout asks all the time for d, and fails the test as soon as good is false.
func Throughout(t testing.TB, d time.Duration, what string, good func() bool, describe ...func() string) {
	t.Helper()
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if !good() {
			for _, f := range describe {
				t.Log(f())
			}
			t.Fatalf("not any more: %s", what)
		}
		select {
		case <-tick.C:
		case <-end.C:
			return
		}
	}
}
