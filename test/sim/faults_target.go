package sim

import (
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

var targetFaults = []faultKind{
	{name: "crash", family: "target", weight: 14, do: answers(probe.Refused, "", time.Second, 60*time.Second)},
	{name: "restart", family: "target", weight: 5, do: restarts},
	{name: "hang", family: "target", weight: 6, do: answers(probe.Timeout, "", time.Second, 30*time.Second)},
	{name: "host gone", family: "target", weight: 2, do: answers(probe.Unreachable, "", time.Second, 40*time.Second)},
	{name: "refuse", family: "target", weight: 2, do: refuses},
	{name: "reset", family: "target", weight: 2, do: answers(probe.Reset, "", time.Second, 20*time.Second)},
	{name: "auth", family: "target", weight: 2, do: answers(probe.Auth, "1045", time.Second, 30*time.Second)},
	{name: "overloaded", family: "target", weight: 2, do: answers(probe.Overloaded, "1040", time.Second, 20*time.Second)},
	{name: "degraded", family: "target", weight: 1, do: answers(probe.Degraded, "", time.Second, 20*time.Second)},
	{name: "certificate", family: "target", weight: 1, do: answers(probe.TLS, "", time.Second, 20*time.Second)},
	{name: "garbage", family: "target", weight: 1, do: answers(probe.Garbled, "", time.Second, 20*time.Second)},
	{name: "read-only", family: "target", weight: 2, do: readOnly},
	{name: "flapping", family: "target", weight: 3, do: flaps},
	{name: "chased", family: "target", weight: 4, do: chases},
	{name: "fenced yet answering", family: "target", weight: 3, do: fencedAnswers, later: true},
}

// answers has a server answer otherwise for a while.
func answers(c probe.Class, code string, from, to time.Duration) func(*doing) bool {
	return func(d *doing) bool {
		s := d.target()
		if s.class != probe.OK {
			return false
		}
		d.becomes(s, c, code)
		d.until(d.lasts(from, to), func() { d.becomes(s, probe.OK, "") })
		return true
	}
}

// restarts is what a supervisor does, with a server that reads its data first.
func restarts(d *doing) bool {
	s := d.target()
	if s.class != probe.OK {
		return false
	}
	d.becomes(s, probe.Refused, "")
	d.until(d.lasts(200*time.Millisecond, 6*time.Second), func() { d.becomes(s, probe.OK, "") })
	return true
}

// refuses takes no new connections, and keeps those that it has.
func refuses(d *doing) bool {
	s := d.target()
	if s.class != probe.OK {
		return false
	}
	s.class = probe.Refused
	d.say(s.name, "takes no new connections")
	d.until(d.lasts(time.Second, 20*time.Second), func() { d.becomes(s, probe.OK, "") })
	return true
}

func readOnly(d *doing) bool {
	s := d.target()
	if s.facts == nil || s.facts["writable"] != true {
		return false
	}
	s.facts = probe.Facts{"writable": false, "applied": true}
	d.say(s.name, "is read-only")
	d.until(d.lasts(time.Second, 20*time.Second), func() { s.facts = probe.Facts{"writable": true, "applied": true} })
	return true
}

// flaps comes and goes.
func flaps(d *doing) bool {
	s, times := d.target(), 2+d.rnd.IntN(12)
	if s.class != probe.OK {
		return false
	}
	var turn func()
	turn = func() {
		if s.class == probe.OK {
			d.becomes(s, probe.Refused, "")
		} else {
			d.becomes(s, probe.OK, "")
		}
		if times--; times > 0 || s.class != probe.OK {
			d.until(d.lasts(50*time.Millisecond, 3*time.Second), turn)
		}
	}
	turn()
	return true
}

// fencedAnswers has what is fenced be well again, and say so. Where something can be
// fenced, it is made to be.
func fencedAnswers(d *doing) bool {
	d.fencedAnswers = d.now + 60*time.Second
	for _, r := range d.defs {
		s := d.servers[r.Name+"/"+d.stateOf(r.Name).Attached]
		if r.Steps.Has(policy.Fence) && s != nil && s.class == probe.OK {
			d.becomes(s, probe.Refused, "")
			d.busy(r.Judge.Sustain + 8*time.Second)
			d.until(d.lasts(20*time.Second, 60*time.Second), func() { d.becomes(s, probe.OK, "") })
			break
		}
	}
	return true
}

// chases takes down whatever a resource is attached to, again and again.
func chases(d *doing) bool {
	r, times := d.resource(), 4+d.rnd.IntN(3)
	for _, other := range d.defs { // best of all where nothing is tainted
		if !other.Protocol.Traits.Taints && d.one(2) {
			r, times = other, 6
		}
	}
	gap := r.Judge.Sustain + r.Pace.Interval + d.lasts(500*time.Millisecond, 4*time.Second)
	for i := range times {
		d.until(time.Duration(i)*gap, func() {
			s := d.servers[r.Name+"/"+d.stateOf(r.Name).Attached]
			if s == nil || s.class != probe.OK {
				return
			}
			d.becomes(s, probe.Refused, "")
			d.until(gap*3/4, func() { d.becomes(s, probe.OK, "") })
		})
	}
	d.busy(time.Duration(times) * gap)
	return true
}
