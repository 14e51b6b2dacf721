package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// voting is this observer's part in a ballot that another one opened. It follows
// the opening, not this observer's own and perhaps older view of state.
type voting struct {
	opening Opening
	index   uint64
	since   time.Time        // when it was first seen here
	known   int              // this observer's own evidence then
	from    time.Time        // only what began later counts: the same
	fresh   []policy.Verdict // of each endpoint, from what began later
	ops     []Op             // that cast it, once it was decided on
	cast    bool
	next    time.Time // when to try again to cast it
}

func (e *Engine) newVoting(now time.Time, r *resource, o Opening, index uint64) *voting {
	v := &voting{opening: o, index: index, since: now, known: r.evidence, from: now, fresh: make([]policy.Verdict, len(r.endpoints))}
	for i := range r.endpoints { // garbage is evidence only where it was well before
		v.fresh[i].WasOK = r.endpoints[i].verdict.WasOK
	}
	e.loosenVote(r, v)
	return v
}

// observe folds a conversation into the vote. Sustain is the opener's business:
// a vote needs enough fresh conversations, and no time. One that is well says
// nothing of a deeper kind than its own.
func (v *voting) observe(i int, res probe.Result, t policy.Thresholds) {
	if v.cast || res.Hint || res.Kind == probe.Session || res.Began.Before(v.from) {
		return
	}
	if res.Class == probe.OK && res.Kind < v.opening.Talk {
		return
	}
	t.Sustain, t.AlsoSustain, t.Rise = 0, 0, 1
	v.fresh[i] = policy.Judge(v.fresh[i], res, t)
}

// vote casts this observer's vote once it is conclusive, or what there is of it
// when three quarters of the ballot's time are over: enough for three overlapping
// conversations that time out. An observer who cannot judge casts none.
func (e *Engine) vote(now time.Time, r *resource) {
	v := r.voting
	if v == nil || e.cfg.Errand || v.cast || now.Before(v.next) || now.Sub(v.since) >= ballotTime(r) {
		return
	}
	if !e.mayVote(now, r) {
		return
	}
	if v.ops == nil || !e.holds(RuleAmend) {
		v.ops = e.decideVote(now, r, v)
	}
	if v.cast = v.ops != nil; v.cast {
		r.hasVoted(v.opening.Nonce)
		e.transact(&request{purpose: PurposeVote, resource: r.def.Name, index: v.index}, v.ops, storeTimeout, v.since.Add(ballotTime(r)))
	}
}

// decideVote returns what casts this observer's vote; nil if he has none yet.
func (e *Engine) decideVote(now time.Time, r *resource, v *voting) []Op {
	if e.holds(RuleConclusive) && !v.conclusive(r) && now.Sub(v.since) < ballotTime(r)*3/4 {
		return nil
	}
	vote := e.freshVote(r, v)
	if len(vote.Saw) == 0 {
		return nil
	}
	r.vote, r.cast = &vote, &vote
	if e.vetoes(r, v, vote) && !(e.fenced(r) && r.state.Epoch == v.opening.Epoch) { // what was fenced in that very epoch may answer what it likes
		return vetoOps(r.def.Name, v.index, vote)
	}
	return voteOps(r.def.Name, v.index, vote)
}

// voted casts a vote again that no answer came for: the same one, for it may
// have been counted.
func (e *Engine) voted(now time.Time, r *resource, q *request, ev Answered) {
	if v := r.voting; v != nil && v.index == q.index && ev.Err != nil {
		v.cast, v.next = false, now.Add(retryAfter/4)
	}
}

// conclusive reports whether enough is known: of the attached endpoint, where the
// ballot is about it, and of the first endpoint that could take over.
func (v *voting) conclusive(r *resource) bool {
	attached := r.def.Endpoint(v.opening.Attached)
	if v.opening.Kind == policy.Failover && attached >= 0 && !decided(v.fresh[attached], r.def.Judge) {
		return false
	}
	for i := range v.fresh {
		switch {
		case v.opening.Target != "" && r.def.Endpoints[i].Name != v.opening.Target, i == attached:
		case v.fresh[i].State == policy.Up:
			return true
		case !decided(v.fresh[i], r.def.Judge):
			return false
		}
	}
	return true
}

// freshVote is what this observer saw since the ballot was opened.
func (e *Engine) freshVote(r *resource, v *voting) Vote {
	vote := Vote{Nonce: v.opening.Nonce, Observer: e.cfg.Observer, Zone: e.cfg.Zone, Hash: r.hash}
	for i, f := range v.fresh {
		if f.State == policy.Unknown {
			continue
		}
		class := f.Class
		if f.State == policy.Up {
			class = probe.OK
		}
		vote.Saw = append(vote.Saw, EndpointVote{r.def.Endpoints[i].Name, f.State, class, f.Code, f.State == policy.Up})
	}
	return vote
}

// of is what a vote saw of an endpoint.
func (v Vote) of(endpoint string) EndpointVote {
	i := slices.IndexFunc(v.Saw, func(s EndpointVote) bool { return s.Endpoint == endpoint })
	if i < 0 {
		return EndpointVote{Endpoint: endpoint}
	}
	return v.Saw[i]
}

