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
	Resources []ResourceStatus `json:"resources"` // those that need a person first
	Notices   []Notice         `json:"notices,omitempty"`
}

// ResourceStatus is one resource in a [Status].
type ResourceStatus struct {
	Name      string           `json:"name"`
	Protocol  string           `json:"protocol"`
	Mode      string           `json:"mode"`
	Activity  string           `json:"activity"`  // init, steady, suspect, confirm, commit, hold
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
	Endpoints []EndpointStatus `json:"endpoints"`
	Handles   []HandleStatus   `json:"handles"`
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
	Vote     *Vote            `json:"vote,omitempty"` // this observer's last one
	History  []Record         `json:"history,omitempty"`
}

// Notice is something that a person should hear of, once.
type Notice struct {
	Key      string    `json:"key"` // the same for the same matter
	Event    string    `json:"event"`
	Urgent   bool      `json:"urgent,omitempty"`
	Resource string    `json:"resource,omitempty"`
	Text     string    `json:"text"`           // one sentence
	Next     string    `json:"next,omitempty"` // the command to type
	Outage   string    `json:"outage,omitempty"`
	At       time.Time `json:"at"`
	Over     bool      `json:"over,omitempty"` // recovered or acknowledged

	acked bool // by a person, though it lasts
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
