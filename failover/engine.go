package failover

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
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
	telling    telling     // what is told once over all observers
	peers      peers       // how the other observers are
	unkept     bool        // something was seen last that is to be remembered
	lookedAt   time.Time
	looked     int // where the round of looks is
}

// Times of the engine's own.
const (
	sweepEvery   = time.Second
	sweepMost    = 60 // resources a sweep
	blindAfter   = 2 * time.Second
	storeTimeout = 2 * time.Second
	holdRetry    = 30 * time.Second
	localFault   = 2 * time.Second // how long an own fault suspends judgement
)

// Activity is what a resource does.
type Activity uint8

// The activities.
const (
	Init Activity = iota
	Steady
	Suspecting
	Confirming
	Stepping
	Committing
	Holding
)

// String returns the word that people see.
func (a Activity) String() string {
	return [...]string{"init", "steady", "suspect", "confirm", "steps", "commit", "hold"}[a]
}

// resource is all that the engine knows of one resource.
type resource struct {
	def       *policy.Resource
	hash      string
	endpoints []endpoint

	reading  *Reading
	state    State
	decoded  *Entry // what state was read from, in this configuration
	cond     policy.Condition
	attached int
	judged   *Reading // what these three follow from; nil: from none that could be read
	writing  int      // the endpoint that is written to; -1: none
	detail   string
	known    Seen // the newest state ever seen
	knownAt  time.Time
	kept     Seen    // the same, but for what is not told yet: to be remembered
	met      bool    // its state was read once, in this life or an earlier one
	owed     *Switch // one of our own that was read before its answer came, and is not told yet
	telling  string  // the operation of an adopt that is being taken in
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
	tree      tree             // what the watch showed last of its ballot
	voting    *voting          // on a ballot of another observer's; nil: there is none
	former    *voting          // on the one before
	votedOn   []string         // the nonces of the last ballots that this observer voted on
	heard     []heard          // what the other observers voted last
	cast      *Vote            // what this one voted last on another's ballot
	litter    time.Time        // since when votes lie around whose ballot is closed
	refusal   *policy.Decision // of the last ballot that came to nothing, while it is wanted on
	refused   *wish            // that ballot's: what it came to is no answer to what is asked for later
	ballots   []time.Time      // opened within the last minute
	nextTry   time.Time
	evidence  int // raised whenever a verdict, a control or the configuration changes
	tried     int // the evidence at the last ballot
	local     time.Time
	clearing  time.Time            // when a taint was last asked to be cleared by facts
	switchAt  map[string]time.Time // when a switch was made, by its operation: as it was first seen here, or as its stamp says
	sawAt     map[string]time.Time // when it was first seen here, whatever its stamp says
	sinceGood time.Time            // since when the first endpoint has been up

	claim     *request // what is being written of an operation, or sent again
	claimAt   time.Time
	task      *task  // what this process runs of it
	opSeen    string // the operation as it was seen last, and since when
	opSince   time.Time
	confirm   *wish     // its fresh ballot
	stepPause time.Time // until when its steps are not written: the store denies it
	stepRetry time.Time // when a switch with steps may be begun again
	stepGate  string    // why not sooner
	stepWhy   string
	voided    time.Time // when evidence was last thrown away
	gaveUp    *GivenUp  // the last operation that ended without its switch
	after     afters

	hold     *Hold
	outage   *Outage
	left     *Outage // one that a switch of our own ended, and whose notice is due
	ended    string  // the key of the last outage
	outages  int
	restored bool      // the notices of an earlier life were taken over
	ackAt    time.Time // when a person's acknowledgement was last seen here
	decision *policy.Decision
	vote     *Vote
	observed bool // would have switched, in this outage
	paused   bool // when it was last looked at

	suspected time.Time // when a suspicion was told last
	goodSince time.Time // since when it has been protected, look by look; zero: it is not
	badSince  time.Time // since when it has not
}

// endpoint is all that the engine knows of one endpoint.
type endpoint struct {
	verdict   policy.Verdict
	last      probe.Result // of the last conversation that was no ping
	facts     probe.Facts
	deep      probe.Facts // those of them that its last canary learnt
	deepened  time.Time   // when that began
	seen      time.Time
	examining bool
	born      time.Time   // when its URL came into force; zero: at the start
	localAt   time.Time   // since when conversations fail by our own fault; zero: they do not
	learnt    time.Time   // when the conversation that taught its facts began
	counted   time.Time   // the same, of the last one that was looked at for writes
	writes    int         // conversations in a row that found it writable, since it was left
	split     string      // how it was seen to be written to since it was left; empty: it was not
	base      probe.Facts // of the first of them
	lag       lastLag
	applied   time.Time // when the last conversation began that found everything applied
	followed  time.Time // as counted, of the last one that was looked at for replication
	follows   int       // conversations in a row that found it replicating and up to date, since it was left
}

// alienBallot is a ballot that somebody else opened, or an earlier life of ours.
type alienBallot struct {
	index uint64
	first time.Time
	own   bool
	next  time.Time // when to try again to close it
}

