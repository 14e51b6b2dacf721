package monitoring

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// watch is a real Prometheus and a real Alertmanager, in one container, with the
// samples' configuration.
type watch struct {
	t      testing.TB
	server *lab.Server
}

// hurried is a sample with short intervals, and alerts that wait for a second
// only: what they wait for otherwise is in the stories for promtool. One alert
// keeps its patience: Prometheus has no target while it starts.
func hurried(text []byte) []byte {
	waits := regexp.MustCompile(`(scrape_interval|evaluation_interval|for|group_interval|group_wait): \w+`)
	return waits.ReplaceAllFunc(text, func(setting []byte) []byte {
		if bytes.HasSuffix(setting, []byte(" 10m")) {
			return setting
		}
		return waits.ReplaceAll(setting, []byte("$1: 1s"))
	})
}

// newWatch starts both. Prometheus scrapes target.
func newWatch(t *testing.T, l *lab.Lab, target string) *watch {
	t.Helper()
	var files []lab.Option
	for _, name := range []string{"prometheus.yml", "recording.rules.yml", "alerts.rules.yml", "alertmanager.yml"} {
		text := strings.ReplaceAll(string(hurried(read(t, name))), "127.0.0.1:9778", target)
		files = append(files, lab.File("/watch/"+name, []byte(text)))
	}
	run := "prometheus-alertmanager --config.file=/watch/alertmanager.yml --storage.path=/tmp/alertmanager --cluster.listen-address= & " +
		"exec prometheus --config.file=/watch/prometheus.yml --storage.tsdb.path=/tmp/prometheus"
	w := &watch{t, l.Monitoring(append(files, lab.Named("watch"), lab.Command("sh", "-c", run))...)}
	daemon.Eventually(t, 60*time.Second, "Prometheus and Alertmanager are ready", func() bool {
		return w.get(9090, "/-/ready", nil, nil) == nil && w.get(9093, "/-/ready", nil, nil) == nil
	}, w.server.Logs)
	return w
}

// get asks one of them, and decodes an answer in JSON.
func (w *watch) get(port int, path string, values url.Values, answer any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.server.Addr(port)+path+"?"+values.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if answer == nil {
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", path, resp.Status)
		}
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

// sample is one of a query's answers.
type sample struct {
	Metric map[string]string `json:"metric"`
	Value  [2]any            `json:"value"`
}

// query evaluates an expression now.
func (w *watch) query(expr string) []sample {
	w.t.Helper()
	var answer struct {
		Status, Error string
		Data          struct{ Result []sample }
	}
	if err := w.get(9090, "/api/v1/query", url.Values{"query": {expr}}, &answer); err != nil || answer.Status != "success" {
		w.t.Fatalf("%s: %v %s", expr, err, answer.Error)
	}
	return answer.Data.Result
}

// firing reports whether an alert fires for a resource ("": any, or none).
func (w *watch) firing(alert, resource string) bool {
	w.t.Helper()
	selector := fmt.Sprintf(`ALERTS{alertstate="firing", alertname=%q}`, alert)
	if resource != "" {
		selector = strings.Replace(selector, "}", fmt.Sprintf(", resource=%q}", resource), 1)
	}
	return len(w.query(selector)) > 0
}

// fires waits until an alert fires.
func (w *watch) fires(alert, resource string) {
	w.t.Helper()
	daemon.Eventually(w.t, 40*time.Second, alert+" fires for "+resource, func() bool { return w.firing(alert, resource) }, w.firings)
}

// ends waits until an alert fires no more.
func (w *watch) ends(alert, resource string) {
	w.t.Helper()
	daemon.Eventually(w.t, 40*time.Second, alert+" fires no more for "+resource, func() bool { return !w.firing(alert, resource) }, w.firings)
}

// firings lists what fires.
func (w *watch) firings() string {
	var b strings.Builder
	for _, s := range w.query(`ALERTS`) {
		fmt.Fprintln(&b, s.Metric)
	}
	return b.String()
}

// ruleErrors are those that Prometheus met when it evaluated the rules.
func (w *watch) ruleErrors() (all []string) {
	w.t.Helper()
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	if err := w.get(9090, "/api/v1/rules", nil, &answer); err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			n++
			if r.Health != "ok" {
				all = append(all, fmt.Sprintf("%s is %s: %s", r.Name, r.Health, r.LastError))
			}
		}
	}
	if n == 0 {
		all = append(all, "Prometheus has no rules")
	}
	return all
}

// arrived are the alerts at Alertmanager: those of Prometheus by their names,
// those of reattach's own notifier too.
func (w *watch) arrived() map[string]string {
	w.t.Helper()
	var answer []struct {
		Labels map[string]string
		Status struct{ State string }
	}
	if err := w.get(9093, "/api/v2/alerts", nil, &answer); err != nil {
		w.t.Fatal(err)
	}
	all := map[string]string{}
	for _, a := range answer {
		all[a.Labels["alertname"]+" "+a.Labels["resource"]] = a.Status.State
	}
	return all
}
