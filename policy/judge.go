package policy

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/probe"
)

// State is what an observer believes of an endpoint.
type State uint8

// The states, from ignorance to the worst.
const (
	Unknown State = iota // nothing conclusive yet, or nothing for too long
	Up
	Suspect // something is wrong; not enough evidence to act on
	Down    // enough bad observations, over long enough
)

var states = [...]string{"unknown", "up", "suspect", "down"}

// String returns the word that people see.
func (s State) String() string { return states[s] }

// MarshalText encodes s by its word.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText decodes a word written by MarshalText. It fails on any other.
func (s *State) UnmarshalText(text []byte) error {
	i := slices.Index(states[:], string(text))
	if i < 0 {
		return fmt.Errorf("unknown state %q", text)
	}
	*s = State(i)
	return nil
}

// Verdict is what an observer believes of an endpoint, and from what. The zero
// Verdict is unknown.
type Verdict struct {
	State State
	Since time.Time // when State began
	// Kind is the kind of conversation that State rests on, where it is not up.
	Kind probe.Kind
	// Class, Code and Err are those of the last observation of that kind that was not OK.
	Class probe.Class
	Code  string
	Err   string
	// WasOK says that the endpoint has been OK before: only then garbage from it
	// is evidence, else the URL may simply name the wrong port.
	WasOK bool
	// lapsed is when a run began that nothing more was heard of, until the endpoint is up again.
	lapsed time.Time
	runs   [probe.KindCount]run
}

// run is the recent past of one kind of conversation.
type run struct {
	state    State
	window   uint64 // the last observations, the newest in bit 0; 1 is bad
	hard     uint64 // the same; 1 is bad by its own class, not by AlsoEvidence
	good     int    // good ones in a row
	firstBad time.Time
	hardBad  time.Time // begin of the first one that was bad by its own class
	lastSeen time.Time // end of the last observation that said anything
	lastOK   time.Time // begin of the last OK one
	class    probe.Class
	code     string
	err      string
}

// Judge folds an observation into a verdict.
//
// Down needs three things: that this observation is bad, Bad bad ones among the
// last Of, and a run whose first bad one began Sustain ago. Rise good ones in a
// row end the run. A class that is no evidence makes an endpoint suspect, and
// if it shows that somebody answered, it counts as not bad. Conversations of each kind are
// judged apart and the worst holds: an OK clears its own kind and the
// shallower ones only. A hint is no evidence, and a local fault says nothing.
func Judge(v Verdict, o probe.Result, t Thresholds) Verdict {
	if o.Class == probe.Local || o.Class == probe.None {
		return v
	}
	if o.Hint {
		v.runs[o.Kind] = run{}
		return v.worst(o.Ended)
	}
	if o.Class == probe.OK {
		v.WasOK = true
		for k := range v.runs[:o.Kind] {
			if v.runs[k].state > Up {
				v.runs[k].observeGood(o, t)
			}
		}
		v.runs[o.Kind].observeGood(o, t)
		return v.worst(o.Ended)
	}
	v.runs[o.Kind].observeBad(o, t, v.WasOK)
	return v.worst(o.Ended)
}

func (r *run) observeGood(o probe.Result, t Thresholds) {
	r.window, r.hard = r.window<<1, r.hard<<1
	r.good++
	r.lastSeen, r.lastOK = o.Ended, o.Began
	if r.state <= Up || r.good >= t.Rise {
		*r = run{state: Up, good: r.good, lastSeen: o.Ended, lastOK: o.Began}
		return
	}
	r.state = Suspect
}

func (r *run) observeBad(o probe.Result, t Thresholds, wasOK bool) {
	t = t.of(o.Kind)
	r.good, r.state, r.class, r.code, r.err = 0, Suspect, o.Class, o.Code, o.Err
	hard := t.hard(o.Class, wasOK)
	switch {
	case hard, slices.Contains(t.AlsoEvidence, o.Class):
		r.window, r.hard = r.window<<1|1, r.hard<<1
		if r.firstBad.IsZero() {
			r.firstBad = o.Began
		}
		if hard {
			r.hard |= 1
			if r.hardBad.IsZero() {
				r.hardBad = o.Began
			}
		}
	case o.Class.Answered():
		r.window, r.hard, r.lastSeen = r.window<<1, r.hard<<1, o.Ended
		return
	default: // neither for nor against: only a reason to look closer
		return
	}
	r.lastSeen = o.Ended
	if r.enough(o, t, hard) {
		r.state = Down
	}
}

// hard reports whether a class is evidence by itself: garbage only from who has
// been OK before, and another role only where something else is expected.
func (t Thresholds) hard(c probe.Class, wasOK bool) bool {
	switch c {
	case probe.Garbled:
		return wasOK
	case probe.Role:
		return len(t.Expect) > 0
	}
	return c.Evidence()
}

