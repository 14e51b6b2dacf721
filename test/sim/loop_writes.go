package sim

import (
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// writes begins or ends the canaries of an endpoint, as the engine wants it.
func (n *node) writes(f failover.Write) {
	l := n.loops[f.Resource+"/"+f.Endpoint]
	if l == nil || l.writes == f.On {
		return
	}
	if l.writes = f.On; f.On {
		l.canary()
	}
}

// canary writes each WriteInterval, as long as it may. What kept it from coming so
// far the other conversations tell.
func (l *loop) canary() {
	l.after(l.r.Pace.WriteInterval, func() {
		if !l.writes {
			return
		}
		began := l.n.clock()
		c, code, took := l.n.w.outcome(l.n, l.r, l.srv)
		if c == probe.OK && l.srv.writes != probe.None {
			c = l.srv.writes
		} else if c != probe.OK {
			l.after(took, l.canary)
			return
		}
		l.after(took, func() {
			l.n.step(failover.Observed{Resource: l.r.Name, Endpoint: l.ep, Result: probe.Result{Kind: probe.Write, Class: c, Code: code,
				Phase: probe.PhaseWrite, Began: began, Ended: l.n.clock(), Addr: l.srv.host}})
			l.canary()
		})
	})
}

// writesFail has what is attached answer, and take no writes: for a resource that is
// judged by its writes, and by a single one.
func writesFail(d *doing) bool {
	for _, r := range d.defs {
		s := d.attached(r)
		if r.Pace.WriteInterval == 0 || s == nil {
			continue
		}
		s.writes = probe.Degraded
		d.say(s.name, "takes no writes, and answers all else")
		lasts := d.lasts(8*time.Second, 20*time.Second)
		d.until(lasts, func() { s.writes = probe.None })
		d.busy(lasts)
		return true
	}
	return false
}

// drawWrites has a resource be judged by writes, if there is one that can be.
func (w *world) drawWrites() bool {
	for _, r := range w.defs {
		if len(w.names) < 2 || !r.Protocol.Traits.StoreOfData || r.Steps.Has(policy.Fence) || r.Steps.Has(policy.Promote) {
			continue
		}
		r.Pace.WriteInterval, r.Judge.WriteSustain = 500*time.Millisecond, 2*time.Second
		r.Judge.Bad, r.Judge.Of, r.Judge.Sustain = 1, 1, time.Second
		return true
	}
	return false
}
