package sim

import (
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// Nobody writes over what he has not read: that is what the guards of transactions
// are for. Here it is held by what the store's answers showed each observer, and not
// by what his transaction says that it rests on.

// readings is what a daemon was shown of keys, in this life: each index, and when.
type readings map[string]map[uint64]time.Duration

// rests is what a daemon could know when it decided on a transaction.
type rests struct {
	read readings
	at   time.Duration
}

// reads notes what a daemon is shown.
func (o *oracle) reads(n *node, entries []failover.Entry) {
	if n.known.read == nil {
		n.known.read = readings{}
	}
	for _, e := range entries {
		all := n.known.read[e.Key]
		if all == nil {
			all = map[uint64]time.Duration{}
			n.known.read[e.Key] = all
		}
		if _, before := all[e.ModifyIndex]; !before {
			all[e.ModifyIndex] = o.w.now
		}
	}
}

// decides notes what there was to know when a transaction was decided on. One that
// is sent again rests on what was known the first time.
func (o *oracle) decides(n *node, t failover.Transact) {
	if n.known.read == nil {
		n.known.read = readings{}
	}
	if t.Purpose == failover.PurposeOpen {
		o.tried[resourceIn(t.Ops)] = o.w.now
	}
	if _, again := o.rests[&t.Ops[0]]; !again && writes(t.Ops) {
		o.rests[&t.Ops[0]] = rests{n.known.read, o.w.now}
	}
}

// knew reports whether an entry was shown to who wrote over it, in time.
func (s rests) knew(e failover.Entry) bool {
	at, ok := s.read[e.Key][e.ModifyIndex]
	return ok && at <= s.at
}

// guarded holds what is true of every transaction that lands: it writes over nothing,
// and opens a ballot on nothing, that its observer had not read.
func (o *oracle) guarded(n *node, t failover.Transact, all []string, was, is keys, changed map[string]bool) {
	rested, ok := o.rests[&t.Ops[0]]
	if !ok { // the farewell of a daemon only closes ballots
		return
	}
	numbers := map[string]string{"state": "8", "handle": "9", "control": "6", "control of all": "6", "notice": "15", "after": "13", "history": "12"}
	opens := ""
	for _, key := range all {
		if changed[key] && is[key].Exists() && role(key) == "ballot" {
			opens = resourceOf(key)
		}
	}
	for _, key := range all {
		what := role(key)
		number := numbers[what]
		switch {
		case number == "" || !was[key].Exists() || !changed[key] && opens == "":
		case changed[key] && what == "history" && is[key].Exists():
			o.breaks("12", "%s of %s rewrote the record %s", t.Purpose, n.name, key)
		case rested.knew(was[key]) || what == "history":
		case opens != "":
			o.breaks("8", "%s opened a ballot of %s, and had not read %s as it is at %d", n.name, opens, key, was[key].ModifyIndex)
		default:
			o.breaks(number, "%s of %s wrote over %s as it was at %d, which it had not read", t.Purpose, n.name, key, was[key].ModifyIndex)
		}
		if what == "ballot" && changed[key] && !is[key].Exists() {
			o.leavesNone(n, t, resourceOf(key), is, changed)
		}
		if what == "notice" && changed[key] && is[key].Exists() {
			o.partOfOutage(n, was[key], is[key], rested, changed)
		}
	}
	if opens != "" {
		o.inItsTime(n, opens)
	}
	o.goesOn(n, t, rested, was, is, changed)
}

// leavesNone holds that the votes go with their ballot, but for the veto that closed it.
func (o *oracle) leavesNone(n *node, t failover.Transact, resource string, is keys, changed map[string]bool) {
	reply, _ := o.w.store.Apply([]failover.Op{{Verb: failover.GetTree, Key: ballotTree(resource)}})
	for _, e := range reply.Entries {
		if role(e.Key) == "vote" && !(changed[e.Key] && is[e.Key].Exists()) {
			o.breaks("20", "%s of %s closed the ballot of %s, and left %s", t.Purpose, n.name, resource, e.Key)
		}
	}
}

// partOfOutage holds that what is claimed as a part of an outage finds the claim on
// that beside it, as it was read: somebody will tell its end, and all know its key.
func (o *oracle) partOfOutage(n *node, was, is failover.Entry, rested rests, changed map[string]bool) {
	var before, c failover.Claim
	decode(was, &before)
	if !decode(is, &c) || c.Outage == "" || c.ID == before.ID {
		return
	}
	resource := resourceOf(is.Key)
	epoch, _, _ := strings.Cut(strings.TrimPrefix(c.Outage, resource+"/"), ".")
	whole := "reattach/notice/" + resource + "/" + epoch + ".outage"
	switch e := o.w.store.Peek(whole); {
	case !e.Exists():
		o.breaks("15", "%s claims %s as a part of the outage %s, which nobody tells the end of", n.name, is.Key, c.Outage)
	case !changed[whole] && !rested.knew(e):
		o.breaks("15", "%s claims %s as a part of the outage %s, and had not read the claim on that as it is", n.name, is.Key, c.Outage)
	}
}

// inItsTime holds that no ballot opens in the middle of an operation but its own, nor
// while two endpoints may take writes; and a bootstrap's only where there is nothing.
func (o *oracle) inItsTime(n *node, resource string) {
	b, s, r := o.openedNow(resource), o.w.stateOf(resource), n.has(resource)
	if r == nil {
		return
	}
	if op := s.Operation; op != nil && b.Confirms != op.ID {
		o.breaks("7", "%s opened a ballot of %s in the middle of %s", n.name, resource, op.ID)
	}
	if s.TwoWritable != "" {
		o.breaks("7", "%s opened a ballot of %s, whose endpoints may both take writes: %s", n.name, resource, s.TwoWritable)
	}
	for _, key := range handleKeys(r) {
		if b.Kind == policy.Bootstrap && o.w.store.Peek(key).Exists() {
			o.breaks("9", "%s opened a ballot on the bootstrap of %s, and %s is there", n.name, resource, key)
		}
	}
}

func (o *oracle) openedNow(resource string) (b failover.Opening) {
	decode(o.w.store.Peek(ballotKey(resource)), &b)
	return b
}

// goesOn holds that a further step of an operation is claimed only on handles and
// controls as just read: ours, and not paused.
func (o *oracle) goesOn(n *node, t failover.Transact, rested rests, was, is keys, changed map[string]bool) {
	key := stateKey(resourceIn(t.Ops))
	var old, now failover.State
	if !changed[key] || !decode(was[key], &old) || !decode(is[key], &now) || old.Operation == nil || now.Operation == nil {
		return
	}
	op, r := now.Operation, n.has(resourceOf(key))
	if r == nil || op.ID != old.Operation.ID || op.Claim == old.Operation.Claim || op.Step != policy.Fence && op.Step != policy.Promote {
		return
	}
	for _, c := range []string{controlAll, controlKey(r.Name)} {
		e := o.w.store.Peek(c)
		if s := o.control[c]; s != nil && s.Pause != nil && s.Pause.For == 0 && !slices.Contains(op.Forced, "paused") {
			o.breaks("6", "%s claims %s of %s under the pause in %s", n.name, op.Step, r.Name, c)
		}
		if e.Exists() && !rested.knew(e) {
			o.breaks("6", "%s claims %s of %s, and had not read %s as it is", n.name, op.Step, r.Name, c)
		}
	}
	for _, h := range handleKeys(r) {
		if at := o.w.store.Peek(h).ModifyIndex; at != o.ours[h] {
			o.breaks("9", "%s claims %s of %s, whose %s somebody else had written", n.name, op.Step, r.Name, h)
		}
	}
}

// vetoed holds that a veto closes the ballot in the same transaction.
func (o *oracle) vetoed(n *node, b *ballot) {
	s := o.w.stateOf(b.resource)
	fenced := s.Fenced != 0 && s.Fenced == s.Epoch
	if b.NoVeto || len(b.Forced) > 0 || fenced || n.known.reloaded > b.at || o.back { // a store that forgot the fence
		return
	}
	if e := o.w.store.Peek(ballotKey(b.resource)); e.Exists() {
		o.breaks("3", "the veto of %s left the ballot of %s open", n.name, b.resource)
	}
}

// dampedFor holds that what damping keeps back is held for that, and not because every
// standby was tried: who reads it has to learn that he may acknowledge.
func (o *oracle) dampedFor(n *node, notice failover.Notice) {
	r, s := n.has(notice.Resource), o.w.stateOf(notice.Resource)
	if r == nil || notice.Event != "held" || !strings.HasSuffix(notice.Key, ".candidate") {
		return
	}
	recent, tried := 0, map[string]bool{s.Attached: true}
	for _, m := range o.order {
		age := o.w.now - m.at
		if m.Automatic && m.Kind != policy.Bootstrap && !m.forgot && m.Resource == r.Name && age < time.Hour-time.Minute && age > 3*time.Second && m.Epoch > s.Acked {
			recent++
			tried[m.From], tried[m.To] = true, true
		}
	}
	if recent >= policy.DampingLimit && !slices.ContainsFunc(r.Endpoints, func(ep policy.Endpoint) bool { return !tried[ep.Name] }) {
		o.breaks("15", "%s holds %s for want of a candidate after %d switches within the hour: %s", n.name, r.Name, recent, notice.Why)
	}
}
