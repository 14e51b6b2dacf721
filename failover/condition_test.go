package failover_test

import (
	"slices"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// TestConditionOf goes through what handles can be. State was written at index
// 50, together with the first handle; the second handle is ours at index 40.
func TestConditionOf(t *testing.T) {
	r := defineResource(t, "orders-db", []string{"primary", "standby", "handles=2"})
	primary, standby := r.Handles[0].Values[0].Reveal(), r.Handles[0].Values[1].Reveal()
	const old = "mysql://app:former@orders-db-primary.internal:3306/orders"
	none := failover.Entry{}
	at := func(index uint64, value string) failover.Entry {
		return failover.Entry{ModifyIndex: index, Value: []byte(value)}
	}
	for name, tt := range map[string]struct {
		recorded string // attached in state; empty: there is no state
		first    failover.Entry
		second   failover.Entry
		want     policy.Condition
		attached int
	}{
		"ours":                             {"primary", at(50, primary), at(40, primary), policy.Ours, 0},
		"ours, with a trailing newline":    {"primary", at(50, primary+"\n"), at(40, primary), policy.Ours, 0},
		"an older password":                {"primary", at(50, old), at(40, primary), policy.Outdated, 0},
		"both in the older spelling":       {"primary", at(50, old), at(40, old), policy.Outdated, 0},
		"ours, in a spelling of no use":    {"primary", at(50, primary), at(40, "jdbc:old"), policy.Outdated, 0},
		"another name for it":              {"former", at(50, standby), at(40, standby), policy.Ours, 1},
		"the names were swapped":           {"primary", at(50, standby), at(40, standby), policy.Ours, 1},
		"another name, and another value":  {"former", at(50, "gone"), at(40, "gone"), policy.Foreign, -1},
		"moved by hand":                    {"primary", at(51, standby), at(51, standby), policy.Moved, 1},
		"moved there and back":             {"primary", at(51, primary), at(40, primary), policy.Moved, 0},
		"moved to an older password":       {"primary", at(51, old), at(40, primary), policy.Moved, 0},
		"only one was moved":               {"primary", at(51, standby), at(40, primary), policy.Foreign, -1},
		"a value that nobody has":          {"primary", at(51, "mysql://elsewhere/"), at(40, primary), policy.Foreign, -1},
		"one is gone":                      {"primary", none, at(40, primary), policy.Deleted, 0},
		"both are gone":                    {"standby", none, none, policy.Deleted, 1},
		"gone, and recorded as nobody":     {"former", none, none, policy.Deleted, -1},
		"nothing is there":                 {"", none, none, policy.Empty, -1},
		"no record yet":                    {"", at(7, standby), at(8, standby), policy.Unmanaged, 1},
		"no record yet, older password":    {"", at(7, old), at(8, primary), policy.Unmanaged, 0},
		"no record, and they differ":       {"", at(7, standby), at(8, primary), policy.Foreign, -1},
		"no record, and one is missing":    {"", none, at(8, primary), policy.Foreign, -1},
		"no record, and nobody's value":    {"", at(7, "?"), at(8, primary), policy.Foreign, -1},
		"no record, and an empty value":    {"", at(7, ""), at(8, primary), policy.Foreign, -1},
		"an older life of state's own key": {"primary", at(49, primary), at(40, primary), policy.Moved, 0},
	} {
		t.Run(name, func(t *testing.T) {
			rd := &failover.Reading{State: failover.Entry{Key: "reattach/state/orders-db"}, Handles: []failover.Entry{tt.first, tt.second}}
			rd.Handles[0].Key, rd.Handles[1].Key = handle0, handle1
			s := failover.State{Attached: tt.recorded}
			if tt.recorded != "" {
				rd.State.ModifyIndex = 50
				s.Epoch, s.Handles = 3, map[string]uint64{handle0: 0, handle1: 40}
			}
			got, attached, detail := failover.ConditionOf(r, s, rd)
			if got != tt.want || attached != tt.attached {
				t.Errorf("%s, attached %d (%s); want %s, %d", got, attached, detail, tt.want, tt.attached)
			}
			if (detail == "") != (got == policy.Ours) {
				t.Errorf("%s says %q", got, detail)
			}
		})
	}
}

// TestWithSwitch: what a switch leaves behind in state.
func TestWithSwitch(t *testing.T) {
	taint := func(names ...string) (all []failover.Taint) {
		for _, n := range names {
			all = append(all, failover.Taint{Endpoint: n})
		}
		return all
	}
	for name, tt := range map[string]struct {
		from, to string
		taints   bool
		before   []failover.Taint
		want     []string
	}{
		"a departure taints":              {"a", "b", true, nil, []string{"a"}},
		"a departure from a queue":        {"a", "b", false, nil, nil},
		"what is attached is not tainted": {"a", "b", true, taint("b", "c"), []string{"c", "a"}},
		"left again":                      {"a", "b", true, taint("a"), []string{"a"}},
		"a refresh":                       {"a", "a", true, taint("b"), []string{"b"}},
		"a bootstrap":                     {"", "a", true, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := defineResource(t, "orders-db", []string{"a", "b", "c"})
			r.Protocol.Traits.Taints = tt.taints
			before := failover.State{Epoch: 4, Op: "old", Taints: slices.Clone(tt.before), Acked: 4}
			s := failover.WithSwitch(before, failover.Switch{Epoch: 5, Op: "new", From: tt.from, To: tt.to, At: start}, r, "why")
			var got []string
			for _, mark := range s.Taints {
				got = append(got, mark.Endpoint)
				if mark.Endpoint == tt.from && tt.from != tt.to && (mark.Epoch != 5 || mark.Why != "why" || !mark.At.Equal(start)) {
					t.Errorf("the taint says %+v", mark)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("tainted are %v, want %v", got, tt.want)
			}
			if s.Epoch != 5 || s.Op != "new" || s.Attached != tt.to || s.Acked != 4 {
				t.Errorf("%+v", s)
			}
			if !slices.Equal(before.Taints, tt.before) || len(before.Recent) != 0 {
				t.Error("it changed the state that it was given")
			}
		})
	}
}

// TestRecentIsBounded: the last switches, newest last.
func TestRecentIsBounded(t *testing.T) {
	r := defineResource(t, "orders-db", []string{"a", "b"})
	var s failover.State
	for epoch := range uint64(failover.RecentSwitches + 5) {
		s = failover.WithSwitch(s, failover.Switch{Epoch: epoch, To: "a"}, r, "")
	}
	if len(s.Recent) != failover.RecentSwitches || s.Recent[len(s.Recent)-1].Epoch != failover.RecentSwitches+4 {
		t.Errorf("%d, the last %+v", len(s.Recent), s.Recent[len(s.Recent)-1])
	}
}

// TestRewound: which readings show a store that went back in time.
func TestRewound(t *testing.T) {
	known := failover.Seen{Epoch: 5, Op: "op-5", Index: 50}
	state := func(epoch uint64, op string) failover.State {
		return failover.State{Epoch: epoch, Op: op, Attached: "primary", Handles: map[string]uint64{"app/orders-db/URL0": 0}}
	}
	for name, tt := range map[string]struct {
		seen  failover.Seen
		state failover.State
		index uint64 // 0: there is no state
		want  bool
	}{
		"as it was":                     {known, state(5, "op-5"), 50, false},
		"state alone was written since": {known, state(5, "op-5"), 60, false},
		"a later epoch":                 {known, state(6, "op-6"), 60, false},
		"a later epoch, a lower index":  {known, state(6, "op-6"), 10, false},
		"an earlier epoch":              {known, state(4, "op-4"), 60, true},
		"the same epoch, another op":    {known, state(5, "other"), 60, true},
		"the same, and older":           {known, state(5, "op-5"), 49, true},
		"nothing is left":               {known, failover.State{}, 0, true},
		"nothing was seen":              {failover.Seen{}, state(1, "op-1"), 5, false},
		"nothing was ever there":        {failover.Seen{}, failover.State{}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := defineResource(t, "orders-db", []string{"primary", "standby"})
			cfg := failover.Config{Observer: "mon-a", Observers: []string{"mon-a"}, Resources: []*policy.Resource{r}}
			if tt.seen.Epoch > 0 {
				cfg.Seen = map[string]failover.Seen{"orders-db": tt.seen}
			}
			e := failover.NewEngine(cfg)
			entry := failover.Entry{Key: "reattach/state/orders-db", ModifyIndex: tt.index}
			if tt.index > 0 {
				entry.Value = encode(t, tt.state)
			}
			sweep := firstTransact(t, e.Step(start, failover.Tick{}))
			e.Step(start, failover.Answered{ID: sweep.ID, Sent: start, Reply: failover.Reply{OK: true,
				Entries: []failover.Entry{entry, {Key: handle0, ModifyIndex: tt.index, Value: []byte(r.Handles[0].Values[0].Reveal())}}}})
			notices := e.Status(start).Notices
			told := slices.ContainsFunc(notices, func(n failover.Notice) bool { return n.Event == "rewound" && n.Urgent })
			if told != tt.want {
				t.Errorf("told as rewound: %v, want %v", told, tt.want)
			}
		})
	}
}

