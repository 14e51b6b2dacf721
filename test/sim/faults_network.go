package sim

import (
	"time"

	"github.com/reattach/reattach/probe"
)

var networkFaults = []faultKind{
	{name: "cut: one observer", family: "network", weight: 5, do: cuts(1)},
	{name: "cut: two observers", family: "network", weight: 4, do: cuts(2)},
	{name: "cut: all observers", family: "network", weight: 3, do: cuts(9)},
	{name: "name gone", family: "network", weight: 2, do: throughPaths(func(d *doing, p *path) { p.class = probe.NoAddress })},
	{name: "loss", family: "network", weight: 3, do: throughPaths(func(d *doing, p *path) { p.loss = 0.1 + 0.6*d.rnd.Float64() })},
	{name: "delay", family: "network", weight: 3, do: throughPaths(func(d *doing, p *path) { p.delay = d.lasts(20*time.Millisecond, 1500*time.Millisecond) })},
	{name: "own fault", family: "network", weight: 2, do: ownFault},
}

// cuts takes a server out of the sight of so many observers: their packets vanish,
// or an error comes back.
func cuts(most int) func(*doing) bool {
	return func(d *doing) bool {
		s, all := d.target(), d.living()
		if len(all) < most && most < 9 {
			return false
		}
		class := pick(d.rnd, []probe.Class{probe.Timeout, probe.Timeout, probe.Unreachable})
		d.rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, n := range all[:min(most, len(all))] {
			p := n.path(s)
			p.class, p.cutoff = class, true
			d.say(n.name, "is cut off from %s (%s)", s.name, class)
			d.until(d.lasts(time.Second, 40*time.Second), func() { *n.path(s) = path{} })
		}
		return true
	}
}

// throughPaths changes the paths to a server, of some observers.
func throughPaths(change func(*doing, *path)) func(*doing) bool {
	return func(d *doing) bool {
		s, lasts := d.target(), d.lasts(time.Second, 30*time.Second)
		for _, n := range d.living() {
			if d.one(3) {
				continue
			}
			change(d, n.path(s))
			d.say(n.name, "sees %s through a bad network (%s)", s.name, d.name)
			d.until(lasts, func() { *n.path(s) = path{} })
		}
		return true
	}
}

// ownFault has one machine run out of descriptors.
func ownFault(d *doing) bool {
	n := d.machine()
	if n == nil {
		return false
	}
	n.localFault = true
	d.say(n.name, "has no descriptors left")
	d.until(d.lasts(500*time.Millisecond, 10*time.Second), func() { n.localFault = false })
	return true
}
