package sim

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// keys are entries by their key.
type keys map[string]failover.Entry

// keep returns the keys that a transaction names, as they are before it; nil if
// it writes none.
func (o *oracle) keep(ops []failover.Op) keys {
	if !writes(ops) {
		return nil
	}
	was := keys{}
	for _, op := range ops {
		if op.Verb != failover.DeleteTree && op.Verb != failover.GetTree {
			was[op.Key] = o.w.store.Peek(op.Key)
			continue
		}
		reply, err := o.w.store.Apply([]failover.Op{{Verb: failover.GetTree, Key: op.Key}})
		if err != nil {
			panic(err)
		}
		for _, e := range reply.Entries {
			was[e.Key] = e
		}
	}
	return was
}

// landed looks at what a daemon's transaction changed.
func (o *oracle) landed(n *node, t failover.Transact, was keys) {
	is, changed := keys{}, map[string]bool{}
	for key, e := range was {
		is[key] = o.w.store.Peek(key)
		changed[key] = is[key].ModifyIndex != e.ModifyIndex
	}
	all := slices.Sorted(maps.Keys(was))
	for _, key := range all {
		if !changed[key] {
			continue
		}
		switch what := role(key); {
		case !is[key].Exists() && what != "ballot" && what != "vote" && what != "history" && what != "after" && what != "notice":
			o.breaks("9", "%s of %s deleted %s", t.Purpose, n.name, key)
		case strings.HasPrefix(what, "control"):
			o.controlWritten(key, was[key], is[key])
		}
	}
	for _, key := range all { // first what is closed, then what that was good for
		if changed[key] && role(key) == "vote" && is[key].Exists() {
			o.voted(n, key, was, is[key])
		}
	}
	o.guarded(n, t, all, was, is, changed)
	o.resourceWritten(n, t, all, was, is, changed)
	for _, key := range all {
		if changed[key] && role(key) == "ballot" {
			o.ballotWritten(n, t, key, was, is)
		}
	}
}

// ballotWritten follows the ballots.
func (o *oracle) ballotWritten(n *node, t failover.Transact, key string, was, is keys) {
	resource := resourceOf(key)
	if was[key].Exists() && is[key].Exists() {
		o.breaks("8", "%s rewrote the ballot of %s", n.name, resource)
	}
	if !is[key].Exists() {
		o.closed(n, t, resource)
		return
	}
	b := &ballot{resource: resource, index: is[key].ModifyIndex, at: o.w.now, by: n, life: n.life, observed: n.cfg.Observers,
		indexes: map[string]uint64{}, votes: map[string]failover.Vote{}, shown: map[*node]time.Duration{}}
	if !decode(is[key], &b.Opening) || b.Opener != n.name {
		o.breaks("8", "%s opened a ballot of %s in the name of %q", n.name, resource, b.Opener)
	}
	for k, e := range was {
		if k != key {
			b.indexes[k] = e.ModifyIndex
		}
	}
	o.w.report.Ballots++
	o.ballots[b.Nonce], o.open[resource] = b, b
	armed := o.w.armed
	o.w.armed = nil
	for _, do := range armed {
		do()
	}
	o.opening(n, b)
}

// opening holds what is true of a ballot that was just opened.
func (o *oracle) opening(n *node, b *ballot) {
	s := o.w.stateOf(b.resource)
	if s.Epoch != b.Epoch || s.Attached != b.Attached {
		o.breaks("8", "%s opened a ballot on epoch %d of %s (%s), and it is epoch %d (%s)", n.name, b.Epoch, b.resource, b.Attached, s.Epoch, s.Attached)
	}
	for _, key := range []string{controlAll, controlKey(b.resource)} {
		if c := o.control[key]; c != nil && c.Pause != nil && c.Pause.For == 0 && !slices.Contains(b.Forced, "paused") {
			o.breaks("6", "%s opened a ballot of %s under the pause in %s", n.name, b.resource, key)
		}
	}
	if r := n.has(b.resource); r != nil && b.Kind != policy.Restore && b.Kind != policy.Bootstrap {
		for _, h := range r.Handles {
			if at := o.w.store.Peek(h.Key).ModifyIndex; at != o.ours[h.Key] {
				o.breaks("9", "%s opened a ballot of %s, whose %s somebody else had written", n.name, b.resource, h.Key)
			}
		}
	}
	o.crowded(n)
	if b.Confirms != "" || o.byPerson(b) {
		return
	}
	o.opensAnew(n, b)
	o.opens[b.resource] = append(o.opens[b.resource], opens{n, o.w.now})
	mine := 0
	for _, other := range o.opens[b.resource] {
		if other.by == n && o.w.now-other.at < 58*time.Second && other.at >= n.known.began {
			mine++
		}
	}
	if mine > 2 {
		o.breaks("21", "%s opened its third ballot of %s within a minute", n.name, b.resource)
	}
}

