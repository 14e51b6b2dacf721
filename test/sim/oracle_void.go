package sim

import (
	"slices"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/probe"
)

// What was seen under a pause, around a fault of one's own, or before the store
// went back in time, is void when that is over. The oracle forgets it, too: what
// rests on it then rests on nothing.

// forgetOf forgets what spoke against the endpoints of one resource, and ended
// before that moment.
func (n *node) forgetOf(resource string, before time.Duration) {
	r, until := n.has(resource), n.clock().Add(before-n.w.now)
	if r == nil {
		return
	}
	for _, ep := range r.Endpoints {
		if p := n.known.seen[resource+"/"+ep.Name]; p != nil {
			p.all = slices.DeleteFunc(p.all, func(res probe.Result) bool { return res.Class != probe.OK && res.Ended.Before(until) })
		}
	}
	n.known.voided = max(n.known.voided, before)
}

// voids forgets what has become void for n, before it is judged what he rests on.
func (o *oracle) voids(n *node, resource string) {
	if at := n.known.local[resource]; at > 0 && o.w.now >= at {
		n.forgetOf(resource, at)
	}
	for _, key := range []string{controlAll, controlKey(resource)} {
		c := o.control[key]
		if c == nil || c.Pause == nil || c.Pause.For == 0 || n.known.shown[key] != c.index {
			continue
		}
		if over := c.started + c.Pause.For; over <= o.w.now && n.known.began < c.started && n.known.shownAt[key] < over-underPause && !o.pausedToo(resource, key) {
			n.forgetOf(resource, over)
		}
	}
}

// underPause is how long a daemon must have known of a pause to have looked at
// everything under it.
const underPause = 1500 * time.Millisecond

// pausedToo reports whether a pause stands in the other control.
func (o *oracle) pausedToo(resource, but string) bool {
	return slices.ContainsFunc([]string{controlAll, controlKey(resource)}, func(key string) bool {
		c := o.control[key]
		return key != but && c != nil && c.Pause != nil
	})
}

// resumed notes that a pause was ended by command, for each who was shown it.
func (o *oracle) resumed(key string, index uint64) {
	for _, n := range o.w.nodes {
		if !n.alive || n.known.shown[key] != index || n.known.shownAt[key] > o.w.now-underPause {
			continue
		}
		for _, r := range n.cfg.Resources {
			if (key == controlAll || key == controlKey(r.Name)) && !o.pausedToo(r.Name, key) {
				n.forgetOf(r.Name, o.w.now)
			}
		}
	}
}

// stateSeen is what a daemon was shown of a resource's state, in this life.
type stateSeen struct {
	index   uint64        // of what it was shown last
	newest  failover.Seen // the newest that it was shown
	learnt  time.Duration // when that was
	olderAt time.Duration // when it was first shown an older one, and it was not over since
	rewound bool          // it cannot but know that the store has forgotten something
}

// answers takes in states as the store shows them to n, and so whether he sees that
// it went back in time.
func (o *oracle) answers(n *node, ev failover.Answered) {
	if ev.Err != nil {
		return
	}
	for _, e := range ev.Reply.Entries {
		if len(e.Value) == 0 || role(e.Key) != "state" {
			continue
		}
		resource := resourceOf(e.Key)
		k := n.known.states[resource]
		if k == nil {
			k = &stateSeen{newest: n.disk.seen[resource]}
			n.known.states[resource] = k
		}
		var s failover.State
		if e.ModifyIndex == k.index && !o.back || !decode(e, &s) {
			continue
		}
		k.index = e.ModifyIndex
		o.shows(n, resource, k, s, o.w.now-n.clock().Sub(ev.Sent))
	}
}

// shows takes in one state, by a reply to what was sent then.
func (o *oracle) shows(n *node, resource string, k *stateSeen, s failover.State, sent time.Duration) {
	if older := s.Epoch < k.newest.Epoch || s.Epoch == k.newest.Epoch && s.Op != k.newest.Op; !older {
		if s.Epoch > k.newest.Epoch {
			k.newest, k.learnt = failover.Seen{Epoch: s.Epoch, Op: s.Op}, o.w.now
		}
		k.olderAt, k.rewound = 0, false
		return
	}
	if k.olderAt == 0 {
		k.olderAt = o.w.now
	}
	if !k.rewound && o.back && sent > max(o.backAt, k.learnt, n.known.frozen) { // else it may show the past
		k.rewound = true
		n.forgetOf(resource, k.olderAt)
	}
}

// leads takes in that n himself has led a resource to another epoch.
func (o *oracle) leads(n *node, resource string, now failover.State) {
	if k := n.known.states[resource]; k != nil {
		k.newest, k.learnt, k.olderAt, k.rewound = failover.Seen{Epoch: now.Epoch, Op: now.Op}, o.w.now, 0, false
	}
}

// notRewound holds that nobody acts on a resource whose state he has seen to be
// older than one that he knew.
func (o *oracle) notRewound(n *node, what, resource string) {
	if k := n.known.states[resource]; k != nil && k.rewound {
		o.breaks("1", "%s sends a %s of %s, and was shown that the store has forgotten what it knew", n.name, what, resource)
	}
}

// clears holds that what is seen ends a taint only for who may judge: he is neither
// paused nor blind, and the store has forgotten nothing that he knew.
func (o *oracle) clears(n *node, t failover.Transact) {
	var s failover.State
	decode(written(t.Ops[0]), &s)
	resource := resourceOf(t.Ops[0].Key)
	asked := slices.ContainsFunc(o.w.people.asks, func(a *asking) bool {
		return a.n == n && a.Verb == "clear" && a.Resource == resource && o.w.now-a.at < 5*time.Second
	})
	gone := func(t failover.Taint) bool {
		return !slices.ContainsFunc(s.Taints, func(now failover.Taint) bool { return now.Endpoint == t.Endpoint })
	}
	if asked || t.Ops[0].Index != o.w.store.Peek(stateKey(resource)).ModifyIndex || !slices.ContainsFunc(o.w.stateOf(resource).Taints, gone) {
		return // where there is something newer, he does not know those taints, and the store refuses it
	}
	if silent := o.w.now - n.known.heard; silent > 2200*time.Millisecond {
		o.breaks("6", "%s ends a taint of %s by itself although the store has been silent for %v", n.name, resource, silent)
	}
	if o.w.now < n.known.local[resource] {
		o.breaks("6", "%s ends a taint of %s by itself right after a fault of its own", n.name, resource)
	}
	o.notRewound(n, "clear", resource)
	o.notPaused(n, t.Purpose, resource, nil)
}
