package failover_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// watcher stands beside a fleet and its store, and notes what does harm, by the
// number of the invariant that it breaks. It never asks an engine, but at the end.
type watcher struct {
	harms    []string
	opened   map[string]keys      // by nonce: the store as its opening left it
	open     map[string]string    // by resource: the nonce of its ballot
	closed   map[string]bool      // nonces
	made     map[string]bool      // operations that were committed, or adopted
	writes   map[string]uint64    // by handle: at which index somebody else wrote it last
	running  map[string]commandOf // by operation
	tasks    map[string]failover.RunStep
	promoted map[string]string // by operation: on which endpoint promote was started
	aborted  map[string]bool   // operations
	fenced   map[string]bool   // resource/endpoint
	after    map[string]bool   // operations
	due      map[string]bool   // operations whose after step is to run
	denied   map[string]bool   // adopts that their person was told have not happened
	adopts   map[string]string // by observer and order, as sent
	rewound  bool
}

// commandOf is a command that an observer runs.
type commandOf struct {
	failover.RunStep
	observer string
}

func newWatcher() *watcher {
	return &watcher{opened: map[string]keys{}, open: map[string]string{}, closed: map[string]bool{}, made: map[string]bool{}, writes: map[string]uint64{},
		running: map[string]commandOf{}, tasks: map[string]failover.RunStep{}, promoted: map[string]string{}, aborted: map[string]bool{}, fenced: map[string]bool{},
		after: map[string]bool{}, due: map[string]bool{}, denied: map[string]bool{}, adopts: map[string]string{}}
}

func (x *watcher) harm(w *world, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.say("HARM %s", text)
	x.harms = append(x.harms, text)
}

// before is the store as it is before a transaction.
func (x *watcher) before(w *world) keys {
	if x == nil {
		return nil
	}
	return dump(w, w.store)
}

// landed looks at what a transaction did.
func (x *watcher) landed(w *world, f failover.Transact, was keys, a failover.Answered) {
	if x == nil || a.Err != nil || !a.Reply.OK {
		return
	}
	is := dump(w, w.store)
	for _, r := range w.cfg.Resources {
		x.handles(r, was)
		var old, now failover.State
		was.into(stateAt(r), &old)
		is.into(stateAt(r), &now)
		switch {
		case was[stateAt(r)].ModifyIndex == is[stateAt(r)].ModifyIndex:
		case now.Epoch == old.Epoch:
			x.stateAlone(w, f, r, old, now, was, is)
		default:
			x.switched(w, r, old, now, was, is)
		}
		x.ballots(r, was, is)
	}
}

func stateAt(r *policy.Resource) string { return "reattach/state/" + r.Name }

// handles notes what somebody else wrote.
func (x *watcher) handles(r *policy.Resource, was keys) {
	var s failover.State
	was.into(stateAt(r), &s)
	for _, h := range r.Handles {
		if e := was[h.Key]; e.Exists() && e.Flags == 7 && e.ModifyIndex > was[stateAt(r)].ModifyIndex { // as stories write
			x.writes[h.Key] = e.ModifyIndex
		}
	}
}

// ballots follows which ballots are open, and which were closed.
func (x *watcher) ballots(r *policy.Resource, was, is keys) {
	var b failover.Opening
	key := "reattach/ballot/" + r.Name + "/_"
	is.into(key, &b)
	if was[key].ModifyIndex == is[key].ModifyIndex {
		return
	}
	if nonce := x.open[r.Name]; nonce != "" {
		x.closed[nonce] = true
	}
	if x.open[r.Name] = b.Nonce; b.Nonce != "" {
		x.opened[b.Nonce] = is
	}
}

