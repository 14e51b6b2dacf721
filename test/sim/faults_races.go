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
	{name: "race: others first", family: "race", do: races(func(*race, *node, *policy.Resource) {}), later: true},
	{name: "race: a command", family: "race", do: races(commandsMeanwhile), later: true},
	{name: "race: an order", family: "race", do: races(ordersMeanwhile), later: true},
	{name: "race: a hand edit", family: "race", do: races(editsMeanwhile), later: true},
	{name: "race: it is well", family: "race", do: races(wellMeanwhile), later: true},
	{name: "race: the outage ends", family: "race", do: outageEnds, later: true},
	{name: "state and memory lost", family: "race", do: loses},
}

// race is what befalls transactions of a purpose while they are on their way.
type race struct {
	*doing
	purpose failover.Purpose
	left    int // how many more
	act     func(x *race, n *node, r *policy.Resource)
	// rests, if not nil, is what a transaction has to rest on to be befallen.
	rests func(failover.Op) bool
}

// racedPurposes are those of transactions with guards; who needs more chances to be
// met at the right moment stands there more often.
var racedPurposes = []failover.Purpose{failover.PurposeOpen, failover.PurposeOpen, failover.PurposeCommit, failover.PurposeCommit, failover.PurposeCommit,
	failover.PurposeVote, failover.PurposeClose, failover.PurposeResolve, failover.PurposeAdopt, failover.PurposeState, failover.PurposeControl,
	failover.PurposeClaim, failover.PurposeClaim, failover.PurposeStep, failover.PurposeStep, failover.PurposeAfter, failover.PurposeNotice, failover.PurposeNotice}

