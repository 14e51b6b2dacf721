package storetest

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/reattach/reattach/failover"
)

func oneIndex(f *fixture) {
	f.set("old", "x")
	got := f.txn(
		failover.Op{Verb: failover.Set, Key: "a"},
		failover.Op{Verb: failover.CAS, Key: "b"},
		failover.Op{Verb: failover.Set, Key: "old", Value: []byte("y")})
	for _, e := range append(got.Entries, f.tree()...) {
		if e.ModifyIndex != got.Entries[0].ModifyIndex {
			f.Errorf("%s has index %d, another has %d", e.Key, e.ModifyIndex, got.Entries[0].ModifyIndex)
		}
	}
}

func indexesRise(f *fixture) {
	last := uint64(0)
	for i := range 20 {
		e := f.set(strconv.Itoa(i%3), strconv.Itoa(i))
		if e.ModifyIndex <= last {
			f.Fatalf("index %d after %d", e.ModifyIndex, last)
		}
		last = e.ModifyIndex
		f.txn(failover.Op{Verb: failover.Delete, Key: strconv.Itoa(i % 5)})
	}
}

func seesItself(f *fixture) {
	f.set("old", "x")
	got := f.txn(
		failover.Op{Verb: failover.CheckNotExists, Key: "a"},
		failover.Op{Verb: failover.Set, Key: "a", Value: []byte("one")},
		failover.Op{Verb: failover.Get, Key: "a"},
		failover.Op{Verb: failover.DeleteTree, Key: "old"},
		failover.Op{Verb: failover.CheckNotExists, Key: "old"},
		failover.Op{Verb: failover.GetTree},
		failover.Op{Verb: failover.Delete, Key: "a"},
		failover.Op{Verb: failover.Get, Key: "a"})
	a, index := f.key("a"), got.Entries[0].ModifyIndex
	whole := failover.Entry{Key: a, Value: []byte("one"), CreateIndex: index, ModifyIndex: index}
	f.equal("entries", []failover.Entry{{Key: a, CreateIndex: index, ModifyIndex: index}, whole, whole, {Key: a}}, got.Entries)
}

func allOrNothing(f *fixture) {
	f.set("a", "one")
	f.set("t/x", "one")
	before := f.tree()
	f.refused([]failover.Op{
		{Verb: failover.Set, Key: "a", Value: []byte("two")},
		{Verb: failover.CAS, Key: "t/x"},
		{Verb: failover.Set, Key: "new"},
		{Verb: failover.DeleteTree, Key: "t/"},
		{Verb: failover.CheckNotExists, Key: "t/x"}, // it sees the delete-tree
		{Verb: failover.CheckNotExists, Key: "new"},
		{Verb: failover.CheckIndex, Key: "missing", Index: 1},
	}, 1, 5, 6)
	f.equal("after a refused transaction", before, f.tree())
}

func limitOps(f *fixture) {
	ops := make([]failover.Op, failover.TxnOps+1)
	for i := range ops {
		ops[i] = failover.Op{Verb: failover.Set, Key: f.key(strconv.Itoa(i))}
	}
	_, err := f.store.Txn(f.ctx, ops)
	f.is(err, failover.ErrInvalid)
	f.equal("keys after too many", 0, len(f.tree()))
	if reply, err := f.store.Txn(f.ctx, ops[1:]); err != nil || !reply.OK {
		f.Errorf("128 operations: %v, %v", reply, err)
	}
	f.equal("keys", failover.TxnOps, len(f.tree()))
}

func limitBytes(f *fixture) {
	most := (failover.TxnBytes - 256 - len(f.key("a"))) / 4 * 3
	_, err := f.store.Txn(f.ctx, []failover.Op{{Verb: failover.Set, Key: f.key("a"), Value: make([]byte, most+3)}})
	f.is(err, failover.ErrInvalid)
	f.equal("keys after too many bytes", 0, len(f.tree()))
	f.set("a", strings.Repeat("x", most))
	f.equal("bytes that came back", most, len(f.get("a").Value))
}

