package failover

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/policy"
)

// noticesKept bounds how many notices of what does not last are kept for status.
const noticesKept = 200

// tell hands a notice on, once for its key while it is active.
func (e *Engine) tell(n Notice) {
	if !e.active(n.Key) {
		e.say(n)
	}
}

// active reports whether a notice with that key was told, and did not end.
func (e *Engine) active(key string) bool {
	return slices.ContainsFunc(e.notices, func(o Notice) bool { return o.Key == key })
}

// say hands a notice on, and keeps in mind what is to be ended or acknowledged.
func (e *Engine) say(n Notice) {
	n.Observer = e.cfg.Observer
	e.notices = Lasting(e.notices, n)
	defer e.hand(n)
	if n.Lasts || n.Over {
		return
	}
	e.notices = append(e.notices, n)
	passing := func(o Notice) bool { return !o.Lasts }
	if i := slices.IndexFunc(e.notices, passing); len(e.notices)-i > noticesKept { // what lasts is bounded by what there is
		e.notices = slices.Delete(e.notices, i, i+1)
	}
}

// pass hands on a notice of something that is in history and needs no end.
func (e *Engine) pass(n Notice) {
	e.hand(n)
}

// unacked returns the notices that nobody has acknowledged.
func (e *Engine) unacked() []Notice {
	return slices.DeleteFunc(slices.Clone(e.notices), func(n Notice) bool { return n.Acked })
}

// over ends an active notice, and says so.
func (e *Engine) over(now time.Time, key, text string) {
	if i := slices.IndexFunc(e.notices, func(o Notice) bool { return o.Key == key }); i >= 0 {
		e.say(e.notices[i].ending(now, text))
	}
}

// overEach ends, of one resource, every active notice for which is is true: one
// matter by one notice.
func (e *Engine) overEach(now time.Time, resource, text string, is func(Notice) bool) {
	for {
		i := slices.IndexFunc(e.notices, func(o Notice) bool { return o.Resource == resource && is(o) })
		if i < 0 {
			return
		}
		e.say(e.notices[i].ending(now, text))
	}
}

// ending returns the notice that ends o: of an outage, and of what it cost, one
// for all that was told of it.
func (n Notice) ending(now time.Time, text string) Notice {
	end := Notice{Key: n.Key, Event: n.Event, Resource: n.Resource, Outage: n.Outage, Since: n.since(), From: n.From, To: n.To,
		At: now, Text: text, Over: true}
	if n.Outage != "" {
		end.Key, end.Event = n.Outage+".recovered", "recovered"
	} else if n.Event == policy.Failover.String() {
		end.Event = "recovered"
	}
	return end
}

func (n Notice) since() time.Time {
	if n.Since.IsZero() {
		return n.At
	}
	return n.Since
}

// acknowledged ends every notice of a resource. What lasts is kept in mind, so
// that it is not told again until it has passed.
func (e *Engine) acknowledged(now time.Time, r *resource, who string) {
	e.acknowledgedIf(now, r, who, func(Notice) bool { return true })
}

func (e *Engine) acknowledgedIf(now time.Time, r *resource, who string, is func(Notice) bool) {
	for {
		i := slices.IndexFunc(e.notices, func(o Notice) bool { return o.Resource == r.def.Name && !o.Acked && is(o) })
		if i < 0 {
			return
		}
		o := e.notices[i]
		end := o.ending(now, r.def.Name+": acknowledged"+who+".")
		if end.Acked = o.Lasts; o.Outage != "" {
			end.Key = o.Outage + ".acked"
		}
		e.say(end)
	}
}

// saw fills in what was last seen of an endpoint that is not well, and when that began.
func (n *Notice) saw(r *resource, i int) {
	if i < 0 || r.endpoints[i].verdict.State <= policy.Up {
		return
	}
	ep := &r.endpoints[i]
	n.Class, n.Code = ep.verdict.Class.String(), ep.verdict.Code
	if ep.last.Failed() {
		n.Phase = ep.last.Phase.String()
	}
	if n.Since.IsZero() {
		n.Since = ep.verdict.FirstBad()
	}
	if n.Since.IsZero() { // its class is no evidence
		n.Since = ep.verdict.Since
	}
}

// clock is a time as people read it: without its day, if that is today.
func clock(now, t time.Time) string {
	if now, t = now.UTC(), t.UTC(); now.Sub(t).Abs() < 24*time.Hour && now.Day() == t.Day() {
		return t.Format("15:04:05Z")
	}
	return t.Format("2006-01-02 15:04:05Z")
}

// nextFor is the command that helps with a closed gate.
func nextFor(r *resource, gate string) string {
	switch gate {
	case "paused":
		return "reattach resume " + r.def.Name + " --reason …"
	case "rewound", "damping", "mass_failure", "step":
		return "reattach ack " + r.def.Name + " --reason …"
	case "ours":
		force := "" // restore writes a handle, which observe mode keeps to itself; adopt writes none
		if r.def.Mode == policy.Observe {
			force = " --force observe"
		}
		if r.cond == policy.Empty || r.cond == policy.Deleted {
			return "reattach restore " + r.def.Name + " --to " + r.def.Endpoints[0].Name + force + " --reason …"
		}
		return "reattach adopt " + r.def.Name + " --to ENDPOINT --reason …   or   reattach restore …" + force
	}
	return "reattach explain " + r.def.Name
}

// denied tells that the store refuses us something.
func (e *Engine) denied(now time.Time, r *resource) {
	r.nextTry = now.Add(holdRetry)
	e.tell(Notice{Key: r.def.Name + "/denied", Event: "denied", Urgent: true, Lasts: true, Resource: r.def.Name, At: now, Why: "the store denies it",
		Text: "The store denies what a switch of " + r.def.Name + " needs: its token may not write the handle, or below " + Prefix + ".",
		Next: "reattach check --live"})
}

// prefixDenied tells that the store refuses us what concerns every resource.
func (e *Engine) prefixDenied(now time.Time, prefix, text string) {
	e.tell(Notice{Key: "denied/" + prefix, Event: "denied", Urgent: true, Lasts: true, At: now, Why: "the store denies it", Text: text, Next: "reattach check --live"})
}

// misread tells that a new configuration was not taken, or that one was.
func (e *Engine) misread(now time.Time, ev Misread) {
	const key = "config_not_reloaded"
	why := ev.Why
	if why == "" {
		e.over(now, key, "The configuration that stands there is in force.")
		return
	}
	if slices.ContainsFunc(e.notices, func(o Notice) bool { return o.Key == key && o.Why == why }) {
		return
	}
	e.say(Notice{Key: key, Event: key, Lasts: true, At: now, Why: why, Next: cmp.Or(ev.Next, "reattach check /etc/reattach"),
		Text: "A new configuration was not taken, and the former one stays in force: " + strings.TrimSuffix(why, ".") + "."})
}
