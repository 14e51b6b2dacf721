package failover

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/policy"
)

// sweep reads the states and handles of the next resources in turn. Its answer
// is the pulse.
func (e *Engine) sweep(now time.Time) {
	var defs []*policy.Resource
	var names []string
	ops := 0
	for range min(sweepMost, len(e.order)) {
		r := e.res[e.order[e.cursor%len(e.order)]]
		if now.Before(r.unreadable) {
			e.cursor = (e.cursor + 1) % len(e.order)
			continue
		}
		if ops += 1 + len(r.def.Handles); ops > maxOps && len(defs) > 0 {
			break
		}
		defs, names = append(defs, r.def), append(names, r.def.Name)
		e.cursor = (e.cursor + 1) % len(e.order)
	}
	list := readSweep(defs)
	if len(defs) == 0 { // there is nothing, or nothing may be read, but the store's pulse can be felt
		list = []Op{{Verb: Get, Key: controlAll}}
	}
	e.sweepAt, e.sweeping = now, true
	e.transact(&request{purpose: PurposeSweep, sweep: names, defs: defs}, list, time.Second, time.Time{})
}

func (e *Engine) swept(now time.Time, q *request, ev Answered) {
	e.sweeping = false
	if errors.Is(ev.Err, ErrDenied) {
		e.sweepDenied(now, q)
		return
	}
	if ev.Err != nil {
		return
	}
	for i, name := range q.sweep {
		if r := e.res[name]; r != nil && r.def == q.defs[i] { // else its keys may be others now
			if !r.unreadable.IsZero() {
				r.unreadable = time.Time{}
			}
			if len(e.notices) > 0 {
				e.over(now, name+"/unreadable", "The store lets us read the keys of "+name+" again.")
			}
			e.ingest(now, r, readingOf(r.def, ev.Reply, ev.Sent))
			e.consider(now, r)
		}
	}
	unread := func(name string) bool { return e.res[name].reading == nil && now.After(e.res[name].unreadable) }
	if slices.ContainsFunc(e.order, unread) && !e.sweeping {
		e.sweep(now) // the first round does not wait
	}
}

// sweepDenied finds out which of the resources it is whose keys the store does
// not let us read: one must not blind us for the others.
func (e *Engine) sweepDenied(now time.Time, q *request) {
	if len(q.sweep) == 1 {
		if r := e.res[q.sweep[0]]; r != nil {
			r.unreadable = now.Add(holdRetry)
			e.tell(Notice{Key: r.def.Name + "/unreadable", Event: "denied", Urgent: true, Lasts: true, Resource: r.def.Name, At: now, Why: "the store denies it",
				Text: "The store denies reading the keys of " + r.def.Name + ": it is not switched.", Next: "reattach check --live"})
		}
		return
	}
	for _, name := range q.sweep {
		if r := e.res[name]; r != nil {
			one := []*policy.Resource{r.def}
			e.transact(&request{purpose: PurposeSweep, sweep: []string{name}, defs: one}, readSweep(one), time.Second, time.Time{})
		}
	}
}

// ingest takes over what was read of a resource, unless something newer is
// known: a reading that was sent before that was learnt shows the past.
func (e *Engine) ingest(now time.Time, r *resource, rd *Reading) {
	same := func(e Entry, h policy.Handle) bool { return e.Key == h.Key }
	if rd.Sent.Before(r.knownAt) && e.holds(RuleRead) || !slices.EqualFunc(rd.Handles, r.def.Handles, same) {
		return
	}
	first := r.reading == nil
	s, err := r.recorded(rd.State)
	if err != nil {
		r.reading, r.judged, r.cond, r.attached, r.detail = rd, nil, policy.Foreign, -1, "the record cannot be read: "+err.Error()
		return
	}
	e.takeOverOutage(r, s)
	if e.checkRewound(now, r, s, rd.State) {
		e.tellFound(now, r, s)
		e.learn(now, r, s, rd.State.ModifyIndex)
		e.endForgotten(now, r, s)
	}
	if !first && s.Acked != r.state.Acked {
		r.ackAt = now
	}
	acked := r.state.Ack
	r.reading, r.state, r.decoded = rd, s, &rd.State
	e.acknowledgedBy(now, r, acked, first)
	for _, sw := range s.Recent {
		e.noteSwitch(now, r, sw, first)
	}
	cond, attached, detail := r.cond, r.attached, r.detail
	if r.judged == nil || !rd.same(r.judged) { // as almost every one of a sweep is
		cond, attached, detail = conditionOf(r.def, s, rd)
	}
	if cond != r.cond || attached != r.attached {
		r.evidence++
		if attached != r.attached {
			e.leaveOutage(now, r, cond, attached)
		}
	}
	r.judged, r.cond, r.attached, r.detail = rd, cond, attached, detail
	e.direct(now, r)
}

