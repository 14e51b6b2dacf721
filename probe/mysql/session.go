package mysql

import (
	"context"
	"net/netip"
	"time"

	"github.com/reattach/reattach/probe"
)

// state is how far a conversation has come, which is how it must be ended.
type state uint8

const (
	lost     state = iota // nothing that could be said would be understood
	dialled               // the server's greeting is still to be read
	greeted               // the server waits for a login
	loggedIn              // the server waits for a command
	spent                 // a command failed: all that is left is the goodbye
)

// session is a conversation, held open or about to end.
type session struct {
	w        wire
	greeting greeting
	state    state
	writable bool
	ours     *ours
	server   netip.AddrPort
	counted  bool   // among ours
	missing  string // privileges
}

// errShallow is what a ping comes to where depth ended before the login.
var errShallow = probe.Failure{Class: probe.Misconfigured, Text: "there is nothing to ping: the conversation ended before the login"}

// Ping implements probe.Held by COM_PING. A failure is a hint, never evidence.
func (s *session) Ping(ctx context.Context) probe.Result {
	s.w.c.Begin(ctx, probe.PhasePing)
	if s.state != loggedIn {
		return s.hint(ctx, errShallow)
	}
	err := s.w.ping()
	if err != nil {
		s.state = spent
	}
	return s.hint(ctx, err)
}

// Wait implements probe.Held. An error packet that nobody asked for is the
// server's last words (1053 on shutdown, 1927 on KILL, 4031 on idleness).
func (s *session) Wait(ctx context.Context) probe.Result {
	spoke, err := s.w.c.WaitByte(ctx)
	if !spoke && err == nil {
		return probe.Result{Kind: probe.Session, Class: probe.OK}
	}
	s.state = spent
	s.w.c.Begin(ctx, probe.PhasePing)
	if spoke {
		err = s.lastWords()
	}
	return s.hint(ctx, err)
}

// lastWords reads what the server said unasked, which is never nothing.
func (s *session) lastWords() error {
	p, err := s.w.read()
	switch {
	case err != nil:
		return err
	case p[0] != 0xff:
		return garbled("a packet %#x that nobody asked for", p[0])
	}
	return parseError(p)
}

func (s *session) hint(ctx context.Context, err error) probe.Result {
	r := s.w.c.Result(ctx, err)
	r.Kind, r.Hint = probe.Session, err != nil
	return r
}

// farewell bounds the goodbye of a conversation that failed.
const farewell = 250 * time.Millisecond

// close ends a conversation that failed, as politely as is possible. It does so
// even when ctx has ended: to leave without a word is what servers count.
func (s *session) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	s.Close(ctx)
}

// Close implements probe.Held: COM_QUIT, or what stands for it before a login.
func (s *session) Close(ctx context.Context) {
	defer s.count(-1)
	defer s.w.c.Close()
	s.w.c.Bind(ctx)
	switch s.state {
	case dialled:
		if s.greet() == nil {
			s.w.leave(s.greeting)
		}
	case greeted:
		s.w.leave(s.greeting)
	case loggedIn, spent:
		s.w.quit()
	}
	s.state = lost
}
