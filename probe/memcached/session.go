package memcached

import (
	"context"
	"time"

	"github.com/reattach/reattach/probe"
)

// session is a conversation, held open or about to end.
type session struct {
	c    *probe.Conn
	meta bool // the server knows "mn"
	out  []byte
}

// What a ping says, and what is said to it. "mn" does nothing at all; servers
// before 1.6 do not know it.
var (
	askNoop    = []byte("mn\r\n")
	askVersion = []byte("version\r\n")
	askStats   = []byte("stats\r\n")
	askQuit    = []byte("quit\r\n")
)

// Ping implements probe.Held by "mn", or by "version" where the server is
// older than that. A failure is a hint, never evidence.
func (s *session) Ping(ctx context.Context) probe.Result {
	s.c.Begin(ctx, probe.PhasePing)
	return s.hint(ctx, s.ping())
}

func (s *session) ping() error {
	if !s.meta {
		_, err := s.version()
		return err
	}
	line, err := s.ask(askNoop)
	if err != nil {
		return err
	}
	if string(line) != "MN" {
		return parseRefusal(line)
	}
	return nil
}

// Wait implements probe.Held. Memcached never speaks unasked but to refuse.
func (s *session) Wait(ctx context.Context) probe.Result {
	spoke, err := s.c.WaitByte(ctx)
	if !spoke && err == nil {
		return probe.Result{Kind: probe.Session, Class: probe.OK}
	}
	s.c.Begin(ctx, probe.PhasePing)
	if spoke {
		var line []byte
		if line, err = s.line(); err == nil {
			err = parseRefusal(line)
		}
	}
	return s.hint(ctx, err)
}

func (s *session) hint(ctx context.Context, err error) probe.Result {
	r := s.c.Result(ctx, err)
	r.Kind, r.Hint = probe.Session, err != nil
	return r
}

// farewell bounds the goodbye of a conversation that failed.
const farewell = 250 * time.Millisecond

// end says goodbye to a conversation that failed, even when ctx has ended.
func (s *session) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	s.Close(ctx)
}

// Close implements probe.Held.
func (s *session) Close(ctx context.Context) {
	defer s.c.Close()
	s.c.Bind(ctx)
	_, _ = s.c.Write(askQuit)
}