// recorded is what a state's entry says. One that was read before, as almost every
// one of a sweep was, is not decoded again.
func (r *resource) recorded(entry Entry) (s State, err error) {
	if was := r.decoded; was != nil && entry.same(*was) {
		return r.state, nil
	}
	return s, decode(entry, &s)
}

// noteSwitch dates a switch by when it was first seen here. One from before
// our start is as old as its stamp says; a stamp in the future counts as now.
func (e *Engine) noteSwitch(now time.Time, r *resource, sw Switch, first bool) {
	if _, ok := r.switchAt[sw.Op]; ok {
		return
	}
	at := e.dated(now, sw.At, first)
	r.switchAt[sw.Op], r.sawAt[sw.Op] = at, now
	if sw.Automatic && sw.Kind != policy.Bootstrap {
		e.fleet = append(e.fleet, at)
	}
}

// checkRewound compares a state with the newest that was ever seen, and
// reports whether it may be learnt.
func (e *Engine) checkRewound(now time.Time, r *resource, s State, entry Entry) bool {
	k := r.known
	why := ""
	switch {
	case k.Epoch == 0 || !e.holds(RuleRewound):
	case !entry.Exists():
		why = fmt.Sprintf("it forgot all of %s, which was at epoch %d", r.def.Name, k.Epoch)
	case s.Epoch < k.Epoch:
		why = fmt.Sprintf("it has epoch %d, and epoch %d was seen", s.Epoch, k.Epoch)
	case s.Epoch == k.Epoch && s.Op != k.Op:
		why = fmt.Sprintf("epoch %d is another switch now", s.Epoch)
	case s.Epoch == k.Epoch && entry.ModifyIndex < k.Index:
		why = fmt.Sprintf("the record of epoch %d is older than the one that was seen", s.Epoch)
	}
	if why == "" {
		r.rewound = ""
		if !r.own(s.Op) { // else it was acknowledged, which is told in a moment
			e.over(now, r.def.Name+"/rewound", r.def.Name+": the store has again what it had forgotten.")
		}
		return true
	}
	if r.rewound == "" {
		r.rewound = why
		e.voidOne(now, r, RuleVoidRewound)
		e.tell(Notice{Key: r.def.Name + "/rewound", Event: "rewound", Urgent: true, Lasts: true, Resource: r.def.Name, At: now, Why: why,
			Text: r.def.Name + ": the store went back in time: " + why + ". Nothing is switched.", Next: "reattach ack " + r.def.Name + " --reason …"})
	}
	return false
}

// learn keeps the newest state that was ever seen. It is remembered for restarts
// once every switch up to it was told.
func (e *Engine) learn(now time.Time, r *resource, s State, index uint64) {
	seen := Seen{Epoch: s.Epoch, Op: s.Op, Index: index}
	if !r.met {
		r.met, e.unkept = true, true
	}
	if seen == r.known || s.Epoch == 0 {
		return
	}
	if s.Epoch != r.known.Epoch {
		r.after.read = false // whoever made that switch, its after step may be left to us
	}
	r.known, r.knownAt = seen, now
	if r.owed == nil && !e.owes(r) {
		r.kept, e.unkept = seen, true
	}
}

