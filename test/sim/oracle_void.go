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

// reads takes in states as the store shows them to n, and so whether he sees that
// it went back in time.
func (o *oracle) reads(n *node, ev failover.Answered) {
	if !o.back || ev.Err != nil {
		return
	}
	sent := o.w.now - n.clock().Sub(ev.Sent)
	if sent <= max(o.backAt, n.known.learnt, n.known.frozen) {
		return // it may show the past
	}
	for _, e := range ev.Reply.Entries {
		var s failover.State
		if role(e.Key) != "state" || !decode(e, &s) {
			continue
		}
		resource := resourceOf(e.Key)
		seen := n.disk.seen[resource]
		older := s.Epoch < seen.Epoch || s.Epoch == seen.Epoch && s.Op != seen.Op
		switch was := n.known.rewound[resource]; {
		case older && !was:
			n.known.rewound[resource] = true
			n.forgetOf(resource, o.w.now)
		case !older && was:
			delete(n.known.rewound, resource)
		}
	}
}

// notRewound holds that nobody acts on a resource whose state he has seen to be
// older than one that he knew.
func (o *oracle) notRewound(n *node, what, resource string) {
	if n.known.rewound[resource] {
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
	if asked || !slices.ContainsFunc(o.w.stateOf(resource).Taints, gone) {
		return
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
