package failover

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/policy"
)

// anotherWriter is how close together two hand edits must be to be told as the
// work of another writer.
const anotherWriter = 15 * time.Minute

// adoptDue adopts what the handles are, where somebody else wrote an endpoint
// that is known into them. It is done under a pause, too: it writes no handle.
func (e *Engine) adoptDue(now time.Time, r *resource) bool {
	if (r.cond != policy.Unmanaged && r.cond != policy.Moved) || r.attached < 0 || !e.sound(now, r, RuleAdoptSound) {
		return false
	}
	e.adopt(now, r, r.attached, &wish{kind: policy.Adopt})
	return true
}

// orderAdopt has a person say what the handles are.
func (e *Engine) orderAdopt(now time.Time, r *resource, ev Ordered, w *wish) {
	if r.reading == nil || r.ballot != nil || r.adopting != nil {
		e.answer(ev.ID, Answer{Unsure: true, Text: "Something else is under way for " + r.def.Name + "; ask again in a moment."})
		return
	}
	target := w.target
	if target < 0 {
		target = r.attached
	}
	switch {
	case r.cond == policy.Empty || r.cond == policy.Deleted:
		e.answer(ev.ID, Answer{Text: "There is no handle to adopt: " + r.detail + ".", Hint: nextFor(r, "ours")})
	case target != r.attached && r.attached >= 0 && r.cond != policy.Outdated:
		e.answer(ev.ID, Answer{Text: fmt.Sprintf("The handles name %s, whatever is recorded.", r.def.Endpoints[r.attached].Name),
			Hint: "to lead them elsewhere: reattach switchover, or restore"})
	case target < 0:
		e.answer(ev.ID, Answer{Text: "The handles name no endpoint: " + r.detail + ".", Hint: "say what they are: adopt --to ENDPOINT"})
	default:
		e.adopt(now, r, target, w)
	}
}

// ackRewound ends that the store went back in time, by an adopt of whatever it
// holds now. Handles that are gone, or name no endpoint, stay what they are: a
// person can restore them then.
func (e *Engine) ackRewound(now time.Time, r *resource, w *wish) {
	switch {
	case r.ballot != nil || r.adopting != nil:
		e.answer(w.order, Answer{Unsure: true, Text: "Something else is under way for " + r.def.Name + "; ask again in a moment."})
	case r.attached >= 0 && r.cond != policy.Deleted:
		e.adopt(now, r, r.attached, w)
	default:
		e.adopt(now, r, -1, w)
	}
}

// adopt records that the handles lead to target; -1: to no endpoint, and none
// of them is ours.
func (e *Engine) adopt(now time.Time, r *resource, target int, w *wish) {
	name, own := r.state.Attached, map[string]uint64{}
	if target >= 0 {
		name, own = r.def.Endpoints[target].Name, readIndexes(r.reading)
	}
	op := e.id()
	sw := Switch{Epoch: e.nextEpoch(r), Op: op, Kind: policy.Adopt, From: r.state.Attached, To: name, At: now, By: e.cfg.Observer}
	why := "the handles named " + name + " when they were first seen"
	switch {
	case w.person != "":
		why = "a person said so"
	case r.state.Epoch > 0:
		why = "somebody else wrote " + name + " into the handles"
	}
	rec := Record{Resource: r.def.Name, Epoch: sw.Epoch, Op: op, Kind: sw.Kind, From: sw.From, To: name, Why: why,
		By: e.cfg.Observer, Person: w.person, Reason: w.reason, At: now}
	s := e.withSwitch(r, sw, "somebody else led the handles away from it at "+now.UTC().Format("2006-01-02 15:04:05Z"))
	s.Handles = own
	if !e.holds(RuleKeep) {
		s.Operation = nil
	}
	q := &request{purpose: PurposeAdopt, resource: r.def.Name, rec: &rec, reading: r.reading, order: w.order, taint: r.taint(name), rewound: r.rewound}
	r.adopting, r.adoptAt = q, time.Time{}
	e.transact(q, adoptOps(r.def, r.reading, s, rec), storeTimeout, time.Time{})
}

// adoptAgain sends an adopt again, unchanged, until it is answered.
func (e *Engine) adoptAgain(now time.Time, r *resource) {
	if r.adoptAt.IsZero() || now.Before(r.adoptAt) {
		return
	}
	q := r.adopting
	if slices.ContainsFunc(r.state.Recent, func(sw Switch) bool { return sw.Op == q.rec.Op }) {
		r.adopting = nil
		e.adoptDone(now, r, q) // it was read meanwhile
		return
	}
	if q.purpose == PurposeAdopt && !e.resends(r, q) {
		e.confirmAdopt(now, r, q)
		return
	}
	r.adoptAt = time.Time{}
	e.transact(q, q.ops, storeTimeout, time.Time{})
}