// seen is what was seen last of each resource, and may be remembered.
func (e *Engine) seen() map[string]Seen {
	all := make(map[string]Seen, len(e.res))
	for _, name := range e.order {
		if r := e.res[name]; r.met {
			all[name] = r.kept
		}
	}
	return all
}

// answered takes the end of a transaction to whoever waits for it.
func (e *Engine) answered(now time.Time, ev Answered) {
	q := e.pending[ev.ID]
	if q == nil {
		return
	}
	delete(e.pending, ev.ID)
	if ev.Err == nil || errors.Is(ev.Err, ErrDenied) { // a no is an answer, too
		at := ev.Sent
		if now.Sub(at) < blindAfter {
			at = now
		}
		if at.After(e.pulse) { // an answer that was long on its way says nothing of later ones
			e.pulse = at
		}
		e.silence = ""
		e.watchPulse(now)
	} else if !errors.Is(ev.Err, ErrLate) {
		e.silence = unanswered(ev.Err)
	}
	r := e.res[q.resource]
	switch {
	case q.then != nil:
		q.then(now, ev)
	case q.purpose == PurposeSweep:
		e.swept(now, q, ev)
	case q.purpose == PurposeControl:
		e.controlled(now, q, ev)
	case r == nil:
		e.orphaned(q, ev)
	case q.purpose == PurposeAdopt:
		e.adopted(now, r, q, ev)
	case q.purpose == PurposeStep:
		e.stepWritten(now, r, q, ev)
	case q.purpose == PurposeAfter:
		e.afterAnswered(now, r, q, ev)
	case q.purpose == PurposeState:
		e.stateWritten(now, r, q, ev)
	case q.ballot != nil:
		e.balloted(now, r, q, ev)
	case q.purpose == PurposeVote:
		e.voted(now, r, q, ev)
	case q.purpose == PurposeClose:
		e.ballotClosed(now, r, q, ev)
	case q.purpose == PurposeConfirm:
		e.adoptConfirmed(now, r, q, ev)
	}
}

// unanswered is what an error says beyond that there was no answer.
func unanswered(err error) string {
	lines := strings.Split(err.Error(), "\n") // of several tries the last one tells most
	why := strings.TrimPrefix(strings.TrimPrefix(lines[len(lines)-1], ErrUnknown.Error()), ": ")
	if why == "" {
		return ""
	}
	return " (" + why + ")"
}

// orphaned ends what was begun for a resource that a reload took away.
func (e *Engine) orphaned(q *request, ev Answered) {
	if q.purpose == PurposeOpen && ev.Err == nil && ev.Reply.OK {
		if at := ev.Reply.Entry(ballotKey(q.resource)); at.Exists() {
			e.closeBallot(q.resource, at.ModifyIndex)
		}
	}
}

// written is a reading as a successful transaction left it.
func written(rd *Reading, ops []Op, reply Reply, now time.Time) *Reading {
	after := &Reading{State: rd.State, Handles: slices.Clone(rd.Handles), Controls: rd.Controls, Sent: now}
	for _, op := range ops {
		if op.Verb != CAS {
			continue
		}
		entry := Entry{Key: op.Key, Value: op.Value, Flags: op.Flags, ModifyIndex: reply.Entry(op.Key).ModifyIndex}
		if op.Key == after.State.Key {
			after.State = entry
		}
		for i := range after.Handles {
			if after.Handles[i].Key == op.Key {
				after.Handles[i] = entry
			}
		}
	}
	return after
}

// takeRead takes over controls that are newer than the watch's. The answer to a read
// may arrive after the watch has shown what was written since: that one stays, for the
// watch would not show it again.
func (e *Engine) takeRead(rd *Reading) {
	for _, c := range rd.Controls {
		if c.ModifyIndex > e.controls[c.Key].ModifyIndex {
			e.controls[c.Key] = c
		}
	}
}
