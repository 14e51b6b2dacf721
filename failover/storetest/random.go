package storetest

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"github.com/reattach/reattach/failover"
)

// random runs random transactions against the store and the model. Each index
// that the store gives out belongs to one index of the model, and they rise
// together; an operation that names an index names the two that belong together.
func random(f *fixture) {
	run := 0
	rapid.Check(f.T, func(t *rapid.T) {
		run++
		w := &twins{
			T: t, f: f, model: NewModel(1), prefix: fmt.Sprintf("%s%d/", f.prefix, run),
			index: map[uint64]uint64{0: 0},
		}
		for range rapid.IntRange(1, 12).Draw(t, "transactions") {
			w.step(rapid.SliceOfN(rapid.Custom(w.op), 1, 6).Draw(t, "ops"))
		}
	})
}

// twins are a store and the model, to which the same things are done.
type twins struct {
	*rapid.T
	f      *fixture
	model  *Model
	prefix string
	index  map[uint64]uint64 // from the model's to the store's
}

var (
	randomKeys     = []string{"a", "b", "d/a", "d/b", "d/b/c"}
	randomPrefixes = []string{"", "a", "d", "d/", "d/b", "e/"}
	randomValues   = []string{"", "one", "two"}
)

// op draws an operation, with the model's index. Half of those that name an
// index name the right one, so that transactions succeed often enough.
func (w *twins) op(t *rapid.T) failover.Op {
	op := failover.Op{Verb: failover.Verb(rapid.IntRange(int(failover.Get), int(failover.DeleteCAS)).Draw(t, "verb"))}
	switch op.Verb {
	case failover.GetTree, failover.DeleteTree:
		op.Key = w.prefix + rapid.SampledFrom(randomPrefixes).Draw(t, "prefix")
		return op
	}
	op.Key = w.prefix + rapid.SampledFrom(randomKeys).Draw(t, "key")
	switch op.Verb {
	case failover.Set, failover.CAS:
		op.Value = []byte(rapid.SampledFrom(randomValues).Draw(t, "value"))
		op.Flags = rapid.Uint64Range(0, 1).Draw(t, "flags")
	}
	switch op.Verb {
	case failover.CAS, failover.CheckIndex, failover.DeleteCAS:
		if op.Index = w.model.state.entries[op.Key].ModifyIndex; rapid.Bool().Draw(t, "another index") {
			var known []uint64
			for index := range w.index {
				known = append(known, index)
			}
			slices.Sort(known)
			op.Index = rapid.SampledFrom(known).Draw(t, "index")
		}
	}
	return op
}

func (w *twins) step(ops []failover.Op) {
	w.compare(ops)
	w.compare([]failover.Op{{Verb: failover.GetTree, Key: w.prefix}})
}

func (w *twins) compare(ops []failover.Op) {
	theirs := slices.Clone(ops)
	for i := range theirs {
		theirs[i].Index = w.index[ops[i].Index]
	}
	want, err := w.model.Apply(ops)
	if err != nil {
		w.Fatal(err)
	}
	got, err := w.f.store.Txn(w.f.ctx, theirs)
	if err != nil {
		w.Fatalf("%v: %v", ops, err)
	}
	if got.OK != want.OK || len(got.Entries) != len(want.Entries) || len(got.Failed) != len(want.Failed) {
		w.Fatalf("%v:\n want %+v\n got  %+v", ops, want, got)
	}
	for i := range want.Failed {
		if got.Failed[i].Op != want.Failed[i].Op {
			w.Fatalf("%v:\n want %+v\n got  %+v", ops, want, got)
		}
	}
	for i := range want.Entries {
		w.learn(want.Entries[i].ModifyIndex, got.Entries[i].ModifyIndex)
		w.learn(want.Entries[i].CreateIndex, got.Entries[i].CreateIndex)
	}
	for i, e := range want.Entries {
		e.ModifyIndex, e.CreateIndex = w.index[e.ModifyIndex], w.index[e.CreateIndex]
		if g := got.Entries[i]; g.Key != e.Key || g.Flags != e.Flags || string(g.Value) != string(e.Value) ||
			(g.Value == nil) != (e.Value == nil) || g.ModifyIndex != e.ModifyIndex || g.CreateIndex != e.CreateIndex {
			w.Fatalf("%v: entry %d:\n want %+v\n got  %+v", ops, i, e, g)
		}
	}
}

// learn notes that two indexes belong together, and that the order is the same.
func (w *twins) learn(model, store uint64) {
	if known, ok := w.index[model]; ok {
		if known != store {
			w.Fatalf("the model's index %d was the store's %d, and is now %d", model, known, store)
		}
		return
	}
	for m, s := range w.index {
		if (m < model) != (s < store) || s == store {
			w.Fatalf("the model's indexes are %d and %d, the store's %d and %d", m, model, s, store)
		}
	}
	w.index[model] = store
}
