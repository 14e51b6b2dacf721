package failover

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// State is what is recorded of a resource, under state/<resource>. It is
// written by compare-and-set only.
type State struct {
	Epoch    uint64 `json:"epoch"`
	Attached string `json:"attached"`
	// Handles holds, for each handle, the ModifyIndex that is ours; 0 means the
	// same as this key's own, because one transaction wrote both.
	Handles map[string]uint64 `json:"handles"`
	Op      string            `json:"op"`     // the operation that wrote this epoch
	Recent  []Switch          `json:"recent"` // the last switches, newest last
	Taints  []Taint           `json:"taints,omitempty"`
	Acked   uint64            `json:"acked,omitempty"` // the epoch that a person acknowledged
	Ack     *Acknowledgement  `json:"ack,omitempty"`   // who did; only where several observers watch
	// Operation is a switch whose steps are under way; nil: none.
	Operation *Operation `json:"operation,omitempty"`
	// Fenced is the epoch whose attached endpoint a fence has made harmless; 0,
	// or another epoch than this one: it was not.
	Fenced uint64 `json:"fenced,omitempty"`
	// FenceLost says that nobody knows how a fence of what is attached ended, and
	// that it is not run again: it may take no writes. It stands until the next
	// epoch, a fence that succeeds, or an acknowledgement.
	FenceLost string `json:"fence_lost,omitempty"`
	// TwoWritable says why two endpoints may take writes, since a promotion that
	// was not followed by its switch. It stands until a person acknowledges it.
	TwoWritable string `json:"two_writable,omitempty"`
}

// Switch is one switch as State remembers it.
type Switch struct {
	Epoch     uint64      `json:"epoch"`
	Op        string      `json:"op"`
	Kind      policy.Kind `json:"kind"`
	Automatic bool        `json:"automatic,omitempty"`
	From      string      `json:"from,omitempty"`
	To        string      `json:"to"`
	At        time.Time   `json:"at"`           // wall clock of who made it
	By        string      `json:"by,omitempty"` // the observer
}

// Taint marks an endpoint that was left and may have missed writes since.
type Taint struct {
	Endpoint string    `json:"endpoint"`
	Place    string    `json:"place,omitempty"` // host and port: a server is tainted under any name
	Epoch    uint64    `json:"epoch"`
	Why      string    `json:"why"`
	At       time.Time `json:"at"`
}

// recentSwitches is how many switches a State remembers: more than damping
// lets happen within its hour, and enough to find an operation whose reply was lost.
const recentSwitches = 16

// Control is what people asked for, under control/<resource> or control/_all.
type Control struct {
	Pause   *Order  `json:"pause,omitempty"`
	Drained []Order `json:"drained,omitempty"`
}

// Order is a person's standing order.
type Order struct {
	Endpoint string        `json:"endpoint,omitempty"` // of a drain
	By       string        `json:"by"`
	Reason   string        `json:"reason"`
	At       time.Time     `json:"at"`
	For      time.Duration `json:"for,omitempty"` // 0: until it is ended
}

// Opening is a ballot's question, under ballot/<resource>/_. It is never rewritten.
type Opening struct {
	Nonce    string      `json:"nonce"`
	Op       string      `json:"op"`
	Kind     policy.Kind `json:"kind"`
	Talk     probe.Kind  `json:"conversation"` // the kind of conversation that went down
	Opener   string      `json:"opener"`
	Zone     string      `json:"zone,omitempty"`
	Hash     string      `json:"hash"` // of the resource's meaning
	Epoch    uint64      `json:"epoch"`
	Attached string      `json:"attached,omitempty"`
	Confirms string      `json:"confirms,omitempty"` // the operation whose steps are done
	Target   string      `json:"target,omitempty"`   // if a person named one
	Forced   []string    `json:"forced,omitempty"`
	NoVeto   bool        `json:"no_veto,omitempty"`
	Vote     Vote        `json:"vote"`
}

