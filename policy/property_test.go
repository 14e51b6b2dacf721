package policy_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

func drawThresholds(t *rapid.T) policy.Thresholds {
	th := policy.Thresholds{Of: rapid.IntRange(1, 8).Draw(t, "of"), Rise: rapid.IntRange(1, 3).Draw(t, "rise")}
	th.Bad = rapid.IntRange(1, th.Of).Draw(t, "bad")
	th.Sustain = time.Duration(rapid.IntRange(0, 5).Draw(t, "sustain")) * time.Second
	if rapid.Bool().Draw(t, "also") {
		th.AlsoEvidence, th.AlsoSustain = []probe.Class{probe.TLS, probe.Overloaded}, 10*time.Second
	}
	if rapid.Bool().Draw(t, "expects") {
		th.Expect = []policy.Requirement{writable}
	}
	return th
}

// drawResult draws what a loop can emit next: a session gives ok or hints only.
func drawResult(t *rapid.T, now *time.Time) probe.Result {
	*now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "after")) * time.Millisecond)
	o := probe.Result{Kind: rapid.SampledFrom([]probe.Kind{probe.Session, probe.Fresh, probe.Fresh, probe.Write}).Draw(t, "kind"),
		Class: rapid.SampledFrom(append(probe.Classes(), probe.OK, probe.Refused, probe.Refused, probe.Timeout)).Draw(t, "class")}
	o.Hint = o.Kind == probe.Session && o.Class != probe.OK
	o.Began = *now
	*now = now.Add(time.Duration(rapid.IntRange(0, 500).Draw(t, "took")) * time.Millisecond)
	o.Ended = *now
	return o
}

// oracle judges the fresh kind alone, from the whole history, as slowly and
// plainly as it can be said.
type oracle struct {
	seen  []heard // since the last rise
	wasOK bool
}

// heard is an observation, and what it counted as when it came.
type heard struct {
	probe.Result
	hard, also, said bool
}

func (h *oracle) see(o probe.Result, t policy.Thresholds) {
	h.wasOK = h.wasOK || o.Class == probe.OK
	this := heard{Result: o, hard: o.Class.Evidence() && (o.Class != probe.Garbled || h.wasOK)}
	this.hard = this.hard || o.Class == probe.Role && len(t.Expect) > 0
	this.also = this.hard || slices.Contains(t.AlsoEvidence, o.Class)
	this.said = this.also || o.Class.Answered()
	h.seen = append(h.seen, this)
	good := 0
	for i := len(h.seen) - 1; i >= 0 && h.seen[i].Class == probe.OK; i-- {
		good++
	}
	if good >= t.Rise || good == len(h.seen) {
		h.seen = nil
	}
}

// down reports whether what was seen may be called down: m bad ones of the last
// n that said anything, the first bad one sustain ago, and the last one bad.
func (h *oracle) down(t policy.Thresholds) bool {
	return h.enough(t, func(o heard) bool { return o.hard }, t.Sustain) ||
		h.enough(t, func(o heard) bool { return o.also }, max(t.Sustain, t.AlsoSustain))
}

func (h *oracle) enough(t policy.Thresholds, bad func(heard) bool, sustain time.Duration) bool {
	said := slices.DeleteFunc(slices.Clone(h.seen), func(o heard) bool { return !o.said })
	first := slices.IndexFunc(said, bad)
	if first < 0 || !bad(h.seen[len(h.seen)-1]) {
		return false
	}
	n := 0
	for _, o := range said[max(0, len(said)-t.Of):] {
		if bad(o) {
			n++
		}
	}
	return n >= t.Bad && said[len(said)-1].Ended.Sub(said[first].Began) >= sustain
}

// TestDownWantsEvidence: Judge says down exactly when the plain history of the
// fresh conversations says so.
func TestDownWantsEvidence(t *testing.T) {
	reached := 0
	rapid.Check(t, func(t *rapid.T) {
		th, now := drawThresholds(t), start
		var v policy.Verdict
		var h oracle
		for range rapid.IntRange(1, 40).Draw(t, "observations") {
			o := drawResult(t, &now)
			o.Kind, o.Hint = probe.Fresh, false
			v = policy.Judge(v, o, th)
			if o.Class != probe.Local {
				h.see(o, th)
			}
			if o.Class == probe.Local {
				continue
			}
			if got, want := v.State == policy.Down, h.down(th); got != want {
				t.Fatalf("%s after %v, with %+v", v.State, h.seen, th)
			}
			if v.State != policy.Down {
				continue
			}
			reached++
			if !v.Class.Evidence() && !slices.Contains(th.AlsoEvidence, v.Class) && (v.Class != probe.Role || th.Expect == nil) {
				t.Fatalf("down because of %s", v.Class)
			}
		}
	})
	if reached == 0 {
		t.Error("no history ever came to down: the property proves nothing")
	}
}

