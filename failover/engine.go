package failover

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// Engine holds all state of an observer. It is pure: an event and the time go
// in, effects come out, and the same events give the same effects, byte for
// byte. It is used by one goroutine.
type Engine struct {
	cfg   Config
	gates []policy.Gate
	order []string // names of the resources, as configured
	res   map[string]*resource

	ids     uint64 // drawn so far
	nextID  uint64 // of a transaction
	pending map[uint64]*request
	out     []Effect

	started  time.Time
	pulse    time.Time    // when the store last answered
	silence  string       // why it did not since; empty: nobody knows
	counted  *policy.Mass // while many resources are looked at in one go
	blindAt  time.Time    // since when it is blind; zero: it is not
	sweepAt  time.Time
	sweeping bool
	cursor   int
	void     time.Time // evidence that began before is worth nothing

	controls   map[string]Entry // by key, as watched
	controlsOK bool             // they were seen once
	orderSeen  map[string]time.Time
	fleet      []time.Time // automatic switches of the last minute, by when they were seen here
	notices    []Notice    // active ones, oldest first
}

// Times of the engine's own.
const (
	sweepEvery   = time.Second
	sweepMost    = 60 // resources a sweep
	blindAfter   = 2 * time.Second
	storeTimeout = 2 * time.Second
	holdRetry    = 30 * time.Second
	localFault   = 2 * time.Second // how long an own fault suspends judgement
	noticesKept  = 200
)

// Activity is what a resource does.
type Activity uint8

// The activities.
const (
	Init Activity = iota
	Steady
	Suspecting
	Confirming
	Committing
	Holding
)

// String returns the word that people see.
func (a Activity) String() string {
	return [...]string{"init", "steady", "suspect", "confirm", "commit", "hold"}[a]
}

// resource is all that the engine knows of one resource.
type resource struct {
	def       *policy.Resource
	hash      string
	endpoints []endpoint

	reading  *Reading
	state    State
	cond     policy.Condition
	attached int
	detail   string
	known    Seen // the newest state ever seen
	knownAt  time.Time
	rewound  string
	// unreadable is until when its keys are not asked for, because the store denies them.
	unreadable time.Time

	wake      time.Time
	wish      *wish // what is wanted by itself, and since when
	want      *wish // what a person wants
	ballot    *ballot
	adopting  *request    // an adopt whose answer is awaited, or that is sent again
	adoptAt   time.Time   // when to send it again; zero: it is under way
	adopts    []time.Time // hand edits that were adopted
	alien     alienBallot
	ballots   []time.Time // opened within the last minute
	nextTry   time.Time
	evidence  int // raised whenever a verdict, a control or the configuration changes
	tried     int // the evidence at the last ballot
	local     time.Time
	clearing  time.Time            // when a taint was last asked to be cleared by facts
	switchAt  map[string]time.Time // when a switch was first seen here, by its operation
	sinceGood time.Time            // since when the first endpoint has been up

	hold     *Hold
	outage   *Outage
	outages  int
	ackAt    time.Time // when a person's acknowledgement was last seen here
	decision *policy.Decision
	vote     *Vote
	observed bool // would have switched, in this outage
	paused   bool // when it was last looked at
}

// endpoint is all that the engine knows of one endpoint.
type endpoint struct {
	verdict   policy.Verdict
	last      probe.Result // of the last conversation that was no ping
	facts     probe.Facts
	seen      time.Time
	examining bool
	born      time.Time // when its URL came into force; zero: at the start
}

// alienBallot is a ballot that somebody else opened, or an earlier life of ours.
type alienBallot struct {
	index uint64
	first time.Time
	own   bool
	next  time.Time // when to try again to close it
}

// request is a transaction whose answer is awaited.
type request struct {
	purpose  Purpose
	resource string
	sweep    []string
	defs     []*policy.Resource // what a sweep reads, one for each of its names
	order    uint64             // the command to answer; 0: none
	text     string             // what to answer when it is done
	rec      *Record
	reading  *Reading
	ops      []Op
	ballot   *ballot
	index    uint64 // of the ballot that is closed
	unsure   bool   // sent before, and not answered
	taint    string // of the endpoint that is adopted
	rewound  string // what the store had forgotten when an adopt was begun
}

// NewEngine returns an engine that has seen nothing yet.
func NewEngine(cfg Config) *Engine {
	e := &Engine{cfg: cfg, gates: policy.Gates(), res: map[string]*resource{}, pending: map[uint64]*request{},
		controls: map[string]Entry{}, orderSeen: map[string]time.Time{}}
	for _, def := range cfg.Resources {
		e.add(def)
	}
	return e
}

func (e *Engine) add(def *policy.Resource) {
	r := &resource{def: def, hash: def.Hash(e.cfg.Observers), endpoints: make([]endpoint, len(def.Endpoints)), attached: -1,
		switchAt: map[string]time.Time{}, known: e.cfg.Seen[def.Name]}
	e.res[def.Name] = r
	e.order = append(e.order, def.Name)
}

