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
	if len(e.order) == 0 {
		return
	}
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
	if len(defs) == 0 { // nothing may be read, but the store's pulse can be felt
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
			e.tell(Notice{Key: r.def.Name + "/unreadable", Event: "denied", Urgent: true, Resource: r.def.Name, At: now,
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
	if rd.Sent.Before(r.knownAt) || !slices.EqualFunc(rd.Handles, r.def.Handles, same) {
		return
	}
	first := r.reading == nil
	var s State
	if err := decode(rd.State, &s); err != nil {
		r.reading, r.cond, r.attached, r.detail = rd, policy.Foreign, -1, "the record cannot be read: "+err.Error()
		return
	}
	if e.checkRewound(now, r, s, rd.State) {
		e.learn(now, r, s, rd.State.ModifyIndex)
	}
	if !first && s.Acked != r.state.Acked {
		r.ackAt = now
	}
	r.reading, r.state = rd, s
	for _, sw := range s.Recent {
		e.noteSwitch(now, r, sw, first)
	}
	cond, attached, detail := conditionOf(r.def, s, rd)
	if cond != r.cond || attached != r.attached {
		r.evidence++
		if attached != r.attached {
			e.leftOutage(now, r)
		}
	}
	r.cond, r.attached, r.detail = cond, attached, detail
}

// noteSwitch dates a switch by when it was first seen here. One from before
// our start is as old as its stamp says; a stamp in the future counts as now.
func (e *Engine) noteSwitch(now time.Time, r *resource, sw Switch, first bool) {
	if _, ok := r.switchAt[sw.Op]; ok {
		return
	}
	at := now
	if first && sw.At.Before(now) {
		at = sw.At
	}
	r.switchAt[sw.Op] = at
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
	case k.Epoch == 0:
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
		return true
	}
	if r.rewound == "" {
		r.rewound = why
		e.voidOne(now, r)
		e.tell(Notice{Key: r.def.Name + "/rewound", Event: "rewound", Urgent: true, Resource: r.def.Name, At: now,
			Text: "The store went back in time: " + why + ". Nothing is switched.", Next: "reattach ack " + r.def.Name + " --reason …"})
	}
	return false
}

// learn keeps the newest state that was ever seen.
func (e *Engine) learn(now time.Time, r *resource, s State, index uint64) {
	seen := Seen{Epoch: s.Epoch, Op: s.Op, Index: index}
	if seen == r.known || s.Epoch == 0 {
		return
	}
	r.known, r.knownAt = seen, now
	all := make(map[string]Seen, len(e.res))
	for _, name := range e.order {
		if k := e.res[name].known; k.Epoch > 0 {
			all[name] = k
		}
	}
	e.emit(Remember{Seen: all})
}

// answered takes the end of a transaction to whoever waits for it.
func (e *Engine) answered(now time.Time, ev Answered) {
	q := e.pending[ev.ID]
	if q == nil {
		return
	}
	delete(e.pending, ev.ID)
	if ev.Err == nil || errors.Is(ev.Err, ErrDenied) { // a no is an answer, too
		e.pulse = ev.Sent
		if now.Sub(ev.Sent) < blindAfter {
			e.pulse = now
		}
		e.silence = ""
		e.watchPulse(now)
	} else if !errors.Is(ev.Err, ErrLate) {
		e.silence = unanswered(ev.Err)
	}
	r := e.res[q.resource]
	switch {
	case q.purpose == PurposeSweep:
		e.swept(now, q, ev)
	case q.purpose == PurposeControl:
		e.controlled(now, q, ev)
	case r == nil:
		e.orphaned(q, ev)
	case q.purpose == PurposeAdopt:
		e.adopted(now, r, q, ev)
	case q.purpose == PurposeState:
		e.stateWritten(now, r, q, ev)
	case q.ballot != nil:
		e.balloted(now, r, q, ev)
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

// changed takes over what a watched prefix holds.
func (e *Engine) changed(now time.Time, ev Changed) {
	switch {
	case errors.Is(ev.Err, ErrDenied):
		e.tell(Notice{Key: "denied/" + ev.Prefix, Event: "denied", Urgent: true, At: now,
			Text: "The store denies reading below " + ev.Prefix + ": people's orders and ballots cannot be seen, and nothing is switched.", Next: "reattach check --live"})
	case ev.Err != nil:
	default:
		e.over(now, "denied/"+ev.Prefix, "The store lets us read below "+ev.Prefix+" again.")
		e.prefixChanged(now, ev)
	}
}

func (e *Engine) prefixChanged(now time.Time, ev Changed) {
	switch ev.Prefix {
	case controlPrefix:
		e.controlsChanged(now, ev.Entries)
	case ballotPrefix:
		e.ballotsChanged(now, ev.Entries)
	}
}

func (e *Engine) controlsChanged(now time.Time, entries []Entry) {
	fresh := make(map[string]Entry, len(entries))
	for _, entry := range entries {
		fresh[entry.Key] = entry
		var c Control
		if decode(entry, &c) == nil {
			for _, o := range c.orders() {
				e.noteOrder(now, entry.Key, o)
			}
		}
	}
	changed := func(key string) bool { return fresh[key].ModifyIndex != e.controls[key].ModifyIndex }
	old, all := e.controlsOK, changed(controlAll)
	for _, name := range e.order {
		if r := e.res[name]; all || changed(controlKey(name)) {
			r.evidence++
			r.wake = now
		}
	}
	e.controls, e.controlsOK = fresh, true
	if !old || !fresh[controlSentinel].Exists() {
		e.keepSentinel(controlSentinel, fresh)
	}
	e.tick(now)
}

// keepSentinel sees to it that a watched prefix is never empty.
func (e *Engine) keepSentinel(key string, have map[string]Entry) {
	if !have[key].Exists() {
		e.transact(&request{purpose: PurposeControl}, sentinelOps(key), storeTimeout, time.Time{})
	}
}

// noteOrder dates a person's order by when it was first seen here.
func (e *Engine) noteOrder(now time.Time, key string, o Order) {
	id := orderID(key, o)
	if _, ok := e.orderSeen[id]; ok {
		return
	}
	at := now
	if !e.controlsOK && o.At.Before(now) { // it was there before we were
		at = o.At
	}
	e.orderSeen[id] = at
}

func orderID(key string, o Order) string {
	return key + "|" + o.Endpoint + "|" + o.At.UTC().Format(time.RFC3339Nano)
}

func (c Control) orders() []Order {
	all := slices.Clone(c.Drained)
	if c.Pause != nil {
		all = append(all, *c.Pause)
	}
	return all
}

// standing reports whether an order is in force, and describes it.
func (e *Engine) standing(now time.Time, key string, o Order) (bool, string) {
	text := fmt.Sprintf("by %s: %s", o.By, o.Reason)
	if o.For == 0 {
		return true, text
	}
	seen, ok := e.orderSeen[orderID(key, o)]
	if !ok {
		seen = now
	}
	left := seen.Add(o.For).Sub(now)
	return left > 0, fmt.Sprintf("%s (for another %v)", text, roundly(left))
}

// roundly is a duration as people say it.
func roundly(d time.Duration) time.Duration {
	if d > 10*time.Minute {
		return d.Round(time.Minute)
	}
	return d.Round(time.Second)
}

// paused says by whom and why r is paused; empty if it is not.
func (e *Engine) paused(now time.Time, r *resource) string {
	for _, key := range []string{controlAll, controlKey(r.def.Name)} {
		var c Control
		if err := decode(e.controls[key], &c); err != nil {
			return "because its control cannot be read: " + err.Error()
		}
		if c.Pause == nil {
			continue
		}
		if on, text := e.standing(now, key, *c.Pause); on {
			return text
		}
	}
	return ""
}

// drained says by whom and why an endpoint is drained; empty if it is not.
func (e *Engine) drained(now time.Time, r *resource, endpoint string) string {
	key := controlKey(r.def.Name)
	var c Control
	if decode(e.controls[key], &c) != nil {
		return ""
	}
	for _, o := range c.Drained {
		if o.Endpoint == endpoint {
			if on, text := e.standing(now, key, o); on {
				return text
			}
		}
	}
	return ""
}

// ballotsChanged notices ballots that others opened, or that an earlier life of
// ours left behind.
func (e *Engine) ballotsChanged(now time.Time, entries []Entry) {
	have := make(map[string]Entry, len(entries))
	for _, entry := range entries {
		have[entry.Key] = entry
	}
	for _, name := range e.order {
		r := e.res[name]
		entry := have[ballotKey(name)]
		var o Opening
		_ = decode(entry, &o) // one that cannot be read is closed by its age
		mine := r.ballot != nil && r.ballot.nonce == o.Nonce
		if r.ballot != nil && r.ballot.seen != 0 && !mine {
			r.ballot.gone = true // somebody closed it
		}
		switch {
		case !entry.Exists():
			r.alien = alienBallot{}
		case mine:
			r.alien, r.ballot.seen = alienBallot{}, entry.ModifyIndex
		case r.alien.index != entry.ModifyIndex:
			r.alien = alienBallot{index: entry.ModifyIndex, first: now, own: o.Opener == e.cfg.Observer}
			r.wake = now
		}
	}
	e.keepSentinel(ballotSentinel, have)
}
