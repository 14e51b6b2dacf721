package storetest

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"testing"

	"github.com/reattach/reattach/failover"
)

// BenchmarkSwitch measures what one switch costs the store: one transaction that
// opens a ballot and one that commits it, of the sizes that the daemon writes.
func BenchmarkSwitch(b *testing.B, store failover.Store) {
	prefix := "storetest/" + rand.Text() + "/"
	value := make([]byte, 300)
	bench(b, store, failover.Op{Verb: failover.Set, Key: prefix + "state"},
		failover.Op{Verb: failover.Set, Key: prefix + "handle"}, failover.Op{Verb: failover.Set, Key: prefix + "control"})
	for n := 0; b.Loop(); n++ {
		read := bench(b, store, failover.Op{Verb: failover.Get, Key: prefix + "state"},
			failover.Op{Verb: failover.Get, Key: prefix + "handle"}, failover.Op{Verb: failover.Get, Key: prefix + "control"})
		state, handle, control := read.Entries[0].ModifyIndex, read.Entries[1].ModifyIndex, read.Entries[2].ModifyIndex
		opened := bench(b, store,
			failover.Op{Verb: failover.CAS, Key: prefix + "ballot/_", Value: value},
			failover.Op{Verb: failover.CheckIndex, Key: prefix + "state", Index: state},
			failover.Op{Verb: failover.CheckIndex, Key: prefix + "handle", Index: handle},
			failover.Op{Verb: failover.CheckIndex, Key: prefix + "control", Index: control})
		bench(b, store,
			failover.Op{Verb: failover.CheckIndex, Key: prefix + "ballot/_", Index: opened.Entries[0].ModifyIndex},
			failover.Op{Verb: failover.DeleteTree, Key: prefix + "ballot/"},
			failover.Op{Verb: failover.CheckIndex, Key: prefix + "control", Index: control},
			failover.Op{Verb: failover.CAS, Key: prefix + "state", Value: fmt.Appendf(value, "%d", n), Index: state},
			failover.Op{Verb: failover.CAS, Key: prefix + "handle", Value: fmt.Appendf(nil, "mysql://db%d", n), Index: handle},
			failover.Op{Verb: failover.Set, Key: prefix + "history/" + strconv.Itoa(n), Value: value},
			failover.Op{Verb: failover.Delete, Key: prefix + "history/" + strconv.Itoa(n-100)})
	}
}

// BenchmarkSweep measures the read of 60 resources' handles and states at one
// moment, which the daemon does each second.
func BenchmarkSweep(b *testing.B, store failover.Store) {
	prefix := "storetest/" + rand.Text() + "/"
	var writes, reads []failover.Op
	for i := range 120 {
		key := prefix + strconv.Itoa(i)
		writes = append(writes, failover.Op{Verb: failover.Set, Key: key, Value: make([]byte, 200)})
		reads = append(reads, failover.Op{Verb: failover.Get, Key: key})
	}
	bench(b, store, writes...)
	for b.Loop() {
		bench(b, store, reads...)
	}
}

func bench(b *testing.B, store failover.Store, ops ...failover.Op) failover.Reply {
	b.Helper()
	reply, err := store.Txn(b.Context(), ops)
	if err != nil || !reply.OK {
		b.Fatalf("%v: %v, %v", ops, reply.Failed, err)
	}
	return reply
}