// races has an act befall the next transactions of a purpose, whoever sends them.
func races(act func(*race, *node, *policy.Resource)) func(*doing) bool {
	return func(d *doing) bool {
		d.races = append(d.races, &race{doing: d, purpose: pick(d.rnd, racedPurposes), left: 1 + d.rnd.IntN(4), act: act})
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
		if x.left == 0 || x.purpose != t.Purpose || x.rests != nil && !slices.ContainsFunc(t.Ops, x.rests) || x.rests == nil && x.one(3) {
			continue
		}
		r := w.def(resourceIn(t.Ops))
		if r == nil {
			r = x.resource()
		}
		x.left--
		w.happened(x.name)
		late = x.lasts(0, pick(x.rnd, []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, 3 * time.Second}))
		if x.rests != nil || t.Purpose == failover.PurposeNotice && x.one(3) { // who tells takes his time, too
			late = 3 * max(late, x.lasts(0, time.Second))
		}
		w.say(n.name, "%s: %s", t.Purpose, x.name)
		w.later(x.lasts(0, late/2), func() {
			if !w.mended {
				x.act(x, n, r)
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

// verbsMeanwhile are commands that change what a transaction of that purpose rests on.
var verbsMeanwhile = map[failover.Purpose][]string{
	failover.PurposeControl: {"pause", "resume", "drain", "undrain"},
	failover.PurposeOpen:    {"adopt", "restore", "ack", "clear"},
	failover.PurposeResolve: {"restore", "switchover", "failover"},
	"":                      {"ack", "clear", "adopt", "pause", "resume", "drain", "undrain", "switchover", "failover", "failback", "restore", "refresh"},
}

// commandsMeanwhile has somebody give a command on another machine.
func commandsMeanwhile(x *race, n *node, r *policy.Resource) {
	o := x.another(n)
	if o == nil {
		return
	}
	verbs := verbsMeanwhile[""]
	if some := verbsMeanwhile[x.purpose]; some != nil && !x.one(3) {
		verbs = some
	} else if x.one(2) {
		verbs = verbs[:3]
	}
	c := failover.Command{Verb: pick(x.rnd, verbs), Resource: r.Name}
	switch c.Verb {
	case "clear", "drain", "undrain", "switchover", "restore", "adopt":
		c.Endpoint = pick(x.rnd, r.Endpoints).Name
		if taints := x.stateOf(r.Name).Taints; c.Verb == "clear" && len(taints) > 0 {
			c.Endpoint, c.Force = taints[0].Endpoint, []string{"taint"}
		}
	case "pause", "resume":
		if c.All = x.one(2); c.All {
			c.Resource = ""
		}
	}
	if c.Verb == "restore" && !x.one(3) {
		c.Force = []string{"taint", "drained", "observe"}
	}
	o.ask(c)
}

// ordersMeanwhile has an order come into force, or change, that another observer wrote.
func ordersMeanwhile(d *race, _ *node, r *policy.Resource) {
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
	if was.Pause != nil && was.Pause.For > 0 { // that is over by then, or nobody knows when it began
		was.Pause = nil
	}
	d.until(d.lasts(time.Second, 10*time.Second), func() { write(was, e.Flags) })
}

// editsMeanwhile has somebody write a handle with the store's own tool.
func editsMeanwhile(d *race, _ *node, r *policy.Resource) {
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
func wellMeanwhile(d *race, n *node, r *policy.Resource) {
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

// outageEnds has what is attached be well while somebody claims a part of an outage
// that another observer tells the end of; before that, observers see different things.
func outageEnds(d *doing) bool {
	part := func(op failover.Op) bool { return op.Verb == failover.CheckIndex && role(op.Key) == "notice" }
	d.races = append(d.races, &race{doing: d, purpose: failover.PurposeNotice, left: 4, rests: part, act: func(x *race, _ *node, r *policy.Resource) {
		if s := x.servers[r.Name+"/"+x.stateOf(r.Name).Attached]; s != nil {
			x.becomes(s, probe.OK, "")
		}
	}})
	for range 2 + d.rnd.IntN(4) {
		d.until(d.lasts(2*time.Second, 20*time.Second), func() {
			n, s := d.machine(), d.target()
			if n == nil {
				return
			}
			p := n.path(s)
			p.class, p.cutoff = probe.Timeout, true
			d.say(n.name, "is cut off from %s", s.name)
			d.until(d.lasts(time.Second, 10*time.Second), func() { *n.path(s) = path{} })
		})
	}
	return true
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
	if r := w.defs[0]; w.one(8) { // nobody has said yet what the handles are
		op := failover.Op{Verb: failover.Set, Key: r.Handles[0].Key, Value: []byte("mysql://app:secret@nobody.internal:3306/orders")}
		if _, err := w.store.Apply([]failover.Op{op}); err != nil {
			panic(err)
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
		add(pick(w.rnd, raceFaults[:5]).name, 0, 3*time.Second)
	}
	if w.one(6) {
		add("race: the outage ends", 0, 3*time.Second)
		add("drain", time.Second, 6*time.Second)
		add("crash", 4*time.Second, 14*time.Second)
	}
	if w.one(8) {
		add("state and memory lost", 4*time.Second, 12*time.Second)
	}
}

// racingResource makes a resource one whose switches have steps, more often than not.
func (w *world) racingResource(r *policy.Resource) {
	if w.one(3) {
		return
	}
	r.Protocol, r.Require, r.Judge.Expect, r.Mode = storeOfData, nil, nil, policy.Act
	w.drawSteps(r)
}

// loses has one daemon lose its memory, and people take from the store what stands
// there of a resource. Whoever remembers is asked to say that it is well so, and who
// does not begins anew.
func loses(d *doing) bool {
	w, all := d.world, d.living()
	if len(all) < 2 {
		return false
	}
	n, r := pick(d.rnd, all), d.resource()
	n.kill()
	n.disk = disk{}
	ops := []failover.Op{{Verb: failover.Delete, Key: stateKey(r.Name)}, {Verb: failover.DeleteTree, Key: historyTree(r.Name)},
		{Verb: failover.DeleteTree, Key: afterTree(r.Name)}}
	if d.one(2) {
		for _, h := range r.Handles {
			ops = append(ops, failover.Op{Verb: failover.Set, Key: h.Key, Value: []byte("mysql://app:secret@nobody.internal:3306/orders")})
		}
	}
	d.say("ada", "takes all that stands of %s from the store", r.Name)
	d.store.write(ops...)
	w.oracle.rewound()
	d.until(d.lasts(10*time.Millisecond, time.Second), func() {
		if !n.alive && !n.retired {
			n.start()
		}
	})
	acks := func(x *race, n *node, r *policy.Resource) {
		if o := x.another(n); o != nil {
			o.ask(failover.Command{Verb: "ack", Resource: r.Name})
		}
	}
	for _, p := range []failover.Purpose{failover.PurposeAdopt, failover.PurposeCommit} {
		d.races = append(d.races, &race{doing: d, purpose: p, left: 2, act: acks})
	}
	for range 1 + d.rnd.IntN(3) {
		d.until(d.lasts(500*time.Millisecond, 4*time.Second), func() {
			if o := d.another(n); o != nil {
				o.ask(failover.Command{Verb: "ack", Resource: r.Name})
			}
		})
		d.until(d.lasts(500*time.Millisecond, 4*time.Second), func() {
			if n.alive && !n.frozen && !n.leaving {
				n.ask(failover.Command{Verb: "restore", Resource: r.Name, Endpoint: pick(d.rnd, r.Endpoints).Name, Force: []string{"taint", "drained", "observe"}})
			}
		})
	}
	return true
}
