package sim

import (
	"maps"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// server is an endpoint as it truly is.
type server struct {
	name     string // resource/endpoint
	host     string
	class    probe.Class // what it comes to, where it can be reached
	code     string
	alive    bool // its process runs; who does not holds no session
	boot     int  // how often it was started
	booted   time.Duration
	facts    probe.Facts // never changed, but replaced
	writes   probe.Class // what a write to it comes to; None: it is well
	id       string      // of the server behind the name, where it tells; empty: it does not
	sessions []*loop     // that are held with it
}

// path is the network between one machine and one server.
type path struct {
	class  probe.Class // what every conversation comes to; None: they pass
	cutoff bool        // packets are lost: not even a reset arrives
	loss   float64     // of conversations that time out
	delay  time.Duration
}

// dead reports whether a server of that class holds no connection: it died, or
// something else listens in its place. One that hangs does hold them.
func dead(c probe.Class) bool {
	return c == probe.Refused || c == probe.Unreachable || c == probe.Reset || c == probe.Garbled
}

// becomes has a server answer otherwise from now on. A process that ends closes
// its connections.
func (w *world) becomes(s *server, c probe.Class, code string) {
	if s.class == c && s.code == code {
		return
	}
	was := s.alive
	s.class, s.code, s.alive = c, code, !dead(c)
	w.say(s.name, "is %s %s", c, code)
	switch {
	case was && !s.alive:
		w.boots(s)
	case !was && s.alive:
		s.booted = w.now
	}
}

// boots has the server's process end and, if it is alive, begin anew: whoever
// held a session with it has lost that.
func (w *world) boots(s *server) {
	s.boot++
	s.booted = w.now
	held := s.sessions
	s.sessions = nil
	for _, l := range held {
		l.n.after(w.between(50*time.Microsecond, 2*time.Millisecond), l.lost)
	}
}

// outcome is what a conversation of n's with s comes to, and how long it takes.
func (w *world) outcome(n *node, r *policy.Resource, s *server) (c probe.Class, code string, took time.Duration) {
	timeout := r.Endpoints[0].Target.Timeout
	p := n.path(s)
	quick := w.between(300*time.Microsecond, 3*time.Millisecond) + p.delay
	switch {
	case n.well:
		return probe.OK, "", quick
	case n.localFault:
		return probe.Local, "", quick
	case p.class == probe.Timeout, p.loss > 0 && w.rnd.Float64() < p.loss, quick >= timeout:
		return probe.Timeout, "", timeout
	case p.class != probe.None:
		return p.class, "", quick
	case s.class == probe.Timeout:
		return probe.Timeout, "", timeout
	}
	return s.class, s.code, quick
}

// learnt is what a conversation with s teaches.
func (w *world) learnt(r *policy.Resource, s *server) probe.Facts {
	if s.id != "" {
		f := maps.Clone(s.facts)
		f["server_id"] = s.id
		return f
	}
	if !r.Protocol.Traits.RestartClears {
		return s.facts
	}
	f := probe.Facts{"uptime": int64((w.now - s.booted) / time.Second)}
	return f
}

// path is the network from this machine to a server.
func (n *node) path(s *server) *path {
	p := n.paths[s.name]
	if p == nil {
		p = &path{class: probe.None}
		n.paths[s.name] = p
	}
	return p
}
