package failover

import (
	"fmt"
	"slices"
	"time"

	"github.com/reattach/reattach/policy"
)

// Times and bounds of steps.
const (
	stepMargin = 5 * time.Second // beyond a step's timeout, before another life takes it over
	stepTries  = 2               // how often fence or promote is claimed, takeovers included
	abortTries = 5               // the same of abort, which has to run
	stepWait   = 5 * time.Second // beyond a ballot's time, for what must be seen between steps
)

// task is a step that this process runs.
type task struct {
	id      uint64 // of the effect
	claim   string
	step    string
	attempt int
	began   time.Time
	epoch   uint64       // of an after step
	outcome *StepOutcome // nil while it runs
}

// dueStep returns the step that w must begin with; "" if it may be committed.
func (e *Engine) dueStep(r *resource, w *wish) string {
	if w.carries != nil || !e.holds(RuleSteps) {
		return ""
	}
	return r.def.Due(w.kind, w.forced, e.fenced(r))
}

// claimFirst closes the ballot in flight and begins an operation, in one transaction.
func (e *Engine) claimFirst(now time.Time, r *resource, d policy.Decision, step string) {
	b := r.ballot
	to := r.def.Endpoints[d.Target].Name
	op := Operation{ID: b.op, Epoch: r.state.Epoch, Hash: r.hash, Kind: b.wish.kind, Automatic: b.wish.automatic(), Forced: b.wish.forced,
		Person: b.wish.person, Reason: b.wish.reason, From: r.from(), To: to, Why: whyOf(r, b.wish, r.from(), to), Since: b.wish.began, Vote: b.vote, Votes: slices.Clone(b.votes)}
	if r.attached >= 0 {
		op.Class = r.endpoints[r.attached].verdict.Class.String()
	}
	e.claims(r, &op, step, 1)
	s := e.pinned(r.state, b.reading.State)
	s.Operation = &op
	b.stamps[2], b.wish.began = now, op.Since
	b.claim, b.claimedAt, b.wish.claimed = &op, now, op.ID
	q := &request{purpose: PurposeClaim, resource: r.def.Name, ballot: b}
	e.transact(q, claimOps(r.def, b.reading, b.index, s), storeTimeout, b.deadline)
}

// claims makes op stand at a step that this observer runs.
func (e *Engine) claims(r *resource, op *Operation, step string, attempt int) {
	op.Claim, op.Step, op.Runner, op.Attempt, op.Ended = e.id(), step, e.cfg.Observer, attempt, ""
	op.Timeout = r.def.Steps.Of(step).Timeout
	op.Promoted = op.Promoted || step == policy.Promote
}

// claimedFirst goes on once the first claim is known to hold: the ballot is closed.
func (e *Engine) claimedFirst(now time.Time, r *resource) {
	b := r.ballot
	r.ballot = nil
	e.start(now, r, *b.claim, b.claimedAt)
}

// operate carries on the operation under way, whoever began it, and reports
// whether there is one that keeps everything else back.
func (e *Engine) operate(now time.Time, r *resource) bool {
	op := r.state.Operation
	e.tellTwoWritable(now, r)
	e.tellFenceLost(now, r)
	if op == nil {
		e.forgetOperation(now, r)
		return false
	}
	if key := op.Claim + "." + op.Ended; key != r.opSeen {
		r.opSeen, r.opSince = key, now
	}
	if !e.sound(now, r, RuleStepSound) {
		return r.want != nil
	}
	if e.cfg.Errand && op.Runner != e.cfg.Observer {
		return true // what others began is theirs to end
	}
	switch t := r.task; {
	case t != nil && t.outcome == nil: // our own command is awaited, come what may
	case now.Before(r.stepPause): // also the end of a step: each try would be refused at once
		r.wake = r.stepPause
	case t != nil && t.claim == op.Claim && op.Ended == "":
		e.endStep(now, r, op, t)
	case e.adoptDue(now, r):
	default:
		r.task = nil
		e.carryOn(now, r, op)
	}
	return e.alone(op, r.want)
}

