package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// sent is what there was to say of a commit when it was decided: a fault is one
// only if it lands.
type sent struct {
	number, text string
}

// sends judges a transaction when an engine decides on it.
func (o *oracle) sends(n *node, t failover.Transact) {
	switch t.Purpose {
	case failover.PurposeOpen, failover.PurposeVote, failover.PurposeCommit, failover.PurposeClaim:
	case failover.PurposeStep:
		o.claimSent(n, t)
		return
	case failover.PurposeState:
		o.clears(n, t)
		return
	default:
		return
	}
	resource := resourceOf(t.Ops[0].Key)
	if silent := o.w.now - n.known.heard; silent > 2200*time.Millisecond {
		o.breaks("6", "%s sends a %s of %s although the store has been silent for %v", n.name, t.Purpose, resource, silent)
	}
	if o.w.now < n.known.local[resource] {
		o.breaks("6", "%s sends a %s of %s right after a fault of its own", n.name, t.Purpose, resource)
	}
	o.notRewound(n, string(t.Purpose), resource)
	r := n.has(resource)
	switch t.Purpose {
	case failover.PurposeOpen:
		var b failover.Opening
		decode(written(t.Ops[0]), &b)
		o.notPaused(n, t.Purpose, resource, b.Forced)
		o.openedFor(b)
	case failover.PurposeVote:
		o.notPaused(n, t.Purpose, resource, nil)
		var v failover.Vote
		decode(written(t.Ops[len(t.Ops)-1]), &v)
		o.votes(n, r, v)
	case failover.PurposeCommit:
		o.commits(n, r, t)
	}
}

// written is an operation's value, as an entry.
func written(op failover.Op) failover.Entry {
	return failover.Entry{Key: op.Key, Value: op.Value, ModifyIndex: 1}
}

// notPaused holds that nobody acts who was shown a pause that still stands.
func (o *oracle) notPaused(n *node, p failover.Purpose, resource string, forced []string) {
	if slices.Contains(forced, "paused") {
		return
	}
	for _, key := range []string{controlAll, controlKey(resource)} {
		c := o.control[key]
		if c == nil || c.Pause == nil || n.known.shown[key] != c.index {
			continue
		}
		if c.Pause.For == 0 || n.known.began < c.started && o.w.now < c.started+c.Pause.For {
			o.breaks("6", "%s sends a %s of %s under the pause in %s, which it was shown", n.name, p, resource, key)
		}
	}
}

// votes holds that a vote rests on conversations from after the ballot was shown.
func (o *oracle) votes(n *node, r *policy.Resource, v failover.Vote) {
	b := o.ballots[v.Nonce]
	if b == nil {
		o.breaks("2", "%s votes on a ballot that nobody opened: %s", n.name, v.Nonce)
	}
	since, ok := b.shown[n]
	if !ok {
		o.breaks("2", "%s votes on a ballot of %s that it was never shown", n.name, b.resource)
	}
	if before, again := n.known.voted[v.Nonce]; again { // no answer came: the same one is sent again
		o.takesNothingBack(n, b, before, v)
		return
	}
	n.known.voted[v.Nonce] = v
	for _, saw := range v.Saw {
		p := n.known.seen[b.resource+"/"+saw.Endpoint]
		if p == nil {
			o.breaks("2", "%s votes on %s/%s, which it never spoke to", n.name, b.resource, saw.Endpoint)
		}
		fresh := p.since(n, since)
		bad := 0
		for _, res := range fresh {
			if p.evidence(r, r.Judge.Expected(res).Class) {
				bad++
			}
		}
		deep := b.Talk == probe.Write && saw.Endpoint == b.Attached // which the other conversations say nothing of
		switch {
		case deep && saw.State == policy.Up && n.known.wrote[b.resource+"/"+saw.Endpoint].Before(n.clock().Add(since-o.w.now)):
			o.breaks("2", "%s votes %s/%s up, where its writes are asked about, and none of them was well since the opening", n.name, b.resource, saw.Endpoint)
		case deep:
		case saw.State == policy.Down && bad < r.Judge.Bad:
			o.breaks("2", "%s votes %s/%s down after %d bad conversations since the opening: %s", n.name, b.resource, saw.Endpoint, bad, tail(fresh))
		case saw.State == policy.Up && !n.known.wrote[b.resource+"/"+saw.Endpoint].Before(n.clock().Add(since-o.w.now)): // a write was well
		case saw.State == policy.Up && (len(fresh) == 0 || fresh[len(fresh)-1].Class != probe.OK):
			o.breaks("4", "%s votes %s/%s up: %s", n.name, b.resource, saw.Endpoint, tail(fresh))
		}
	}
}

// takesNothingBack holds that who votes again on the same ballot does not take back
// a down or an up.
func (o *oracle) takesNothingBack(n *node, b *ballot, before, now failover.Vote) {
	for _, saw := range before.Saw {
		is := sawOf(now, saw.Endpoint)
		if (saw.State == policy.Up || saw.State == policy.Down) && is.State != saw.State {
			o.breaks("2", "%s voted %s/%s %s, and now %s, on the same ballot", n.name, b.resource, saw.Endpoint, saw.State, is.State)
		}
	}
}

