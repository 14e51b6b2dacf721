// Package memcached probes memcached by its text protocol: version,
// authentication where the server asks for it, stats, quit.
//
// A conversation reads and writes no item, unless depth says so: at depth read
// it gets a key of its own, at depth write it sets that key for ten seconds and
// gets it back, which sees a server that is out of memory. That is the canary, a
// conversation of its own each 30 s where depth is not said. Credentials are a
// "set" in this protocol, and a server without authentication would store them
// for everybody to read; so they are sent only to a server that has refused a
// command without them.
//
// Not spoken: the binary protocol and with it SASL, and UDP. TLS begins with
// the connection, so the modes prefer and off are the same. Some proxies close
// the connection on "stats"; depth = "ping" suits them.
package memcached

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/reattach/reattach/probe"
)

// Protocol is memcached.
var Protocol = probe.Protocol{
	Name: "memcached",
	Schemes: []probe.Scheme{
		{Name: "memcached", Port: "11211", TLS: probe.TLSOff},
		{Name: "memcache", Port: "11211", TLS: probe.TLSOff},
		{Name: "memcacheds", Port: "11211", TLS: probe.TLSVerify},
	},
	Prober: prober{},
	Holds:  true,
	Canary: probe.PhaseWrite,
	Depths: []probe.Phase{probe.PhaseRead, probe.PhaseWrite},
	Defaults: probe.Defaults{
		Interval: time.Second, FreshInterval: 10 * time.Second, Timeout: time.Second,
		SuspectInterval: 100 * time.Millisecond, Sustain: 3 * time.Second,
		TimeoutFloor: 100 * time.Millisecond, RestartTime: time.Second, CanaryInterval: 30 * time.Second,
	},
	Traits: probe.Traits{Taints: true, RestartClears: true},
	Facts: []probe.Fact{
		{Name: "version", Type: "string", Meaning: "the server's version, as it gives it", Phase: probe.PhaseAuth},
		{Name: "uptime", Type: "int64", Meaning: "seconds since the server's start; a short one is a cold cache"},
		{Name: "pid", Type: "int64", Meaning: "the server's process"},
		{Name: "curr_connections", Type: "int64", Meaning: "connections that are open now"},
		{Name: "max_connections", Type: "int64", Meaning: "connections that may be open"},
		{Name: "curr_items", Type: "int64", Meaning: "items in the cache"},
		{Name: "tls_version", Type: "string", Meaning: "the version of TLS that is spoken", Phase: probe.PhaseTLS},
		{Name: "tls_expiry", Type: "string", Meaning: "when the first certificate of the server's chain expires, RFC 3339", Phase: probe.PhaseTLS},
	},
	Check: check,
}

// check refuses credentials that the protocol cannot carry.
func check(u probe.URL) error {
	if strings.ContainsAny(u.User, " \r\n") {
		return errors.New("its user holds a space, which ends the name in this protocol")
	}
	return nil
}

type prober struct{}

// Open implements probe.Prober.
func (prober) Open(ctx context.Context, t probe.Target) (probe.Held, probe.Result) {
	c, err := probe.Dial(ctx, t)
	s := &session{c: c}
	if err == nil {
		err = s.converse(ctx, t)
	}
	r := c.Result(ctx, err)
	r.Kind = probe.Fresh
	if err != nil {
		s.end(ctx)
		return nil, r
	}
	return s, r
}

// converse goes as deep as t says. A Depth of none is role.
func (s *session) converse(ctx context.Context, t probe.Target) error {
	depth := t.Depth
	if depth == probe.PhaseNone {
		depth = probe.PhaseRole
	}
	if depth <= probe.PhaseConnect {
		return nil
	}
	if t.TLS.Mode == probe.TLSRequire || t.TLS.Mode == probe.TLSVerify {
		if err := s.c.StartTLS(ctx); err != nil {
			return err
		}
	}
	if depth < probe.PhaseAuth {
		return nil // the server says nothing until it is asked
	}
	if err := s.knock(t); err != nil {
		return err
	}
	for _, step := range []struct {
		phase probe.Phase
		run   func() error
	}{
		{probe.PhaseRole, s.learnStats},
		{probe.PhaseRead, func() error { return s.readCanary(t) }},
		{probe.PhaseWrite, func() error { return s.writeCanary(t) }},
	} {
		if depth < step.phase {
			return nil
		}
		s.c.Enter(step.phase)
		if err := step.run(); err != nil {
			return err
		}
	}
	return nil
}

// knock asks for the version, and logs in where the server wants that first.
func (s *session) knock(t probe.Target) error {
	s.c.Enter(probe.PhasePing)
	err := s.askVersion()
	if !errors.Is(err, errUnauthenticated) {
		return err
	}
	s.c.Enter(probe.PhaseAuth)
	user, passwords := t.Credentials()
	if user == "" {
		return err
	}
	for _, password := range passwords {
		if err = s.authenticate(user, password.Reveal()); err == nil {
			t.Took(password)
		}
		if !errors.Is(err, errRejected) {
			break
		}
	}
	if err != nil {
		return err
	}
	s.c.Enter(probe.PhasePing)
	return s.askVersion()
}
