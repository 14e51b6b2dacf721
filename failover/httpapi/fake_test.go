package httpapi_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/httpapi"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "s3cr3t-of-orders"

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fake is a daemon that always says the same.
type fake struct {
	mu      sync.Mutex
	command failover.Command // the last one
	answer  failover.Answer
	err     error // of everything
	sick    error // of Healthy and Ready
}

func (f *fake) Status(context.Context) (failover.Status, error) { return status(), f.err }

func (f *fake) Explain(_ context.Context, resource string) (failover.Explanation, error) {
	for _, r := range status().Resources {
		if r.Name == resource {
			return failover.Explanation{Status: r, Observer: "mon-a", AsOf: noon, IfDown: policy.Decision{At: noon, Gates: []policy.Passage{{Gate: "paused", Open: true, Why: "nobody paused it"}}}}, f.err
		}
	}
	return failover.Explanation{}, fmt.Errorf("%w %q", failover.ErrNoResource, resource)
}

func (f *fake) History(_ context.Context, resource string) ([]failover.Record, error) {
	if resource == "cache" {
		return nil, nil
	}
	return []failover.Record{{Resource: "orders", Epoch: 7, Kind: policy.Failover, From: "a", To: "b", Why: "refused"}}, f.err
}

func (f *fake) Do(_ context.Context, c failover.Command) (failover.Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.command = c
	return f.answer, f.err
}

func (f *fake) Healthy(context.Context) error { return f.sick }
func (f *fake) Ready(context.Context) error   { return f.sick }

func mustURL(s string) probe.URL {
	u, err := probe.ParseURL(s)
	if err != nil {
		panic(err)
	}
	return u
}

func status() failover.Status {
	since := noon.Add(-3*time.Hour - 20*time.Minute)
	return failover.Status{
		Observer: "mon-a", Zone: "az-1", Version: "v0.1.0", AsOf: noon,
		Notices: []failover.Notice{
			{Key: "k1", Event: "held", Urgent: true, Resource: "orders-db", Text: "this is told by the hold", Next: "reattach clear orders-db standby --reason TEXT", At: noon.Add(-4 * time.Minute)},
			{Key: "k3", Event: "another_writer", Urgent: true, Resource: "mail", Text: "mail: somebody else wrote its handles, for the second time.", Next: "reattach explain mail", At: noon.Add(-9 * time.Minute)},
			{Key: "k2", Event: "recovered", Text: "this is over", Over: true, At: noon},
		},
		Notifiers: []failover.NotifierStatus{
			{Name: "pager", Kind: "pagerduty", Sent: 12, LastOK: noon},
			{Name: "ops-chat", Kind: "slack", Pending: 3, Oldest: noon.Add(-12 * time.Minute), Error: "503 Service Unavailable: <b>later</b>"},
		},
		Resources: []failover.ResourceStatus{
			{
				Name: "orders-db", Protocol: "mysql", Mode: "act", Activity: "hold", Condition: "ours", Attached: "primary", Epoch: 7, Since: &since,
				Why:    "no standby can take over: standby: tainted: left 3 h ago",
				Hold:   &failover.Hold{Kind: policy.Failover, Gate: "candidate", Why: "no standby can take over: standby: tainted: left 3 h ago", Since: noon.Add(-4 * time.Minute)},
				Outage: &failover.Outage{Key: "orders-db/7", Since: noon.Add(-4 * time.Minute)},
				Endpoints: []failover.EndpointStatus{
					{Name: "primary", URL: mustURL("mysql://app:" + secret + "@db1.internal:3306/orders?charset=utf8"), Attached: true, State: policy.Down, Since: noon.Add(-4 * time.Minute), Class: probe.Refused, Phase: probe.PhaseConnect, Err: "connect: connection refused", LatencyS: .0003},
					{Name: "standby", URL: mustURL("mysql://app:" + secret + "@db2.internal:3306/orders?charset=utf8"), State: policy.Up, Since: noon.Add(-50 * time.Hour), Class: probe.OK, LatencyS: .0021, Tainted: "left 3 h ago", Facts: probe.Facts{"version": "11.8.2-MariaDB", "uptime": int64(180000)}},
				},
				Handles: []failover.HandleStatus{{Key: "production/DATABASE_URL", Index: 4711, Ours: true, Names: "primary"}},
			},
			{
				Name: "mail", Protocol: "smtp", Mode: "observe", Activity: "steady", Condition: "unmanaged", Attached: "relay-a",
				Why: "the handles are not ours yet",
				Endpoints: []failover.EndpointStatus{
					{Name: "relay-a", URL: mustURL("submission://app:" + secret + "@mx1.internal"), Attached: true, State: policy.Suspect, Since: noon.Add(-2 * time.Second), Class: probe.Auth, Code: "535 5.7.8", Err: "535 5.7.8 Error: authentication failed: <b>no</b>", LatencyS: .012},
					{Name: "relay-b", URL: mustURL("submission://app:" + secret + "@mx2.internal"), State: policy.Unknown, Drained: "by ana@ops: disk swap, until 14:00"},
				},
				Handles: []failover.HandleStatus{{Key: "production/SMTP_URL", Index: 12, Names: "relay-a"}},
			},
			{
				Name: "sessions", Protocol: "memcached", Mode: "act", Activity: "steady", Condition: "ours", Attached: "cache-1", Epoch: 1, Since: &since,
				Protected: true, Target: "cache-2", Why: "would go to cache-2",
				Endpoints: []failover.EndpointStatus{
					{Name: "cache-1", URL: mustURL("memcached://10.0.0.7:11211"), Attached: true, State: policy.Up, Since: since, Class: probe.OK, LatencyS: .0002},
					{Name: "cache-2", URL: mustURL("memcached://10.0.0.8:11211"), State: policy.Up, Since: since, Class: probe.OK, LatencyS: .00019},
				},
				Handles: []failover.HandleStatus{{Key: "production/CACHE_URL", Index: 13, Ours: true, Names: "cache-1"}},
			},
		},
	}
}

// serve runs api on a unix socket until the test ends, and returns its path.
func serve(t *testing.T, api httpapi.API) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "control.sock")
	ln, err := httpapi.ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- httpapi.Serve(ctx, ln, api.Handler(), slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return path
}

// door is everything that f offers.
func door(f *fake) httpapi.API {
	return httpapi.API{
		Reader: f, Health: f, Commander: f, Log: slog.New(slog.DiscardHandler),
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("# metrics\n")) }),
		KV:      http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("[]")) }),
	}
}
