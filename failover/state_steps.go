package failover

import (
	"fmt"
	"time"

	"github.com/reattach/reattach/policy"
)

// Operation is a switch whose steps are under way. It stands in [State] from the
// claim of its first step until it is committed or ended, and while it does no
// other switch begins.
type Operation struct {
	ID        string      `json:"id"`
	Epoch     uint64      `json:"epoch"` // of state when it began; under another one it can only be ended
	Hash      string      `json:"hash"`  // of the resource's meaning; under another one it can only be ended
	Kind      policy.Kind `json:"kind"`
	Automatic bool        `json:"automatic,omitempty"`
	Forced    []string    `json:"forced,omitempty"`
	Person    string      `json:"person,omitempty"`
	Reason    string      `json:"reason,omitempty"`
	From      string      `json:"from,omitempty"`
	To        string      `json:"to"`
	Class     string      `json:"class,omitempty"` // of what was seen of From
	Why       string      `json:"why"`
	Since     time.Time   `json:"since"`           // when the trouble began, by the clock of who began it
	Vote      Vote        `json:"vote"`            // on the ballot that claimed the first step
	Votes     []Vote      `json:"votes,omitempty"` // of the other observers on it

	Claim   string        `json:"claim"` // drawn for each claim of a step
	Step    string        `json:"step"`  // fence, promote or abort
	Runner  string        `json:"runner"`
	Attempt int           `json:"attempt"`
	Timeout time.Duration `json:"timeout"`         // in nanoseconds; of this step
	Ended   string        `json:"ended,omitempty"` // ok or failed; empty while it runs
	// Promoted says that promote was started, whatever became of it.
	Promoted bool      `json:"promoted,omitempty"`
	Refused  string    `json:"refused,omitempty"` // why it is not committed: abort runs
	Steps    []StepEnd `json:"steps,omitempty"`
}

// StepEnd is how a step ended.
type StepEnd struct {
	Step    string    `json:"step"`
	Outcome string    `json:"outcome"` // ok, failed, or lost: its runner ended first; of after, also due and running
	Why     string    `json:"why,omitempty"`
	Attempt int       `json:"attempt"`
	By      string    `json:"by"`      // the observer
	At      time.Time `json:"at"`      // by his clock
	Seconds float64   `json:"seconds"` // that it ran
}

// Outcomes of a step.
const (
	StepOK     = "ok"
	StepFailed = "failed"
	StepLost   = "lost"

	StepDue     = "due"     // nobody has claimed it yet
	StepRunning = "running" // or its runner ended, and nobody has taken it over yet
)

// AfterRun is the after step of one switch, under after/<resource>/<epoch>.
type AfterRun struct {
	Epoch   uint64        `json:"epoch"`
	Op      string        `json:"op"`
	Kind    policy.Kind   `json:"kind"`
	From    string        `json:"from,omitempty"`
	To      string        `json:"to"`
	Claim   string        `json:"claim,omitempty"` // empty: nobody runs it yet
	Runner  string        `json:"runner,omitempty"`
	Attempt int           `json:"attempt,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"` // in nanoseconds
	End     *StepEnd      `json:"end,omitempty"`
}

// standing is how the after step stands, for those who look at its switch.
func (a AfterRun) standing() StepEnd {
	switch {
	case a.End != nil:
		return *a.End
	case a.Claim != "":
		return StepEnd{Step: policy.After, Outcome: StepRunning, Attempt: a.Attempt, By: a.Runner}
	}
	return StepEnd{Step: policy.After, Outcome: StepDue}
}

// describe says what is under way, for a sentence.
func (o *Operation) describe() string {
	what := fmt.Sprintf("the %s to %s, step %s", o.Kind, o.To, o.Step)
	switch {
	case o.Ended == "":
		return what + " runs"
	case o.Ended == StepFailed:
		return what + " failed"
	}
	return what + " is done"
}

const afterPrefix = Prefix + "after/"

func afterTree(resource string) string { return afterPrefix + resource + "/" }
func afterKey(resource string, epoch uint64) string {
	return fmt.Sprintf("%s%010d", afterTree(resource), epoch)
}
