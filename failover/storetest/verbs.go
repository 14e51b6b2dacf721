package storetest

import (
	"slices"

	"github.com/reattach/reattach/failover"
)

func getMissing(f *fixture) {
	got := f.txn(failover.Op{Verb: failover.Get, Key: "a", Index: 7, Flags: 8, Value: []byte("x")})
	f.equal("entries", []failover.Entry{{Key: f.key("a")}}, got.Entries)
	if got.Entries[0].Exists() {
		f.Error("a missing key exists")
	}
}

func set(f *fixture) {
	first := f.set("a", "one")
	if first.ModifyIndex == 0 || first.CreateIndex != first.ModifyIndex {
		f.Errorf("created with indexes %d and %d", first.CreateIndex, first.ModifyIndex)
	}
	f.equal("the reply to a write", failover.Entry{Key: f.key("a"), CreateIndex: first.CreateIndex, ModifyIndex: first.ModifyIndex}, first)
	second := f.set("a", "two")
	if second.CreateIndex != first.CreateIndex || second.ModifyIndex <= first.ModifyIndex {
		f.Errorf("modified: indexes were %d, %d, now %d, %d", first.CreateIndex, first.ModifyIndex, second.CreateIndex, second.ModifyIndex)
	}
	second.Value = []byte("two")
	f.equal("what is read", second, f.get("a"))
}

func emptyValue(f *fixture) {
	f.txn(failover.Op{Verb: failover.Set, Key: "nil"}, failover.Op{Verb: failover.Set, Key: "empty", Value: []byte{}})
	for _, e := range f.tree() {
		if e.Value != nil {
			f.Errorf("%s: value %v, want nil", e.Key, e.Value)
		}
	}
	before := f.get("nil")
	f.txn(failover.Op{Verb: failover.Set, Key: "nil", Value: []byte{}})
	f.equal("nil and empty are the same value", before, f.get("nil"))
}

