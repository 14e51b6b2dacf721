package failover

import (
	"slices"
	"time"
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
				r.voting, r.former = v, r.voting
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

// voteNoMore ends this observer's part in a ballot.
func (e *Engine) voteNoMore(r *resource) {
	if r.voting != nil {
		r.voting, r.former = nil, r.voting
	}
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
