package sim

import (
	"maps"
	"slices"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// end mends everything, has people say what there is to say, and holds what must
// come about then.
func (w *world) end() {
	w.mend()
	w.run(w.between(3*time.Second, 6*time.Second))
	w.tidy()
	w.settled()
	w.oracle.learnt()
	w.runUntil(30*time.Second, func() bool { return w.oracle.untold() == nil }) // who claimed to tell may be gone
	w.oracle.switchesTold()
	w.oracle.stepsOver()
	w.rests()
	w.fails()
	w.oracle.learnt()
	w.oracle.stepsOver()
	w.sessionsEnd()
}

// mend ends every fault.
func (w *world) mend() {
	w.mended = true
	w.say("", "all is mended")
	s := w.store
	s.slow, s.lag, s.disturbed = 0, 0, w.now
	clear(s.denied)
	for _, n := range w.nodes {
		s.reach(n, true)
	}
	if s.down {
		s.elected()
	}
	w.stepFate = stepFate{}
	w.fencedAnswers = 0
	w.armed, w.races, w.atClaim, w.atEnd = nil, nil, nil, nil // what waited for its moment has missed it
	for _, name := range slices.Sorted(maps.Keys(w.servers)) {
		srv := w.servers[name]
		srv.alive = srv.alive && srv.class != probe.Refused
		srv.id, srv.writes = "", probe.None
		w.becomes(srv, probe.OK, "")
	}
	for _, n := range w.nodes {
		n.paths, n.localFault, n.well, n.stalls, n.fates, n.disk.full = map[string]*path{}, false, false, 0, nil, false
		switch {
		case n.frozen && n.alive:
			n.thaw()
			fallthrough
		case n.alive:
			if n.twice || n.retired {
				n.kill()
			} else {
				n.write()
			}
		case !n.twice && !n.retired && slices.Contains(w.names, n.name):
			n.start()
		}
	}
}

// do has a person type a command, until it is taken or something else is in its way.
func (w *world) do(c failover.Command, tries int) {
	for range tries {
		n := w.nodes[0]
		if !n.alive || n.leaving {
			w.run(3 * time.Second)
			continue
		}
		a := n.ask(c)
		w.runUntil(15*time.Second, func() bool { return a.answer != nil })
		if a.answer != nil && a.answer.Done {
			return
		}
		w.run(2 * time.Second)
	}
}

// tidy has people end every standing order, mend their servers, and say of each
// resource what its handles shall be.
func (w *world) tidy() {
	for _, n := range w.nodes { // those that were told to end may still be about to start
		if !n.twice && !n.retired && !n.alive && slices.Contains(w.names, n.name) {
			n.start()
		}
	}
	defs, names := w.defs, w.names
	for _, n := range w.nodes { // all are configured alike
		if n.alive && !n.leaving && !n.twice {
			n.configure(names, defs)
		}
	}
	w.run(2 * time.Second)
	w.do(failover.Command{Verb: "resume", All: true}, 3)
	for _, r := range w.defs {
		w.tidyOne(r)
	}
}

func (w *world) tidyOne(r *policy.Resource) {
	w.do(failover.Command{Verb: "resume", Resource: r.Name}, 3)
	for _, d := range w.drained(r) {
		w.do(failover.Command{Verb: "undrain", Resource: r.Name, Endpoint: d}, 3)
	}
	w.do(failover.Command{Verb: "ack", Resource: r.Name}, 3)
	w.runUntil(40*time.Second, func() bool { return w.stateOf(r.Name).Operation == nil })
	if w.stateOf(r.Name).TwoWritable != "" {
		w.run(1500 * time.Millisecond) // until it is seen
		w.do(failover.Command{Verb: "ack", Resource: r.Name}, 3)
	}
	if c := w.condition(r.Name); c != "ours" {
		verb := "restore"
		if c == "outdated" {
			verb = "refresh"
		}
		w.do(failover.Command{Verb: verb, Resource: r.Name, Endpoint: r.Endpoints[0].Name, Force: []string{"taint", "drained", "observe"}}, 3)
	}
	w.serve(r)
	for _, t := range w.stateOf(r.Name).Taints {
		w.do(failover.Command{Verb: "clear", Resource: r.Name, Endpoint: t.Endpoint, Force: []string{"taint"}}, 3)
	}
	w.do(failover.Command{Verb: "ack", Resource: r.Name}, 3)
}

// serve has the attached server be what its resource expects, and the others
// standbys of it.
func (w *world) serve(r *policy.Resource) {
	attached := w.stateOf(r.Name).Attached
	for _, ep := range r.Endpoints {
		if s := w.servers[r.Name+"/"+ep.Name]; s.facts != nil {
			s.facts = probe.Facts{"writable": ep.Name == attached || !r.Steps.Has(policy.Promote), "applied": true}
		}
	}
}

func (w *world) drained(r *policy.Resource) (all []string) {
	var c failover.Control
	decode(w.store.Peek(controlKey(r.Name)), &c)
	for _, d := range c.Drained {
		all = append(all, d.Endpoint)
	}
	return all
}

func (w *world) condition(resource string) string { return w.statusOf(w.nodes[0], resource).Condition }

// statusOf is what a daemon says of a resource.
func (w *world) statusOf(n *node, resource string) failover.ResourceStatus {
	if n.alive {
		for _, r := range n.engine.Status(n.clock()).Resources {
			if r.Name == resource {
				return r
			}
		}
	}
	return failover.ResourceStatus{}
}

// settled holds that every observer soon finds all well.
func (w *world) settled() {
	ok := w.runUntil(150*time.Second, func() bool {
		w.run(450 * time.Millisecond)
		for _, r := range w.defs { // an operation that ended, or a failback that came by itself
			if c := w.oracle.control[controlKey(r.Name)]; c != nil && c.Pause != nil { // it was on its way for long
				w.do(failover.Command{Verb: "resume", Resource: r.Name}, 1)
			}
			if c := w.oracle.control[controlAll]; c != nil && c.Pause != nil {
				w.do(failover.Command{Verb: "resume", All: true}, 1)
			}
			for _, d := range w.drained(r) {
				w.do(failover.Command{Verb: "undrain", Resource: r.Name, Endpoint: d}, 1)
			}
			if w.stateOf(r.Name).TwoWritable != "" {
				w.do(failover.Command{Verb: "ack", Resource: r.Name}, 1)
			}
			for _, t := range w.stateOf(r.Name).Taints {
				w.do(failover.Command{Verb: "clear", Resource: r.Name, Endpoint: t.Endpoint, Force: []string{"taint"}}, 1)
			}
		}
		for _, n := range w.living() { // who saw what the store forgot says so himself
			for _, r := range n.engine.Status(n.clock()).Resources {
				if r.Hold != nil && r.Hold.Gate == "rewound" {
					n.ask(failover.Command{Verb: "ack", Resource: r.Name})
					w.run(time.Second)
				}
			}
		}
		return w.unwell() == ""
	})
	for _, n := range w.living() {
		w.oracle.holds(n)
	}
	if !ok {
		w.breaks("liveness", "long after all was mended, %s", w.unwell())
	}
}

// unwell says what is not as it should be when nothing is wrong; empty if all is.
func (w *world) unwell() string {
	for _, n := range w.living() {
		for _, r := range n.engine.Status(n.clock()).Resources {
			held := r.Hold != nil
			switch {
			case r.Condition != "ours" || r.Attached == "":
				return n.name + " finds the handles of " + r.Name + " " + r.Condition + ": " + r.Detail
			case held:
				return n.name + " holds " + r.Name + ": " + r.Hold.Gate + ": " + r.Hold.Why
			case r.Outage != nil:
				return n.name + " has an outage of " + r.Name
			case !r.Protected && r.Mode != "observe":
				return n.name + " finds " + r.Name + " not protected: " + r.Why
			}
		}
	}
	for _, r := range w.defs {
		if left := w.left(r); left != "" {
			return left
		}
	}
	if w.now < w.strays {
		return "something is on its way to the store"
	}
	if len(w.living()) != len(w.names) {
		return "not every daemon runs"
	}
	return ""
}

// left says what is still to be done in the store about a resource; empty if nothing is.
func (w *world) left(r *policy.Resource) string {
	if w.store.Peek(ballotKey(r.Name)).Exists() {
		return "a ballot of " + r.Name + " is open"
	}
	reply, _ := w.store.Apply([]failover.Op{{Verb: failover.GetTree, Key: ballotTree(r.Name)}, {Verb: failover.GetTree, Key: afterTree(r.Name)}})
	for _, e := range reply.Entries {
		var after failover.AfterRun
		if role(e.Key) == "vote" {
			return "votes on " + r.Name + " lie about"
		}
		if decode(e, &after) && after.End == nil && r.Steps.Has(policy.After) {
			return "after was not run for " + e.Key
		}
	}
	return ""
}

// rests holds that soon nothing is written any more, when nothing happens, and that
// no ballot is open. Telling people takes its time: each observer waits for those
// before him.
func (w *world) rests() {
	const quiet = 8 * time.Second
	last, since := w.store.Last(), w.now
	ok := w.runUntil(2*time.Minute, func() bool {
		w.run(950 * time.Millisecond)
		if now := w.store.Last(); now != last {
			last, since = now, w.now
		}
		return w.now-since >= quiet
	})
	if !ok {
		w.oracle.breaks("21", "at rest, the store is written to: %s", w.wrote(last-1))
	}
	if w.failsBack() { // it may begin this very moment
		return
	}
	made := len(w.oracle.order)
	for _, r := range w.defs {
		if e := w.store.Peek(ballotKey(r.Name)); e.Exists() && len(w.oracle.order) == made {
			w.oracle.breaks("20", "at rest, a ballot of %s is open: %s", r.Name, e.Value)
		}
	}
	for _, n := range w.living() {
		for _, name := range slices.Sorted(maps.Keys(n.loops)) {
			if n.loops[name].examined && len(w.oracle.order) == made && !w.failsBack() {
				w.oracle.breaks("21", "%s examines %s at rest", n.name, name)
			}
		}
	}
}

// failsBack reports whether an automatic failback may be on its way.
func (w *world) failsBack() bool {
	return slices.ContainsFunc(w.defs, func(r *policy.Resource) bool {
		return r.Failback == policy.FailbackAuto && w.stateOf(r.Name).Attached != r.Endpoints[0].Name
	})
}

// wrote names the first key that was written after that index.
func (w *world) wrote(index uint64) string {
	reply, _ := w.store.Apply([]failover.Op{{Verb: failover.GetTree, Key: failover.Prefix}})
	for _, e := range reply.Entries {
		if e.ModifyIndex > index {
			return e.Key
		}
	}
	return "something was deleted"
}