// NewEngine returns an engine that has seen nothing yet.
func NewEngine(cfg Config) *Engine {
	e := &Engine{cfg: cfg, gates: cfg.Gates, res: map[string]*resource{}, pending: map[uint64]*request{},
		controls: map[string]Entry{}, orderSeen: map[string]time.Time{}, notices: slices.Clone(cfg.Active)}
	if e.gates == nil {
		e.gates = policy.Gates()
	}
	for _, def := range cfg.Resources {
		e.add(def)
	}
	return e
}

func (e *Engine) add(def *policy.Resource) {
	seen, met := e.cfg.Seen[def.Name]
	r := &resource{def: def, hash: def.Hash(e.cfg.Observers), endpoints: make([]endpoint, len(def.Endpoints)), attached: -1, writing: -1,
		switchAt: map[string]time.Time{}, sawAt: map[string]time.Time{}, known: seen, kept: seen, met: met}
	e.res[def.Name] = r
	e.order = append(e.order, def.Name)
}

// Step takes in one event and returns what is to be done. The slice is good
// until the next step.
func (e *Engine) Step(now time.Time, ev Event) []Effect {
	e.out = e.out[:0]
	if e.started.IsZero() {
		e.started = now
		e.takeOver(now)
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
	case StepEnded:
		e.stepEnded(now, ev)
	case Misread:
		e.misread(now, ev)
	case Kept:
		e.kept(now, ev)
	case Polled:
		e.polled(now, ev)
	case Tick:
		e.tick(now)
	}
	if e.unkept { // after all that is to be told, so that it is never ahead of it
		e.unkept = false
		e.emit(Remember{Seen: e.seen()})
	}
	return e.out
}

func (e *Engine) emit(f Effect) { e.out = append(e.out, f) }

func (e *Engine) answer(order uint64, a Answer) {
	if order != 0 {
		e.emit(Respond{order, a})
	}
}

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
		r := e.res[name]
		e.direct(now, r)
		if !now.Before(r.wake) {
			e.consider(now, r)
		}
	}
	e.tellAll(now)
	if now.Sub(e.lookedAt) >= lookEvery {
		e.look(now)
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
			e.storeLost(now, e.pulse)
		}
	case why == "" && !e.blindAt.IsZero():
		e.blindAt = time.Time{}
		e.over(now, "store_lost", "The store answers again; what was seen meanwhile is void, and fresh evidence decides.")
		e.voidAll(now, RuleVoidBlind)
	}
}

// stood throws away what was seen across a gap in this process's own time.
func (e *Engine) stood(now, from time.Time) {
	if !e.pulse.IsZero() { // the store was silent in our own time only
		e.pulse = now.Add(e.pulse.Sub(from))
	}
	for _, name := range e.order { // nobody was there to see it last
		for i := range e.res[name].endpoints {
			if ep := &e.res[name].endpoints[i]; !ep.localAt.IsZero() {
				ep.localAt = now
			}
		}
	}
	if e.holds(RuleVoidStood) {
		e.void = now
	}
	e.voidAll(now, RuleVoidStood)
}

func (e *Engine) storeLost(now, since time.Time) {
	e.tell(Notice{Key: "store_lost", Event: "store_lost", Urgent: true, Lasts: true, At: now, Since: since, Why: e.blind(now, nil),
		Text: "The store has not answered since " + clock(now, since) + ". Probing goes on; nothing is switched, and nothing is queued for later.",
		Next: "reattach status"})
}

// observe folds one result into a verdict.
func (e *Engine) observe(now time.Time, ev Observed) {
	r := e.res[ev.Resource]
	if r == nil {
		return
	}
	i := r.def.Endpoint(ev.Endpoint)
	if i < 0 || r.stray(i, ev.Result) || e.deaf(r, i) || ev.Result.Began.Before(e.void) || ev.Result.Began.Before(r.endpoints[i].born) {
		return
	}
	ep := &r.endpoints[i]
	ev.Result = r.expected(i, e.evidence(ev.Result))
	ep.seen = ev.Result.Ended
	if r.voting != nil {
		r.voting.observe(i, ev.Result, r.def.Judge)
		defer e.vote(now, r) // with the verdict that follows from it
	}
	if ev.Result.Class == probe.Local {
		r.local = now.Add(localFault)
	}
	if ev.Result.Kind != probe.Session || ev.Result.Failed() {
		ep.took(now, ev.Result, r.def.Protocol)
		ep.replicates(ev.Result)
	}
	if i == r.attached {
		r.lives(ev.Result)
	}
	before := ep.verdict.State
	ep.verdict = policy.Judge(ep.verdict, ev.Result, r.def.Judge)
	if ep.verdict.State != before {
		r.evidence++
	}
	if before != policy.Up || ep.verdict.State != policy.Up {
		if before <= policy.Up && ep.verdict.State == policy.Suspect && i == r.attached {
			e.suspect(now, r)
		}
		e.consider(now, r)
	}
}