func firstTransact(t *testing.T, effects []failover.Effect) failover.Transact {
	t.Helper()
	for _, f := range effects {
		if tr, ok := f.(failover.Transact); ok {
			return tr
		}
	}
	t.Fatal("nothing is sent")
	return failover.Transact{}
}

// steady is an engine whose resources are attached, read and up.
func steady(tb testing.TB, resources int) (*failover.Engine, time.Time) {
	var cfg failover.Config
	cfg.Observer, cfg.Observers = "mon-a", []string{"mon-a"}
	t, ok := tb.(*testing.T)
	if !ok {
		t = &testing.T{}
	}
	for i := range resources {
		cfg.Resources = append(cfg.Resources, defineResource(t, "r"+string(rune('a'+i)), []string{"primary", "standby"}))
	}
	e, now := failover.NewEngine(cfg), start
	sweep := firstTransact(t, e.Step(now, failover.Tick{}))
	e.Step(now, failover.Changed{Prefix: "reattach/control/"})
	reply := failover.Reply{OK: true}
	for _, r := range cfg.Resources {
		key := r.Handles[0].Key
		s := failover.State{Epoch: 1, Op: "op", Attached: "primary", Handles: map[string]uint64{key: 0}}
		reply.Entries = append(reply.Entries, failover.Entry{Key: "reattach/state/" + r.Name, ModifyIndex: 5, Value: encode(t, s)},
			failover.Entry{Key: key, ModifyIndex: 5, Value: []byte(r.Handles[0].Values[0].Reveal())})
	}
	e.Step(now, failover.Answered{ID: sweep.ID, Sent: now, Reply: reply})
	for _, r := range cfg.Resources {
		for _, ep := range r.Endpoints {
			e.Step(now, failover.Observed{Resource: r.Name, Endpoint: ep.Name, Result: probe.Result{Kind: probe.Fresh, Class: probe.OK, Began: now, Ended: now}})
		}
	}
	return e, now
}