// carryOn does what comes next in an operation of which nothing runs here.
func (e *Engine) carryOn(now time.Time, r *resource, op *Operation) {
	unable := e.unable(now, r, op)
	if op.Ended == "" { // an earlier life ran it, or another observer: both die with their command
		e.takeOverStep(now, r, op, unable)
		return
	}
	next := ""
	if op.Step == policy.Fence {
		next = r.def.Next(op.Forced)
	}
	switch {
	case !e.mayCarry(op):
	case unable != "":
		e.giveUp(now, r, op, unable)
	case e.fatal(r, op.Step, op.Ended):
		e.giveUp(now, r, op, op.Step+" failed: "+op.last().Why)
	case next == "":
		e.confirm(now, r, op)
	default:
		e.promoteNext(now, r, op)
	}
}

// promoteNext claims promote after fence, if its candidate still may be promoted.
func (e *Engine) promoteNext(now time.Time, r *resource, op *Operation) {
	s := e.situation(now, r, &wish{kind: op.Kind, target: r.def.Endpoint(op.To), since: r.opSince, forced: op.Forced, carries: op})
	to := &s.Endpoints[s.Target]
	unmet := policy.Unmet(r.def.Steps.Require, to.Facts)
	ready := to.Fresh && to.Verdict.State == policy.Up || contains(s.Forced, "candidate")
	met := len(unmet) == 0 || contains(s.Forced, "requirement")
	why, wait := e.unwanted(now, r, op)
	switch {
	case why != "" && (!wait || !now.Before(e.patience(r))):
		e.giveUp(now, r, op, why)
	case ready && met && why == "" && e.blind(now, r) == "":
		e.claimFurther(now, r, *op, policy.Promote, 1)
	case now.Before(e.patience(r)): // what was received before the fence is still being applied
		r.wake = now.Add(tickEvery)
	case ready:
		e.giveUp(now, r, op, fmt.Sprintf("%s does not meet what its promotion requires: %v", op.To, unmet))
	default:
		e.giveUp(now, r, op, fmt.Sprintf("%s is %s, and is not promoted", op.To, to.Verdict.State))
	}
}

// unwanted says why the switch would be refused if its steps were done, so that
// none is begun in vain, and whether fresh evidence may change that in a moment.
func (e *Engine) unwanted(now time.Time, r *resource, op *Operation) (why string, wait bool) {
	if !e.holds(RuleInVain) {
		return "", false
	}
	w := &wish{kind: op.Kind, target: r.def.Endpoint(op.To), since: r.opSince, forced: op.Forced, carries: op}
	s := e.situation(now, r, w)
	d := policy.Decide(e.gates, s)
	for _, p := range d.Gates {
		byVotes := p.Gate == "quorum" && op.Kind != policy.Failover || s.Tally.Majority() > 1 && e.stage(p.Gate) == policy.Ballot
		if !p.Open && p.Gate != "candidate" && !byVotes { // the others are asked once more when all is done
			return "the gate " + p.Gate + " is closed: " + p.Why, w.patient(r, d, p.Gate) || p.Gate == "blind"
		}
	}
	return "", false
}

// stage is when a gate can be judged.
func (e *Engine) stage(gate string) policy.Stage {
	i := slices.IndexFunc(e.gates, func(g policy.Gate) bool { return g.Name == gate })
	return e.gates[i].Stage
}

// patience is until when what must be seen between steps may be awaited.
func (e *Engine) patience(r *resource) time.Time {
	from := r.opSince
	if !e.holds(RulePatience) {
		from = from.Add(time.Hour)
	}
	if r.voided.After(from) {
		from = r.voided
	}
	return from.Add(ballotTime(r) + stepWait)
}

// takeOverStep runs a step again whose runner is gone, once that one cannot run
// any more, or ends the operation.
func (e *Engine) takeOverStep(now time.Time, r *resource, op *Operation, unable string) {
	free := e.overdue(r.opSince, op.Timeout)
	wait, tries := false, stepTries
	if op.Step == policy.Abort {
		tries = abortTries
	}
	again := op.Attempt < tries || !e.holds(RuleTries)
	if unable == "" && !now.Before(free) {
		unable, wait = e.unwanted(now, r, op)
	}
	switch {
	case now.Before(free):
		r.wake = free
	case op.Step != policy.Abort && wait && now.Before(free.Add(ballotTime(r)+stepWait)):
		r.wake = now.Add(tickEvery)
	case again && (op.Step == policy.Abort || unable == "" && e.blind(now, r) == ""):
		e.claimFurther(now, r, op.lost(now), op.Step, op.Attempt+1)
	default:
		o := op.lost(now)
		if unable == "" {
			unable = fmt.Sprintf("nobody knows how %s ended: its runner ended first", op.Step)
		}
		e.giveUp(now, r, &o, unable)
	}
}

