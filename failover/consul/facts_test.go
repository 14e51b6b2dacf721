package consul_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/consul"
	"github.com/reattach/reattach/failover/storetest"
	"github.com/reattach/reattach/test/lab"
)

// The facts about a real Consul on which the commit protocol rests, and which
// the suite that all stores pass does not know.

// TestLimits: Consul's own limits are not below those that we keep.
func TestLimits(t *testing.T) {
	lab.NeedConsul(t)
	server := lab.NewConsul(t, lab.ConsulOptions{})
	client := server.Client("")
	for _, n := range []int{failover.TxnOps, failover.TxnOps + 1} {
		ops := make(api.TxnOps, n)
		for i := range ops {
			ops[i] = &api.TxnOp{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "limit/" + strconv.Itoa(i)}}
		}
		ok, _, _, err := client.Txn().Txn(ops, nil)
		if want := n <= failover.TxnOps; ok != want || (err == nil) != want {
			t.Errorf("%d operations: %v, %v", n, ok, err)
		}
	}
	// Keys grow in JSON, which our count does not see: then Consul itself refuses.
	ops := make([]failover.Op, failover.TxnOps)
	for i := range ops {
		ops[i] = failover.Op{Verb: failover.Set, Key: strings.Repeat("\x01", 3000) + strconv.Itoa(i)}
	}
	if _, err := store(t, consul.Config{Address: server.URL()}).Txn(t.Context(), ops); !errors.Is(err, failover.ErrInvalid) {
		t.Errorf("a body beyond Consul's limit: %v", err)
	}
}

// TestEnterprise: a namespace that this Consul does not know is told by a watch.
func TestEnterprise(t *testing.T) {
	lab.NeedConsul(t)
	server := lab.NewConsul(t, lab.ConsulOptions{})
	for _, config := range []consul.Config{{Namespace: "ns"}, {Partition: "p"}} {
		config.Address = server.URL()
		if _, _, err := store(t, config).Watch(t.Context(), "a/", 0); !errors.Is(err, failover.ErrInvalid) {
			t.Errorf("%+v: %v", config, err)
		}
	}
}

// TestRaftCost: a refused write costs an entry of the raft log, a read none.
func TestRaftCost(t *testing.T) {
	lab.NeedConsul(t)
	server := lab.NewConsul(t, lab.ConsulOptions{})
	s := store(t, consul.Config{Address: server.URL()})
	cost := func(n int, ops ...failover.Op) int {
		before := server.RaftIndex()
		for range n {
			if _, err := s.Txn(t.Context(), ops); err != nil {
				t.Fatal(err)
			}
		}
		return int(server.RaftIndex() - before)
	}
	const n = 50
	const other = n / 2 // what Consul may write for itself meanwhile
	if got := cost(n, failover.Op{Verb: failover.CAS, Key: "a", Index: 7}); got < n {
		t.Errorf("%d refused writes cost %d entries", n, got)
	}
	reads := []failover.Op{
		{Verb: failover.Get, Key: "a"}, {Verb: failover.GetTree, Key: "b"},
		{Verb: failover.CheckNotExists, Key: "c"}, {Verb: failover.CheckIndex, Key: "d", Index: 1},
	}
	if got := cost(n, reads...); got > other {
		t.Errorf("%d reads cost %d entries", n, got)
	}
}

// TestEmptyPrefix: a query on a prefix without keys wakes on any write, which is
// why control/ and ballot/ hold a key for ever; one on a prefix with keys does not.
func TestEmptyPrefix(t *testing.T) {
	lab.NeedConsul(t)
	server := lab.NewConsul(t, lab.ConsulOptions{})
	s := store(t, consul.Config{Address: server.URL(), Wait: time.Second})
	set := func(key, value string) {
		t.Helper()
		if _, err := s.Txn(t.Context(), []failover.Op{{Verb: failover.Set, Key: key, Value: []byte(value)}}); err != nil {
			t.Fatal(err)
		}
	}
	set("full/_", "")
	set("other/x", "")
	for prefix, wakes := range map[string]bool{"empty/": true, "full/": false} {
		_, index, err := s.Watch(t.Context(), prefix, 0)
		if err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		set("other/x", prefix)
		if _, _, err := s.Watch(t.Context(), prefix, index); err != nil {
			t.Fatal(err)
		}
		if woke := time.Since(started) < time.Second; woke != wakes {
			t.Errorf("%s woke: %v", prefix, woke)
		}
	}
}

// TestOutage: a Consul that hangs or is gone gives no answer, and takes up again
// where it was.
func TestOutage(t *testing.T) {
	lab.NeedConsul(t)
	server := lab.NewConsul(t, lab.ConsulOptions{})
	s := store(t, consul.Config{Address: server.URL()})
	before, err := s.Txn(t.Context(), writes)
	if err != nil {
		t.Fatal(err)
	}
	unanswered := func(when string) {
		t.Helper()
		for _, ops := range [][]failover.Op{writes, reads} {
			if _, err := call(t, s, ops); !errors.Is(err, failover.ErrUnknown) {
				t.Errorf("%s: %v", when, err)
			}
		}
	}
	server.Pause()
	unanswered("hanging")
	server.Unpause()
	server.Kill()
	unanswered("gone")
	server.Start()
	after, err := s.Txn(t.Context(), reads)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := after.Entries[0], before.Entries[0]; got.ModifyIndex != want.ModifyIndex || string(got.Value) != "secret-value" {
		t.Errorf("was at %d, is %+v", want.ModifyIndex, got)
	}
}

// TestSuiteWithACL: the same answers with a token that may do no more than it must.
func TestSuiteWithACL(t *testing.T) {
	lab.NeedConsul(t)
	server := lab.NewConsul(t, lab.ConsulOptions{ACL: true})
	secret := server.CreateToken(`key_prefix "storetest/" { policy = "write" }`)
	storetest.Run(t, func(t *testing.T) failover.Store {
		return store(t, consul.Config{Address: server.URL(), Token: token(secret)})
	})
}

// TestWatchesGivenUp: a watch that its caller gives up holds one of the 200
// connections that Consul serves to one address until its wait is over. So
// nobody gives up watches all the time; and who did has his reads repeated until
// the door opens again.
func TestWatchesGivenUp(t *testing.T) {
	lab.NeedConsul(t)
	server := lab.NewConsul(t, lab.ConsulOptions{})
	s := store(t, consul.Config{Address: server.URL(), Wait: time.Second})
	if _, err := s.Txn(t.Context(), writes); err != nil {
		t.Fatal(err)
	}
	_, index, err := s.Watch(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 250 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		_, _, err := s.Watch(ctx, "a", index)
		cancel()
		if !errors.Is(err, failover.ErrUnknown) {
			t.Fatalf("error is %v", err)
		}
	}
	if _, err := s.Txn(t.Context(), reads); err != nil {
		t.Error(err)
	}
}
