package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/test/lab"
)

// alertmanagerConfig routes by severity: what is critical goes to /critical.
const alertmanagerConfig = `
route:
  receiver: rest
  group_by: [matter]
  group_wait: 100ms
  group_interval: 200ms
  routes:
    - matchers: ['severity="critical"']
      receiver: critical
receivers:
  - name: rest
    webhook_configs: [{url: "http://%[1]s/rest", send_resolved: true}]
  - name: critical
    webhook_configs: [{url: "http://%[1]s/critical", send_resolved: true}]
`

// pagers is where Alertmanager tells people.
type pagers struct {
	mu   sync.Mutex
	told []string // "critical firing failover", in their order, doubles left out
}

func (p *pagers) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var body struct {
		Alerts []struct {
			Status      string
			Annotations map[string]string
		}
	}
	text, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(text, &body)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range body.Alerts {
		line := strings.TrimPrefix(r.URL.Path, "/") + " " + a.Status + " " + a.Annotations["event"]
		if !slices.Contains(p.told, line) {
			p.told = append(p.told, line)
		}
	}
}

func (p *pagers) has(line string) func() bool {
	return func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return slices.Contains(p.told, line)
	}
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// realAlertmanager is one in a container, and where it tells people.
func realAlertmanager(t *testing.T) (*lab.Server, *pagers) {
	t.Helper()
	l := lab.New(t)
	people := &pagers{}
	listener, err := net.Listen("tcp", net.JoinHostPort(l.Gateway(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: people, ReadHeaderTimeout: time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	am := l.Monitoring(lab.File("/am.yml", fmt.Appendf(nil, alertmanagerConfig, listener.Addr())),
		lab.Command("prometheus-alertmanager", "--config.file=/am.yml", "--storage.path=/tmp/am", "--cluster.listen-address="))
	if out := am.MustExec("amtool", "check-config", "/am.yml"); !strings.Contains(out, "SUCCESS") {
		t.Fatal(out)
	}
	waitAlertmanager(t, am)
	return am, people
}

func waitAlertmanager(t *testing.T, am *lab.Server) {
	t.Helper()
	eventually(t, "Alertmanager serves", func() bool {
		resp, err := http.Get("http://" + am.Addr(9093) + "/-/ready")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// standing lists the alerts that Alertmanager holds now, by its own API.
func standing(t *testing.T, am *lab.Server) (alerts []alert) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+am.Addr(9093)+"/api/v2/alerts", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(&alerts); err != nil {
		t.Fatal(err)
	}
	return alerts
}

// recent is the outage as if it happened now.
func recent() []failover.Notice {
	all, now := outage(), time.Now().UTC().Truncate(time.Millisecond)
	for i := range all {
		all[i].Since, all[i].At = now.Add(-9*time.Second), now.Add(time.Duration(i)*10*time.Millisecond)
	}
	all[0].Urgent = false // a held switchover is a warning
	return all
}

// TestLabAlertmanager: one outage in a real Alertmanager: its warning, its page,
// a restart that forgets everything, and its end.
func TestLabAlertmanager(t *testing.T) {
	lab.NeedImage(t, "monitoring")
	am, people := realAlertmanager(t)
	a, err := NewAlertmanager(AlertmanagerOptions{URLs: []probe.Secret{probe.Secret("http://" + am.Addr(9093))}, Page: "http://eu-1.test:8420"})
	if err != nil {
		t.Fatal(err)
	}
	n := recent()
	mustSend(t, a, message(n[0]))
	eventually(t, "the warning is told", people.has("rest firing held"))
	mustSend(t, a, message(n[1]))
	eventually(t, "the page is told", people.has("critical firing failover"))
	eventually(t, "the warning ended", people.has("rest resolved failover"))

	alerts := standing(t, am)
	if len(alerts) != 1 || alerts[0].Labels["severity"] != "critical" || alerts[0].Labels["matter"] != "orders-db/7.1" ||
		alerts[0].Annotations["runbook_url"] != runbookPage+"#failover" || !alerts[0].StartsAt.Equal(n[1].Since) || alerts[0].GeneratorURL == "" {
		t.Errorf("standing: %+v", alerts)
	}
	t.Log(am.MustExec("amtool", "--alertmanager.url=http://127.0.0.1:9093", "alert", "query", "-o", "extended"))

	am.KillProcess()
	am.StartProcess()
	waitAlertmanager(t, am)
	if alerts := standing(t, am); len(alerts) != 0 {
		t.Errorf("it remembers after all: %+v", alerts)
	}
	if err := a.SendAll(t.Context(), []Message{message(n[1])}); err != nil {
		t.Fatal(err)
	}
	if alerts := standing(t, am); len(alerts) != 1 {
		t.Errorf("repeated after its restart: %+v", alerts)
	}

	// This daemon was started again, too, and knows nothing of the severity.
	a, err = NewAlertmanager(a.opt)
	if err != nil {
		t.Fatal(err)
	}
	n[2].At = time.Now()
	mustSend(t, a, message(n[2]))
	if alerts := standing(t, am); len(alerts) != 0 {
		t.Errorf("not over: %+v", alerts)
	}
	eventually(t, "the end is told", people.has("critical resolved recovered"))
	if people.has("rest firing recovered")() || people.has("rest firing failover")() {
		t.Errorf("told: %q", people.told)
	}
	t.Logf("told: %q", people.told)
}

// TestLabAlertmanagerTakesOdd: whatever a notice holds, a real Alertmanager takes
// it, and a storm is one alert for each matter.
func TestLabAlertmanagerTakesOdd(t *testing.T) {
	lab.NeedImage(t, "monitoring")
	am, _ := realAlertmanager(t)
	a := newAlertmanager(t, "http://"+am.Addr(9093))
	for name, m := range odd() {
		for i := range m.Notices {
			m.Notices[i].At = time.Now()
		}
		if err := send(t, a, m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	event := failover.Notice{Key: "b/2.switchover", Event: "switchover", Resource: "b", At: time.Now(), Text: "b: moved"}
	mustSend(t, a, message(event))
	i := slices.IndexFunc(standing(t, am), func(a alert) bool { return a.Labels["matter"] == event.Key })
	if i < 0 {
		t.Fatal("the event is not there")
	}
	if at := standing(t, am)[i].EndsAt; at.Sub(event.At).Round(time.Minute) != alertEvent {
		t.Errorf("the event ends at %v", at)
	}
}
