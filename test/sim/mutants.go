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
	// with takes away what implies it, and breaks is then to break; nil: nothing does.
	with   func(*Options)
	breaks string
	note   string
}

// Caught is what caught a mutant.
type Caught struct {
	Mutant    string
	Invariant string // empty: nothing did
	Note      string // what else had to be taken away for that, and why
	Seed      uint64
	Text      string
	Took      time.Duration
	Tried     int // seeds
}

// GuardsOf returns every operation whose loss may matter, of the transactions that
// really occur in so many seeds, half of them of worlds of races.
func GuardsOf(seeds int) []Guard {
	all := map[Guard]int{}
	for i := range seeds {
		Run(Options{Seed: uint64(i%2*racingFrom + i/2), Guards: all})
	}
	var list []Guard
	for g := range all {
		list = append(list, g)
	}
	sortGuards(list)
	return list
}

// GuardsIn returns those that a table names, and all others that are given.
func GuardsIn(text string, others ...Guard) []Guard {
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 {
			continue
		}
		name, is := strings.CutPrefix(strings.TrimSpace(cells[1]), "guard ")
		if g, ok := parseGuard(name); is && ok && !slices.Contains(others, g) {
			others = append(others, g)
		}
	}
	sortGuards(others)
	return others
}

// Mutants are all of them: each gate, each rule, each of the guards.
func Mutants(guards []Guard) (all []Mutant) {
	for _, gate := range policy.Gates() {
		less := slices.DeleteFunc(policy.Gates(), func(g policy.Gate) bool { return g.Name == gate.Name })
		all = append(all, Mutant{Name: "gate " + gate.Name, set: func(o *Options) { o.Gates = less }})
	}
	for _, rule := range failover.Rules() {
		all = append(all, Mutant{Name: "rule " + rule.String(), set: func(o *Options) { o.Without = failover.RuleSet{}.With(rule) }})
	}
	for _, g := range guards {
		all = append(all, Mutant{Name: "guard " + g.String(), set: func(o *Options) { o.Drop = append(o.Drop, g) }, start: racingFrom})
	}
	for i := range all {
		all[i].implied()
	}
	return all
}

// implied fills in what implies a mutant, if anything does.
func (m *Mutant) implied() {
	for _, r := range redundant {
		if r.name != m.Name {
			continue
		}
		m.breaks, m.note = r.breaks, fmt.Sprintf("without %s, too: %s", r.with, r.because)
		m.with = func(o *Options) {
			for _, name := range r.away {
				g, ok := parseGuard(name)
				if !ok {
					panic("no such guard: " + name)
				}
				o.Drop = append(o.Drop, g)
			}
		}
	}
}

// Try runs a mutant on one seed. It is caught if it fails where the engine as it is,
// or without what implies the mutant, does not.
func (m Mutant) Try(seed uint64) (v *Violation) {
	opt, less := Options{Seed: seed}, Options{Seed: seed}
	if m.with != nil {
		m.with(&opt)
		m.with(&less)
	}
	m.set(&opt)
	if v = Run(opt).Violation; v == nil || m.breaks != "" && v.Invariant != m.breaks {
		return nil
	}
	if other := Run(less).Violation; other != nil && (m.with == nil || other.Invariant == m.breaks) {
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
			return Caught{m.Name, v.Invariant, m.note, seed, v.Text, time.Since(began), i + 1}
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
				if other := racingFrom - all[i].start; c.Invariant == "" && most > 0 {
					c = all[i].Hunt(other, most)
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

// Table is what the table of mutants says, in Markdown: of those that were hunted what
// came of it, of the others what the table said before.
func Table(all []Mutant, rows []Caught, before string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Mutants\n\nEach is the engine less one thing. `make mutants` takes it away, and shows which invariant of the design caught\nit, and at which seed of the simulation. An empty row is a hole in the simulation, or a useless rule. What another\npart implies is taken away together with that; without that part alone the same seed breaks no such invariant.\n\n")
	fmt.Fprintf(&b, "| without | caught by | seed | seconds | as |\n| --- | --- | --- | --- | --- |\n")
	said := map[string]string{}
	for line := range strings.Lines(before) {
		if cells := strings.Split(line, "|"); len(cells) > 5 {
			said[strings.TrimSpace(cells[1])] = line
		}
	}
	for _, c := range rows {
		if c.Invariant != "" || said[c.Mutant] == "" {
			said[c.Mutant] = c.row()
		}
	}
	for _, m := range all {
		if line := said[m.Name]; line != "" {
			b.WriteString(line)
			continue
		}
		b.WriteString(Caught{Mutant: m.Name}.row())
	}
	return b.String()
}

// row is a line of the table.
func (c Caught) row() string {
	if c.Invariant == "" {
		return fmt.Sprintf("| %s | | | | |\n", c.Mutant)
	}
	text := []rune(strings.ReplaceAll(c.Text, "|", "/"))
	if len(text) > 140 {
		text = append(text[:139], '…')
	}
	if c.Note != "" {
		c.Invariant += ", " + c.Note
	}
	return fmt.Sprintf("| %s | %s | %d | %.2f | %s |\n", c.Mutant, c.Invariant, c.Seed, c.Took.Seconds(), string(text))
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
