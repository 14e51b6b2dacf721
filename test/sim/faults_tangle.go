package sim

import (
	"math/rand/v2"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// Some situations are made of several things that have to come together, and chance
// alone brings them together too seldom. Each of these is a fault by itself, which
// no plan draws by its weight: a third of the worlds have one of them besides.
var tangles = []faultKind{
	{name: "disputed", family: "network", do: disputed},
	{name: "drained and failing", family: "people", do: drainedAndFailing},
	{name: "short of it", family: "target", do: shortOfIt},
	{name: "one server twice", family: "target", do: oneServerTwice},
	{name: "acked while chased", family: "people", do: ackedWhileChased},
	{name: "probing stalls", family: "network", do: probingStalls},
	{name: "named otherwise", family: "network", do: namedOtherwise},
	{name: "paused and failing", family: "people", do: pausedAndFailing},
	{name: "own fault and failing", family: "network", do: ownFaultAndFailing},
	{name: "rewound and failing", family: "store", do: rewoundAndFailing},
	{name: "restarted under a pause", family: "people", do: restartedUnderAPause},
	{name: "led by hand and failing", family: "people", do: ledAndFailing},
	{name: "asked of a flapping one", family: "people", do: askedOfAFlapping},
	{name: "adopt on its way", family: "people", do: adoptOnItsWay},
	{name: "opener dies", family: "fleet", do: openerDies},
	{name: "writes fail", family: "target", do: writesFail},
	{name: "all at once", family: "fleet", do: allAtOnce},
	{name: "vote unanswered", family: "daemon", do: voteUnanswered},
}

// placeOfTangles is where they begin among all kinds.
func placeOfTangles() int { return len(faultKinds) - len(tangles) - len(betweenSteps) }

// drawTangle adds one of them to the plan, by a chance of its own: other faults are
// what they would be without it.
func (w *world) drawTangle(storm bool) {
	rnd := rand.New(rand.NewPCG(w.opt.Seed, 0x7a9))
	at := 4*time.Second + time.Duration(rnd.Int64N(int64(4*time.Second)))
	add := func(kind int) {
		w.plan = append(w.plan, fault{at, kind, rnd.Uint64(), false})
	}
	stepped := w.stepped()
	switch {
	case storm:
		if rnd.IntN(2) == 0 {
			w.plan = w.plan[:0]
			add(w.places["all at once"])
		}
	case rnd.IntN(3) > 0:
		if len(w.names) >= 3 && rnd.IntN(12) == 0 {
			add(w.places["vote unanswered"])
		}
	case len(stepped) > 0 && rnd.IntN(4) > 0:
		add(placeOfTangles() + len(tangles) + rnd.IntN(len(betweenSteps)))
	case rnd.IntN(8) == 0 && w.drawWrites():
		add(w.places["writes fail"])
	default:
		add(placeOfTangles() + rnd.IntN(len(tangles)-3))
	}
}

// stepped are the resources that have a step before the commit.
func (w *world) stepped() (all []*policy.Resource) {
	for _, r := range w.defs {
		if r.Steps.Has(policy.Fence) || r.Steps.Has(policy.Promote) {
			all = append(all, r)
		}
	}
	return all
}

// attached is the server that a resource is attached to, if it is well.
func (d *doing) attached(r *policy.Resource) *server {
	s := d.servers[r.Name+"/"+d.stateOf(r.Name).Attached]
	if s == nil || s.class != probe.OK {
		return nil
	}
	return s
}

// standby is one of a resource's other endpoints; empty: there is none.
func (d *doing) standby(r *policy.Resource) string {
	for range 8 {
		if ep := pick(d.rnd, r.Endpoints).Name; ep != d.stateOf(r.Name).Attached {
			return ep
		}
	}
	return ""
}

// fails has a server refuse connections from a moment on, for a while.
func (d *doing) fails(s *server, after, lasts time.Duration) {
	d.until(after, func() {
		d.becomes(s, probe.Refused, "")
		d.until(lasts, func() { d.becomes(s, probe.OK, "") })
	})
	d.busy(after + lasts)
}

// disputed has what is attached fail for all but one observer, and a little later
// for him, too. Somebody insists on a failover meanwhile; watches may lag, and the
// one may be configured otherwise.
func disputed(d *doing) bool {
	r, all := d.resource(), d.living()
	s := d.attached(r)
	if len(all) < 3 || s == nil {
		return false
	}
	odd := all[d.rnd.IntN(len(all))]
	odd.path(s).class = probe.OK
	d.say(odd.name, "finds %s well, as nobody else does", s.name)
	if d.one(2) {
		d.store.lag = d.lasts(200*time.Millisecond, 2*time.Second)
		d.until(8*time.Second, func() { d.store.lag = 0 })
	}
	if d.one(2) && odd.alive && !odd.frozen && !odd.leaving {
		cfg := odd.cfg
		cfg.Resources = append([]*policy.Resource(nil), cfg.Resources...)
		for i := range cfg.Resources {
			if cfg.Resources[i].Name == r.Name {
				cfg.Resources[i] = variant(cfg.Resources[i], func(r *policy.Resource) { r.Veto = !r.Veto })
			}
		}
		odd.reload(cfg)
	}
	d.fails(s, time.Second, d.lasts(10*time.Second, 25*time.Second))
	d.until(time.Second+d.lasts(500*time.Millisecond, 8*time.Second), func() { *odd.path(s) = path{} })
	var insists func(n *node, times int)
	insists = func(n *node, times int) {
		if !n.alive || n.frozen || n.leaving || times == 0 {
			return
		}
		a := n.ask(failover.Command{Verb: "failover", Resource: r.Name})
		d.until(d.lasts(400*time.Millisecond, 2500*time.Millisecond), func() {
			if a.answer == nil || !a.answer.Done {
				insists(n, times-1)
			}
		})
	}
	if d.one(2) {
		d.until(time.Second+d.lasts(200*time.Millisecond, 2*time.Second), func() {
			if n := d.machine(); n != nil {
				insists(n, 4)
			}
		})
	}
	return true
}

// shortOfIt has a standby lack what a target has to show, and what is attached fail.
func shortOfIt(d *doing) bool {
	r := d.resource()
	for _, other := range d.defs { // best where something is required
		if len(other.Require)+len(other.Steps.Require) > 0 {
			r = other
		}
	}
	s, ep := d.attached(r), d.standby(r)
	if s == nil || ep == "" || d.servers[r.Name+"/"+ep].facts == nil {
		return false
	}
	to := d.servers[r.Name+"/"+ep]
	was := to.facts
	to.facts = probe.Facts{"writable": was["writable"] == true && d.one(2), "applied": false}
	d.say(to.name, "shows %v", to.facts)
	d.fails(s, d.lasts(500*time.Millisecond, 3*time.Second), d.lasts(8*time.Second, 25*time.Second))
	d.until(d.lasts(4*time.Second, 30*time.Second), func() { to.facts = was })
	return true
}

// oneServerTwice has two names of a resource lead to one server, of which the first
// then cannot be reached.
func oneServerTwice(d *doing) bool {
	r := d.resource()
	s, ep := d.attached(r), d.standby(r)
	if s == nil || ep == "" || s.facts == nil || r.Steps.Has(policy.Promote) {
		return false
	}
	for _, e := range r.Endpoints {
		d.servers[r.Name+"/"+e.Name].id = "server of " + e.Name
	}
	d.servers[r.Name+"/"+ep].id = s.id
	d.say(s.name, "is the server that %s leads to, too", ep)
	d.until(r.Pace.FreshInterval+d.lasts(2*time.Second, 4*time.Second), func() {
		d.say(s.name, "cannot be reached by that name")
		for _, n := range d.living() {
			n.path(s).class = probe.Unreachable
		}
	})
	lasts := r.Pace.FreshInterval + d.lasts(8*time.Second, 20*time.Second)
	d.until(lasts, func() {
		for _, n := range d.living() {
			*n.path(s) = path{}
		}
		for _, e := range r.Endpoints {
			d.servers[r.Name+"/"+e.Name].id = ""
		}
	})
	d.busy(lasts)
	return true
}

// probingStalls has what is attached fail while every standby is drained, and then a
// machine be so busy that no conversation of its own ends until the drains are over.
func probingStalls(d *doing) bool {
	n, r := d.machine(), d.resource()
	s := d.attached(r)
	if n == nil || s == nil {
		return false
	}
	over := r.Judge.Sustain + d.lasts(18*time.Second, 25*time.Second)
	for i, ep := range r.Endpoints {
		if r.Name+"/"+ep.Name != s.name {
			d.until(time.Duration(i)*200*time.Millisecond, func() {
				if n.alive && !n.frozen && !n.leaving {
					n.ask(failover.Command{Verb: "drain", Resource: r.Name, Endpoint: ep.Name, For: over})
				}
			})
		}
	}
	d.fails(s, 900*time.Millisecond, over+20*time.Second)
	d.until(r.Judge.Sustain+d.lasts(4*time.Second, 6*time.Second), func() {
		d.say(n.name, "has no time for its conversations")
		n.stalls = d.world.now + over
	})
	return true
}

// namedOtherwise has what is attached fail, and its name be gone for one observer.
func namedOtherwise(d *doing) bool {
	r, all := d.resource(), d.living()
	s := d.attached(r)
	if len(all) < 2 || s == nil {
		return false
	}
	odd := all[d.rnd.IntN(len(all))]
	class := pick(d.rnd, []probe.Class{probe.NoAddress, probe.TLS})
	d.until(900*time.Millisecond, func() { odd.path(s).class = class })
	d.say(odd.name, "will find %s as %s", s.name, class)
	lasts := d.lasts(8*time.Second, 20*time.Second)
	d.fails(s, time.Second, lasts)
	d.until(time.Second+lasts, func() { *odd.path(s) = path{} })
	return true
}

// ownFaultAndFailing has a machine run out of descriptors for a moment while what is
// attached fails, or a ballot on it is open.
func ownFaultAndFailing(d *doing) bool {
	r, n := d.resource(), d.machine()
	s := d.attached(r)
	if n == nil || s == nil {
		return false
	}
	d.fails(s, 500*time.Millisecond, d.lasts(10*time.Second, 20*time.Second))
	d.until(500*time.Millisecond+d.lasts(0, r.Judge.Sustain+200*time.Millisecond), func() {
		d.say(n.name, "has no descriptors left")
		n.localFault = true
		d.until(d.lasts(100*time.Millisecond, time.Second), func() { n.localFault = false })
	})
	return true
}

// rewoundAndFailing has what was attached a moment ago fail, and the store go back to
// that moment. Somebody acknowledges it.
func rewoundAndFailing(d *doing) bool {
	r, w := d.resource(), d.world
	s, snapshot := d.attached(r), d.store.Clone()
	if s == nil || d.machine() == nil {
		return false
	}
	d.machine().ask(failover.Command{Verb: "switchover", Resource: r.Name})
	after := d.lasts(3*time.Second, 6*time.Second)
	d.fails(s, after-d.lasts(0, 2*time.Second), d.lasts(12*time.Second, 20*time.Second))
	d.until(after, func() {
		last := w.store.Last()
		w.store.Restore(snapshot)
		w.store.Skip(last)
		w.store.restored++
		w.say("store", "is restored to what it held %v ago", after)
		w.oracle.rewound()
		w.store.wakeAll()
	})
	d.until(after+d.lasts(500*time.Millisecond, 3*time.Second), func() {
		for _, n := range d.living() {
			if !n.frozen && !n.leaving {
				n.ask(failover.Command{Verb: "ack", Resource: r.Name})
			}
		}
	})
	return true
}

// openerDies has what is attached hang, and whoever opens a ballot on it die then:
// for a moment, or for long.
func openerDies(d *doing) bool {
	r := d.resource()
	s := d.attached(r)
	if s == nil {
		return false
	}
	d.becomes(s, pick(d.rnd, []probe.Class{probe.Timeout, probe.Refused}), "")
	d.until(d.lasts(12*time.Second, 25*time.Second), func() { d.becomes(s, probe.OK, "") })
	back := pick(d.rnd, []time.Duration{d.lasts(10*time.Millisecond, 500*time.Millisecond), 30 * time.Second})
	well := d.one(2)
	d.armed = append(d.armed, func() {
		b := d.oracle.open[r.Name]
		if b == nil {
			return
		}
		d.world.later(d.lasts(0, 2*time.Millisecond), func() {
			if n := b.by; n.alive && n.life == b.life && !d.mended {
				n.kill()
				d.until(back, func() {
					if !n.alive && !n.retired {
						n.start()
					}
				})
				if well {
					d.becomes(s, probe.OK, "")
				}
			}
		})
	})
	d.busy(25 * time.Second)
	return true
}

// allAtOnce takes down everything that is attached in one moment, with a store
// that takes its time.
func allAtOnce(d *doing) bool {
	d.store.slow = d.lasts(20*time.Millisecond, pick(d.rnd, []time.Duration{100 * time.Millisecond, 500 * time.Millisecond}))
	d.until(20*time.Second, func() { d.store.slow, d.store.disturbed = 0, d.world.now })
	for _, r := range d.defs {
		if s := d.attached(r); s != nil {
			d.becomes(s, probe.Refused, "")
		}
	}
	d.busy(24 * time.Second)
	return true
}

// voteUnanswered has a vote be lost on its way, all other voters stand still, and who
// casts it be answered before he casts it again.
func voteUnanswered(d *doing) bool {
	r := d.resource()
	for _, other := range d.defs { // a ballot has to last until then
		if ballotTime(other) > ballotTime(r) {
			r = other
		}
	}
	s := d.attached(r)
	if s == nil || len(d.living()) < 3 {
		return false
	}
	d.fails(s, 0, d.lasts(8*time.Second, 15*time.Second))
	d.armed = append(d.armed, func() {
		b := d.oracle.open[r.Name]
		if b == nil || d.mended {
			return
		}
		var voter *node
		for _, n := range d.living() {
			switch {
			case n == b.by || n.frozen || n.leaving:
			case voter == nil:
				voter = n
			default:
				n.freeze(false)
				life := n.life
				d.until(5*time.Second, func() {
					if n.frozen && n.life == life {
						n.thaw()
					}
				})
			}
		}
		if voter == nil {
			return
		}
		voter.fates = append(voter.fates, &fate{purpose: failover.PurposeVote, kind: "request lost", until: d.world.now + 3*time.Second})
		d.until(d.lasts(1500*time.Millisecond, 2300*time.Millisecond), func() {
			voter.path(s).class = probe.OK
			d.say(voter.name, "finds %s well", s.name)
		})
		d.until(6*time.Second, func() { *voter.path(s) = path{} })
	})
	return true
}
