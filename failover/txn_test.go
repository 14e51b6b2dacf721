package failover_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/storetest"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// ledger is a store with one resource at some moment of a switch.
type ledger struct {
	*storetest.Model
	t *testing.T
	r *policy.Resource
}

const (
	handle0 = "app/orders-db/URL0"
	handle1 = "app/orders-db/URL1"
	state   = "reattach/state/orders-db"
	ballot  = "reattach/ballot/orders-db/_"
	pause   = "reattach/control/orders-db"
	pauses  = "reattach/control/_all"
	record  = "reattach/history/orders-db/0000000202"
	oldest  = "reattach/history/orders-db/0000000002"
)

// newLedger is attached to the primary at epoch 201. The second handle says the
// same for every endpoint, so that a switch checks it, and does not write it.
func newLedger(t *testing.T) *ledger {
	l := &ledger{storetest.NewModel(100), t, defineResource(t, "orders-db", []string{"primary", "standby", "handles=2"})}
	l.r.Handles[1].Values = []probe.Secret{"same", "same"}
	value := l.r.Handles[0].Values[0].Reveal()
	first := failover.State{Epoch: 201, Attached: "primary", Op: "op-201", Handles: map[string]uint64{handle0: 0, handle1: 0},
		Recent: []failover.Switch{{Epoch: 201, Op: "op-201", To: "primary"}}}
	l.must(failover.Op{Verb: failover.Set, Key: oldest, Value: []byte("{}")})
	l.must(failover.Op{Verb: failover.Set, Key: state, Value: encode(t, first)},
		failover.Op{Verb: failover.Set, Key: handle0, Value: []byte(value), Flags: 7},
		failover.Op{Verb: failover.Set, Key: handle1, Value: []byte("same")})
	return l
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (l *ledger) clone() *ledger { return &ledger{l.Clone(), l.t, l.r} }

func (l *ledger) try(ops []failover.Op) failover.Reply {
	l.t.Helper()
	reply, err := l.Apply(ops)
	if err != nil {
		l.t.Fatal(err)
	}
	return reply
}

func (l *ledger) must(ops ...failover.Op) failover.Reply {
	l.t.Helper()
	reply := l.try(ops)
	if !reply.OK {
		l.t.Fatalf("%v: %+v", ops, reply.Failed)
	}
	return reply
}

func (l *ledger) get(key string) failover.Entry {
	l.t.Helper()
	return l.must(failover.Op{Verb: failover.Get, Key: key}).Entries[0]
}

func (l *ledger) read() *failover.Reading {
	l.t.Helper()
	return failover.ReadingOf(l.r, l.must(failover.ReadOne(l.r)...), start)
}

func (l *ledger) state() (s failover.State) {
	l.t.Helper()
	if err := json.Unmarshal(l.get(state).Value, &s); err != nil {
		l.t.Fatal(err)
	}
	return s
}

// condition is what the handles are, as everybody reads it.
func (l *ledger) condition() policy.Condition {
	c, _, _ := failover.ConditionOf(l.r, l.state(), l.read())
	return c
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// opening is the transaction that opens a ballot on what was read.
func opening(_ *ledger, rd *failover.Reading) []failover.Op {
	return failover.OpenOps(failover.Opening{Nonce: "ours", Opener: "mon-a"}, "orders-db", rd)
}

// committing is the transaction that switches to the standby.
func committing(l *ledger, rd *failover.Reading) []failover.Op {
	sw := failover.Switch{Epoch: 202, Op: "op-202", From: "primary", To: "standby", At: start}
	s := failover.WithSwitch(l.state(), sw, l.r, "it was left")
	s.Handles = failover.OwnIndexes(l.r, rd, 1)
	return failover.CommitOps(l.r, rd, l.get(ballot).ModifyIndex, s, failover.Record{Resource: "orders-db", Epoch: 202, Op: "op-202", To: "standby"}, 1)
}

// adopting is the transaction that records the standby as what the handles are.
func adopting(l *ledger, rd *failover.Reading) []failover.Op {
	s := failover.WithSwitch(l.state(), failover.Switch{Epoch: 202, Op: "op-202", Kind: policy.Adopt, From: "primary", To: "standby"}, l.r, "it was left")
	s.Handles = failover.ReadIndexes(rd)
	return failover.AdoptOps(l.r, rd, s, failover.Record{Resource: "orders-db", Epoch: 202, Op: "op-202", To: "standby"})
}

// harm is what becomes of the store if an operation is missing (or a compare-
// and-set writes whatever is there).
type harm struct {
	what string
	// between happens after the reading; the whole list refuses then. Where it
	// is nil, the whole list does its work, and the other does not.
	between func(*ledger)
	done    func(*ledger) bool // the harm
}

func put(key, value string) func(*ledger) {
	return func(l *ledger) {
		l.must(failover.Op{Verb: failover.Set, Key: key, Value: []byte(value), Flags: l.get(key).Flags})
	}
}

func switched(l *ledger) bool { return strings.Contains(string(l.get(handle0).Value), "standby") }
func recorded(l *ledger) bool { return l.state().Epoch == 202 }
func opened(l *ledger) bool   { return l.get(ballot).Exists() }
func missing(k string) func(*ledger) bool {
	return func(l *ledger) bool { return !l.get(k).Exists() }
}

// another is another observer's switch, whole, at the same epoch.
func another(l *ledger) {
	s := l.state()
	s.Epoch, s.Op, s.Attached = 202, "another", "primary"
	l.must(failover.Op{Verb: failover.Set, Key: state, Value: encode(l.t, s)})
}

func lostAnother(l *ledger) bool { return l.state().Op != "another" }

func another202(l *ledger) { put(record, `{"op":"another"}`)(l) }

// edited puts an endpoint's own value back after an edit: only the index tells.
func edited(l *ledger) {
	was := string(l.get(handle0).Value)
	put(handle0, "foreign")(l)
	put(handle0, was)(l)
}

var openHarms = map[string]harm{
	"less cas " + ballot:    {"there is no ballot", nil, func(l *ledger) bool { return !opened(l) }},
	"set " + ballot:         {"another's ballot is overwritten", put(ballot, "another's"), func(l *ledger) bool { return string(l.get(ballot).Value) != "another's" }},
	"less check " + state:   {"a ballot is open on a state that is gone", another, opened},
	"less check " + handle0: {"a ballot is open on a handle that somebody changed", put(handle0, "foreign"), opened},
	"less check " + handle1: {"a ballot is open on a handle that somebody changed", put(handle1, "foreign"), opened},
	"less check " + pauses:  {"a ballot is opened under a pause", put(pauses, "{}"), opened},
	"less check " + pause:   {"a ballot is opened under a pause", put(pause, "{}"), opened},
}

var commitHarms = map[string]harm{
	"less check " + ballot:                        {"a switch lands after its ballot was closed", func(l *ledger) { l.must(failover.CloseOps("orders-db", l.get(ballot).ModifyIndex)...) }, switched},
	"less delete-tree reattach/ballot/orders-db/": {"the ballot stays open for ever", nil, opened},
	"less check " + pauses:                        {"a switch lands under a pause", put(pauses, "{}"), switched},
	"less check " + pause:                         {"a switch lands under a pause", put(pause, "{}"), switched},
	"less cas " + state:                           {"a handle changes without its record", nil, func(l *ledger) bool { return switched(l) && !recorded(l) }},
	"set " + state:                                {"another's switch is forgotten", another, lostAnother},
	"less cas " + handle0:                         {"a switch is recorded that did not happen", nil, func(l *ledger) bool { return recorded(l) && !switched(l) }},
	"set " + handle0:                              {"a foreign value is overwritten", put(handle0, "foreign"), switched},
	"less check " + handle1:                       {"a handle that somebody changed counts as switched", put(handle1, "foreign"), switched},
	"less cas " + record:                          {"a switch is in no history", nil, missing(record)},
	"set " + record:                               {"another's record is overwritten", another202, func(l *ledger) bool { return !strings.Contains(string(l.get(record).Value), "another") }},
	"less delete " + oldest:                       {"history grows for ever", nil, func(l *ledger) bool { return l.get(oldest).Exists() }},
}

var adoptHarms = map[string]harm{
	"less check " + handle0: {"what somebody wrote meanwhile is recorded as another endpoint", put(handle0, "foreign"), recorded},
	"less check " + handle1: {"what somebody wrote meanwhile is recorded as another endpoint", put(handle1, "foreign"), recorded},
	"less cas " + state:     {"it is in history, and not in state", nil, func(l *ledger) bool { return !recorded(l) }},
	"set " + state:          {"another's switch is forgotten", another, lostAnother},
	"less cas " + record:    {"it is in no history", nil, missing(record)},
	"set " + record:         {"another's record is overwritten", another202, func(l *ledger) bool { return !strings.Contains(string(l.get(record).Value), "another") }},
	"less delete " + oldest: {"history grows for ever", nil, func(l *ledger) bool { return l.get(oldest).Exists() }},
}

// TestEveryGuard takes each operation out of the lists, one at a time, and makes
// each compare-and-set write whatever is there: the harm that it prevents
// happens, and does not with the whole list.
func TestEveryGuard(t *testing.T) {
	for name, tt := range map[string]struct {
		ops    func(*ledger, *failover.Reading) []failover.Op
		ballot bool
		harms  map[string]harm
	}{"open": {opening, false, openHarms}, "commit": {committing, true, commitHarms}, "adopt": {adopting, false, adoptHarms},
		"claim": {claiming, true, claimHarms}, "further": {claimingFurther, false, furtherHarms}} {
		l := newLedger(t)
		if tt.ballot {
			l.must(opening(l, l.read())...)
		}
		ops := tt.ops(l, l.read())
		seen := map[string]bool{}
		for i, op := range ops {
			less := slices.Delete(slices.Clone(ops), i, i+1)
			what := "less " + strings.Replace(op.Verb.String(), "check-not-exists", "check", 1) + " " + op.Key
			what = strings.Replace(what, "check-index", "check", 1)
			seen[what] = true
			t.Run(name+" "+what, func(t *testing.T) { tt.harms[what].show(t, l, ops, less) })
			if op.Verb != failover.CAS {
				continue
			}
			loose := slices.Clone(ops)
			loose[i].Verb = failover.Set
			what = "set " + op.Key
			seen[what] = true
			t.Run(name+" "+what, func(t *testing.T) { tt.harms[what].show(t, l, ops, loose) })
		}
		for what := range tt.harms {
			if !seen[what] {
				t.Errorf("%s has no operation %q any more", name, what)
			}
		}
	}
}

func (h harm) show(t *testing.T, l *ledger, whole, less []failover.Op) {
	if h.done == nil {
		t.Fatal("nobody says what harm comes of it: is it needed?")
	}
	good, bad := l.clone(), l.clone()
	if h.between != nil {
		h.between(good)
		h.between(bad)
	}
	if reply := good.try(whole); reply.OK == (h.between != nil) || h.done(good) {
		t.Errorf("the whole list: OK is %v, and harm done: %v (%s)", reply.OK, h.done(good), h.what)
	}
	if reply := bad.try(less); !reply.OK || !h.done(bad) {
		t.Errorf("without it: OK is %v, and no harm (%s)", reply.OK, h.what)
	}
}

// TestEditThereAndBack: a value that was changed and put back is not as it was read.
func TestEditThereAndBack(t *testing.T) {
	l := newLedger(t)
	l.must(opening(l, l.read())...)
	ops := committing(l, l.read())
	edited(l)
	if l.try(ops).OK {
		t.Error("an edit there and back went unseen")
	}
	if c := l.condition(); c != policy.Moved {
		t.Errorf("the handles are %s", c)
	}
}

// TestAfterCommit: what everybody reads afterwards.
func TestAfterCommit(t *testing.T) {
	l := newLedger(t)
	l.must(opening(l, l.read())...)
	l.must(committing(l, l.read())...)
	if !switched(l) || !recorded(l) || opened(l) || l.condition() != policy.Ours {
		t.Errorf("switched %v, recorded %v, ballot open %v, handles %s", switched(l), recorded(l), opened(l), l.condition())
	}
	if h := l.get(handle0); h.Flags != 7 {
		t.Errorf("the handle's flags are %d", h.Flags)
	}
	if s := l.state(); s.Handles[handle0] != 0 || s.Handles[handle1] != l.get(handle1).ModifyIndex {
		t.Errorf("indexes of ours: %v", s.Handles)
	}
}

// TestCommitOnce: the same commit sent twice happens once, and a ballot opened
// twice is one ballot.
func TestCommitOnce(t *testing.T) {
	l := newLedger(t)
	open := opening(l, l.read())
	l.must(open...)
	if l.try(open).OK {
		t.Error("a second ballot is open")
	}
	ops := committing(l, l.read())
	l.must(ops...)
	if l.try(ops).OK {
		t.Error("the same commit happened twice")
	}
}

// TestCloseAndResolve close the ballot that they name, and no other one.
func TestCloseAndResolve(t *testing.T) {
	l := newLedger(t)
	l.must(opening(l, l.read())...)
	index := l.get(ballot).ModifyIndex
	l.must(failover.Op{Verb: failover.Set, Key: "reattach/ballot/orders-db/mon-b", Value: []byte("vote")})
	for what, ops := range map[string][]failover.Op{"close": failover.CloseOps("orders-db", index+1), "resolve": failover.ResolveOps("orders-db", index+1)} {
		if l.clone().try(ops).OK {
			t.Errorf("%s takes another ballot than it names", what)
		}
	}
	for what, ops := range map[string][]failover.Op{"close": failover.CloseOps("orders-db", index), "resolve": failover.ResolveOps("orders-db", index)} {
		c := l.clone()
		c.must(ops...)
		if left := c.must(failover.Op{Verb: failover.GetTree, Key: "reattach/ballot/orders-db/"}).Entries; len(left) != 0 {
			t.Errorf("%s leaves %v", what, left)
		}
		if again := c.try(ops); again.OK != (what == "resolve") {
			t.Errorf("%s of what is gone: %v", what, again.OK)
		}
	}
}

// TestPinned: a write of state alone keeps the handles ours, for it moves
// state's own index.
func TestPinned(t *testing.T) {
	l := newLedger(t)
	rd := l.read()
	s := failover.Pinned(l.state(), rd.State)
	s.Acked = 201
	l.must(failover.StateOps("orders-db", s, rd.State)...)
	if c := l.condition(); c != policy.Ours {
		t.Errorf("after an ack the handles are %s", c)
	}
	unpinned := l.state()
	unpinned.Handles = map[string]uint64{handle0: 0, handle1: 0}
	l.must(failover.StateOps("orders-db", unpinned, l.get(state))...)
	if c := l.condition(); c == policy.Ours {
		t.Error("without it they are still ours: the test proves nothing")
	}
	if l.try(failover.StateOps("orders-db", s, rd.State)).OK {
		t.Error("a state that was written meanwhile is overwritten")
	}
}

func TestControlOps(t *testing.T) {
	l := newLedger(t)
	read := l.get(pause)
	ops := failover.ControlOps(read, failover.Control{Pause: &failover.Order{By: "alice"}})
	l.must(ops...)
	if l.try(ops).OK {
		t.Error("another person's order is overwritten")
	}
}

// TestSizes: the longest switch fits into one transaction of the store.
func TestSizes(t *testing.T) {
	r := defineResource(t, "orders-db", []string{"primary", "standby", "handles=9"})
	for i := 9; i < 100; i++ {
		h := r.Handles[0]
		h.Key = fmt.Sprintf("app/orders-db/URL%d", i)
		r.Handles = append(r.Handles, h)
	}
	rd := &failover.Reading{State: failover.Entry{Key: state}, Controls: []failover.Entry{{Key: pauses}, {Key: pause}}}
	for _, h := range r.Handles {
		rd.Handles = append(rd.Handles, failover.Entry{Key: h.Key})
	}
	ops := failover.CommitOps(r, rd, 5, failover.State{}, failover.Record{Resource: "orders-db", Epoch: 999}, 1)
	if err := failover.CheckOps(ops); err != nil {
		t.Error(err)
	}
}

// TestVotes: a vote is cast on the ballot that it names, and on no other; a veto
// closes that ballot and can still be read; what is left is swept, but never a
// vote on a ballot that is open.
func TestVotes(t *testing.T) {
	l := newLedger(t)
	l.must(opening(l, l.read())...)
	index, vote := l.get(ballot).ModifyIndex, failover.Vote{Nonce: "ours", Observer: "mon-b"}
	const key = "reattach/ballot/orders-db/mon-b"
	for what, ops := range map[string]func(uint64) []failover.Op{
		"a vote": func(i uint64) []failover.Op { return failover.VoteOps("orders-db", i, vote) },
		"a veto": func(i uint64) []failover.Op { return failover.VetoOps("orders-db", i, vote) },
	} {
		if l.clone().try(ops(index + 1)).OK {
			t.Errorf("%s is cast on another ballot than it names", what)
		}
		if c := l.clone(); !c.try(ops(index)).OK || !c.get(key).Exists() || c.get(ballot).Exists() != (what == "a vote") {
			t.Errorf("%s: ballot %v, vote %v", what, c.get(ballot), c.get(key))
		}
		old := l.clone()
		put(key, `{"nonce":"of an earlier ballot"}`)(old)
		if old.must(ops(index)...); !strings.Contains(string(old.get(key).Value), `"ours"`) {
			t.Errorf("%s does not replace the one on an earlier ballot", what)
		}
	}
	if l.must(failover.VoteOps("orders-db", index, vote)...); l.clone().try(failover.SweepOps("orders-db")).OK {
		t.Error("the votes on an open ballot are swept")
	}
	c := l.clone()
	c.must(failover.VetoOps("orders-db", index, vote)...)
	rd := l.read()
	if c.try(committing(l, rd)).OK {
		t.Error("a switch lands after a veto")
	}
	if c.must(failover.SweepOps("orders-db")...); c.get(key).Exists() {
		t.Error("the vote of a closed ballot is left")
	}
}
