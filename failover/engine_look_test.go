package failover_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// longRun is an engine with one resource, stepped once a minute, so that days
// can be played: the store answers right before, and each endpoint as it should.
type longRun struct {
	t     *testing.T
	e     *failover.Engine
	now   time.Time
	sweep uint64
	reply failover.Reply
	class map[string]probe.Class
	facts map[string]probe.Facts
	told  []failover.Notice
}

func newLongRun(t *testing.T, cfg failover.Config) *longRun {
	r := defineResource(t, "ra", []string{"primary", "standby"})
	cfg.Observer, cfg.Observers, cfg.Resources = "mon-a", []string{"mon-a"}, []*policy.Resource{r}
	key := r.Handles[0].Key
	s := failover.State{Epoch: 1, Op: "op", Attached: "primary", Handles: map[string]uint64{key: 0}}
	l := &longRun{t: t, e: failover.NewEngine(cfg), now: start, class: map[string]probe.Class{}, facts: map[string]probe.Facts{}}
	l.reply = failover.Reply{OK: true, Entries: []failover.Entry{{Key: "reattach/state/ra", ModifyIndex: 5, Value: encode(t, s)},
		{Key: key, ModifyIndex: 5, Value: []byte(r.Handles[0].Values[0].Reveal())}}}
	l.step(failover.Tick{})
	l.step(failover.Changed{Prefix: "reattach/control/"})
	l.forward(0)
	return l
}

func (l *longRun) step(ev failover.Event) {
	for _, f := range slices.Clone(l.e.Step(l.now, ev)) {
		switch f := f.(type) {
		case failover.Transact:
			if f.Purpose == failover.PurposeSweep {
				l.sweep = f.ID
			}
		case failover.Tell:
			l.told = append(l.told, f.Notice)
		}
	}
}

// forward lets so much time pass.
func (l *longRun) forward(d time.Duration) {
	l.now = l.now.Add(d)
	l.step(failover.Answered{ID: l.sweep, Sent: l.now, Reply: l.reply})
	for _, name := range []string{"primary", "standby"} {
		res := probe.Result{Kind: probe.Fresh, Class: probe.OK, Began: l.now, Ended: l.now, Facts: l.facts[name]}
		if c, ok := l.class[name]; ok {
			res.Class = c
		}
		for range 3 {
			l.step(failover.Observed{Resource: "ra", Endpoint: name, Result: res})
		}
	}
	l.step(failover.Tick{})
}

// until plays on, minute by minute, and returns what was told of that event.
func (l *longRun) until(d time.Duration, event string) (told []failover.Notice) {
	l.told = nil
	for end := l.now.Add(d); l.now.Before(end); {
		l.forward(time.Minute)
	}
	for _, n := range l.told {
		if n.Event == event {
			told = append(told, n)
		}
	}
	return told
}

func (l *longRun) pause(on bool) {
	var c failover.Control
	if on {
		c.Pause = &failover.Order{By: "alice", Reason: "a migration", At: l.now}
	}
	l.step(failover.Changed{Prefix: "reattach/control/", Entries: []failover.Entry{
		{Key: "reattach/control/_sentinel", ModifyIndex: 1}, {Key: "reattach/control/ra", ModifyIndex: uint64(l.now.Unix()), Value: encode(l.t, c)}}})
}

// TestNotProtectedEachDay: it is told after a minute, and then once a day under the
// same key, with the reason then, until it is over.
func TestNotProtectedEachDay(t *testing.T) {
	l := newLongRun(t, failover.Config{})
	if told := l.until(10*time.Minute, "not_protected"); len(told) != 0 {
		t.Fatalf("nothing is amiss, and told is %+v", told)
	}
	l.class["standby"] = probe.Refused
	told := l.until(50*time.Hour, "not_protected")
	if len(told) != 3 {
		t.Fatalf("in 50 hours it was told %d times", len(told))
	}
	for i, n := range told[1:] {
		if d := n.At.Sub(told[i].At); d != 24*time.Hour || n.Key != told[0].Key || !n.Since.Equal(told[0].Since) {
			t.Errorf("reminder %d came after %v, under %s, since %v", i+1, d, n.Key, n.Since)
		}
	}
	l.class["standby"] = probe.Auth
	if told := l.until(25*time.Hour, "not_protected"); len(told) != 1 || !strings.Contains(told[0].Why, "auth") {
		t.Errorf("with the reason then: %+v", told)
	}
	delete(l.class, "standby")
	if told := l.until(48*time.Hour, "not_protected"); len(told) != 1 || !told[0].Over {
		t.Errorf("at the end: %+v", told)
	}
}

// TestPausedForADay: who pauses a resource knows that it is not protected. After
// a day he may have forgotten.
func TestPausedForADay(t *testing.T) {
	l := newLongRun(t, failover.Config{})
	l.pause(true)
	if told := l.until(23*time.Hour, "not_protected"); len(told) != 0 {
		t.Fatalf("within a day: %+v", told)
	}
	told := l.until(2*time.Hour, "not_protected")
	if len(told) != 1 || told[0].Gate != "paused" || told[0].Next != "reattach resume ra --reason …" || !strings.Contains(told[0].Text, "alice") {
		t.Fatalf("after a day: %+v", told)
	}
	l.pause(false)
	if told := l.until(2*time.Minute, "not_protected"); len(told) != 1 || !told[0].Over {
		t.Errorf("when it was resumed: %+v", told)
	}
}

