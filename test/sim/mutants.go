package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// Mutant is the engine without one gate, one rule, or one operation of its
// transactions.
type Mutant struct {
	Name  string // "gate paused", "rule nonce", "guard commit: cas of state"
	set   func(*Options)
	start uint64 // where its hunt begins
}

// Caught is what caught a mutant.
type Caught struct {
	Mutant    string
	Invariant string // empty: nothing did
	Seed      uint64
	Text      string
	Took      time.Duration
	Tried     int // seeds
}

// GuardsOf returns every operation whose loss may matter, of the transactions that
// really occur in so many seeds.
func GuardsOf(seeds int) []Guard {
	all := map[Guard]int{}
	for i := range seeds {
		Run(Options{Seed: seedOf(0, i, seeds), Guards: all})
	}
	var list []Guard
	for g := range all {
		list = append(list, g)
	}
	sortGuards(list)
	return list
}

// Mutants are all of them: each gate, each rule, each of the guards.
func Mutants(guards []Guard) (all []Mutant) {
	for _, gate := range policy.Gates() {
		less := slices.DeleteFunc(policy.Gates(), func(g policy.Gate) bool { return g.Name == gate.Name })
		all = append(all, Mutant{"gate " + gate.Name, func(o *Options) { o.Gates = less }, 0})
	}
	for _, rule := range failover.Rules() {
		all = append(all, Mutant{"rule " + rule.String(), func(o *Options) { o.Without = failover.RuleSet{}.With(rule) }, 0})
	}
	for _, g := range guards {
		all = append(all, Mutant{"guard " + g.String(), func(o *Options) { o.Drop = &g }, racingFrom})
	}
	return all
}

// Try runs a mutant on one seed. It is caught if it fails where the engine as it is
// does not.
func (m Mutant) Try(seed uint64) (v *Violation) {
	opt := Options{Seed: seed}
	m.set(&opt)
	if v = Run(opt).Violation; v != nil && Run(Options{Seed: seed}).Violation != nil {
		return nil
	}
	return v
}

// Hunt tries seeds, from start on, until one catches the mutant.
func (m Mutant) Hunt(start uint64, most int) Caught {
	began := time.Now()
	for i := range most {
		seed := start + uint64(i)
		if v := m.Try(seed); v != nil {
			return Caught{m.Name, v.Invariant, seed, v.Text, time.Since(began), i + 1}
		}
	}
	return Caught{Mutant: m.Name, Took: time.Since(began), Tried: most}
}

// HuntAll hunts every mutant, so many at a time. One whose seed is known is tried
// on that one first.
func HuntAll(all []Mutant, known map[string]uint64, most, workers int, tell func(Caught)) []Caught {
	rows := make([]Caught, len(all))
	var mu sync.Mutex
	var group sync.WaitGroup
	next := 0
	for range workers {
		group.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= len(all) {
					return
				}
				c := Caught{}
				if seed, ok := known[all[i].Name]; ok {
					c = all[i].Hunt(seed, 1)
				}
				if c.Invariant == "" {
					c = all[i].Hunt(all[i].start, most)
				}
				rows[i] = c
				mu.Lock()
				tell(c)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return rows
}

// Table is what the table of mutants says, in Markdown.
func Table(rows []Caught) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Mutants\n\nEach is the engine less one thing. `make mutants` takes it away, and shows which invariant of the design caught\nit, and at which seed of the simulation. An empty row is a hole in the simulation, or a useless rule.\n\n")
	fmt.Fprintf(&b, "| without | caught by | seed | seconds | as |\n| --- | --- | --- | --- | --- |\n")
	for _, c := range rows {
		text := []rune(strings.ReplaceAll(c.Text, "|", "/"))
		if len(text) > 140 {
			text = append(text[:139], '…')
		}
		if c.Invariant == "" {
			fmt.Fprintf(&b, "| %s | | | | |\n", c.Mutant)
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %.2f | %s |\n", c.Mutant, c.Invariant, c.Seed, c.Took.Seconds(), string(text))
	}
	return b.String()
}

// ReadTable returns the seeds that a table names.
func ReadTable(text string) map[string]uint64 {
	seeds := map[string]uint64{}
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 {
			continue
		}
		if seed, err := strconv.ParseUint(strings.TrimSpace(cells[3]), 10, 64); err == nil {
			seeds[strings.TrimSpace(cells[1])] = seed
		}
	}
	return seeds
}