// Expected returns a conversation with what is attached as it is to be judged:
// one that taught something else than t expects is of class role. What is not
// known is no evidence.
func (t Thresholds) Expected(o probe.Result) probe.Result {
	if o.Class != probe.OK || len(o.Facts) == 0 {
		return o
	}
	var unmet []string
	for _, q := range t.Expect {
		if _, known := o.Facts[q.Fact]; !known {
			continue
		}
		if ok, why := q.Met(o.Facts); !ok {
			unmet = append(unmet, why)
		}
	}
	if len(unmet) > 0 {
		o.Class, o.Err = probe.Role, strings.Join(unmet, ", ")
	}
	return o
}

// enough reports whether there is enough evidence for down. What counts only
// because it lasts AlsoSustain does not shorten what the hard classes have to
// last: who mends a certificate restarts the server, too.
func (r *run) enough(o probe.Result, t Thresholds, hard bool) bool {
	recent := uint64(1)<<t.Of - 1
	lasted := func(first time.Time, long time.Duration) bool { return !first.IsZero() && o.Ended.Sub(first) >= long }
	return hard && bits.OnesCount64(r.hard&recent) >= t.Bad && lasted(r.hardBad, t.Sustain) ||
		bits.OnesCount64(r.window&recent) >= t.Bad && lasted(r.firstBad, max(t.Sustain, t.AlsoSustain))
}

// worst takes over the worst of the kinds.
func (v Verdict) worst(at time.Time) Verdict {
	state, kind := Unknown, probe.Fresh
	for k, r := range v.runs {
		if r.state > state {
			state, kind = r.state, probe.Kind(k)
		}
	}
	if state != v.State {
		v.State, v.Since = state, at
	}
	if state == Up {
		v.lapsed = time.Time{}
	}
	v.Kind, v.Class, v.Code, v.Err = kind, v.runs[kind].class, v.runs[kind].code, v.runs[kind].err
	return v
}

// At returns the verdict as it stands at now: unknown if nothing that says
// anything was seen for the time that three probes may take.
func (v Verdict) At(now time.Time, pace probe.Pace, timeout time.Duration) Verdict {
	if v.State == Unknown {
		return v
	}
	fresh := v.runs[probe.Fresh].lastSeen
	last := fresh
	if s := v.runs[probe.Session].lastSeen; s.After(last) {
		last = s
	}
	if now.Sub(last) <= Silence(pace.Interval, timeout) && now.Sub(fresh) <= Silence(pace.FreshInterval, timeout) {
		return v
	}
	return Verdict{Since: now, WasOK: v.WasOK, Kind: v.Kind, Class: v.Class, Code: v.Code, Err: v.Err, lapsed: v.Failing()}
}

// Silence is how long nothing may be seen of what is asked each interval, before
// what was seen last counts for nothing: the time that three probes may take.
func Silence(interval, timeout time.Duration) time.Duration { return 3 * (interval + timeout) }

// Void returns a verdict without the evidence: the observer itself stood
// still, so whatever it saw across the gap is worth nothing. That it failed is not
// forgotten: it has not recovered either.
func (v Verdict) Void(now time.Time) Verdict {
	return Verdict{Since: now, WasOK: v.WasOK, lapsed: v.Failing()}
}

// Forget returns a verdict without what one kind of conversation came to, which
// is not had any more.
func (v Verdict) Forget(k probe.Kind, now time.Time) Verdict {
	v.runs[k] = run{}
	return v.worst(now)
}

// FirstBad returns when the run that makes the endpoint suspect or down began;
// zero if there is none.
func (v Verdict) FirstBad() time.Time { return v.runs[v.Kind].firstBad }

// Failing returns when the endpoint began to fail; zero if it does not. One that
// failed and is not heard of any more has not recovered.
func (v Verdict) Failing() time.Time {
	if first := v.FirstBad(); v.State > Up && !first.IsZero() {
		return first
	}
	return v.lapsed
}

// Recovering reports whether the last conversation of that kind was OK, though
// not yet enough of them in a row were.
func (v Verdict) Recovering() bool { return v.runs[v.Kind].good > 0 }

// SeenOK reports whether a fresh conversation that began at since or later was OK.
func (v Verdict) SeenOK(since time.Time) bool {
	ok := v.runs[probe.Fresh].lastOK
	return !ok.IsZero() && !ok.Before(since)
}

// unexpected reports whether the verdict rests on facts: the server itself found
// nothing wrong.
func (v Verdict) unexpected() bool { return v.Class == probe.Role && v.Code == "" && v.Err != "" }

// Describe says in a few words what is believed, and why: "down (refused)", "up,
// but not what expect says (writable is false)".
func (v Verdict) Describe() string {
	if v.unexpected() {
		return "up, but not what expect says (" + v.Err + ")"
	}
	if why := v.Why(); why != v.State.String() {
		return fmt.Sprintf("%s (%s)", v.State, why)
	}
	return v.State.String()
}

// Why says in a few words what the verdict rests on: "refused", "auth 1045", "not
// what expect says: writable is false".
func (v Verdict) Why() string {
	if v.Class == probe.None || v.Class == probe.OK {
		return v.State.String()
	}
	if v.unexpected() {
		return "not what expect says: " + v.Err
	}
	if v.Code != "" {
		return v.Class.String() + " " + v.Code
	}
	return v.Class.String()
}
