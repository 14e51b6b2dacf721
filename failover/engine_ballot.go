package failover

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// ballot is one that this process wants to open, or has opened.
type ballot struct {
	wish      *wish
	nonce     string
	op        string
	began     time.Time
	deadline  time.Time
	index     uint64 // of its question, once its opening was answered
	seen      uint64 // the same, as the watch showed it
	gone      bool   // it is known not to be open any more
	counted   bool   // among those of the last minute
	reading   *Reading
	decision  policy.Decision
	vote      Vote
	first     int    // the target by this observer's own view; a vote may turn it down
	votes     []Vote // of the others
	waiting   bool   // for them
	record    Record
	stamps    [3]time.Time // read, opened, decided
	claim     *Operation   // as its first step is claimed
	claimedAt time.Time
	// again is what to send once more at againAt, because no answer came.
	again   Purpose
	againAt time.Time
}

// ballotTime is how long a ballot of r may stay open.
func ballotTime(r *resource) time.Duration {
	longest := time.Second
	for _, ep := range r.def.Endpoints {
		longest = max(longest, ep.Target.Timeout)
	}
	return 2 * longest
}

// begin reads everything at one moment, for a ballot.
func (e *Engine) begin(now time.Time, r *resource, w *wish) {
	r.ballot = &ballot{wish: w, nonce: e.id(), op: e.id(), began: now, deadline: e.deadline(now, r)}
	if w.carries != nil {
		r.ballot.op = w.carries.ID
	}
	r.tried, r.nextTry, r.refusal = r.evidence, now.Add(holdRetry), nil
	e.ballotTxn(r, PurposeRead, readOne(r.def))
}

func (e *Engine) ballotTxn(r *resource, p Purpose, ops []Op) {
	b := r.ballot
	q := &request{purpose: p, resource: r.def.Name, ballot: b}
	before := b.deadline
	if p == PurposeClose || p == PurposeResolve || p == PurposeConfirm {
		before = time.Time{} // neither closing nor learning is ever too late
	}
	e.transact(q, ops, storeTimeout, before)
}

// repeat sends again what makes an unknown outcome known.
func (e *Engine) repeat(now time.Time, r *resource) {
	b := r.ballot
	if b.again == "" || now.Before(b.againAt) {
		return
	}
	purpose := b.again
	b.again = ""
	if purpose == PurposeConfirm {
		e.ballotTxn(r, PurposeConfirm, readOne(r.def))
		return
	}
	e.resolve(r)
}

func (b *ballot) later(now time.Time, p Purpose) { b.again, b.againAt = p, now.Add(retryAfter) }

// balloted goes on with a ballot, or ends it.
func (e *Engine) balloted(now time.Time, r *resource, q *request, ev Answered) {
	if r.ballot != q.ballot {
		return // it was given up meanwhile
	}
	switch q.purpose {
	case PurposeRead:
		e.ballotRead(now, r, ev)
	case PurposeOpen:
		e.ballotOpened(now, r, ev)
	case PurposeCommit, PurposeClaim:
		e.ballotCommitted(now, r, q, ev)
	case PurposeResolve:
		e.ballotResolved(now, r, ev)
	case PurposeConfirm:
		e.ballotConfirmed(now, r, ev)
	case PurposeClose:
		q.ballot.gone = ev.Err == nil
		e.ballotOver(now, r)
	}
}

// reconsider asks all gates again, on what is known by now.
func (e *Engine) reconsider(now time.Time, r *resource) (policy.Decision, bool) {
	b := r.ballot
	s := e.situation(now, r, b.wish)
	d := policy.Decide(e.gates, s)
	b.decision, r.decision, b.wish.decided = d, &d, &d
	b.vote = voteOf(e.cfg, r.hash, b.nonce, s.Endpoints)
	r.vote = &b.vote
	return d, e.shut(s, d).Gate == ""
}

func (e *Engine) ballotRead(now time.Time, r *resource, ev Answered) {
	b := r.ballot
	if ev.Err != nil || !ev.Reply.OK {
		e.ballotFailed(now, r, ev.Err)
		return
	}
	rd := readingOf(r.def, ev.Reply, ev.Sent)
	e.ingest(now, r, rd)
	e.takeRead(rd)
	if b.index != 0 || rd.Ballot.Exists() {
		e.ballotFound(now, r, rd)
		return
	}
	if b.reading != nil { // its opening was sent
		e.ballotVanished(now, r)
		return
	}
	b.reading, b.stamps[0] = rd, now
	d, open := e.reconsider(now, r)
	if !open || r.reading != rd {
		e.ballotOver(now, r)
		return
	}
	b.first, r.tried = d.Target, r.evidence // what was read for it is no news afterwards
	o := Opening{Nonce: b.nonce, Op: b.op, Kind: b.wish.kind, Talk: e.talk(r), Opener: e.cfg.Observer, Zone: e.cfg.Zone, Hash: r.hash,
		Epoch: r.state.Epoch, Attached: r.state.Attached, Forced: b.wish.forced, NoVeto: !r.def.Veto, Vote: b.vote}
	if b.wish.target >= 0 {
		o.Target = r.def.Endpoints[b.wish.target].Name
	}
	if b.wish.carries != nil {
		o.Confirms = b.op
	}
	if b.wish.automatic() && b.wish.carries == nil {
		r.ballots, b.counted = append(r.ballots, now), true
	}
	e.ballotTxn(r, PurposeOpen, openOps(o, r.def.Name, rd))
}

