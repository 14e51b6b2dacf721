package sim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/reattach/reattach/failover"
)

// Guard is one operation of a transaction that keeps it from being carried out, or
// an operation that a transaction would not be whole without.
type Guard struct {
	Purpose failover.Purpose
	Verb    failover.Verb
	Create  bool   // of a CAS: only if there is no such key
	Role    string // of the key
}

// String names it: "commit: cas of a handle".
func (g Guard) String() string {
	verb := g.Verb.String()
	if g.Create {
		verb = "create-only"
	}
	return fmt.Sprintf("%s: %s of %s", g.Purpose, verb, g.Role)
}

func guardOf(p failover.Purpose, op failover.Op) Guard {
	return Guard{Purpose: p, Verb: op.Verb, Create: op.Verb == failover.CAS && op.Index == 0, Role: role(op.Key)}
}

// guards reports whether taking the operation away may matter.
func guards(op failover.Op) bool {
	switch op.Verb {
	case failover.CAS, failover.CheckIndex, failover.CheckNotExists, failover.DeleteCAS, failover.DeleteTree:
		return true
	}
	return false
}

// weaken returns a transaction's operations without those guards: a check is left
// out, and a write is made whatever is there.
func weaken(t failover.Transact, without []Guard) []failover.Op {
	if len(without) == 0 {
		return t.Ops
	}
	var ops []failover.Op
	for _, op := range t.Ops {
		if !slices.Contains(without, guardOf(t.Purpose, op)) {
			ops = append(ops, op)
			continue
		}
		switch op.Verb {
		case failover.CAS:
			op.Verb, op.Index = failover.Set, 0
			ops = append(ops, op)
		case failover.DeleteCAS:
			op.Verb, op.Index = failover.Delete, 0
			ops = append(ops, op)
		}
	}
	return ops
}

// sortGuards puts them in an order that is the same in every run.
func sortGuards(all []Guard) {
	slices.SortFunc(all, func(a, b Guard) int { return cmp.Compare(a.String(), b.String()) })
}

// parseGuard reads a guard's name.
func parseGuard(name string) (g Guard, ok bool) {
	purpose, rest, _ := strings.Cut(name, ": ")
	verb, role, ok := strings.Cut(rest, " of ")
	g = Guard{Purpose: failover.Purpose(purpose), Role: role, Create: verb == "create-only"}
	if g.Create {
		g.Verb = failover.CAS
		return g, ok
	}
	for _, v := range []failover.Verb{failover.CAS, failover.CheckIndex, failover.CheckNotExists, failover.DeleteCAS, failover.DeleteTree} {
		if v.String() == verb {
			g.Verb = v
			return g, ok
		}
	}
	return g, false
}

// redundant are what another part implies: without it alone, nothing can go wrong. To
// show that it does its part, and that the oracle would see it, both are taken away,
// and the invariant that it is there for has to break, which it does not without the
// other part alone.
var redundant = []struct {
	name    string // of the mutant
	with    string // what implies it, in words
	away    []string
	breaks  string
	because string
}{
	{name: "guard adopt: create-only of history", with: "adopt: create-only of state", away: []string{"adopt: create-only of state"},
		breaks: "invariant 12", because: "a record is written with the state of its epoch, and an epoch comes once"},
	{name: "guard commit: create-only of history", with: "commit: cas of state", away: []string{"commit: cas of state"},
		breaks: "invariant 12", because: "a record is written with the state of its epoch, and an epoch comes once"},
}
