package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// askConsul asks the servers in turn, each for at most 2 s, until one answers.
func askConsul(ask func(*api.Client, context.Context) error) (err error) {
	for _, server := range consuls().Servers {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		err = ask(clientOf(server), ctx)
		cancel()
		if err == nil {
			return nil
		}
	}
	return err
}

// clients is one client for all that is asked of each server: Consul takes 200
// connections from one address.
var clients = sync.OnceValue(func() map[*lab.Consul]*api.Client {
	all := map[*lab.Consul]*api.Client{}
	for _, server := range consuls().Servers {
		all[server] = server.Client("")
	}
	return all
})

func clientOf(server *lab.Consul) *api.Client { return clients()[server] }

// entry is one key as a quorum of Consul has it, nil if it is absent.
func entry(t *testing.T, key string) (pair *api.KVPair) {
	t.Helper()
	err := askConsul(func(c *api.Client, ctx context.Context) (err error) {
		pair, _, err = c.KV().Get(key, (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
		return err
	})
	if err != nil {
		t.Fatalf("consul: %s: %v", key, err)
	}
	return pair
}

// put writes a key as a person's program does.
func put(t *testing.T, key, value string) {
	t.Helper()
	err := askConsul(func(c *api.Client, ctx context.Context) error {
		_, err := c.KV().Put(&api.KVPair{Key: key, Value: []byte(value), Flags: 42}, (&api.WriteOptions{}).WithContext(ctx))
		return err
	})
	if err != nil {
		t.Fatalf("consul: %s: %v", key, err)
	}
}

// consulCommand runs Consul's own command line, as a person does, and returns
// what it printed.
func consulCommand(t *testing.T, args ...string) string {
	t.Helper()
	server := consuls().Servers[0]
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, lab.Tool("consul"), args...)
	cmd.Env = append(os.Environ(), "CONSUL_HTTP_ADDR="+server.URL(), "CONSUL_HTTP_TOKEN="+server.ManagementToken)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("consul %v: %v: %s", args, err, out)
	}
	return string(out)
}

// records are a resource's switches as Consul holds them, the oldest first.
func records(t *testing.T, resource string) []failover.Record {
	t.Helper()
	var pairs api.KVPairs
	err := askConsul(func(c *api.Client, ctx context.Context) (err error) {
		pairs, _, err = c.KV().List("reattach/history/"+resource+"/", (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
		return err
	})
	if err != nil {
		t.Fatalf("consul: history of %s: %v", resource, err)
	}
	list := make([]failover.Record, len(pairs))
	for i, pair := range pairs {
		if err := json.Unmarshal(pair.Value, &list[i]); err != nil {
			t.Fatalf("%s: %v", pair.Key, err)
		}
	}
	return list
}

// opened waits until a ballot on the resource is open, by a blocking query, and
// returns its question and when it was seen.
func (f *fleet) opened(limit time.Duration) (failover.Opening, time.Time) {
	f.t.Helper()
	key, index := "reattach/ballot/"+f.resource.name+"/_", uint64(0)
	deadline := time.Now().Add(limit)
	for time.Now().Before(deadline) {
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		pair, meta, err := clientOf(consuls().Servers[0]).KV().Get(key, (&api.QueryOptions{WaitIndex: index, WaitTime: time.Minute}).WithContext(ctx))
		cancel()
		if err != nil {
			continue
		}
		if index = meta.LastIndex; pair == nil {
			continue
		}
		var o failover.Opening
		if err := json.Unmarshal(pair.Value, &o); err != nil {
			f.t.Fatalf("%s: %v", key, err)
		}
		return o, time.Now()
	}
	f.t.Fatalf("no ballot within %v", limit)
	return failover.Opening{}, time.Time{}
}

// switched waits until the handle names the standby, and returns when that was.
func (f *fleet) switched(limit time.Duration) time.Time {
	f.t.Helper()
	var at time.Time
	daemon.Eventually(f.t, limit, f.resource.handle+" names the standby", func() bool {
		at = f.watch.since(f.resource, f.resource.url("standby"))
		return !at.IsZero()
	})
	return at
}

// unswitched holds for that long that the handle is not written.
func (f *fleet) unswitched(d time.Duration, why string) {
	f.t.Helper()
	index := f.watch.last(f.resource).handle.index
	daemon.Throughout(f.t, d, why, func() bool { return f.watch.last(f.resource).handle.index == index })
}

// once holds that there was one failover and one change of the handle since this
// test began, made by one of those observers, and that it stays so for d.
func (f *fleet) once(d time.Duration) failover.Record {
	f.t.Helper()
	after(d)
	var found []failover.Record
	for _, r := range records(f.t, f.resource.name) {
		if r.Kind.String() == "failover" {
			found = append(found, r)
		}
	}
	if len(found) != 1 {
		f.t.Fatalf("%d failovers in history: %+v", len(found), found)
	}
	if n := f.watch.versions(f.resource); n != 2 {
		f.t.Errorf("the handle had %d versions, want the person's and one more", n)
	}
	return found[0]
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(b)
}