func invalidKeys(f *fixture) {
	for _, key := range []string{"", "a\x00b", "\xff", strings.Repeat("k", failover.KeyBytes+1)} {
		for verb := failover.Get; verb <= failover.DeleteCAS; verb++ {
			_, err := f.store.Txn(f.ctx, []failover.Op{{Verb: verb, Key: key}})
			f.is(err, failover.ErrInvalid)
		}
	}
	_, err := f.store.Txn(f.ctx, []failover.Op{{Verb: failover.DeleteCAS + 1, Key: f.key("a")}})
	f.is(err, failover.ErrInvalid)
}

func noOps(f *fixture) {
	reply, err := f.store.Txn(f.ctx, nil)
	if err != nil || !reply.OK || len(reply.Entries) != 0 {
		f.Errorf("%+v, %v", reply, err)
	}
}

func endedContext(f *fixture) {
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	for _, verb := range []failover.Verb{failover.Get, failover.Set} {
		_, err := f.store.Txn(ctx, []failover.Op{{Verb: verb, Key: f.key("a")}})
		f.is(err, failover.ErrUnknown)
		f.is(err, context.Canceled)
	}
	f.equal("keys", 0, len(f.tree()))
}

func answersAreCopies(f *fixture) {
	value := []byte("one")
	f.txn(failover.Op{Verb: failover.Set, Key: "a", Value: value})
	value[0] = 'X'
	f.get("a").Value[1] = 'X'
	f.tree()[0].Value[2] = 'X'
	f.equal("value", "one", string(f.get("a").Value))
}

func oneWinner(f *fixture) {
	var won atomic.Int64
	f.together(8, func(i int) {
		reply, err := f.store.Txn(f.ctx, []failover.Op{
			{Verb: failover.CAS, Key: f.key("claim"), Value: []byte(strconv.Itoa(i))},
			{Verb: failover.Set, Key: f.key("by/" + strconv.Itoa(i))},
		})
		if err != nil {
			f.Error(err)
		}
		if reply.OK {
			won.Add(1)
		}
	})
	f.equal("winners", int64(1), won.Load())
	f.equal("keys", []string{f.key("by/" + string(f.get("claim").Value)), f.key("claim")}, keys(f.tree()))
}

func increments(f *fixture) {
	const each = 10
	f.set("n", "0")
	f.together(4, func(int) {
		for done := 0; done < each && f.ctx.Err() == nil; {
			read, err := f.store.Txn(f.ctx, []failover.Op{{Verb: failover.Get, Key: f.key("n")}})
			if err != nil {
				f.Error(err)
				return
			}
			now := read.Entries[0]
			n, _ := strconv.Atoi(string(now.Value))
			reply, err := f.store.Txn(f.ctx, []failover.Op{{Verb: failover.CAS, Key: f.key("n"), Value: []byte(strconv.Itoa(n + 1)), Index: now.ModifyIndex}})
			if err != nil {
				f.Error(err)
				return
			}
			if reply.OK {
				done++
			}
		}
	})
	f.equal("sum", strconv.Itoa(4*each), string(f.get("n").Value))
}

// oneMoment: a reader never sees half of a transaction that writes two keys.
func oneMoment(f *fixture) {
	const writes = 50
	f.together(2, func(i int) {
		for n := range writes {
			value := []byte(strconv.Itoa(n))
			ops := []failover.Op{{Verb: failover.Set, Key: f.key("a"), Value: value}, {Verb: failover.Set, Key: f.key("b"), Value: value}}
			if i == 1 {
				ops = []failover.Op{{Verb: failover.Get, Key: f.key("a")}, {Verb: failover.Get, Key: f.key("b")}}
			}
			reply, err := f.store.Txn(f.ctx, ops)
			if err != nil {
				f.Error(err)
				return
			}
			if a, b := reply.Entries[0], reply.Entries[1]; a.ModifyIndex != b.ModifyIndex || string(a.Value) != string(b.Value) {
				f.Errorf("a is %q at %d, b is %q at %d", a.Value, a.ModifyIndex, b.Value, b.ModifyIndex)
			}
		}
	})
}

// together runs do in n goroutines and waits for them.
func (f *fixture) together(n int, do func(i int)) {
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { do(i) })
	}
	group.Wait()
}
