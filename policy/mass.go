package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// MassWindow is how close together failures must lie to be one event.
const MassWindow = 30 * time.Second

// massMinimum is the number of addresses below which nothing is a mass failure.
const massMinimum = 4

// Attachment is a currently attached endpoint, as the mass failure sees it.
type Attachment struct {
	Address string    // of the host: four databases on one host are one address
	Bad     time.Time // when it began to fail; zero: it does not
}

// Mass says how much of what is attached failed at about the same time.
type Mass struct {
	Addresses int // distinct ones, attached now
	Failed    int // of these, that turned suspect or down within MassWindow of one another
}

// MassOf counts. An address is as old in its failure as its latest attachment.
func MassOf(all []Attachment) Mass {
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(a, b Attachment) int {
		if c := strings.Compare(a.Address, b.Address); c != 0 {
			return c
		}
		return b.Bad.Compare(a.Bad)
	})
	sorted = slices.CompactFunc(sorted, func(a, b Attachment) bool { return a.Address == b.Address })
	var bad []time.Time
	for _, a := range sorted {
		if !a.Bad.IsZero() {
			bad = append(bad, a.Bad)
		}
	}
	slices.SortFunc(bad, time.Time.Compare)
	m := Mass{Addresses: len(sorted)}
	for i := range bad {
		in := 0
		for _, t := range bad[i:] {
			if t.Sub(bad[i]) <= MassWindow {
				in++
			}
		}
		m.Failed = max(m.Failed, in)
	}
	return m
}

// Failing reports whether it is a mass failure: half or more, of at least four.
func (m Mass) Failing() bool { return m.Addresses >= massMinimum && 2*m.Failed >= m.Addresses }

// String says it in words.
func (m Mass) String() string {
	if m.Addresses < massMinimum {
		return fmt.Sprintf("too few attached addresses (%d) for a mass failure", m.Addresses)
	}
	return fmt.Sprintf("%d of %d attached addresses failed within %v", m.Failed, m.Addresses, MassWindow)
}
