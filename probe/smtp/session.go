package smtp

import (
	"context"
	"errors"
	"time"

	"github.com/reattach/reattach/probe"
)

// endTime bounds the farewell of a conversation that failed.
const endTime = 100 * time.Millisecond

// session is a conversation that is not yet over.
type session struct {
	c       *probe.Conn
	t       probe.Target
	greeted bool // the greeting is read: we may speak
	over    bool // the server said that it closes
	offer   offer
	broken  *probe.Result // the failure that ended the session
}

// command says line and hears the reply. When saying fails, the server's last
// words may lie in the buffer: they say more than the error.
func (s *session) command(line string) (reply, error) {
	_, failed := s.c.Write([]byte(line + "\r\n"))
	r, err := s.hear()
	if failed != nil && err != nil {
		err = failed
	}
	return r, err
}

// hear reads one reply, with a bound of its own.
func (s *session) hear() (reply, error) {
	s.c.Grant(probe.ReadLimit)
	r, err := readReply(s.c.Reader())
	if r.code == 421 {
		s.over = true
	}
	return r, err
}

// do says line and wants it done.
func (s *session) do(v verb, line string) error {
	r, err := s.command(line)
	if err != nil {
		return err
	}
	if !r.positive() {
		return refusal(v, r, s.c.Encrypted())
	}
	return nil
}

// Ping is a NOOP. All but OK is a hint; after a failure the session is of no
// more use.
func (s *session) Ping(ctx context.Context) probe.Result {
	if s.broken != nil {
		return *s.broken
	}
	s.c.Begin(ctx, probe.PhasePing)
	return s.result(ctx, s.do(noop, "NOOP"))
}

// Wait blocks until ctx is done or the server closes, which it announces by a
// reply that nobody asked for.
func (s *session) Wait(ctx context.Context) probe.Result {
	if s.broken != nil {
		return *s.broken
	}
	s.c.Begin(ctx, probe.PhasePing)
	spoke, err := s.c.WaitByte(ctx)
	if !spoke && err == nil {
		return s.result(ctx, nil)
	}
	if spoke {
		s.c.Begin(ctx, probe.PhasePing)
		var r reply
		if r, err = s.hear(); err == nil {
			err = refusal(every, r, s.c.Encrypted())
		}
	}
	return s.result(ctx, err)
}

func (s *session) result(ctx context.Context, err error) probe.Result {
	r := s.c.Result(ctx, err)
	r.Kind, r.Hint = probe.Session, err != nil
	if err != nil {
		s.broken = &r
	}
	return r
}

// Close says QUIT, waits for the answer and closes the connection.
func (s *session) Close(ctx context.Context) {
	class := probe.OK
	if s.broken != nil {
		class = s.broken.Class
	}
	s.farewell(ctx, class)
	s.c.Close()
}

// end closes a conversation that failed with class. It takes next to no time.
func (s *session) end(ctx context.Context, class probe.Class) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	s.farewell(ctx, class)
	s.c.Close()
}

// farewell says QUIT where the server can hear it, and may: not before its
// whole greeting.
func (s *session) farewell(ctx context.Context, class probe.Class) {
	switch class {
	case probe.Timeout, probe.Reset, probe.Garbled, probe.Refused, probe.Unreachable:
		return
	case probe.Local: // there may be no connection, or we were stopped in the middle
		if !s.greeted {
			return
		}
	}
	if s.over || !s.greeted && s.t.URL.Scheme == "smtps" {
		return
	}
	s.c.Begin(ctx, probe.PhasePing)
	if !s.greeted {
		if err := s.greet(); err != nil && !errors.As(err, new(probe.Failure)) {
			return
		}
	}
	_, _ = s.command("QUIT")
}
