package failover

import (
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// Status is what an observer knows of everything it watches, at one moment.
type Status struct {
	Observer  string           `json:"observer"`
	Zone      string           `json:"zone,omitempty"`
	Version   string           `json:"version,omitempty"`
	AsOf      time.Time        `json:"as_of"`
	Blind     string           `json:"blind,omitempty"` // why it cannot judge; empty: it can
	Paused    string           `json:"paused,omitempty"`
	Resources []ResourceStatus `json:"resources"`           // those that need a person first
	Observers []ObserverStatus `json:"observers,omitempty"` // every configured one, where there are several
	Notices   []Notice         `json:"notices,omitempty"`
	Notifiers []NotifierStatus `json:"notifiers,omitempty"`
}

// ObserverStatus is one observer in a [Status] as the one who is asked sees him.
type ObserverStatus struct {
	Name    string    `json:"name"`
	Self    bool      `json:"self,omitempty"` // the one who is asked
	Answers bool      `json:"answers"`
	Since   time.Time `json:"since,omitzero"` // since when he does, or does not; zero: he was not asked yet
	Zone    string    `json:"zone,omitempty"`
	Version string    `json:"version,omitempty"`
	Blind   string    `json:"blind,omitempty"` // why he cannot judge
	Error   string    `json:"error,omitempty"` // why he does not answer
	// Differs names the resources of which he has another configuration: there his
	// vote counts for nothing.
	Differs []string `json:"differs,omitempty"`
}

// Health is how an observer is, as the others ask for it.
type Health struct {
	Observer string `json:"observer"`
	Zone     string `json:"zone,omitempty"`
	Version  string `json:"version,omitempty"`
	Blind    string `json:"blind,omitempty"` // why he cannot judge; empty: he can
	// Hashes stand for what each resource means to him, by its name.
	Hashes map[string]string `json:"hashes"`
}

// ResourceStatus is one resource in a [Status].
type ResourceStatus struct {
	Name      string           `json:"name"`
	Protocol  string           `json:"protocol"`
	Mode      string           `json:"mode"`
	Activity  string           `json:"activity"`  // init, steady, suspect, confirm, steps, commit, hold
	Condition string           `json:"condition"` // of its handles
	Detail    string           `json:"detail,omitempty"`
	Attached  string           `json:"attached,omitempty"`
	Epoch     uint64           `json:"epoch"`
	Since     *time.Time       `json:"since,omitempty"` // when the last switch was made
	Protected bool             `json:"protected"`
	Target    string           `json:"target,omitempty"` // where it would go
	Why       string           `json:"why"`              // why it is protected, or not
	Hold      *Hold            `json:"hold,omitempty"`
	Outage    *Outage          `json:"outage,omitempty"`
	Paused    string           `json:"paused,omitempty"`
	Operation string           `json:"operation,omitempty"` // a switch whose steps are under way
	Steps     []StepEnd        `json:"steps,omitempty"`     // of it, that have ended
	GivenUp   *GivenUp         `json:"given_up,omitempty"`  // the last one that ended here without its switch, in this epoch
	Endpoints []EndpointStatus `json:"endpoints"`
	Handles   []HandleStatus   `json:"handles"`
}

// GivenUp is an operation whose steps had begun, and which ended without its switch.
type GivenUp struct {
	Kind  policy.Kind `json:"kind"`
	To    string      `json:"to"`
	Why   string      `json:"why"`
	At    time.Time   `json:"at"` // by this observer's clock
	Steps []StepEnd   `json:"steps,omitempty"`
	epoch uint64
}

// EndpointStatus is one endpoint in a [ResourceStatus].
type EndpointStatus struct {
	Name     string       `json:"name"`
	URL      probe.URL    `json:"url"`
	Attached bool         `json:"attached"`
	State    policy.State `json:"state"`
	Since    time.Time    `json:"since"`
	Class    probe.Class  `json:"class"` // of the last conversation
	Phase    probe.Phase  `json:"phase"`
	Code     string       `json:"code,omitempty"`
	Err      string       `json:"error,omitempty"`
	LastSeen time.Time    `json:"last_seen"`
	LatencyS float64      `json:"latency_seconds"` // of the last fresh conversation
	Addr     string       `json:"addr,omitempty"`
	Tainted  string       `json:"tainted,omitempty"`
	Drained  string       `json:"drained,omitempty"`
	Facts    probe.Facts  `json:"facts,omitempty"`
}

// HandleStatus is one handle in a [ResourceStatus]. Its value is never shown,
// only what it names.
type HandleStatus struct {
	Key   string `json:"key"`
	Index uint64 `json:"modify_index"`
	Ours  bool   `json:"ours"`
	Names string `json:"names,omitempty"` // the endpoint; empty if none
}

// Hold is a wanted switch that a gate keeps back.
type Hold struct {
	Kind  policy.Kind `json:"kind"`
	Gate  string      `json:"gate"`
	Why   string      `json:"why"`
	Since time.Time   `json:"since"`
}

// Outage lasts from the first down verdict or hold on an attached endpoint
// until it is up again, or a switch left it.
type Outage struct {
	Key   string    `json:"key"`
	Since time.Time `json:"since"`
}

// Explanation says why a resource was or was not switched.
type Explanation struct {
	Status   ResourceStatus   `json:"status"`
	Observer string           `json:"observer"`
	AsOf     time.Time        `json:"as_of"`
	Blind    string           `json:"blind,omitempty"`
	Last     *policy.Decision `json:"last_decision,omitempty"` // the last wanted switch, made or not
	Target   string           `json:"last_target,omitempty"`
	IfDown   policy.Decision  `json:"if_attached_died_now"`
	Vote     *Vote            `json:"vote,omitempty"`  // this observer's last one
	Heard    []Heard          `json:"heard,omitempty"` // what the others voted last
	History  []Record         `json:"history,omitempty"`
	Told     []Told           `json:"told,omitempty"` // the last notices about it, newest first
}

// Heard is what another observer voted last, as this one learnt it.
type Heard struct {
	Vote     Vote      `json:"vote"`
	At       time.Time `json:"at"`                 // when it was learnt, by this observer's clock
	Attached string    `json:"attached,omitempty"` // the endpoint that was attached then
}

// Command is what a person asks of the engine.
type Command struct {
	Verb     string        `json:"verb"` // see [Verbs]
	Resource string        `json:"resource,omitempty"`
	All      bool          `json:"all,omitempty"`      // pause, resume, ack: every resource
	Endpoint string        `json:"endpoint,omitempty"` // --to, or what to drain, undrain, clear
	Force    []string      `json:"force,omitempty"`    // gates to waive
	For      time.Duration `json:"for,omitempty"`      // pause, drain: how long, in nanoseconds; 0: until ended
	By       string        `json:"by,omitempty"`       // who asks
	Reason   string        `json:"reason,omitempty"`
}

// Verbs lists what a Command may ask.
func Verbs() []string {
	return []string{"switchover", "failover", "failback", "restore", "adopt", "refresh",
		"pause", "resume", "ack", "drain", "undrain", "clear"}
}

// Answer is what became of a Command.
type Answer struct {
	Done bool   `json:"done"`
	Text string `json:"text"` // one sentence
	// Invalid says that the command itself was wrong: no such resource, a
	// missing reason.
	Invalid bool `json:"invalid,omitempty"`
	// Unsure says that the store did not answer in time.
	Unsure   bool             `json:"unsure,omitempty"`
	Hint     string           `json:"hint,omitempty"`
	Decision *policy.Decision `json:"decision,omitempty"`
	Record   *Record          `json:"record,omitempty"`
}
