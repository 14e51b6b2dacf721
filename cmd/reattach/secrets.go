package main

import (
	"context"
	"errors"
	"time"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/probe"
)

// Times of the look at the files that the configuration names.
const (
	secretsEvery  = 2 * time.Second        // they are looked at; sooner after a rejection
	secretsSettle = 250 * time.Millisecond // and taken once they have said the same for so long
	secretsRetry  = time.Minute            // until what was refused is tried again
)

// rejected is a tap that notices rejected credentials, a server's or the
// store's: perhaps a secret's file has changed since.
type rejected struct{ hint chan<- struct{} }

// Saw implements failover.Tap.
func (r rejected) Saw(_ time.Time, event failover.Event, _ []failover.Effect) {
	switch e := event.(type) {
	case failover.Observed:
		if e.Result.Class != probe.Auth {
			return
		}
	case failover.Answered:
		if !errors.Is(e.Err, failover.ErrDenied) {
			return
		}
	case failover.Changed:
		if !errors.Is(e.Err, failover.ErrDenied) {
			return
		}
	default:
		return
	}
	select {
	case r.hint <- struct{}{}:
	default: // one is waiting
	}
}

// glance is what a look at the files comes to.
type glance uint8

const (
	same      glance = iota // as it is in force
	unsettled               // something else, perhaps half written: look again soon
	refusal                 // what was not taken a moment ago
	settled                 // something else, and to be taken
)

// secrets remembers what the files said, and decides when that is taken.
type secrets struct {
	seen, refused configs.Contents
	since, retry  time.Time // when seen was first said, and when refused is tried again
}

// look takes in what the files of the configuration in force say now.
func (w *secrets) look(now time.Time, files configs.Files, said configs.Contents) glance {
	if w.seen == nil || !said.Equal(w.seen) {
		w.seen, w.since = said, now
	}
	switch {
	case files.Say(said):
		return same
	case now.Sub(w.since) < secretsSettle:
		return unsettled
	case w.refused != nil && said.Equal(w.refused) && now.Before(w.retry):
		return refusal
	}
	return settled
}

// lookAtSecrets takes what the files say, if it is something else than is in
// force. Of the configuration itself nothing is read: an edit of it waits until
// somebody asks for it.
func (s *service) lookAtSecrets(ctx context.Context) glance {
	files := s.conf.Load().Files
	said := files.Read()
	found := s.secrets.look(time.Now(), files, said)
	switch found {
	case settled:
		s.reread(ctx, said)
	case same:
		if s.refused.files != "" { // they say again what they said before
			s.refused.files = ""
			s.tell(ctx, true)
		}
	}
	return found
}

// reread puts in force what the files say, or tells why not.
func (s *service) reread(ctx context.Context, said configs.Contents) {
	log := s.log.With("because", "a file that it names changed")
	conf, diags := s.conf.Load().Reread(said, s.options)
	err := s.take(ctx, log, conf, diags, s.daemon.Reread)
	s.refused.files = ""
	if err != nil {
		log.Error("what a file says now was not taken: what it said before stays", "why", err.Error())
		s.refused.files = err.Error()
		if s.refused.configuration == "" {
			s.refused.next = nextAfter(err, diags, s.paths)
		}
		s.secrets.refused, s.secrets.retry = said, time.Now().Add(secretsRetry)
	}
	s.tell(ctx, err == nil)
}
