package amqp

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/reattach/reattach/probe"
)

// header is what a client says first: AMQP 0-9-1.
const header = "AMQP\x00\x00\x09\x01"

// The heartbeat that is agreed on, in seconds: shorter ones give false alarms,
// longer ones leave the broker with dead sessions. A conversation that
// publishes takes the shortest, because a broker that blocked it notices that
// it has gone by nothing else.
const minBeat, maxBeat = 10, 60

type prober struct{}

// Open has one conversation with t.Addr. While one password is refused and
// another is left, it tries again with a new connection: a broker takes only
// one for each.
func (prober) Open(ctx context.Context, t probe.Target) (probe.Held, probe.Result) {
	user, passwords := t.Credentials()
	if user == "" { // as every client does for such a URL
		user, passwords = "guest", []probe.Secret{"guest"}
	}
	if t.TLS.Mode == probe.TLSDefault && t.URL.Scheme == "amqps" {
		t.TLS.Mode = probe.TLSVerify
	}
	for i, password := range passwords {
		s, r := open(ctx, t, user, password)
		if s != nil {
			if r.Phase >= probe.PhaseAuth {
				t.Took(password)
			}
			return s, r
		}
		if r.Class != probe.Auth || i == len(passwords)-1 {
			return nil, r
		}
	}
	return nil, probe.Result{} // not reached: there is at least one password
}

func open(ctx context.Context, t probe.Target, user string, password probe.Secret) (*session, probe.Result) {
	c, err := probe.Dial(ctx, t)
	s := &session{c: c, t: t, user: user, password: password, reached: probe.PhaseConnect}
	if err == nil {
		depth := t.Depth
		if depth == probe.PhaseNone {
			depth = probe.PhaseRole
		}
		err = s.converse(ctx, depth)
	}
	r := c.Result(ctx, err)
	if err != nil {
		s.end(ctx, r.Class)
		return nil, r
	}
	for _, fact := range s.t.Wanted { // a ping asks for none of them again
		if kind, _ := named(fact); kind == queue || kind == exchange || kind == confirms {
			c.Forget(fact)
		}
	}
	return s, r
}

// converse goes through the phases that are still to come, as far as depth.
func (s *session) converse(ctx context.Context, depth probe.Phase) error {
	name, err := vhost(s.t.URL)
	if err != nil {
		return probe.Failure{Class: probe.Misconfigured, Text: err.Error()}
	}
	for _, step := range []struct {
		phase probe.Phase
		do    func() error
	}{
		{probe.PhaseTLS, func() error { return s.encrypt(ctx) }},
		{probe.PhaseGreet, s.greet},
		{probe.PhaseAuth, func() error { return s.authenticate(name) }},
		{probe.PhasePing, s.channel},
		{probe.PhaseRole, func() error { return s.ask(ctx) }},
		{probe.PhaseWrite, func() error { return s.publish(ctx) }},
	} {
		if step.phase > depth || step.phase <= s.reached {
			continue
		}
		if err := step.do(); err != nil {
			return err
		}
		s.reached = step.phase
	}
	return nil
}

// encrypt starts TLS where the scheme or the configuration wants it. The
// protocol cannot negotiate it, so "prefer" is what the scheme says.
func (s *session) encrypt(ctx context.Context) error {
	mode, implicit := s.t.TLS.Mode, s.t.URL.Scheme == "amqps"
	if implicit && mode == probe.TLSOff {
		return probe.Failure{Class: probe.TLS, Phase: probe.PhaseTLS, Text: "amqps is TLS, and the TLS mode is off: the scheme without it is amqp"}
	}
	if !implicit && mode < probe.TLSRequire {
		return nil
	}
	return s.c.StartTLS(ctx)
}

// greet says what we speak and hears who the broker is.
func (s *session) greet() error {
	s.c.Enter(probe.PhaseGreet)
	if err := s.send([]byte(header)); err != nil {
		return err
	}
	args, err := s.expect(connectionStart)
	if err != nil {
		return err
	}
	hello, err := parseStart(args)
	if err != nil {
		return err
	}
	for name, text := range hello.facts {
		s.c.Learn(name, text)
	}
	s.saysRefused = hello.saysRefused
	if !slices.Contains(strings.Fields(hello.mechanisms), "PLAIN") {
		return probe.Failure{Class: probe.Misconfigured, Text: "the broker takes no password: it offers " + hello.mechanisms}
	}
	return nil
}

// authenticate sends the credentials and opens the vhost.
func (s *session) authenticate(vhost string) error {
	s.c.Enter(probe.PhaseAuth)
	var e encoder
	e.begin(0, connectionStartOk).table(s.properties)
	e.short("PLAIN").long("\x00" + s.user + "\x00" + s.password.Reveal()).short("en_US").end()
	if err := s.send(e.b); err != nil {
		return err
	}
	args, err := s.expect(connectionTune)
	if err != nil {
		return s.silentRefusal(err)
	}
	limits, err := parseTune(args)
	if err != nil {
		return err
	}
	s.channels = limits.channels
	agreed := s.agree(limits.heartbeat)
	s.heartbeat = time.Duration(agreed) * time.Second
	e = encoder{}
	e.begin(0, connectionTuneOk).u16(limits.channels).u32(limits.frame).u16(agreed).end()
	e.begin(0, connectionOpen).short(vhost).short("").u8(0).end()
	if err := s.send(e.b); err != nil {
		return err
	}
	_, err = s.expect(connectionOpenOk)
	return err
}

// properties says who probes, and what we understand.
func (s *session) properties(e *encoder) {
	name := s.t.Client
	if name == "" {
		name = "reattach"
	}
	e.field("product", "reattach")
	e.field("platform", "Go")
	e.field("information", "health probe")
	e.field("connection_name", name)
	e.short("capabilities").u8('F').table(func(e *encoder) {
		e.flag("authentication_failure_close")
		e.flag("connection.blocked")
		e.flag("consumer_cancel_notify")
		e.flag("publisher_confirms")
		e.flag("basic.nack")
	})
}

// silentRefusal corrects the class of an end after the credentials. A broker
// that did not promise to say so closes without a word on a wrong password,
// and then the end is no evidence of failure.
func (s *session) silentRefusal(err error) error {
	if s.saysRefused || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		return err
	}
	return probe.Failure{Class: probe.Auth, Text: "closed after the credentials; this broker says nothing else to a wrong password"}
}

// agree answers the broker's proposal of a heartbeat; 0 means none. The session
// may be silent for as long as the target says.
func (s *session) agree(proposed uint16) uint16 {
	if proposed == 0 {
		return 0
	}
	idle := min(math.Ceil(s.t.Idle.Seconds()), math.MaxUint16)
	longest := uint16(maxBeat)
	if s.t.Depth >= probe.PhaseWrite {
		longest = minBeat
	}
	return max(min(max(proposed, minBeat), longest), uint16(idle))
}

// channel opens a channel and makes the first round trip on it.
func (s *session) channel() error {
	s.c.Enter(probe.PhasePing)
	var e encoder
	if err := s.send(e.begin(1, channelOpen).short("").end().b); err != nil {
		return err
	}
	if _, err := s.expect(channelOpenOk); err != nil {
		return err
	}
	return s.roundTrip()
}
