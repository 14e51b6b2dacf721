package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/policy"
)

// track keeps the outage of the attached endpoint: from its first down verdict,
// or hold, until it is up again.
func (e *Engine) track(now time.Time, r *resource) {
	if r.attached < 0 {
		return
	}
	v := r.endpoints[r.attached].verdict
	switch {
	case v.State == policy.Down:
		e.startOutage(r, v.FirstBad())
	case v.State == policy.Up && r.outage != nil && r.ballot == nil && r.state.Operation == nil && !e.fenced(r):
		e.endOutage(now, r, r.def.Endpoints[r.attached].Name+" is up again.")
	}
}

// startOutage begins an outage. Its key tells when it began, so that no other
// one of that epoch ever has the same, across restarts too.
func (e *Engine) startOutage(r *resource, since time.Time) {
	if r.outage != nil {
		return
	}
	r.outages++
	key := fmt.Sprintf("%s/%d.%s", r.def.Name, r.state.Epoch, since.UTC().Format("20060102T150405Z"))
	if key == r.ended {
		key = fmt.Sprintf("%s.%d", key, r.outages)
	}
	r.outage, r.observed = &Outage{Key: key, Since: since}, false
}

// endOutage closes an outage and tells it where its beginning was told.
func (e *Engine) endOutage(now time.Time, r *resource, how string) {
	if r.outage == nil {
		return
	}
	o := *r.outage
	r.outage, r.observed, r.ended = nil, false, o.Key
	text := fmt.Sprintf("%s: %s It lasted %v.", r.def.Name, how, now.Sub(o.Since).Round(time.Second))
	e.overEach(now, r.def.Name, text, func(n Notice) bool { return n.Outage == o.Key })
}

// leaveOutage ends an outage because another endpoint is attached now. If a
// switch of our own led there, its notice carries the matter on. (What is
// attached when it is read first is none that was left, and a switch that wrote
// the same endpoint anew left none: then it was somebody else's hand.)
func (e *Engine) leaveOutage(now time.Time, r *resource, cond policy.Condition, attached int) {
	switch {
	case r.outage == nil || r.attached < 0:
	case r.owed == nil || r.ballot == nil || r.owed.From == r.owed.To: // an adopt follows somebody else's hand
		how := "another endpoint is attached."
		if attached < 0 {
			how = "its handles are " + cond.String() + " now."
		}
		e.endOutage(now, r, how)
	default:
		r.left, r.outage, r.observed, r.ended = r.outage, nil, false, r.outage.Key
	}
}

// outageOf returns the outage that a switch to that epoch ended, and leaves it
// to its notice; nil if there was none.
func (e *Engine) outageOf(r *resource, epoch uint64) *Outage {
	if o := r.left; o != nil {
		r.left = nil
		return o
	}
	before := fmt.Sprintf("%s/%d.", r.def.Name, epoch-1)
	if o := r.outage; o != nil {
		r.outage, r.observed, r.ended = nil, false, o.Key
		return o
	}
	i := slices.IndexFunc(e.notices, func(n Notice) bool { // told by an earlier life
		return n.Resource == r.def.Name && strings.HasPrefix(n.Outage, before) && !n.carriesOn()
	})
	if i < 0 {
		return nil
	}
	return &Outage{Key: e.notices[i].Outage, Since: e.notices[i].since()}
}

// keep holds a wanted switch back, and tells the gate once in each outage.
func (e *Engine) keep(now time.Time, r *resource, w *wish, p policy.Passage) {
	if r.hold == nil || r.hold.Gate != p.Gate || r.hold.Kind != w.kind {
		r.hold = &Hold{Kind: w.kind, Gate: p.Gate, Why: p.Why, Since: now}
	}
	r.hold.Why = p.Why
	if p.Gate == "blind" && e.started.Add(blindAfter).After(now) {
		return // the store has a moment to answer for the first time
	}
	if w.kind == policy.Failover && r.attached >= 0 && r.endpoints[r.attached].verdict.State > policy.Up {
		e.startOutage(r, w.began)
	}
	if w.kind == policy.Bootstrap && r.endpoints[0].verdict.State == policy.Unknown {
		return // the first conversations have not ended yet
	}
	if p.Gate == "rewound" && r.outage == nil {
		return // that the store went back in time was told already
	}
	n := Notice{Key: fmt.Sprintf("%s/%d.held.%s.%s", r.def.Name, r.state.Epoch, w.kind, p.Gate), Since: r.hold.Since}
	if r.outage != nil {
		n.Key, n.Outage, n.Since = r.outage.Key+".held."+p.Gate, r.outage.Key, r.outage.Since
	}
	if !e.active(n.Key) {
		e.say(e.heldNotice(now, r, n, w, p))
	}
}

