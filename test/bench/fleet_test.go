package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/consul"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// played are the servers of a fleet's resources, and answer at once: what is
// measured is the store. The port tells which server is meant.
type played struct {
	mu   sync.Mutex
	dead map[int]bool
}

func (p *played) set(port int, dead bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead[port] = dead
}

// Open implements [probe.Prober].
func (p *played) Open(_ context.Context, t probe.Target) (probe.Held, probe.Result) {
	now := time.Now()
	r := probe.Result{Class: probe.OK, Phase: probe.PhaseRole, Began: now, Ended: now}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead[int(t.Addr.Port())] {
		r.Class, r.Phase = probe.Refused, probe.PhaseConnect
		return nil, r
	}
	return over{r}, r
}

// over is a conversation that has nothing more to say.
type over struct{ probe.Result }

func (o over) Ping(context.Context) probe.Result { return o.Result }
func (o over) Wait(context.Context) probe.Result { return o.Result }
func (o over) Close(context.Context)             {}

// observed is a store that counts what an observer asks of it, and what fails.
type observed struct {
	failover.Store
	fleet *fleet
}

func (s observed) Txn(ctx context.Context, ops []failover.Op) (failover.Reply, error) {
	reply, err := s.Store.Txn(ctx, ops)
	s.fleet.saw(err)
	return reply, err
}

func (s observed) Watch(ctx context.Context, prefix string, index uint64) ([]failover.Entry, uint64, error) {
	entries, next, err := s.Store.Watch(ctx, prefix, index)
	if ctx.Err() == nil {
		s.fleet.saw(err)
	}
	return entries, next, err
}

// fleet is three real daemons in this process, on one real Consul, and a fourth
// observer that is the test itself: he opens ballots, and has one vote of four.
type fleet struct {
	testing.TB
	consul    *lab.Consul
	kv        *api.KV
	servers   *played
	resources []*policy.Resource
	daemons   []*failover.Daemon
	relay     *relay
	asked     atomic.Int64
	failed    atomic.Int64
	lastErr   atomic.Value
}

var observers = []string{"mon-a", "mon-b", "mon-c", "mon-d"}

const firstPort = 20000

func (f *fleet) saw(err error) {
	f.asked.Add(1)
	if err != nil {
		f.failed.Add(1)
		f.lastErr.Store(err.Error())
	}
}

// newFleet starts the fleet, and returns once every handle is adopted and every
// resource protected.
func newFleet(tb testing.TB, resources int) *fleet {
	tb.Helper()
	lab.NeedConsul(tb)
	f := &fleet{TB: tb, consul: lab.NewConsul(tb, lab.ConsulOptions{}), servers: &played{dead: map[int]bool{}}}
	f.relay = newRelay(tb, f.consul.Addr())
	f.kv = f.consul.Client("").KV()
	for i := range resources {
		r := f.resource(i)
		f.resources = append(f.resources, r)
		if _, err := f.kv.Put(&api.KVPair{Key: r.Handles[0].Key, Value: []byte(r.Handles[0].Values[0].Reveal())}, nil); err != nil {
			tb.Fatal(err)
		}
	}
	began := time.Now()
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	var stores []*consul.Store
	tb.Cleanup(func() {
		cancel()
		group.Wait()
		for _, s := range stores {
			_ = s.Close() // or the relay waits for connections that nobody uses
		}
	})
	for _, name := range observers[:3] {
		store, err := consul.New(consul.Config{Address: "http://" + f.relay.Addr().String()})
		if err != nil {
			tb.Fatal(err)
		}
		stores = append(stores, store)
		d, err := failover.NewDaemon(failover.Options{Store: observed{store, f}, Log: slog.New(slog.DiscardHandler), Config: failover.Config{
			Observer: name, Zone: "az-" + name, Observers: observers, Resources: f.resources}})
		if err != nil {
			tb.Fatal(err)
		}
		f.daemons = append(f.daemons, d)
		group.Go(func() { _ = d.Run(ctx) })
	}
	daemon.Eventually(tb, 2*time.Minute, "all are protected", func() bool {
		return f.every(func(r failover.ResourceStatus) bool { return r.Protected && r.Epoch > 0 })
	})
	tb.Logf("%d handles adopted, all protected, %v after the start of three observers", resources, time.Since(began).Round(time.Millisecond))
	return f
}

