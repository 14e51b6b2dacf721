package failover

import (
	"fmt"
	"slices"
	"time"

	"github.com/reattach/reattach/policy"
)

// switched tells of a switch and answers who asked for it.
func (e *Engine) switched(now time.Time, r *resource, rec Record) {
	w := r.ballot.wish
	if r.want != nil && r.want != w {
		e.answer(r.want.order, Answer{Unsure: true, Text: fmt.Sprintf("The %s to %s was made meanwhile.", rec.Kind, rec.To), Hint: "look, and ask again", Record: &rec})
	}
	e.release(now, r)
	r.ballot, r.wish, r.want, r.ballots = nil, nil, nil, nil
	r.confirm, r.after.read = nil, false
	e.over(now, r.def.Name+"/denied", "The store lets us write what "+r.def.Name+" needs again.")
	e.emit(Switched{rec})
	text := fmt.Sprintf("%s: %s from %s to %s: %s.", r.def.Name, rec.Kind, rec.From, rec.To, rec.Why)
	if rec.From == "" || rec.From == rec.To {
		text = fmt.Sprintf("%s: %s to %s: %s.", r.def.Name, rec.Kind, rec.To, rec.Why)
	}
	n := Notice{Key: fmt.Sprintf("%s/%d.%s", r.def.Name, rec.Epoch, rec.Kind), Event: rec.Kind.String(), Urgent: rec.Kind == policy.Failover,
		Resource: r.def.Name, At: now, From: rec.From, To: rec.To, Why: rec.Why, Gates: rec.Gates, Text: text, Next: fmt.Sprintf("reattach explain %s --epoch %d", r.def.Name, rec.Epoch)}
	n.saw(r, r.def.Endpoint(rec.From))
	var o *Outage
	if rec.From != rec.To {
		o = e.outageOf(r, rec.Epoch)
	}
	e.telling.made = true
	e.tellSwitch(now, r, n, o)
	e.telling.made = false
	e.paid(r)
	e.answer(w.order, Answer{Done: true, Text: text, Record: &rec, Decision: w.decided})
	e.consider(now, r)
}

// tellSwitch tells of a switch, and of what it left behind. If it ended an
// outage, that goes on until the resource is protected again.
func (e *Engine) tellSwitch(now time.Time, r *resource, n Notice, o *Outage) {
	if o != nil {
		n.Outage, n.Since = o.Key, o.Since
		n.Lasts = true
		n.Text += fmt.Sprintf(" %s had been failing since %s.", n.From, clock(now, o.Since))
	}
	if n.From != "" && n.From != n.To {
		n.Text += r.cold(n.To)
	}
	if n.Lasts {
		e.say(n)
	} else {
		e.pass(n) // an event, not a state: it is in history, and needs no end
	}
	if r.def.Protocol.Traits.LeftWork && n.From != n.To && n.Event != "adopted" {
		e.leftWork(now, r, n)
	}
}

// paid notes that every switch that was read is told now.
func (e *Engine) paid(r *resource) {
	r.owed, r.telling = nil, ""
	if r.kept != r.known && !e.owes(r) {
		r.kept, e.unkept = r.known, true
	}
}

// own reports whether a switch is one of ours whose answer is yet to come: it is
// told then.
func (r *resource) own(op string) bool {
	return op == r.telling || r.ballot != nil && r.ballot.op == op || r.adopting != nil && r.adopting.rec.Op == op
}

// justNow is how old a switch of his own may be for an observer to tell of it who
// has seen nothing before: he was killed before his disk took a word. It is by one
// machine's clock, which stamped it, too.
const justNow = time.Minute

// tellFound tells of switches that are recorded, and were not told here: another
// observer made them, or one of ours lived on while its observer did not.
func (e *Engine) tellFound(now time.Time, r *resource, s State) {
	if r.owed != nil && !r.own(r.owed.Op) { // a reload came between
		e.found(now, r, *r.owed, r.owed.Epoch == s.Epoch)
		e.paid(r)
	}
	for _, sw := range s.Recent {
		switch {
		case sw.Epoch <= r.known.Epoch:
		case !r.met && (sw.By != e.cfg.Observer || now.Sub(sw.At) > justNow): // what was before us is none of our news
		case r.own(sw.Op):
			owed := sw
			r.owed = &owed
		default:
			e.found(now, r, sw, sw.Epoch == s.Epoch)
		}
	}
}