// TestReminderAcrossARestart: an earlier life's notice is the same matter, and the
// day counts from when it was told.
func TestReminderAcrossARestart(t *testing.T) {
	before := failover.Notice{Key: "ra/not_protected", Event: "not_protected", Resource: "ra", Lasts: true, At: start.Add(-23 * time.Hour), Since: start.Add(-40 * time.Hour)}
	l := newLongRun(t, failover.Config{Active: []failover.Notice{before}})
	l.class["standby"] = probe.Refused
	told := l.until(3*time.Hour, "not_protected")
	if len(told) != 1 || told[0].Over || told[0].At.Sub(start) != time.Hour || !told[0].Since.Equal(before.Since) {
		t.Errorf("%+v", told)
	}
}

// TestCertificateStages: 21, 7 and 1 days before its end, and at its end, under one key.
func TestCertificateStages(t *testing.T) {
	const day = 24 * time.Hour
	l := newLongRun(t, failover.Config{})
	expiry := start.Add(23 * day)
	l.facts["standby"] = probe.Facts{"tls_expiry": expiry.Format(time.RFC3339)}
	told := l.until(24*day, "certificate")
	if len(told) != 4 {
		t.Fatalf("told %d times: %+v", len(told), told)
	}
	for i, left := range []time.Duration{21 * day, 7 * day, day, 0} {
		n := told[i]
		if got := expiry.Sub(n.At); got > left || got < left-2*time.Minute || n.Key != told[0].Key || n.Urgent != (left <= day) || n.From != "standby" {
			t.Errorf("stage %v: told %v before, %+v", left, got, n)
		}
	}
	if !strings.Contains(told[3].Text, "has expired") {
		t.Error(told[3].Text)
	}
	l.facts["standby"] = probe.Facts{"tls_expiry": "next year"} // a fact that cannot be read says nothing
	if told := l.until(time.Hour, "certificate"); len(told) != 0 {
		t.Errorf("%+v", told)
	}
	l.facts["standby"] = probe.Facts{"tls_expiry": start.Add(300 * day).Format(time.RFC3339)}
	if told := l.until(time.Hour, "certificate"); len(told) != 1 || !told[0].Over {
		t.Errorf("replaced: %+v", told)
	}
}

// TestRecoveredLater: a failover of an earlier life goes on until its resource is protected.
func TestRecoveredLater(t *testing.T) {
	before := failover.Notice{Key: "ra/1.failover", Event: "failover", Urgent: true, Resource: "ra", Outage: "ra/0.x", From: "standby", To: "primary", Lasts: true, At: start.Add(-time.Hour)}
	l := newLongRun(t, failover.Config{Active: []failover.Notice{before}})
	l.class["standby"] = probe.Refused
	if told := l.until(time.Hour, "not_protected"); len(told) != 0 {
		t.Errorf("while the failover says so: %+v", told)
	}
	delete(l.class, "standby")
	told := l.until(3*time.Minute, "recovered")
	if len(told) != 1 || !told[0].Ends(before) || len(l.e.Status(l.now).Notices) != 0 {
		t.Errorf("%+v, and %+v goes on", told, l.e.Status(l.now).Notices)
	}
}

// TestManyExposed: however many resources are amiss, each is told once, and ended once.
func TestManyExposed(t *testing.T) {
	var story strings.Builder
	const many = 250
	for i := range many {
		fmt.Fprintf(&story, "resource r%03d a b\n+0s write app/r%03d/URL0 a\n+0s r%03d/b refused\n", i, i, i)
	}
	story.WriteString("+75s end\n")
	for i := range many {
		fmt.Fprintf(&story, "+0s r%03d/b ok\n", i)
	}
	story.WriteString("+25s end\n")
	out := play(t, story.String())
	for _, mark := range []string{"told not_protected", "over not_protected"} {
		if n := strings.Count(out, mark); n != many {
			t.Errorf("%q of %d resources: %d times", mark, many, n)
		}
	}
}

// TestGoneAcrossARestart: what was told of a resource that is not configured any
// more ends when the observer starts.
func TestGoneAcrossARestart(t *testing.T) {
	gone := []failover.Notice{{Key: "rz/3.x.held.candidate", Event: "held", Resource: "rz", Outage: "rz/3.x", Lasts: true},
		{Key: "rz/3.x.held.class", Event: "held", Resource: "rz", Outage: "rz/3.x", Lasts: true}, {Key: "rz/denied", Event: "denied", Resource: "rz", Lasts: true}}
	l := newLongRun(t, failover.Config{Active: gone})
	if len(l.told) != 2 || !l.told[0].Ends(gone[1]) || !l.told[1].Ends(gone[2]) {
		t.Errorf("%+v", l.told)
	}
}
