package sim

import (
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// oracle holds the invariants, by their numbers in DESIGN, against what truly
// happens: the conversations that each observer had, the keys in the store before
// and after each transaction, and people's commands. It never asks an engine.
type oracle struct {
	w       *world
	ballots map[string]*ballot  // by nonce, all that were ever opened
	open    map[string]*ballot  // by resource, as the store has them
	made    map[string]*landing // by operation
	order   []*landing          // the same, in their order
	ours    map[string]uint64   // the index at which a handle was last committed or adopted
	back    bool                // the store was restored, or begun anew
	opens   map[string][]opens  // by resource
	control map[string]*standing
	steps   stepsSeen
	sent    map[string]sent // what a commit rested on when it was decided; by operation
	acked   map[string]time.Duration
	begun   []failover.Notice          // told by any of several observers
	rests   map[*failover.Op]rests     // what each transaction could rest on, by its first operation
	tried   map[string]time.Duration   // by resource: when an opening was last sent
	told    map[string][]time.Duration // when a notice with that key was told, by anybody
	backAt  time.Duration              // when it went back last
	decided map[string]time.Duration   // when a ballot for it was first decided on; by operation
	vetoes  map[vetoKey]*ballot        // the last ballot that was vetoed, by resource and opener
	claims  claimsSeen
	watching
}

// ballot is one that was opened in the store.
type ballot struct {
	failover.Opening
	resource string
	index    uint64
	at       time.Duration
	by       *node
	life     int
	observed []string          // whom its opener counts
	indexes  map[string]uint64 // of state, handles and controls, when it was opened
	vetoed   string            // by whom
	votes    map[string]failover.Vote
	shown    map[*node]time.Duration
	closed   time.Duration
}

// landing is a switch that the store has taken.
type landing struct {
	failover.Record
	by       *node
	life     int
	at       time.Duration
	told     int
	reloaded bool // its observer took another configuration before he told it
	forgot   bool // the store was restored to a moment before it
}

type opens struct {
	by *node
	at time.Duration
}

// standing is what a control says.
type standing struct {
	failover.Control
	index   uint64
	landed  time.Duration // when it was written
	started time.Duration // when its pause began
}

// known is what one daemon was told, in this life.
type known struct {
	began  time.Duration
	heard  time.Duration // when the store last answered
	frozen time.Duration // when it last went on
	void   time.Time
	seen   map[string]*past
	local  map[string]time.Duration // until when a fault of its own suspends its judgement
	shown  map[string]uint64        // the index of a control, as a watch showed it
	begun  []failover.Notice
	voted  map[string]failover.Vote // by nonce
	read   readings
	// reloaded is when it was last given a configuration.
	reloaded time.Duration
	shownAt  map[string]time.Duration // when a control was shown first, as it is
	pinged   map[string]time.Time     // when a held session last answered
	upset    map[string]time.Duration // when a held session was last lost, or a write was not well
	wrote    map[string]time.Time     // when the last write that was well began
	states   map[string]*stateSeen
	voided   time.Duration // when it last had to forget what it saw
	troubled time.Duration // when it last did not reach the store as it should
}

// past is what a daemon's fresh conversations with an endpoint came to, the newest last.
type past struct {
	all   []probe.Result
	wasOK bool
}

func newOracle(w *world) *oracle {
	return &oracle{w: w, ballots: map[string]*ballot{}, open: map[string]*ballot{}, made: map[string]*landing{}, ours: map[string]uint64{},
		opens: map[string][]opens{}, control: map[string]*standing{}, sent: map[string]sent{}, acked: map[string]time.Duration{},
		told: map[string][]time.Duration{}, rests: map[*failover.Op]rests{}, tried: map[string]time.Duration{}, steps: newSteps(),
		decided: map[string]time.Duration{}, vetoes: map[vetoKey]*ballot{}, claims: newClaims(),
		watching: watching{standing: map[string]standingStep{}, over: map[string]time.Duration{}, stoodFrom: map[string]time.Duration{}}}
}

func (o *oracle) breaks(number string, format string, args ...any) {
	o.w.breaks("invariant "+number, format, args...)
}

// begins notes that a daemon starts.
func (o *oracle) begins(n *node) {
	n.known = known{reloaded: -time.Hour, began: o.w.now, heard: o.w.now, seen: map[string]*past{}, local: map[string]time.Duration{}, shown: map[string]uint64{}, voted: map[string]failover.Vote{},
		shownAt: map[string]time.Duration{}, states: map[string]*stateSeen{}, pinged: map[string]time.Time{}, upset: map[string]time.Duration{}, wrote: map[string]time.Time{}}
	n.known.begun = slices.Clone(n.cfg.Active)
	clear(n.asked)
}

func (o *oracle) ends(*node) {}

// alike holds that the same events give the same effects.
func (o *oracle) alike(n *node, one, two []failover.Effect) {
	if len(one) == 0 && len(two) == 0 {
		return
	}
	if !reflect.DeepEqual(one, two) {
		o.breaks("17", "%s: the same events gave %v, and then %v", n.name, one, two)
	}
}

// before takes in what a daemon is about to be told.
func (o *oracle) before(n *node, ev failover.Event) {
	switch ev := ev.(type) {
	case failover.Observed:
		o.observed(n, ev)
	case failover.Answered:
		if ev.Err == nil || errors.Is(ev.Err, failover.ErrDenied) {
			if o.w.now-n.known.heard > 2200*time.Millisecond {
				n.forgetBad() // blindness was noticed, and is over
			}
			n.known.heard = o.w.now
		}
		o.reads(n, ev.Reply.Entries)
		o.ballotsIn(n, ev.Reply.Entries)
		o.answers(n, ev)
	case failover.Ordered:
		if a := n.asked[ev.ID]; a != nil {
			a.taken = o.w.now
		}
	case failover.Stood:
		n.known.heard = o.w.now
		n.known.void = n.clock()
		n.forgetBad()
	case failover.Reloaded:
		n.known.reloaded = o.w.now
		for _, m := range o.order {
			m.reloaded = m.reloaded || m.by == n && m.told == 0
		}
	}
}

// forgetBad forgets what spoke against endpoints.
func (n *node) forgetBad() {
	for _, p := range n.known.seen {
		p.all = slices.DeleteFunc(p.all, func(r probe.Result) bool { return r.Class != probe.OK })
	}
	n.known.voided = n.w.now
}

func (o *oracle) observed(n *node, ev failover.Observed) {
	res := ev.Result
	switch {
	case res.Kind == probe.Session && res.Class == probe.OK:
		n.known.pinged[ev.Resource+"/"+ev.Endpoint] = res.Ended
	case res.Kind != probe.Fresh && res.Class != probe.OK:
		n.known.upset[ev.Resource+"/"+ev.Endpoint] = o.w.now
	}
	if res.Kind == probe.Write && res.Class == probe.OK {
		n.known.wrote[ev.Resource+"/"+ev.Endpoint] = res.Began
	}
	if res.Kind != probe.Fresh || res.Began.Before(n.known.void) {
		return
	}
	name := ev.Resource + "/" + ev.Endpoint
	p := n.known.seen[name]
	if p == nil {
		p = &past{}
		n.known.seen[name] = p
	}
	p.wasOK = p.wasOK || res.Class == probe.OK
	if res.Class == probe.Local {
		n.known.local[ev.Resource] = o.w.now + 2*time.Second
	}
	const most = 256
	if len(p.all) >= most {
		p.all = append(p.all[:0], p.all[most/2:]...)
	}
	p.all = append(p.all, res)
}

// does judges what an engine sets out to do.
func (o *oracle) does(n *node, _ failover.Event, effects []failover.Effect, i int) {
	switch f := effects[i].(type) {
	case failover.Remember:
		if i < len(effects)-1 { // who dies after it must have told what comes before it
			o.breaks("15", "%s remembers what it saw last before %T", n.name, effects[i+1])
		}
	case failover.Transact:
		o.decides(n, f)
		o.sends(n, f)
	case failover.Tell:
		o.tells(n, f.Notice)
	case failover.Switched:
		m := o.made[f.Record.Op]
		if m == nil {
			o.breaks("12", "%s says that its %s of %s to %s was made, and it was not", n.name, f.Record.Kind, f.Record.Resource, f.Record.To)
		}
		if m.by != n || m.life != n.life { // of an operation that several carried on
			break
		}
		if m.told++; m.told > 1 {
			o.breaks("12", "%s says twice that its %s of %s was made", n.name, f.Record.Kind, f.Record.Resource)
		}
	}
}

// shown notes what a watch shows.
func (o *oracle) shown(n *node, prefix string, entries []failover.Entry) {
	o.reads(n, entries)
	for _, e := range entries {
		if prefix == controlPrefix && n.known.shown[e.Key] != e.ModifyIndex {
			n.known.shown[e.Key], n.known.shownAt[e.Key] = e.ModifyIndex, o.w.now
		}
	}
	if prefix == ballotPrefix {
		o.ballotsIn(n, entries)
	}
}

// ballotsIn notes which ballots a daemon sees for the first time.
func (o *oracle) ballotsIn(n *node, entries []failover.Entry) {
	for _, e := range entries {
		if len(e.Value) == 0 || role(e.Key) != "ballot" {
			continue
		}
		var b failover.Opening
		if !decode(e, &b) {
			continue
		}
		if t := o.ballots[b.Nonce]; t != nil {
			if _, before := t.shown[n]; !before {
				t.shown[n] = o.w.now
			}
		}
	}
}

// evidence reports whether a class speaks against an endpoint of r, as n knows it.
func (p *past) evidence(r *policy.Resource, c probe.Class) bool {
	return slices.Contains(r.Judge.AlsoEvidence, c) || c.Evidence() && (c != probe.Garbled || p.wasOK) || c == probe.Role && len(r.Judge.Expect) > 0
}
