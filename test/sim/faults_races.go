package sim

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// A guard of a transaction matters only if something lands between what its
// observer read and its own landing. At random moments that is rare, so here it is
// the transaction that sets off what befalls it: while it is on its way, somebody
// else acts, or it is slow and lets others' land first. All of it may happen any day.

// racingFrom is the first seed of the worlds that are full of such races.
const racingFrom = 1_000_000

func (w *world) racing() bool { return w.opt.Seed >= racingFrom }

var raceFaults = []faultKind{
	{name: "race: others first", family: "race", do: races(func(*doing, *node, *policy.Resource) {}), later: true},
	{name: "race: a command", family: "race", do: races(commandsMeanwhile), later: true},
	{name: "race: an order", family: "race", do: races(ordersMeanwhile), later: true},
	{name: "race: a hand edit", family: "race", do: races(editsMeanwhile), later: true},
	{name: "race: it is well", family: "race", do: races(wellMeanwhile), later: true},
}

// race is what befalls transactions of a purpose while they are on their way.
type race struct {
	purpose failover.Purpose
	left    int // how many more
	d       *doing
	act     func(d *doing, n *node, r *policy.Resource)
}

// racedPurposes are those of transactions with guards; who needs more chances to be
// met at the right moment stands there more often.
var racedPurposes = []failover.Purpose{failover.PurposeOpen, failover.PurposeOpen, failover.PurposeCommit, failover.PurposeCommit, failover.PurposeCommit,
	failover.PurposeVote, failover.PurposeClose, failover.PurposeResolve, failover.PurposeAdopt, failover.PurposeState, failover.PurposeControl,
	failover.PurposeClaim, failover.PurposeClaim, failover.PurposeStep, failover.PurposeStep, failover.PurposeAfter, failover.PurposeNotice, failover.PurposeNotice}

// races has an act befall the next transactions of a purpose, whoever sends them.
func races(act func(*doing, *node, *policy.Resource)) func(*doing) bool {
	return func(d *doing) bool {
		d.races = append(d.races, &race{purpose: pick(d.rnd, racedPurposes), left: 1 + d.rnd.IntN(4), d: d, act: act})
		return true
	}
}

// raced has what is to befall a transaction begin as it is sent, and says how much
// later than others' it arrives.
func (w *world) raced(n *node, t failover.Transact) (late time.Duration) {
	if w.mended || len(w.races) == 0 || !writes(t.Ops) {
		return 0
	}
	for _, x := range w.races {
		if x.left == 0 || x.purpose != t.Purpose || x.d.one(3) {
			continue
		}
		r := w.def(resourceIn(t.Ops))
		if r == nil {
			r = x.d.resource()
		}
		x.left--
		w.happened(x.d.name)
		late = x.d.lasts(0, pick(x.d.rnd, []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, 3 * time.Second}))
		w.say(n.name, "%s: %s", t.Purpose, x.d.name)
		w.later(x.d.lasts(0, late/2), func() {
			if !w.mended {
				x.act(x.d, n, r)
			}
		})
		return late
	}
	return 0
}

// resourceIn is the resource that a transaction is about; empty if it is about all.
func resourceIn(ops []failover.Op) string {
	for _, op := range ops {
		if what := role(op.Key); what != "handle" && what != "control of all" && what != "sentinel" {
			return resourceOf(op.Key)
		}
	}
	return ""
}

// another is a machine whose daemon runs, and none that is n's if there is one.
func (d *doing) another(n *node) *node {
	all := slices.DeleteFunc(d.living(), func(o *node) bool { return o == n || o.frozen || o.leaving })
	if len(all) == 0 {
		return d.machine()
	}
	return pick(d.rnd, all)
}

// commandsMeanwhile has somebody give a command on another machine.
func commandsMeanwhile(d *doing, n *node, r *policy.Resource) {
	o := d.another(n)
	if o == nil {
		return
	}
	c := failover.Command{Verb: pick(d.rnd, []string{"ack", "ack", "clear", "clear", "pause", "resume", "drain", "undrain", "switchover", "failover", "failback",
		"restore", "restore", "adopt", "refresh"}), Resource: r.Name}
	switch c.Verb {
	case "clear", "drain", "undrain", "switchover", "restore":
		c.Endpoint = pick(d.rnd, r.Endpoints).Name
		if taints := d.stateOf(r.Name).Taints; c.Verb == "clear" && len(taints) > 0 {
			c.Endpoint, c.Force = taints[0].Endpoint, []string{"taint"}
		}
	case "pause", "resume":
		if c.All = d.one(2); c.All {
			c.Resource = ""
		}
	}
	if c.Verb == "restore" && d.one(2) {
		c.Force = []string{"taint", "drained", "observe"}
	}
	o.ask(c)
}

