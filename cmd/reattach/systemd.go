package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/reattach/reattach/failover"
)

// Times of what a service manager is told.
const (
	readyWithin = 5 * time.Second // a store that is away must not hinder the machine's boot
	readyEvery  = 50 * time.Millisecond
	statusEvery = 2 * time.Second
	statusTime  = time.Second // for the engine to say how it is
)

// supervisor tells systemd, or whoever owns NOTIFY_SOCKET, how the daemon fares:
// ready, reloading, stopping, in one line how it is, and, as long as the engine's
// loop turns, that it lives. Each is sent whole, in one datagram.
type supervisor struct {
	tell     func(state string)
	healthy  func(context.Context) error // returns nil once the engine's loop has turned
	status   func(context.Context) (failover.Status, error)
	watchdog time.Duration // it is restarted after so long without a sign of life; 0: never
	log      *slog.Logger

	mu    sync.Mutex
	ready bool   // it has said so
	last  string // line that it has said
}

// newSupervisor returns nil where nobody asked to be told.
func newSupervisor(d *failover.Daemon, log *slog.Logger) (*supervisor, error) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil, nil
	}
	watchdog, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		return nil, err
	}
	failed := false
	tell := func(state string) {
		if _, err := sd.SdNotify(false, state); err != nil && !failed {
			failed = true
			log.Warn("the service manager cannot be told how the daemon is", "error", err)
		}
	}
	return &supervisor{tell: tell, healthy: d.Healthy, status: d.Status, watchdog: watchdog, log: log}, nil
}

// run speaks until ctx ends. The doors are open when it begins.
func (s *supervisor) run(ctx context.Context) error {
	defer s.tell(sd.SdNotifyStopping)
	s.awaitStore(ctx)
	if ctx.Err() != nil {
		return nil
	}
	s.say(ctx, sd.SdNotifyReady)
	status := time.NewTicker(statusEvery)
	defer status.Stop()
	var alive <-chan time.Time
	if s.watchdog > 0 {
		ticker := time.NewTicker(s.watchdog / 2)
		defer ticker.Stop()
		alive = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-alive:
			s.feed(ctx)
		case <-status.C:
			s.say(ctx, "")
		}
	}
}

// awaitStore returns once the store was read, and after a while in any case.
func (s *supervisor) awaitStore(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		if st, err := s.status(ctx); err == nil && st.Blind == "" {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// feed gives a sign of life if the engine's loop turns. A daemon whose loop
// stands can only be helped by a restart, which is what follows without it.
func (s *supervisor) feed(ctx context.Context) {
	bound, cancel := context.WithTimeout(ctx, s.watchdog/4)
	defer cancel()
	switch err := s.healthy(bound); {
	case err == nil:
		s.tell(sd.SdNotifyWatchdog)
	case ctx.Err() == nil:
		s.log.Error("the engine's loop does not turn: no sign of life is given to the service manager", "error", err)
	}
}

// say says a word, if there is one, and how the daemon is, if that has changed.
func (s *supervisor) say(ctx context.Context, word string) {
	line := s.line(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = s.ready || word == sd.SdNotifyReady
	if word != "" {
		s.tell(word + "\nSTATUS=" + line)
	} else if line != s.last {
		s.tell("STATUS=" + line)
	}
	s.last = line
}

// line says in one line how the daemon is.
func (s *supervisor) line(ctx context.Context) string {
	bound := statusTime
	if s.watchdog > 0 {
		bound = min(bound, s.watchdog/4)
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	st, err := s.status(ctx)
	if err != nil {
		return "the engine does not answer"
	}
	return statusLine(st)
}

// statusLine is what systemctl status shows.
func statusLine(st failover.Status) string {
	protected, held := 0, 0
	for _, r := range st.Resources {
		if r.Protected {
			protected++
		}
		if r.Hold != nil {
			held++
		}
	}
	parts := []string{fmt.Sprintf("%d of %s protected", protected, plural(len(st.Resources), "resource"))}
	if held > 0 {
		parts = append(parts, fmt.Sprintf("%d held", held))
	}
	if st.Blind != "" {
		parts = append(parts, "blind: "+st.Blind)
	}
	if st.Paused != "" {
		parts = append(parts, "everything is paused")
	}
	for _, n := range st.Notices {
		if n.Event == "config_not_reloaded" && !n.Over {
			parts = append(parts, "the new configuration was not taken")
			break
		}
	}
	return clean(strings.Join(parts, "; "))
}

// reload has f read the configuration again, and says when that begins and when
// it is done: systemctl reload waits for it. Its result stands in the status.
func (s *supervisor) reload(ctx context.Context, f func()) {
	if s == nil || !s.isReady() { // who is not ready yet must not say so early
		f()
		return
	}
	s.tell(sd.SdNotifyReloading + "\n" + strings.TrimSpace(sd.SdNotifyMonotonicUsec()))
	f()
	s.say(ctx, sd.SdNotifyReady)
}

func (s *supervisor) isReady() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready
}