// since returns the conversations that began at that moment or later.
func (p *past) since(n *node, at time.Duration) []probe.Result {
	from := n.clock().Add(at - n.w.now)
	for i := range p.all {
		if !p.all[i].Began.Before(from) {
			var rest []probe.Result // conversations overlap: they are in the order in which they ended
			for _, res := range p.all[i:] {
				if !res.Began.Before(from) {
					rest = append(rest, res)
				}
			}
			return rest
		}
	}
	return nil
}

func tail(all []probe.Result) (last []string) {
	for _, res := range all[max(0, len(all)-6):] {
		last = append(last, res.Class.String())
	}
	return last
}

// commits judges a commit when it is decided on.
func (o *oracle) commits(n *node, r *policy.Resource, t failover.Transact) {
	var rec failover.Record
	for _, op := range t.Ops {
		if role(op.Key) == "history" && op.Verb == failover.CAS {
			decode(written(op), &rec)
		}
	}
	if r == nil || rec.Op == "" {
		o.breaks("1", "%s sends a commit without a record", n.name)
	}
	fault := sent{}
	note := func(number, format string, args ...any) {
		if fault.number == "" {
			fault = sent{number, fmt.Sprintf(format, args...)}
		}
	}
	forced := func(gate string) bool { return slices.Contains(rec.Forced, gate) }
	o.voids(n, r.Name)
	o.ownBallot(n, rec, note)
	s := o.w.stateOf(r.Name)
	fenced := s.Fenced != 0 && s.Fenced == s.Epoch
	if r.Mode == policy.Observe && !forced("observe") {
		note("1", "%s of %s, which is only observed", rec.Kind, r.Name)
	}
	b := o.open[r.Name]
	written := b != nil && b.Op == rec.Op && b.Talk == probe.Write // it rests on writes
	if rec.Kind == policy.Failover && !fenced && !written && !(forced("class") && forced("quorum")) {
		if why := o.notDown(n, r, rec); why != "" {
			note("2", "failover of %s from %s: %s", r.Name, rec.From, why)
		}
	}
	if votedOn(rec.Kind) && !forced("candidate") {
		if why := o.notUp(n, r, rec, fenced || written); why != "" {
			note("4", "%s of %s to %s: %s", rec.Kind, r.Name, rec.To, why)
		}
	}
	if rec.Automatic {
		o.paced(n, r, rec, s, note)
	}
	o.sent[rec.Op] = fault
}

// votedOn reports whether such a switch takes votes.
func votedOn(k policy.Kind) bool {
	return k == policy.Failover || k == policy.Switchover || k == policy.FailbackTo || k == policy.Bootstrap
}

// notDown says why a failover does not rest on what its opener saw.
func (o *oracle) notDown(n *node, r *policy.Resource, rec failover.Record) string {
	p := n.known.seen[r.Name+"/"+rec.From]
	if p == nil {
		return "it was never spoken to"
	}
	all := p.saying(r)
	if len(all) == 0 || !p.evidence(r, all[len(all)-1].Class) {
		return fmt.Sprintf("the last thing seen is no evidence: %s", tail(all))
	}
	if !rec.Automatic {
		return ""
	}
	last := all[len(all)-1].Ended
	if pinged := n.known.pinged[r.Name+"/"+rec.From]; pinged.After(last) {
		last = pinged
	}
	if old := n.clock().Sub(last); old > policy.Silence(r.Pace.Interval, r.Endpoints[0].Target.Timeout)+time.Second {
		return fmt.Sprintf("nothing was seen of it for %v", old)
	}
	bad, soft := 0, 0
	for _, res := range all[max(0, len(all)-r.Judge.Of):] {
		if p.evidence(r, res.Class) {
			bad++
			if !res.Class.Evidence() && res.Class != probe.Role {
				soft++
			}
		}
	}
	if bad < r.Judge.Bad {
		return fmt.Sprintf("%d bad of the last %d: %s", bad, r.Judge.Of, tail(all))
	}
	first := p.firstBad(n, r)
	if o.w.now-n.known.reloaded < n.clock().Sub(first) {
		return "" // what was judged under other thresholds stands
	}
	lasted := all[len(all)-1].Ended.Sub(first)
	if lasted < r.Judge.Sustain || bad-soft < r.Judge.Bad && lasted < r.Judge.AlsoSustain {
		return fmt.Sprintf("it lasted %v only: %s", lasted, tail(all))
	}
	return ""
}

// saying are the conversations that say anything, each as it is to be judged.
func (p *past) saying(r *policy.Resource) (all []probe.Result) {
	for _, res := range p.all {
		if res = r.Judge.Expected(res); res.Class.Answered() || p.evidence(r, res.Class) {
			all = append(all, res)
		}
	}
	return all
}

