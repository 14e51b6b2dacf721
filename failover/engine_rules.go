package failover

import (
	"slices"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// What each rule comes to that more than one line rests on, and what is done
// where one was taken away. Production takes none away.

// holds reports whether a rule holds: always, but in the proofs that it must.
func (e *Engine) holds(r Rule) bool { return !e.cfg.Without.Has(r) }

// mayVote reports whether this observer can answer for what he sees.
func (e *Engine) mayVote(now time.Time, r *resource) bool {
	return (e.blind(now, r) == "" || !e.holds(RuleVoteBlind)) && (r.rewound == "" || !e.holds(RuleVoteRewound)) &&
		(e.paused(now, r) == "" || !e.holds(RuleVotePaused))
}

// minds reports whether an observer with one configuration minds the veto of
// one with another.
func (e *Engine) minds(hash, other string) bool { return hash == other || e.holds(RuleVetoAny) }

// veto reports whether what somebody saw of the attached endpoint is a veto.
func (e *Engine) veto(r *resource, s EndpointVote) bool {
	return s.veto(r.def.Judge, e.holds(RuleAbstain))
}

// vetoes reports whether a vote ends a ballot: the attached endpoint answered
// somebody.
func (e *Engine) vetoes(r *resource, v *voting, vote Vote) bool {
	o := v.opening
	return e.holds(RuleVeto) && o.Kind == policy.Failover && !o.NoVeto && len(o.Forced) == 0 && e.minds(o.Hash, r.hash) && e.veto(r, vote.of(o.Attached))
}

// electorate is of how many observers a quorum is the majority.
func (e *Engine) electorate(r *resource) int {
	switch {
	case e.holds(RuleMajority):
		return max(1, len(e.cfg.Observers))
	case r.ballot == nil:
		return 1
	}
	return 1 + len(r.ballot.votes)
}

// deadline is until when a ballot that begins now may be sent on.
func (e *Engine) deadline(now time.Time, r *resource) time.Time {
	if !e.holds(RuleAge) {
		return now.Add(time.Hour)
	}
	return now.Add(ballotTime(r))
}

// outlived reports whether a ballot that was first seen then may be closed by anybody.
func (e *Engine) outlived(now time.Time, r *resource, first time.Time) bool {
	return e.holds(RuleClose) && now.Sub(first) >= ballotTime(r)
}

// alien is a ballot that this process did not open, as it is first seen.
func (e *Engine) alien(now time.Time, entry Entry, o Opening) alienBallot {
	if e.takesUp(o) {
		return alienBallot{}
	}
	return alienBallot{index: entry.ModifyIndex, first: now, own: o.Opener == e.cfg.Observer && e.holds(RuleOwn)}
}

// takesUp reports whether this process goes on with a ballot of an earlier life.
func (e *Engine) takesUp(o Opening) bool {
	return o.Opener == e.cfg.Observer && !e.holds(RuleProcess)
}

// isOwn reports whether a ballot that was found is the one that b opened.
func (e *Engine) isOwn(now time.Time, b *ballot, o Opening, rd *Reading) bool {
	if o.Nonce != b.nonce && e.takesUp(o) {
		b.nonce, b.op, b.reading, b.stamps[0] = o.Nonce, o.Op, rd, now
	}
	return o.Nonce == b.nonce
}

// deaf reports whether what is seen of an endpoint is passed over: never.
func (e *Engine) deaf(r *resource, endpoint int) bool {
	return endpoint == r.attached && r.ballot != nil && r.ballot.index != 0 && !e.holds(RuleWithdraw)
}

// evidence is a conversation as it is judged.
func (e *Engine) evidence(res probe.Result) probe.Result {
	if res.Hint && !e.holds(RuleHint) {
		res.Hint = false
	}
	if res.Class == probe.Local && !e.holds(RuleLocal) {
		res.Class = probe.Unreachable
	}
	return res
}

// verdictAt is what is believed of an endpoint now: nothing, if what was last seen
// of it is too old.
func (e *Engine) verdictAt(now time.Time, r *resource, i int) policy.Verdict {
	v := r.endpoints[i].verdict
	if !e.holds(RuleSilence) {
		return v
	}
	return v.At(now, r.def.Pace, r.def.Endpoints[i].Target.Timeout)
}

// crowded reports whether another ballot has to wait for those that are open.
func (e *Engine) crowded() bool { return e.holds(RuleFew) && e.ballotsOpen() >= ballotsAtOnce }

// basis is what a commit rests on: what its ballot's opening read.
func (e *Engine) basis(r *resource) *Reading {
	if e.holds(RuleOpened) {
		return r.ballot.reading
	}
	return e.asWatched(r)
}

// asWatched is what was last read, with the controls as the watch shows them.
func (e *Engine) asWatched(r *resource) *Reading {
	rd := *r.reading
	rd.Controls = nil
	for _, key := range []string{controlAll, controlKey(r.def.Name)} {
		entry := e.controls[key]
		entry.Key = key
		rd.Controls = append(rd.Controls, entry)
	}
	return &rd
}

// resolve makes an unknown outcome known: it closes the ballot that the commit named.
func (e *Engine) resolve(r *resource) {
	if !e.holds(RuleResolve) {
		r.ballot.gone = true
		e.ballotTxn(r, PurposeConfirm, readOne(r.def))
		return
	}
	e.ballotTxn(r, PurposeResolve, resolveOps(r.def.Name, r.ballot.index))
}

// happened reports whether state shows that the commit of b was made.
func (e *Engine) happened(r *resource, b *ballot) bool {
	if op := r.state.Operation; !e.holds(RuleID) && b.claim == nil && op != nil && op.ID == b.op {
		return true
	}
	return slices.ContainsFunc(r.state.Recent, func(s Switch) bool { return s.Op == b.op })
}

// resends reports whether what was not answered is sent again as it is: unless
// the store went back under it, for it would land there unasked.
func (e *Engine) resends(r *resource, q *request) bool {
	return r.rewound == q.rewound && e.holds(RuleResend)
}

// nextEpoch is where a switch leads.
func (e *Engine) nextEpoch(r *resource) uint64 {
	if !e.holds(RuleAbove) {
		return r.state.Epoch + 1
	}
	return max(r.state.Epoch, r.known.Epoch) + 1
}

// pinned is state for a write of it alone.
func (e *Engine) pinned(s State, read Entry) State {
	if !e.holds(RuleIdx0) {
		return s
	}
	return pinned(s, read)
}

// withSwitch is the state after a switch.
func (e *Engine) withSwitch(r *resource, sw Switch, why string) State {
	s := withSwitch(r.state, sw, r.def, why)
	if !e.holds(RuleTaint) && sw.From != sw.To {
		s.Taints = withoutTaint(s.Taints, r.def, sw.From)
	}
	return s
}

// commitOps makes a switch, and leaves its after step to be run.
func (e *Engine) commitOps(r *resource, s State, target int) []Op {
	b := r.ballot
	ops := commitOps(r.def, b.reading, b.index, s, b.record, target)
	if due := len(afterDue(r.def, b.record)); !e.holds(RuleAfter) {
		ops = ops[:len(ops)-due]
	}
	return ops
}

// afterAlone claims the after step that a commit did not leave: only who made it can.
func (e *Engine) afterAlone(r *resource, rec Record) {
	if e.holds(RuleAfter) || !r.def.Steps.Has(policy.After) {
		return
	}
	run := AfterRun{Epoch: rec.Epoch, Op: rec.Op, Kind: rec.Kind, From: rec.From, To: rec.To, Claim: e.id(), Runner: e.cfg.Observer, Attempt: 1, Timeout: r.def.Steps.After.Timeout}
	e.writeAfter(r, Entry{Key: afterKey(r.def.Name, rec.Epoch)}, run)
}

// sound reports whether this observer knows enough to act beside a ballot.
func (e *Engine) sound(now time.Time, r *resource, rule Rule) bool {
	return !e.holds(rule) || r.rewound == "" && e.blind(now, nil) == ""
}

// mayClear reports whether facts may clear a taint now.
func (e *Engine) mayClear(now time.Time, r *resource) bool {
	return !e.holds(RuleClearSound) || r.rewound == "" && e.blind(now, r) == "" && e.paused(now, r) == ""
}

// dated is when something happened: when it was first seen here. What was there
// before we were is as old as its stamp says; a stamp in the future counts as now.
func (e *Engine) dated(now, stamp time.Time, before bool) time.Time {
	if before && stamp.Before(now) || !e.holds(RuleFirstSeen) {
		return stamp
	}
	return now
}

// forced is what a person waived of a switch.
func (e *Engine) forced(w *wish) []string {
	if e.cfg.Without == (RuleSet{}) {
		return w.forced
	}
	all := slices.Clone(w.forced)
	for _, r := range []struct {
		Rule
		forced string
	}{{RuleTargetTaint, "taint"}, {RuleTargetDrained, "drained"}, {RuleTargetRequire, "requirement"}, {RuleTargetUp, "candidate"}} {
		if !e.holds(r.Rule) {
			all = append(all, r.forced)
		}
	}
	return all
}

// loosen takes from a situation what rules that do not hold would see in it.
func (e *Engine) loosen(s *policy.Situation) {
	for i := range s.Endpoints {
		ep := &s.Endpoints[i]
		ep.Fresh = ep.Fresh || !e.holds(RuleTargetFresh) && ep.Verdict.State == policy.Up
		ep.Tried = ep.Tried && e.holds(RuleTargetTried)
		if !e.holds(RuleTargetServer) {
			ep.ServerID = ""
		}
	}
}

// acked reports whether a person acknowledged since the last automatic switch.
func (e *Engine) acked(r *resource) bool {
	return r.state.acknowledged() || r.state.Acked > 0 && !e.holds(RuleAckOnce)
}

// fenced reports whether what is attached was fenced in this epoch.
func (e *Engine) fenced(r *resource) bool {
	ours := r.cond == policy.Ours || r.cond == policy.Outdated
	return ours && r.state.Fenced != 0 && r.state.Fenced == r.state.Epoch && e.holds(RuleFenced)
}

// keepsBack reports whether an operation under way keeps a switch from being
// begun: every one but its own, whatever a person forces.
func (e *Engine) keepsBack(op *Operation, w *wish) bool {
	switch {
	case op == nil, w != nil && w.carries != nil && w.carries.ID == op.ID, !e.holds(RuleStanding):
		return false
	}
	return w == nil || len(w.forced) == 0 || e.holds(RuleWaive)
}

// stillCarries reports whether the operation that w carries on stands as it did when
// that was decided: nobody has claimed another step of it meanwhile, or ended it, and
// the handles were led nowhere else.
func (e *Engine) stillCarries(r *resource, w *wish) bool {
	op, was := r.state.Operation, w.carries
	return op != nil && op.ID == was.ID && op.Claim == was.Claim && op.Ended == was.Ended && e.current(r, op)
}

// alone reports whether nothing else is begun beside an operation under way, whose
// own switch w may be.
func (e *Engine) alone(op *Operation, w *wish) bool {
	return w != nil && w.claimed == op.ID || e.keepsBack(op, w)
}

// mayCarry reports whether this observer may carry an operation on, or end it.
func (e *Engine) mayCarry(op *Operation) bool {
	return e.holds(RuleCarry) || op.Runner == e.cfg.Observer
}

// current reports whether an operation is of this epoch.
func (e *Engine) current(r *resource, op *Operation) bool {
	return op.Epoch == r.state.Epoch || !e.holds(RuleEpoch)
}

// fatal reports whether a step that ended so ends its operation.
func (e *Engine) fatal(r *resource, step, outcome string) bool {
	return outcome == StepFailed && !(step == policy.Fence && r.def.Steps.Proceed) && e.holds(RuleFailed)
}

// elected is the only candidate of an operation's fresh ballot.
func (e *Engine) elected(r *resource, op *Operation) int {
	if !e.holds(RuleTarget) {
		return -1
	}
	return r.def.Endpoint(op.To)
}

// owesAbort reports whether an operation that is given up has to be aborted.
func (e *Engine) owesAbort(r *resource, op *Operation) bool {
	done := slices.ContainsFunc(op.Steps, func(s StepEnd) bool { return s.Step == policy.Promote && s.Outcome == StepOK })
	return op.Promoted && op.Step != policy.Abort && r.def.Steps.Has(policy.Abort) && (done || e.holds(RuleStart))
}

// abortUnclaimed runs abort without a claim.
func (e *Engine) abortUnclaimed(now time.Time, r *resource, op Operation) {
	e.claims(r, &op, policy.Abort, 1)
	e.start(now, r, op, now)
}

// until is when a step is killed whose claim was sent then.
func (e *Engine) until(now, sent time.Time, timeout time.Duration) time.Time {
	if !e.holds(RuleKill) {
		sent = now
	}
	return sent.Add(timeout)
}

// overdue is from when on a step may be taken over that was first seen then.
func (e *Engine) overdue(seen time.Time, timeout time.Duration) time.Time {
	if !e.holds(RuleOverdue) {
		return seen
	}
	return seen.Add(timeout + stepMargin)
}

// loosenVote has a vote rest on more than it should, where rules of votes do not hold.
func (e *Engine) loosenVote(r *resource, v *voting) {
	if !e.holds(RuleFresh) {
		v.from = time.Time{}
		for i := range v.fresh {
			v.fresh[i] = r.endpoints[i].verdict
		}
	}
	if !e.holds(RuleTalk) {
		v.opening.Talk = probe.Session
	}
	if !e.holds(RuleFollow) {
		v.opening.Attached = r.from()
	}
}
