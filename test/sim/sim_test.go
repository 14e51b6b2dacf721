package sim

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
)

// TestSeeds simulates some seeds. One that fails is cut down and told.
func TestSeeds(t *testing.T) {
	seeds := 250
	if os.Getenv("REATTACH_FAST") != "" { // perhaps under the race detector
		seeds = 40
	}
	sum, failed := Many(Options{}, 0, seeds, runtime.GOMAXPROCS(0), 1)
	for _, r := range failed {
		opt, r := Shrink(Options{Seed: r.Seed}, r)
		t.Errorf("%s\nseed %d, without the faults %v: %v", r.Story, opt.Seed, opt.Dropped, r.Violation)
	}
	t.Log("\n" + Summary(sum, len(failed), time.Second))
	if len(failed) == 0 && (sum.Switches[0] < seeds/2 || sum.Ballots < seeds) {
		t.Errorf("%d failovers and %d ballots: they prove little", sum.Switches[0], sum.Ballots)
	}
}

// TestSameSeed: the same seed gives the same effects, byte for byte, and so does a
// second engine that is fed the same events (invariant 17).
func TestSameSeed(t *testing.T) {
	for seed := range uint64(12) {
		one, two := Run(Options{Seed: seed, Twin: true}), Run(Options{Seed: seed, Twin: true})
		if one.Violation != nil {
			t.Fatalf("seed %d: %v", seed, one.Violation)
		}
		if one.Hash != two.Hash || one.Steps != two.Steps {
			t.Errorf("seed %d: %016x after %d steps, then %016x after %d", seed, one.Hash, one.Steps, two.Hash, two.Steps)
		}
	}
	if Run(Options{Seed: 1, Twin: true}).Hash == Run(Options{Seed: 2, Twin: true}).Hash {
		t.Error("all seeds are one")
	}
}

// TestClocksApart: as long as no daemon is started anew, it makes no difference how
// far apart their clocks are (invariant 16).
func TestClocksApart(t *testing.T) {
	compared := 0
	for seed := range uint64(120) {
		w := newWorld(Options{Seed: seed})
		restarts := slices.ContainsFunc(w.plan, func(f fault) bool {
			return slices.Contains([]string{"daemon", "fleet"}, faultKinds[f.kind].family)
		})
		if restarts {
			continue
		}
		compared++
		apart, together := Run(Options{Seed: seed}), Run(Options{Seed: seed, SameClocks: true})
		if apart.Steps != together.Steps || apart.Switches != together.Switches || apart.Ballots != together.Ballots {
			t.Errorf("invariant 16: seed %d: with clocks apart %d steps and switches %v, else %d and %v", seed, apart.Steps, apart.Switches, together.Steps, together.Switches)
		}
	}
	if compared < 10 {
		t.Errorf("only %d seeds could be compared", compared)
	}
}

// TestTwoClocks: package time reads both clocks of a simulated moment.
func TestTwoClocks(t *testing.T) {
	a, b := moment(time.Hour, time.Minute), moment(3*time.Hour, time.Minute+time.Second)
	if d := b.Sub(a); d != time.Second {
		t.Errorf("by the monotonic clock %v", d)
	}
	if d := b.Round(0).Sub(a.Round(0)); d != 2*time.Hour {
		t.Errorf("by the wall's %v", d)
	}
	if got := moment(-time.Nanosecond, 0); !got.Round(0).Equal(birth.Add(-1)) || !a.Round(0).Equal(birth.Add(time.Hour)) {
		t.Errorf("on the wall: %v, %v", got, a)
	}
	if got := fmt.Sprint(a.UTC().Format(time.RFC3339)); got != "2026-03-01T13:00:00Z" {
		t.Error(got)
	}
}