func (f *fleet) resource(i int) *policy.Resource {
	name := fmt.Sprintf("db-%03d", i)
	r := &policy.Resource{Name: name, Veto: true, MassFailure: policy.MassProceed, FailbackAfter: time.Hour,
		Protocol: probe.Protocol{Name: "mysql", Schemes: []probe.Scheme{{Name: "mysql", Port: "3306"}}, Prober: f.servers, Traits: probe.Traits{StoreOfData: true, Taints: true}},
		Pace:     probe.Pace{Interval: time.Second, FreshInterval: 10 * time.Second, SuspectInterval: 100 * time.Millisecond},
		Judge:    policy.Thresholds{Bad: 3, Of: 3, Rise: 2, Sustain: time.Second},
		Handles:  []policy.Handle{{Key: "bench/" + name}}}
	for j, endpoint := range []string{"primary", "standby"} {
		u, err := probe.ParseURL(fmt.Sprintf("mysql://app:secret@127.0.0.1:%d/orders", firstPort+2*i+j))
		if err != nil {
			f.Fatal(err)
		}
		r.Endpoints = append(r.Endpoints, policy.Endpoint{Name: endpoint, Target: probe.Target{URL: u, Timeout: time.Second}})
		r.Handles[0].Values = append(r.Handles[0].Values, probe.Secret(u.Reveal()))
	}
	return r
}

// dies has the primary of a resource die, for everybody.
func (f *fleet) dies(i int) { f.servers.set(firstPort+2*i, true) }

// every reports whether something is so of each resource, as each observer sees it.
func (f *fleet) every(is func(failover.ResourceStatus) bool) bool {
	for _, d := range f.daemons {
		s, err := d.Status(f.Context())
		if err != nil || s.Blind != "" {
			return false
		}
		for _, r := range s.Resources {
			if !is(r) {
				return false
			}
		}
	}
	return true
}

// switched waits until every observer knows that those resources are attached to
// their standby, and returns how long that took.
func (f *fleet) switched(indexes ...int) time.Duration {
	f.Helper()
	began := time.Now()
	names := map[string]bool{}
	for _, i := range indexes {
		names[f.resources[i].Name] = true
	}
	daemon.Eventually(f, time.Minute, "they are switched", func() bool {
		return f.every(func(r failover.ResourceStatus) bool { return !names[r.Name] || r.Attached == "standby" })
	})
	return time.Since(began)
}

// ballots is how many are open, and how many votes lie beside them.
func (f *fleet) ballots() (open, votes int) {
	f.Helper()
	keys, _, err := f.kv.Keys(failover.Prefix+"ballot/", "", nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, key := range keys {
		switch {
		case strings.HasSuffix(key, "/_"):
			open++
		case !strings.HasSuffix(key, "/_sentinel"):
			votes++
		}
	}
	return open, votes
}

// openedBy counts the open ballots of one observer.
func (f *fleet) openedBy(observer string) (n int) {
	f.Helper()
	pairs, _, err := f.kv.List(failover.Prefix+"ballot/", nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, pair := range pairs {
		var o failover.Opening
		if strings.HasSuffix(pair.Key, "/_") && json.Unmarshal(pair.Value, &o) == nil && o.Opener == observer {
			n++
		}
	}
	return n
}

// openAll opens a ballot for every resource at once, as the fourth observer would.
func (f *fleet) openAll() {
	f.Helper()
	for chunk := range slicesOf(f.resources, 60) {
		var ops api.KVTxnOps
		for _, r := range chunk {
			pair, _, err := f.kv.Get(failover.Prefix+"state/"+r.Name, nil)
			if err != nil || pair == nil {
				f.Fatalf("the state of %s: %v", r.Name, err)
			}
			var s failover.State
			if err := json.Unmarshal(pair.Value, &s); err != nil {
				f.Fatal(err)
			}
			nonce := fmt.Sprintf("%s-%d", r.Name, time.Now().UnixNano())
			o, _ := json.Marshal(failover.Opening{Nonce: nonce, Op: "op-" + nonce, Kind: policy.Failover, Talk: probe.Fresh, Opener: "mon-d", Zone: "az-4",
				Hash: r.Hash(observers), Epoch: s.Epoch, Attached: s.Attached, Vote: failover.Vote{Nonce: nonce, Observer: "mon-d", Hash: r.Hash(observers)}})
			ops = append(ops, &api.KVTxnOp{Verb: api.KVCAS, Key: failover.Prefix + "ballot/" + r.Name + "/_", Value: o})
		}
		if ok, answer, _, err := f.kv.Txn(ops, nil); err != nil || !ok {
			f.Fatalf("opening: %v, %+v", err, answer)
		}
	}
}

func slicesOf[T any](all []T, n int) func(func([]T) bool) {
	return func(yield func([]T) bool) {
		for len(all) > 0 && yield(all[:min(n, len(all))]) {
			all = all[min(n, len(all)):]
		}
	}
}
