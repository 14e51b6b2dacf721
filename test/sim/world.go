package sim

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/storetest"
	"github.com/reattach/reattach/policy"
)

// world is one simulated world: machines, servers, a store, people, and what
// befalls them. It has one goroutine and one source of chance.
type world struct {
	opt           Options
	rnd           *rand.Rand
	now           time.Duration // since birth, by no clock of anybody's
	queue         queue
	store         *store
	nodes         []*node // every daemon that ever ran, the living ones too
	names         []string
	zones         map[string]string
	defs          []*policy.Resource
	servers       map[string]*server // by resource/endpoint
	plan          []fault
	armed         []func()       // what strikes when the next ballot opens
	races         []*race        // what befalls transactions that are sent
	atClaim       []stepMoment   // what strikes when a step is claimed
	atEnd         []stepMoment   // what strikes when a step has ended, and another follows
	places        map[string]int // of the kinds of faults, by their names
	people        people
	oracle        *oracle
	report        Report
	read          map[string]*recorded // the states that were read last, by resource
	hash          digest               // of all effects
	story         *strings.Builder     // nil: nobody wants to read it
	stepFate      stepFate
	strays        time.Duration   // when the last transaction arrives that was on its way for long
	befall        func(fault int) // of the small world
	moments       int             // of the small world
	mendAt        time.Duration   // before it nothing is mended
	mended        bool            // nothing goes wrong any more
	fencedAnswers time.Duration   // until when what is fenced is well again
}

// stop ends a run at its first violation.
type stop struct{}

func newWorld(opt Options) *world {
	w := &world{opt: opt, rnd: rand.New(rand.NewPCG(opt.Seed, 0x5eed)), hash: emptyDigest, zones: map[string]string{}, servers: map[string]*server{}, read: map[string]*recorded{}}
	w.report.Seed, w.places = opt.Seed, places()
	w.report.Faults = make([]int, len(w.places))
	if opt.Story {
		w.story = &strings.Builder{}
	}
	w.store = &store{w: w, Model: storetest.NewModel(100), cut: map[*node]bool{}, denied: map[string]bool{}}
	w.oracle = newOracle(w)
	w.oracle.watch()
	if opt.Small {
		w.drawSmall()
		return w
	}
	w.draw()
	return w
}

// later has something happen after d.
func (w *world) later(d time.Duration, do func()) { w.queue.push(w.now+max(d, 0), item{do: do}) }

// run lets time pass.
func (w *world) run(d time.Duration) {
	until := w.now + d
	for len(w.queue.items) > 0 && w.queue.items[0].at <= until {
		it := w.queue.pop()
		w.now = it.at
		it.happens()
	}
	w.now = max(w.now, until)
}

// runUntil lets time pass until it is so, and says whether it was within d.
func (w *world) runUntil(d time.Duration, so func() bool) bool {
	until := w.now + d
	for !so() {
		if w.now >= until {
			return false
		}
		w.run(min(50*time.Millisecond, until-w.now))
	}
	return true
}

// say adds a line to the story.
func (w *world) say(who, format string, args ...any) {
	if w.story == nil {
		return
	}
	fmt.Fprintf(w.story, "%9.3f  %-9s %s\n", w.now.Seconds(), who, fmt.Sprintf(format, args...))
}

// breaks notes a violation, and ends the run.
func (w *world) breaks(invariant string, format string, args ...any) {
	v := &Violation{Invariant: invariant, At: w.now}
	v.Text = fmt.Sprintf(format, args...)
	w.report.Violation = v
	w.say("", "VIOLATION of %s: %s", invariant, v.Text)
	panic(stop{})
}

// between is a time from a to b.
func (w *world) between(a, b time.Duration) time.Duration {
	return a + time.Duration(w.rnd.Int64N(int64(b-a)+1))
}

// living returns the daemons that run, frozen ones too.
func (w *world) living() []*node {
	return slices.DeleteFunc(slices.Clone(w.nodes), func(n *node) bool { return !n.alive })
}

// anybody is a daemon that runs and is not frozen; nil if there is none.
func (w *world) anybody(rnd *rand.Rand) *node {
	all := slices.DeleteFunc(w.living(), func(n *node) bool { return n.frozen || n.leaving })
	if len(all) == 0 {
		return nil
	}
	return all[rnd.IntN(len(all))]
}

func (w *world) def(name string) *policy.Resource {
	i := slices.IndexFunc(w.defs, func(r *policy.Resource) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return w.defs[i]
}

// config is what a daemon of that name is configured with.
func (w *world) config(name string, observers []string, defs []*policy.Resource) failover.Config {
	return failover.Config{Observer: name, Zone: w.zones[name], Observers: observers, Resources: defs, Gates: w.opt.Gates, Without: w.opt.Without}
}

// stateOf is what the store has recorded of a resource. It is only to be read.
func (w *world) stateOf(resource string) failover.State {
	e := w.store.Peek(stateKey(resource))
	r := w.read[resource]
	if r == nil || !bytes.Equal(r.value, e.Value) {
		r = &recorded{value: e.Value}
		decode(e, &r.State)
		w.read[resource] = r
	}
	return r.State
}

// recorded is a state that was read, and what it was read from.
type recorded struct {
	failover.State
	value []byte
}