// veto reports whether the endpoint answered, if not as it should. What tells
// only of certificates, names or another protocol is none, nor is what counts as
// failing by t: it abstains, if it may.
func (s EndpointVote) veto(t policy.Thresholds, abstain bool) bool {
	switch s.State {
	case policy.Up:
		return true
	case policy.Suspect:
		return !policy.CountsAsBad(policy.Verdict{Class: s.Class}, t) && (!abstain || slices.Contains([]probe.Class{probe.Degraded, probe.Overloaded, probe.Auth, probe.Misconfigured, probe.Role}, s.Class))
	}
	return false
}

// heard is what another observer voted last, and when it was seen here.
type heard struct {
	Vote
	at       time.Time
	attached string // what the ballot was about
}

// hear keeps what others voted on any ballot, so that each observer can say what
// the others see.
func (r *resource) hear(now time.Time, self string, o Opening, votes []Entry) {
	all := []Vote{o.Vote}
	for _, entry := range votes {
		var v Vote
		if decode(entry, &v) == nil {
			all = append(all, v)
		}
	}
	for _, v := range all {
		if v.Observer == self || v.Nonce == "" {
			continue
		}
		i := slices.IndexFunc(r.heard, func(h heard) bool { return h.Observer == v.Observer })
		switch {
		case i < 0:
			r.heard = append(r.heard, heard{v, now, r.from()})
		case r.heard[i].Nonce != v.Nonce:
			r.heard[i] = heard{v, now, r.from()}
		}
	}
}

// heardOf says what an observer voted last, on what is attached.
func (r *resource) heardOf(observer string, now time.Time) string {
	for _, h := range r.heard {
		if h.Observer == observer && h.attached == r.from() && h.of(h.attached).State != policy.Unknown {
			return fmt.Sprintf("%s found %s %v ago", observer, h.of(h.attached), roundly(now.Sub(h.at)))
		}
	}
	return observer + " was not asked yet"
}

// refusedElsewhere reports whether another observer's ballot on the same trouble
// came to nothing: what it came to would be known by now.
func (r *resource) refusedElsewhere(now, began time.Time) bool {
	return r.voting == nil && slices.ContainsFunc(r.heard, func(h heard) bool {
		return h.at.After(began) && now.Sub(h.at) >= ballotTime(r)
	})
}

// collect takes over the votes on a ballot of our own.
func (b *ballot) collect(entries []Entry, anyNonce bool) {
	b.votes = b.votes[:0]
	for _, entry := range entries {
		var v Vote
		if decode(entry, &v) == nil && (v.Nonce == b.nonce || anyNonce) {
			b.votes = append(b.votes, v)
		}
	}
}

// tally counts the votes on what the situation is about: this observer's own,
// and those that the ballot has collected.
func (e *Engine) tally(r *resource, s *policy.Situation) policy.Tally {
	t := policy.Tally{Observers: e.electorate(r), Zones: 1, Up: make([]int, len(s.Endpoints))}
	t.Answering, t.Health = e.answering(r)
	counts := t.Observers == 1 || !e.cfg.Errand
	for i := range s.Endpoints {
		ep := &s.Endpoints[i]
		if counts && ep.Verdict.State == policy.Up && ep.Fresh {
			t.Up[i] = 1
		}
	}
	zones := map[string]bool{}
	if counts && s.Attached >= 0 && policy.SaysDown(s) {
		t.Down = 1
		zones[e.cfg.Zone] = true
	}
	if t.Observers == 1 {
		return t
	}
	t.Voted = r.ballot != nil && r.ballot.index != 0 && e.holds(RuleTargetVotes)
	for _, name := range e.cfg.Observers {
		if name == e.cfg.Observer {
			continue
		}
		t.Said = append(t.Said, e.count(r, s, &t, zones, name))
	}
	t.Zones = max(1, len(zones))
	return t
}

// count adds the vote of one other observer to a tally, and says what it was. One
// with another configuration counts for nothing but its veto.
func (e *Engine) count(r *resource, s *policy.Situation, t *policy.Tally, zones map[string]bool, observer string) string {
	b := r.ballot
	if b == nil {
		return r.heardOf(observer, s.Now)
	}
	i := slices.IndexFunc(b.votes, func(v Vote) bool { return v.Observer == observer })
	if i < 0 {
		return observer + " has not voted"
	}
	v, attached := b.votes[i], r.from()
	if s.Kind == policy.Failover && t.Veto == "" && e.minds(v.Hash, r.hash) && e.veto(r, v.of(attached)) {
		t.Veto = fmt.Sprintf("%s finds %s", observer, v.of(attached))
	}
	if v.Hash != r.hash && e.holds(RuleHash) {
		return observer + " has another configuration"
	}
	for i := range s.Endpoints {
		if saw := v.of(s.Endpoints[i].Name); saw.State == policy.Up && saw.Fresh {
			t.Up[i]++
		}
	}
	if v.of(attached).State == policy.Down {
		t.Down++
		zones[v.Zone] = true
	}
	if s.Kind != policy.Failover && s.Target >= 0 {
		attached = s.Endpoints[s.Target].Name
	}
	return fmt.Sprintf("%s finds %s", observer, v.of(attached))
}

