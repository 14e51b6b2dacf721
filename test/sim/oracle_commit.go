package sim

import (
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// change is what one transaction did to one resource.
type change struct {
	n        *node
	t        failover.Transact
	r        *policy.Resource
	was, is  keys
	changed  map[string]bool
	old, now failover.State
	rec      failover.Record
}

// resourceWritten holds what is true of every change of a resource's keys.
func (o *oracle) resourceWritten(n *node, t failover.Transact, all []string, was, is keys, changed map[string]bool) {
	c := &change{n: n, t: t, was: was, is: is, changed: changed}
	var handles []string
	stateOf := ""
	for _, key := range all {
		switch {
		case !changed[key]:
		case role(key) == "state":
			stateOf = key
		case role(key) == "handle":
			handles = append(handles, key)
		}
	}
	if stateOf == "" {
		if len(handles) > 0 {
			o.breaks("1", "%s of %s changed %s without its state", t.Purpose, n.name, handles[0])
		}
		return
	}
	resource := resourceOf(stateOf)
	if c.r = n.has(resource); c.r == nil { // sent before a reload
		c.r = o.w.def(resource)
	}
	decode(was[stateOf], &c.old)
	decode(is[stateOf], &c.now)
	if c.now.Epoch == c.old.Epoch && c.now.Op == c.old.Op {
		o.stateAlone(c, handles)
		o.stepWritten(c)
		o.claimWritten(c)
		return
	}
	records := 0
	for _, key := range all {
		if changed[key] && role(key) == "history" && is[key].Exists() {
			records++
			decode(is[key], &c.rec)
		}
	}
	if rec := c.rec; records != 1 || rec.Epoch != c.now.Epoch || rec.Op != c.now.Op || rec.To != c.now.Attached || rec.Resource != resource {
		o.breaks("1", "%s of %s to epoch %d of %s wrote %d records: %+v", t.Purpose, n.name, c.now.Epoch, resource, records, rec)
	}
	o.switched(c)
}

// stateAlone holds what is true of a write that moves nothing.
func (o *oracle) stateAlone(c *change, handles []string) {
	key := stateKey(c.r.Name)
	if len(handles) > 0 || c.old.Attached != c.now.Attached || len(c.old.Recent) != len(c.now.Recent) {
		o.breaks("1", "a write of state alone moved %s: %+v to %+v", c.r.Name, c.old, c.now)
	}
	for _, h := range handleKeys(c.r) {
		e := o.w.store.Peek(h)
		if owned(c.old, c.was[key], e) != owned(c.now, c.is[key], e) {
			o.breaks("1", "a write of state alone by %s changed whose %s is", c.n.name, h)
		}
	}
	for _, mark := range c.old.Taints {
		kept := slices.ContainsFunc(c.now.Taints, func(t failover.Taint) bool { return t.Endpoint == mark.Endpoint })
		if !kept && !o.cleared(c.r, mark) {
			o.breaks("19", "the taint of %s/%s ended by itself", c.r.Name, mark.Endpoint)
		}
	}
	if c.now.Acked != c.old.Acked {
		o.acked[c.r.Name] = o.w.now
	}
}

// cleared reports whether a person asked for it, or facts allowed it.
func (o *oracle) cleared(r *policy.Resource, mark failover.Taint) bool {
	asked := slices.ContainsFunc(o.w.people.asks, func(a *asking) bool {
		return a.Verb == "clear" && a.Resource == r.Name && a.Endpoint == mark.Endpoint
	})
	left := slices.IndexFunc(o.order, func(m *landing) bool { return m.Resource == r.Name && m.Epoch == mark.Epoch })
	s := o.w.servers[r.Name+"/"+mark.Endpoint]
	return asked || r.Protocol.Traits.RestartClears && s != nil && (left < 0 || s.booted > o.order[left].at-2*time.Second)
}

// switched holds what is true of every switch at the moment when it lands.
func (o *oracle) switched(c *change) {
	rec, key := c.rec, stateKey(c.r.Name)
	o.epochs(c)
	for i := range c.r.Handles {
		o.handleLeft(c, i)
	}
	for k := range c.changed {
		what := role(k)
		if c.changed[k] && k != key && what != "history" && what != "after" && what != "ballot" && what != "vote" && !slices.Contains(handleKeys(c.r), k) {
			o.breaks("1", "%s of %s changed %s", rec.Kind, c.r.Name, k)
		}
	}
	if m := o.made[rec.Op]; m != nil && !m.forgot {
		o.breaks("12", "the operation %s of %s landed twice", rec.Op, c.r.Name)
	}
	m := &landing{Record: rec, by: c.n, life: c.n.life, at: o.w.now}
	o.made[rec.Op] = m
	o.order = append(o.order, m)
	o.w.report.Switches[rec.Kind]++
	o.taintsLeft(c)
	o.askedFor(c)
	o.stepsBehind(c)
	o.committedRightly(c)
	o.stood(c.r.Name, c.now.Operation)
	o.leads(c.n, c.r.Name, c.now)
	o.soon(c)
	o.otherServer(c)
	o.inPace(c)
	if rec.Kind != policy.Adopt {
		o.recordsVotes(rec)
		o.byBallot(c)
		if f := o.sent[rec.Op]; f.number != "" {
			o.breaks(f.number, "%s", f.text)
		}
	}
	o.opens[c.r.Name] = nil
}

// epochs holds that epochs rise, and that a store that forgot some is written to
// only because a person said so.
func (o *oracle) epochs(c *change) {
	seen := c.n.disk.seen[c.r.Name]
	forgot := seen.Epoch > c.old.Epoch || seen.Epoch == c.old.Epoch && seen.Epoch > 0 && (seen.Op != c.old.Op || seen.Index > c.was[stateKey(c.r.Name)].ModifyIndex)
	switch {
	case o.back && o.rests[&c.t.Ops[0]].at < o.backAt: // it was on its way when the store went back, to what it was sent for
	case forgot && (c.rec.Kind != policy.Adopt || c.rec.Person == ""):
		o.breaks("1", "%s of %s by %s on a store that went back from epoch %d to %d", c.rec.Kind, c.r.Name, c.n.name, seen.Epoch, c.old.Epoch)
	case forgot && c.now.Epoch <= seen.Epoch, !forgot && c.now.Epoch != c.old.Epoch+1 && !o.back, c.now.Epoch <= c.old.Epoch:
		o.breaks("1", "%s of %s leads from epoch %d (%d was seen) to %d", c.rec.Kind, c.r.Name, c.old.Epoch, seen.Epoch, c.now.Epoch)
	}
}

// handleLeft holds what may become of a handle.
func (o *oracle) handleLeft(c *change, i int) {
	h, kind := c.r.Handles[i], c.rec.Kind
	was, there := c.was[h.Key]
	is := o.w.store.Peek(h.Key)
	if !there {
		was = is
	}
	mine := owned(c.now, c.is[stateKey(c.r.Name)], is)
	before := o.ours[h.Key]
	if o.ours[h.Key] = 0; mine {
		o.ours[h.Key] = is.ModifyIndex
	}
	if kind == policy.Adopt {
		if was.ModifyIndex != is.ModifyIndex {
			o.breaks("1", "an adopt wrote %s", h.Key)
		}
		if !mine && is.Exists() && c.rec.Person == "" {
			o.breaks("1", "after an adopt, %s is not ours", h.Key)
		}
		return
	}
	to := c.r.Endpoint(c.rec.To)
	switch {
	case to < 0 || strings.TrimSpace(string(is.Value)) != strings.TrimSpace(h.Values[to].Reveal()):
		o.breaks("1", "after the %s to %s, %s holds %q", kind, c.rec.To, h.Key, is.Value)
	case !mine:
		o.breaks("1", "after the %s, %s is not ours", kind, h.Key)
	case was.Exists() && was.Flags != is.Flags:
		o.breaks("1", "%s lost its flags", h.Key)
	case kind == policy.Restore:
	case kind == policy.Bootstrap:
		if was.Exists() {
			o.breaks("9", "a bootstrap overwrote %s", h.Key)
		}
	case !was.Exists():
		o.breaks("9", "%s created %s", kind, h.Key)
	case before != was.ModifyIndex:
		o.breaks("9", "%s overwrote %s, which somebody else had written at %d (ours was %d)", kind, h.Key, was.ModifyIndex, before)
	}
}

// taintsLeft holds that every departure taints, and clears nobody else.
func (o *oracle) taintsLeft(c *change) {
	rec, r := c.rec, c.r
	has := func(s failover.State, name string) bool {
		return slices.ContainsFunc(s.Taints, func(t failover.Taint) bool { return t.Endpoint == name })
	}
	left := c.old.Attached
	if rec.From != left && rec.From != "" {
		left = rec.From
	}
	if left != "" && r.Endpoint(left) >= 0 && left != rec.To && r.Protocol.Traits.Taints && !has(c.now, left) {
		o.breaks("19", "the %s of %s to %s left %s, and did not taint it", rec.Kind, r.Name, rec.To, left)
	}
	for _, t := range c.old.Taints {
		if t.Endpoint != rec.To && !has(c.now, t.Endpoint) {
			o.breaks("19", "the %s of %s to %s ended the taint of %s", rec.Kind, r.Name, rec.To, t.Endpoint)
		}
	}
	if rec.Kind != policy.Adopt && rec.Kind != policy.Refresh && has(c.old, rec.To) && !slices.Contains(rec.Forced, "taint") {
		o.breaks("10", "%s of %s to %s, which is tainted", rec.Kind, r.Name, rec.To)
	}
}

// askedFor holds that what is done by command is what was asked, and waives no more.
func (o *oracle) askedFor(c *change) {
	rec := c.rec
	if rec.Automatic || rec.Kind == policy.Adopt && rec.Person == "" {
		if len(rec.Forced) > 0 || rec.Person != "" || rec.Kind == policy.Restore || rec.Kind == policy.Refresh || rec.Kind == policy.Switchover {
			o.breaks("18", "a %s of %s by itself, forced %v", rec.Kind, rec.Resource, rec.Forced)
		}
		return
	}
	ok := slices.ContainsFunc(o.w.people.asks, func(a *asking) bool {
		same := kindOf(a.Verb) == rec.Kind && (a.Endpoint == "" || a.Endpoint == rec.To || rec.Kind == policy.Refresh)
		return a.Reason == rec.Reason && (a.Resource == rec.Resource || a.All) && slices.Equal(a.Force, rec.Forced) && (same || a.Verb == "ack" && rec.Kind == policy.Adopt)
	})
	if !ok {
		o.breaks("18", "nobody asked for the %s of %s to %s, forcing %v", rec.Kind, rec.Resource, rec.To, rec.Forced)
	}
}

// byBallot holds what a commit rests on: its ballot, and nothing changed since.
func (o *oracle) byBallot(c *change) {
	rec := c.rec
	b := o.open[rec.Resource]
	if b == nil || b.Op != rec.Op || b.Kind != rec.Kind {
		o.breaks("8", "%s of %s without its ballot", rec.Kind, rec.Resource)
	}
	if b.by != c.n {
		o.breaks("8", "%s commits the ballot that %s opened", c.n.name, b.by.name)
	}
	if o.w.store.Peek(ballotKey(rec.Resource)).Exists() {
		o.breaks("8", "%s of %s left its ballot open", rec.Kind, rec.Resource)
	}
	o.unchanged(c, b)
	o.inTime(c, b)
	o.byPeople(c)
	o.byVotes(c, b)
}

// unchanged holds that nothing changed since the opening.
func (o *oracle) unchanged(c *change, b *ballot) {
	for key, index := range b.indexes {
		now, named := c.was[key]
		if !named {
			now = o.w.store.Peek(key)
		}
		if now.ModifyIndex == index {
			continue
		}
		number := "8"
		if strings.HasPrefix(key, controlPrefix) {
			number = "5"
		}
		o.breaks(number, "%s of %s although %s went from %d to %d since the opening", c.rec.Kind, c.r.Name, key, index, now.ModifyIndex)
	}
}

// inTime holds that a ballot is closed once anybody who lives had it before him for
// its whole time.
func (o *oracle) inTime(c *change, b *ballot) {
	for _, n := range o.w.nodes {
		at, ok := b.shown[n]
		r := n.has(b.resource)
		if n == c.n || !ok || !n.alive || n.frozen || n.leaving || r == nil || at < max(n.known.began, n.known.frozen) || o.w.store.cut[n] || max(o.w.store.disturbed, o.watching.denied) > b.at {
			continue // or he could not close it
		}
		if seen := o.w.now - at; seen > ballotTime(r)+3*time.Second {
			o.breaks("8", "%s of %s by %s on a ballot that %s had seen for %v", c.rec.Kind, c.r.Name, c.n.name, n.name, seen)
		}
	}
}

// byPeople holds that no standing order of a person is passed over.
func (o *oracle) byPeople(c *change) {
	rec := c.rec
	for _, key := range []string{controlAll, controlKey(c.r.Name)} {
		s := o.control[key]
		if s == nil {
			continue
		}
		if s.Pause != nil && s.Pause.For == 0 && !slices.Contains(rec.Forced, "paused") {
			o.breaks("6", "%s of %s under the pause in %s", rec.Kind, c.r.Name, key)
		}
		for _, d := range s.Drained {
			if d.Endpoint == rec.To && d.For == 0 && !slices.Contains(rec.Forced, "drained") && rec.Kind != policy.Refresh {
				o.breaks("10", "%s of %s to %s, which is drained", rec.Kind, c.r.Name, rec.To)
			}
		}
	}
}

// byVotes holds that a majority of the configured observers voted for it, on this
// very ballot, and that nobody's veto was passed over.
func (o *oracle) byVotes(c *change, b *ballot) {
	rec, forced := c.rec, func(gate string) bool { return slices.Contains(c.rec.Forced, gate) }
	if !votedOn(rec.Kind) {
		return
	}
	fenced := c.old.Fenced != 0 && c.old.Fenced == c.old.Epoch
	need := len(b.observed)/2 + 1
	down, up := 0, 0
	for _, v := range rec.Votes {
		stored, other := b.votes[v.Observer]
		if v.Nonce != b.Nonce || v.Hash != b.Hash || !slices.Contains(b.observed, v.Observer) || v.Observer != b.Opener && (!other || stored.Nonce != v.Nonce) {
			continue
		}
		saw := sawOf(v, rec.From)
		if saw.State == policy.Down || v.Observer == b.Opener && saw.State == policy.Suspect && !rec.Automatic {
			p := c.n.known.seen[rec.Resource+"/"+rec.From]
			if v.Observer != b.Opener || b.Talk == probe.Write || p != nil && p.evidence(c.r, saw.Class) {
				down++
			}
		}
		if to := sawOf(v, rec.To); to.State == policy.Up && to.Fresh {
			up++
		}
	}
	if rec.Kind == policy.Failover && !fenced {
		if down < need && !forced("quorum") {
			o.breaks("2", "failover of %s from %s with %d of %d down votes on its ballot; %d needed", rec.Resource, rec.From, down, len(b.observed), need)
		}
		if b.vetoed != "" && !b.NoVeto && !forced("quorum") {
			o.breaks("3", "failover of %s from %s after the veto of %s", rec.Resource, rec.From, b.vetoed)
		}
	}
	if up < need && !forced("candidate") && !forced("quorum") {
		o.breaks("4", "%s of %s to %s, which %d of %d found up on its ballot; %d needed", rec.Kind, rec.Resource, rec.To, up, len(b.observed), need)
	}
	if rec.To == c.old.Attached && c.old.Attached != "" && rec.To == rec.From {
		o.breaks("4", "%s of %s to what was attached", rec.Kind, rec.Resource)
	}
}
