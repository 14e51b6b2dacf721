package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/probe"
)

// Kind is the kind of a switch.
type Kind uint8

// The kinds. Only failover, failback and bootstrap come about by themselves.
const (
	Failover   Kind = iota // the attached endpoint is down
	Switchover             // a person wants another endpoint
	FailbackTo             // home to the first endpoint
	Bootstrap              // the handles were never there
	Refresh                // the attached endpoint is spelled otherwise now
	Restore                // a person says what the handles shall be
	Adopt                  // what the handles are is taken as it is
)

var kindNames = [...]string{"failover", "switchover", "failback", "bootstrap", "refresh", "restore", "adopt"}

// String returns the word that people see.
func (k Kind) String() string { return kindNames[k] }

// MarshalText encodes k by its word.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText decodes a word written by MarshalText. It fails on any other.
func (k *Kind) UnmarshalText(text []byte) error {
	i := slices.Index(kindNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("unknown kind of switch %q", text)
	}
	*k = Kind(i)
	return nil
}

// Condition is what a resource's handles are.
type Condition uint8

// The conditions of handles.
const (
	Unread    Condition = iota // not read yet
	Ours                       // unchanged since our last switch
	Outdated                   // ours, but the endpoint is spelled otherwise now
	Unmanaged                  // they name an endpoint, and nothing is recorded yet
	Empty                      // neither handles nor a record
	Moved                      // changed by somebody else, to an endpoint that is known
	Foreign                    // a value that no endpoint has, or several endpoints at once
	Deleted                    // recorded, but gone
)

var conditions = [...]string{"unread", "ours", "outdated", "unmanaged", "empty", "moved", "foreign", "deleted"}

// String returns the word that people see.
func (c Condition) String() string { return conditions[c] }

// MarshalText encodes c by its word.
func (c Condition) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Standing is an endpoint as a decision sees it.
type Standing struct {
	Name    string
	Verdict Verdict
	// Fresh says that it was OK in a conversation that began after the
	// suspicion, or after the person's command.
	Fresh    bool
	Tainted  string // why; empty if it is not
	Drained  string // by whom and why; empty if it is not
	Tried    bool   // attached, or left, within the last hour
	ServerID string // the protocol's true server id, if it has one
	// Facts were learned since the suspicion, or the person's command.
	Facts probe.Facts
}

// Tally is what a ballot has come to.
type Tally struct {
	Observers int // that are configured
	Down      int // votes that the attached endpoint is down
	Veto      string
	Zones     int      // distinct zones among the down votes
	Up        []int    // for each endpoint: votes that it is up
	Voted     bool     // a ballot is open: who is not counted has not said so
	Said      []string // what each of the other observers voted, in words
	// Answering are the observers who could vote now, this one included, as far as
	// is known; Health says of each other one whether he could. 0: all of them.
	Answering int
	Health    []string
}

// Majority is the number of votes that a quorum takes.
func (t Tally) Majority() int { return t.Observers/2 + 1 }

// Situation is everything that a decision rests on.
type Situation struct {
	Now       time.Time
	Resource  *Resource
	Kind      Kind
	Automatic bool // nobody asked for it
	Forced    []string
	Attached  int  // -1: none
	Supposed  bool // that the attached endpoint is down: nobody says so
	Target    int  // -1: the first candidate
	Endpoints []Standing

	Paused    string // by whom, why and how long; empty: not
	Blind     string // why this observer cannot judge; empty: it can
	Rewound   string // what the store forgot; empty: nothing
	Condition Condition
	Detail    string // what the handles are instead
	Switches  int    // automatic ones of this resource within the last hour
	Fleet     int    // automatic ones of all resources within the last minute
	Acked     bool   // a person acknowledged since the last switch
	MassAcked bool   // and since what is attached failed
	Step      string // another operation under way
	// TwoWritable says why two endpoints may take writes, since a promotion that
	// was not followed by its switch; empty: they do not, or a person acknowledged.
	TwoWritable string
	// Fenced says that the attached endpoint was fenced in this epoch: it counts
	// as down, whatever it or anybody says.
	Fenced bool
	// Confirms says that this is the ballot after an operation's own steps.
	Confirms bool
	Mass     Mass
	Tally    Tally
}

// Limits of automatic switches.
const (
	PaceLimit     = 20 // a minute, over all resources
	PaceWindow    = time.Minute
	DampingLimit  = 3 // within an hour, of one resource
	DampingWindow = time.Hour
)