// lately counts the ballots of a resource within the last minute; one that was sent and
// never opened counts for who sent it.
func (o *oracle) lately(resource string) (n int) {
	if at, ok := o.tried[resource]; ok && o.w.now-at < time.Minute {
		n++
	}
	for _, b := range o.ballots {
		if b.resource == resource && o.w.now-b.at < time.Minute {
			n++
		}
	}
	return n
}

// byPerson reports whether a ballot is what somebody asked for.
func (o *oracle) byPerson(b *ballot) bool {
	return slices.ContainsFunc(o.w.people.asks, func(a *asking) bool {
		return a.n == b.by && a.Resource == b.resource && kindOf(a.Verb) == b.Kind && o.w.now-a.at < 30*time.Second
	})
}

func kindOf(verb string) policy.Kind {
	switch verb {
	case "switchover":
		return policy.Switchover
	case "failover":
		return policy.Failover
	case "failback":
		return policy.FailbackTo
	case "restore":
		return policy.Restore
	case "refresh":
		return policy.Refresh
	}
	return policy.Adopt
}

// closed holds that nobody closes another's ballot before its time.
func (o *oracle) closed(n *node, t failover.Transact, resource string) {
	b := o.open[resource]
	delete(o.open, resource)
	if b != nil {
		b.closed = o.w.now
		if b.vetoed != "" {
			o.vetoes[vetoKey{resource, b.by}] = b
		}
		if t.Purpose == failover.PurposeVote {
			o.closesByVote(n, b)
		}
	}
	if b == nil || b.Opener == n.name || b.vetoed != "" || t.Purpose == failover.PurposeVote {
		return
	}
	shown, ok := b.shown[n]
	if lasts := ballotTime(n.has(resource)); !ok || o.w.now-shown < lasts {
		o.breaks("8", "%s closed the ballot of %s that %s opened %v before, after it had seen it for %v", n.name, resource, b.Opener, o.w.now-b.at, o.w.now-shown)
	}
}

func ballotTime(r *policy.Resource) time.Duration {
	longest := time.Second
	if r != nil {
		for _, ep := range r.Endpoints {
			longest = max(longest, ep.Target.Timeout)
		}
	}
	return 2 * longest
}

// voted takes in a vote that reached the store.
func (o *oracle) voted(n *node, key string, was keys, e failover.Entry) {
	var v failover.Vote
	resource := resourceOf(key)
	b := o.open[resource]
	if !decode(e, &v) || v.Observer != n.name {
		o.breaks("2", "%s voted in the name of %q", n.name, v.Observer)
	}
	if b == nil || v.Nonce != b.Nonce || !was[ballotKey(resource)].Exists() {
		o.breaks("2", "%s voted on a ballot of %s that is not open", n.name, resource)
	}
	b.votes[n.name] = v
	if r := n.has(resource); r != nil && b.Kind == policy.Failover && vetoes(r, sawOf(v, b.Attached)) {
		b.vetoed = n.name
		o.vetoed(n, b)
	}
}

func sawOf(v failover.Vote, endpoint string) failover.EndpointVote {
	i := slices.IndexFunc(v.Saw, func(s failover.EndpointVote) bool { return s.Endpoint == endpoint })
	if i < 0 {
		return failover.EndpointVote{}
	}
	return v.Saw[i]
}

// vetoes reports whether what was seen of the attached endpoint is that it answered.
func vetoes(r *policy.Resource, s failover.EndpointVote) bool {
	if s.State == policy.Up {
		return true
	}
	expected := s.Class == probe.Role && len(r.Judge.Expect) > 0
	return s.State == policy.Suspect && s.Class.Answered() && !expected && !slices.Contains(r.Judge.AlsoEvidence, s.Class)
}

