package failover

import (
	"fmt"
	"slices"
	"time"

	"github.com/reattach/reattach/policy"
)

// tell hands a notice on, once for its key while it is active.
func (e *Engine) tell(n Notice) {
	if slices.ContainsFunc(e.notices, func(o Notice) bool { return o.Key == n.Key }) {
		return
	}
	e.notices = append(e.notices, n)
	if len(e.notices) > noticesKept {
		e.notices = e.notices[1:]
	}
	e.emit(Tell{n})
}

// active returns the notices that nobody has acknowledged.
func (e *Engine) active() []Notice {
	return slices.DeleteFunc(slices.Clone(e.notices), func(n Notice) bool { return n.acked })
}

// lasts reports whether a notice is of something that goes on until it is over.
func (n Notice) lasts() bool {
	return slices.Contains([]string{"held", "would_fail_over", "denied", "rewound"}, n.Event)
}

// over ends an active notice, and says so.
func (e *Engine) over(now time.Time, key, text string) {
	i := slices.IndexFunc(e.notices, func(o Notice) bool { return o.Key == key })
	if i < 0 {
		return
	}
	n := e.notices[i]
	e.notices = slices.Delete(e.notices, i, i+1)
	if n.acked {
		return // its end was told
	}
	n.Over, n.Urgent, n.Text, n.At, n.Next = true, false, text, now, ""
	e.emit(Tell{n})
}

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
	case v.State == policy.Up && r.outage != nil && r.ballot == nil:
		e.endOutage(now, r, r.def.Endpoints[r.attached].Name+" is up again.")
	}
}

func (e *Engine) startOutage(r *resource, since time.Time) {
	if r.outage == nil {
		r.outages++
		r.outage = &Outage{Key: fmt.Sprintf("%s/%d.%d", r.def.Name, r.state.Epoch, r.outages), Since: since}
		r.observed = false
	}
}

// endOutage closes an outage and tells it where its beginning was told.
func (e *Engine) endOutage(now time.Time, r *resource, how string) {
	if r.outage == nil {
		return
	}
	for _, n := range slices.Clone(e.notices) {
		if n.Outage == r.outage.Key {
			e.over(now, n.Key, fmt.Sprintf("%s: %s It lasted %v.", r.def.Name, how, now.Sub(r.outage.Since).Round(time.Second)))
		}
	}
	r.outage, r.observed = nil, false
}

// leftOutage ends an outage because another endpoint is attached now.
func (e *Engine) leftOutage(now time.Time, r *resource) {
	e.endOutage(now, r, "another endpoint is attached.")
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
	if p.Gate == "rewound" && r.outage == nil {
		return // that the store went back in time was told already
	}
	key := fmt.Sprintf("%s/%d.held.%s.%s", r.def.Name, r.state.Epoch, w.kind, p.Gate)
	outage := ""
	if r.outage != nil {
		key, outage = r.outage.Key+".held."+p.Gate, r.outage.Key
	}
	e.tell(Notice{Key: key, Event: "held", Urgent: w.kind == policy.Failover && p.Gate != "paused", Resource: r.def.Name, Outage: outage, At: now,
		Text: fmt.Sprintf("%s: %s is held by the gate %s: %s.", r.def.Name, w.kind, p.Gate, p.Why), Next: nextFor(r, p.Gate)})
}

// nextFor is the command that helps with a closed gate.
func nextFor(r *resource, gate string) string {
	switch gate {
	case "paused":
		return "reattach resume " + r.def.Name
	case "rewound", "damping", "mass_failure":
		return "reattach ack " + r.def.Name + " --reason …"
	case "ours":
		if r.cond == policy.Empty || r.cond == policy.Deleted {
			return "reattach restore " + r.def.Name + " --to " + r.def.Endpoints[0].Name + " --reason …"
		}
		return "reattach adopt " + r.def.Name + " --to ENDPOINT --reason …   or   reattach restore …"
	}
	return "reattach explain " + r.def.Name
}

