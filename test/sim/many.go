package sim

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reattach/reattach/policy"
)

// seedOf is the i-th of so many seeds from start on: of ten, the last one is of a
// world of races.
func seedOf(start uint64, i, seeds int) uint64 {
	if ordinary := seeds - seeds/10; i >= ordinary && start < racingFrom {
		return racingFrom + start + uint64(i-ordinary)
	}
	return start + uint64(i)
}

// Many simulates seeds, so many at a time, each on one goroutine, and returns what
// they came to and which of them failed, the first ones first. After so many
// failures no more are tried.
func Many(opt Options, start uint64, seeds, workers, failures int) (sum Report, failed []Report) {
	var next, broken atomic.Int64
	var mu sync.Mutex
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			var mine Report
			var bad []Report
			for int(broken.Load()) < failures {
				i := next.Add(1) - 1
				if i >= int64(seeds) {
					break
				}
				o := opt
				o.Seed = seedOf(start, int(i), seeds)
				o.Twin = o.Twin || o.Seed%64 == 0
				r := Run(o)
				mine.Add(r)
				if r.Violation != nil {
					broken.Add(1)
					bad = append(bad, r)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			sum.Add(mine)
			failed = append(failed, bad...)
		})
	}
	group.Wait()
	slices.SortFunc(failed, func(a, b Report) int { return int(a.Seed) - int(b.Seed) })
	return sum, failed
}

// enoughSeeds is how many seeds every kind of fault has to strike in.
const enoughSeeds = 3000

// Absent names the kinds of faults that never struck in so many seeds that each
// should have: a fault that does not occur proves nothing.
func (r *Report) Absent() (names []string) {
	for i, k := range faultKinds {
		if r.Seeds >= enoughSeeds && r.Faults[i] == 0 {
			names = append(names, k.name)
		}
	}
	return names
}

// Summary tells what many runs came to. Its last line is the verdict.
func Summary(r Report, failed int, took time.Duration) string {
	var b strings.Builder
	for _, family := range families {
		fmt.Fprintf(&b, "%-8s", family)
		for i, k := range faultKinds {
			if k.family == family {
				fmt.Fprintf(&b, " %s %d,", k.name, r.Faults[i])
			}
		}
		fmt.Fprintln(&b)
	}
	slices.Sort(r.Late)
	if n := len(r.Late); n > 0 {
		fmt.Fprintf(&b, "beyond its bound a failure was switched after %v (median), %v (p99), %v (at most) of %d\n", r.Late[n/2].Round(time.Millisecond), r.Late[n*99/100].Round(time.Millisecond), r.Late[n-1].Round(time.Millisecond), n)
	}
	faults, kinds, switches, of := 0, 0, 0, ""
	for _, n := range r.Faults {
		if faults += n; n > 0 {
			kinds++
		}
	}
	for k, n := range r.Switches {
		switches += n
		of += fmt.Sprintf(" %s %d", policy.Kind(k), n)
	}
	fmt.Fprintf(&b, "%d seeds, %d steps, %d switches (%s), %d faults of %d kinds, %d ballots, %d violations, %.0f steps/s, %v simulated in %v\n",
		r.Seeds, r.Steps, switches, of[min(1, len(of)):], faults, kinds, r.Ballots, failed, float64(r.Steps)/took.Seconds(), r.Simulated.Round(time.Second), took.Round(100*time.Millisecond))
	return b.String()
}
