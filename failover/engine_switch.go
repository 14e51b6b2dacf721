package failover

import (
	"slices"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// wish is a switch that is wanted.
type wish struct {
	kind   policy.Kind
	target int       // -1: the first candidate
	since  time.Time // evidence for the target must be newer
	began  time.Time // when the trouble began, for the record
	// of a person's
	order    uint64
	person   string
	reason   string
	forced   []string
	deadline time.Time
	denied   bool // by the store
	decided  *policy.Decision
	claimed  string     // the operation that was begun for it
	carries  *Operation // the operation whose steps are done
	tries    int        // ballots for it
}

func (w *wish) automatic() bool {
	if w.carries != nil {
		return w.carries.Automatic
	}
	return w.order == 0
}

// consider looks at a resource after anything changed, and does what is due.
func (e *Engine) consider(now time.Time, r *resource) {
	r.wake = now.Add(time.Second)
	if r.reading == nil || !e.controlsOK {
		return
	}
	e.age(now, r)
	e.track(now, r)
	switch {
	case r.ballot != nil && r.ballot.waiting:
		e.await(now, r)
	case r.ballot != nil:
		e.repeat(now, r)
	case r.adopting != nil:
		e.adoptAgain(now, r)
	case r.claim != nil:
		e.stepAgain(now, r)
	default:
		e.closeAlien(now, r)
		if !e.operate(now, r) {
			e.pursue(now, r)
		}
	}
	e.runAfters(now, r)
	e.vote(now, r)
	e.sweepVotes(now, r)
	e.examine(r)
}

// age lets verdicts go stale. What was seen under a pause, or around a fault of
// our own, is void when it ends: a switch right then would rest on nothing that
// anybody looked at.
func (e *Engine) age(now time.Time, r *resource) {
	paused := e.paused(now, r) != ""
	if r.paused && !paused {
		e.voidOne(now, r, RuleVoidPause)
	}
	r.paused = paused
	if !r.local.IsZero() && !now.Before(r.local) { // our own fault is over: fresh evidence decides
		r.local = time.Time{}
		e.voidOne(now, r, RuleVoidFault)
	}
	for i := range r.endpoints {
		ep := &r.endpoints[i]
		if v := e.verdictAt(now, r, i); v.State != ep.verdict.State {
			ep.verdict = v
			r.evidence++
		}
	}
	switch {
	case r.endpoints[0].verdict.State != policy.Up:
		r.sinceGood = time.Time{}
	case r.sinceGood.IsZero():
		r.sinceGood = now
	}
}

// examine has suspects looked at closely, and the standbys with them. An
// endpoint that is in trouble, and answers, is never hammered.
func (e *Engine) examine(r *resource) {
	trouble := r.want != nil || r.ballot != nil || r.confirm != nil || r.state.Operation != nil // whose target has to be seen between its steps
	if r.attached >= 0 {
		v := r.endpoints[r.attached].verdict
		trouble = trouble || (v.State == policy.Suspect && closely(v, r)) || (v.State == policy.Down && r.hold == nil)
	}
	trouble = trouble || (r.wish != nil && r.hold == nil)
	for i := range r.endpoints {
		ep := &r.endpoints[i]
		suspect := ep.verdict.State == policy.Suspect && closely(ep.verdict, r)
		on := suspect || (trouble && ep.verdict.State != policy.Down) || r.voting != nil && !r.voting.cast
		if on != ep.examining {
			ep.examining = on
			e.emit(Examine{r.def.Name, r.def.Endpoints[i].Name, on})
		}
	}
}

// closely reports whether a suspect is to be looked at closely.
func closely(v policy.Verdict, r *resource) bool {
	return (v.Class.Evidence() || v.Class == probe.Role) && policy.CountsAsBad(v, r.def.Judge)
}

// pursue finds out what is wanted, asks the gates, and begins it or says why not.
func (e *Engine) pursue(now time.Time, r *resource) {
	if w := r.want; w != nil {
		e.pursueOrder(now, r, w)
		return
	}
	if e.cfg.Errand {
		return
	}
	if e.adoptDue(now, r) {
		return
	}
	w := e.wanted(now, r)
	r.wish = w
	if w == nil {
		r.refusal = nil
		e.release(now, r)
		return
	}
	s := e.situation(now, r, w)
	d := policy.Decide(e.gates, s)
	r.decision = &d
	switch shut := e.shut(s, d); {
	case shut.Gate == "candidate" && w.waitsForFresh(d) && now.Sub(w.began) < ballotTime(r):
		// the standbys are being asked; their answers come first
	case shut.Gate != "":
		e.keep(now, r, w, shut)
	case now.Before(r.stepRetry) && e.dueStep(r, w) != "":
		e.keep(now, r, w, policy.Passage{Gate: r.stepGate, Why: r.stepWhy + "; it is tried again in a moment"})
		r.wake = minTime(r.stepRetry, now.Add(time.Second))
	case r.observed && r.def.Mode == policy.Observe:
		if r.hold == nil || r.hold.Gate != "observe" {
			r.hold = r.watches(w.kind, d.To, now)
		}
	case !e.mayOpen(now, r) && r.refusal != nil:
		r.decision = r.refusal
		e.keep(now, r, w, r.refusal.Closed())
	case !e.mayOpen(now, r) && d.Closed().Gate != "" && r.refusedElsewhere(now, w.began):
		e.keep(now, r, w, d.Closed())
	case !e.mayOpen(now, r) && r.voting != nil:
		r.hold = &Hold{Kind: w.kind, Gate: "ballot", Why: "the ballot of " + r.voting.opening.Opener + " is being voted on", Since: now}
	case !e.mayOpen(now, r):
		r.hold = &Hold{Kind: w.kind, Gate: "ballot", Why: "a ballot was tried a moment ago; the next one follows", Since: now}
	case e.crowded():
		r.hold = &Hold{Kind: w.kind, Gate: "ballot", Why: "others are being voted on; this one follows", Since: now}
		r.wake = now.Add(tickEvery)
	default:
		e.begin(now, r, w)
	}
}

// shut returns the gate that keeps a switch from being tried. Where this
// observer's own vote is not the whole ballot, the votes are yet to come.
func (e *Engine) shut(s *policy.Situation, d policy.Decision) policy.Passage {
	if s.Tally.Majority() == 1 {
		return d.Closed()
	}
	p := d.ClosedAt(e.gates, policy.Local)
	if p.Gate == "candidate" && slices.ContainsFunc(d.Candidates, func(c policy.Candidacy) bool { return c.Reason == "votes" }) {
		return policy.Passage{}
	}
	return p
}

// waitsForFresh reports whether a candidate was turned down only because it
// has not answered since the suspicion.
func (w *wish) waitsForFresh(d policy.Decision) bool {
	return slices.ContainsFunc(d.Candidates, func(c policy.Candidacy) bool { return c.Reason == "unknown" })
}

// mayOpen spaces ballots: at most two a minute, and none sooner than holdRetry
// after the last unless something has changed.
func (e *Engine) mayOpen(now time.Time, r *resource) bool {
	r.ballots = slices.DeleteFunc(r.ballots, func(t time.Time) bool { return now.Sub(t) >= time.Minute })
	if len(r.ballots) >= 2 && e.holds(RuleTwice) || r.alien.index != 0 {
		return false
	}
	return r.evidence != r.tried || !now.Before(r.nextTry) || !e.holds(RuleSpacing)
}

// ballotsAtOnce is how many ballots an observer has open at a time. Hundreds of
// them would wait in one queue for the store until none was committed in time.
const ballotsAtOnce = 2 * txnWorkers

func (e *Engine) ballotsOpen() (n int) {
	for _, name := range e.order {
		if e.res[name].ballot != nil {
			n++
		}
	}
	return n
}

// wanted returns the switch that is wanted by itself; nil if there is none.
func (e *Engine) wanted(now time.Time, r *resource) *wish {
	w := &wish{target: -1, since: now, began: now}
	switch {
	case r.cond == policy.Empty && r.def.Bootstrap && r.rewound == "":
		w.kind = policy.Bootstrap
	case r.rewound != "", r.cond == policy.Foreign, r.cond == policy.Deleted, r.cond == policy.Empty, r.attached < 0:
		w.kind = policy.Failover // not to be had: the gates say why
	case e.failing(now, r):
		v := r.endpoints[r.attached].verdict
		w.kind, w.began = policy.Failover, v.FirstBad()
		if w.began.IsZero() {
			w.began = v.Since
		}
		if w.since = w.began; e.fenced(r) && v.State != policy.Down { // whatever it answers
			w.began, w.since = now, now
			break
		}
		return w
	case e.failbackDue(now, r):
		w.kind, w.target = policy.FailbackTo, 0
	default:
		return nil
	}
	if r.wish != nil && r.wish.kind == w.kind {
		return r.wish
	}
	return w
}

// failing reports whether the attached endpoint calls for a switch, or would
// if its class were evidence: then a gate says why it is not made.
func (e *Engine) failing(now time.Time, r *resource) bool {
	v := r.endpoints[r.attached].verdict
	if v.State == policy.Down || e.fenced(r) {
		return true
	}
	return v.State == policy.Suspect && !policy.CountsAsBad(v, r.def.Judge) && v.Class != probe.None && now.Sub(v.Since) >= r.def.Judge.Sustain
}

func (e *Engine) failbackDue(now time.Time, r *resource) bool {
	return r.def.Failback == policy.FailbackAuto && !r.def.Protocol.Traits.LeftWork && r.attached > 0 && !r.sinceGood.IsZero() &&
		now.Sub(r.sinceGood) >= r.def.FailbackAfter && r.taint(r.def.Endpoints[0].Name) == ""
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
