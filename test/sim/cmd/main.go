// Command cmd simulates seeds: see package sim.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/reattach/reattach/test/sim"
)

func main() {
	seeds := flag.Int("seeds", 1000, "how many seeds")
	start := flag.Uint64("start", 0, "the first one")
	one := flag.Int64("seed", -1, "only this one, and print its story")
	verbose := flag.Bool("v", false, "print the story though it is a good one")
	failures := flag.Int("failures", 3, "after how many failing seeds to stop")
	short := flag.Bool("short", false, "of failing seeds, say only what failed")
	depth := flag.Int("search", 0, "search the small world, with up to so many faults, instead")
	lasts := flag.Duration("for", 0, "for how long to search at most (0: to the end)")
	flag.Parse()
	// A world is small and soon gone: most of it is dead before it is looked at.
	debug.SetGCPercent(1000)
	debug.SetMemoryLimit(1 << 30)
	if *depth > 0 {
		os.Exit(search(*start, *depth, *lasts))
	}
	if *one >= 0 {
		r := sim.Run(sim.Options{Seed: uint64(*one), Story: true, Twin: true})
		if *verbose || r.Violation != nil {
			fmt.Print(r.Story)
		}
		if r.Violation != nil {
			fmt.Println(r.Violation)
			os.Exit(1)
		}
		fmt.Printf("seed %d: no violation; %d steps, %v simulated, hash %016x\n", *one, r.Steps, r.Simulated.Round(time.Millisecond), r.Hash)
		return
	}
	os.Exit(many(*start, *seeds, *failures, *short))
}

func many(start uint64, seeds, failures int, short bool) int {
	began := time.Now()
	sum, failed := sim.Many(sim.Options{}, start, seeds, runtime.GOMAXPROCS(0), failures)
	for _, r := range failed {
		if short {
			fmt.Printf("seed %d: %v\n", r.Seed, r.Violation)
			continue
		}
		opt, r := sim.Shrink(sim.Options{Seed: r.Seed}, r)
		fmt.Printf("%s\nseed %d, without the faults %v: %v\n\n", r.Story, opt.Seed, opt.Dropped, r.Violation)
	}
	fmt.Print(sim.Summary(sum, len(failed), time.Since(began)))
	absent := sum.Absent()
	if len(absent) > 0 {
		fmt.Printf("never struck: %s\n", strings.Join(absent, ", "))
	}
	if len(failed)+len(absent) > 0 {
		return 1
	}
	return 0
}

func search(seed uint64, depth int, lasts time.Duration) int {
	began := time.Now()
	s := sim.Search(seed, depth, runtime.GOMAXPROCS(0), lasts)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Printf("%d runs: all with up to %d faults at up to %d moments; %d with effects of their own, %d as another one; %d more were not run; in %v, %d MiB\n",
		s.Runs, s.Depth, s.Moments, s.Distinct, s.Same, s.Left, time.Since(began).Round(time.Second), m.Sys>>20)
	if s.Verdict != nil {
		r := sim.Run(sim.Options{Seed: seed, Small: true, Choices: s.Failed, Story: true})
		fmt.Printf("%s\n%v: %v\n", r.Story, s.Failed, s.Verdict)
		return 1
	}
	return 0
}
