package failover_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

const afterOf202 = "reattach/after/orders-db/0000000202"

// underWay is the state of the ledger with an operation at a step.
func underWay(l *ledger, rd *failover.Reading, step string) failover.State {
	s := failover.Pinned(l.state(), rd.State)
	s.Operation = &failover.Operation{ID: "op-202", Epoch: 201, To: "standby", Step: step, Claim: "claim", Timeout: time.Minute}
	return s
}

// claiming is the transaction that claims the first step.
func claiming(l *ledger, rd *failover.Reading) []failover.Op {
	return failover.ClaimOps(l.r, rd, l.get(ballot).ModifyIndex, underWay(l, rd, policy.Fence))
}

// claimingFurther is the one that claims promote after it, or takes it over.
func claimingFurther(l *ledger, rd *failover.Reading) []failover.Op {
	return failover.FurtherOps(l.r, rd, underWay(l, rd, policy.Promote))
}

func claimed(l *ledger) bool { return l.state().Operation != nil }

var claimHarms = map[string]harm{
	"less check " + ballot:                        {"a step runs after its ballot was closed", func(l *ledger) { l.must(failover.CloseOps("orders-db", l.get(ballot).ModifyIndex)...) }, claimed},
	"less delete-tree reattach/ballot/orders-db/": {"the ballot stays open, and could still be committed", nil, opened},
	"less check " + pauses:                        {"a step runs under a pause", put(pauses, "{}"), claimed},
	"less check " + pause:                         {"a step runs under a pause", put(pause, "{}"), claimed},
	"less cas " + state:                           {"a step runs that nobody knows of", nil, func(l *ledger) bool { return !claimed(l) }},
	"set " + state:                                {"another's switch is forgotten", another, lostAnother},
	"less check " + handle0:                       {"a step runs though somebody led the handle elsewhere", put(handle0, "foreign"), claimed},
	"less check " + handle1:                       {"a step runs though somebody led the handle elsewhere", put(handle1, "foreign"), claimed},
}

var furtherHarms = map[string]harm{
	"less check " + pauses:  {"promote runs under a pause", put(pauses, "{}"), claimed},
	"less check " + pause:   {"promote runs under a pause", put(pause, "{}"), claimed},
	"less cas " + state:     {"promote runs, and nobody knows that abort must follow", nil, func(l *ledger) bool { return !claimed(l) }},
	"set " + state:          {"another's claim is forgotten, and two run", another, lostAnother},
	"less check " + handle0: {"promote runs though somebody led the handle elsewhere", put(handle0, "foreign"), claimed},
	"less check " + handle1: {"promote runs though somebody led the handle elsewhere", put(handle1, "foreign"), claimed},
}

// TestClaimKeepsHandles: a claim writes state alone, and the handles stay ours.
func TestClaimKeepsHandles(t *testing.T) {
	l := newLedger(t)
	l.must(opening(l, l.read())...)
	l.must(claiming(l, l.read())...)
	if c := l.condition(); c != policy.Ours || opened(l) {
		t.Errorf("after a claim the handles are %s, ballot open: %v", c, opened(l))
	}
	if l.try(claimingFurther(l, l.read())); l.condition() != policy.Ours {
		t.Error("after a further claim the handles are not ours")
	}
}

// TestAbortUnderAPause: what was begun is ended under a pause and after a hand
// edit, but never over what somebody else wrote into state.
func TestAbortUnderAPause(t *testing.T) {
	l := newLedger(t)
	l.must(claimingFurther(l, l.read())...)
	rd := l.read()
	put(pause, `{"pause":{"by":"alice"}}`)(l)
	put(handle0, "foreign")(l)
	ops := failover.StateOps("orders-db", underWay(l, rd, policy.Abort), rd.State)
	l.must(ops...)
	if l.try(ops).OK {
		t.Error("abort is claimed twice")
	}
}

// TestAfterIsDue: a commit leaves its after step to be claimed, once.
func TestAfterIsDue(t *testing.T) {
	l := newLedger(t)
	defineStep(t, l.r, policy.After, "10s")
	l.must(opening(l, l.read())...)
	l.must(committing(l, l.read())...)
	var due failover.AfterRun
	if err := json.Unmarshal(l.get(afterOf202).Value, &due); err != nil || due.Op != "op-202" || due.Claim != "" || due.End != nil {
		t.Fatalf("due is %+v, %v", due, err)
	}
	due.Claim = "claim"
	ops := failover.AfterOps(l.get(afterOf202), due)
	l.must(ops...)
	if l.try(ops).OK {
		t.Error("after is claimed twice")
	}
	if strings.Contains(string(l.get(state).Value), "two_writable") {
		t.Error("a commit leaves two that may take writes")
	}
}
