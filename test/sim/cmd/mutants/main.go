// Command mutants takes away each gate, each rule and each guard in turn, and shows
// which invariant catches that: see package sim. It exits 1 if one is not caught.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/reattach/reattach/test/sim"
)

func main() {
	path := flag.String("table", "test/sim/MUTANTS.md", "the table: seeds that are known are tried first")
	update := flag.Bool("update", false, "write it")
	seeds := flag.Int("seeds", 2000, "how many seeds to try for each")
	knownOnly := flag.Bool("known", false, "only those whose seed the table names, on that seed")
	only := flag.String("only", "", "only mutants whose name holds this")
	flag.Parse()
	text, _ := os.ReadFile(*path) // without it all are hunted
	known := sim.ReadTable(string(text))
	guards := sim.GuardsIn(string(text))
	if !*knownOnly {
		guards = sim.GuardsIn(string(text), sim.GuardsOf(400)...)
	}
	every := sim.Mutants(guards)
	all := every
	if *knownOnly {
		all = slices.DeleteFunc(slices.Clone(all), func(m sim.Mutant) bool { _, ok := known[m.Name]; return !ok })
		*seeds = 0
	}
	if *only != "" {
		var some []sim.Mutant
		for _, m := range all {
			if strings.Contains(m.Name, *only) {
				some = append(some, m)
			}
		}
		all = some
	}
	var told []sim.Caught
	rows := sim.HuntAll(all, known, *seeds, runtime.GOMAXPROCS(0), func(c sim.Caught) {
		if told = append(told, c); *update { // as far as it got
			if err := os.WriteFile(*path, []byte(sim.Table(every, told, string(text))), 0o644); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		if c.Invariant == "" {
			fmt.Printf("%-55s NOT CAUGHT in %d seeds (%.1f s)\n", c.Mutant, c.Tried, c.Took.Seconds())
			return
		}
		fmt.Printf("%-55s %-13s seed %-8d %6.2f s\n", c.Mutant, c.Invariant, c.Seed, c.Took.Seconds())
	})
	os.Exit(verdict(rows))
}

func verdict(rows []sim.Caught) int {
	lost := 0
	for _, c := range rows {
		if c.Invariant == "" {
			lost++
		}
	}
	fmt.Printf("%d mutants, %d caught, %d not\n", len(rows), len(rows)-lost, lost)
	if lost > 0 {
		return 1
	}
	return 0
}
