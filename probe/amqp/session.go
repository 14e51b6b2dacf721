package amqp

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/reattach/reattach/probe"
)

// endTime bounds the farewell of a conversation that failed, and whatever else
// is said in passing.
const endTime = 100 * time.Millisecond

// nack is the code of a message that the broker could not take.
const nack = "nack"

// session is a conversation that stays open.
type session struct {
	c        *probe.Conn
	t        probe.Target
	user     string
	password probe.Secret
	// saysRefused: the broker promised to answer a wrong password.
	saysRefused bool
	reached     probe.Phase       // the last phase that was completed
	channels    uint16            // as many may be open at a time; 0 for any number
	asked       map[uint16]string // the facts that are asked for, by channel
	returned    bool              // the last message found no queue
	missing     []string          // what the account would need a right for
	closed      bool              // the broker said close
	blocked     *probe.Failure    // an alarm keeps publishers back
	broken      *probe.Result     // the failure that ended the session
	heartbeat   time.Duration     // agreed on; 0 for none
	sent        time.Time         // when we last sent anything
}

// send writes b. When that fails, the broker's last words may lie in the
// buffer: they say more than the error.
func (s *session) send(b []byte) error {
	s.sent = time.Now()
	_, err := s.c.Write(b)
	if err == nil {
		return nil
	}
	if _, last := s.expect(connectionClose); s.closed {
		return last
	}
	return err
}

// expect reads until the method want comes, and returns its arguments, which
// are good until the next read. What a broker may say at any time is taken in.
func (s *session) expect(want method) ([]byte, error) {
	limit := startLimit
	if s.reached >= probe.PhaseAuth {
		limit = heldLimit
	}
	for {
		f, err := readFrame(s.c.Reader(), limit)
		if err != nil {
			return nil, err
		}
		if f.kind == frameMethod && f.method == want && want != connectionClose {
			return f.args, nil
		}
		if err := s.heard(f); err != nil {
			return nil, err
		}
	}
}

// heard takes in what nobody asked for: heartbeats, alarms, a returned message,
// last words; and the answers to what [session.ask] asked, whenever they come.
func (s *session) heard(f frame) error {
	if f.kind != frameMethod {
		return nil
	}
	if f.channel > 1 {
		return s.answered(f)
	}
	switch f.method {
	case connectionClose:
		s.closed = true
		s.bye(0, connectionCloseOk)
		return failure(f.args)
	case channelClose:
		s.bye(f.channel, channelCloseOk)
		return failure(f.args)
	case connectionBlocked:
		if s.blocked == nil { // a broker says it once
			s.blocked = blocked(f.args)
		}
	case connectionUnblocked:
		s.blocked = nil
	case connectionSecure:
		return probe.Failure{Class: probe.Misconfigured, Text: "the broker wants more than a password"}
	case basicNack:
		return probe.Failure{Class: probe.Degraded, Code: nack, Text: "the broker could not take a message"}
	case basicReturn:
		s.returned = true
	case basicAck: // late
	default:
		return garbled("the method %v, which nobody asked for", f.method)
	}
	return nil
}

// bye answers or says a close; an error then changes nothing.
func (s *session) bye(channel uint16, m method) {
	var e encoder
	e.begin(channel, m)
	if m == connectionClose {
		e.u16(200).short("goodbye").u16(0).u16(0)
	}
	s.sent = time.Now()
	_, _ = s.c.Write(e.end().b)
}

// qos is basic.qos without any limit, which is what a channel has anyway.
var qos = new(encoder).begin(1, basicQos).u32(0).u16(0).u8(0).end().b

// beat is the heartbeat frame.
var beat = []byte{frameHeartbeat, 0, 0, 0, 0, 0, 0, frameEnd}

// roundTrip is the ping: basic.qos and its answer.
func (s *session) roundTrip() error {
	if err := s.send(qos); err != nil {
		return err
	}
	_, err := s.expect(basicQosOk)
	return err
}

// Ping makes one round trip. While the broker blocks this connection it would
// not answer, so that is the result. All but OK is a hint; after a failure
// the session is of no more use.
func (s *session) Ping(ctx context.Context) probe.Result {
	if s.broken != nil {
		return *s.broken
	}
	s.c.Begin(ctx, probe.PhasePing)
	var err error
	switch {
	case s.blocked != nil:
	case s.reached < probe.PhasePing:
		err = s.converse(ctx, probe.PhasePing)
	default:
		err = s.roundTrip()
	}
	if err != nil {
		return s.ended(ctx, err)
	}
	return s.standing(ctx)
}

// Wait blocks until the broker says or does something that nobody asked for,
// and keeps the heartbeat going meanwhile. The beginning of an alarm is told
// once; its end is not.
func (s *session) Wait(ctx context.Context) probe.Result {
	if s.broken != nil {
		return *s.broken
	}
	s.c.Begin(ctx, probe.PhasePing)
	unasked := 0 // bytes, about
	for {
		was := s.blocked
		size, over, err := s.listen(ctx)
		if unasked += size; unasked > probe.ReadLimit {
			err = garbled("more than %d KiB that nobody asked for", probe.ReadLimit>>10)
		}
		switch {
		case err != nil:
			return s.ended(ctx, err)
		case over:
			r := s.c.Result(ctx, nil)
			r.Kind = probe.Session
			return r
		case was == nil && s.blocked != nil:
			return s.standing(ctx)
		}
	}
}

// listen hears one frame, whose size it returns, or sends the heartbeat when that
// is due. over says that ctx came first.
func (s *session) listen(ctx context.Context) (size int, over bool, err error) {
	until := ctx
	deadline, bounded := ctx.Deadline()
	if due := s.sent.Add(s.heartbeat / 2); s.heartbeat > 0 && (!bounded || due.Before(deadline)) {
		var cancel context.CancelFunc
		until, cancel = context.WithDeadline(ctx, due)
		defer cancel()
	}
	s.c.Bind(until)
	f, err := readFrame(s.c.Reader(), heldLimit)
	s.c.Bind(ctx)
	switch {
	case err == nil:
		return headerSize + len(f.args) + 1, false, s.heard(f)
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return 0, false, err
	}
	if until == ctx || ctx.Err() != nil {
		return 0, true, nil
	}
	return 0, false, s.beat(ctx)
}

// beat sends the heartbeat, in a time of its own: that ctx ends just now must
// not break the session.
func (s *session) beat(ctx context.Context) error {
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	s.c.Bind(own)
	defer s.c.Bind(ctx)
	return s.send(beat)
}

// standing is the result of an exchange after which the session goes on.
func (s *session) standing(ctx context.Context) probe.Result {
	var err error
	if s.blocked != nil {
		err = *s.blocked
	}
	r := s.c.Result(ctx, err)
	r.Kind, r.Hint = probe.Session, r.Failed()
	return r
}

// ended is the result of the exchange that ended the session.
func (s *session) ended(ctx context.Context, err error) probe.Result {
	r := s.c.Result(ctx, err)
	r.Kind, r.Hint = probe.Session, true
	s.broken = &r
	return r
}

// Close says goodbye and closes the connection.
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

// farewell says goodbye where the broker can hear it. While it blocks us it
// reads nothing, and is not waited for.
func (s *session) farewell(ctx context.Context, class probe.Class) {
	if s.closed || s.reached < probe.PhaseAuth || class == probe.Timeout || class == probe.Reset || class == probe.Garbled {
		return
	}
	s.c.Begin(ctx, probe.PhasePing)
	s.bye(0, connectionClose)
	if s.blocked == nil {
		_, _ = s.expect(connectionCloseOk)
	}
}