func (e *Engine) talk(r *resource) probe.Kind {
	if r.attached < 0 {
		return probe.Fresh
	}
	return r.endpoints[r.attached].verdict.Kind
}

// ballotFound goes on with a ballot of ours whose opening was never answered,
// or leaves the field to somebody else's.
func (e *Engine) ballotFound(now time.Time, r *resource, rd *Reading) {
	var o Opening
	b := r.ballot
	if decode(rd.Ballot, &o) == nil && e.isOwn(now, b, o, rd) {
		b.index = rd.Ballot.ModifyIndex
		if b.stamps[1] = now; b.reading != nil && now.Before(b.deadline) {
			e.decideBallot(now, r)
			return
		}
		e.ballotOver(now, r)
		return
	}
	b.gone = true
	e.meet(now, r, rd.Ballot, o)
	if e.forsaken(now, r); r.alien.own {
		r.nextTry = now // it is closed at once, and in nobody's way then
	}
	e.ballotOver(now, r)
}

func (e *Engine) ballotOpened(now time.Time, r *resource, ev Answered) {
	switch {
	case errors.Is(ev.Err, ErrUnknown):
		// Read our own question: if it is there, we go on with it.
		e.ballotTxn(r, PurposeRead, readOne(r.def))
	case ev.Err != nil || !ev.Reply.OK:
		r.lostRace()
		e.ballotFailed(now, r, ev.Err)
	default:
		r.ballot.index = ev.Reply.Entry(ballotKey(r.def.Name)).ModifyIndex
		r.ballot.stamps[1] = now
		e.decideBallot(now, r)
	}
}

// decideBallot asks all gates once more and commits, or closes the ballot.
func (e *Engine) decideBallot(now time.Time, r *resource) {
	b := r.ballot
	d, open := e.reconsider(now, r)
	b.waiting = false
	switch {
	case open && e.awaits(now, r, d):
		b.waiting = true
		r.wake = now.Add(tickEvery)
	case !open || !d.Act() || d.Target < 0:
		e.refused(now, r, d)
		e.ballotTxn(r, PurposeClose, closeOps(r.def.Name, b.index))
	case e.observes(r, b.wish):
		e.wouldSwitch(now, r, b, d)
		e.ballotTxn(r, PurposeClose, closeOps(r.def.Name, b.index))
	default:
		b.reading = e.basis(r)
		if step := e.dueStep(r, b.wish); step != "" {
			e.claimFirst(now, r, d, step)
			return
		}
		e.commit(now, r, d)
	}
}

func (e *Engine) commit(now time.Time, r *resource, d policy.Decision) {
	b := r.ballot
	b.stamps[2] = now
	sw := Switch{Epoch: e.nextEpoch(r), Op: b.op, Kind: b.wish.kind, Automatic: b.wish.automatic(),
		From: r.from(), To: r.def.Endpoints[d.Target].Name, At: now, By: e.cfg.Observer}
	s := e.withSwitch(r, sw, fmt.Sprintf("it was left by the %s of %s", sw.Kind, now.UTC().Format("2006-01-02 15:04:05Z")))
	s.Handles, s.Operation = ownIndexes(r.def, b.reading, d.Target), nil
	b.record = e.record(now, r, b, sw, d)
	q := &request{purpose: PurposeCommit, resource: r.def.Name, ballot: b, rec: &b.record}
	e.transact(q, e.commitOps(r, s, d.Target), storeTimeout, b.deadline)
}

// from is the endpoint that a switch leaves, as state or the handles name it.
func (r *resource) from() string {
	if r.attached >= 0 {
		return r.def.Endpoints[r.attached].Name
	}
	return r.state.Attached
}

func (e *Engine) record(now time.Time, r *resource, b *ballot, sw Switch, d policy.Decision) Record {
	since := func(t time.Time) float64 { return t.Sub(b.wish.began).Seconds() }
	votes, steps := append([]Vote{b.vote}, b.votes...), []StepEnd(nil)
	if op := b.wish.carries; op != nil {
		votes, steps = slices.Concat([]Vote{op.Vote}, op.Votes, votes), op.Steps
	}
	return Record{Resource: r.def.Name, Epoch: sw.Epoch, Op: sw.Op, Kind: sw.Kind, Automatic: sw.Automatic, Forced: b.wish.forced,
		From: sw.From, To: sw.To, Why: whyOf(r, b.wish, sw.From, sw.To), By: e.cfg.Observer, Person: b.wish.person, Reason: b.wish.reason, At: now,
		Gates: d.Gates, Candidates: d.Candidates, Votes: votes, Steps: steps,
		Times: Times{Detect: since(b.began), Read: b.stamps[0].Sub(b.began).Seconds(), Open: b.stamps[1].Sub(b.stamps[0]).Seconds(),
			Vote: b.stamps[2].Sub(b.stamps[1]).Seconds(), Total: since(now)}}
}

