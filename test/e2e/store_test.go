package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// TestConsulStopped: without its store the daemon goes on probing and decides
// nothing. What it would have wished meanwhile is not made up for afterwards:
// only fresh evidence counts.
func TestConsulStopped(t *testing.T) {
	need(t)
	pair := caches()
	a := lab.NewProxy(t, pair.Active.Addr())
	name := unique("blind")
	r := daemon.Resource{Name: name, Handle: name + "/URL", A: "memcached://" + a.Addr(), B: pair.Standby.URL(""), Policy: daemon.Fast}
	d := daemon.New(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, r.Handle)), r))
	d.Start()
	d.Protected(r.Name)
	before := entry(t, r.Handle)

	t.Cleanup(consul().WaitReady)
	consul().Stop()
	started := false
	t.Cleanup(func() {
		if !started {
			consul().Start()
		}
	})
	daemon.Eventually(t, 10*time.Second, "the daemon says that it is blind", func() bool { return d.Blind() != "" }, d.Logs)
	a.Set(lab.Behaviour{Reset: true})
	a.CutAll()
	daemon.Eventually(t, 10*time.Second, "a is down, as probes go on", func() bool { return d.Status(r.Name).Endpoints[0].State == policy.Down },
		func() string { return d.Explain(r.Name) })
	if said := d.Explain(r.Name); !strings.Contains(said, "because of the gate blind") {
		t.Errorf("explain does not name the gate blind:\n%s", said)
	}
	accepted := a.Accepted()
	daemon.Eventually(t, 5*time.Second, "a goes on being probed", func() bool { return a.Accepted() > accepted })

	// It recovers before Consul does.
	a.Set(lab.Behaviour{})
	daemon.Eventually(t, 10*time.Second, "a is up again", func() bool { return d.Status(r.Name).Endpoints[0].State == policy.Up })
	consul().Start()
	started = true
	daemon.Eventually(t, 20*time.Second, "the daemon sees again", func() bool { return d.Blind() == "" }, d.Logs)
	daemon.Throughout(t, 3*time.Second, "nothing that was wished before is done", func() bool {
		return entry(t, r.Handle).ModifyIndex == before.ModifyIndex
	})

	// The next time it is still down when Consul is back.
	consul().Kill()
	started = false
	daemon.Eventually(t, 10*time.Second, "the daemon says that it is blind", func() bool { return d.Blind() != "" }, d.Logs)
	a.Set(lab.Behaviour{Reset: true})
	a.CutAll()
	daemon.Eventually(t, 10*time.Second, "a is down", func() bool { return d.Status(r.Name).Endpoints[0].State == policy.Down })
	returns := time.Now()
	consul().Start()
	started = true
	d.AttachedTo(r.Name, "b", 20*time.Second)
	list := records(t, r.Name)
	last := list[len(list)-1]
	if len(list) != 2 || last.Kind != policy.Failover || last.Epoch != 2 {
		t.Errorf("history: %+v", list)
	}
	if first := last.At.Add(-time.Duration(last.Times.Total * float64(time.Second))); first.Before(returns) {
		t.Errorf("the evidence began %v before Consul was back: it is not fresh", returns.Sub(first))
	}
	noBallot(t, r.Name)
}

// TestNothingIsWrittenAtRest counts by Consul's own telemetry.
func TestNothingIsWrittenAtRest(t *testing.T) {
	need(t)
	db, cache := databases(), caches()
	base := unique("rest")
	resources := []daemon.Resource{
		{Name: base + "-db", Handle: base + "/DATABASE_URL", A: db.Active.URL("app"), B: db.Standby.URL("app"), Policy: daemon.Fast},
		{Name: base + "-cache", Handle: base + "/CACHE_URL", A: cache.Active.URL(""), B: cache.Standby.URL(""), Policy: daemon.Fast},
	}
	put(t, resources[0].Handle, resources[0].A)
	d := daemon.New(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, resources[0].Handle, resources[1].Handle)), resources...))
	d.Start()
	d.Protected(resources[0].Name)
	d.Protected(resources[1].Name)
	count := func() string {
		return fmt.Sprintf("%d writes of keys, %d transactions that write",
			consul().Counter("consul_kvs_apply"), consul().Counter("consul_txn_apply"))
	}
	before, index := count(), consul().RaftIndex()
	if consul().Counter("consul_txn_apply") == 0 {
		t.Fatal("Consul counts no transaction at all: the counter has another name")
	}
	daemon.Throughout(t, 20*time.Second, "both are steady", func() bool {
		return d.Status(resources[0].Name).Activity == "steady" && d.Status(resources[1].Name).Activity == "steady"
	})
	if after := count(); after != before {
		t.Errorf("in 20 s at rest %s became %s", before, after)
	}
	if entries := consul().RaftIndex() - index; entries > 5 { // Consul's own, a few a minute
		t.Errorf("Consul's log grew by %d entries", entries)
	}
}

// TestMetricsAreServed looks at the open door as Prometheus does.
func TestMetricsAreServed(t *testing.T) {
	need(t)
	cache := caches()
	r := daemon.Resource{Name: "metrics", Handle: "metrics/URL", A: cache.Active.URL(""), B: cache.Standby.URL(""), Policy: daemon.Fast}
	config, door := daemon.Embedded(t, r)
	d := daemon.New(t, config)
	d.Start()
	d.Protected(r.Name)
	for path, want := range map[string]string{
		"/metrics":           `reattach_protected{resource="metrics"} 1`,
		"/-/ready":           "ok",
		"/v1/kv/metrics/URL": `"Key":"metrics/URL"`,
		"/v1/status":         `"protected":true`,
		"/":                  "metrics",
	} {
		response, err := http.Get("http://" + door + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%s: %v, no %q in:\n%.2000s", path, err, want, body)
		}
	}
}