// TestUnheard: hints never make a verdict worse, local faults never change it.
func TestUnheard(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		th, now := drawThresholds(t), start
		var v policy.Verdict
		for range rapid.IntRange(1, 30).Draw(t, "observations") {
			o := drawResult(t, &now)
			before := v
			v = policy.Judge(v, o, th)
			switch {
			case o.Class == probe.Local && v != before:
				t.Fatalf("a local fault changed %+v to %+v", before, v)
			case o.Hint && v.State > before.State:
				t.Fatalf("a hint of %s made %s of %s", o.Class, v.State, before.State)
			}
		}
	})
}

// TestRise: whatever came before, Rise good conversations of the deepest kind
// in a row are up.
func TestRise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		th, now := drawThresholds(t), start
		var v policy.Verdict
		for range rapid.IntRange(0, 30).Draw(t, "observations") {
			v = policy.Judge(v, drawResult(t, &now), th)
		}
		for range th.Rise {
			now = now.Add(time.Second)
			v = policy.Judge(v, probe.Result{Kind: probe.Write, Class: probe.OK, Began: now, Ended: now}, th)
		}
		if v.State != policy.Up || !v.FirstBad().IsZero() {
			t.Fatalf("%+v", v)
		}
	})
}

// TestAtNeverWorsens: time alone makes a verdict unknown, and nothing else.
func TestAtNeverWorsens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		th, now := drawThresholds(t), start
		var v policy.Verdict
		for range rapid.IntRange(0, 20).Draw(t, "observations") {
			v = policy.Judge(v, drawResult(t, &now), th)
		}
		at := now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "later")) * time.Second)
		if got := v.At(at, probe.Pace{Interval: time.Second, FreshInterval: 10 * time.Second}, time.Second); got.State != v.State && got.State != policy.Unknown {
			t.Fatalf("%s became %s", v.State, got.State)
		}
		if got := v.At(now.Add(time.Hour), probe.Pace{Interval: time.Second, FreshInterval: 10 * time.Second}, time.Second); got.State != policy.Unknown {
			t.Fatalf("after an hour it is still %s", got.State)
		}
	})
}

// drawSituation draws one in which a few things are not as they should be.
func drawSituation(t *rapid.T) *policy.Situation {
	s := ready(policy.Kind(rapid.IntRange(int(policy.Failover), int(policy.Restore)).Draw(t, "kind")))
	for range rapid.IntRange(0, 2).Draw(t, "more endpoints") {
		s.Endpoints = append(s.Endpoints, policy.Standing{Name: "more", Verdict: policy.Verdict{State: policy.Up}, Fresh: true})
		s.Tally.Up = append(s.Tally.Up, 1)
	}
	for range rapid.IntRange(0, 5).Draw(t, "changes") {
		rapid.SampledFrom(changes).Draw(t, "change")(t, s)
	}
	if !s.Automatic {
		s.Forced = rapid.SliceOfNDistinct(rapid.SampledFrom(policy.Waivable()), 0, 3, func(s string) string { return s }).Draw(t, "forced")
	}
	return s
}

// writable is the requirement of that name.
var writable = func() policy.Requirement {
	r, err := policy.ParseRequirement("writable", []probe.Fact{{Name: "writable", Type: "bool"}})
	if err != nil {
		panic(err)
	}
	return r
}()