// Step takes in one event and returns what is to be done. The slice is good
// until the next step.
func (e *Engine) Step(now time.Time, ev Event) []Effect {
	e.out = e.out[:0]
	if e.started.IsZero() {
		e.started = now
	}
	switch ev := ev.(type) {
	case Observed:
		e.observe(now, ev)
	case Answered:
		e.answered(now, ev)
	case Changed:
		e.changed(now, ev)
	case Ordered:
		e.ordered(now, ev)
	case Stood:
		e.stood(now, ev.From)
	case Reloaded:
		e.reloaded(now, ev)
	case Tick:
		e.tick(now)
	}
	return e.out
}

func (e *Engine) emit(f Effect) { e.out = append(e.out, f) }

// id draws a nonce or an operation id. Randomness is in the seed alone.
func (e *Engine) id() string {
	e.ids++
	b := binary.BigEndian.AppendUint64(append([]byte(nil), e.cfg.Seed[:]...), e.ids)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

func (e *Engine) transact(q *request, ops []Op, timeout time.Duration, before time.Time) {
	e.nextID++
	e.pending[e.nextID] = q
	q.ops = ops
	e.emit(Transact{ID: e.nextID, Purpose: q.purpose, Ops: ops, Timeout: timeout, Before: before})
}

// tick lets time have its effects.
func (e *Engine) tick(now time.Time) {
	e.watchPulse(now)
	if !e.sweeping && now.Sub(e.sweepAt) >= sweepEvery {
		e.sweep(now)
	}
	for _, name := range e.order {
		if r := e.res[name]; !now.Before(r.wake) {
			e.consider(now, r)
		}
	}
}

// blind says why this observer cannot judge r (nil: anything); empty if it can.
func (e *Engine) blind(now time.Time, r *resource) string {
	switch {
	case e.pulse.IsZero():
		return "the store has not answered yet" + e.silence
	case now.Sub(e.pulse) > blindAfter:
		return fmt.Sprintf("the store has not answered for %v%s", now.Sub(e.pulse).Round(time.Second), e.silence)
	case r != nil && now.Before(r.local):
		return "a fault of this host's own keeps it from probing"
	}
	return ""
}

// watchPulse notices when the store is lost, and when it is back. Whatever was
// seen meanwhile is void: leaving blindness needs fresh evidence.
func (e *Engine) watchPulse(now time.Time) {
	why := e.blind(now, nil)
	switch {
	case why != "" && e.blindAt.IsZero():
		e.blindAt = now
		if !e.pulse.IsZero() {
			e.tell(Notice{Key: "store_lost", Event: "store_lost", Urgent: true, At: now,
				Text: "The store does not answer. Probing goes on; nothing is switched, and nothing is queued for later."})
		}
	case why == "" && !e.blindAt.IsZero():
		e.blindAt = time.Time{}
		e.over(now, "store_lost", "The store answers again; what was seen meanwhile is void, and fresh evidence decides.")
		e.voidAll(now)
	}
}

// stood throws away what was seen across a gap in this process's own time.
func (e *Engine) stood(now, from time.Time) {
	e.void = now
	if !e.pulse.IsZero() { // the store was silent in our own time only
		e.pulse = now.Add(e.pulse.Sub(from))
	}
	e.voidAll(now)
}

func (e *Engine) voidAll(now time.Time) {
	for _, name := range e.order {
		e.voidOne(now, e.res[name])
	}
}

func (e *Engine) voidOne(now time.Time, r *resource) {
	for i := range r.endpoints {
		if ep := &r.endpoints[i]; ep.verdict.State != policy.Up {
			ep.verdict = ep.verdict.Void(now)
		}
	}
	r.wish, r.evidence = nil, r.evidence+1
}

// observe folds one result into a verdict.
func (e *Engine) observe(now time.Time, ev Observed) {
	r := e.res[ev.Resource]
	if r == nil {
		return
	}
	i := r.def.Endpoint(ev.Endpoint)
	if i < 0 || ev.Result.Began.Before(e.void) || ev.Result.Began.Before(r.endpoints[i].born) {
		return
	}
	ep := &r.endpoints[i]
	ep.seen = ev.Result.Ended
	if ev.Result.Class == probe.Local {
		r.local = now.Add(localFault)
	}
	if ev.Result.Kind != probe.Session || ev.Result.Failed() {
		ep.last = ev.Result
		if len(ev.Result.Facts) > 0 {
			ep.facts = ev.Result.Facts
		}
	}
	before := ep.verdict.State
	ep.verdict = policy.Judge(ep.verdict, ev.Result, r.def.Judge)
	if ep.verdict.State != before {
		r.evidence++
	}
	if before != policy.Up || ep.verdict.State != policy.Up {
		e.consider(now, r)
	}
}
