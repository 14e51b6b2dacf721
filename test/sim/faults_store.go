package sim

import (
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/storetest"
)

var storeFaults = []faultKind{
	{name: "stale watch", family: "store", weight: 4, do: lags},
	{name: "request lost", family: "store", weight: 4, do: befalls("request lost", 0), later: true},
	{name: "reply lost", family: "store", weight: 7, do: befalls("reply lost", 0), later: true},
	{name: "applied late", family: "store", weight: 6, do: befalls("applied late", 20*time.Second), later: true},
	{name: "conflict", family: "store", weight: 3, do: conflicts},
	{name: "election", family: "store", weight: 4, do: elections},
	{name: "denied", family: "store", weight: 2, do: denies},
	{name: "restored snapshot", family: "store", weight: 4, do: restores},
	{name: "begun anew", family: "store", weight: 1, do: anew},
	{name: "slow", family: "store", weight: 3, do: slows},
	{name: "watch's index falls", family: "store", weight: 3, do: reaps, later: true},
	{name: "cut from the store", family: "store", weight: 5, do: cutsStore},
}

func lags(d *doing) bool {
	d.store.lag = d.lasts(50*time.Millisecond, 3*time.Second)
	d.say("store", "shows changes up to %v late", d.store.lag)
	d.until(d.lasts(time.Second, 20*time.Second), func() { d.store.lag = 0 })
	return true
}

// conflicts touches what people's orders stand in: whatever was read is old.
func conflicts(d *doing) bool {
	key := controlKey(d.resource().Name)
	if d.one(2) {
		key = controlAll
	}
	e := d.store.Peek(key)
	value := e.Value
	if len(value) == 0 {
		value = []byte("{}")
	}
	for i := range 1 + d.rnd.IntN(3) {
		d.until(time.Duration(i)*d.lasts(time.Millisecond, time.Second), func() {
			d.say("ada", "touches %s", key)
			now := d.store.Peek(key)
			if !now.Exists() {
				now.Value = value
			}
			d.store.write(failover.Op{Verb: failover.Set, Key: key, Value: now.Value, Flags: now.Flags + 1})
		})
	}
	return true
}

func elections(d *doing) bool {
	if d.store.down {
		return false
	}
	d.store.down = true
	d.say("store", "has no leader")
	d.until(pickTime(d, 500*time.Millisecond, 4*time.Second, 30*time.Second), func() {
		d.say("store", "has a leader")
		d.store.elected()
	})
	return true
}

func pickTime(d *doing, a, b, c time.Duration) time.Duration {
	if d.one(3) {
		return d.lasts(b, c)
	}
	return d.lasts(a, b)
}

func denies(d *doing) bool {
	what := [][]string{{"handle"}, {"state", "history"}, {"ballot", "vote", "votes"}, {"control", "control of all"}}
	roles := what[d.rnd.IntN(len(what))]
	for _, r := range roles {
		d.store.denied[r] = true
	}
	d.say("store", "denies writing %v", roles)
	d.until(d.lasts(time.Second, 20*time.Second), func() { clear(d.store.denied) })
	return true
}

// restores brings back what the store held some seconds before. As Raft does, it
// gives out no index twice.
func restores(d *doing) bool {
	w := d.world
	snapshot := d.store.Clone()
	after := d.lasts(100*time.Millisecond, 20*time.Second)
	d.until(after, func() {
		last := w.store.Last()
		w.store.Restore(snapshot)
		w.store.Skip(last)
		w.store.restored++
		w.say("store", "is restored to what it held %v ago", after)
		w.oracle.rewound()
		w.store.wakeAll()
	})
	return true
}

// anew is a store that is begun anew, into which people put what they had saved:
// all indexes are others.
func anew(d *doing) bool {
	w := d.world
	fresh := storetest.NewModel(uint64(1 + d.rnd.IntN(50)))
	reply, _ := w.store.Apply([]failover.Op{{Verb: failover.GetTree, Key: "app/"}, {Verb: failover.GetTree, Key: failover.Prefix}})
	all := d.one(2)
	for _, e := range reply.Entries {
		if all || role(e.Key) == "handle" {
			if _, err := fresh.Apply([]failover.Op{{Verb: failover.Set, Key: e.Key, Value: e.Value, Flags: e.Flags}}); err != nil {
				panic(err)
			}
		}
	}
	w.store.down = true
	w.say("store", "is taken down, to be begun anew")
	d.until(d.lasts(5*time.Second, 15*time.Second), func() {
		w.store.Restore(fresh)
		w.store.restored++
		w.store.held = nil
		w.oracle.rewound()
		w.say("store", "is there again, with new indexes")
		w.store.elected()
		w.store.wakeAll()
	})
	return true
}

func slows(d *doing) bool {
	d.store.slow = d.lasts(20*time.Millisecond, 900*time.Millisecond)
	d.say("store", "takes %v", d.store.slow)
	d.until(d.lasts(time.Second, 15*time.Second), func() { d.store.slow, d.store.disturbed = 0, d.now })
	return true
}

// reaps forgets deletions, and then has something change below what is watched.
func reaps(d *doing) bool {
	d.store.Reap()
	d.say("store", "forgets what was deleted")
	d.store.wake()
	return true
}

func cutsStore(d *doing) bool {
	n := d.machine()
	if n == nil || d.store.cut[n] {
		return false
	}
	d.store.reach(n, false)
	d.say(n.name, "is cut off from the store")
	d.until(pickTime(d, 500*time.Millisecond, 5*time.Second, 40*time.Second), func() {
		d.say(n.name, "reaches the store again")
		d.store.reach(n, true)
	})
	return true
}
