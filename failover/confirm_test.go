package failover_test

import (
	"testing"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// TestConfirmsWhatStands: the ballot after an operation's steps is for the operation
// that the state has when the ballot is opened. Who read it before, and was overtaken
// by somebody who ends it and runs abort, commits nothing.
func TestConfirmsWhatStands(t *testing.T) {
	r := defineResource(t, "ra", []string{"primary", "standby"})
	e := failover.NewEngine(failover.Config{Observer: "mon-a", Observers: []string{"mon-a"}, Resources: []*policy.Resource{r}})
	promoted := failover.Operation{ID: "op", Claim: "1", Step: policy.Promote, Ended: failover.StepOK, To: "standby"}
	aborting := promoted
	aborting.Claim, aborting.Step, aborting.Ended = "2", policy.Abort, ""
	for name, row := range map[string]struct {
		stands *failover.Operation
		shut   bool
	}{"as it was": {&promoted, false}, "being ended": {&aborting, true}, "ended": {nil, true}} {
		if why := failover.StepOf(e, "ra", row.stands, &promoted, start); (why != "") != row.shut {
			t.Errorf("%s: the gate step says %q", name, why)
		}
	}
}