// controlWritten keeps what people asked for, and holds that it ends by command only.
func (o *oracle) controlWritten(key string, was, is failover.Entry) {
	var old, now failover.Control
	decode(was, &old)
	decode(is, &now)
	is.Key = key
	o.stands(is, now)
	if old.Pause != nil && now.Pause == nil && (old.Pause.For == 0 || o.w.now < o.firstStood(key, old)+old.Pause.For) {
		o.resumed(key, was.ModifyIndex)
	}
	if old.Pause != nil && now.Pause == nil && !o.said("resume", key, "") {
		o.breaks("6", "the pause in %s ended, and nobody resumed it", key)
	}
	for _, d := range old.Drained {
		kept := slices.ContainsFunc(now.Drained, func(x failover.Order) bool { return x.Endpoint == d.Endpoint })
		if !kept && !o.said("undrain", key, d.Endpoint) {
			o.breaks("10", "in %s, %s is no longer drained, and nobody asked for it", key, d.Endpoint)
		}
	}
	if now.Pause != nil && (old.Pause == nil || *now.Pause != *old.Pause) && !o.said("pause", key, "") {
		o.breaks("6", "a pause stands in %s, and nobody asked for it", key)
	}
}

// stands keeps what a control says. A pause began when it was first written, also
// if a restored snapshot brings it back.
func (o *oracle) stands(e failover.Entry, c failover.Control) {
	o.control[e.Key] = &standing{Control: c, index: e.ModifyIndex, landed: o.w.now, started: o.firstStood(e.Key, c)}
}

// said reports whether somebody gave that command a moment ago.
func (o *oracle) said(verb, key, endpoint string) bool {
	return slices.ContainsFunc(o.w.people.asks, func(a *asking) bool {
		of := controlKey(a.Resource)
		if a.All {
			of = controlAll
		}
		return a.Verb == verb && a.Endpoint == endpoint && of == key && o.w.now-a.at < 100*time.Second
	})
}

// strange notes what somebody wrote past every daemon.
func (o *oracle) strange(ops []failover.Op) {
	for _, op := range ops {
		if c := strings.HasPrefix(role(op.Key), "control"); c {
			var now failover.Control
			e := o.w.store.Peek(op.Key)
			decode(e, &now)
			o.stands(e, now)
		}
	}
}

// rewound takes in that the store holds what it held at another time.
func (o *oracle) rewound() {
	o.back, o.backAt = true, o.w.now
	clear(o.open)
	for _, r := range o.w.defs {
		s := o.w.stateOf(r.Name)
		state := o.w.store.Peek(stateKey(r.Name))
		for _, h := range r.Handles {
			o.ours[h.Key] = 0
			if e := o.w.store.Peek(h.Key); owned(s, state, e) {
				o.ours[h.Key] = e.ModifyIndex
			}
		}
		var b failover.Opening
		if e := o.w.store.Peek(ballotKey(r.Name)); decode(e, &b) && o.ballots[b.Nonce] != nil {
			o.open[r.Name] = o.ballots[b.Nonce]
		}
		for _, m := range o.order {
			if m.Resource == r.Name && !m.forgot {
				var rec failover.Record
				m.forgot = !decode(o.w.store.Peek(historyKey(r.Name, m.Epoch)), &rec) || rec.Op != m.Op
			}
		}
	}
	for _, key := range append([]string{controlAll}, controls(o.w.defs)...) {
		var c failover.Control
		e := o.w.store.Peek(key)
		decode(e, &c)
		e.Key = key // also where there is none
		o.stands(e, c)
	}
}

// firstStood is when a pause was first written: a snapshot that brings it back does
// not begin it anew.
func (o *oracle) firstStood(key string, c failover.Control) time.Duration {
	if c.Pause == nil {
		return o.w.now
	}
	name := key + " " + c.Pause.At.String()
	if _, before := o.stoodFrom[name]; !before {
		o.stoodFrom[name] = o.w.now
	}
	return o.stoodFrom[name]
}

func controls(defs []*policy.Resource) (all []string) {
	for _, r := range defs {
		all = append(all, controlKey(r.Name))
	}
	return all
}

// owned reports whether a handle is as state recorded it.
func owned(s failover.State, state, handle failover.Entry) bool {
	own, ok := s.Handles[handle.Key]
	if own == 0 {
		own = state.ModifyIndex
	}
	return ok && handle.Exists() && own == handle.ModifyIndex
}
