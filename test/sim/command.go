package sim

import (
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// command is a person's step while it runs.
type command struct {
	n     *node
	run   failover.RunStep
	began time.Duration
	ended bool
	does  bool // it comes to its end, if it is let
}

// stepFate is how commands end for a while.
type stepFate struct {
	kind  string // the fault's name
	until time.Duration
}

// run starts a command. It is killed at its deadline, and dies with the daemon.
func (n *node) run(f failover.RunStep) {
	w := n.w
	c := &command{n: n, run: f, began: w.now, does: true}
	w.say(n.name, "runs %s of %s (%s, attempt %s) for %s", f.Step, f.Resource, f.Env["KIND"], f.Env["ATTEMPT"], f.Env["TO"])
	if !n.clock().Before(f.Deadline) {
		n.after(0, func() { n.ran(c, failover.StepOutcome{Why: "its time was over before it began", Late: true}) })
		return
	}
	n.steps[f.ID] = c
	w.oracle.runs(n, c)
	took, ok := w.between(50*time.Millisecond, time.Second), true
	if fate := w.stepFate; w.now < fate.until && f.Step != policy.Abort {
		w.happened(fate.kind)
		switch fate.kind {
		case "step hangs":
			took = time.Hour
		case "step fails":
			ok = false
		case "step killed":
			n.after(took/2, n.kill)
		}
	}
	if limit := f.Deadline.Sub(n.clock()); took >= limit {
		c.does = false
		w.later(limit, func() { // the runner's own child sees to it, whatever becomes of its parent
			c.finish(failover.StepOutcome{Why: "killed: its time was over", Took: limit})
		})
		return
	}
	w.later(took, func() {
		c.finish(failover.StepOutcome{OK: ok, Why: map[bool]string{false: "exit status 1"}[ok], Took: took})
	})
}

// finish is the end of the process, of which the daemon hears if it lives.
func (c *command) finish(o failover.StepOutcome) {
	if c.ended {
		return
	}
	c.ended = true
	word := "done"
	if !o.OK {
		word = "failed: " + o.Why
	}
	c.n.w.say(c.n.name, "%s of %s is %s", c.run.Step, c.run.Resource, word)
	if o.OK {
		c.works()
	}
	c.n.w.oracle.ranTo(c, o)
	c.n.after(0, func() { c.n.ran(c, o) })
}

// ran hands the end of a command to the engine.
func (n *node) ran(c *command, o failover.StepOutcome) {
	delete(n.steps, c.run.ID)
	n.step(failover.StepEnded{ID: c.run.ID, Resource: c.run.Resource, Outcome: o})
}

// dies kills a command with its runner; what it was to do may be done already.
func (c *command) dies() {
	if c.ended {
		return
	}
	c.ended = true
	if c.n.w.rnd.IntN(2) == 0 {
		c.works()
	}
	c.n.w.oracle.ranTo(c, failover.StepOutcome{})
}

// works is what a command does to the servers.
func (c *command) works() {
	w := c.n.w
	from, to := w.servers[c.run.Resource+"/"+c.run.Env["FROM"]], w.servers[c.run.Resource+"/"+c.run.Env["TO"]]
	switch {
	case c.run.Step == policy.Fence && from != nil:
		from.facts = probe.Facts{"writable": false}
		if w.now < w.fencedAnswers {
			w.happened("fenced yet answering")
			w.becomes(from, probe.OK, "")
		}
	case c.run.Step == policy.Promote && to != nil:
		to.facts = probe.Facts{"writable": true, "applied": true}
	case c.run.Step == policy.Abort && to != nil:
		to.facts = probe.Facts{"writable": false, "applied": true}
	}
}
