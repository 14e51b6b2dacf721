package failover

import (
	"errors"
	"fmt"
	"time"

	"github.com/reattach/reattach/policy"
)

// Why a step cannot be rehearsed.
var (
	// ErrNoStep means that the resource has no such step, or no such endpoint.
	ErrNoStep = errors.New("nothing to rehearse")
	// ErrUnderWay means that a switch of the resource runs its steps just now.
	ErrUnderWay = errors.New("a switch is under way")
)

// Rehearsal is a step that was run, and told that it is a dry run.
type Rehearsal struct {
	Resource string            `json:"resource"`
	Step     string            `json:"step"`
	Account  string            `json:"account"` // that it was run by
	Command  []string          `json:"command"` // secrets are masked
	Env      map[string]string `json:"env"`     // what it was told, by the variables' names
	OK       bool              `json:"ok"`
	Code     int               `json:"exit_code"` // -1 if it did not exit by itself
	Why      string            `json:"why,omitempty"`
	Output   string            `json:"output"` // the end of what it wrote; secrets are masked
	Seconds  float64           `json:"seconds"`
	Timeout  float64           `json:"timeout_seconds"`
}

// Rehearse returns a step as it would be run if the attached endpoint were lost
// now, but told that it is a dry run. It claims nothing and changes nothing. The
// successor is to, or for "" the one that would be chosen; where nothing is known
// to be attached, the first endpoint is meant to be. The error wraps
// [ErrNoResource], [ErrNoStep] or [ErrUnderWay].
func (e *Engine) Rehearse(now time.Time, resource, step, to string) (RunStep, error) {
	r := e.res[resource]
	if r == nil {
		return RunStep{}, fmt.Errorf("%w: %q", ErrNoResource, resource)
	}
	if !r.def.Steps.Has(step) {
		return RunStep{}, fmt.Errorf("%w: %s has no step %q", ErrNoStep, resource, step)
	}
	if op := r.state.Operation; op != nil {
		return RunStep{}, fmt.Errorf("%w: %s", ErrUnderWay, op.describe())
	}
	from := max(r.attached, 0)
	target := r.def.Endpoint(to)
	if to == "" {
		target = e.understudy(now, r, from)
	}
	if target < 0 || target == from {
		return RunStep{}, fmt.Errorf("%w: %q is no standby of %s", ErrNoStep, to, resource)
	}
	timeout := r.def.Steps.Of(step).Timeout
	run := RunStep{Resource: resource, Step: step, Argv: r.def.Steps.Of(step).Command, Deadline: now.Add(timeout)}
	run.Env = e.stepEnv(r, step, policy.Failover, r.def.Endpoints[from].Name, r.def.Endpoints[target].Name, "dry-run", r.state.Epoch, 1, timeout)
	run.Env["CLASS"], run.Env["DRY_RUN"] = r.endpoints[from].verdict.Class.String(), "true"
	return run, nil
}

// understudy is the endpoint that would take over, else the first that could.
func (e *Engine) understudy(now time.Time, r *resource, from int) int {
	if r.reading != nil {
		if d := e.ifDown(now, r); d.Target >= 0 {
			return d.Target
		}
	}
	for i := range r.def.Endpoints {
		if i != from {
			return i
		}
	}
	return -1
}
