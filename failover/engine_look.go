package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// What lasts, but calls for no switch, is looked for at a slow pace: some
// resources in turn, beside the path of observations.
const (
	lookEvery    = time.Second
	lookMost     = 60 // resources a look
	protectedFor = 5 * time.Second
	exposedFor   = time.Minute
	longFor      = 24 * time.Hour // what people know of: a pause, a hold
	remindEvery  = 24 * time.Hour
	suspectEvery = 5 * time.Minute
	faultFor     = 5 * time.Second
	storeWait    = 10 * time.Second // for the store's first answer
)

func (e *Engine) look(now time.Time) {
	if e.lookedAt = now; e.cfg.Errand {
		return
	}
	if e.pulse.IsZero() && now.Sub(e.started) >= storeWait {
		e.storeLost(now, e.started)
	}
	e.lookFaults(now)
	e.lookPeers(now)
	mass := e.mass() // once, not for each resource
	e.counted = &mass
	for range min(lookMost, len(e.order)) {
		r := e.res[e.order[e.looked%len(e.order)]]
		e.looked++
		if r.reading == nil || !e.controlsOK {
			continue
		}
		e.lookProtection(now, r)
		e.lookHeld(now, r)
		e.lookWriter(now, r)
		e.lookWritable(now, r)
		e.lookCaughtUp(now, r)
		e.lookRestarted(now, r)
		e.lookCertificates(now, r)
	}
	e.counted = nil
}

// suspect tells that the attached endpoint is being examined.
func (e *Engine) suspect(now time.Time, r *resource) {
	if r.outage != nil || !r.suspected.IsZero() && now.Sub(r.suspected) < suspectEvery {
		return
	}
	r.suspected = now
	from := r.def.Endpoints[r.attached].Name
	n := Notice{Key: fmt.Sprintf("%s/%d.suspect.%s", r.def.Name, r.state.Epoch, now.UTC().Format("20060102T150405Z")), Event: "suspect",
		Resource: r.def.Name, At: now, From: from, Next: "reattach explain " + r.def.Name}
	n.saw(r, r.attached)
	v := r.endpoints[r.attached].verdict
	n.Why = v.Why()
	n.Text = fmt.Sprintf("%s: a probe of %s failed (%s in the phase %s); it is being examined.", r.def.Name, from, n.Why, n.Phase)
	if v.Class == probe.Role {
		n.Text = fmt.Sprintf("%s: %s is %s; it is being examined.", r.def.Name, from, v.Describe())
	}
	e.pass(n)
}

// lookFaults tells of a fault of this host's own that goes on.
func (e *Engine) lookFaults(now time.Time) {
	const event = "blind"
	var first *endpoint
	name, count, fine := "", 0, false
	for _, resource := range e.order {
		r := e.res[resource]
		for i := range r.endpoints {
			ep := &r.endpoints[i]
			fine = fine || ep.last.Class != probe.None
			if ep.localAt.IsZero() {
				continue
			}
			if count++; first == nil || ep.localAt.Before(first.localAt) {
				first, name = ep, resource+"/"+r.def.Endpoints[i].Name
			}
		}
	}
	key := event + "/" + e.cfg.Observer
	switch {
	case first == nil && fine && now.Sub(e.started) >= faultFor:
		e.over(now, key, "This host's own fault has passed; what was seen meanwhile is void, and fresh evidence decides.")
	case first != nil && now.Sub(first.localAt) >= faultFor && !e.active(key):
		n := Notice{Key: key, Event: event, Lasts: true, At: now, Since: first.localAt, Class: first.last.Class.String(), Phase: first.last.Phase.String(),
			Code: first.last.Code, Why: first.last.Err, Next: "reattach doctor"}
		if n.Why == "" {
			n.Why = "a fault of this host's own"
		}
		n.Text = fmt.Sprintf("A fault of this host's own has kept it from probing since %s: %s (first %s, now %d endpoints). It says nothing about the services, and nothing is switched because of it.",
			clock(now, n.Since), strings.TrimSuffix(n.Why, "."), name, count)
		e.say(n)
	}
}