var changes = []func(*rapid.T, *policy.Situation){
	func(t *rapid.T, s *policy.Situation) {
		e := someone(t, s)
		e.Verdict = policy.Verdict{State: policy.State(rapid.IntRange(0, 3).Draw(t, "state")), Class: rapid.SampledFrom(probe.Classes()).Draw(t, "class")}
	},
	func(t *rapid.T, s *policy.Situation) { someone(t, s).Fresh = false },
	func(t *rapid.T, s *policy.Situation) { someone(t, s).Tainted = "left" },
	func(t *rapid.T, s *policy.Situation) { someone(t, s).Drained = "by bob" },
	func(t *rapid.T, s *policy.Situation) { someone(t, s).ServerID = "7" },
	func(t *rapid.T, s *policy.Situation) { someone(t, s).Tried = true },
	func(_ *rapid.T, s *policy.Situation) { s.Resource.Require = []policy.Requirement{writable} },
	func(t *rapid.T, s *policy.Situation) {
		someone(t, s).Facts = probe.Facts{"writable": rapid.Bool().Draw(t, "writable")}
	},
	func(t *rapid.T, s *policy.Situation) {
		s.Tally.Up[rapid.IntRange(0, len(s.Tally.Up)-1).Draw(t, "who")] = 0
	},
	func(_ *rapid.T, s *policy.Situation) { s.Automatic = !s.Automatic },
	func(t *rapid.T, s *policy.Situation) {
		s.Automatic, s.Target = false, rapid.IntRange(0, len(s.Endpoints)-1).Draw(t, "target")
	},
	func(t *rapid.T, s *policy.Situation) {
		s.Attached = rapid.IntRange(-1, len(s.Endpoints)-1).Draw(t, "attached")
	},
	func(_ *rapid.T, s *policy.Situation) { s.Paused = "by alice" },
	func(_ *rapid.T, s *policy.Situation) { s.Blind = "no store" },
	func(_ *rapid.T, s *policy.Situation) { s.Rewound = "epoch 3" },
	func(_ *rapid.T, s *policy.Situation) { s.Step = "promote" },
	func(_ *rapid.T, s *policy.Situation) { s.Tally.Veto = "mon-c" },
	func(_ *rapid.T, s *policy.Situation) { s.Resource.Veto = false },
	func(t *rapid.T, s *policy.Situation) {
		s.Condition = policy.Condition(rapid.IntRange(int(policy.Unread), int(policy.Deleted)).Draw(t, "condition"))
	},
	func(t *rapid.T, s *policy.Situation) { s.Switches = rapid.IntRange(2, 4).Draw(t, "switches") },
	func(t *rapid.T, s *policy.Situation) { s.Fleet = rapid.IntRange(19, 21).Draw(t, "fleet") },
	func(_ *rapid.T, s *policy.Situation) { s.Acked = true },
	func(_ *rapid.T, s *policy.Situation) { s.Acked, s.MassAcked = true, true },
	func(t *rapid.T, s *policy.Situation) {
		s.Mass = policy.Mass{Addresses: rapid.IntRange(3, 6).Draw(t, "addresses"), Failed: rapid.IntRange(1, 3).Draw(t, "failed")}
	},
	func(t *rapid.T, s *policy.Situation) {
		s.Tally.Observers, s.Tally.Down = 3, rapid.IntRange(0, 3).Draw(t, "down")
		s.Tally.Zones = rapid.IntRange(1, 2).Draw(t, "zones")
	},
}

func someone(t *rapid.T, s *policy.Situation) *policy.Standing {
	return &s.Endpoints[rapid.IntRange(0, len(s.Endpoints)-1).Draw(t, "who")]
}

// TestDecideHolds checks what must hold of each decision that acts.
func TestDecideHolds(t *testing.T) {
	acted := map[policy.Kind]int{}
	rapid.Check(t, func(t *rapid.T) {
		s := drawSituation(t)
		d := policy.Decide(policy.Gates(), s)
		if again := policy.Decide(policy.Gates(), s); !reflect.DeepEqual(d, again) {
			t.Fatalf("the same situation, another decision:\n%+v\n%+v", d, again)
		}
		for _, p := range d.Gates {
			if p.Why == "" {
				t.Fatalf("%s says nothing", p.Gate)
			}
			if p.Waived && !slices.Contains(s.Forced, p.Gate) {
				t.Fatalf("%s was waived, and nobody forced it", p.Gate)
			}
		}
		if len(d.Candidates) != len(s.Endpoints) {
			t.Fatalf("%d endpoints, %d candidacies", len(s.Endpoints), len(d.Candidates))
		}
		if d.Act() {
			acted[s.Kind]++
			checkAct(t, s, d)
		}
	})
	for k := policy.Failover; k <= policy.Restore; k++ {
		if acted[k] == 0 {
			t.Errorf("no situation ever led to a %s: the property proves nothing of it", k)
		}
	}
}

func checkAct(t *rapid.T, s *policy.Situation, d policy.Decision) {
	forced := func(name string) bool { return slices.Contains(s.Forced, name) }
	if d.Target < 0 {
		t.Fatal("it acts, and has no target")
	}
	e := s.Endpoints[d.Target]
	switch {
	case s.Blind != "" || s.Rewound != "" || s.Step != "":
		t.Fatal("blind, rewound and step are never waived")
	case s.Paused != "" && !forced("paused"):
		t.Fatal("paused")
	case s.Condition == policy.Foreign && s.Kind != policy.Restore, s.Condition == policy.Unread:
		t.Fatalf("the handles are %s", s.Condition)
	case e.Tainted != "" && !forced("taint") && s.Kind != policy.Refresh:
		t.Fatal("the target is tainted")
	case e.Drained != "" && !forced("drained") && s.Kind != policy.Refresh:
		t.Fatal("the target is drained")
	case s.Target >= 0 && d.Target != s.Target && s.Kind != policy.Refresh:
		t.Fatal("a person named another target")
	}
	if s.Kind == policy.Restore || s.Kind == policy.Refresh {
		return
	}
	switch {
	case d.Target == s.Attached:
		t.Fatal("the target is attached already")
	case (e.Verdict.State != policy.Up || !e.Fresh) && !forced("candidate"):
		t.Fatalf("the target is %s, fresh=%v", e.Verdict.State, e.Fresh)
	case len(policy.Unmet(s.Resource.Require, e.Facts)) > 0 && !forced("requirement"):
		t.Fatalf("the target does not meet %v: %v", s.Resource.Require, e.Facts)
	case s.Automatic && s.Fleet >= policy.PaceLimit && s.Kind != policy.Bootstrap:
		t.Fatal("beyond the pace")
	case s.Automatic && s.Switches >= policy.DampingLimit && !s.Acked && e.Tried:
		t.Fatal("damped, and the target was tried")
	}
	if s.Kind == policy.Failover {
		checkFailover(t, s, forced)
	} else if s.Tally.Up[d.Target] < s.Tally.Majority() && !forced("quorum") {
		t.Fatalf("%d of %d say that the target is up", s.Tally.Up[d.Target], s.Tally.Observers)
	}
}