// found tells of one such switch, under the key that it has anyway: who was told
// of it before can know.
func (e *Engine) found(now time.Time, r *resource, sw Switch, last bool) {
	n := Notice{Key: fmt.Sprintf("%s/%d.%s", r.def.Name, sw.Epoch, sw.Kind), Event: sw.Kind.String(), Urgent: sw.Kind == policy.Failover,
		Resource: r.def.Name, At: now, Since: sw.At, From: sw.From, To: sw.To, Why: "it is recorded, and this observer did not see it being made",
		Next: "reattach history " + r.def.Name, Lasts: sw.Kind == policy.Failover && last}
	from := " from " + sw.From
	if sw.From == "" || sw.From == sw.To {
		from = ""
	}
	n.Text = fmt.Sprintf("%s: %s%s to %s at %s, found in its record.", r.def.Name, sw.Kind, from, sw.To, clock(now, sw.At))
	if sw.Kind == policy.Adopt {
		if from == "" {
			return
		}
		n.Key, n.Event = fmt.Sprintf("%s/%d.adopted", r.def.Name, sw.Epoch), "adopted"
		n.Text = fmt.Sprintf("%s: somebody else led it%s to %s; it was taken as it is at %s, as its record says.", r.def.Name, from, sw.To, clock(now, sw.At))
	}
	if e.active(n.Key) {
		return
	}
	var o *Outage
	if from != "" && sw.Kind != policy.Adopt {
		o = e.outageOf(r, sw.Epoch)
	}
	e.tellSwitch(now, r, n, o)
}

// byWhom is who had a switch made, for a sentence; empty if nobody.
func byWhom(rec Record) string {
	if rec.Person == "" {
		return ""
	}
	return fmt.Sprintf(" by %s: %s", rec.Person, rec.Reason)
}

// takeOver begins with what an earlier life told and did not end.
func (e *Engine) takeOver(now time.Time) {
	if e.several() {
		e.inherited()
	}
	e.misread(now, Misread{})
	e.endUnconfigured(now)
}

// endUnconfigured ends what was told of resources that are not configured any more.
func (e *Engine) endUnconfigured(now time.Time) {
	for {
		i := slices.IndexFunc(e.notices, func(n Notice) bool { return n.Resource != "" && e.res[n.Resource] == nil })
		if i < 0 {
			return
		}
		e.say(e.notices[i].ending(now, e.notices[i].Resource+" is not configured any more."))
	}
}

// takeOverOutage goes on with an outage that an earlier life told of, if the
// epoch is the same.
func (e *Engine) takeOverOutage(r *resource, s State) {
	if r.restored || r.outage != nil {
		return
	}
	goesOn := func(n Notice) bool { // also one that began before the store went back in time
		return n.ofEpoch(s.Epoch) || s.Epoch < r.known.Epoch && n.ofEpoch(r.known.Epoch)
	}
	for _, n := range e.notices {
		if n.Resource == r.def.Name && goesOn(n) && !n.carriesOn() {
			r.outage = &Outage{Key: n.Outage, Since: n.since()}
			return
		}
	}
}

// ofEpoch reports whether n is of an outage that began in that epoch.
func (n Notice) ofEpoch(epoch uint64) bool {
	prefix := fmt.Sprintf("%s/%d.", n.Resource, epoch)
	return len(n.Outage) > len(prefix) && n.Outage[:len(prefix)] == prefix
}

// endForgotten ends, once, what an earlier life told of outages that another
// switch ended.
func (e *Engine) endForgotten(now time.Time, r *resource, s State) {
	if r.restored {
		return
	}
	r.restored = true
	e.overEach(now, r.def.Name, r.def.Name+": that outage is over; a later switch ended it.", func(n Notice) bool {
		goesOn := n.ofEpoch(s.Epoch) || r.outage != nil && n.Outage == r.outage.Key
		return n.Outage != "" && !goesOn && !n.carriesOn()
	})
}
