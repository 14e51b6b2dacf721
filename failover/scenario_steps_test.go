package failover_test

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// stepFate is what a command comes to, and after how long.
type stepFate struct {
	ok   bool
	took time.Duration
}

// defineStep gives a resource a command, with its timeout.
func defineStep(t teller, r *policy.Resource, name, timeout string) {
	d, err := time.ParseDuration(timeout)
	if err != nil {
		t.Fatal(err)
	}
	step := policy.Step{Command: []string{"/etc/reattach/" + name}, Timeout: d}
	switch name {
	case policy.Fence:
		r.Steps.Fence = step
	case policy.Promote:
		r.Steps.Promote = step
	case policy.Abort:
		r.Steps.Abort = step
	case policy.After:
		r.Steps.After = step
	}
}

// stepBy carries out a line of a story about steps; false: it is none of these.
func (w *world) stepBy(words []string) bool {
	if words[0] != "step" {
		return false
	}
	took, err := time.ParseDuration(words[4])
	if err != nil {
		w.t.Fatal(err)
	}
	if w.steps == nil {
		w.steps = map[string]stepFate{}
	}
	w.steps[words[1]+"/"+words[2]] = stepFate{words[3] == "ok", took}
	return true
}

// runStep runs a command as the story says. It dies with the observer: boot
// forgets what is queued.
func (w *world) runStep(f failover.RunStep) {
	var told []string
	for _, name := range slices.Sorted(maps.Keys(f.Env)) {
		if value := f.Env[name]; value != "" {
			told = append(told, name+"="+value)
		}
	}
	if strings.Contains(strings.Join(told, " "), "secret") {
		w.t.Errorf("the step %s is told a secret: %v", f.Step, told)
	}
	w.say("RUNS %s of %s, attempt %s, killed in %v", f.Step, f.Resource, f.Env["ATTEMPT"], f.Deadline.Sub(w.at(w.now)))
	if w.details {
		w.say("  told %s", strings.Join(told, " "))
	}
	fate, ok := w.steps[f.Resource+"/"+f.Step]
	if !ok {
		fate = stepFate{true, time.Second}
	}
	end := failover.StepEnded{ID: f.ID, Resource: f.Resource, Outcome: failover.StepOutcome{OK: fate.ok, Took: fate.took}}
	if !fate.ok {
		end.Outcome.Why = "exit status 1"
	}
	if left := f.Deadline.Sub(w.at(w.now)); fate.took > left {
		end.Outcome = failover.StepOutcome{Why: "killed: its time was over", Took: left}
	}
	w.later(end.Outcome.Took, end)
}