// Stage says when a gate can be judged.
type Stage uint8

// The stages.
const (
	Local  Stage = iota // by what this observer knows, and again by the votes
	Ballot              // by the votes of a ballot only
)

// Gate is one named condition that must hold before a switch.
type Gate struct {
	Name  string
	Stage Stage
	Kinds []Kind // the switches that it guards
	// Waivable says that a person may force a switch past it.
	Waivable bool
	// Check returns whether the gate is open, and a sentence that says why.
	Check func(*Situation) (open bool, why string)
}

var (
	allKinds  = []Kind{Failover, Switchover, FailbackTo, Bootstrap, Refresh, Restore}
	moving    = []Kind{Failover, Switchover, FailbackTo}
	withVotes = []Kind{Failover, Switchover, FailbackTo, Bootstrap}
)

// Gates returns the gates in their order. A switch is made when all that guard
// its kind are open; the first closed one is the reason for a hold.
func Gates() []Gate {
	return []Gate{
		{"paused", Local, allKinds, true, checkPaused},
		{"blind", Local, allKinds, false, checkBlind},
		{"rewound", Local, allKinds, false, checkRewound},
		{"ours", Local, allKinds, false, checkOurs},
		{"class", Local, []Kind{Failover}, true, checkClass},
		{"pace", Local, moving, true, checkPace},
		{"damping", Local, moving, true, checkDamping},
		{"step", Local, allKinds, false, checkStep},
		{"quorum", Ballot, withVotes, true, checkQuorum},
		{"mass_failure", Ballot, []Kind{Failover}, true, checkMass},
		{"candidate", Local, allKinds, false, checkCandidate},
	}
}

// Waivable returns the names that a person may force: those of gates, the
// reasons for which a candidate is turned down, and the mode observe. Forcing "candidate" takes a
// target that is not up; there has to be one all the same. Forcing "fence" or
// "promote" leaves that step out.
func Waivable() []string {
	var names []string
	for _, g := range Gates() {
		if g.Waivable {
			names = append(names, g.Name)
		}
	}
	return append(names, "candidate", "taint", "drained", "requirement", "observe", Fence, Promote)
}

func checkPaused(s *Situation) (bool, string) {
	if s.Paused != "" {
		return false, "paused " + s.Paused
	}
	return true, "nobody paused it"
}

func checkBlind(s *Situation) (bool, string) {
	if s.Blind != "" {
		return false, "this observer cannot judge: " + s.Blind
	}
	return true, "the store answers, and this observer is well"
}

func checkRewound(s *Situation) (bool, string) {
	if s.Rewound != "" {
		return false, "the store went back in time: " + s.Rewound
	}
	return true, "the store has forgotten nothing"
}

func checkOurs(s *Situation) (bool, string) {
	c := s.Condition
	switch s.Kind {
	case Restore:
		if c != Unread {
			return true, "a person says what the handles shall be"
		}
	case Bootstrap:
		return c == Empty, "the handles are " + c.String()
	}
	switch c {
	case Ours:
		return true, "the handles are as we wrote them"
	case Outdated:
		return true, "the handles are ours, in an older spelling"
	}
	why := "the handles are " + c.String()
	if s.Detail != "" {
		why += ": " + s.Detail
	}
	return false, why
}

func checkClass(s *Situation) (bool, string) {
	if s.Attached < 0 {
		return false, "no endpoint is attached"
	}
	e := &s.Endpoints[s.Attached]
	v := e.Verdict
	switch {
	case s.Supposed:
		return true, fmt.Sprintf("supposing that %s were down", e.Name)
	case s.Fenced:
		return true, e.Name + " was fenced: whatever it answers does not matter"
	case v.State == Down:
		return true, fmt.Sprintf("%s is %s", e.Name, v.Describe())
	case v.State == Suspect && v.Recovering():
		return false, fmt.Sprintf("%s was %s, and answers again", e.Name, v.Why())
	case !s.Automatic && v.State == Suspect && CountsAsBad(v, s.Resource.Judge):
		return true, fmt.Sprintf("%s is %s; a person does not wait for sustain", e.Name, v.Describe())
	case v.State == Suspect && !CountsAsBad(v, s.Resource.Judge):
		return false, fmt.Sprintf("%s answers %s: %s", e.Name, v.Why(), notEvidence(v.Class))
	case v.State == Suspect && v.unexpected():
		return false, fmt.Sprintf("%s is %s; that has not lasted long enough yet", e.Name, v.Describe())
	case v.State == Suspect:
		return false, fmt.Sprintf("%s is suspect (%s), not down yet", e.Name, v.Why())
	}
	return false, fmt.Sprintf("%s is %s", e.Name, v.State)
}

