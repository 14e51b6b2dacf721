package failover

import (
	"slices"
	"strings"
)

// heardLast is what each other observer voted last, in the order of their names:
// who is asked why nothing happens can say what the others see.
func (r *resource) heardLast() (all []Heard) {
	for _, h := range r.heard {
		all = append(all, Heard{Vote: h.Vote, At: h.at, Attached: h.attached})
	}
	slices.SortFunc(all, func(a, b Heard) int { return strings.Compare(a.Vote.Observer, b.Vote.Observer) })
	return all
}