// stateAlone looks at claims and ends of steps, acks and clears.
func (x *watcher) stateAlone(w *world, f failover.Transact, r *policy.Resource, old, now failover.State, was, is keys) {
	for _, h := range r.Handles {
		if ownedBy(old, was[stateAt(r)], was[h.Key]) && !ownedBy(now, is[stateAt(r)], is[h.Key]) {
			x.harm(w, "I1: %s is not ours any more, and nobody else wrote it", h.Key)
		}
	}
	if op := old.Operation; op != nil && now.Operation == nil {
		x.ended(w, r, op)
	}
	op := now.Operation
	if op == nil || old.Operation != nil && old.Operation.Claim == op.Claim || op.Step == policy.Abort {
		return
	}
	var all, own failover.Control
	was.into("reattach/control/_all", &all)
	was.into("reattach/control/"+r.Name, &own)
	if all.Pause != nil || own.Pause != nil {
		x.harm(w, "I6: %s is claimed under a pause", op.Step)
	}
}

// ended holds that what was promoted and not committed is aborted by then.
func (x *watcher) ended(w *world, r *policy.Resource, op *failover.Operation) {
	if to := x.promoted[op.ID]; to != "" && !x.made[op.ID] && !x.aborted[op.ID] && r.Steps.Has(policy.Abort) {
		x.harm(w, "I13: %s was promoted, is not committed, and nobody is left to abort it", to)
	}
}

// switched looks at a commit, or an adopt.
func (x *watcher) switched(w *world, r *policy.Resource, old, now failover.State, was, is keys) {
	rec := failover.Record{}
	is.into(fmt.Sprintf("reattach/history/%s/%010d", r.Name, now.Epoch), &rec)
	if x.made[rec.Op] {
		x.harm(w, "I12: one operation was committed twice")
	}
	if x.denied[rec.Op] {
		x.harm(w, "I12: the %s lands after its sender had said that it did not happen", rec.Kind)
	}
	x.made[rec.Op] = true
	if rec.Kind == policy.Adopt {
		for _, h := range r.Handles {
			if old.Epoch > 0 && x.writes[h.Key] != was[h.Key].ModifyIndex {
				x.harm(w, "I1: adopts %s, which nobody but us has written", h.Key)
			}
		}
		if op := old.Operation; op != nil && now.Operation == nil {
			x.ended(w, r, op)
		}
		return
	}
	x.due[rec.Op] = r.Steps.Has(policy.After)
	x.onItsBallot(w, r, rec, was)
	x.behindSteps(w, r, rec, old, was)
}

