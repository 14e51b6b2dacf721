package failover

import (
	"slices"
	"time"

	"github.com/reattach/reattach/policy"
)

// Notice is something that a person should hear of, once for its key while it
// is active.
type Notice struct {
	Key      string `json:"key"`              // the same for the same matter
	Event    string `json:"event"`            // one of [EventKinds]
	Urgent   bool   `json:"urgent,omitempty"` // somebody is to be woken
	Resource string `json:"resource,omitempty"`
	Text     string `json:"text"`           // one or two sentences: what happened
	Next     string `json:"next,omitempty"` // the command to type
	// Outage is the key of the outage that it is a part of. All notices of one
	// outage are one matter to people.
	Outage string    `json:"outage,omitempty"`
	At     time.Time `json:"at"`
	// Since is when the matter began; zero: At.
	Since time.Time `json:"since,omitzero"`
	From  string    `json:"from,omitempty"` // endpoint that was, or is to be, left
	To    string    `json:"to,omitempty"`   // endpoint that is, or would be, attached
	Why   string    `json:"why,omitempty"`  // what it rests on, in a few words
	Class string    `json:"class,omitempty"`
	Phase string    `json:"phase,omitempty"`
	Code  string    `json:"code,omitempty"` // the server's own
	Gate  string    `json:"gate,omitempty"` // that holds
	// Gates are all gates of the decision that it tells of.
	Gates    []policy.Passage `json:"gates,omitempty"`
	Observer string           `json:"observer,omitempty"` // who saw it
	// Teller is the observer who has told people of it; empty: the one who saw it.
	Teller string `json:"teller,omitempty"`
	// Lasts says that it goes on until a notice that [Notice.Ends] it.
	Lasts bool `json:"lasts,omitempty"`
	Over  bool `json:"over,omitempty"` // it recovered, or was acknowledged
	// Acked says that a person acknowledged it, though it goes on. Such an end is
	// followed by another one, without Acked, when it has passed.
	Acked bool `json:"acked,omitempty"`
}

// Matter is what people should know the notice by: all notices of one outage
// have the same, and so is the end of a matter known.
func (n Notice) Matter() string {
	if n.Outage != "" {
		return n.Outage
	}
	return n.Key
}

// Ends reports whether n says that what o told is over.
func (n Notice) Ends(o Notice) bool {
	return n.Over && (n.Key == o.Key || n.Outage != "" && n.Outage == o.Outage)
}

// Lasting returns the notices that last and were not ended, oldest first, after
// n was told, too. One that a person acknowledged stays, marked so, until it has
// passed; one with the same key takes the place of the former; and a failover
// carries on what was told of its outage. The slice is taken over.
func Lasting(notices []Notice, n Notice) []Notice {
	switch {
	case n.Over && n.Acked:
		for i := range notices {
			notices[i].Acked = notices[i].Acked || n.Ends(notices[i])
		}
		return notices
	case n.Over:
		return slices.DeleteFunc(notices, n.Ends)
	case !n.Lasts:
		return notices
	}
	if n.carriesOn() {
		notices = slices.DeleteFunc(notices, func(o Notice) bool { return o.Outage == n.Outage })
	}
	if i := slices.IndexFunc(notices, func(o Notice) bool { return o.Key == n.Key }); i >= 0 {
		notices[i] = n
		return notices
	}
	return append(notices, n)
}

// carriesOn reports whether n is of a switch that ended an outage: what was told
// of that outage is a part of it from then on.
func (n Notice) carriesOn() bool {
	kinds := []string{policy.Failover.String(), policy.Switchover.String(), policy.FailbackTo.String(), policy.Restore.String()}
	return n.Lasts && n.Outage != "" && slices.Contains(kinds, n.Event)
}

// Severity says how much a notice wants of a person.
type Severity int

// The severities, in their order.
const (
	Info     Severity = iota // good to know, and to find again
	Warning                  // look at it today
	Critical                 // somebody is to be woken
)

var severities = []string{"info", "warning", "critical"}

// String is the name that configuration and messages use.
func (s Severity) String() string { return severities[s] }

// ParseSeverity returns the severity of that name.
func ParseSeverity(name string) (Severity, bool) {
	i := slices.Index(severities, name)
	return Severity(max(i, 0)), i >= 0
}

// Severity is that of the notice's kind, or critical if it is urgent.
func (n Notice) Severity() Severity {
	if n.Urgent {
		return Critical
	}
	i := slices.IndexFunc(eventKinds, func(k EventKind) bool { return k.Name == n.Event })
	if i < 0 {
		return Info
	}
	return eventKinds[i].Severity
}

// EventKind is a kind of notice.
type EventKind struct {
	Name     string
	Severity Severity // of one that is not urgent
	// Quiet kinds go to a destination only where it names them.
	Quiet   bool
	Meaning string // what has happened, in a sentence
}