// Vote is one observer's fresh answer to a ballot.
type Vote struct {
	Nonce    string         `json:"nonce"`
	Observer string         `json:"observer"`
	Zone     string         `json:"zone,omitempty"`
	Hash     string         `json:"hash"`
	Saw      []EndpointVote `json:"saw"`
}

// EndpointVote is what an observer saw of one endpoint.
type EndpointVote struct {
	Endpoint string       `json:"endpoint"`
	State    policy.State `json:"state"`
	Class    probe.Class  `json:"class"`
	Code     string       `json:"code,omitempty"`
	Fresh    bool         `json:"fresh,omitempty"` // OK since the suspicion
}

// Record is one switch in history, under history/<resource>/<epoch>. It names
// endpoints and never holds a URL.
type Record struct {
	Resource   string             `json:"resource"`
	Epoch      uint64             `json:"epoch"`
	Op         string             `json:"op"`
	Kind       policy.Kind        `json:"kind"`
	Automatic  bool               `json:"automatic,omitempty"`
	Forced     []string           `json:"forced,omitempty"`
	From       string             `json:"from,omitempty"`
	To         string             `json:"to"`
	Why        string             `json:"why"`
	By         string             `json:"by"` // the observer
	Person     string             `json:"person,omitempty"`
	Reason     string             `json:"reason,omitempty"`
	At         time.Time          `json:"at"`
	Gates      []policy.Passage   `json:"gates,omitempty"`
	Candidates []policy.Candidacy `json:"candidates,omitempty"`
	Votes      []Vote             `json:"votes,omitempty"`
	Steps      []StepEnd          `json:"steps,omitempty"` // how each ended, in their order
	Times      Times              `json:"times"`
}

// Times says how long the stages of a switch took, in seconds, by the clock of
// the observer who made it.
type Times struct {
	Detect float64 `json:"detect"` // from the first bad observation to the wish to switch
	Read   float64 `json:"read"`   // to the handles, read at one moment
	Open   float64 `json:"open"`   // to the opened ballot
	Vote   float64 `json:"vote"`   // to its quorum
	Total  float64 `json:"total"`  // from the first bad observation to the commit's sending
}

// Prefix is what all of our own keys begin with.
const Prefix = "reattach/"

// Keys of the store, below Prefix.
const (
	controlPrefix = Prefix + "control/"
	ballotPrefix  = Prefix + "ballot/"
	historyPrefix = Prefix + "history/"
	controlAll    = controlPrefix + "_all"
	// A query on an empty prefix wakes on every unrelated write, so each watched
	// prefix holds one key for ever.
	controlSentinel = controlPrefix + "_sentinel"
	ballotSentinel  = ballotPrefix + "_sentinel"
)

func stateKey(resource string) string   { return Prefix + "state/" + resource }
func controlKey(resource string) string { return controlPrefix + resource }
func ballotTree(resource string) string { return ballotPrefix + resource + "/" }
func ballotKey(resource string) string  { return ballotPrefix + resource + "/_" }
func voteKey(resource, observer string) string {
	return ballotPrefix + resource + "/" + observer
}
func historyTree(resource string) string { return historyPrefix + resource + "/" }
func historyKey(resource string, epoch uint64) string {
	return fmt.Sprintf("%s%010d", historyTree(resource), epoch)
}

// encode never fails: the types above hold nothing that JSON cannot carry.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encoding %T: %v", v, err))
	}
	return b
}

// decode reads what encode wrote. An absent entry leaves v as it is.
func decode(e Entry, v any) error {
	if !e.Exists() {
		return nil
	}
	if err := json.Unmarshal(e.Value, v); err != nil {
		return fmt.Errorf("%s: %w", e.Key, err)
	}
	return nil
}

// String says it in words.
func (s EndpointVote) String() string {
	text := s.Endpoint + " " + s.State.String()
	if s.State != policy.Up && s.Class != probe.OK && s.Class != probe.None {
		text += " (" + strings.TrimSpace(s.Class.String()+" "+s.Code) + ")"
	}
	return text
}
