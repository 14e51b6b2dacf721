package failover

import (
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// Event is something that happened: the only way in which the world enters the engine.
type Event interface{ event() }

// Events.
type (
	// Observed is the result of a conversation with an endpoint.
	Observed struct {
		Resource, Endpoint string
		Result             probe.Result
	}
	// Answered is the end of a [Transact].
	Answered struct {
		ID    uint64
		Reply Reply
		Err   error     // wraps ErrDenied, ErrInvalid, ErrUnknown or ErrLate
		Sent  time.Time // when the request left, or would have
	}
	// Changed is what a watched prefix holds now, or why it cannot be watched.
	Changed struct {
		Prefix  string
		Entries []Entry
		Err     error
	}
	// Ordered is a person's command; a [Respond] with its ID answers it.
	Ordered struct {
		ID      uint64
		Command Command
	}
	// Stood says that this process, or its clock, stood still or jumped since From.
	Stood struct{ From time.Time }
	// Reloaded brings another configuration; a [Respond] with its ID says
	// whether it was taken.
	Reloaded struct {
		ID     uint64
		Config Config
	}
	// Tick says only that time has passed.
	Tick struct{}
)

// Effect is something to be done: the only way in which the engine acts.
type Effect interface{ effect() }

// Effects.
type (
	// Transact sends a transaction; an [Answered] with its ID follows, always.
	Transact struct {
		ID      uint64
		Purpose Purpose
		Ops     []Op
		Timeout time.Duration
		// Before is when it must not be sent any more; zero: any time. The sender
		// checks both his monotonic and his wall clock right before.
		Before time.Time
	}
	// Examine begins or ends quick fresh conversations with an endpoint.
	Examine struct {
		Resource, Endpoint string
		On                 bool
	}
	// Tell hands a notice to people.
	Tell struct{ Notice Notice }
	// Respond answers a command.
	Respond struct {
		ID     uint64
		Answer Answer
	}
	// Switched says that a switch was committed.
	Switched struct{ Record Record }
	// Remember asks to keep what was seen last, for restarts.
	Remember struct{ Seen map[string]Seen }
)

// Purpose says what a transaction is for: in logs and metrics.
type Purpose string

// The purposes.
const (
	PurposeSweep   Purpose = "sweep"   // reads states and handles in turn: the pulse
	PurposeRead    Purpose = "read"    // reads one resource at one moment
	PurposeOpen    Purpose = "open"    // opens a ballot
	PurposeCommit  Purpose = "commit"  // switches
	PurposeClose   Purpose = "close"   // closes a ballot
	PurposeResolve Purpose = "resolve" // makes an unknown outcome known
	PurposeConfirm Purpose = "confirm" // reads what became of an unknown commit
	PurposeAdopt   Purpose = "adopt"   // records what the handles are
	PurposeState   Purpose = "state"   // ack and clear
	PurposeControl Purpose = "control" // a person's order
)

// Seen is what was last seen of a resource's state, to notice a store that
// went back in time.
type Seen struct {
	Epoch uint64 `json:"epoch"`
	Op    string `json:"op"`
	Index uint64 `json:"index"`
}

// Config is what the engine needs to know.
type Config struct {
	Observer  string
	Zone      string
	Observers []string // every configured observer, this one included
	Resources []*policy.Resource
	// Seen is what an earlier life of this observer saw last.
	Seen map[string]Seen
	// Seed is where nonces and operation ids come from. It must be drawn anew
	// for each start.
	Seed [16]byte
}

func (Observed) event() {}
func (Answered) event() {}
func (Changed) event()  {}
func (Ordered) event()  {}
func (Stood) event()    {}
func (Reloaded) event() {}
func (Tick) event()     {}

func (Transact) effect() {}
func (Examine) effect()  {}
func (Tell) effect()     {}
func (Respond) effect()  {}
func (Switched) effect() {}
func (Remember) effect() {}

// Tap watches the engine at work: metrics and logs. It is called on the
// engine's goroutine after each step, and must be quick.
type Tap interface {
	Saw(now time.Time, event Event, effects []Effect)
}
