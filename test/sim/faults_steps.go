package sim

import (
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// What befalls a switch in the middle of its steps. Each has what is attached fail,
// and strikes when a step is claimed, or has ended and another is to follow.
var betweenSteps = []faultKind{
	{name: "runner dies between steps", family: "daemon", do: between(ending, runnerDies)},
	{name: "paused between steps", family: "daemon", do: between(ending, asksAll("pause"))},
	{name: "acked between steps", family: "daemon", do: between(ending, asksAll("ack"))},
	{name: "forced between steps", family: "daemon", do: between(claiming, forcesOn)},
	{name: "led by hand between steps", family: "daemon", do: between(ending, ledElsewhere)},
	{name: "led by hand in a step", family: "daemon", do: between(claiming, ledElsewhere)},
	{name: "reloaded between steps", family: "daemon", do: between(claiming, meantOtherwise)},
	{name: "promoted and gone", family: "daemon", do: between(ending, promotedGoes)},
	{name: "fenced and back", family: "daemon", do: between(claiming, comesBack)},
	{name: "runner dies, and it is back", family: "daemon", do: between(claiming, diesAndBack)},
	{name: "every runner dies", family: "daemon", do: everyRunnerDies},
	{name: "claim unanswered", family: "daemon", do: between(ending, unanswered)},
	{name: "abort unanswered", family: "daemon", do: abortUnanswered},
	{name: "behind when fenced", family: "daemon", do: behind},
	{name: "fence fails", family: "daemon", do: fenceFails},
	{name: "blind between steps", family: "daemon", do: between(claiming, blindThen)},
}

const (
	claiming = false
	ending   = true
)

// between has what a resource with steps is attached to fail, and something strike
// at a moment of the operation that follows.
func between(atEnd bool, strikes func(d *doing, r *policy.Resource, n *node, op *failover.Operation)) func(*doing) bool {
	return func(d *doing) bool {
		all := d.stepped()
		if len(all) == 0 {
			return false
		}
		r := pick(d.rnd, all)
		s := d.attached(r)
		if s == nil {
			return false
		}
		d.fails(s, 0, d.lasts(15*time.Second, 40*time.Second))
		skip := d.rnd.IntN(2) // the first such moment, or the second
		wait := &d.atClaim
		if atEnd {
			wait = &d.atEnd
		}
		*wait = append(*wait, func(n *node, op *failover.Operation) bool {
			if d.mended || op.Step == policy.Abort || skip > 0 && n.has(r.Name) != nil {
				skip--
				return d.mended
			}
			d.say(n.name, "— %s", d.name)
			strikes(d, r, n, op)
			return true
		})
		return true
	}
}

func runnerDies(d *doing, _ *policy.Resource, n *node, _ *failover.Operation) {
	d.world.later(d.lasts(0, time.Millisecond), func() {
		if n.alive && !d.mended {
			n.kill()
			d.until(40*time.Second, func() {
				if !n.alive && !n.retired {
					n.start()
				}
			})
		}
	})
	d.busy(45 * time.Second)
}

// asksAll has everybody be asked the same at this moment, or a little later.
func asksAll(verb string) func(*doing, *policy.Resource, *node, *failover.Operation) {
	return func(d *doing, r *policy.Resource, _ *node, _ *failover.Operation) {
		for _, n := range d.living() {
			d.until(d.lasts(0, 3*time.Millisecond), func() {
				if n.alive && !n.frozen && !n.leaving {
					n.ask(failover.Command{Verb: verb, Resource: r.Name})
				}
			})
		}
		if d.one(2) {
			d.store.lag = d.lasts(200*time.Millisecond, 2*time.Second)
			d.until(5*time.Second, func() { d.store.lag = 0 })
		}
	}
}

func forcesOn(d *doing, r *policy.Resource, _ *node, _ *failover.Operation) {
	for _, n := range d.living() {
		d.until(d.lasts(0, 900*time.Millisecond), func() {
			if n.alive && !n.frozen && !n.leaving {
				n.ask(failover.Command{Verb: "switchover", Resource: r.Name, Endpoint: pick(d.rnd, r.Endpoints).Name,
					Force: []string{"class", "damping", "quorum", "candidate", "taint", "requirement", policy.Fence, policy.Promote}})
			}
		})
	}
}

func ledElsewhere(d *doing, r *policy.Resource, _ *node, _ *failover.Operation) {
	to := d.rnd.IntN(len(r.Endpoints))
	d.until(d.lasts(0, pick(d.rnd, []time.Duration{2 * time.Millisecond, 300 * time.Millisecond})), func() {
		for _, h := range r.Handles {
			d.say("ada", "writes %s with the store's own tool", h.Key)
			d.store.write(failover.Op{Verb: failover.Set, Key: h.Key, Value: []byte(h.Values[to].Reveal())})
		}
	})
}

// meantOtherwise gives everybody a configuration that means something else.
func meantOtherwise(d *doing, r *policy.Resource, _ *node, _ *failover.Operation) {
	d.reconfigure(func(defs []*policy.Resource) {
		for i := range defs {
			if defs[i].Name == r.Name {
				defs[i] = variant(defs[i], func(r *policy.Resource) { r.Veto = !r.Veto })
			}
		}
	}, d.lasts(0, 500*time.Millisecond))
}

func promotedGoes(d *doing, r *policy.Resource, _ *node, op *failover.Operation) {
	if s := d.servers[r.Name+"/"+op.To]; s != nil && s.class == probe.OK {
		d.fails(s, 0, d.lasts(5*time.Second, 20*time.Second))
	}
}

func comesBack(d *doing, r *policy.Resource, _ *node, op *failover.Operation) {
	if s := d.servers[r.Name+"/"+op.From]; s != nil {
		d.until(d.lasts(0, 2*time.Second), func() { d.becomes(s, probe.OK, "") })
	}
}

func diesAndBack(d *doing, r *policy.Resource, n *node, op *failover.Operation) {
	comesBack(d, r, n, op)
	d.world.later(d.lasts(time.Millisecond, 40*time.Millisecond), func() {
		if n.alive && !d.mended {
			n.kill()
			d.until(d.lasts(500*time.Millisecond, 4*time.Second), func() {
				if !n.alive && !n.retired {
					n.start()
				}
			})
		}
	})
	d.busy(30 * time.Second)
}

// everyRunnerDies has whoever runs a step die in the middle of it, again and again.
func everyRunnerDies(d *doing) bool {
	all := d.stepped()
	if len(all) == 0 {
		return false
	}
	r := pick(d.rnd, all)
	s := d.attached(r)
	if s == nil {
		return false
	}
	d.fails(s, 0, 70*time.Second)
	over := d.world.now + 60*time.Second
	d.atClaim = append(d.atClaim, func(n *node, op *failover.Operation) bool {
		if d.mended || d.world.now > over {
			return true
		}
		if op.Step == policy.Abort {
			return false
		}
		d.world.later(d.lasts(2*time.Millisecond, 45*time.Millisecond), func() {
			if n.alive && !n.frozen && !d.mended {
				n.kill()
				d.until(time.Second, func() {
					if !n.alive && !n.retired {
						n.start()
					}
				})
			}
		})
		return false
	})
	return true
}

// unanswered has the next claim land, and its answer be lost.
func unanswered(d *doing, _ *policy.Resource, n *node, _ *failover.Operation) {
	for range 1 + d.rnd.IntN(3) {
		n.fates = append(n.fates, &fate{purpose: failover.PurposeStep, kind: "reply lost", until: d.world.now + 10*time.Second})
	}
}

// abortUnanswered has a promotion fail, and the answer to the claim of its abort be lost.
func abortUnanswered(d *doing) bool {
	var all []*policy.Resource
	for _, r := range d.stepped() {
		if r.Steps.Has(policy.Abort) && d.attached(r) != nil {
			all = append(all, r)
		}
	}
	if len(all) == 0 {
		return false
	}
	r := pick(d.rnd, all)
	d.fails(d.attached(r), 0, d.lasts(15*time.Second, 30*time.Second))
	over := d.world.now + 30*time.Second
	d.atClaim = append(d.atClaim, func(_ *node, op *failover.Operation) bool {
		if op.Step == policy.Promote && !d.mended {
			d.stepFate = stepFate{"step fails", d.world.now + 3*time.Second}
			return true
		}
		return d.mended || d.world.now > over
	})
	d.atEnd = append(d.atEnd, func(n *node, op *failover.Operation) bool {
		if op.Step == policy.Promote && op.Ended == failover.StepFailed && !d.mended {
			unanswered(d, r, n, op)
			return true
		}
		return d.mended || d.world.now > over
	})
	return true
}

// behind has the target no longer have applied everything once its fence is claimed.
func behind(d *doing) bool {
	for _, r := range d.stepped() {
		s := d.attached(r)
		if s == nil || len(r.Steps.Require) == 0 || !r.Steps.Has(policy.Fence) {
			continue
		}
		d.fails(s, 0, 50*time.Second)
		d.atClaim = append(d.atClaim, func(_ *node, op *failover.Operation) bool {
			to := d.servers[r.Name+"/"+op.To]
			if to == nil || to.facts == nil || op.Step != policy.Fence || d.mended {
				return d.mended
			}
			was := to.facts
			to.facts = probe.Facts{"writable": was["writable"], "applied": false}
			d.say(to.name, "has not applied everything")
			d.until(40*time.Second, func() { to.facts = was })
			return true
		})
		return true
	}
	return false
}

// fenceFails has every fence fail for a while.
func fenceFails(d *doing) bool {
	for _, r := range d.stepped() {
		if s := d.attached(r); s != nil {
			d.fails(s, 0, 40*time.Second)
			d.stepFate = stepFate{"step fails", d.world.now + 35*time.Second}
			return true
		}
	}
	return false
}

// blindThen has who runs a step die, and who could take it over not reach the store
// when the time for that has come.
func blindThen(d *doing, _ *policy.Resource, runner *node, op *failover.Operation) {
	d.world.later(d.lasts(2*time.Millisecond, 40*time.Millisecond), func() {
		if runner.alive && !d.mended {
			runner.kill()
			d.until(time.Second, func() {
				if !runner.alive && !runner.retired {
					runner.start()
				}
			})
		}
	})
	d.until(2500*time.Millisecond, func() {
		for _, n := range d.living() {
			if d.store.cut[n] {
				continue
			}
			d.say(n.name, "is cut off from the store")
			d.store.reach(n, false)
			d.until(op.Timeout+d.lasts(10*time.Second, 18*time.Second), func() { d.store.reach(n, true) })
		}
	})
	d.busy(30 * time.Second)
}
