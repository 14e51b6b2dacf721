package sim

import (
	"slices"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// stepsSeen is what is known of the commands that were run.
type stepsSeen struct {
	running  map[string]*command // by resource and whether it is after
	promoted map[string]string   // by operation: on which endpoint promote was started
	done     map[string]bool     // by operation and step: it ended well
	fenced   map[string]bool     // by operation: it was claimed on a quorum
	aborted  map[string]int      // by operation
	after    map[string]int      // by operation
	wants    map[string]string   // operations that abort has to follow: of which resource
}

func newSteps() stepsSeen {
	return stepsSeen{map[string]*command{}, map[string]string{}, map[string]bool{}, map[string]bool{}, map[string]int{}, map[string]int{}, map[string]string{}}
}

// runs holds what is true of each command at the moment when it is started.
func (o *oracle) runs(n *node, c *command) {
	s, f := &o.steps, c.run
	op, to := f.Env["OP"], f.Env["TO"]
	m := o.made[op]
	landed := m != nil && !m.forgot
	key := f.Resource
	if f.Step == policy.After {
		key += "/after of " + op // those of two switches may run beside one another
	}
	if was := s.running[key]; was != nil && !o.back && was.n.known.frozen < was.began && !was.n.frozen {
		o.breaks("7", "%s runs %s of %s while %s runs %s", n.name, f.Step, f.Resource, was.n.name, was.run.Step)
	}
	s.running[key] = c
	o.begunRightly(n, c)
	if f.Step == policy.After {
		if s.after[op]++; !landed && !o.back {
			o.breaks("13", "after of %s runs for %s, which was not committed", f.Resource, op)
		}
		return
	}
	state := o.w.stateOf(f.Resource)
	if u := state.Operation; !o.back && c.began-n.known.frozen > 10*time.Second && (u == nil || u.ID != op || u.Step != f.Step || u.Ended != "" || u.To != to) {
		o.breaks("7", "%s runs %s of %s without its claim: %+v", n.name, f.Step, f.Resource, u)
	}
	if landed && !o.back {
		o.breaks("13", "%s of %s runs for %s, which is committed", f.Step, f.Resource, op)
	}
	switch f.Step {
	case policy.Promote:
		o.promotes(n, c, op, to)
	case policy.Abort:
		if s.aborted[op]++; s.promoted[op] == "" && !o.back && (state.Operation == nil || !state.Operation.Promoted) {
			o.breaks("13", "abort of %s runs, and promote never did", f.Resource)
		}
	}
}

func (o *oracle) promotes(n *node, c *command, op, to string) {
	s, f := &o.steps, c.run
	r := n.has(f.Resource)
	if s.aborted[op] > 0 && !o.back {
		o.breaks("13", "promote of %s runs after abort", f.Resource)
	}
	if was := s.promoted[op]; was != "" && was != to && !o.back {
		o.breaks("7", "promote of %s runs on %s, and ran on %s", f.Resource, to, was)
	}
	s.promoted[op] = to
	if r == nil {
		return
	}
	u := o.w.stateOf(f.Resource).Operation
	if r.Steps.Has(policy.Fence) && !r.Steps.Proceed && !s.done[op+policy.Fence] && !o.back && u != nil && !slices.Contains(u.Forced, policy.Fence) && o.w.stateOf(f.Resource).Fenced == 0 {
		o.breaks("7", "promote of %s runs before its fence has succeeded", f.Resource)
	}
	if r.Steps.Has(policy.Abort) {
		s.wants[op] = f.Resource
	}
}

// ranTo is the end of a command.
func (o *oracle) ranTo(c *command, out failover.StepOutcome) {
	for key, was := range o.steps.running {
		if was == c {
			delete(o.steps.running, key)
		}
	}
	if out.Why != "" { // else its runner died
		o.claims.bad[c.run.Env["OP"]+c.run.Step] = c.n
	}
	if out.OK {
		o.steps.done[c.run.Env["OP"]+c.run.Step] = true
	}
}

// stepWritten holds what is true of a write of state that begins an operation.
func (o *oracle) stepWritten(c *change) {
	op := c.now.Operation
	if op == nil || c.old.Operation != nil {
		if op != nil && op.ID != c.old.Operation.ID {
			o.breaks("7", "%s begins %s of %s in the middle of another", c.n.name, op.ID, c.r.Name)
		}
		return
	}
	b := o.open[c.r.Name]
	if b == nil || b.Op != op.ID || b.by != c.n {
		o.breaks("8", "%s claims %s of %s without its ballot", c.n.name, op.Step, c.r.Name)
	}
	for key, index := range b.indexes {
		now, named := c.was[key]
		if !named {
			now = o.w.store.Peek(key)
		}
		if now.ModifyIndex != index {
			o.breaks("5", "%s claims %s of %s although %s changed since the opening", c.n.name, op.Step, c.r.Name, key)
		}
	}
	o.inTime(c, b)
	if op.Kind != policy.Failover || slices.Contains(op.Forced, "quorum") || c.old.Fenced != 0 && c.old.Fenced == c.old.Epoch {
		return
	}
	down := 0
	for _, v := range b.votes {
		if v.Hash == b.Hash && v.Observer != b.Opener && sawOf(v, op.From).State == policy.Down {
			down++
		}
	}
	if saw := sawOf(op.Vote, op.From); saw.State == policy.Down || !op.Automatic && saw.State == policy.Suspect {
		down++
	}
	if need := len(b.observed)/2 + 1; down < need {
		o.breaks("2", "%s claims %s of %s with %d of %d down votes; %d needed", c.n.name, op.Step, c.r.Name, down, len(b.observed), need)
	}
	if b.vetoed != "" && !b.NoVeto {
		o.breaks("3", "%s claims %s of %s after the veto of %s", c.n.name, op.Step, c.r.Name, b.vetoed)
	}
}

// stepsBehind holds that what is committed was fenced and promoted before.
func (o *oracle) stepsBehind(c *change) {
	rec, r := c.rec, c.r
	if !rec.Kind.Stepped() {
		if op := c.old.Operation; op != nil && rec.Kind != policy.Adopt {
			o.breaks("7", "%s of %s in the middle of %s", rec.Kind, r.Name, op.ID)
		}
		return
	}
	if o.back { // a restored snapshot voids 7 and 13 for what it forgot
		return
	}
	waived := func(step string) bool { return !r.Steps.Has(step) || slices.Contains(rec.Forced, step) }
	switch op := c.old.Operation; {
	case !waived(policy.Promote) && o.steps.promoted[rec.Op] != rec.To:
		o.breaks("7", "%s of %s to %s; promoted was %q", rec.Kind, r.Name, rec.To, o.steps.promoted[rec.Op])
	case !waived(policy.Fence) && !r.Steps.Proceed && c.old.Fenced != c.old.Epoch:
		o.breaks("7", "%s of %s from %s, which was not fenced", rec.Kind, r.Name, rec.From)
	case o.steps.aborted[rec.Op] > 0:
		o.breaks("13", "%s of %s after its abort", rec.Kind, r.Name)
	case op != nil && op.ID != rec.Op:
		o.breaks("7", "%s of %s in the middle of %s", rec.Kind, r.Name, op.ID)
	case c.old.TwoWritable != "":
		o.breaks("7", "%s of %s, whose endpoints may both take writes", rec.Kind, r.Name)
	}
}

// stepsOver holds, once all is quiet, that abort or the switch followed every
// promotion, and after every switch.
func (o *oracle) stepsOver() {
	for _, r := range o.w.defs {
		if s := o.w.stateOf(r.Name); s.Operation != nil {
			o.w.breaks("liveness", "%s is still in the middle of %+v", r.Name, s.Operation)
		}
	}
	if o.back {
		return
	}
	for _, m := range o.order {
		if r := o.w.def(m.Resource); r.Steps.Has(policy.After) && o.steps.after[m.Op] == 0 && m.Kind != policy.Adopt && len(o.w.living()) > 0 {
			o.breaks("13", "after never ran for the %s of %s to %s", m.Kind, m.Resource, m.To)
		}
	}
	for op, resource := range o.steps.wants {
		if o.made[op] == nil && o.steps.aborted[op] == 0 {
			o.breaks("13", "promote of %s was started for %s, which was not committed, and abort never ran", resource, op)
		}
	}
}