func (e *Engine) adopted(now time.Time, r *resource, q *request, ev Answered) {
	if r.adopting != q && (ev.Err != nil || !ev.Reply.OK) {
		return // the configuration was reloaded meanwhile
	}
	if errors.Is(ev.Err, ErrUnknown) {
		r.adoptAt, q.unsure = now.Add(retryAfter), true
		return
	}
	if r.adopting == q {
		r.adopting = nil
	}
	switch {
	case errors.Is(ev.Err, ErrDenied):
		e.denied(now, r)
		if q.order == 0 { // what a person asks for is not queued
			r.adopting, r.adoptAt = q, now.Add(holdRetry)
		}
		a := Answer{Text: "The store denies it.", Hint: "see the ACL policy that ships with reattach"}
		if q.unsure {
			a = Answer{Unsure: true, Text: "The store denies it now; whether it was made when it was first sent, and not answered, is not known.", Hint: "look with reattach status"}
		}
		e.answer(q.order, a)
	case ev.Err != nil || !ev.Reply.OK:
		// Handles or state changed meanwhile: the next sweep tells. But if it was
		// sent before and not answered, it may be our own adopt that changed them.
		if q.unsure {
			e.confirmAdopt(now, r, q)
			return
		}
		e.answer(q.order, Answer{Text: "The handles changed meanwhile; look again."})
	default:
		r.telling = q.rec.Op
		if q.rec.Epoch > r.known.Epoch { // else something newer was read meanwhile
			e.ingest(now, r, written(q.reading, q.ops, ev.Reply, now))
		}
		e.adoptDone(now, r, q)
	}
}

// confirmAdopt reads what became of an adopt that was sent twice.
func (e *Engine) confirmAdopt(_ time.Time, r *resource, q *request) {
	confirm := *q
	confirm.purpose = PurposeConfirm
	r.adopting, r.adoptAt = &confirm, time.Time{}
	e.transact(&confirm, readOne(r.def), storeTimeout, time.Time{})
}

// adoptConfirmed learns truly whether an adopt happened.
func (e *Engine) adoptConfirmed(now time.Time, r *resource, q *request, ev Answered) {
	if r.adopting != q {
		return // the configuration was reloaded meanwhile
	}
	if ev.Err != nil {
		r.adoptAt = now.Add(retryAfter)
		return
	}
	r.adopting = nil
	rd := readingOf(r.def, ev.Reply, ev.Sent)
	var s State
	_ = decode(rd.State, &s) // if it cannot be read, it is not ours
	if !slices.ContainsFunc(s.Recent, func(sw Switch) bool { return sw.Op == q.rec.Op }) {
		e.ingest(now, r, rd)
		e.answer(q.order, Answer{Text: "The handles changed meanwhile; look again."})
		return
	}
	r.telling = q.rec.Op
	e.ingest(now, r, rd)
	e.adoptDone(now, r, q)
}

// adoptDone tells of an adopt, and answers who asked for it.
func (e *Engine) adoptDone(now time.Time, r *resource, q *request) {
	r.rewound = ""
	e.over(now, r.def.Name+"/rewound", r.def.Name+": what the store holds now was acknowledged"+byWhom(*q.rec)+".")
	e.over(now, r.def.Name+"/denied", "The store lets us write what "+r.def.Name+" needs again.")
	e.telling.made = true
	e.tellAdopted(now, r, *q.rec, q.taint)
	e.telling.made = false
	e.paid(r)
	e.emit(Switched{*q.rec})
	a := Answer{Done: true, Text: fmt.Sprintf("%s is recorded as attached to %s.", r.def.Name, q.rec.To), Record: q.rec}
	if r.cond != policy.Ours && r.cond != policy.Outdated {
		a.Text, a.Hint = fmt.Sprintf("Recorded for %s; its handles are %s: %s.", r.def.Name, r.cond, r.detail), nextFor(r, "ours")
	}
	e.answer(q.order, a)
	e.consider(now, r)
}

// tellAdopted says that somebody else writes these handles, where that matters.
func (e *Engine) tellAdopted(now time.Time, r *resource, rec Record, taint string) {
	if rec.From == "" || rec.From == rec.To {
		return
	}
	n := Notice{Key: fmt.Sprintf("%s/%d.adopted", r.def.Name, rec.Epoch), Event: "adopted", Resource: r.def.Name, At: now,
		From: rec.From, To: rec.To, Why: rec.Why, Next: "reattach history " + r.def.Name,
		Text: fmt.Sprintf("Somebody else led %s from %s to %s; it is taken as it is.", r.def.Name, rec.From, rec.To)}
	if i := r.def.Endpoint(rec.To); i >= 0 {
		n.saw(r, i)
		switch ep := &r.endpoints[i]; {
		case ep.verdict.State == policy.Down:
			n.Urgent, n.Text = true, n.Text+" It is down: "+ep.verdict.Why()+"."
			n.Next = "reattach explain " + r.def.Name
		case e.drained(now, r, rec.To) != "":
			n.Urgent, n.Text = true, n.Text+" It is drained "+e.drained(now, r, rec.To)+"."
		case taint != "":
			n.Urgent, n.Text = true, n.Text+" It was tainted: "+taint+"."
		}
	}
	if rec.Person != "" {
		n.Text = strings.Replace(n.Text, "Somebody else led", rec.Person+" said that somebody led", 1)
		e.tell(n)
		return
	}
	e.tell(n)
	r.adopts = slices.DeleteFunc(append(r.adopts, now), func(t time.Time) bool { return now.Sub(t) > anotherWriter })
	if len(r.adopts) >= 2 {
		e.tell(Notice{Key: r.def.Name + "/another_writer", Event: "another_writer", Urgent: true, Lasts: true, Resource: r.def.Name, At: now,
			Since: r.adopts[0], From: rec.From, To: rec.To, Why: "the handles were changed, and not by a switch",
			Text: fmt.Sprintf("Another writer is at work on the handles of %s: %d changes within %v.", r.def.Name, len(r.adopts), anotherWriter),
			Next: "reattach history " + r.def.Name})
	}
}
