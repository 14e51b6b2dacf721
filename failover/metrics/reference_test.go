package metrics_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reattach/reattach/failover/metrics"
)

var update = flag.Bool("update", false, "rewrite the page of metrics")

const page = "../../deployments/docs/metrics.md"

const head = `# Metrics

What a daemon shows Prometheus on ` + "`/metrics`" + ` of its ` + "`listen { http = … }`" + ` door. [deployments/prometheus](../prometheus) has a scrape configuration,
recording rules and alerts; [deployments/grafana](../grafana) has a dashboard.

This page is generated from the program (` + "`go test ./failover/metrics -update`" + `). Labels are bounded by the configuration and by the lists
here: none holds an address, a URL or an error text. What a reload removed from the configuration is removed here, too. Beside these there are
Go's own metrics (` + "`go_…`" + `) and the process's (` + "`process_…`" + `).

**States are read at the moment of a scrape**, from what ` + "`reattach status`" + ` shows. One that is not known is absent, not 0: a daemon that
does not answer must not look like one whose resources are not protected. So alert on ` + "`up`" + ` and ` + "`reattach_engine_up`" + `, too.

To have them watched:

1. Add the job of [prometheus.yml](../prometheus/prometheus.yml) to your scrape configuration. The alerts look for the job's name, ` + "`reattach`" + `.
2. Put [recording.rules.yml](../prometheus/recording.rules.yml) and [alerts.rules.yml](../prometheus/alerts.rules.yml) where your ` + "`rule_files`" + ` are. Each alert links
   its entry in the [runbook](runbook.md).
3. Have [alertmanager.yml](../prometheus/alertmanager.yml) at hand for how alerts belong together: by resource, and what is silent while something else says more.
4. Import [reattach.json](../grafana/dashboards/reattach.json) into Grafana, or provision it with the samples beside it.

| metric | type | in short |
| --- | --- | --- |
`

// TestPage: the page for people is what the code says.
func TestPage(t *testing.T) {
	var b strings.Builder
	b.WriteString(head)
	for _, m := range metrics.Reference() {
		short, _, _ := strings.Cut(m.Help, ". ")
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", m.Name, m.Name, m.Type, strings.TrimSuffix(short, ".")+".")
	}
	for _, m := range metrics.Reference() {
		b.WriteString(entry(m))
	}
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s is not what the code says; -update rewrites it:\n%s", page, diff)
	}
}

// entry is a metric's section.
func entry(m metrics.Metric) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\n%s\n\n- type: %s\n- value: %s\n", m.Name, m.Help, m.Type, m.Unit)
	for _, l := range m.Labels {
		fmt.Fprintf(&b, "- label `%s`: %s", l.Name, l.Meaning)
		if len(l.Values) > 0 {
			fmt.Fprintf(&b, ". One of `%s`", strings.Join(l.Values, "`, `"))
		}
		b.WriteString("\n")
	}
	if m.Example != "" {
		fmt.Fprintf(&b, "\n```promql\n%s\n```\n", m.Example)
	}
	return b.String()
}

// TestReference: what a daemon shows after a busy time is what the reference
// lists, with these types, labels and values.
func TestReference(t *testing.T) {
	m, reg := start(t, config("orders"), source{status: status()})
	busy(m)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]metrics.Metric{}
	for _, entry := range metrics.Reference() {
		listed[entry.Name] = entry
	}
	for _, f := range families {
		entry, ok := listed[f.GetName()]
		if !ok {
			t.Errorf("%s is not in the reference", f.GetName())
			continue
		}
		delete(listed, f.GetName())
		if got := strings.ToLower(f.GetType().String()); got != entry.Type || f.GetHelp() != entry.Help {
			t.Errorf("%s is a %s: %s", entry.Name, got, f.GetHelp())
		}
		for _, series := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range series.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			checkLabels(t, entry, labels)
		}
	}
	for name := range listed {
		t.Errorf("%s was not shown, or is listed twice", name)
	}
}

func checkLabels(t *testing.T, entry metrics.Metric, labels map[string]string) {
	t.Helper()
	if len(labels) != len(entry.Labels) {
		t.Errorf("%s has the labels %v, the reference %d", entry.Name, labels, len(entry.Labels))
	}
	for name, value := range labels {
		i := slices.IndexFunc(entry.Labels, func(l metrics.Label) bool { return l.Name == name })
		switch {
		case i < 0:
			t.Errorf("%s: the label %s is not in the reference", entry.Name, name)
		case len(entry.Labels[i].Values) > 0 && !slices.Contains(entry.Labels[i].Values, value):
			t.Errorf("%s: %s=%q is not in the reference", entry.Name, name, value)
		}
	}
}
