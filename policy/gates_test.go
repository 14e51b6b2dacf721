package policy_test

import (
	"slices"
	"testing"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// onlyClosed holds, for each gate, a situation in which it alone keeps a switch
// back: the list less that gate would make it.
var onlyClosed = map[string]struct {
	kind  policy.Kind
	close func(s *policy.Situation)
}{
	"paused":  {policy.Failover, func(s *policy.Situation) { s.Paused = "by alice: a migration" }},
	"blind":   {policy.Failover, func(s *policy.Situation) { s.Blind = "the store is lost" }},
	"rewound": {policy.Failover, func(s *policy.Situation) { s.Rewound = "epoch 3, and 5 was seen" }},
	"ours":    {policy.Failover, func(s *policy.Situation) { s.Condition = policy.Foreign }},
	"class": {policy.Failover, func(s *policy.Situation) {
		// The votes are as they came in before it answered again.
		s.Endpoints[0].Verdict = policy.Verdict{State: policy.Suspect, Class: probe.Auth}
	}},
	"pace": {policy.Failover, func(s *policy.Situation) { s.Fleet = policy.PaceLimit }},
	"damping": {policy.FailbackTo, func(s *policy.Situation) {
		// A person named the target, so that it is not turned down as tried.
		s.Switches = policy.DampingLimit
		s.Endpoints[0].Tried, s.Endpoints[1].Tried = true, true
	}},
	"step":         {policy.Failover, func(s *policy.Situation) { s.Step = "failover to standby" }},
	"quorum":       {policy.Failover, func(s *policy.Situation) { s.Tally.Observers = 3 }},
	"mass_failure": {policy.Failover, func(s *policy.Situation) { s.Mass = policy.Mass{Addresses: 4, Failed: 2} }},
	"candidate": {policy.Restore, func(s *policy.Situation) {
		s.Endpoints[1].Tainted = "it was left"
	}},
}

// TestEveryGateGuards takes the gates away one at a time.
func TestEveryGateGuards(t *testing.T) {
	for i, g := range policy.Gates() {
		t.Run(g.Name, func(t *testing.T) {
			c, ok := onlyClosed[g.Name]
			if !ok {
				t.Fatal("there is no situation in which this gate alone is closed")
			}
			s := ready(c.kind)
			if d := policy.Decide(policy.Gates(), s); !d.Act() {
				t.Fatalf("before: closed is %+v", d.Closed())
			}
			c.close(s)
			d := policy.Decide(policy.Gates(), s)
			if d.Closed().Gate != g.Name {
				t.Fatalf("closed is %q: %s", d.Closed().Gate, d.Closed().Why)
			}
			less := policy.Decide(slices.Delete(policy.Gates(), i, i+1), s)
			// The damping gate and the candidate's own damping say the same twice.
			if shut := less.Closed(); shut.Gate != "" && g.Name != "damping" {
				t.Errorf("without the gate the switch is still kept back, by %s: %s", shut.Gate, shut.Why)
			}
		})
	}
}

// TestGatesGuardTheirKinds closes each gate for each kind of switch, and sees
// it close exactly for those that it guards.
func TestGatesGuardTheirKinds(t *testing.T) {
	for _, g := range policy.Gates() {
		for k := policy.Failover; k <= policy.Restore; k++ {
			s := ready(k)
			s.Automatic = true
			switch g.Name {
			case "ours":
				s.Condition = policy.Unread
			case "candidate":
				s.Endpoints[0].Tainted, s.Endpoints[1].Tainted = "left", "left"
				if k == policy.Refresh {
					s.Attached = -1 // nothing else turns down what is attached
				}
			case "quorum":
				s.Tally.Observers = 3
			default:
				onlyClosed[g.Name].close(s)
			}
			d := policy.Decide(policy.Gates(), s)
			i := slices.IndexFunc(d.Gates, func(p policy.Passage) bool { return p.Gate == g.Name })
			if guards := slices.Contains(g.Kinds, k); guards != (i >= 0) {
				t.Errorf("%s of %s: asked is %v", g.Name, k, i >= 0)
			} else if guards && d.Gates[i].Open {
				t.Errorf("%s of %s: open: %s", g.Name, k, d.Gates[i].Why)
			}
		}
	}
}

// TestForced forces each gate, in the situation in which it alone is closed.
func TestForced(t *testing.T) {
	for _, g := range policy.Gates() {
		c := onlyClosed[g.Name]
		s := ready(c.kind)
		c.close(s)
		s.Forced = []string{g.Name}
		d := policy.Decide(policy.Gates(), s)
		i := slices.IndexFunc(d.Gates, func(p policy.Passage) bool { return p.Gate == g.Name })
		if d.Gates[i].Waived != g.Waivable || d.Gates[i].Open != g.Waivable {
			t.Errorf("forced %s: %+v", g.Name, d.Gates[i])
		}
		// Forcing "candidate" takes a target that is not up; the gate itself stays,
		// for there has to be one.
		if g.Name != "candidate" && g.Waivable != slices.Contains(policy.Waivable(), g.Name) {
			t.Errorf("Waivable and %s disagree", g.Name)
		}
	}
	for _, never := range []string{"blind", "rewound", "ours", "step"} {
		if slices.Contains(policy.Waivable(), never) {
			t.Errorf("%s may be forced", never)
		}
	}
}

// TestOrderOfGates is a promise: explain, history and metrics show them so.
func TestOrderOfGates(t *testing.T) {
	want := []string{"paused", "blind", "rewound", "ours", "class", "pace", "damping", "step", "quorum", "mass_failure", "candidate"}
	var got []string
	for _, g := range policy.Gates() {
		got = append(got, g.Name)
		if (g.Stage == policy.Ballot) != slices.Contains([]string{"quorum", "mass_failure"}, g.Name) {
			t.Errorf("%s is of stage %d", g.Name, g.Stage)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestClosedAt(t *testing.T) {
	s := ready(policy.Failover)
	s.Tally.Down = 0
	d := policy.Decide(policy.Gates(), s)
	if p := d.ClosedAt(policy.Gates(), policy.Local); p.Gate != "" {
		t.Errorf("no local gate is closed, but %+v", p)
	}
	if p := d.ClosedAt(policy.Gates(), policy.Ballot); p.Gate != "quorum" {
		t.Errorf("closed by the ballot is quorum, not %+v", p)
	}
}

func TestSaysDown(t *testing.T) {
	for _, tt := range []struct {
		verdict   policy.Verdict
		automatic bool
		want      bool
	}{
		{policy.Verdict{State: policy.Down, Class: probe.Refused}, true, true},
		{policy.Verdict{State: policy.Suspect, Class: probe.Refused}, true, false},
		{policy.Verdict{State: policy.Suspect, Class: probe.Refused}, false, true},
		{policy.Verdict{State: policy.Suspect, Class: probe.Auth}, false, false},
		{policy.Verdict{State: policy.Suspect, Class: probe.Garbled}, false, false},
		{policy.Verdict{State: policy.Suspect, Class: probe.Garbled, WasOK: true}, false, true},
		{policy.Verdict{State: policy.Up}, false, false},
		{policy.Verdict{}, false, false},
	} {
		s := ready(policy.Failover)
		s.Endpoints[0].Verdict, s.Automatic = tt.verdict, tt.automatic
		if got := policy.SaysDown(s); got != tt.want {
			t.Errorf("%+v, automatic=%v: %v", tt.verdict, tt.automatic, got)
		}
	}
}

// TestEveryClassHasItsSentence wants a reason for each class that is no evidence.
func TestEveryClassHasItsSentence(t *testing.T) {
	seen := map[string]probe.Class{}
	for _, c := range probe.Classes() {
		if c == probe.OK || c == probe.Local || c.Evidence() && c != probe.Garbled {
			continue
		}
		s := ready(policy.Failover)
		s.Endpoints[0].Verdict = policy.Verdict{State: policy.Suspect, Class: c}
		d := policy.Decide(policy.Gates(), s)
		if d.Closed().Gate != "class" {
			t.Errorf("%s: closed is %q", c, d.Closed().Gate)
		}
		if other, twice := seen[d.Closed().Why]; twice {
			t.Errorf("%s and %s have one sentence", c, other)
		}
		seen[d.Closed().Why] = c
	}
}