// firstBad is when the run of bad ones began: after the last two good ones in a row.
func (p *past) firstBad(n *node, r *policy.Resource) time.Time {
	all := p.saying(r)
	from, good := 0, 0
	for i, res := range all {
		if good++; res.Class != probe.OK {
			good = 0
		}
		if good >= r.Judge.Rise {
			from = i + 1
		}
	}
	first := n.clock()
	for _, res := range all[from:] { // they are in the order in which they ended
		if p.evidence(r, res.Class) && res.Began.Before(first) {
			first = res.Began
		}
	}
	return first
}

// notUp says why its opener should not have called a target up, or fit. What is left may
// count as failing elsewise: it was fenced, or its writes fail.
func (o *oracle) notUp(n *node, r *policy.Resource, rec failover.Record, elsewise bool) string {
	p := n.known.seen[r.Name+"/"+rec.To]
	if p == nil || len(p.all) == 0 {
		return "it was never spoken to"
	}
	all := slices.DeleteFunc(slices.Clone(p.all), func(res probe.Result) bool { return res.Class == probe.Local })
	if len(all) == 0 || all[len(all)-1].Class != probe.OK {
		return fmt.Sprintf("the last thing seen is not ok: %s", tail(all))
	}
	last := all[len(all)-1]
	if old := n.clock().Sub(last.Began); old > time.Minute {
		return fmt.Sprintf("it was ok %v ago only", old)
	}
	if from := n.known.seen[r.Name+"/"+rec.From]; rec.Kind == policy.Failover && rec.Automatic && from != nil && !elsewise {
		if bad := from.firstBad(n, r); last.Began.Before(bad) {
			return fmt.Sprintf("it was not ok since %s began to fail", rec.From)
		}
	}
	if unmet := policy.Unmet(r.Require, last.Facts); len(unmet) > 0 && !slices.Contains(rec.Forced, "requirement") {
		return fmt.Sprintf("it does not meet %v", unmet)
	}
	return ""
}

// paced holds that automatic switches are damped, and wait in a mass failure.
func (o *oracle) paced(n *node, r *policy.Resource, rec failover.Record, s failover.State, note func(string, string, ...any)) {
	if rec.Kind == policy.Bootstrap {
		return
	}
	fleet, recent, tried := 0, 0, map[string]bool{}
	for _, m := range o.order {
		if !m.Automatic || m.Kind == policy.Bootstrap || m.forgot {
			continue
		}
		if o.w.now-m.at < 57*time.Second {
			fleet++
		}
		age := o.w.now - m.at
		if n.known.began > m.at { // he knows it by its maker's clock only
			age = max(age, n.clock().Sub(m.At))
		}
		if m.Resource == r.Name && age < time.Hour-time.Minute {
			recent++
			tried[m.From], tried[m.To] = true, true
		}
	}
	inFlight := 2
	if len(o.w.names) > 1 {
		inFlight = txnWorkers * len(o.w.names)
	}
	if fleet > policy.PaceLimit+inFlight {
		note("11", "%s of %s is the %dth within the minute", rec.Kind, r.Name, fleet+1)
	}
	since := slices.ContainsFunc(s.Recent, func(sw failover.Switch) bool { return sw.Automatic && sw.Epoch > s.Acked })
	if recent >= policy.DampingLimit && (s.Acked == 0 || since) && tried[rec.To] {
		note("11", "%s of %s to %s after %d within the hour", rec.Kind, r.Name, rec.To, recent)
	}
	if rec.Kind == policy.Failover && r.MassFailure != policy.MassProceed && len(rec.Steps) == 0 {
		o.notMass(n, r, rec, note)
	}
}

// notMass holds that a failure of half of everything is confirmed from two zones.
func (o *oracle) notMass(n *node, r *policy.Resource, rec failover.Record, note func(string, string, ...any)) {
	attached := 0
	var bad []time.Time
	for _, other := range n.cfg.Resources {
		o.voids(n, other.Name)
		s := o.w.stateOf(other.Name)
		p := n.known.seen[other.Name+"/"+s.Attached]
		strange := func(key string) bool { return o.w.store.Peek(key).ModifyIndex != o.ours[key] }
		if at := n.known.local[other.Name]; at > 0 && o.w.now < at+3*time.Second {
			return // what was seen is void, from whenever that was noticed
		}
		if s.Attached == "" || p == nil || slices.ContainsFunc(handleKeys(other), strange) {
			return // who knows, for a moment
		}
		attached++
		if all := p.saying(other); len(all) > 0 && p.evidence(other, all[len(all)-1].Class) {
			bad = append(bad, p.firstBad(n, other))
		}
	}
	slices.SortFunc(bad, time.Time.Compare)
	near := 0
	for i := range bad {
		in := 0
		for _, t := range bad[i:] {
			if t.Sub(bad[i]) <= policy.MassWindow-time.Second {
				in++
			}
		}
		near = max(near, in)
	}
	zones := map[string]bool{}
	for _, v := range rec.Votes {
		for _, saw := range v.Saw {
			if saw.Endpoint == rec.From && saw.State == policy.Down {
				zones[v.Zone] = true
			}
		}
	}
	if _, acked := o.acked[r.Name]; attached >= 4 && 2*near >= attached && !acked && len(zones) < 2 {
		note("11", "failover of %s while %d of %d failed at once, seen from one zone", r.Name, near, attached)
	}
}