// EventKinds lists every kind of notice, in the order in which people meet them.
func EventKinds() []EventKind { return slices.Clone(eventKinds) }

var eventKinds = []EventKind{
	{"suspect", Info, true, "a probe of the attached endpoint failed, and it is being examined"},
	{"failover", Critical, false, "the attached endpoint was down, and a standby was attached in its place"},
	{"held", Warning, false, "a switch is wanted, and a gate keeps it back"},
	{"would_fail_over", Warning, false, "in observe mode: a switch would have been made now"},
	{"step_failed", Warning, false, "a step around a switch failed; urgent where two endpoints may take writes"},
	{"recovered", Info, false, "an outage is over, or what it cost is made good"},
	{"not_protected", Warning, false, "if the attached endpoint died now, nothing would be switched"},
	{"old_primary_writable", Critical, false, "a store of data that was left takes writes"},
	{splitWrites, Critical, false, "a store of data that was left is written to"},
	{"left_work", Warning, false, "a queue or relay that was left may hold work that nobody fetches"},
	{"another_writer", Critical, false, "somebody else keeps writing the handles"},
	{"switchover", Info, false, "a person moved a resource to another endpoint"},
	{"failback", Info, false, "a resource went home to its first endpoint"},
	{"restore", Info, false, "a person wrote the handles anew"},
	{"refresh", Info, false, "the handles were spelt anew for the same endpoint"},
	{"bootstrap", Info, false, "handles that were never there were created"},
	{"adopted", Info, false, "somebody else moved the handles, and it was taken as it is"},
	{"blind", Warning, false, "a fault of the observer's own host keeps it from judging"},
	{quorumMargin, Warning, false, "just enough observers answer for a switch: none may fail"},
	{quorumLost, Critical, false, "too few observers answer for a switch"},
	{"store_lost", Critical, false, "the store does not answer: nothing can be switched"},
	{"denied", Critical, false, "the store refuses what a switch needs"},
	{"rewound", Critical, false, "the store went back in time: nothing is switched until a person says so"},
	{"certificate", Warning, false, "an endpoint's certificate expires soon"},
	{"order", Info, true, "a person paused, resumed, drained, undrained, acknowledged or cleared something"},
	{"cleared", Info, false, "an endpoint that was left has shown that it misses nothing, and is a standby again"},
	{"config_not_reloaded", Warning, false, "a new configuration was not taken: the former one stays in force"},
	{"test", Info, false, "a person tries whether a destination can be reached"},
}

// Told is a notice as the journal keeps it.
type Told struct {
	Seq uint64 `json:"seq"` // grows by one for each notice
	Notice
	Deliveries []Delivery `json:"deliveries,omitempty"`
}

// Delivery is what became of a notice on its way to one notifier.
type Delivery struct {
	Notifier string `json:"notifier"`
	// State is pending, sent, dead (given up) or waiting: an end that is told
	// with the other ends of the storm in which its matter was told.
	State string    `json:"state"`
	At    time.Time `json:"at,omitzero"`
	Error string    `json:"error,omitempty"` // of the last attempt, without secrets
}

// NotifierStatus is how a destination of notices fares.
type NotifierStatus struct {
	Name string `json:"name"`
	Kind string `json:"kind"` // exec, webhook, slack, pagerduty, alertmanager, email
	// Severity is the least that it is told; Events the kinds of notice, where it
	// is not told of all but the quiet ones.
	Severity string    `json:"severity,omitempty"`
	Events   []string  `json:"events,omitempty"`
	Pending  int       `json:"pending"` // notices that wait to be delivered
	Oldest   time.Time `json:"oldest,omitzero"`
	Sent     uint64    `json:"sent"` // since the daemon started
	Dead     int       `json:"dead"` // notices that were given up, in the journal
	LastOK   time.Time `json:"last_ok,omitzero"`
	Error    string    `json:"error,omitempty"` // of the last attempt; empty if it succeeded
}

// Journal keeps notices, and hands them on to people in its own time. No method
// waits for a destination.
type Journal interface {
	// Keep has the notices on disk when it returns, or, where the disk takes
	// nothing, in memory, and says why. They are handed on either way.
	Keep(notices []Notice) error
	// Active returns the notices that last and were not ended, as [Lasting] has
	// it: those that a person acknowledged are among them, with Acked set.
	Active() []Notice
	// Events returns notices about a resource ("": any) with a number greater
	// than after, oldest first, at most limit; with after 0, the newest ones.
	Events(after uint64, resource string, limit int) ([]Told, error)
	// Notifiers says how the destinations fare, by name.
	Notifiers() []NotifierStatus
}
