package chaos

import (
	"testing"

	"github.com/reattach/reattach/policy"
)

// TestOneCutOff: one of three observers is cut off from the primary, and from
// nothing else. It is held by the others' veto, and each of the three says what
// the others see.
func TestOneCutOff(t *testing.T) {
	need(t)
	f := newFleet(t, newResource(t))
	lost := f.observers[0]
	lost.cut(f.resource.primary)
	f.opened(2 * ballotTime)
	f.heldBy(lost, "quorum")
	f.says(lost, "finds primary up")
	for _, o := range f.others(lost) {
		f.saysOf(o, lost, "primary down (timeout), standby up")
	}
	f.unswitched(ballotTime, "one observer's network is no reason")
}

// TestTwoCutOff: two of three are. By default the third one's veto holds it.
func TestTwoCutOff(t *testing.T) {
	need(t)
	f := newFleet(t, newResource(t))
	third := f.observers[2]
	together(func() { f.observers[0].cut(f.resource.primary) }, func() { f.observers[1].cut(f.resource.primary) })
	opening, _ := f.opened(2 * ballotTime)
	opener := f.named(opening.Opener)
	f.heldBy(opener, "quorum")
	f.says(opener, "vetoed: "+third.name+" finds primary up")
	f.saysOf(third, opener, "primary down (timeout), standby up")
	f.unswitched(ballotTime, "a third observer finds the primary up")
}

// TestTwoCutOffWithoutVeto: where the configuration waives the veto, a majority is
// enough, and everybody can read why.
func TestTwoCutOffWithoutVeto(t *testing.T) {
	need(t)
	r := newResource(t)
	r.noVeto = true
	f := newFleet(t, r)
	third := f.observers[2]
	together(func() { f.observers[0].cut(f.resource.primary) }, func() { f.observers[1].cut(f.resource.primary) })
	f.switched(4 * ballotTime)
	rec := f.once(0)
	if rec.By == third.name {
		t.Errorf("it was switched by %s, who finds the primary up", third.name)
	}
	down := 0
	for _, v := range rec.Votes {
		for _, saw := range v.Saw {
			if saw.Endpoint == "primary" && saw.State == policy.Down {
				down++
			}
		}
	}
	if down != 2 {
		t.Errorf("%d down votes stand in the record: %s", down, text(rec.Votes))
	}
	for _, o := range f.observers {
		f.says(o, "primary was down (timeout), standby was up")
	}
}
