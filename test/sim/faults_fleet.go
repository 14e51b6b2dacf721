package sim

import (
	"slices"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

var fleetFaults = []faultKind{
	{name: "rolling reload", family: "fleet", weight: 3, do: rolling},
	{name: "growing", family: "fleet", weight: 4, do: grows},
	{name: "shrinking", family: "fleet", weight: 1, do: shrinks},
	{name: "mass failure", family: "fleet", weight: 3, do: massFails},
	{name: "storm", family: "fleet", weight: 0, do: storms},
	{name: "same name twice", family: "fleet", weight: 1, do: twice},
	{name: "two zones down", family: "fleet", weight: 2, do: zonesDown},
	{name: "all stopped", family: "fleet", weight: 1, do: allStop},
}

// rolling gives every daemon another configuration, one after another. Their
// hashes differ meanwhile, or only what is no part of a hash does.
func rolling(d *doing) bool {
	r := d.resource()
	change := rotated
	if d.one(2) {
		change = func(r *policy.Resource) { r.Veto = !r.Veto }
	}
	d.reconfigure(func(defs []*policy.Resource) {
		i := slices.Index(defs, r)
		defs[i] = variant(r, change)
	}, d.lasts(10*time.Millisecond, 8*time.Second))
	return true
}

// reconfigure reloads every daemon with the resources changed.
func (d *doing) reconfigure(change func([]*policy.Resource), gap time.Duration) {
	w := d.world
	w.defs = slices.Clone(w.defs)
	change(w.defs)
	defs, names := w.defs, w.names
	for i, n := range w.nodes {
		if n.retired || n.twice {
			continue
		}
		w.later(time.Duration(i)*gap, func() {
			if !w.mended { // else it has been told already
				n.configure(names, defs)
			}
		})
	}
}

// configure has a daemon take a configuration, now or when it starts.
func (n *node) configure(names []string, defs []*policy.Resource) {
	cfg := n.w.config(n.name, names, defs)
	n.wanted = &cfg
	if n.alive && !n.leaving {
		n.after(0, func() {
			if n.wanted == &cfg {
				n.reload(cfg)
			}
		})
	}
}

// grows from one observer to three: who runs is reloaded first.
func grows(d *doing) bool {
	w := d.world
	if len(w.names) != 1 {
		return false
	}
	w.names = []string{"mon-a", "mon-b", "mon-c"}
	w.nodes[0].configure(w.names, w.defs)
	for _, name := range w.names[1:] {
		n := w.newNode(name, w.config(name, w.names, w.defs))
		d.until(d.lasts(500*time.Millisecond, 5*time.Second), n.start)
	}
	return true
}

// shrinks from several observers to one: the others are stopped first.
func shrinks(d *doing) bool {
	w := d.world
	first := w.nodes[0]
	if len(w.names) < 2 || !first.alive || first.frozen {
		return false
	}
	w.names = w.names[:1]
	for _, n := range w.nodes[1:] {
		n.retired = true
		if n.alive && !n.frozen && !n.leaving {
			n.leave(func() {})
		} else if n.alive {
			n.kill()
		}
	}
	names, defs := w.names, w.defs
	w.later(d.lasts(3*time.Second, 5*time.Second), func() { first.configure(names, defs) })
	return true
}

// massFails takes down half of what is attached, or more.
func massFails(d *doing) bool {
	if len(d.defs) < 4 {
		return false
	}
	lasts := d.lasts(5*time.Second, 40*time.Second)
	class := pick(d.rnd, []probe.Class{probe.Refused, probe.Timeout})
	for i, r := range d.defs {
		s := d.servers[r.Name+"/"+d.stateOf(r.Name).Attached]
		if s == nil || i >= len(d.defs)/2+1 {
			continue
		}
		d.becomes(s, class, "")
		d.until(lasts, func() { d.becomes(s, probe.OK, "") })
	}
	return true
}

// storms takes down what is attached, resource after resource.
func storms(d *doing) bool {
	for i, r := range d.defs {
		d.until(time.Duration(i)*d.lasts(100*time.Millisecond, 400*time.Millisecond), func() {
			if s := d.servers[r.Name+"/"+d.stateOf(r.Name).Attached]; s != nil {
				d.becomes(s, probe.Refused, "")
			}
		})
	}
	d.busy(14 * time.Second)
	return true
}

// twice has a second daemon run under a name that is taken.
func twice(d *doing) bool {
	w := d.world
	first := d.machine()
	if first == nil {
		return false
	}
	n := w.newNode(first.name, first.cfg)
	n.twice = true
	d.say(n.name, "runs a second time")
	n.start()
	d.until(d.lasts(2*time.Second, 30*time.Second), func() {
		if n.alive {
			n.kill()
		}
	})
	return true
}

// zonesDown takes two of the fleet's machines away.
func zonesDown(d *doing) bool {
	all := d.living()
	if len(all) < 3 {
		return false
	}
	back := d.lasts(5*time.Second, 40*time.Second)
	for _, n := range all[len(all)-2:] {
		n.kill()
		d.until(back, func() {
			if !n.alive && !n.retired {
				n.start()
			}
		})
	}
	return true
}

func allStop(d *doing) bool {
	lasts := d.lasts(time.Second, 20*time.Second)
	for _, n := range d.living() {
		if n.frozen || n.leaving {
			continue
		}
		n.freeze(false)
		life := n.life
		d.until(lasts, func() {
			if n.frozen && n.life == life {
				n.thaw()
			}
		})
	}
	return true
}
