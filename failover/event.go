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
		Reread bool // it is the former one, and only files that it names say something else
	}
	// Misread says that a new configuration could not be used, and why; an empty
	// Why that one is in force again. Next is what to type; empty: to look for
	// mistakes in it.
	Misread struct{ Why, Next string }
	// Kept says that notices are in the journal: on their way to people, whatever
	// happens to this process. It is wanted where several observers watch.
	Kept struct{ Notices []Notice }
	// Polled says how another observer is, or in Err why he does not answer.
	Polled struct {
		Observer string
		Health   Health
		Err      string
	}
	// StepEnded is the end of a [RunStep].
	StepEnded struct {
		ID       uint64
		Resource string
		Outcome  StepOutcome
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
	// Write begins or ends writing to an endpoint, which only the attached one gets.
	Write struct {
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
	// RunStep runs a person's command; a [StepEnded] with its ID follows, unless
	// this process ends first.
	RunStep struct {
		ID             uint64
		Resource, Step string
		Argv           []string
		Env            map[string]string // told as REATTACH_<name>
		// Deadline is when it is killed; it is not started after it.
		Deadline time.Time
	}
	// Remember asks to keep what was seen last, for restarts.
	Remember struct{ Seen map[string]Seen }
)

// StepOutcome is how a command ended.
type StepOutcome struct {
	OK   bool
	Why  string        // in a few words, why it is not OK
	Took time.Duration // from its start
	// Late says that it never ran, because its time was over before it could begin.
	Late bool
}

// Purpose says what a transaction is for: in logs and metrics.
type Purpose string

// The purposes.
const (
	PurposeSweep   Purpose = "sweep"   // reads states and handles in turn: the pulse
	PurposeRead    Purpose = "read"    // reads one resource at one moment
	PurposeOpen    Purpose = "open"    // opens a ballot
	PurposeVote    Purpose = "vote"    // votes on a ballot of another observer's
	PurposeCommit  Purpose = "commit"  // switches
	PurposeClose   Purpose = "close"   // closes a ballot
	PurposeResolve Purpose = "resolve" // makes an unknown outcome known
	PurposeConfirm Purpose = "confirm" // reads what became of an unknown commit
	PurposeAdopt   Purpose = "adopt"   // records what the handles are
	PurposeState   Purpose = "state"   // ack and clear
	PurposeControl Purpose = "control" // a person's order
	PurposeClaim   Purpose = "claim"   // closes a ballot, and claims the first step of its switch
	PurposeStep    Purpose = "step"    // claims a further step, or records the end of one
	PurposeAfter   Purpose = "after"   // finds, claims or ends what is to be run after a switch
	PurposeNotice  Purpose = "notice"  // settles who of several observers tells people
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
	// Active are the notices of an earlier life that were not over.
	Active []Notice
	// Errand says that this observer lives for one command of a person's, and is not
	// one of those that are configured: it wants nothing by itself, votes on nothing,
	// and tells nobody.
	Errand bool
	// Seed is where nonces and operation ids come from. It must be drawn anew
	// for each start.
	Seed [16]byte
	// Gates are what a switch has to pass; nil: [policy.Gates]. Without are the
	// rules that do not hold. Both are for the proofs that each one is needed.
	Gates   []policy.Gate
	Without RuleSet
}

func (Observed) event()  {}
func (Answered) event()  {}
func (Changed) event()   {}
func (Ordered) event()   {}
func (Stood) event()     {}
func (Reloaded) event()  {}
func (Misread) event()   {}
func (Kept) event()      {}
func (Polled) event()    {}
func (StepEnded) event() {}
func (Tick) event()      {}

func (Transact) effect() {}
func (Examine) effect()  {}
func (Write) effect()    {}
func (Tell) effect()     {}
func (Respond) effect()  {}
func (Switched) effect() {}
func (RunStep) effect()  {}
func (Remember) effect() {}

// Tap watches the engine at work: metrics and logs. It is called on the
// engine's goroutine after each step, and must be quick.
type Tap interface {
	Saw(now time.Time, event Event, effects []Effect)
}