// onItsBallot holds that a commit rests on what its ballot's opening read.
func (x *watcher) onItsBallot(w *world, r *policy.Resource, rec failover.Record, was keys) {
	var b failover.Opening
	was.into("reattach/ballot/"+r.Name+"/_", &b)
	if x.closed[b.Nonce] {
		x.harm(w, "I8: commits on a ballot that was closed")
	}
	then, now := x.opened[b.Nonce].indexes(r), was.indexes(r)
	for key, at := range now {
		if then[key] != at {
			x.harm(w, "I8: commits although %s changed since the opening", key)
		}
	}
	if len(rec.Forced) > 0 || !slices.Contains([]policy.Kind{policy.Failover, policy.Switchover}, rec.Kind) {
		return
	}
	up, down := 0, 0
	for _, v := range stored(r, b, was) {
		for _, saw := range v.Saw {
			up += count(saw.Endpoint == rec.To && saw.State == policy.Up && saw.Fresh)
			down += count(saw.Endpoint == rec.From && saw.State == policy.Down)
		}
	}
	need := len(w.cfg.Observers)/2 + 1
	if up < need {
		x.harm(w, "I4: %s is up by %d votes of the ballot; %d needed", rec.To, up, need)
	}
	if rec.Kind == policy.Failover && down < need && !x.fenced[r.Name+"/"+rec.From] {
		x.harm(w, "I3: %s is down by %d votes, and it was not fenced", rec.From, down)
	}
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// stored are the votes of a ballot as they are in the store.
func stored(r *policy.Resource, b failover.Opening, was keys) []failover.Vote {
	votes := []failover.Vote{b.Vote}
	for key := range was {
		var v failover.Vote
		if strings.HasPrefix(key, "reattach/ballot/"+r.Name+"/") && !strings.HasSuffix(key, "/_") && was.into(key, &v) && v.Nonce == b.Nonce {
			votes = append(votes, v)
		}
	}
	return votes
}

// behindSteps holds that what is committed is what was promoted.
func (x *watcher) behindSteps(w *world, r *policy.Resource, rec failover.Record, old failover.State, was keys) {
	if op := old.Operation; op != nil && op.ID != rec.Op {
		x.harm(w, "I7: the %s is committed in the middle of another operation", rec.Kind)
		x.ended(w, r, op)
	}
	if to := x.promoted[rec.Op]; to != "" && to != rec.To {
		x.harm(w, "I7: commits %s, and %s was promoted", rec.To, to)
	}
	if x.aborted[rec.Op] {
		x.harm(w, "I13: commits what was aborted")
	}
}

// stepped looks at what an observer does.
func (x *watcher) stepped(w *world, ev failover.Event, effects []failover.Effect) {
	if x == nil {
		return
	}
	if end, ok := ev.(failover.StepEnded); ok {
		run := x.tasks[fmt.Sprint(w.cfg.Observer, end.ID)]
		delete(x.running, run.Env["OP"])
		if run.Step == policy.Fence && end.Outcome.OK {
			x.fenced[run.Resource+"/"+run.Env["FROM"]] = true
		}
	}
	for _, effect := range effects {
		switch f := effect.(type) {
		case failover.RunStep:
			x.runs(w, f)
		case failover.Switched:
			if !x.made[f.Record.Op] {
				x.harm(w, "I12: the %s is told as made, and was not", f.Record.Kind)
			}
		case failover.Transact:
			if asked, ok := ev.(failover.Ordered); ok && f.Purpose == failover.PurposeAdopt {
				x.adopts[fmt.Sprint(w.cfg.Observer, asked.ID)] = opOf(f)
			}
		case failover.Respond:
			if op := x.adopts[fmt.Sprint(w.cfg.Observer, f.ID)]; op != "" && !f.Answer.Done && !f.Answer.Unsure {
				x.denied[op] = true
			}
		case failover.Tell:
			if f.Notice.Event == "rewound" && !f.Notice.Over && !x.rewound {
				x.harm(w, "the store is told to have gone back in time, and has not")
			}
		}
	}
}

// opOf is the operation that a transaction records.
func opOf(f failover.Transact) string {
	all := keys{}
	for _, op := range f.Ops {
		if strings.HasPrefix(op.Key, "reattach/history/") && op.Verb == failover.CAS {
			all["record"] = failover.Entry{Key: op.Key, Value: op.Value, ModifyIndex: 1}
		}
	}
	var rec failover.Record
	all.into("record", &rec)
	return rec.Op
}

// runs looks at a command that is started.
func (x *watcher) runs(w *world, f failover.RunStep) {
	op := f.Env["OP"]
	x.tasks[fmt.Sprint(w.cfg.Observer, f.ID)] = f
	if f.Step == policy.After {
		x.after[op] = true
		return
	}
	if other := x.running[op]; w.now.Before(other.Deadline) { // then it is killed, whoever stands still
		x.harm(w, "I7: %s runs while %s of %s does", f.Step, other.Step, other.observer)
	}
	x.running[op] = commandOf{f, w.cfg.Observer}
	switch f.Step {
	case policy.Promote:
		if x.promoted[op] = f.Env["TO"]; x.aborted[op] {
			x.harm(w, "I13: promote runs after abort")
		}
	case policy.Abort:
		if x.aborted[op] = true; x.made[op] {
			x.harm(w, "I13: abort runs for what is committed")
		}
	}
}

// end looks at what is left when a story is over.
func (x *watcher) end(w *world) {
	is := dump(w, w.store)
	for _, r := range w.cfg.Resources {
		var s failover.State
		is.into(stateAt(r), &s)
		if s.Operation != nil {
			x.harm(w, "stuck: an operation stands at %s, and nobody carries it on", s.Operation.Step)
		}
		if s.Fenced != 0 && s.Fenced == s.Epoch {
			x.harm(w, "stuck: %s was fenced, and is attached still", s.Attached)
		}
	}
	for op, due := range x.due {
		if due && !x.after[op] {
			x.harm(w, "I13: after never ran for what is committed")
		}
	}
}