// TestSteadyAllocatesNothing, because it is what an observer does all day. The
// event itself is the caller's.
func TestSteadyAllocatesNothing(t *testing.T) {
	e, now := steady(t, 1)
	for what, kind := range map[string]probe.Kind{"ping": probe.Session, "fresh": probe.Fresh} {
		var ev failover.Event = failover.Observed{Resource: "ra", Endpoint: "primary", Result: probe.Result{Kind: kind, Class: probe.OK, Began: now, Ended: now}}
		if n := testing.AllocsPerRun(1000, func() { e.Step(now, ev) }); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	if a := e.Status(now).Resources[0]; a.Activity != "steady" || !a.Protected {
		t.Errorf("it is %s, protected=%v: the test proves nothing", a.Activity, a.Protected)
	}
}

func BenchmarkObserved(b *testing.B) {
	e, now := steady(b, 20)
	var ev failover.Event = failover.Observed{Resource: "rb", Endpoint: "primary", Result: probe.Result{Kind: probe.Session, Class: probe.OK, Began: now, Ended: now}}
	for b.Loop() {
		e.Step(now, ev)
	}
}

func BenchmarkTick(b *testing.B) {
	e, now := steady(b, 20)
	for b.Loop() {
		e.Step(now, failover.Tick{})
	}
}
