package notify

import (
	"slices"
	"time"

	"github.com/reattach/reattach/failover"
)

// Destination is where notices go.
type Destination struct {
	Name     string // the same name across reloads is the same queue
	Kind     string // exec, webhook, slack, pagerduty, alertmanager, email: for people
	Sender   Sender
	Severity failover.Severity // the least that it is told
	Events   []string          // kinds of notice that it is told; empty: all but the quiet ones
	Resolve  bool              // it is told that a matter is over, too
	Timeout  time.Duration     // of one attempt; 0: 10 s
}

// Routing says what goes where.
type Routing struct {
	Destinations []Destination
	// Routes names the destinations of each resource, and, under "", of what
	// concerns no resource. Who is not named anywhere is told nothing.
	Routes map[string][]string
	// Runbook is the page to which messages link; empty: they do not.
	Runbook string
}

// wants reports whether a destination is to be told of a notice that begins
// something, or stands alone.
func (d Destination) wants(n failover.Notice) bool {
	if n.Severity() < d.Severity {
		return false
	}
	if len(d.Events) > 0 {
		return slices.Contains(d.Events, n.Event)
	}
	return !slices.ContainsFunc(failover.EventKinds(), func(k failover.EventKind) bool { return k.Name == n.Event && k.Quiet })
}

// tells returns the names of those whom a notice goes to by its resource, its
// severity and its kind.
func (r Routing) tells(n failover.Notice) []string {
	var names []string
	for _, d := range r.Destinations {
		if slices.Contains(r.Routes[n.Resource], d.Name) && d.wants(n) {
			names = append(names, d.Name)
		}
	}
	return names
}

func (r Routing) destination(name string) (Destination, bool) {
	i := slices.IndexFunc(r.Destinations, func(d Destination) bool { return d.Name == name })
	if i < 0 {
		return Destination{}, false
	}
	return r.Destinations[i], true
}
