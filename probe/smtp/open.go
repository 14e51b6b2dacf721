package smtp

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/reattach/reattach/probe"
)

type prober struct{}

// Open has one conversation with t.Addr, as deep as t wants it.
func (prober) Open(ctx context.Context, t probe.Target) (probe.Held, probe.Result) {
	if t.TLS.Mode == probe.TLSDefault {
		t.TLS.Mode = defaultMode(t.URL.Scheme)
	}
	c, err := probe.Dial(ctx, t)
	s := &session{c: c, t: t}
	if err == nil {
		err = s.converse(ctx)
	}
	r := c.Result(ctx, err)
	if err != nil {
		s.end(ctx, r.Class)
		return nil, r
	}
	return s, r
}

// converse goes through the phases, as deep as the target wants it.
func (s *session) converse(ctx context.Context) error {
	depth := s.t.Depth
	if depth == probe.PhaseNone {
		depth = probe.PhasePing
	}
	if depth <= probe.PhaseConnect {
		return nil
	}
	if err := s.introduce(ctx); err != nil || depth < probe.PhaseAuth {
		return err
	}
	if err := s.authenticate(); err != nil || depth < probe.PhasePing {
		return err
	}
	if depth == probe.PhasePing {
		s.c.Enter(probe.PhasePing)
		return s.do(noop, "NOOP")
	}
	return s.tryMail(min(depth, probe.PhaseRead))
}

// introduce reads the greeting and says EHLO, encrypted as the target wants it.
func (s *session) introduce(ctx context.Context) error {
	implicit, mode := s.t.URL.Scheme == "smtps", s.t.TLS.Mode
	if implicit {
		if mode == probe.TLSOff {
			return probe.Failure{Class: probe.TLS, Phase: probe.PhaseTLS, Text: "smtps is TLS, and the TLS mode is off: the scheme without it is smtp"}
		}
		if err := s.c.StartTLS(ctx); err != nil {
			return err
		}
	}
	s.c.Enter(probe.PhaseGreet)
	if err := s.greet(); err != nil {
		return err
	}
	if err := s.hello(); err != nil {
		return err
	}
	s.c.Learn("starttls", s.offer.starttls)
	if implicit || mode == probe.TLSOff {
		return nil
	}
	return s.upgrade(ctx, mode)
}

// upgrade says STARTTLS and EHLO anew.
func (s *session) upgrade(ctx context.Context, mode probe.TLSMode) error {
	if !s.offer.starttls {
		if mode == probe.TLSPrefer {
			return nil
		}
		return probe.Failure{Class: probe.TLS, Phase: probe.PhaseTLS, Text: "the server offers no STARTTLS"}
	}
	s.c.Enter(probe.PhaseTLS)
	r, err := s.command("STARTTLS")
	switch {
	case err != nil:
		return err
	case r.code != 220 && mode == probe.TLSPrefer && !s.over:
		s.c.Enter(probe.PhaseGreet)
		return nil
	case r.code != 220:
		return refusal(starttls, r, false)
	}
	if err := s.c.StartTLS(ctx); err != nil {
		s.over = true // what comes now is neither clear text nor encrypted
		return err
	}
	s.c.Enter(probe.PhaseGreet)
	return s.hello()
}

// greet waits for the whole greeting.
func (s *session) greet() error {
	r, err := s.hear()
	if err != nil {
		return err
	}
	s.greeted = true
	if r.code != 220 {
		return refusal(greeting, r, s.c.Encrypted())
	}
	host, banner, _ := strings.Cut(r.lines[len(r.lines)-1], " ")
	s.c.Learn("host", host)
	s.c.Learn("banner", banner)
	return nil
}

// hello says EHLO and learns what the server offers.
func (s *session) hello() error {
	r, err := s.command("EHLO " + s.name())
	if err != nil {
		return err
	}
	if !r.positive() {
		return refusal(ehlo, r, s.c.Encrypted())
	}
	s.offer = parseOffer(r.lines)
	if s.offer.limit > 0 {
		s.c.Learn("size_limit", s.offer.limit)
	}
	if len(s.offer.auth) > 0 {
		s.c.Learn("auth", strings.Join(s.offer.auth, " "))
	}
	s.c.Learn("extensions", strings.Join(s.offer.names, " "))
	return nil
}

// name is how EHLO names us: by our address, which is always a valid name, and
// true. Servers that check names would refuse one without a domain.
func (s *session) name() string {
	addr := s.c.LocalAddr().Addr().Unmap().WithZone("")
	if addr.Is6() {
		return fmt.Sprintf("[IPv6:%v]", addr)
	}
	return fmt.Sprintf("[%v]", addr)
}

// size is how large the message is that a probe asks room for, in bytes.
const size = 16 << 10

// tryMail asks whether a message would be taken, and takes the question back.
func (s *session) tryMail(phase probe.Phase) error {
	s.c.Enter(phase)
	line := "MAIL FROM:<>"
	if s.offer.size {
		line += fmt.Sprintf(" SIZE=%d", size)
	}
	if err := s.do(mail, line); err != nil {
		return err
	}
	return s.do(rset, "RSET")
}

// authenticate logs in, where there is a user. While one password is refused
// and another is left, it tries that.
func (s *session) authenticate() error {
	user, passwords := s.t.Credentials()
	if user == "" {
		return nil
	}
	s.c.Enter(probe.PhaseAuth)
	if !s.c.Encrypted() && s.t.TLS.Mode != probe.TLSOff {
		return probe.Failure{Class: probe.TLS, Text: `the server offers no TLS, and the password is not sent in clear text (unless the TLS mode is "off")`}
	}
	plain, old := slices.Contains(s.offer.auth, "PLAIN"), slices.Contains(s.offer.auth, "LOGIN")
	if !plain && !old {
		return probe.Failure{Class: probe.Misconfigured, Text: "the server offers neither AUTH PLAIN nor LOGIN: " + strings.Join(s.offer.auth, " ")}
	}
	var last error
	for _, password := range passwords {
		steps := []string{"\x00" + user + "\x00" + password.Reveal()}
		way := "AUTH PLAIN"
		if !plain {
			way, steps = "AUTH LOGIN", []string{user, password.Reveal()}
		}
		r, err := s.logIn(way, steps)
		if err != nil {
			return err
		}
		if r.code == 235 {
			s.t.Took(password)
			return nil
		}
		last = refusal(login, r, s.c.Encrypted())
		if r.code != 535 || s.over {
			break
		}
	}
	return last
}

// logIn says the way, and each step when it is asked for it. What a server
// says back of the steps is masked.
func (s *session) logIn(way string, steps []string) (reply, error) {
	r, err := s.command(way)
	for _, step := range steps {
		if err != nil || r.code != 334 {
			break
		}
		secret := base64.StdEncoding.EncodeToString([]byte(step))
		r, err = s.command(secret)
		for i := range r.lines {
			r.lines[i] = probe.Line(r.lines[i], probe.Secret(secret))
		}
	}
	return r, err
}
