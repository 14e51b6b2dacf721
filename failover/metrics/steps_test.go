package metrics_test

import (
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// stepped is a configuration whose resource has these steps.
func stepped(resource string, steps ...string) failover.Config {
	conf := config(resource)
	command := policy.Step{Command: []string{"/bin/true"}, Timeout: time.Minute}
	for _, step := range steps {
		switch step {
		case policy.Fence:
			conf.Resources[0].Steps.Fence = command
		case policy.Promote:
			conf.Resources[0].Steps.Promote = command
		}
	}
	return conf
}

// TestSteps: each command that ended is counted by what it was and how it ended.
func TestSteps(t *testing.T) {
	m, reg := start(t, stepped("orders", policy.Fence, policy.Promote), source{})
	for _, s := range []struct {
		id      uint64
		step    string
		outcome failover.StepOutcome
	}{
		{1, policy.Fence, failover.StepOutcome{OK: true, Took: 2 * time.Second}},
		{2, policy.Promote, failover.StepOutcome{Why: "exit status 3", Took: time.Second}},
		{3, policy.Promote, failover.StepOutcome{OK: true, Took: 4 * time.Second}},
	} {
		m.Saw(noon, failover.Tick{}, []failover.Effect{failover.RunStep{ID: s.id, Resource: "orders", Step: s.step}})
		for range 2 { // the second end is none: nothing of that number runs any more
			m.Saw(noon, failover.StepEnded{ID: s.id, Resource: "orders", Outcome: s.outcome}, nil)
		}
	}
	expect(t, reg, stepsHelp+`
reattach_steps_total{resource="orders",result="failed",step="fence"} 0
reattach_steps_total{resource="orders",result="failed",step="promote"} 1
reattach_steps_total{resource="orders",result="ok",step="fence"} 1
reattach_steps_total{resource="orders",result="ok",step="promote"} 1
`, "reattach_steps_total")
	if count, sum := histogram(t, reg, "reattach_step_seconds"); count != 3 || sum != 7 {
		t.Errorf("%d times, %v s; want 3, 7", count, sum)
	}
}

const stepsHelp = `
# HELP reattach_steps_total Commands around a switch that this observer ran, by how they ended. One that was killed because its time was over failed; one that ended with the daemon is not counted.
# TYPE reattach_steps_total counter`

// TestStepsReload: steps and resources that a reload takes away are taken away here.
func TestStepsReload(t *testing.T) {
	m, reg := start(t, stepped("orders", policy.Fence, policy.Promote), source{})
	reload := func(id uint64, conf failover.Config) {
		m.Saw(noon, failover.Reloaded{ID: id, Config: conf}, []failover.Effect{failover.Respond{ID: id, Answer: failover.Answer{Done: true}}})
	}
	m.Saw(noon, failover.Tick{}, []failover.Effect{failover.RunStep{ID: 1, Resource: "orders", Step: policy.Fence}})
	reload(1, stepped("orders", policy.Fence))
	expect(t, reg, stepsHelp+`
reattach_steps_total{resource="orders",result="failed",step="fence"} 0
reattach_steps_total{resource="orders",result="ok",step="fence"} 0
`, "reattach_steps_total")
	reload(2, stepped("mail"))
	m.Saw(noon, failover.StepEnded{ID: 1, Resource: "orders", Outcome: failover.StepOutcome{OK: true}}, nil) // a last word
	if n := labelled(t, reg, "reattach_steps_total", "orders"); n != 0 {
		t.Errorf("%d series of a removed resource", n)
	}
}
