package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// watchers are a real Prometheus with the shipped rules and a real Alertmanager with
// the shipped routes, in one container. Prometheus scrapes the daemon at door.
type watchers struct {
	t      *testing.T
	server *lab.Server
	door   string
}

// hurried are the waits of the samples; here nobody waits so long.
var hurried = regexp.MustCompile(`\b(scrape_interval|evaluation_interval|for|group_wait|group_interval): \w+`)

// watch starts both.
func watch(t *testing.T) *watchers {
	t.Helper()
	door, err := net.Listen("tcp", network().Gateway()+":0") // the container's way to this machine
	if err != nil {
		t.Skipf("a container cannot reach this machine: %v", err)
	}
	_ = door.Close()
	w := &watchers{t: t, door: door.Addr().String()}
	var files []lab.Option
	for _, name := range []string{"prometheus.yml", "recording.rules.yml", "alerts.rules.yml", "alertmanager.yml"} {
		text, err := os.ReadFile("../../deployments/prometheus/" + name)
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.ReplaceAll(hurried.ReplaceAll(text, []byte("$1: 1s")), []byte("127.0.0.1:9778"), []byte(w.door))
		files = append(files, lab.File("/lab/"+name, text))
	}
	// Where the sample sends things is of no matter here, and not reachable.
	run := "prometheus-alertmanager --config.file=/lab/alertmanager.yml --storage.path=/tmp/am --cluster.listen-address= & " +
		"exec prometheus --config.file=/lab/prometheus.yml --storage.tsdb.path=/tmp/prometheus"
	w.server = network().Monitoring(append(files, lab.Named(unique("watchers")), lab.Command("sh", "-c", run))...)
	daemon.Eventually(t, 60*time.Second, "Prometheus and Alertmanager are ready", func() bool {
		return w.get(9090, "/-/ready", nil) == nil && w.get(9093, "/-/ready", nil) == nil
	}, w.server.Logs)
	return w
}

// alertmanager is where the daemon's own alerts go.
func (w *watchers) alertmanager() string { return "http://" + w.server.Addr(9093) }

func (w *watchers) get(port int, path string, answer any) error {
	client := http.Client{Timeout: 10 * time.Second}
	r, err := client.Get("http://" + w.server.Addr(port) + path)
	if err != nil {
		return err
	}
	defer func() { _ = r.Body.Close() }()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, r.Status)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(r.Body).Decode(answer)
}

// metric is the one value of a query, and whether there is exactly one.
func (w *watchers) metric(query string) (value float64, ok bool) {
	w.t.Helper()
	var answer struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	if err := w.get(9090, "/api/v1/query?query="+url.QueryEscape(query), &answer); err != nil {
		w.t.Fatal(err)
	}
	if len(answer.Data.Result) != 1 {
		return 0, false
	}
	text, _ := answer.Data.Result[0].Value[1].(string)
	value, err := strconv.ParseFloat(text, 64)
	return value, err == nil
}

// shows waits until a query has one value, and returns it.
func (w *watchers) shows(query string) (value float64) {
	w.t.Helper()
	daemon.Eventually(w.t, 20*time.Second, "Prometheus shows "+query, func() (ok bool) {
		value, ok = w.metric(query)
		return ok
	})
	return value
}

// alert is an alert as Alertmanager's API has it.
type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

// alerts are the active ones of that name about a resource: the daemon's own are
// called Reattach, those of Prometheus' rules otherwise.
func (w *watchers) alerts(name, resource string) (out []alert) {
	w.t.Helper()
	var all []alert
	if err := w.get(9093, "/api/v2/alerts?active=true&inhibited=true", &all); err != nil {
		w.t.Fatal(err)
	}
	for _, a := range all {
		if a.Labels["alertname"] == name && a.Labels["resource"] == resource {
			out = append(out, a)
		}
	}
	return out
}

// reached has the daemon listen where Prometheus can reach it.
func (w *watchers) reached(config string) string {
	w.t.Helper()
	const shut = `http   = ""`
	if !strings.Contains(config, shut) {
		w.t.Fatalf("the configuration has no %s:\n%s", shut, config)
	}
	return strings.Replace(config, shut, fmt.Sprintf("http   = %q", w.door), 1)
}
