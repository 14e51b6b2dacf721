package sim

import (
	"cmp"
	"fmt"
	"slices"

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

// weaken returns a transaction's operations without g: a check is left out, and a
// write is made whatever is there. A nil guard takes nothing away.
func (g *Guard) weaken(t failover.Transact) []failover.Op {
	if g == nil || g.Purpose != t.Purpose {
		return t.Ops
	}
	var ops []failover.Op
	for _, op := range t.Ops {
		if guardOf(t.Purpose, op) != *g {
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
