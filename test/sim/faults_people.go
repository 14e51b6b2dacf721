package sim

import (
	"slices"
	"time"

	"github.com/reattach/reattach/failover"
)

var peopleFaults = []faultKind{
	{name: "pause", family: "people", weight: 4, do: order("pause")},
	{name: "pause all", family: "people", weight: 1, do: order("pause")},
	{name: "resume", family: "people", weight: 3, do: order("resume")},
	{name: "drain", family: "people", weight: 3, do: order("drain")},
	{name: "undrain", family: "people", weight: 2, do: order("undrain")},
	{name: "ack", family: "people", weight: 3, do: order("ack")},
	{name: "clear", family: "people", weight: 4, do: order("clear")},
	{name: "switchover", family: "people", weight: 6, do: order("switchover")},
	{name: "failover", family: "people", weight: 3, do: order("failover")},
	{name: "failback", family: "people", weight: 2, do: order("failback")},
	{name: "restore", family: "people", weight: 2, do: order("restore")},
	{name: "adopt", family: "people", weight: 1, do: order("adopt")},
	{name: "refresh", family: "people", weight: 2, do: order("refresh")},
	{name: "forced", family: "people", weight: 3, do: forces},
	{name: "hand edit", family: "people", weight: 5, do: edits("known")},
	{name: "there and back", family: "people", weight: 2, do: edits("back")},
	{name: "foreign value", family: "people", weight: 2, do: edits("foreign")},
	{name: "handle deleted", family: "people", weight: 2, do: edits("deleted")},
}

// order has somebody give a command on any machine.
func order(verb string) func(*doing) bool {
	return func(d *doing) bool {
		n := d.machine()
		if n == nil {
			return false
		}
		c := failover.Command{Verb: verb, Resource: d.resource().Name}
		c.All = d.name == "pause all" || verb == "resume" && d.one(3)
		if c.All {
			c.Resource = ""
		}
		needs := slices.Contains([]string{"restore", "drain", "undrain", "clear"}, verb)
		moves := slices.Contains([]string{"switchover", "failover", "adopt"}, verb)
		if needs || moves && d.one(2) {
			c.Endpoint = pick(d.rnd, d.def(c.Resource).Endpoints).Name
		}
		if (verb == "pause" || verb == "drain") && d.one(2) {
			c.For = d.lasts(time.Second, 20*time.Second)
		}
		n.ask(c)
		return true
	}
}

// forces has somebody waive gates.
func forces(d *doing) bool {
	n := d.machine()
	if n == nil {
		return false
	}
	r := d.resource()
	c := failover.Command{Verb: pick(d.rnd, []string{"switchover", "failover", "restore"}), Resource: r.Name, Endpoint: pick(d.rnd, r.Endpoints).Name}
	for _, gate := range []string{"paused", "class", "damping", "quorum", "candidate", "taint", "drained", "requirement", "observe", "fence", "promote"} {
		if d.one(4) {
			c.Force = append(c.Force, gate)
		}
	}
	n.ask(c)
	return true
}

// edits has somebody write a handle with the store's own command line.
func edits(how string) func(*doing) bool {
	return func(d *doing) bool {
		r := d.resource()
		h := pick(d.rnd, r.Handles)
		was := d.store.Peek(h.Key)
		write := func(value []byte) {
			d.say("ada", "writes %s with the store's own tool", h.Key)
			d.store.write(failover.Op{Verb: failover.Set, Key: h.Key, Value: value, Flags: was.Flags})
		}
		switch how {
		case "deleted":
			if !was.Exists() {
				return false
			}
			d.say("ada", "deletes %s with the store's own tool", h.Key)
			d.store.write(failover.Op{Verb: failover.Delete, Key: h.Key})
		case "foreign":
			write([]byte("mysql://app:secret@nobody.internal:3306/orders"))
		case "back":
			write([]byte(h.Values[d.rnd.IntN(len(h.Values))].Reveal() + "x"))
			d.until(d.lasts(time.Millisecond, 3*time.Second), func() {
				if was.Exists() {
					write(was.Value)
				}
			})
		default:
			to := d.rnd.IntN(len(r.Endpoints))
			for _, h = range r.Handles {
				write([]byte(h.Values[to].Reveal()))
			}
		}
		return true
	}
}
