package monitoring

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/metrics"
)

var update = flag.Bool("update", false, "rewrite what is made from the tables of these tests")

const (
	rulesDir = "../../deployments/prometheus"
	runbook  = "../../deployments/docs/runbook.md"
	// runbookPage is where notices link to, if the configuration says nothing else.
	runbookPage = "https://github.com/reattach/reattach/blob/main/deployments/docs/runbook.md"
)

// ruleFile is a file of rules.
type ruleFile struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []rule `yaml:"rules"`
	} `yaml:"groups"`
}

// rule is a recording or an alert rule.
type rule struct {
	Record      string            `yaml:"record"`
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// read returns a file of deployments/prometheus.
func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(rulesDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// rules reads a file of rules, strictly.
func rules(t *testing.T, name string) (all []rule) {
	t.Helper()
	dec := yaml.NewDecoder(bytes.NewReader(read(t, name)))
	dec.KnownFields(true)
	var f ruleFile
	if err := dec.Decode(&f); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, g := range f.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

func alerts(t *testing.T) []rule     { t.Helper(); return rules(t, "alerts.rules.yml") }
func recordings(t *testing.T) []rule { t.Helper(); return rules(t, "recording.rules.yml") }

func recorded(t *testing.T) (names []string) {
	t.Helper()
	for _, r := range recordings(t) {
		names = append(names, r.Record)
	}
	return names
}

// TestAlertsSayEverything: how urgent it is, what has happened, what to type,
// and where the runbook tells more.
func TestAlertsSayEverything(t *testing.T) {
	text, err := os.ReadFile(runbook)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, a := range alerts(t) {
		if names[a.Alert] {
			t.Errorf("there are two alerts %s", a.Alert)
		}
		names[a.Alert] = true
		if s := a.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity %q", a.Alert, s)
		}
		for _, key := range []string{"summary", "description"} {
			if a.Annotations[key] == "" {
				t.Errorf("%s has no %s", a.Alert, key)
			}
		}
		page, anchor, _ := strings.Cut(a.Annotations["runbook_url"], "#")
		if page != runbookPage {
			t.Errorf("%s: the runbook is at %s", a.Alert, page)
		}
		if !regexp.MustCompile(`(?m)^###? ` + regexp.QuoteMeta(anchor) + `$`).Match(text) {
			t.Errorf("%s: the runbook has no entry %s", a.Alert, anchor)
		}
	}
}

// TestAlertsForEachNotice: whatever reattach tells that wants somebody, the rules
// can tell, too.
func TestAlertsForEachNotice(t *testing.T) {
	for _, k := range failover.EventKinds() {
		has := slices.ContainsFunc(alerts(t), func(a rule) bool { return strings.HasSuffix(a.Annotations["runbook_url"], "#"+k.Name) })
		if k.Severity >= failover.Warning && !has {
			t.Errorf("no alert leads to %s: %s", k.Name, k.Meaning)
		}
	}
}

// TestRecordingsHaveStories: recording_test.yml, which is written by hand, has an
// expectation for each recording rule.
func TestRecordingsHaveStories(t *testing.T) {
	text := string(read(t, "recording_test.yml"))
	for _, name := range recorded(t) {
		if !strings.Contains(text, "expr: "+name+"\n") {
			t.Errorf("recording_test.yml does not ask for %s", name)
		}
	}
}

// TestQueriesAskForWhatThereIs: no rule and no example names a metric, a label
// or a value that a daemon never shows.
func TestQueriesAskForWhatThereIs(t *testing.T) {
	check := func(where, expr string) {
		t.Helper()
		found := selectors(expr)
		if len(found) == 0 {
			t.Errorf("%s asks for nothing of ours: %s", where, expr)
		}
		for _, s := range found {
			if err := s.wrong(recorded(t)); err != nil {
				t.Errorf("%s: %v", where, err)
			}
		}
	}
	for _, r := range append(alerts(t), recordings(t)...) {
		check(r.Alert+r.Record, r.Expr)
	}
	for _, m := range metrics.Reference() {
		if m.Example != "" {
			check(m.Name, m.Example)
		}
	}
}

// TestWrongQueriesAreFound: the check above can fail.
func TestWrongQueriesAreFound(t *testing.T) {
	for _, expr := range []string{
		`reattach_protectd == 0`, `reattach_loop_lag_seconds > 1`, `rate(reattach_probes_total{endpont="a"}[5m])`,
		`reattach_hold{gate!~"paused|observ"}`, `reattach_notices_active{event="fail_over"}`, `instance:reattach_nothing:sum`,
	} {
		found := selectors(expr)
		if len(found) != 1 || found[0].wrong(recorded(t)) == nil {
			t.Errorf("%s is taken for right (%v)", expr, found)
		}
	}
}
