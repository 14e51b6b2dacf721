package main

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/notify"
)

const everyKind = `
observer {
  name      = "mon-a"
  state_dir = "/tmp"
}
defaults {
  runbook = "https://wiki.internal/reattach"
  notify  = ["a-exec", "a-webhook", "a-slack", "a-pager", "an-alertmanager", "a-mail"]
}
notifier "exec" "a-exec" { command = ["/usr/bin/logger", "-t", "reattach"] }
notifier "webhook" "a-webhook" {
  url    = "https://hooks.internal/reattach"
  secret = "s3cr3t-of-orders"
  events = ["failover"]
}
notifier "slack" "a-slack" { webhook_url = "https://hooks.slack.com/services/s3cr3t-of-orders" }
notifier "pagerduty" "a-pager" {
  routing_key = "0123456789abcdef0123456789abcdef"
  severity    = "critical"
  timeout     = "7s"
}
notifier "alertmanager" "an-alertmanager" {
  urls    = ["https://am-1.internal:9093", "https://am-2.internal:9093"]
  resolve = true
}
notifier "email" "a-mail" {
  smtp    = "smtp://mail.internal"
  from    = "reattach@example.com"
  to      = ["ops@example.com"]
  resolve = false
}
resource "cache" {
  handle = "production/CACHE_URL"
  notify = ["a-slack"]
  endpoint "one" { url = "memcached://127.0.0.1" }
  endpoint "two" { url = "memcached://127.0.0.2" }
}
`

func parsed(t *testing.T, text string) *configs.Config {
	t.Helper()
	conf, diags := configs.Parse("r.hcl", []byte(text), configOptions(&process{env: func(string) (string, bool) { return "", false }}))
	if conf == nil {
		t.Fatal(diags.String())
	}
	return conf
}

// Every kind of notifier becomes a destination with what the configuration says of it.
func TestRouting(t *testing.T) {
	conf := parsed(t, everyKind)
	got, err := routing(conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Runbook != "https://wiki.internal/reattach" || !slices.Equal(got.Routes["cache"], []string{"a-slack"}) || len(got.Routes[""]) != 6 {
		t.Errorf("runbook %q, routes %v", got.Runbook, got.Routes)
	}
	type brief struct {
		name, kind string
		severity   failover.Severity
		events     int
		resolve    bool
		timeout    time.Duration
	}
	want := []brief{
		{"a-exec", "exec", failover.Info, 0, true, 10 * time.Second}, {"a-webhook", "webhook", failover.Info, 1, true, 10 * time.Second},
		{"a-slack", "slack", failover.Info, 0, true, 10 * time.Second}, {"a-pager", "pagerduty", failover.Critical, 0, true, 7 * time.Second},
		{"an-alertmanager", "alertmanager", failover.Info, 0, true, 10 * time.Second}, {"a-mail", "email", failover.Info, 0, false, 10 * time.Second},
	}
	for i, d := range got.Destinations {
		b := brief{d.Name, d.Kind, d.Severity, len(d.Events), d.Resolve, d.Timeout}
		if b != want[i] || d.Sender == nil {
			t.Errorf("%+v, want %+v; sender %T", b, want[i], d.Sender)
		}
	}
	if len(got.Destinations) != len(want) {
		t.Errorf("%d destinations", len(got.Destinations))
	}
	conf.Notifiers[0].Kind = "pigeon"
	if _, err := routing(conf, nil); err == nil || err.Error() != `notifier "a-exec": there is no kind "pigeon"` {
		t.Errorf("a kind that nobody knows: %v", err)
	}
}

func TestPage(t *testing.T) {
	for http, want := range map[string]string{
		"": "", "127.0.0.1:9778": "", "[::1]:9778": "", "0.0.0.0:9778": "", ":9778": "", "localhost:9778": "",
		"10.0.1.5:9778": "http://10.0.1.5:9778", "mon-a.internal:9778": "http://mon-a.internal:9778",
	} {
		conf := &configs.Config{Listen: configs.Listen{HTTP: http}}
		if got := page(conf); got != want {
			t.Errorf("listening on %q the page is %q, want %q", http, got, want)
		}
		conf.Observer = configs.Observer{Name: "mon-a", Peers: []configs.Peer{{Name: "mon-a", URL: "https://mon-a.example.com"}}}
		if got := page(conf); got != "https://mon-a.example.com" {
			t.Errorf("with a URL of its own the page is %q", got)
		}
	}
}

// taker is a destination that takes notices, or does not.
type taker struct {
	asked chan struct{} // at the first attempt
	once  sync.Once
	err   error
	took  []string
}

func (s *taker) Send(_ context.Context, m notify.Message) error {
	defer s.once.Do(func() { close(s.asked) })
	if s.err != nil {
		return s.err
	}
	for _, n := range m.Notices {
		s.took = append(s.took, n.Key)
	}
	return nil
}

// What the daemon tells at its very end is handed on before all ends, though the
// context has ended already; for a destination that fails nobody waits.
func TestLastWords(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want []string
		most time.Duration
	}{
		"takes": {nil, []string{"first", "last"}, 2 * time.Second},
		"fails": {errors.New("503"), nil, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			outbox, err := notify.Open(filepath.Join(t.TempDir(), "notices.db"), notify.Options{})
			if err != nil {
				t.Fatal(err)
			}
			to := &taker{asked: make(chan struct{}), err: c.err}
			outbox.Configure(notify.Routing{Destinations: []notify.Destination{{Name: "chat", Kind: "exec", Sender: to}}, Routes: map[string][]string{"": {"chat"}}})
			s := &service{outbox: outbox, silent: make(chan struct{})}
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- s.telling(ctx) }()
			keep := func(key string) {
				if err := outbox.Keep([]failover.Notice{{Key: key, Event: "switchover", At: time.Now()}}); err != nil {
					t.Fatal(err)
				}
			}
			keep("first")
			<-to.asked
			for c.err != nil && outbox.Notifiers()[0].Error == "" {
				runtime.Gosched() // the failure is noted a moment after it
			}
			cancel()
			keep("last")
			close(s.silent)
			began := time.Now()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if d := time.Since(began); d > c.most {
				t.Errorf("its end took %v, want %v at most", d, c.most)
			}
			if !slices.Equal(to.took, c.want) {
				t.Errorf("taken were %v, want %v", to.took, c.want)
			}
			if err := outbox.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