// lost is the operation with the step of a runner who is gone: what it came to
// nobody knows.
func (o *Operation) lost(now time.Time) Operation {
	l := *o
	l.Steps = append(append([]StepEnd(nil), o.Steps...), StepEnd{Step: o.Step, Outcome: StepLost, Why: "its runner ended first", Attempt: o.Attempt, By: o.Runner, At: now})
	return l
}

// unable says why an operation cannot go on, and can only be ended; empty if it can.
func (e *Engine) unable(now time.Time, r *resource, op *Operation) string {
	switch {
	case !e.current(r, op):
		return "the handles were led elsewhere meanwhile"
	case op.Hash != r.hash && e.holds(RuleMeaning):
		return "the configuration was changed meanwhile"
	case r.def.Endpoint(op.To) < 0:
		return op.To + " is not configured any more"
	case r.cond != policy.Ours && r.cond != policy.Outdated:
		return "the handles are " + r.cond.String()
	}
	if why := e.paused(now, r); why != "" && !contains(op.Forced, "paused") {
		return "it was paused " + why
	}
	return ""
}

// confirm opens a fresh ballot whose only candidate is what was promoted, as soon
// as fresh evidence lets it, or ends the operation.
func (e *Engine) confirm(now time.Time, r *resource, op *Operation) {
	w := r.confirm
	if w == nil || w.claimed != op.ID {
		w = &wish{kind: op.Kind, target: e.elected(r, op), since: now, began: op.Since, person: op.Person, reason: op.Reason, forced: op.Forced, claimed: op.ID}
		if r.want != nil && r.want.claimed == op.ID {
			w.order, r.want = r.want.order, w
		}
		r.confirm = w
	}
	w.carries = op
	s := e.situation(now, r, w)
	d := policy.Decide(e.gates, s)
	r.decision, w.decided = &d, &d
	shut, late := e.shut(s, d), !now.Before(e.patience(r))
	switch {
	case w.denied:
		e.giveUp(now, r, op, "the store denies it")
	case late && shut.Gate != "":
		e.giveUp(now, r, op, "the gate "+shut.Gate+" is closed: "+shut.Why)
	case late && w.tries > 0:
		e.giveUp(now, r, op, "its ballot was not committed in time")
	case shut.Gate == "" && d.Target >= 0:
		if r.alien.index != 0 || e.crowded() || w.tries > 0 && now.Before(r.nextTry) && r.evidence == r.tried {
			r.wake = now.Add(tickEvery)
			return
		}
		w.tries++
		e.begin(now, r, w)
	case w.patient(r, d, shut.Gate) || shut.Gate == "blind":
		r.wake = now.Add(tickEvery / 2)
	default:
		e.giveUp(now, r, op, "the gate "+shut.Gate+" is closed: "+shut.Why)
	}
}

// giveUp ends an operation that will not be committed: by abort, where promote
// was started.
func (e *Engine) giveUp(now time.Time, r *resource, op *Operation, why string) {
	o := *op
	if o.Refused == "" {
		o.Refused = why
	}
	switch owes := e.owesAbort(r, op); {
	case owes && e.holds(RuleAbort):
		e.claimFurther(now, r, o, policy.Abort, 1)
		return
	case owes:
		e.abortUnclaimed(now, r, o)
	}
	s := e.pinned(r.state, r.reading.State)
	s.over(&o, "")
	e.writeStep(now, r, stateOps(r.def.Name, s, r.reading.State), &request{step: &o, over: true})
}

// over takes an operation that was not committed out of state.
func (s *State) over(op *Operation, abort string) {
	s.Operation = nil
	if op.Step == policy.Fence && op.last().Outcome == StepLost {
		s.FenceLost = fmt.Sprintf("nobody knows how its fence ended, whose runner ended first, and the %s to %s was given up, because %s", op.Kind, op.To, op.Refused)
	}
	if !op.Promoted {
		return
	}
	if abort == "" {
		abort = "there is no abort step"
		if op.Step == policy.Abort {
			abort = "nobody knows how abort ended"
		}
	}
	s.TwoWritable = fmt.Sprintf("promote was started on %s, which is not attached, because %s (%s)", op.To, op.Refused, abort)
}

func (o *Operation) last() StepEnd {
	if len(o.Steps) == 0 {
		return StepEnd{}
	}
	return o.Steps[len(o.Steps)-1]
}
