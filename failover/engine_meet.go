package failover

import (
	"errors"
	"slices"
	"time"

	"github.com/reattach/reattach/policy"
)

// meet takes in a ballot, by the watch or by a read of our own: another observer's is
// voted on. A watch may show the past, so that one is met again after its successor:
// then the vote that was cast on it stands. One of longer ago, that a restored
// snapshot has brought back, is not voted on again: its age closes it.
func (e *Engine) meet(now time.Time, r *resource, entry Entry, o Opening) {
	r.alien = e.alien(now, entry, o)
	for _, v := range []*voting{r.voting, r.former} {
		if v != nil && v.index == entry.ModifyIndex && v.opening.Nonce == o.Nonce {
			if r.voting != v {
				r.voting, r.former = e.votingAgain(now, r, v), r.voting
			}
			r.alien.first = v.since
			return
		}
	}
	e.voteNoMore(r)
	if o.Nonce == "" || r.alien.own || slices.Contains(r.votedOn, o.Nonce) {
		return
	}
	r.voting = e.newVoting(now, r, o, entry.ModifyIndex)
	for i := range r.endpoints {
		r.endpoints[i].examining = false // it is asked for anew: what is under way began too early
	}
}

// votingAgain goes on with a ballot that was gone for a moment. What was seen
// meanwhile was not taken in, so that a vote that is not decided begins anew.
func (e *Engine) votingAgain(now time.Time, r *resource, v *voting) *voting {
	if v.ops != nil {
		return v
	}
	anew := e.newVoting(now, r, v.opening, v.index)
	anew.since, anew.known = v.since, v.known
	return anew
}

// voteNoMore ends this observer's part in a ballot.
func (e *Engine) voteNoMore(r *resource) {
	if r.voting != nil {
		r.voting, r.former = nil, r.voting
	}
}

// decided reports whether a verdict from fresh conversations is a vote: up, down,
// or an answer that is neither. One whose class counts as failing here is on its
// way to down.
func decided(v policy.Verdict, t policy.Thresholds) bool {
	return v.State == policy.Up || v.State == policy.Down || v.State == policy.Suspect && v.Class.Answered() && !policy.CountsAsBad(v, t)
}

// lostRace takes back that a ballot was counted: who loses the race has opened none.
func (r *resource) lostRace() {
	if n := len(r.ballots); r.ballot.counted && n > 0 {
		r.ballots = r.ballots[:n-1]
	}
}

// ballotVanished ends a ballot whose opening was not answered, and that is not there:
// it never was, or somebody closed it. What is opened next is another one.
func (e *Engine) ballotVanished(now time.Time, r *resource) {
	r.ballot.gone = true
	if e.vetoed(r) {
		d, _ := e.reconsider(now, r)
		e.refused(now, r, d)
	} else {
		r.nextTry = now
	}
	e.ballotOver(now, r)
}

// vetoed reports whether somebody vetoed the ballot in flight. What was fenced may
// answer whom it likes.
func (e *Engine) vetoed(r *resource) bool {
	return !e.fenced(r) && slices.ContainsFunc(r.ballot.votes, func(v Vote) bool { return e.veto(r, v.of(r.from())) })
}

// refusedToAll has this observer wait, too, after another one's ballot that was
// vetoed: what he knew when it was opened would be vetoed again.
func (e *Engine) refusedToAll(now time.Time, r *resource, votes []Entry) {
	if r.voting == nil || r.ballot != nil || !e.holds(RuleSpacing) {
		return
	}
	nonce := r.voting.opening.Nonce
	if slices.ContainsFunc(votes, func(entry Entry) bool {
		var v Vote
		return decode(entry, &v) == nil && v.Nonce == nonce && e.veto(r, v.of(r.from()))
	}) {
		r.tried, r.nextTry = r.voting.known, now.Add(holdRetry)
	}
}

// votesKept bounds how many ballots an observer knows that he has voted on.
const votesKept = 16

// hasVoted notes that a vote is on its way.
func (r *resource) hasVoted(nonce string) {
	if slices.Contains(r.votedOn, nonce) {
		return
	}
	if r.votedOn = append(r.votedOn, nonce); len(r.votedOn) > votesKept {
		r.votedOn = slices.Delete(r.votedOn, 0, 1)
	}
}

// closeAlien closes a ballot that outlived its time, by this observer's own
// clock since he first saw it, and at once one that an earlier life of his left.
func (e *Engine) closeAlien(now time.Time, r *resource) {
	a := r.alien
	if end := a.first.Add(ballotTime(r)); a.index != 0 && end.After(now) {
		r.wake = minTime(r.wake, end)
	}
	if a.index == 0 || now.Before(a.next) || e.blind(now, nil) != "" || (!a.own && !e.outlived(now, r, a.first)) {
		return
	}
	e.forsaken(now, r)
	r.alien = alienBallot{}
	e.closeBallot(r.def.Name, a.index)
}

// forsaken lets the next ballot follow at once on another observer's that outlived
// its time: nobody refused it, its opener has died or cannot be heard.
func (e *Engine) forsaken(now time.Time, r *resource) {
	if v := r.voting; v != nil && v.opening.Kind != policy.Failover {
		return // somebody asked for another switch
	}
	if a := r.alien; a.index != 0 && !a.own && e.outlived(now, r, a.first) {
		r.nextTry = minTime(r.nextTry, now)
	}
}

// closeBallot closes a ballot that is not, or no longer, the one in flight.
func (e *Engine) closeBallot(resource string, index uint64) {
	e.transact(&request{purpose: PurposeClose, resource: resource, index: index}, closeOps(resource, index), storeTimeout, time.Time{})
}

// ballotClosed sees to it that such a ballot is closed until an answer comes.
func (e *Engine) ballotClosed(now time.Time, r *resource, q *request, ev Answered) {
	if ev.Err == nil || r.alien.index != 0 {
		return
	}
	r.alien = alienBallot{index: q.index, first: now, own: true, next: now.Add(retryAfter)}
	if errors.Is(ev.Err, ErrDenied) {
		r.alien.next = now.Add(holdRetry)
		e.denied(now, r)
	}
}
