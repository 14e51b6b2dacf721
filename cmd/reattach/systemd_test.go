package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reattach/reattach/failover"
)

// listener is a service manager that notes what it is told, and when.
type listener struct {
	*supervisor
	began time.Time
	mu    sync.Mutex
	said  []string
}

// heard is what was said since it was last asked for with forget.
func (l *listener) heard(forget bool) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	said := slices.Clone(l.said)
	if forget {
		l.said = nil
	}
	return said
}

// listening starts a supervisor in a bubble; it ends with it.
func listening(t *testing.T, s *supervisor) *listener {
	l := &listener{supervisor: s, began: time.Now()}
	s.log = slog.New(slog.DiscardHandler)
	s.tell = func(state string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.said = append(l.said, time.Since(l.began).String()+" "+state)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if last := l.said[len(l.said)-1]; !strings.HasSuffix(last, " STOPPING=1") {
			t.Errorf("the last word is %q", last)
		}
	})
	return l
}

func (l *listener) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (l *listener) has(words string) bool {
	return slices.ContainsFunc(l.heard(false), func(s string) bool { return strings.Contains(s, words) })
}

func well(context.Context) error { return nil }

func blind(why string) func(context.Context) (failover.Status, error) {
	return func(context.Context) (failover.Status, error) { return failover.Status{Blind: why}, nil }
}

// It is ready once the store was read; a store that is away delays it by 5 s.
func TestSupervisorIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listening(t, &supervisor{healthy: well, status: blind("")})
		l.wait(time.Millisecond)
		if want := "0s READY=1\nSTATUS=0 of 0 resources protected"; !slices.Equal(l.heard(false), []string{want}) {
			t.Errorf("heard %q, want %q", l.heard(false), want)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		l := listening(t, &supervisor{healthy: well, status: blind("the store has not answered yet")})
		l.wait(4900 * time.Millisecond)
		if h := l.heard(false); len(h) > 0 {
			t.Errorf("before the store was read: %q", h)
		}
		l.wait(200 * time.Millisecond)
		if !l.has("5s READY=1\nSTATUS=0 of 0 resources protected; blind: the store has not answered yet") {
			t.Errorf("heard %q", l.heard(false))
		}
	})
}

// A reload before that must not make it ready early.
func TestSupervisorReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listening(t, &supervisor{healthy: well, status: blind("away")})
		l.wait(time.Second)
		done := 0
		l.reload(t.Context(), func() { done++ })
		if h := l.heard(false); len(h) > 0 {
			t.Errorf("heard %q before it was ready", h)
		}
		l.wait(5 * time.Second)
		l.heard(true)
		l.reload(t.Context(), func() { done++; l.tell("reading") })
		if h := l.heard(false); len(h) != 3 || done != 2 || !strings.Contains(h[0], "RELOADING=1\nMONOTONIC_USEC=") || !strings.Contains(h[1], "reading") || !strings.Contains(h[2], "READY=1\nSTATUS=0 of 0") {
			t.Errorf("%d reloads, heard %q", done, h)
		}
		(*supervisor)(nil).reload(t.Context(), func() { done++ })
		if done != 3 {
			t.Error("without a service manager nothing is reloaded")
		}
	})
}

// Signs of life come twice in the time, and only while the engine's loop turns:
// not from one that stands, nor from one that answers too late.
func TestSupervisorFeedsTheWatchdog(t *testing.T) {
	const life = "WATCHDOG=1"
	synctest.Test(t, func(t *testing.T) {
		var stands atomic.Bool
		var late atomic.Int64
		l := listening(t, &supervisor{watchdog: 10 * time.Second, status: blind(""), healthy: func(ctx context.Context) error {
			if stands.Load() {
				<-ctx.Done()
				return ctx.Err()
			}
			select {
			case <-time.After(time.Duration(late.Load())):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}})
		signs := func() (n int) {
			for _, s := range l.heard(true) {
				if strings.Contains(s, life) {
					n++
				}
			}
			return n
		}
		l.wait(20500 * time.Millisecond)
		if n := signs(); n != 4 {
			t.Errorf("%d signs of life in 20 s, want one each 5 s", n)
		}
		stands.Store(true)
		l.wait(20 * time.Second)
		if n := signs(); n != 0 {
			t.Errorf("%d signs of life from a loop that stands", n)
		}
		stands.Store(false)
		late.Store(int64(4 * time.Second))
		l.wait(20 * time.Second)
		if n := signs(); n != 0 {
			t.Errorf("%d signs of life from a loop that takes 4 s of 10", n)
		}
		late.Store(int64(time.Second))
		l.wait(20 * time.Second)
		if n := signs(); n < 3 {
			t.Errorf("%d signs of life from a loop that turns again", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		l := listening(t, &supervisor{status: blind(""), healthy: well})
		l.wait(time.Minute)
		if l.has(life) {
			t.Errorf("nobody asked for a sign of life: %q", l.heard(false))
		}
	})
}

// The line changes with what it says, and is sent only then.
func TestSupervisorSaysHowItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now atomic.Pointer[failover.Status]
		now.Store(&failover.Status{})
		l := listening(t, &supervisor{healthy: well, status: func(context.Context) (failover.Status, error) {
			if st := now.Load(); st != nil {
				return *st, nil
			}
			return failover.Status{}, errors.New("gone")
		}})
		l.wait(time.Minute)
		if h := l.heard(true); len(h) != 1 {
			t.Errorf("nothing changed, and it says %q", h)
		}
		bad := status()
		bad.Blind, bad.Paused = "the store\nhas not answered", "by ana"
		bad.Notices = append(bad.Notices, failover.Notice{Event: "config_not_reloaded"}, failover.Notice{Event: "config_not_reloaded"})
		now.Store(&bad)
		l.wait(3 * time.Second)
		want := " STATUS=1 of 3 resources protected; 1 held; blind: the store has not answered; everything is paused; the new configuration was not taken"
		if h := l.heard(true); len(h) != 1 || !strings.HasSuffix(h[0], want) {
			t.Errorf("%q, want …%s", h, want)
		}
		// What a reload says on its way is not taken for the last word.
		now.Store(&failover.Status{})
		l.reload(t.Context(), func() {})
		now.Store(&bad)
		l.heard(true)
		l.wait(3 * time.Second)
		if !l.has("STATUS=1 of 3 resources protected") {
			t.Errorf("after a reload: %q", l.heard(false))
		}
		now.Store(nil)
		l.wait(3 * time.Second)
		if !l.has("STATUS=the engine does not answer") {
			t.Errorf("%q", l.heard(false))
		}
	})
}