// ballotsChanged notices ballots that others opened, or that an earlier life of
// ours left behind, and the votes on our own.
func (e *Engine) ballotsChanged(now time.Time, entries []Entry) {
	have, votes, trees := make(map[string]Entry, len(entries)), map[string][]Entry{}, make(map[string]tree, len(entries))
	for _, entry := range entries {
		have[entry.Key] = entry
		name, voter, ok := strings.Cut(strings.TrimPrefix(entry.Key, ballotPrefix), "/")
		if ok && voter != "_" {
			votes[name] = append(votes[name], entry)
		}
		trees[name] = trees[name].with(entry)
	}
	news := false
	for _, name := range e.order {
		if r, entry := e.res[name], have[ballotKey(name)]; !r.knows(trees[name], entry) {
			r.tree = trees[name]
			news = e.ballotChanged(now, r, entry, votes[name]) || news
		}
	}
	e.keepSentinel(ballotSentinel, have)
	if news {
		e.tick(now)
	}
}

// ballotChanged takes over what there is of one resource's ballot, and reports
// whether it wants to be looked at now.
func (e *Engine) ballotChanged(now time.Time, r *resource, entry Entry, votes []Entry) (news bool) {
	var o Opening
	_ = decode(entry, &o) // one that cannot be read is closed by its age
	mine := r.ballot != nil && r.ballot.nonce == o.Nonce
	r.hear(now, e.cfg.Observer, o, votes)
	if r.ballot != nil {
		before := len(r.ballot.votes)
		r.ballot.collect(votes, !e.holds(RuleNonce))
		news = len(r.ballot.votes) != before
		if r.ballot.seen != 0 && !mine {
			r.ballot.gone, news = true, r.ballot.waiting // somebody closed it
		}
	}
	switch {
	case !entry.Exists():
		if r.voting != nil && r.ballot == nil { // it may have been committed
			one := []*policy.Resource{r.def}
			e.transact(&request{purpose: PurposeSweep, sweep: []string{r.def.Name}, defs: one}, readSweep(one), time.Second, time.Time{})
		}
		e.forsaken(now, r)
		e.refusedToAll(now, r, votes)
		r.alien, r.wake = alienBallot{}, now
		e.voteNoMore(r)
	case mine:
		r.alien, r.ballot.seen = alienBallot{}, entry.ModifyIndex
		e.voteNoMore(r)
	case r.alien.index != entry.ModifyIndex:
		e.meet(now, r, entry, o)
		r.wake = now
		news = r.voting != nil
	}
	if len(votes) == 0 || entry.Exists() {
		r.litter = time.Time{}
	} else if r.litter.IsZero() {
		r.litter = now
	}
	if news {
		r.wake = now
	}
	return news
}

// await goes on with a ballot of our own that waits for votes.
func (e *Engine) await(now time.Time, r *resource) {
	b := r.ballot
	switch {
	case !b.waiting:
	case b.gone:
		if d, _ := e.reconsider(now, r); d.Act() { // who closed it did not know yet what we know
			r.nextTry = now
		} else {
			e.refused(now, r, d)
		}
		e.ballotOver(now, r)
	default:
		e.decideBallot(now, r)
	}
}

// sweepVotes removes votes whose ballot was closed, once everybody had the time to
// read them: its opener first, and others if he does not.
func (e *Engine) sweepVotes(now time.Time, r *resource) {
	if e.cfg.Errand {
		return
	}
	wait := ballotTime(r)
	if r.refusal == nil {
		wait *= 2
	}
	if r.litter.IsZero() || now.Sub(r.litter) < wait || e.blind(now, nil) != "" || !e.holds(RuleLitter) {
		return
	}
	r.litter = now
	e.transact(&request{purpose: PurposeClose, resource: r.def.Name}, sweepOps(r.def.Name), storeTimeout, time.Time{})
}

// awaits reports whether the votes that are still to come could open what is shut.
func (e *Engine) awaits(now time.Time, r *resource, d policy.Decision) bool {
	b := r.ballot
	if d.Act() && d.Target >= 0 && d.Target == b.first || len(b.votes) >= e.others() || b.gone {
		return false
	}
	return !(r.def.Veto && e.vetoed(r) && b.wish.kind == policy.Failover) && now.Add(voteMargin).Before(b.deadline)
}

// refused keeps what a ballot came to, for people to read until the next one. One
// that nobody vetoed, but not all voted on, is soon tried again.
func (e *Engine) refused(now time.Time, r *resource, d policy.Decision) {
	if len(e.cfg.Observers) == 1 {
		return
	}
	r.refusal, r.refused = &d, r.ballot.wish
	if !e.vetoed(r) && len(r.ballot.votes) < e.others() {
		r.nextTry = minTime(r.nextTry, now.Add(ballotTime(r)))
	}
}