func checkFailover(t *rapid.T, s *policy.Situation, forced func(string) bool) {
	switch {
	case !forced("quorum") && s.Tally.Down < s.Tally.Majority():
		t.Fatal("no quorum")
	case !forced("quorum") && s.Tally.Veto != "" && s.Resource.Veto:
		t.Fatal("vetoed")
	case !forced("class") && s.Attached < 0:
		t.Fatal("nothing is attached")
	case !forced("mass_failure") && s.Mass.Failing() && !s.MassAcked && s.Tally.Zones < 2:
		t.Fatal("a mass failure")
	case forced("class"):
		return
	}
	if st := s.Endpoints[s.Attached].Verdict.State; st != policy.Down && (s.Automatic || st != policy.Suspect) {
		t.Fatalf("what is attached is %s", st)
	}
}

// TestProtectedMeansIt: where it says yes, a failover is made as soon as what is
// attached is down and everybody says so.
func TestProtectedMeansIt(t *testing.T) {
	yes := 0
	rapid.Check(t, func(t *rapid.T) {
		s := drawSituation(t)
		before := slices.Clone(s.Endpoints)
		p := policy.Protected(policy.Gates(), *s)
		if !reflect.DeepEqual(before, s.Endpoints) {
			t.Fatal("it changed the situation that it was asked about")
		}
		if !p.Act() || s.Attached < 0 {
			return
		}
		yes++
		s.Kind, s.Automatic, s.Forced, s.Target, s.Tally.Veto = policy.Failover, true, nil, -1, ""
		s.Endpoints[s.Attached].Verdict = policy.Verdict{State: policy.Down, Class: probe.Timeout, WasOK: true}
		s.Tally.Down = s.Tally.Observers
		for i := range s.Endpoints {
			s.Endpoints[i].Fresh = true
		}
		if d := policy.Decide(policy.Gates(), s); !d.Act() || d.Target != p.Target {
			t.Fatalf("protected to %d, but closed is %+v, target %d", p.Target, d.Closed(), d.Target)
		}
	})
	if yes == 0 {
		t.Error("nothing was ever protected: the property proves nothing")
	}
}

func BenchmarkJudge(b *testing.B) {
	th := policy.Thresholds{Bad: 3, Of: 3, Rise: 2, Sustain: 10 * time.Second}
	for name, o := range map[string]probe.Result{
		"ok":      {Kind: probe.Fresh, Class: probe.OK, Began: start, Ended: start},
		"session": {Kind: probe.Session, Class: probe.OK, Began: start, Ended: start},
		"bad":     {Kind: probe.Fresh, Class: probe.Refused, Began: start, Ended: start},
	} {
		b.Run(name, func(b *testing.B) {
			var v policy.Verdict
			for b.Loop() {
				v = policy.Judge(v, o, th)
			}
		})
	}
}

func BenchmarkDecide(b *testing.B) {
	gates, s := policy.Gates(), ready(policy.Failover)
	for b.Loop() {
		if !policy.Decide(gates, s).Act() {
			b.Fatal("closed")
		}
	}
}

// TestJudgeAllocatesNothing, because it runs for every answer of every endpoint.
func TestJudgeAllocatesNothing(t *testing.T) {
	th := policy.Thresholds{Bad: 3, Of: 3, Rise: 2, Sustain: 10 * time.Second}
	var v policy.Verdict
	ok := probe.Result{Kind: probe.Fresh, Class: probe.OK, Began: start, Ended: start}
	if n := testing.AllocsPerRun(100, func() { v = policy.Judge(v, ok, th) }); n != 0 {
		t.Errorf("%v allocations for an OK", n)
	}
}