// TestQueue: what is planned happens in its order.
func TestQueue(t *testing.T) {
	var q queue
	var got []int
	for i, at := range []time.Duration{5, 1, 3, 1, 4, 0, 3} {
		q.push(at, item{do: func() { got = append(got, i) }})
	}
	for len(q.items) > 0 {
		q.pop().happens()
	}
	if want := []int{5, 1, 3, 2, 6, 4, 0}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestMutants takes away what the table of mutants names, and holds that each is
// caught where the table says: a simulation that catches nothing proves nothing.
// `make mutants` does it for all, and finds the seeds.
func TestMutants(t *testing.T) {
	text, err := os.ReadFile("MUTANTS.md")
	if err != nil {
		t.Fatal(err)
	}
	known := ReadTable(string(text))
	tried := 0
	fast := os.Getenv("REATTACH_FAST") != ""
	for i, m := range Mutants(GuardsIn(string(text))) {
		seed, ok := known[m.Name]
		if !ok || fast && i%4 != 0 {
			continue
		}
		if tried++; m.Try(seed) == nil {
			t.Errorf("without %s, seed %d finds nothing wrong; make mutants", m.Name, seed)
		}
	}
	if tried < 10 {
		t.Errorf("only %d were tried", tried)
	}
}

// TestGuards holds that the table names every guard that occurs, and nothing else that
// looks like one.
func TestGuards(t *testing.T) {
	text, err := os.ReadFile("MUTANTS.md")
	if err != nil {
		t.Fatal(err)
	}
	seeds := 60
	if os.Getenv("REATTACH_FAST") != "" {
		seeds = 12
	}
	named := GuardsIn(string(text))
	for _, g := range GuardsOf(seeds) {
		if !slices.Contains(named, g) {
			t.Errorf("%s is not in the table; make mutants UPDATE=1", g)
		}
	}
	for _, g := range named {
		if again, ok := parseGuard(g.String()); !ok || again != g {
			t.Errorf("%s is read as %+v", g, again)
		}
	}
	for _, r := range redundant {
		if !slices.ContainsFunc(Mutants(named), func(m Mutant) bool { return m.Name == r.name }) {
			t.Errorf("there is no %s any more", r.name)
		}
	}
}

// TestShrink: of what befell a failing seed, only what it takes is left, and it is told.
func TestShrink(t *testing.T) {
	opt := Options{Without: failover.RuleSet{}.With(failover.RuleTaint)}
	for opt.Seed = 0; opt.Seed < 200; opt.Seed++ {
		r := Run(opt)
		if r.Violation == nil || r.Plan < 4 {
			continue
		}
		less, cut := Shrink(opt, r)
		if cut.Violation == nil || cut.Violation.Invariant != r.Violation.Invariant {
			t.Fatalf("seed %d: %v, and cut down %v", opt.Seed, r.Violation, cut.Violation)
		}
		if left := cut.Plan - len(less.Dropped); left > 2 {
			t.Errorf("seed %d: %d of %d faults are left", opt.Seed, left, cut.Plan)
		}
		if len(cut.Story) < 200 {
			t.Errorf("a short story: %s", cut.Story)
		}
		return
	}
	t.Error("no seed fails without taints")
}

// BenchmarkSeed is what a seed costs.
func BenchmarkSeed(b *testing.B) {
	b.ReportAllocs()
	steps := 0
	for i := range b.N {
		steps += Run(Options{Seed: uint64(i)}).Steps
	}
	b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "steps/s")
}

// TestSearch has any one fault of the small world happen at any of its moments.
func TestSearch(t *testing.T) {
	if os.Getenv("REATTACH_FAST") != "" {
		t.Skip("the search takes some seconds")
	}
	s := Search(0, 1, runtime.GOMAXPROCS(0), 0)
	if s.Verdict != nil {
		r := Run(Options{Small: true, Choices: s.Failed, Story: true})
		t.Errorf("%s\n%v: %v", r.Story, s.Failed, s.Verdict)
	}
	if s.Runs < 150 || s.Moments < 8 || s.Same == s.Runs-1 {
		t.Errorf("%d runs, %d moments, %d that changed nothing: it proves little", s.Runs, s.Moments, s.Same)
	}
}
