package failover_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// observed is what one conversation with r's endpoint came to.
func observed(endpoint string, c probe.Class, began time.Time) failover.Observed {
	return failover.Observed{Resource: "ra", Endpoint: endpoint, Result: probe.Result{Kind: probe.Fresh, Class: c, Began: began, Ended: began.Add(time.Millisecond)}}
}

func stateOf(e *failover.Engine, now time.Time, endpoint string) policy.State {
	for _, ep := range e.Status(now).Resources[0].Endpoints {
		if ep.Name == endpoint {
			return ep.State
		}
	}
	return policy.Unknown
}

// TestOldEvidence: what began before the process stood still, or under an
// endpoint's former URL, says nothing.
func TestOldEvidence(t *testing.T) {
	e, now := steady(t, 1)
	e.Step(now.Add(3*time.Second), failover.Stood{From: now})
	now = now.Add(3 * time.Second)
	e.Step(now, observed("primary", probe.Refused, now.Add(-time.Second)))
	if s := stateOf(e, now, "primary"); s != policy.Up {
		t.Errorf("after standing still: %s", s)
	}
	e.Step(now, observed("primary", probe.Refused, now))
	if s := stateOf(e, now, "primary"); s != policy.Suspect {
		t.Errorf("what began since counts: %s", s)
	}

	e, now = steady(t, 1)
	other := defineResource(t, "ra", []string{"primary", "standby@other"})
	e.Step(now.Add(time.Second), failover.Reloaded{ID: 1, Config: failover.Config{Observer: "mon-a", Observers: []string{"mon-a"}, Resources: []*policy.Resource{other}}})
	now = now.Add(time.Second)
	e.Step(now, observed("standby", probe.OK, now.Add(-time.Millisecond)))
	if s := stateOf(e, now, "standby"); s != policy.Unknown {
		t.Errorf("what was asked of the former URL makes the new one %s", s)
	}
	e.Step(now, observed("standby", probe.OK, now))
	if s := stateOf(e, now, "standby"); s != policy.Up {
		t.Errorf("what was asked of the new one: %s", s)
	}
}

// TestSwitchesThatCount: which of the recorded switches an observer that has
// just started counts for damping and for the pace.
func TestSwitchesThatCount(t *testing.T) {
	ago := func(d time.Duration) time.Time { return start.Add(-d) }
	for name, tt := range map[string]struct {
		at        []time.Time
		kind      policy.Kind
		byItself  bool
		hour, min string
	}{
		"three just now":               {[]time.Time{ago(30 * time.Second), ago(20 * time.Second), ago(10 * time.Second)}, policy.Failover, true, "3 of 3", "3 of 20"},
		"two of them long ago":         {[]time.Time{ago(2 * time.Hour), ago(61 * time.Minute), ago(10 * time.Minute)}, policy.Failover, true, "1 of 3", "0 of 20"},
		"a stamp in the future is now": {[]time.Time{start.Add(time.Hour)}, policy.Failover, true, "1 of 3", "1 of 20"},
		"a person's do not count":      {[]time.Time{ago(time.Second), ago(time.Second)}, policy.Switchover, false, "0 of 3", "0 of 20"},
		"nor does a bootstrap":         {[]time.Time{ago(time.Second)}, policy.Bootstrap, true, "0 of 3", "0 of 20"},
	} {
		t.Run(name, func(t *testing.T) {
			r := defineResource(t, "ra", []string{"primary", "standby"})
			e := failover.NewEngine(failover.Config{Observer: "mon-a", Observers: []string{"mon-a"}, Resources: []*policy.Resource{r}})
			s := failover.State{Epoch: 9, Op: "op", Attached: "primary", Handles: map[string]uint64{r.Handles[0].Key: 0}}
			for i, at := range tt.at {
				s.Recent = append(s.Recent, failover.Switch{Epoch: uint64(i), Op: strings.Repeat("x", i+1), Kind: tt.kind, Automatic: tt.byItself, To: "primary", At: at})
			}
			sweep := firstTransact(t, e.Step(start, failover.Tick{}))
			e.Step(start, failover.Changed{Prefix: "reattach/control/"})
			e.Step(start, failover.Answered{ID: sweep.ID, Sent: start, Reply: failover.Reply{OK: true, Entries: []failover.Entry{
				{Key: "reattach/state/ra", ModifyIndex: 5, Value: encode(t, s)},
				{Key: r.Handles[0].Key, ModifyIndex: 5, Value: []byte(r.Handles[0].Values[0].Reveal())}}}})
			x, err := e.Explain(start, "ra")
			if err != nil {
				t.Fatal(err)
			}
			for gate, want := range map[string]string{"damping": tt.hour, "pace": tt.min} {
				i := slices.IndexFunc(x.IfDown.Gates, func(p policy.Passage) bool { return p.Gate == gate })
				if why := x.IfDown.Gates[i].Why; !strings.HasPrefix(why, want) {
					t.Errorf("%s: %s; want %s", gate, why, want)
				}
			}
		})
	}
}

// TestSameEventsSameEffects, byte for byte, whatever the order of maps.
func TestSameEventsSameEffects(t *testing.T) {
	story := "resource a p s r\nresource b p s\nresource c p s\nresource d p s\n+0s write app/a/URL0 p\n+0s write app/b/URL0 p\n+0s write app/c/URL0 p\n" +
		"+5s a/p refused\n+0s b/p timeout\n+3s order pause --all for=20s\n+20s order drain c to=s\n+9s reload a p s sustain=2s\n+20s end\n"
	first := play(t, story)
	for range 10 {
		if again := play(t, story); again != first {
			t.Fatalf("another time:\n%s\n---\n%s", first, again)
		}
	}
}
