package failover_test

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// stepsSeen is what an oracle knows of the commands that were run.
type stepsSeen struct {
	running  map[string]command  // by resource and whether it is after
	promoted map[string]string   // by operation: on which endpoint
	aborted  map[string]int      // by operation
	after    map[string]int      // by operation
	wants    map[string]struct{} // operations whose configuration had an abort step when promote was started
}

type command struct {
	op    string
	until time.Time
}

// ran holds what is true of each command at the moment when it is started.
func (o *oracle) ran(f failover.RunStep) {
	s := &o.steps
	if s.running == nil {
		*s = stepsSeen{map[string]command{}, map[string]string{}, map[string]int{}, map[string]int{}, map[string]struct{}{}}
	}
	op, to := f.Env["OP"], f.Env["TO"]
	landed := slices.ContainsFunc(o.made, func(m failover.Record) bool { return m.Op == op })
	key := f.Resource
	if f.Step == policy.After {
		key += "/after"
	}
	if was := s.running[key]; o.w.now.Before(was.until) {
		o.breaks(7, "%s of %s runs while another command of %s does", f.Step, f.Resource, was.op)
	}
	fate, ok := o.w.steps[f.Resource+"/"+f.Step]
	if !ok {
		fate.took = time.Second
	}
	s.running[key] = command{op, o.w.now.Add(min(fate.took, f.Deadline.Sub(o.w.now)))}
	if !o.w.now.Before(f.Deadline) {
		o.breaks(7, "%s of %s is started after its time", f.Step, f.Resource)
	}
	if f.Step == policy.After {
		if s.after[op]++; !landed && !o.back {
			o.breaks(13, "after of %s runs for %s, which was not committed", f.Resource, op)
		}
		return
	}
	var state failover.State
	_ = json.Unmarshal(o.w.get("reattach/state/"+f.Resource).Value, &state)
	if u := state.Operation; !o.back && (u == nil || u.ID != op || u.Step != f.Step || u.Ended != "" || u.To != to) {
		o.breaks(7, "%s of %s runs without its claim: %+v", f.Step, f.Resource, u)
	}
	if landed && !o.back {
		o.breaks(13, "%s of %s runs for %s, which is committed", f.Step, f.Resource, op)
	}
	i := slices.IndexFunc(o.w.cfg.Resources, func(r *policy.Resource) bool { return r.Name == f.Resource })
	switch f.Step {
	case policy.Promote:
		if s.aborted[op] > 0 && !o.back {
			o.breaks(13, "promote of %s runs after abort", f.Resource)
		}
		if s.promoted[op] = to; i >= 0 && o.w.cfg.Resources[i].Steps.Has(policy.Abort) {
			s.wants[op] = struct{}{}
		}
	case policy.Abort:
		if s.aborted[op]++; s.promoted[op] == "" && !o.back {
			o.startedUnseen(f, state)
		}
	}
}

// startedUnseen holds that abort follows a promote that was claimed at least: its
// claim may have landed without that anybody learnt it.
func (o *oracle) startedUnseen(f failover.RunStep, state failover.State) {
	if state.Operation == nil || !state.Operation.Promoted {
		o.breaks(13, "abort of %s runs, and promote never did", f.Resource)
	}
}

// claimsOn holds that no operation begins under the ballot of another.
func (o *oracle) claimsOn(f failover.Transact) {
	var s failover.State
	for _, op := range f.Ops {
		if op.Verb == failover.CAS {
			_ = json.Unmarshal(op.Value, &s)
		}
	}
	if silent := o.w.now.Sub(o.heard); silent > 2200*time.Millisecond || s.Operation == nil {
		o.breaks(6, "a step is claimed although the store has been silent for %v", silent)
	}
}

// stepsBehind holds that what is committed was fenced and promoted before.
func (o *oracle) stepsBehind(r *policy.Resource, rec failover.Record, old failover.State) {
	if !rec.Kind.Stepped() {
		if op := old.Operation; op != nil && rec.Kind != policy.Adopt {
			o.breaks(7, "%s of %s in the middle of %s", rec.Kind, r.Name, op.ID)
		}
		return
	}
	if o.back {
		return // a restored snapshot voids 7 and 13 for what it forgot
	}
	waived := func(step string) bool { return !r.Steps.Has(step) || slices.Contains(rec.Forced, step) }
	if !waived(policy.Promote) && o.steps.promoted[rec.Op] != rec.To && !o.back {
		o.breaks(7, "%s of %s to %s; promoted was %q", rec.Kind, r.Name, rec.To, o.steps.promoted[rec.Op])
	}
	if !waived(policy.Fence) && !r.Steps.Proceed && old.Fenced != old.Epoch {
		o.breaks(7, "%s of %s from %s, which was not fenced", rec.Kind, r.Name, rec.From)
	}
	if o.steps.aborted[rec.Op] > 0 {
		o.breaks(13, "%s of %s after its abort", rec.Kind, r.Name)
	}
	if op := old.Operation; op != nil && op.ID != rec.Op {
		o.breaks(7, "%s of %s in the middle of %s", rec.Kind, r.Name, op.ID)
	}
	if old.TwoWritable != "" {
		o.breaks(7, "%s of %s, whose endpoints may both take writes", rec.Kind, r.Name)
	}
}

// checkSteps holds, once all is quiet, that abort or the switch followed every
// promotion, and after every switch.
func (w *world) checkSteps() {
	o := w.oracle
	w.run(w.now.Add(3 * time.Second))
	for _, r := range w.cfg.Resources {
		var s failover.State
		_ = json.Unmarshal(w.get("reattach/state/"+r.Name).Value, &s)
		if s.Operation != nil {
			w.t.Errorf("liveness: %s is still in the middle of %+v", r.Name, s.Operation)
		}
		for _, rec := range o.made {
			if rec.Resource == r.Name && r.Steps.Has(policy.After) && o.steps.after[rec.Op] == 0 && rec.Kind != policy.Adopt && !o.back {
				o.breaks(13, "after never ran for the %s of %s to %s", rec.Kind, r.Name, rec.To)
			}
		}
	}
	for _, op := range sortedKeys(o.steps.wants) {
		landed := slices.ContainsFunc(o.made, func(m failover.Record) bool { return m.Op == op })
		if !landed && o.steps.aborted[op] == 0 && !o.back {
			o.breaks(13, "promote was started for %s, which was not committed, and abort never ran", op)
		}
	}
}

// stepsTake is how long a resource's steps take, with what is looked at between them.
func stepsTake(r *policy.Resource) (d time.Duration) {
	for _, name := range []string{policy.Fence, policy.Promote} {
		if r.Steps.Has(name) {
			d += 1500 * time.Millisecond
		}
	}
	return d
}