// release ends a hold whose switch is not wanted any more.
func (e *Engine) release(now time.Time, r *resource) {
	if r.hold == nil {
		return
	}
	for _, n := range slices.Clone(e.notices) {
		if n.Event == "held" && n.Resource == r.def.Name && n.Outage == "" {
			e.over(now, n.Key, r.def.Name+": nothing is held any more.")
		}
	}
	r.hold, r.observed = nil, false
	if r.outage != nil && r.attached >= 0 && r.endpoints[r.attached].verdict.State == policy.Up {
		e.endOutage(now, r, r.def.Endpoints[r.attached].Name+" is up again.")
	}
}

// denied tells that the store refuses us something.
func (e *Engine) denied(now time.Time, r *resource) {
	r.nextTry = now.Add(holdRetry)
	e.tell(Notice{Key: r.def.Name + "/denied", Event: "denied", Urgent: true, Resource: r.def.Name, At: now,
		Text: "The store denies what a switch of " + r.def.Name + " needs: its token may not write the handle, or below " + Prefix + ".",
		Next: "reattach check --live"})
}

// wouldSwitch tells, once in each outage, what observe mode keeps from being done.
func (e *Engine) wouldSwitch(now time.Time, r *resource, b *ballot, d policy.Decision) {
	r.observed = true
	to := r.def.Endpoints[d.Target].Name
	n := Notice{Key: fmt.Sprintf("%s/%d.would.%s", r.def.Name, r.state.Epoch, b.wish.kind), Event: "would_fail_over", Resource: r.def.Name, At: now,
		Text: fmt.Sprintf("%s: would make the %s to %s now; the mode is observe.", r.def.Name, b.wish.kind, to), Next: "reattach explain " + r.def.Name}
	if r.outage != nil {
		n.Key, n.Outage = r.outage.Key+".would", r.outage.Key
	}
	r.hold = &Hold{Kind: b.wish.kind, Gate: "observe", Why: "the mode is observe; it would go to " + to, Since: now}
	e.tell(n)
}

// switched tells of a switch and answers who asked for it.
func (e *Engine) switched(now time.Time, r *resource, rec Record) {
	w := r.ballot.wish
	if r.want != nil && r.want != w {
		e.answer(r.want.order, Answer{Unsure: true, Text: fmt.Sprintf("The %s to %s was made meanwhile.", rec.Kind, rec.To), Hint: "look, and ask again", Record: &rec})
	}
	e.release(now, r)
	r.ballot, r.wish, r.want, r.ballots = nil, nil, nil, nil
	e.over(now, r.def.Name+"/denied", "the store lets us again")
	e.emit(Switched{rec})
	text := fmt.Sprintf("%s: %s from %s to %s: %s.", r.def.Name, rec.Kind, rec.From, rec.To, rec.Why)
	if rec.From == "" || rec.From == rec.To {
		text = fmt.Sprintf("%s: %s to %s: %s.", r.def.Name, rec.Kind, rec.To, rec.Why)
	}
	n := Notice{Key: fmt.Sprintf("%s/%d.%s", r.def.Name, rec.Epoch, rec.Kind), Event: rec.Kind.String(), Urgent: rec.Kind == policy.Failover,
		Resource: r.def.Name, Text: text, Next: "reattach explain " + r.def.Name, At: now}
	e.emit(Tell{n}) // an event, not a state: it is in history, and needs no end
	if t, i := r.def.Protocol.Traits, r.def.Endpoint(rec.From); t.LeftWork && i >= 0 && rec.From != rec.To {
		e.emit(Tell{Notice{Key: fmt.Sprintf("%s/%d.left_work", r.def.Name, rec.Epoch), Event: "left_work", Resource: r.def.Name, At: now,
			Text: fmt.Sprintf("%s: %s may hold work that nobody fetches now.", r.def.Name, rec.From),
			Next: t.LeftWorkCommand(r.def.Endpoints[i].Target.URL)}})
	}
	e.answer(w.order, Answer{Done: true, Text: text, Record: &rec, Decision: w.decided})
	e.consider(now, r)
}

func (e *Engine) answer(order uint64, a Answer) {
	if order != 0 {
		e.emit(Respond{order, a})
	}
}