// whyOf says in a few words what a switch rests on.
func whyOf(r *resource, w *wish, from, to string) string {
	switch {
	case w.carries != nil:
		return w.carries.Why
	case w.person != "":
		return fmt.Sprintf("asked for by %s: %s", w.person, w.reason)
	case w.kind == policy.Failover && r.attached >= 0:
		return fmt.Sprintf("%s was %s, %s was up", from, r.endpoints[r.attached].verdict.Describe(), to)
	}
	return to + " is up"
}

func (e *Engine) ballotCommitted(now time.Time, r *resource, q *request, ev Answered) {
	b := r.ballot
	switch {
	case errors.Is(ev.Err, ErrUnknown):
		e.resolve(r)
	case ev.Err != nil || !ev.Reply.OK:
		// Nothing was done. Our ballot may still stand, so it is closed.
		e.ballotTxn(r, PurposeClose, closeOps(r.def.Name, b.index))
		r.nextTry = now
		if errors.Is(ev.Err, ErrDenied) {
			b.wish.denied = true
			e.denied(now, r)
		}
	case q.purpose == PurposeClaim:
		e.ingest(now, r, written(b.reading, q.ops, ev.Reply, now))
		e.claimedFirst(now, r)
	default:
		e.ingest(now, r, written(b.reading, q.ops, ev.Reply, now))
		e.switched(now, r, *q.rec)
		e.afterAlone(r, *q.rec)
	}
}

// ballotResolved goes on once the ballot is gone: a commit that named it cannot
// happen any more, so that state tells what did happen.
func (e *Engine) ballotResolved(now time.Time, r *resource, ev Answered) {
	if errors.Is(ev.Err, ErrUnknown) {
		r.ballot.later(now, PurposeResolve)
		return
	}
	b := r.ballot
	b.gone = ev.Err == nil
	if !ev.Reply.OK && b.seen != 0 && b.seen != b.index { // a store that begins anew gives it another index: there it stands
		b.gone, b.index = false, b.seen
	}
	if errors.Is(ev.Err, ErrDenied) {
		e.denied(now, r)
	}
	e.ballotTxn(r, PurposeConfirm, readOne(r.def))
}

// ballotConfirmed learns truly whether a commit happened whose reply was lost.
func (e *Engine) ballotConfirmed(now time.Time, r *resource, ev Answered) {
	b := r.ballot
	if ev.Err != nil {
		b.later(now, PurposeConfirm)
		return
	}
	e.ingest(now, r, readingOf(r.def, ev.Reply, ev.Sent))
	if b.record.Op != "" && e.happened(r, b) { // else it was claimed only, and who took it over has switched
		e.switched(now, r, b.record)
		return
	}
	if op := r.state.Operation; b.gone && b.claim != nil && op != nil && op.Claim == b.claim.Claim && r.rewound == "" {
		e.claimedFirst(now, r)
		return
	}
	if b.gone {
		e.ballotOver(now, r)
		return
	}
	b.later(now, PurposeResolve) // our commit could still arrive, and nobody would be told
}

// ballotFailed ends a ballot that never opened.
func (e *Engine) ballotFailed(now time.Time, r *resource, err error) {
	switch {
	case errors.Is(err, ErrDenied):
		r.ballot.wish.denied = true
		e.denied(now, r)
	case err != nil:
		if r.nextTry = now.Add(retryAfter); errors.Is(err, ErrLate) {
			r.ballot.wish.deadline = now // a person does not wait until the store is back
		}
	default:
		r.nextTry = now // something changed under it: look again
	}
	e.ballotOver(now, r)
}

// ballotOver forgets the ballot in flight. What was wanted is weighed anew. If
// it may still be open, it is closed as an earlier life's would be.
func (e *Engine) ballotOver(now time.Time, r *resource) {
	if at := max(r.ballot.index, r.ballot.seen); at != 0 && !r.ballot.gone && r.alien.index == 0 {
		r.alien = alienBallot{index: at, first: now, own: true}
	}
	if r.ballot.claim != nil {
		r.ballot.wish.claimed = "" // nothing was begun
	}
	if r.ballot.wish.carries != nil {
		r.nextTry = now.Add(retryAfter) // its time is bounded, and so is what it may try
	}
	r.ballot = nil
	r.wake = now
	e.consider(now, r)
}

// Leave returns what closes the ballots that are open, for an observer who ends.
func (e *Engine) Leave() []Transact {
	var all []Transact
	for _, name := range e.order {
		if b := e.res[name].ballot; b != nil && b.index != 0 {
			all = append(all, Transact{Purpose: PurposeClose, Ops: closeOps(name, b.index), Timeout: storeTimeout})
		}
	}
	return all
}
