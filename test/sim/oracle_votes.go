package sim

import (
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// recordsVotes holds that a record shows votes on the ballots of its own operation,
// and no others: whoever reads it takes them for what the switch rested on.
func (o *oracle) recordsVotes(rec failover.Record) {
	for _, v := range rec.Votes {
		if b := o.ballots[v.Nonce]; b == nil || b.Op != rec.Op {
			o.breaks("2", "the record of the %s of %s to %s shows a vote of %s on another ballot", rec.Kind, rec.Resource, rec.To, v.Observer)
		}
	}
}

// closesByVote holds that a vote closes a ballot only if what is attached answered
// who cast it. A certificate that ended, a name that is gone or another protocol
// tells nothing of that.
func (o *oracle) closesByVote(n *node, b *ballot) {
	v, voted := b.votes[n.name]
	if !voted || n.has(b.resource) == nil || b.Kind == policy.Failover && b.vetoed != "" {
		return
	}
	saw := sawOf(v, b.Attached)
	o.breaks("8", "%s closes the %s's ballot of %s by its vote, and %s did not answer it: %s (%s)", n.name, b.Kind, b.resource, b.Attached, saw.State, saw.Class)
}

// blames holds that who says that a veto stood in a switch's way is right: somebody
// vetoed a ballot that was opened since the switch was asked for.
func (o *oracle) blames(n *node, a *asking) {
	d := a.answer.Decision
	if d == nil || a.answer.Done || a.Verb != "failover" {
		return
	}
	i := slices.IndexFunc(d.Gates, func(p policy.Passage) bool { return p.Gate == "quorum" && !p.Open })
	if i < 0 {
		return
	}
	who, blamed := strings.CutPrefix(d.Gates[i].Why, "vetoed: ")
	if who, _, _ = strings.Cut(who, " "); !blamed || o.back {
		return
	}
	for _, b := range o.ballots {
		if v, ok := b.votes[who]; ok && b.resource == a.Resource && b.Kind == policy.Failover && v.Nonce == b.Nonce && max(b.closed, b.at) >= a.at {
			return
		}
	}
	o.breaks("3", "%s answers that %s vetoed the failover of %s, and it has not voted since that was asked for", n.name, who, a.Resource)
}

// ownBallot says why a commit is not one of the process that opened its ballot.
func (o *oracle) ownBallot(n *node, rec failover.Record, note func(string, string, ...any)) {
	if b := o.open[rec.Resource]; b != nil && b.Op == rec.Op && b.by == n && b.life != n.life {
		note("8", "%s commits the ballot of %s that its earlier life opened %v before", n.name, rec.Resource, o.w.now-b.at)
	}
}

// openedFor notes when it was decided to open a ballot for an operation.
func (o *oracle) openedFor(b failover.Opening) {
	if _, before := o.decided[b.Op]; !before {
		o.decided[b.Op] = o.w.now
	}
}

// soon holds that what a person asked for was begun soon after, or not at all: he
// may have gone another way since.
func (o *oracle) soon(c *change) {
	rec := c.rec
	if rec.Person == "" || rec.Kind == policy.Adopt {
		return
	}
	i := slices.IndexFunc(o.w.people.asks, func(a *asking) bool { return a.Reason == rec.Reason && a.Resource == rec.Resource })
	at, decided := o.decided[rec.Op]
	if i < 0 || !decided || o.w.people.asks[i].taken == 0 {
		return
	}
	a := o.w.people.asks[i]
	if late := at - a.taken; a.n.known.frozen < a.taken && late > 2*ballotTime(c.r)+2*time.Second {
		o.w.breaks("liveness", "%s begins the %s of %s that %s asked for %v before: it is done soon, or refused", c.n.name, rec.Kind, rec.Resource, rec.Person, late)
	}
}

// otherServer holds that nothing is led to the very server that failed, under
// another name.
func (o *oracle) otherServer(c *change) {
	rec := c.rec
	from, to := o.serverOf(c.n, rec.Resource+"/"+rec.From), o.serverOf(c.n, rec.Resource+"/"+rec.To)
	if !votedOn(rec.Kind) || rec.From == rec.To || from == "" || from != to {
		return
	}
	o.breaks("4", "%s of %s from %s to %s, which is the same server", rec.Kind, rec.Resource, rec.From, rec.To)
}

// serverOf is the server that an endpoint's name leads to, as it told n last.
func (o *oracle) serverOf(n *node, endpoint string) string {
	p := n.known.seen[endpoint]
	if p == nil {
		return ""
	}
	for _, res := range slices.Backward(p.all) {
		if res.Class == probe.OK {
			id, _ := res.Facts["server_id"].(string)
			return id
		}
	}
	return ""
}

// inPace holds that one observer alone never goes beyond the pace: what he has sent
// to the store counts as made.
func (o *oracle) inPace(c *change) {
	if len(o.w.names) > 1 || o.back || !c.rec.Automatic || c.rec.Kind == policy.Bootstrap || len(c.rec.Steps) > 0 || c.n.known.began > o.w.now-time.Minute {
		return
	}
	made := 0
	for _, m := range o.order {
		if m.Automatic && m.Kind != policy.Bootstrap && o.w.now-m.at < 57*time.Second {
			made++
		}
	}
	if made > policy.PaceLimit+2 {
		o.breaks("11", "%s of %s is the %dth within the minute: they were all sent before the first was answered", c.rec.Kind, c.r.Name, made)
	}
}