func (e *Engine) heldNotice(now time.Time, r *resource, n Notice, w *wish, p policy.Passage) Notice {
	n.Event, n.Resource, n.At, n.Lasts = "held", r.def.Name, now, true
	n.Urgent = w.kind == policy.Failover && p.Gate != "paused" && (r.outage != nil || r.state.Epoch > 0)
	n.From, n.Gate, n.Why, n.Next = r.from(), p.Gate, p.Why, nextFor(r, p.Gate)
	if d := r.decision; d != nil {
		n.To, n.Gates = d.To, d.Gates
	}
	n.saw(r, r.attached)
	n.Text = fmt.Sprintf("%s: %s is held by the gate %s: %s.%s", r.def.Name, w.kind, p.Gate, p.Why, r.sinceWhen(now))
	if w.kind == policy.Failover && r.outage == nil {
		n.Text = fmt.Sprintf("%s: nothing has failed, but nothing can be switched either: %s.", r.def.Name, p.Why)
	}
	return n
}

// sinceWhen says since when the attached endpoint fails, and how, as a sentence;
// empty if it is not in an outage.
func (r *resource) sinceWhen(now time.Time) string {
	if r.outage == nil || r.attached < 0 || r.endpoints[r.attached].verdict.State <= policy.Up {
		return ""
	}
	return fmt.Sprintf(" %s has been failing since %s (%s).", r.def.Endpoints[r.attached].Name, clock(now, r.outage.Since), r.endpoints[r.attached].verdict.Why())
}

// release ends a hold whose switch is not wanted any more.
func (e *Engine) release(now time.Time, r *resource) {
	if r.hold == nil {
		return
	}
	r.hold, r.observed = nil, false
	e.unheld(now, r, func(Notice) bool { return true })
	if r.outage != nil && r.attached >= 0 && r.endpoints[r.attached].verdict.State == policy.Up {
		e.endOutage(now, r, r.def.Endpoints[r.attached].Name+" is up again.")
	}
}

// unheld ends what was told of holds outside of an outage, where too is true of it.
func (e *Engine) unheld(now time.Time, r *resource, too func(Notice) bool) {
	e.overEach(now, r.def.Name, r.def.Name+": nothing is held any more.", func(n Notice) bool {
		return n.Outage == "" && (n.Event == "held" || n.Event == "would_fail_over") && too(n)
	})
}

// wouldSwitch tells, once in each outage, what observe mode keeps from being done.
func (e *Engine) wouldSwitch(now time.Time, r *resource, b *ballot, d policy.Decision) {
	r.observed = true
	to := r.def.Endpoints[d.Target].Name
	n := Notice{Key: fmt.Sprintf("%s/%d.would.%s", r.def.Name, r.state.Epoch, b.wish.kind), Event: "would_fail_over", Resource: r.def.Name, At: now, Lasts: true,
		Since: b.wish.began, From: r.from(), To: to, Gates: d.Gates, Next: "reattach explain " + r.def.Name}
	if r.outage != nil {
		n.Key, n.Outage, n.Since = r.outage.Key+".would", r.outage.Key, r.outage.Since
	}
	n.Why = whyOf(r, b.wish, n.From, to)
	n.saw(r, r.attached)
	n.Text = fmt.Sprintf("%s: would make the %s to %s now; the mode is observe.%s", r.def.Name, b.wish.kind, to, r.sinceWhen(now))
	r.hold = r.watches(b.wish.kind, to, now)
	e.telling.made = true
	e.tell(n)
	e.telling.made = false
}

// observes reports whether the mode keeps a switch from being made: any that a
// person has not forced past it by name.
func (e *Engine) observes(r *resource, w *wish) bool {
	return e.holds(RuleObserve) && r.def.Mode == policy.Observe && (w.automatic() || !slices.Contains(w.forced, "observe"))
}

// watches is what observe mode keeps from being done.
func (r *resource) watches(kind policy.Kind, to string, now time.Time) *Hold {
	return &Hold{Kind: kind, Gate: "observe", Why: "the mode is observe; it would go to " + to, Since: now}
}