func anyBytes(f *fixture) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, name := range []string{"ä/ß", "a b", `q"<&>\`, "%2F%", "a//b", "../c", "tab\there", "\u2028"} {
		f.txn(failover.Op{Verb: failover.Set, Key: name, Value: all, Flags: 1<<64 - 1})
		got := f.get(name)
		if !slices.Equal(all, got.Value) || got.Flags != 1<<64-1 || got.Key != f.key(name) {
			f.Errorf("%q came back as %q with flags %d and %q", name, got.Key, got.Flags, got.Value)
		}
	}
}

func flags(f *fixture) {
	f.txn(failover.Op{Verb: failover.Set, Key: "a", Value: []byte("v"), Flags: 42})
	kept := f.get("a")
	f.equal("flags", uint64(42), kept.Flags)
	f.txn(failover.Op{Verb: failover.CAS, Key: "a", Value: []byte("v"), Index: kept.ModifyIndex})
	reset := f.get("a")
	f.equal("flags omitted", uint64(0), reset.Flags)
	if reset.ModifyIndex <= kept.ModifyIndex {
		f.Error("other flags are no change")
	}
}

func identicalWrite(f *fixture) {
	before := f.set("a", "same")
	f.equal("the reply to set", before, f.set("a", "same"))
	f.txn(failover.Op{Verb: failover.CAS, Key: "a", Value: []byte("same"), Index: before.ModifyIndex},
		failover.Op{Verb: failover.Set, Key: "b"})
	f.equal("index after cas", before.ModifyIndex, f.get("a").ModifyIndex)
	if other := f.get("b"); other.ModifyIndex <= before.ModifyIndex {
		f.Error("the other key of that transaction has no new index")
	}
}

func thereAndBack(f *fixture) {
	before := f.set("a", "one")
	f.txn(failover.Op{Verb: failover.Set, Key: "a", Value: []byte("two")}, failover.Op{Verb: failover.Set, Key: "a", Value: []byte("one")})
	if after := f.get("a"); after.ModifyIndex <= before.ModifyIndex || string(after.Value) != "one" {
		f.Errorf("there and back within a transaction: %+v, was index %d", after, before.ModifyIndex)
	}
}

func createdAnew(f *fixture) {
	before := f.set("a", "one")
	f.txn(failover.Op{Verb: failover.Delete, Key: "a"}, failover.Op{Verb: failover.Set, Key: "a", Value: []byte("one")})
	if after := f.get("a"); after.CreateIndex <= before.CreateIndex || after.CreateIndex != after.ModifyIndex {
		f.Errorf("created at %d, now %d, %d", before.CreateIndex, after.CreateIndex, after.ModifyIndex)
	}
}

func casCreates(f *fixture) {
	create := failover.Op{Verb: failover.CAS, Key: "a", Value: []byte("one")}
	f.txn(create)
	f.refused([]failover.Op{create}, 0)
	f.txn(failover.Op{Verb: failover.Delete, Key: "a"})
	f.txn(create)
}

func casIndex(f *fixture) {
	f.refused([]failover.Op{{Verb: failover.CAS, Key: "a", Index: 1}}, 0)
	old := f.set("a", "one")
	f.txn(failover.Op{Verb: failover.CAS, Key: "a", Value: []byte("two"), Index: old.ModifyIndex})
	f.refused([]failover.Op{{Verb: failover.CAS, Key: "a", Value: []byte("three"), Index: old.ModifyIndex}}, 0)
	f.equal("value", "two", string(f.get("a").Value))
}

func checkIndex(f *fixture) {
	e := f.set("a", "one")
	got := f.txn(failover.Op{Verb: failover.CheckIndex, Key: "a", Index: e.ModifyIndex})
	f.equal("the reply has the entry, without its value", []failover.Entry{e}, got.Entries)
	f.refused([]failover.Op{{Verb: failover.CheckIndex, Key: "a", Index: e.ModifyIndex + 1}}, 0)
	f.refused([]failover.Op{{Verb: failover.CheckIndex, Key: "a"}}, 0)
}

func checkIndexMissing(f *fixture) {
	f.refused([]failover.Op{{Verb: failover.CheckIndex, Key: "a"}}, 0)
	f.refused([]failover.Op{{Verb: failover.CheckIndex, Key: "a", Index: 1}}, 0)
}

func checkNotExists(f *fixture) {
	got := f.txn(failover.Op{Verb: failover.CheckNotExists, Key: "a"}, failover.Op{Verb: failover.Set, Key: "a"})
	f.equal("number of entries", 1, len(got.Entries))
	f.refused([]failover.Op{{Verb: failover.CheckNotExists, Key: "a"}}, 0)
	f.txn(failover.Op{Verb: failover.CheckNotExists, Key: "a/b"})
}

func deleteKey(f *fixture) {
	f.set("a", "one")
	f.set("a/b", "two")
	got := f.txn(failover.Op{Verb: failover.Delete, Key: "a"})
	f.equal("entries of a delete", []failover.Entry(nil), got.Entries)
	f.equal("what is left", []string{f.key("a/b")}, keys(f.tree()))
	f.txn(failover.Op{Verb: failover.Delete, Key: "a"})
}

func deleteCAS(f *fixture) {
	e := f.set("a", "one")
	f.refused([]failover.Op{{Verb: failover.DeleteCAS, Key: "a", Index: e.ModifyIndex + 1}}, 0)
	f.refused([]failover.Op{{Verb: failover.DeleteCAS, Key: "a"}}, 0)
	f.txn(failover.Op{Verb: failover.DeleteCAS, Key: "a", Index: e.ModifyIndex})
	f.equal("what is left", []failover.Entry(nil), f.tree())
}

func deleteCASAbsent(f *fixture) {
	f.txn(failover.Op{Verb: failover.DeleteCAS, Key: "a", Index: 5}, failover.Op{Verb: failover.DeleteCAS, Key: "a"})
}

func getTree(f *fixture) {
	f.equal("an empty tree", []failover.Entry(nil), f.tree())
	for _, name := range []string{"t/b", "t/a", "t/a/x", "t", "tt", "t/ä", "s"} {
		f.set(name, name)
	}
	got := f.txn(failover.Op{Verb: failover.GetTree, Key: "t/"}).Entries
	f.equal("keys below t/", []string{f.key("t/a"), f.key("t/a/x"), f.key("t/b"), f.key("t/ä")}, keys(got))
	for _, e := range got {
		f.equal("value of "+e.Key, e.Key, f.key(string(e.Value)))
	}
	got = f.txn(failover.Op{Verb: failover.GetTree, Key: "t"}).Entries
	f.equal("number of keys that begin with t", 6, len(got))
}

func deleteTree(f *fixture) {
	for _, name := range []string{"t/b", "t/a", "t", "tt"} {
		f.set(name, name)
	}
	got := f.txn(failover.Op{Verb: failover.DeleteTree, Key: "t/"}, failover.Op{Verb: failover.DeleteTree, Key: "none/"})
	f.equal("entries of a delete-tree", []failover.Entry(nil), got.Entries)
	f.equal("what is left", []string{f.key("t"), f.key("tt")}, keys(f.tree()))
}

func keys(entries []failover.Entry) []string {
	var keys []string
	for _, e := range entries {
		keys = append(keys, e.Key)
	}
	return keys
}
