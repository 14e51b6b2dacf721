package failover_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
)

// TestStepsAreShown: how each step of an operation ended is seen while it is under
// way, and afterwards where there is no record of a switch to see it in.
func TestStepsAreShown(t *testing.T) {
	w := newWorld(t, "resource orders-db primary standby sustain=2s fence=60s promote=60s abort=60s")
	after := func(d time.Duration, line string) failover.ResourceStatus {
		w.run(w.now.Add(d))
		w.do(strings.Fields(line), line)
		return w.engine.Status(w.now).Resources[0]
	}
	steps := func(all []failover.StepEnd) string {
		var out []string
		for _, s := range all {
			out = append(out, fmt.Sprintf("%s %s %.0f", s.Step, s.Outcome, s.Seconds))
		}
		return strings.Join(out, ", ")
	}
	after(0, "write app/orders-db/URL0 primary")
	after(0, "step orders-db promote fail 9s")
	after(5*time.Second, "orders-db/primary refused")
	if s := after(5*time.Second, "end"); steps(s.Steps) != "fence ok 1" || s.GivenUp != nil || s.Operation != "the failover to standby, step promote runs" {
		t.Errorf("while promote runs: %q, %+v, %s", steps(s.Steps), s.GivenUp, s.Operation)
	}
	s := after(20*time.Second, "order ack orders-db")
	if g := s.GivenUp; g == nil || s.Steps != nil || steps(g.Steps) != "fence ok 1, promote failed 9, abort ok 1" || g.To != "standby" || g.Why != "promote failed: exit status 1" {
		t.Fatalf("once it was given up: %+v, %v", g, s.Steps)
	}
	after(0, "step orders-db promote ok 1s")
	if s := after(60*time.Second, "end"); s.Attached != "standby" || s.GivenUp != nil {
		t.Errorf("after the switch, whose record has its steps: %+v", s.GivenUp)
	}
}
