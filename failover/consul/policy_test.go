package consul_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/consul"
	"github.com/reattach/reattach/test/lab"
)

const (
	policyFile = "../../deployments/consul/reattach-policy.hcl"
	handle     = "production/DATABASE_URL" // the one that the file names
)

func policy(t *testing.T) string {
	t.Helper()
	rules, err := os.ReadFile(policyFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(rules)
}

// observer does all that an observer does to the store in the life of a
// resource, and returns the first error or refusal.
func observer(t *testing.T, s *consul.Store) error {
	t.Helper()
	index := map[string]uint64{}
	do := func(ops ...failover.Op) error {
		reply, err := s.Txn(t.Context(), ops)
		if err == nil && !reply.OK {
			t.Fatalf("%v: %+v", ops, reply.Failed)
		}
		for _, e := range reply.Entries {
			index[e.Key] = e.ModifyIndex
		}
		return err
	}
	const state, control, all, ballot = "reattach/state/db", "reattach/control/db", "reattach/control/_all", "reattach/ballot/db/"
	steps := []func() error{
		func() error { // sentinels, first conditions
			return do(failover.Op{Verb: failover.CAS, Key: "reattach/control/_"}, failover.Op{Verb: failover.CAS, Key: "reattach/ballot/_"})
		},
		func() error { // everything at one moment
			return do(failover.Op{Verb: failover.Get, Key: handle}, failover.Op{Verb: failover.Get, Key: state},
				failover.Op{Verb: failover.Get, Key: all}, failover.Op{Verb: failover.GetTree, Key: "reattach/history/db/"})
		},
		func() error { // bootstrap: a ballot on absent keys
			return do(failover.Op{Verb: failover.CAS, Key: ballot + "_"}, failover.Op{Verb: failover.CheckNotExists, Key: handle},
				failover.Op{Verb: failover.CheckNotExists, Key: state}, failover.Op{Verb: failover.CheckNotExists, Key: control}, failover.Op{Verb: failover.CheckNotExists, Key: all})
		},
		func() error { // a vote
			return do(failover.Op{Verb: failover.CheckIndex, Key: ballot + "_", Index: index[ballot+"_"]}, failover.Op{Verb: failover.Set, Key: ballot + "mon-b"})
		},
		func() error { // a commit
			return do(failover.Op{Verb: failover.CheckIndex, Key: ballot + "_", Index: index[ballot+"_"]}, failover.Op{Verb: failover.DeleteTree, Key: ballot},
				failover.Op{Verb: failover.CAS, Key: state}, failover.Op{Verb: failover.CAS, Key: handle},
				failover.Op{Verb: failover.CAS, Key: "reattach/history/db/1"}, failover.Op{Verb: failover.CAS, Key: "reattach/after/db/1"},
				failover.Op{Verb: failover.CAS, Key: "reattach/notice/db/1.switched"})
		},
		func() error { // a switch, with what it trims
			return do(failover.Op{Verb: failover.CheckIndex, Key: state, Index: index[state]},
				failover.Op{Verb: failover.CAS, Key: handle, Value: []byte("other"), Index: index[handle]},
				failover.Op{Verb: failover.Delete, Key: "reattach/history/db/1"}, failover.Op{Verb: failover.Delete, Key: "reattach/after/db/1"},
				failover.Op{Verb: failover.Delete, Key: "reattach/notice/db/1.switched"})
		},
		func() error { // an unknown outcome
			return do(failover.Op{Verb: failover.DeleteCAS, Key: ballot + "_", Index: 1}, failover.Op{Verb: failover.DeleteTree, Key: ballot})
		},
		func() error { // a person's pause and resume
			return do(failover.Op{Verb: failover.Set, Key: control, Value: []byte("paused")}, failover.Op{Verb: failover.Set, Key: all})
		},
		func() error { _, _, err := s.Watch(t.Context(), "reattach/control/", 0); return err },
		func() error { _, _, err := s.Watch(t.Context(), "reattach/ballot/", 0); return err },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// TestPolicy: with the policy that we ship an observer can do all it must, and
// nothing else.
func TestPolicy(t *testing.T) {
	lab.NeedConsul(t)
	server := lab.NewConsul(t, lab.ConsulOptions{ACL: true})
	s := store(t, consul.Config{Address: server.URL(), Token: token(server.CreateToken(policy(t)))})
	if err := observer(t, s); err != nil {
		t.Error(err)
	}
	denied(t, s)
}

// denied tries what an observer may not do.
func denied(t *testing.T, s *consul.Store) {
	t.Helper()
	const other = "production/OTHER"
	for _, ops := range [][]failover.Op{
		{{Verb: failover.Get, Key: other}},
		{{Verb: failover.Get, Key: "absent"}},
		{{Verb: failover.Get, Key: handle}, {Verb: failover.Get, Key: other}},
		{{Verb: failover.Set, Key: "reattach/x"}, {Verb: failover.Get, Key: other}},
		{{Verb: failover.Set, Key: other}},
		{{Verb: failover.Set, Key: handle + "_2"}},
		{{Verb: failover.Set, Key: "reattached"}},
		{{Verb: failover.Set, Key: "reattach/denied"}, {Verb: failover.CAS, Key: other}},
		{{Verb: failover.CAS, Key: other}},
		{{Verb: failover.CheckIndex, Key: other, Index: 1}},
		{{Verb: failover.CheckNotExists, Key: other}},
		{{Verb: failover.Delete, Key: other}},
		{{Verb: failover.DeleteCAS, Key: other, Index: 1}},
		{{Verb: failover.DeleteTree, Key: "production/"}},
		{{Verb: failover.DeleteTree, Key: "reattach"}},
	} {
		if reply, err := s.Txn(t.Context(), ops); !errors.Is(err, failover.ErrDenied) {
			t.Errorf("%v: %+v, %v", ops, reply, err)
		}
	}
	if reply, err := s.Txn(t.Context(), []failover.Op{{Verb: failover.CheckNotExists, Key: "reattach/denied"}}); err != nil || !reply.OK {
		t.Errorf("half of a denied transaction was done: %+v, %v", reply, err)
	}
}

// TestPolicyIsLeast: with anything taken from it, an observer cannot do its work.
func TestPolicyIsLeast(t *testing.T) {
	lab.NeedConsul(t)
	server := lab.NewConsul(t, lab.ConsulOptions{ACL: true})
	manager := store(t, consul.Config{Address: server.URL(), Token: token(server.ManagementToken)})
	rules := policy(t)
	blocks := strings.Split(rules, `policy = "write"`)
	if len(blocks) != 3 {
		t.Fatalf("%d permissions, want 2", len(blocks)-1)
	}
	for i := range 2 {
		for _, less := range []string{"read", "list", "deny"} {
			granted := []string{`policy = "write"`, `policy = "write"`}
			granted[i] = `policy = "` + less + `"`
			reduced := blocks[0] + granted[0] + blocks[1] + granted[1] + blocks[2]
			if less == "list" && i == 1 {
				continue // only prefixes have it
			}
			empty := []failover.Op{{Verb: failover.DeleteTree, Key: "reattach/"}, {Verb: failover.Delete, Key: handle}}
			if _, err := manager.Txn(t.Context(), empty); err != nil {
				t.Fatal(err)
			}
			s := store(t, consul.Config{Address: server.URL(), Token: token(server.CreateToken(reduced))})
			if err := observer(t, s); !errors.Is(err, failover.ErrDenied) {
				t.Errorf("permission %d as %s: %v", i, less, err)
			}
		}
	}
}

// TestNoToken: without a token, or with one that Consul does not know.
func TestNoToken(t *testing.T) {
	lab.NeedConsul(t)
	server := lab.NewConsul(t, lab.ConsulOptions{ACL: true})
	if err := observer(t, store(t, consul.Config{Address: server.URL(), Token: token(server.ManagementToken)})); err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string]string{"none": "", "unknown": "11111111-2222-3333-4444-555555555555", "nonsense": "x"} {
		s := store(t, consul.Config{Address: server.URL(), Token: token(secret)})
		for _, ops := range [][]failover.Op{writes, reads} {
			if reply, err := s.Txn(t.Context(), ops); !errors.Is(err, failover.ErrDenied) {
				t.Errorf("%s: %+v, %v", name, reply, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		entries, _, err := s.Watch(ctx, "reattach/control/", 0)
		cancel()
		if len(entries) != 0 {
			t.Errorf("%s: a watch shows %v", name, entries)
		}
		// Consul does not tell an anonymous reader that it left something out.
		if secret != "" && !errors.Is(err, failover.ErrDenied) {
			t.Errorf("%s: a watch says %v", name, err)
		}
	}
	none := server.CreateToken(`node "x" { policy = "read" }`)
	s := store(t, consul.Config{Address: server.URL(), Token: token(none)})
	if entries, _, err := s.Watch(t.Context(), "reattach/control/", 0); !errors.Is(err, failover.ErrDenied) {
		t.Errorf("a token without rights: %v, %v", entries, err)
	}
}
