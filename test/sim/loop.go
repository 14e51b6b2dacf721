package sim

import (
	"slices"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// loop is probe.Loop in simulated time: a held session that is pinged each
// interval, fresh conversations beside it, and, while the endpoint is examined or
// a hint was given, fresh ones at the pace of an examination, three at a time.
type loop struct {
	n       *node
	r       *policy.Resource
	ep      string
	srv     *server
	stopped bool

	session  bool
	writes   bool // it may write
	boot     int  // of the server, when the session was opened
	examined bool
	hinted   bool
	hintAt   time.Duration
	inFlight int
	older    int           // of these, those that began before the examination did anew
	anew     time.Duration // when that was
	quick    int           // how many of the next ones follow at twice the pace
	last     time.Duration // when an examination last began a conversation
	armed    int           // the latest timer of it
}

const (
	examineInFlight = 3
	mostInFlight    = 3 * examineInFlight
)

func (n *node) startLoop(r *policy.Resource, ep string) *loop {
	l := &loop{n: n, r: r, ep: ep, srv: n.w.servers[r.Name+"/"+ep], last: -time.Hour}
	l.after(n.w.between(0, min(r.Pace.Interval, 500*time.Millisecond)), func() {
		l.open()
		l.calm()
	})
	return l
}

func (l *loop) stop() {
	l.stopped = true
	l.srv.sessions = slices.DeleteFunc(l.srv.sessions, func(o *loop) bool { return o == l })
}

func (l *loop) after(d time.Duration, do func()) {
	l.n.w.queue.push(l.n.w.now+max(d, 0), item{do: do, on: l.n, life: l.n.life, loop: l})
}

// converse has a fresh conversation, and hands its result on.
func (l *loop) converse(then func(began time.Duration, c probe.Class)) {
	w, began, mono := l.n.w, l.n.w.now, l.n.clock()
	c, code, took := w.outcome(l.n, l.r, l.srv)
	boot := l.srv.boot
	if l.n.stalls > began+took {
		took = l.n.stalls - began
	}
	l.after(took, func() {
		res := probe.Result{Kind: probe.Fresh, Class: c, Code: code, Phase: probe.PhasePing, Began: mono, Ended: l.n.clock(), Addr: l.srv.host}
		if c == probe.OK {
			res.Facts = w.learnt(l.r, l.srv)
		}
		if c == probe.OK && boot != l.srv.boot {
			res.Class = probe.Reset // it died in the middle
		}
		l.n.step(failover.Observed{Resource: l.r.Name, Endpoint: l.ep, Result: res})
		then(began, res.Class)
	})
}

// open begins a session where the protocol holds one; elsewhere a conversation
// each interval.
func (l *loop) open() {
	boot := l.srv.boot
	l.converse(func(began time.Duration, c probe.Class) {
		if c != probe.OK || !l.r.Protocol.Holds || boot != l.srv.boot {
			l.after(l.r.Pace.Interval-(l.n.w.now-began), l.open)
			return
		}
		l.session, l.boot = true, boot
		l.srv.sessions = append(l.srv.sessions, l)
		l.after(l.r.Pace.Interval, l.ping)
	})
}

func (l *loop) ping() {
	if !l.session {
		return
	}
	if l.boot != l.srv.boot {
		l.hint(probe.Reset)
		return
	}
	began := l.n.clock()
	c, _, took := l.n.w.outcome(l.n, l.r, l.srv)
	if half := l.r.Endpoints[0].Target.Timeout / 2; took > half {
		c, took = probe.Timeout, half
	}
	if c == probe.Auth || c == probe.Overloaded || c == probe.Misconfigured {
		c = probe.OK // a session that is held sees none of these
	}
	l.after(took, func() {
		if !l.session {
			return
		}
		if c != probe.OK {
			l.hint(c)
			return
		}
		res := probe.Result{Kind: probe.Session, Class: probe.OK, Phase: probe.PhasePing, Began: began, Ended: l.n.clock(), Addr: l.srv.host}
		l.n.step(failover.Observed{Resource: l.r.Name, Endpoint: l.ep, Result: res})
		l.after(l.r.Pace.Interval, l.ping)
	})
}

// lost is the end of a session whose server ended it, if that is heard of.
func (l *loop) lost() {
	if p := l.n.path(l.srv); l.stopped || !l.session || p.class != probe.None || p.cutoff {
		return
	}
	l.hint(probe.Reset)
}

// hint ends a session, and begins an examination of the loop's own.
func (l *loop) hint(c probe.Class) {
	l.session = false
	l.srv.sessions = slices.DeleteFunc(l.srv.sessions, func(o *loop) bool { return o == l })
	now := l.n.clock()
	res := probe.Result{Kind: probe.Session, Class: c, Hint: true, Phase: probe.PhasePing, Began: now, Ended: now, Addr: l.srv.host}
	l.n.step(failover.Observed{Resource: l.r.Name, Endpoint: l.ep, Result: res})
	l.hinted, l.hintAt = true, l.n.w.now
	l.after(l.r.Pace.Interval, l.open)
	l.due()
}

// calm has a fresh conversation at the slow pace, beside a session.
func (l *loop) calm() {
	l.after(l.r.Pace.FreshInterval, func() {
		if l.r.Protocol.Holds && l.inFlight == 0 {
			l.launch()
		}
		l.calm()
	})
}

func (l *loop) launch() {
	l.inFlight++
	l.converse(func(began time.Duration, _ probe.Class) {
		l.inFlight--
		if began < l.anew && l.older > 0 {
			l.older--
		}
		l.hinted = l.hinted && began < l.hintAt
		l.due()
	})
}

// examine begins or ends an examination. Who asks again wants conversations from
// now on: those that a hang keeps under way do not stand in their way.
func (l *loop) examine(on bool) {
	if on && l.inFlight <= mostInFlight-examineInFlight {
		l.older, l.anew, l.last, l.quick = l.inFlight, l.n.w.now, -time.Hour, examineInFlight
	}
	l.examined, l.hinted = on, l.hinted && on
	l.due()
}

// due begins a conversation if one is due, and sets the time of the next.
func (l *loop) due() {
	if !l.examined && !l.hinted || l.inFlight-l.older >= examineInFlight {
		return
	}
	every := l.r.Pace.SuspectInterval
	if l.quick > 0 {
		every /= 2
	}
	wait := every - (l.n.w.now - l.last)
	if wait <= 0 {
		l.last, wait, l.quick = l.n.w.now, every, max(0, l.quick-1)
		l.launch()
	}
	l.armed++
	mine := l.armed
	l.after(wait, func() {
		if mine == l.armed {
			l.due()
		}
	})
}
