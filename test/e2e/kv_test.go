package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/reattach/reattach/failover"
)

// entry is one key of Consul's KV, nil if it is absent.
func entry(t *testing.T, key string) *api.KVPair {
	t.Helper()
	pair, _, err := kv().Get(key, nil)
	if err != nil {
		t.Fatalf("consul: %s: %v", key, err)
	}
	return pair
}

// put writes a handle as a person does.
func put(t *testing.T, key, value string) {
	t.Helper()
	if _, err := kv().Put(&api.KVPair{Key: key, Value: []byte(value), Flags: 42}, nil); err != nil {
		t.Fatalf("consul: %s: %v", key, err)
	}
}

// records are a resource's switches as Consul holds them, the oldest first.
func records(t *testing.T, resource string) []failover.Record {
	t.Helper()
	pairs, _, err := kv().List("reattach/history/"+resource+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	list := make([]failover.Record, len(pairs))
	for i, pair := range pairs {
		if err := json.Unmarshal(pair.Value, &list[i]); err != nil {
			t.Fatalf("%s: %v", pair.Key, err)
		}
	}
	return list
}

// noBallot fails the test if a ballot of the resource is open.
func noBallot(t *testing.T, resource string) {
	t.Helper()
	keys, _, err := kv().Keys("reattach/ballot/"+resource+"/", "", nil)
	if err != nil || len(keys) > 0 {
		t.Errorf("ballots: %v, %v", keys, err)
	}
}

// changes counts how often a key's value changes until the test, or stop, ends it.
func changes(t *testing.T, key string) (count func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	first := entry(t, key)
	if first == nil {
		t.Fatalf("no key %s", key)
	}
	var mu sync.Mutex
	n, index := 0, first.ModifyIndex
	go func() {
		for ctx.Err() == nil {
			pair, meta, err := kv().Get(key, (&api.QueryOptions{WaitIndex: index, WaitTime: 5 * time.Second}).WithContext(ctx))
			if err != nil || pair == nil {
				if errors.Is(err, context.Canceled) {
					return
				}
				continue
			}
			mu.Lock()
			if meta.LastIndex > index {
				n++
			}
			index = meta.LastIndex
			mu.Unlock()
		}
	}()
	return func() int { mu.Lock(); defer mu.Unlock(); return n }
}