func checkPace(s *Situation) (bool, string) {
	if s.Automatic && !s.Confirms && s.Fleet >= PaceLimit { // what was in flight goes on
		return false, fmt.Sprintf("%d automatic switches in the last minute, over all resources: the limit is %d", s.Fleet, PaceLimit)
	}
	return true, fmt.Sprintf("%d of %d automatic switches in the last minute", s.Fleet, PaceLimit)
}

func checkDamping(s *Situation) (bool, string) {
	text := fmt.Sprintf("%d of %d automatic switches in the last hour", s.Switches, DampingLimit)
	switch {
	case !s.Automatic || s.Switches < DampingLimit:
		return true, text
	case s.Acked:
		return true, text + ", acknowledged by a person"
	case s.untried():
		return true, text + "; only a standby that was not tried in that time may be used"
	}
	return false, text + ": it goes back and forth; a person must acknowledge"
}

// untried reports whether there is a standby that was not tried lately.
func (s *Situation) untried() bool {
	for i := range s.Endpoints {
		if i != s.Attached && !s.Endpoints[i].Tried {
			return true
		}
	}
	return false
}

func checkStep(s *Situation) (bool, string) {
	if s.Step != "" {
		return false, "an operation is under way: " + s.Step
	}
	if s.TwoWritable != "" {
		return false, "two endpoints may take writes: " + s.TwoWritable
	}
	return true, "no other operation is under way"
}

func checkQuorum(s *Situation) (bool, string) {
	t := s.Tally
	need := t.Majority()
	if s.Kind != Failover {
		return quorumForTarget(s)
	}
	if s.Fenced {
		return true, "it was fenced: no vote on it is needed"
	}
	if t.Veto != "" && s.Resource.Veto {
		return false, "vetoed: " + t.Veto
	}
	text := fmt.Sprintf("%d of %d observers say it is down; %d needed", t.Down, t.Observers, need)
	if s.Supposed {
		if text = fmt.Sprintf("supposing that %d of %d observers said so; %d needed", t.Down, t.Observers, need); t.Down < t.Observers {
			text = fmt.Sprintf("%d of %d observers could say so now; %d needed", t.Down, t.Observers, need)
		}
	}
	return t.Down >= need, text + t.said()
}

// said tells what the others voted; empty if there is nobody else.
func (t Tally) said() string {
	if len(t.Said) == 0 {
		return ""
	}
	return ": " + strings.Join(t.Said, ", ")
}

func quorumForTarget(s *Situation) (bool, string) {
	target, _ := s.candidate()
	if target < 0 {
		return true, "there is no target to vote on"
	}
	up := s.Tally.Up[target]
	return up >= s.Tally.Majority(), fmt.Sprintf("%d of %d observers say that %s is up; %d needed%s",
		up, s.Tally.Observers, s.Endpoints[target].Name, s.Tally.Majority(), s.Tally.said())
}

func checkMass(s *Situation) (bool, string) {
	switch {
	case !s.Mass.Failing():
		return true, s.Mass.String()
	case s.Resource.MassFailure == MassProceed:
		return true, s.Mass.String() + `; mass_failure = "proceed"`
	case s.MassAcked:
		return true, s.Mass.String() + ", acknowledged by a person"
	case s.Tally.Zones >= 2:
		return true, s.Mass.String() + ", confirmed from two zones"
	}
	return false, s.Mass.String() + ": it may be our own network; not confirmed from two zones"
}

func checkCandidate(s *Situation) (bool, string) {
	target, all := s.candidate()
	if target >= 0 {
		return true, fmt.Sprintf("%s is %s", s.Endpoints[target].Name, s.Endpoints[target].Verdict.Describe())
	}
	return false, noCandidate(all)
}

// SaysDown reports whether this observer's own vote is that the attached
// endpoint is down: sustain is the opener's business, fresh evidence is enough
// where a person asks.
func SaysDown(s *Situation) bool {
	open, _ := checkClass(s)
	return open
}
