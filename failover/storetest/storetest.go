// Package storetest is the suite that every [failover.Store] passes, and the
// [Model] that they are all held against. It checks each verb, the facts about
// Consul's transactions that the commit protocol rests on, watches, and random
// transactions, whose answers must be the model's. Of indexes only order and
// equality count.
package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/reattach/reattach/failover"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// Run runs the suite. open returns a store for one subtest, new or shared: each
// test keeps to keys of its own, below "storetest/".
func Run(t *testing.T, open func(t *testing.T) failover.Store) {
	tests := []struct {
		name string
		test func(*fixture)
	}{
		{"get of a missing key is an entry with index 0", getMissing},
		{"set creates, then modifies", set},
		{"an empty value is nil", emptyValue},
		{"values and keys of any kind come back", anyBytes},
		{"flags are kept, and reset when omitted", flags},
		{"an identical write leaves the index", identicalWrite},
		{"the same value after another has a new index", thereAndBack},
		{"deleted and written again is created anew", createdAnew},
		{"cas with index 0 is create-only", casCreates},
		{"cas wants the index", casIndex},
		{"check-index wants the index", checkIndex},
		{"check-index fails on a missing key", checkIndexMissing},
		{"check-not-exists", checkNotExists},
		{"delete, and of an absent key", deleteKey},
		{"delete-cas wants the index", deleteCAS},
		{"delete-cas of an absent key succeeds", deleteCASAbsent},
		{"get-tree is in order and exact", getTree},
		{"delete-tree", deleteTree},
		{"one transaction has one index", oneIndex},
		{"indexes rise", indexesRise},
		{"operations see those before them", seesItself},
		{"a failed transaction does nothing and names all that failed", allOrNothing},
		{"128 operations, and not 129", limitOps},
		{"half a MiB, and not more", limitBytes},
		{"keys that no store keeps are invalid", invalidKeys},
		{"a transaction without operations is ok", noOps},
		{"a context that has ended is unknown", endedContext},
		{"the answer is the caller's own", answersAreCopies},
		{"a claim has one winner", oneWinner},
		{"increments by cas are not lost", increments},
		{"several keys are read at one moment", oneMoment},
		{"watch with index 0 returns at once", watchAtOnce},
		{"watch returns what is below, in order", watchBelow},
		{"watch sees set, change, delete, delete-tree", watchChanges},
		{"watch wakes all watchers", watchAll},
		{"watch misses nothing between two calls", watchBetween},
		{"watch ends with its context", watchContext},
		{"watch of an invalid prefix", watchInvalid},
		{"random transactions are answered as the model does", random},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			t.Cleanup(cancel)
			tt.test(&fixture{T: t, ctx: ctx, store: open(t), prefix: "storetest/" + rand.Text() + "/"})
		})
	}
}

// fixture is one test's store and its own part of the keys.
type fixture struct {
	*testing.T
	ctx    context.Context
	store  failover.Store
	prefix string
}

// key returns a key of this test.
func (f *fixture) key(name string) string { return f.prefix + name }

// txn carries out ops, which must succeed. Their keys are below the prefix.
func (f *fixture) txn(ops ...failover.Op) failover.Reply {
	f.Helper()
	reply := f.try(ops...)
	if !reply.OK {
		f.Fatalf("%v: refused: %v", ops, reply.Failed)
	}
	if len(reply.Failed) != 0 {
		f.Fatalf("%v: ok, and yet failed: %v", ops, reply.Failed)
	}
	return reply
}

// refused carries out ops, of which those at the places failed must fail.
func (f *fixture) refused(ops []failover.Op, failed ...int) {
	f.Helper()
	reply := f.try(ops...)
	if reply.OK || len(reply.Entries) != 0 {
		f.Fatalf("%v: not refused: %+v", ops, reply)
	}
	var got []int
	for _, op := range reply.Failed {
		got = append(got, op.Op)
		if op.What == "" {
			f.Errorf("%v: operation %d failed without a reason", ops, op.Op)
		}
	}
	if diff := cmp.Diff(failed, got); diff != "" {
		f.Fatalf("%v: failed operations (-want +got):\n%s", ops, diff)
	}
}

func (f *fixture) try(ops ...failover.Op) failover.Reply {
	f.Helper()
	for i := range ops {
		ops[i].Key = f.key(ops[i].Key)
	}
	reply, err := f.store.Txn(f.ctx, ops)
	if err != nil {
		f.Fatalf("%v: %v", ops, err)
	}
	return reply
}

// set writes one key, and returns the entry that the reply holds.
func (f *fixture) set(name, value string) failover.Entry {
	f.Helper()
	return f.txn(failover.Op{Verb: failover.Set, Key: name, Value: []byte(value)}).Entry(f.key(name))
}

// get reads one key.
func (f *fixture) get(name string) failover.Entry {
	f.Helper()
	return f.txn(failover.Op{Verb: failover.Get, Key: name}).Entry(f.key(name))
}

// tree reads all of this test's keys.
func (f *fixture) tree() []failover.Entry {
	f.Helper()
	return f.txn(failover.Op{Verb: failover.GetTree}).Entries
}

// equal compares, taking nil and empty lists for the same.
func (f *fixture) equal(what string, want, got any) {
	f.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		f.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func (f *fixture) is(err, want error) {
	f.Helper()
	if !errors.Is(err, want) {
		f.Errorf("error is %v, want %v", err, want)
	}
}