// ordersMeanwhile has an order come into force, or change, that another observer wrote.
func ordersMeanwhile(d *doing, _ *node, r *policy.Resource) {
	key := controlKey(r.Name)
	if d.one(2) {
		key = controlAll
	}
	e := d.store.Peek(key)
	var was, now failover.Control
	decode(e, &was)
	now = was
	by := failover.Order{By: "ada", Reason: "in between", At: birth.Add(d.now)}
	write := func(c failover.Control, flags uint64) {
		value, err := json.Marshal(c)
		if err != nil {
			panic(err)
		}
		d.say("ada", "writes %s on another machine: %s", key, value)
		d.store.write(failover.Op{Verb: failover.Set, Key: key, Value: value, Flags: flags})
	}
	switch what := d.rnd.IntN(4); {
	case what == 0: // an order that changes nothing here
	case what == 1 && key != controlAll:
		by.Endpoint = pick(d.rnd, r.Endpoints).Name
		now.Drained = append(slices.Clone(now.Drained), by)
	default:
		now.Pause = &by
	}
	write(now, e.Flags+1)
	d.until(d.lasts(time.Second, 10*time.Second), func() { write(was, e.Flags) })
}

// editsMeanwhile has somebody write a handle with the store's own tool.
func editsMeanwhile(d *doing, _ *node, r *policy.Resource) {
	h := pick(d.rnd, r.Handles)
	was := d.store.Peek(h.Key)
	op := failover.Op{Verb: failover.Set, Key: h.Key, Value: was.Value, Flags: was.Flags}
	value := []byte(pick(d.rnd, h.Values).Reveal())
	switch what := d.rnd.IntN(6); {
	case !was.Exists(), what <= 1:
		op.Value = value
	case what == 2: // nothing but its flags
		op.Flags++
	case what == 3:
		op.Verb = failover.Delete
	case what == 4:
		op.Value = []byte("mysql://app:secret@nobody.internal:3306/orders")
	default: // there and back
		d.store.write(failover.Op{Verb: failover.Set, Key: h.Key, Value: append(value, 'x'), Flags: was.Flags})
	}
	d.say("ada", "writes %s with the store's own tool (%s)", h.Key, op.Verb)
	d.store.write(op)
}

// wellMeanwhile has what is attached be well again, or another observer find it so.
func wellMeanwhile(d *doing, n *node, r *policy.Resource) {
	if s := d.servers[r.Name+"/"+d.stateOf(r.Name).Attached]; s != nil && d.one(4) {
		d.becomes(s, probe.OK, "")
		return
	}
	o := d.another(n)
	if o == nil {
		return
	}
	o.well = true
	d.say(o.name, "finds everything well")
	d.until(d.lasts(500*time.Millisecond, 4*time.Second), func() { o.well = false })
}

// drawRaces makes a world of races: few other faults, but what begins transactions
// of every kind, and what befalls these.
func (w *world) drawRaces() {
	for _, key := range append([]string{controlAll}, controls(w.defs)...) {
		if w.one(2) {
			if _, err := w.store.Apply([]failover.Op{{Verb: failover.Set, Key: key, Value: []byte("{}")}}); err != nil {
				panic(err)
			}
		}
	}
	w.plan = w.plan[:min(len(w.plan), w.rnd.IntN(4))]
	begins := []string{"crash", "crash", "crash", "hang", "switchover", "switchover", "restore", "restore", "refresh", "failover", "hand edit", "handle deleted",
		"pause", "resume", "drain", "ack", "clear", "step fails", "reply lost", "foreign value"}
	add := func(name string, from, to time.Duration) {
		w.plan = append(w.plan, fault{w.between(from, to), w.places[name], w.rnd.Uint64(), false})
	}
	add("crash", 2*time.Second, 5*time.Second)
	for range 1 + w.rnd.IntN(4) {
		add(pick(w.rnd, begins), time.Second, 12*time.Second)
	}
	for range 4 + w.rnd.IntN(8) {
		add(pick(w.rnd, raceFaults).name, 0, 3*time.Second)
	}
}

// racingResource makes a resource one whose switches have steps, more often than not.
func (w *world) racingResource(r *policy.Resource) {
	if r.Protocol.Name != "mysql" || !w.one(3) {
		return
	}
	r.Require, r.Judge.Expect = nil, nil
	w.drawSteps(r)
}