// lookProtection tells that a resource has not been protected for a while, and
// that it is again.
func (e *Engine) lookProtection(now time.Time, r *resource) {
	if e.blind(now, r) != "" || now.Before(r.unreadable) { // nobody can tell, and that is told
		r.goodSince, r.badSince = time.Time{}, time.Time{}
		return
	}
	shut, d := e.exposed(now, r)
	if shut.Why == "" && r.endpoints[r.attached].verdict.State != policy.Up {
		r.goodSince, r.badSince = time.Time{}, time.Time{} // what is attached is in doubt: nothing is made good yet
		return
	}
	if shut.Why == "" {
		r.badSince = time.Time{}
		if r.goodSince.IsZero() {
			r.goodSince = now
		}
		if now.Sub(r.goodSince) >= protectedFor {
			e.protectedAgain(now, r, r.def.Endpoints[d.Target].Name)
		}
		return
	}
	r.goodSince = time.Time{}
	long, quiet := e.knownCause(r, shut)
	if quiet {
		r.badSince = time.Time{}
		return
	}
	if r.badSince.IsZero() {
		r.badSince = now
	}
	if now.Sub(r.badSince) >= long {
		e.notProtected(now, r, shut, d)
	}
}

// knownCause says for how long a resource may go unprotected before that is
// told by itself, and whether it is quiet about it: in an outage, and while a
// failover says so that nobody has acknowledged.
func (e *Engine) knownCause(r *resource, shut policy.Passage) (long time.Duration, quiet bool) {
	long, quiet = exposedFor, r.outage != nil || r.ballot != nil || shut.Gate == "quorum" && e.active(quorumLost)
	if shut.Gate == "paused" {
		long = longFor
	}
	for i := range e.notices {
		switch n := &e.notices[i]; {
		case n.Resource != r.def.Name || !n.Lasts || n.Acked:
		case n.carriesOn() || n.Event == policy.Failover.String():
			quiet = true
		case n.Event == "held", n.Event == "denied", n.Event == "rewound":
			long = longFor
		}
	}
	return long, quiet
}

// notProtected tells it, and again each day while it lasts, with the reason then.
func (e *Engine) notProtected(now time.Time, r *resource, shut policy.Passage, d policy.Decision) {
	key, since := r.def.Name+"/not_protected", r.badSince
	if i := slices.IndexFunc(e.notices, func(o Notice) bool { return o.Key == key }); i >= 0 {
		if (e.notices[i].From == "" || e.notices[i].From == r.from()) && (e.notices[i].Acked || now.Sub(e.notices[i].At) < remindEvery) {
			return
		}
		since = e.notices[i].since()
	}
	what := "what is attached"
	if r.attached >= 0 {
		what = r.def.Endpoints[r.attached].Name
	}
	e.say(Notice{Key: key, Event: "not_protected", Lasts: true, Resource: r.def.Name, At: now, Since: since, From: r.from(), Why: shut.Why,
		Gate: shut.Gate, Gates: d.Gates, Next: nextFor(r, shut.Gate),
		Text: fmt.Sprintf("%s has not been protected since %s: if %s died now, nothing would be switched: %s.", r.def.Name, clock(now, since), what, shut.Why)})
}

// protectedAgain ends what goes on until a resource is protected.
func (e *Engine) protectedAgain(now time.Time, r *resource, to string) {
	text := fmt.Sprintf("%s is protected again: if %s died now, it would go to %s.", r.def.Name, r.from(), to)
	e.overEach(now, r.def.Name, text, func(n Notice) bool {
		return n.Lasts && (n.carriesOn() || n.Event == policy.Failover.String() || n.Event == "not_protected")
	})
}

// lookHeld ends what was told of holds, perhaps by an earlier life, that are no more.
func (e *Engine) lookHeld(now time.Time, r *resource) {
	if len(e.notices) == 0 || r.hold != nil || r.wish != nil || r.want != nil || r.ballot != nil || e.blind(now, r) != "" {
		return
	}
	// Whether to go home is known only after the first endpoint was seen for long enough.
	early := r.def.Failback == policy.FailbackAuto && now.Sub(e.started) < r.def.FailbackAfter+time.Minute
	if r.attached < 0 || r.endpoints[r.attached].verdict.State == policy.Up {
		e.unheld(now, r, func(n Notice) bool { return !early || !strings.Contains(n.Key, "."+policy.FailbackTo.String()) })
	}
}

// lookWriter ends that another writer is at work, once he has been quiet.
func (e *Engine) lookWriter(now time.Time, r *resource) {
	e.overEach(now, r.def.Name, fmt.Sprintf("%s: nobody else has changed the handles for %v.", r.def.Name, anotherWriter), func(n Notice) bool {
		last := n.At
		if k := len(r.adopts); k > 0 && r.adopts[k-1].After(last) {
			last = r.adopts[k-1]
		}
		return n.Event == "another_writer" && now.Sub(last) > anotherWriter
	})
}
