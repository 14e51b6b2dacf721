package sim

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// Options say what to simulate.
type Options struct {
	Seed    uint64
	Gates   []policy.Gate    // nil: all
	Without failover.RuleSet // rules that do not hold
	Drop    []Guard          // operations that transactions lack
	Dropped []int            // faults of the plan that do not happen
	Story   bool             // tell it
	Twin    bool             // feed a second engine, and compare
	// SameClocks has every machine's clock on the wall agree.
	SameClocks bool
	// Small has the small world of [Search], with the faults that are chosen.
	Small   bool
	Choices []Choice
	// Guards, if not nil, takes in every guard that occurs.
	Guards map[Guard]int
}

// Report is what a run came to. Reports add up.
type Report struct {
	Seed      uint64
	Seeds     int
	Steps     int
	Ballots   int
	Switches  [7]int // by policy.Kind
	Faults    []int  // by their place among the kinds
	Simulated time.Duration
	Late      []time.Duration // how much later than sustain a crash was switched
	Violation *Violation
	Story     string
	Hash      uint64 // of all effects
	Plan      int    // faults that were planned
	Moments   int    // of the small world
}

// Violation is an invariant that did not hold.
type Violation struct {
	Invariant string // "invariant 8", or "liveness"
	At        time.Duration
	Text      string
}

// Error says it in a sentence.
func (v *Violation) Error() string {
	return fmt.Sprintf("%s, after %.3f s: %s", v.Invariant, v.At.Seconds(), v.Text)
}

// Run simulates one seed.
func Run(opt Options) (r Report) {
	w := newWorld(opt)
	w.report.Seeds, w.report.Plan = 1, len(w.plan)
	defer func() {
		switch broke := recover().(type) {
		case nil, stop:
		default:
			w.report.Violation = &Violation{"panic", w.now, fmt.Sprint(broke)}
			if opt.Story {
				panic(broke)
			}
		}
		w.report.Simulated, w.report.Moments = w.now, w.moments
		w.report.Hash = uint64(w.hash)
		if w.story != nil {
			w.report.Story = w.story.String()
		}
		r = w.report
	}()
	if opt.Small {
		w.befall = func(fault int) { befallSmall(w, fault) }
		w.liveSmall()
		return
	}
	w.live()
	return
}

// live is the life of a world: it begins, faults strike, all is mended, and then
// what must come about has to.
func (w *world) live() {
	for _, n := range w.nodes {
		w.later(w.between(0, 500*time.Millisecond), n.start)
	}
	last := w.strike()
	w.run(last + w.between(500*time.Millisecond, 6*time.Second) - w.now)
	w.run(w.mendAt - w.now)
	w.end()
}

// Add adds what another run came to.
func (r *Report) Add(o Report) {
	if r.Faults == nil {
		r.Faults = make([]int, len(faultKinds))
	}
	r.Seeds, r.Steps, r.Ballots, r.Simulated = r.Seeds+o.Seeds, r.Steps+o.Steps, r.Ballots+o.Ballots, r.Simulated+o.Simulated
	for i := range r.Switches {
		r.Switches[i] += o.Switches[i]
	}
	for i := range o.Faults {
		r.Faults[i] += o.Faults[i]
	}
	r.Late = append(r.Late, o.Late...)
}

// Shrink drops faults one by one, from the last, as long as the same invariant
// still fails, and returns what is left with its story.
func Shrink(opt Options, r Report) (Options, Report) {
	opt.Story = true
	best := Run(opt)
	if best.Violation == nil {
		return opt, best
	}
	for again := true; again; {
		again = false
		for i := best.Plan - 1; i >= 0; i-- {
			if slices.Contains(opt.Dropped, i) {
				continue
			}
			less := opt
			less.Dropped = append(slices.Clone(opt.Dropped), i)
			if got := Run(less); got.Violation != nil && got.Violation.Invariant == r.Violation.Invariant {
				opt, best, again = less, got, true
			}
		}
	}
	return opt, best
}

// note adds an effect to the hash of all.
func (w *world) note(n *node, effect failover.Effect) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(w.now))
	w.hash = mix(mix(w.hash, b[:]), n.name)
	if w.opt.Twin {
		whole, err := json.Marshal(effect)
		if err != nil {
			panic(err)
		}
		w.hash = mix(mix(w.hash, fmt.Sprintf("%T", effect)), whole)
		return
	}
	if t, ok := effect.(failover.Transact); ok {
		for _, op := range t.Ops {
			b[0] = byte(op.Verb)
			w.hash = mix(mix(mix(w.hash, b[:1]), op.Key), op.Value)
		}
	}
}

// digest is FNV-1a, of 64 bits: hash/fnv's, without an allocation for each effect.
type digest uint64

const emptyDigest digest = 0xcbf29ce484222325

func mix[T string | []byte](d digest, more T) digest {
	for i := range len(more) {
		d = (d ^ digest(more[i])) * 0x100000001b3
	}
	return d
}
