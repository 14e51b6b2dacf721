package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/probe"
)

// Resource is one backing service as applications see it: what its handles
// are called, which endpoints can serve it, and how carefully to treat it.
type Resource struct {
	Name      string
	Protocol  probe.Protocol // every endpoint of a resource speaks the same
	Endpoints []Endpoint     // in the order in which they are candidates
	Handles   []Handle       // the first one is the URL itself, unless it is spelled otherwise
	Pace      probe.Pace
	Judge     Thresholds
	// Require is what a candidate must show, by facts of this very ballot.
	Require []Requirement
	Steps   Steps

	Mode          Mode
	Failback      Failback
	FailbackAfter time.Duration // how long the first endpoint must have been up before an automatic failback
	MassFailure   MassFailure
	Veto          bool // an observer that was answered keeps the others from a failover
	Bootstrap     bool // create handles that were never there
}

// Endpoint is one place that can serve a resource.
type Endpoint struct {
	Name   string
	Target probe.Target
}

// Handle is a key that an application reads.
type Handle struct {
	Key string
	// Values holds what the key says for each endpoint, in the endpoints' order.
	Values []probe.Secret
}

// Mode says whether to act or only to say what would be done.
type Mode uint8

// The modes.
const (
	Act     Mode = iota
	Observe      // everything but steps and commits that write a handle
)

// String returns the word that the configuration uses.
func (m Mode) String() string { return [...]string{"act", "observe"}[m] }

// Failback says who brings a resource home to its first endpoint.
type Failback uint8

// The ways home.
const (
	FailbackManual Failback = iota // a person, by command
	FailbackAuto                   // a switchover with a timer, through the same gates
)

// String returns the word that the configuration uses.
func (f Failback) String() string { return [...]string{"manual", "auto"}[f] }

// MassFailure says what to do when many resources fail at once.
type MassFailure uint8

// The reactions to a mass failure.
const (
	MassHold    MassFailure = iota // hold until it passes, or a person says so
	MassProceed                    // switch all the same
)

// String returns the word that the configuration uses.
func (m MassFailure) String() string { return [...]string{"hold", "proceed"}[m] }

// Endpoint returns the place of the endpoint of that name, or -1.
func (r *Resource) Endpoint(name string) int {
	return slices.IndexFunc(r.Endpoints, func(e Endpoint) bool { return e.Name == name })
}

// Hash stands for the resource's meaning: handles, endpoints without their
// passwords, requirements, expectations, steps, mode, and the observers who watch it. Other thresholds and
// addresses are no part of it, so that tuning does not part observers. Votes count only
// under the same hash.
func (r *Resource) Hash(observers []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %s %v\n", r.Name, r.Mode, r.Veto)
	for _, e := range r.Endpoints {
		u := e.Target.URL
		fmt.Fprintf(&b, "endpoint %q %q %q %q %q %q\n", e.Name, u.Scheme, u.User, u.Host, u.Port, u.Path)
	}
	for _, h := range r.Handles {
		fmt.Fprintf(&b, "handle %q\n", h.Key)
	}
	for _, q := range r.Require {
		fmt.Fprintf(&b, "require %q\n", q.Text)
	}
	for _, q := range r.Judge.Expect {
		fmt.Fprintf(&b, "expect %q\n", q.Text)
	}
	b.WriteString(r.Steps.text())
	names := slices.Clone(observers)
	slices.Sort(names)
	fmt.Fprintf(&b, "observers %q\n", names)
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:8])
}

// Named returns the endpoint that value names as the value of h, and whether
// it is spelled exactly as the configuration spells it now (but for white
// space at its ends, which editors leave). A URL that differs from an
// endpoint's in its password only names that endpoint, too: a password was
// rotated. It returns -1 if no endpoint is named.
func (h Handle) Named(value string) (endpoint int, exact bool) {
	endpoint = -1
	for i := range h.Values {
		if names, same := h.Names(value, i); names && (same || endpoint < 0) {
			if endpoint = i; same {
				return i, true
			}
		}
	}
	return endpoint, false
}

// Names reports whether value names the endpoint, as [Handle.Named] has it. A
// value may name several: the name of a database is the same on each.
func (h Handle) Names(value string, endpoint int) (names, exact bool) {
	value = strings.TrimSpace(value)
	spelt := strings.TrimSpace(h.Values[endpoint].Reveal())
	if spelt == value {
		return true, true
	}
	given, err := probe.ParseURL(value)
	if err != nil {
		return false, false
	}
	own, err := probe.ParseURL(spelt)
	return err == nil && own.String() == given.String(), false
}

// Thresholds say how much evidence makes a verdict.
type Thresholds struct {
	Bad, Of int           // down wants Bad bad observations among the last Of (1 to 64)
	Rise    int           // so many good ones in a row are up again
	Sustain time.Duration // and the first bad one of the run began so long ago
	// AlsoEvidence are classes of the groups pressed and ours-to-mend that
	// count as bad here, if they last AlsoSustain.
	AlsoEvidence []probe.Class
	AlsoSustain  time.Duration
	// Expect are facts that what is attached must show. Where there are any,
	// class role is evidence.
	Expect []Requirement
	// WriteSustain stands for Sustain where a row is written; 0: none is.
	WriteSustain time.Duration
}

// of returns what holds for a kind of conversation. Who has rows written asks
// whether rows can be written: a server that lives and refuses them counts as bad.
func (t Thresholds) of(k probe.Kind) Thresholds {
	if k == probe.Write && t.WriteSustain > 0 {
		t.Sustain, t.AlsoSustain = t.WriteSustain, t.WriteSustain
		t.AlsoEvidence = append(slices.Clone(t.AlsoEvidence), probe.Degraded)
	}
	return t
}
