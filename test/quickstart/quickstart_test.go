package main

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/amqp"
	"github.com/reattach/reattach/probe/memcached"
	"github.com/reattach/reattach/probe/mysql"
	"github.com/reattach/reattach/probe/smtp"
)

// TestConfigFitsThePlay holds the configuration against what the acts take for
// granted, with either store.
func TestConfigFitsThePlay(t *testing.T) {
	t.Chdir("../..")
	options := configs.Options{
		Protocols: []probe.Protocol{mysql.Protocol, amqp.Protocol, smtp.Protocol, memcached.Protocol},
		Env:       func(name string) (string, bool) { value, ok := secrets[name]; return value, ok },
	}
	for _, store := range []string{"embedded", "consul"} {
		t.Run(store, func(t *testing.T) {
			text, err := (&stage{store: store}).config()
			if err != nil {
				t.Fatal(err)
			}
			config, diags := configs.Parse("quickstart.hcl", text, options)
			if config == nil {
				t.Fatalf("it has errors:\n%s", diags)
			}
			if string(config.Store.Kind) != store {
				t.Errorf("the store is %s", config.Store.Kind)
			}
			for _, a := range acts {
				holdsAct(t, config.Resource(a.resource), a)
			}
		})
	}
}

func holdsAct(t *testing.T, r *policy.Resource, a act) {
	t.Helper()
	switch {
	case r == nil:
		t.Errorf("no resource %s", a.resource)
	case r.Endpoints[0].Name != a.from || r.Endpoints[1].Name != a.to:
		t.Errorf("%s: goes from %s to %s, not from %s to %s", a.resource, r.Endpoints[0].Name, r.Endpoints[1].Name, a.from, a.to)
	case r.Handles[0].Key != "quickstart/"+a.handle:
		t.Errorf("%s: its handle is %s", a.resource, r.Handles[0].Key)
	case !r.Bootstrap || r.Judge.Sustain != time.Second || r.Pace.Interval != 500*time.Millisecond || r.Endpoints[0].Target.Timeout != time.Second:
		t.Errorf("%s: bootstrap %v, sustain %v, interval %v, timeout %v are not what the quickstart says of them",
			a.resource, r.Bootstrap, r.Judge.Sustain, r.Pace.Interval, r.Endpoints[0].Target.Timeout)
	}
}

func TestJournalAwaits(t *testing.T) {
	j := newJournal()
	early := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	j.add([]byte(`{"time":"2026-01-01T00:00:00Z","msg":"switched","to":"a"}`))
	j.add([]byte(`lab-init: no JSON`))
	go j.add([]byte(`{"time":"2026-01-01T00:00:05Z","msg":"switched","to":"b"}`))
	switched := func(e event) bool { return e.Msg == "switched" }
	if e, err := j.await(t.Context(), early.Add(time.Second), 10*time.Second, switched); err != nil || e.To != "b" {
		t.Errorf("await returns %+v, %v: want the one to b, which came later", e, err)
	}
	if _, err := j.await(t.Context(), early.Add(time.Hour), time.Millisecond, switched); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("await of what does not come: %v", err)
	}
}

func TestSeenNamesTheClass(t *testing.T) {
	vote := failover.Vote{Saw: []failover.EndpointVote{
		{Endpoint: "b", Class: probe.OK}, {Endpoint: "a", Class: probe.Refused},
	}}
	if got, want := seen(failover.Record{Votes: []failover.Vote{vote}}, "a"), "a refuses connections; the examination begins"; got != want {
		t.Errorf("seen: %q, want %q", got, want)
	}
}

func TestNoTerminalHere(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	stdin := os.Stdin
	defer func() { os.Stdin = stdin }()
	if os.Stdin = null; terminal() {
		t.Error("/dev/null is taken for a terminal")
	}
}
