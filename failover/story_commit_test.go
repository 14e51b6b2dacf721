package failover_test

import (
	"maps"
	"slices"
	"strings"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// handleLeft holds what may become of a handle.
func (o *oracle) handleLeft(rec failover.Record, r *policy.Resource, i int, was, is failover.Entry) {
	h := r.Handles[i]
	if rec.Kind == policy.Adopt {
		if was.ModifyIndex != is.ModifyIndex {
			o.breaks(1, "an adopt wrote %s", h.Key)
		}
		return
	}
	if to := r.Endpoint(rec.To); to < 0 || strings.TrimSpace(string(is.Value)) != strings.TrimSpace(h.Values[to].Reveal()) {
		o.breaks(1, "after the %s to %s, %s holds %q", rec.Kind, rec.To, h.Key, is.Value)
	}
	if was.Exists() && was.Flags != is.Flags {
		o.breaks(1, "%s lost its flags", h.Key)
	}
	switch rec.Kind {
	case policy.Restore:
	case policy.Bootstrap:
		if was.Exists() {
			o.breaks(9, "a bootstrap overwrote %s", h.Key)
		}
	default:
		if !was.Exists() {
			o.breaks(9, "%s created %s", rec.Kind, h.Key)
		} else if o.ours[h.Key] != was.ModifyIndex {
			o.breaks(9, "%s overwrote %s, which somebody else had written at %d (ours was %d)", rec.Kind, h.Key, was.ModifyIndex, o.ours[h.Key])
		}
	}
}

// taintsLeft holds that every departure taints, and clears nobody else.
func (o *oracle) taintsLeft(r *policy.Resource, rec failover.Record, old, now failover.State) {
	has := func(s failover.State, name string) bool {
		return slices.ContainsFunc(s.Taints, func(t failover.Taint) bool { return same(t, r, name) })
	}
	left := old.Attached
	if rec.From != left && rec.From != "" {
		left = rec.From
	}
	if left != "" && r.Endpoint(left) >= 0 && left != rec.To && r.Protocol.Traits.Taints && !has(now, left) {
		o.breaks(19, "the %s to %s left %s, and did not taint it", rec.Kind, rec.To, left)
	}
	for _, t := range old.Taints {
		if !same(t, r, rec.To) && !has(now, t.Endpoint) {
			o.breaks(19, "the %s to %s ended the taint of %s", rec.Kind, rec.To, t.Endpoint)
		}
	}
	if left != rec.To && left != "" && has(now, rec.To) {
		o.breaks(19, "after the %s to %s, that is tainted itself", rec.Kind, rec.To)
	}
	if rec.Kind != policy.Adopt && rec.Kind != policy.Refresh && has(old, rec.To) && !slices.Contains(rec.Forced, "taint") {
		o.breaks(10, "%s to %s, which is tainted", rec.Kind, rec.To)
	}
}

// byBallot holds what a commit rests on: its ballot, and nothing changed since.
func (o *oracle) byBallot(r *policy.Resource, rec failover.Record, was, is keys) {
	key := "reattach/ballot/" + r.Name + "/_"
	var b failover.Opening
	if !was.into(key, &b) || b.Op != rec.Op || b.Kind != rec.Kind {
		o.breaks(8, "%s of %s without its ballot: %+v", rec.Kind, r.Name, b)
		return
	}
	if is[key].Exists() {
		o.breaks(8, "%s of %s left its ballot open", rec.Kind, r.Name)
	}
	open, now := o.opened[b.Nonce], was.indexes(r)
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if now[key] != open.entries[key] {
			number := 8
			if strings.Contains(key, "/control/") {
				number = 5
			}
			o.breaks(number, "%s of %s although %s went from %d to %d since the opening", rec.Kind, r.Name, key, open.entries[key], now[key])
		}
	}
	o.byPeople(r, rec, was)
}

// byPeople holds that no standing order of a person is passed over.
func (o *oracle) byPeople(r *policy.Resource, rec failover.Record, was keys) {
	stands := func(order failover.Order) bool { return order.For == 0 || o.w.now.Before(order.At.Add(order.For)) }
	for _, key := range []string{"reattach/control/_all", "reattach/control/" + r.Name} {
		var c failover.Control
		was.into(key, &c)
		if c.Pause != nil && stands(*c.Pause) && !slices.Contains(rec.Forced, "paused") {
			o.breaks(6, "%s of %s under the pause in %s", rec.Kind, r.Name, key)
		}
		for _, d := range c.Drained {
			if d.Endpoint == rec.To && stands(d) && !slices.Contains(rec.Forced, "drained") && rec.Kind != policy.Refresh {
				o.breaks(10, "%s to %s, which is drained", rec.Kind, rec.To)
			}
		}
	}
}
