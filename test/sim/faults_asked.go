package sim

import (
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/probe"
)

// The tangles that people have a part in.

func drainedAndFailing(d *doing) bool {
	r, n := d.resource(), d.machine()
	s, ep := d.attached(r), d.standby(r)
	if n == nil || s == nil || ep == "" {
		return false
	}
	n.ask(failover.Command{Verb: "drain", Resource: r.Name, Endpoint: ep})
	d.fails(s, d.lasts(500*time.Millisecond, 3*time.Second), d.lasts(6*time.Second, 20*time.Second))
	return true
}

// ackedWhileChased takes down whatever a resource is attached to, again and again,
// and somebody acknowledges in the middle of it.
func ackedWhileChased(d *doing) bool {
	r, n := d.resource(), d.machine()
	for _, other := range d.defs { // best of all where nothing is tainted
		if !other.Protocol.Traits.Taints {
			r = other
		}
	}
	if n == nil {
		return false
	}
	gap := r.Judge.Sustain + r.Pace.Interval + d.lasts(1500*time.Millisecond, 3*time.Second)
	for i := range 7 {
		d.until(time.Duration(i)*gap, func() {
			if s := d.attached(r); s != nil {
				d.becomes(s, probe.Refused, "")
				d.until(gap*3/4, func() { d.becomes(s, probe.OK, "") })
			}
		})
	}
	d.until(3*gap-100*time.Millisecond, func() {
		if n.alive && !n.frozen && !n.leaving {
			n.ask(failover.Command{Verb: "ack", Resource: r.Name})
		}
	})
	d.busy(8 * gap)
	return true
}

// pausedAndFailing has what is attached fail under a pause that soon ends.
func pausedAndFailing(d *doing) bool {
	r, n := d.resource(), d.machine()
	s := d.attached(r)
	if n == nil || s == nil {
		return false
	}
	c := failover.Command{Verb: "pause", Resource: r.Name}
	after := r.Judge.Sustain + d.lasts(3*time.Second, 6*time.Second)
	if d.one(2) {
		c.For = after
	}
	n.ask(c)
	d.fails(s, 300*time.Millisecond, after+d.lasts(100*time.Millisecond, 12*time.Second))
	d.until(after, func() {
		if c.For == 0 && n.alive && !n.frozen && !n.leaving {
			n.ask(failover.Command{Verb: "resume", Resource: r.Name})
		}
	})
	return true
}

// restartedUnderAPause has what was left be restarted while nobody may judge.
func restartedUnderAPause(d *doing) bool {
	r, n := d.resource(), d.machine()
	for _, other := range d.defs {
		if other.Protocol.Traits.RestartClears {
			r = other
		}
	}
	s := d.attached(r)
	if n == nil || s == nil {
		return false
	}
	d.becomes(s, probe.Refused, "")
	d.until(r.Judge.Sustain+d.lasts(2*time.Second, 4*time.Second), func() {
		if n.alive && !n.frozen && !n.leaving {
			n.ask(failover.Command{Verb: "pause", Resource: r.Name})
		}
		d.until(d.lasts(500*time.Millisecond, 2*time.Second), func() { d.becomes(s, probe.OK, "") })
	})
	d.busy(25 * time.Second)
	return true
}

// ledAndFailing has somebody lead the handles to a standby that fails at once: not
// everybody knows yet what is attached.
func ledAndFailing(d *doing) bool {
	r := d.resource()
	ep := d.standby(r)
	i := r.Endpoint(ep)
	if i < 0 || d.attached(r) == nil {
		return false
	}
	to := d.servers[r.Name+"/"+ep]
	d.fails(to, 0, d.lasts(8*time.Second, 20*time.Second))
	d.until(r.Judge.Sustain+d.lasts(500*time.Millisecond, 3*time.Second), func() {
		for _, h := range r.Handles {
			d.say("ada", "writes %s with the store's own tool", h.Key)
			d.store.write(failover.Op{Verb: failover.Set, Key: h.Key, Value: []byte(h.Values[i].Reveal())})
		}
	})
	return true
}

// askedOfAFlapping has somebody ask for a switch to an endpoint that comes and goes.
func askedOfAFlapping(d *doing) bool {
	r, n := d.resource(), d.machine()
	ep := d.standby(r)
	if n == nil || ep == "" {
		return false
	}
	s := d.servers[r.Name+"/"+ep]
	class := pick(d.rnd, []probe.Class{probe.Refused, probe.Overloaded, probe.TLS})
	d.becomes(s, class, "")
	d.until(300*time.Millisecond, func() {
		if n.alive && !n.frozen && !n.leaving {
			n.ask(failover.Command{Verb: pick(d.rnd, []string{"switchover", "failover"}), Resource: r.Name, Endpoint: ep})
		}
	})
	lasts := d.lasts(9*time.Second, 20*time.Second)
	d.until(lasts, func() { d.becomes(s, probe.OK, "") })
	d.busy(lasts + 3*time.Second)
	return true
}

// adoptOnItsWay has somebody say what foreign handles are, and that be long on its way.
func adoptOnItsWay(d *doing) bool {
	r, n := d.resource(), d.machine()
	if n == nil {
		return false
	}
	h := r.Handles[0]
	d.store.write(failover.Op{Verb: failover.Set, Key: h.Key, Value: []byte("mysql://app:secret@nobody.internal:3306/orders")})
	d.until(d.lasts(1500*time.Millisecond, 3*time.Second), func() {
		if !n.alive || n.frozen || n.leaving {
			return
		}
		n.fates = append(n.fates, &fate{purpose: failover.PurposeAdopt, kind: "applied late", late: d.lasts(2100*time.Millisecond, 8*time.Second), until: d.world.now + 2*time.Second})
		n.ask(failover.Command{Verb: "adopt", Resource: r.Name, Endpoint: r.Endpoints[0].Name})
	})
	d.busy(12 * time.Second)
	return true
}
