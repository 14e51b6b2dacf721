package failover

import "time"

// What the tests of this package reach for by its inner name.
var (
	OpenOps     = openOps
	CloseOps    = closeOps
	ResolveOps  = resolveOps
	VoteOps     = voteOps
	VetoOps     = vetoOps
	SweepOps    = sweepOps
	CommitOps   = commitOps
	ClaimOps    = claimOps
	FurtherOps  = furtherOps
	AfterOps    = afterOps
	TellOps     = tellOps
	AdoptOps    = adoptOps
	StateOps    = stateOps
	ControlOps  = controlOps
	ReadOne     = readOne
	ReadingOf   = readingOf
	OwnIndexes  = ownIndexes
	ReadIndexes = readIndexes
	Pinned      = pinned
	ConditionOf = conditionOf
	WithSwitch  = withSwitch
	Late        = late
	StoodStill  = stood
	ReadSeen    = readSeen
)

// HistoryKept and RecentSwitches bound what is remembered.
const (
	HistoryKept    = historyKept
	RecentSwitches = recentSwitches
	TxnWorkers     = txnWorkers
	EventBuffer    = eventBuffer
	OutgoingMost   = outgoingMost
)

// Keep hands d what it has yet to write down when it runs.
func Keep(d *Daemon, seen map[string]Seen) { d.outgoing.remember(seen) }

// StepOf is what the gate step says of the ballot after an operation's steps, while
// the state has stands.
func StepOf(e *Engine, resource string, stands, carried *Operation, now time.Time) string {
	r := e.res[resource]
	r.state.Operation = stands
	return e.situation(now, r, &wish{target: -1, carries: carried}).Step
}
