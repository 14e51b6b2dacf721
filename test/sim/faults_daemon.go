package sim

import (
	"slices"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

var daemonFaults = []faultKind{
	{name: "stopped", family: "daemon", weight: 5, do: stops(false)},
	{name: "suspended", family: "daemon", weight: 2, do: stops(true)},
	{name: "stopped while sending", family: "daemon", weight: 5, do: befalls("stopped while sending", 0), later: true},
	{name: "killed", family: "daemon", weight: 6, do: kills},
	{name: "restarted", family: "daemon", weight: 3, do: restartsDaemon},
	{name: "reloaded", family: "daemon", weight: 3, do: reloads},
	{name: "clock back", family: "daemon", weight: 2, do: clocks(-1)},
	{name: "clock forward", family: "daemon", weight: 2, do: clocks(1)},
	{name: "disk full", family: "daemon", weight: 2, do: diskFull},
	{name: "step hangs", family: "daemon", weight: 2, do: stepsAre, later: true},
	{name: "step fails", family: "daemon", weight: 3, do: stepsAre, later: true},
	{name: "step killed", family: "daemon", weight: 3, do: stepsAre, later: true},
}

func stops(suspend bool) func(*doing) bool {
	return func(d *doing) bool {
		n := d.machine()
		if n == nil {
			return false
		}
		n.freeze(suspend)
		life := n.life
		d.until(pick(d.rnd, []time.Duration{d.lasts(100*time.Millisecond, 3*time.Second), d.lasts(2*time.Second, 40*time.Second)}), func() {
			if n.frozen && n.life == life {
				n.thaw()
			}
		})
		return true
	}
}

func kills(d *doing) bool {
	n := d.machine()
	if n == nil {
		return false
	}
	n.kill()
	d.until(d.lasts(10*time.Millisecond, 15*time.Second), func() {
		if !n.alive && !n.retired {
			n.start()
		}
	})
	return true
}

func restartsDaemon(d *doing) bool {
	n := d.machine()
	if n == nil {
		return false
	}
	n.leave(func() {
		if !n.retired {
			n.w.later(d.lasts(10*time.Millisecond, 2*time.Second), func() {
				if !n.alive && !n.retired {
					n.start()
				}
			})
		}
	})
	return true
}

// variant is a resource with something changed, for one daemon or for all.
func variant(r *policy.Resource, change func(*policy.Resource)) *policy.Resource {
	c := *r
	c.Endpoints, c.Handles = slices.Clone(r.Endpoints), slices.Clone(r.Handles)
	for i := range c.Handles {
		c.Handles[i].Values = slices.Clone(c.Handles[i].Values)
	}
	change(&c)
	return &c
}

// reloads gives one daemon other thresholds, or the same again.
func reloads(d *doing) bool {
	n := d.machine()
	if n == nil {
		return false
	}
	cfg := n.cfg
	cfg.Resources = slices.Clone(cfg.Resources)
	i := d.rnd.IntN(len(cfg.Resources))
	cfg.Resources[i] = variant(cfg.Resources[i], func(r *policy.Resource) {
		switch d.rnd.IntN(3) {
		case 0:
			r.Judge.Sustain = d.lasts(time.Second, 5*time.Second)
		case 1:
			r.Pace.FreshInterval = 7 * time.Second
		}
	})
	n.reload(cfg)
	return true
}

// rotated gives every endpoint another password.
func rotated(r *policy.Resource) {
	for i := range r.Endpoints {
		u := r.Endpoints[i].Target.URL
		u.Password, u.HasPass = probe.Secret(u.Password.Reveal()+"2"), true
		r.Endpoints[i].Target.URL = u
		for j := range r.Handles {
			r.Handles[j].Values[i] = probe.Secret(u.Reveal())
		}
	}
}

// clocks sets a machine's clock.
func clocks(sign time.Duration) func(*doing) bool {
	return func(d *doing) bool {
		n := d.machine()
		if n == nil {
			return false
		}
		by := sign * d.lasts(2*time.Second, 20*time.Minute)
		n.wallOff += by
		d.say(n.name, "has its clock set by %v", by)
		return true
	}
}

func diskFull(d *doing) bool {
	n := d.machine()
	if n == nil {
		return false
	}
	n.disk.full = true
	d.say(n.name, "has a full disk")
	d.until(d.lasts(time.Second, 30*time.Second), func() {
		n.disk.full = false
		if n.alive && !n.frozen {
			n.write()
		}
	})
	return true
}

func stepsAre(d *doing) bool {
	d.stepFate = stepFate{d.name, d.now + d.lasts(5*time.Second, 40*time.Second)}
	return true
}

// befalls has something happen to the next transaction of a purpose, mostly one
// that matters.
func befalls(kind string, late time.Duration) func(*doing) bool {
	return func(d *doing) bool {
		purpose := pick(d.rnd, []failover.Purpose{failover.PurposeCommit, failover.PurposeCommit, failover.PurposeCommit, failover.PurposeOpen,
			failover.PurposeOpen, failover.PurposeVote, failover.PurposeClose, failover.PurposeRead, failover.PurposeResolve, failover.PurposeAdopt,
			failover.PurposeState, failover.PurposeControl, failover.PurposeClaim, failover.PurposeClaim, failover.PurposeStep, failover.PurposeStep,
			failover.PurposeAfter, failover.PurposeConfirm})
		if kind == "stopped while sending" || d.one(2) {
			purpose = pick(d.rnd, []failover.Purpose{failover.PurposeCommit, failover.PurposeCommit, failover.PurposeClaim, failover.PurposeStep, failover.PurposeOpen})
		}
		for _, n := range d.living() {
			f := &fate{purpose: purpose, kind: kind, until: d.now + d.lasts(5*time.Second, 40*time.Second)}
			if late > 0 {
				f.late = d.lasts(time.Second, late)
			}
			if kind == "stopped while sending" {
				f.late = d.lasts(100*time.Millisecond, 30*time.Second)
			}
			n.fates = append(n.fates, f)
		}
		return true
	}
}
