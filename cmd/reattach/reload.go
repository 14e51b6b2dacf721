package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/probe"
)

// Times of a reload.
const (
	secretsEvery = 2 * time.Second  // the secrets' files are looked at
	reloadTime   = 10 * time.Second // for the engine to answer
	reloadPause  = time.Minute      // after a reload that nobody asked for failed
)

// rejected is a tap that notices rejected credentials: perhaps a secret's file
// has changed since.
type rejected struct{ hint chan<- struct{} }

// Saw implements failover.Tap.
func (r rejected) Saw(_ time.Time, event failover.Event, _ []failover.Effect) {
	if o, ok := event.(failover.Observed); ok && o.Result.Class == probe.Auth {
		select {
		case r.hint <- struct{}{}:
		default:
		}
	}
}

// reloads reads the configuration again at each SIGHUP, and when a secret's
// file has changed, until ctx ends.
func (s *service) reloads(ctx context.Context, hangups <-chan os.Signal) error {
	tick := time.NewTicker(secretsEvery)
	defer tick.Stop()
	var quiet time.Time // until then only a person makes us try again
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
			s.reload(ctx, "SIGHUP")
			continue
		case <-tick.C:
		case <-s.hint:
		}
		if time.Now().After(quiet) && s.conf.Load().Files.Changed() && !s.reload(ctx, "a secret's file changed") {
			quiet = time.Now().Add(reloadPause)
		}
	}
}

// reload puts the configuration in force that is on disk now, or says why the
// running one stays. It reports, and counts, which.
func (s *service) reload(ctx context.Context, why string) bool {
	taken := s.tryReload(ctx, s.log.With("because", why))
	s.metrics.Reloaded(taken)
	return taken
}

func (s *service) tryReload(ctx context.Context, log *slog.Logger) bool {
	conf, diags := configs.Load(s.paths, s.options)
	for _, d := range diags {
		log.Warn(d.Message, "severity", d.Severity.String(), "file", d.File, "line", d.Line, "hint", d.Hint)
	}
	if conf == nil {
		log.Error("the configuration has mistakes: the running one stays")
		return false
	}
	changes := configs.Diff(s.conf.Load(), conf)
	if len(changes.Restart) > 0 {
		log.Error("the configuration was refused, because this takes a restart: the running one stays", "what", changes.Restart)
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	answer, err := s.daemon.Reload(ctx, engineConfig(conf))
	switch {
	case err != nil:
		log.Error("the configuration was not taken: the running one stays", "error", err)
		return false
	case !answer.Done:
		log.Error("the configuration was refused: the running one stays", "why", answer.Text, "hint", answer.Hint)
		return false
	}
	s.conf.Store(conf)
	log.Info("the configuration is in force", "added", changes.Added, "removed", changes.Removed, "changed", changes.Changed, "tokens", changes.Tokens)
	return true
}
