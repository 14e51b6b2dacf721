package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/test/lab"
)

// TestConsulStopped: without its store the daemon goes on probing and decides
// nothing. What it would have wished meanwhile is not made up for afterwards:
// only fresh evidence counts.
func TestConsulStopped(t *testing.T) {
	need(t)
	pair := caches()
	a := lab.NewProxy(t, pair.Active.Addr())
	r := resource{name: "blind", handle: "blind/URL", a: "memcached://" + a.Addr(), b: pair.Standby.URL(""), policy: fast}
	d := newDaemon(t, onConsul(consul().CreateToken(policyFor(t, r.handle)), r))
	d.start()
	d.protected(r.name)
	before := entry(t, r.handle)

	t.Cleanup(consul().WaitReady)
	consul().Stop()
	started := false
	t.Cleanup(func() {
		if !started {
			consul().Start()
		}
	})
	eventually(t, 10*time.Second, "the daemon says that it is blind", func() bool { return d.blind() != "" }, d.logs)
	a.Set(lab.Behaviour{Reset: true})
	a.CutAll()
	eventually(t, 10*time.Second, "a is down, as probes go on", func() bool { return d.status(r.name).Endpoints[0].State == policy.Down },
		func() string { return d.explain(r.name) })
	if said := d.explain(r.name); !strings.Contains(said, "because of the gate blind") {
		t.Errorf("explain does not name the gate blind:\n%s", said)
	}
	accepted := a.Accepted()
	eventually(t, 5*time.Second, "a goes on being probed", func() bool { return a.Accepted() > accepted })

	// It recovers before Consul does.
	a.Set(lab.Behaviour{})
	eventually(t, 10*time.Second, "a is up again", func() bool { return d.status(r.name).Endpoints[0].State == policy.Up })
	consul().Start()
	started = true
	eventually(t, 20*time.Second, "the daemon sees again", func() bool { return d.blind() == "" }, d.logs)
	throughout(t, 3*time.Second, "nothing that was wished before is done", func() bool {
		return entry(t, r.handle).ModifyIndex == before.ModifyIndex
	})

	// The next time it is still down when Consul is back.
	consul().Kill()
	started = false
	eventually(t, 10*time.Second, "the daemon says that it is blind", func() bool { return d.blind() != "" }, d.logs)
	a.Set(lab.Behaviour{Reset: true})
	a.CutAll()
	eventually(t, 10*time.Second, "a is down", func() bool { return d.status(r.name).Endpoints[0].State == policy.Down })
	consul().Start()
	started = true
	back := time.Now()
	d.attachedTo(r.name, "b", 20*time.Second)
	list := records(t, r.name)
	last := list[len(list)-1]
	if len(list) != 2 || last.Kind != policy.Failover || last.Epoch != 2 {
		t.Errorf("history: %+v", list)
	}
	t.Logf("switched %v after Consul took writes; the record counts %.2f s from the first bad probe",
		last.At.Sub(back).Round(time.Millisecond), last.Times.Total)
	noBallot(t, r.name)
}

// TestNothingIsWrittenAtRest counts by Consul's own telemetry.
func TestNothingIsWrittenAtRest(t *testing.T) {
	need(t)
	db, cache := databases(), caches()
	resources := []resource{
		{name: "rest-db", handle: "rest/DATABASE_URL", a: db.Active.URL("app"), b: db.Standby.URL("app"), policy: fast},
		{name: "rest-cache", handle: "rest/CACHE_URL", a: cache.Active.URL(""), b: cache.Standby.URL(""), policy: fast},
	}
	put(t, "rest/DATABASE_URL", resources[0].a)
	d := newDaemon(t, onConsul(consul().CreateToken(policyFor(t, "rest/DATABASE_URL", "rest/CACHE_URL")), resources...))
	d.start()
	d.protected("rest-db")
	d.protected("rest-cache")
	count := func() string {
		return fmt.Sprintf("%d writes of keys, %d transactions that write",
			consul().Counter("consul_kvs_apply"), consul().Counter("consul_txn_apply"))
	}
	before, index := count(), consul().RaftIndex()
	if consul().Counter("consul_txn_apply") == 0 {
		t.Fatal("Consul counts no transaction at all: the counter has another name")
	}
	throughout(t, 20*time.Second, "both are steady", func() bool {
		return d.status("rest-db").Activity == "steady" && d.status("rest-cache").Activity == "steady"
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
	r := resource{name: "metrics", handle: "metrics/URL", a: cache.Active.URL(""), b: cache.Standby.URL(""), policy: fast}
	config, door := embeddedStore(t, r)
	d := newDaemon(t, config)
	d.start()
	d.protected(r.name)
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
