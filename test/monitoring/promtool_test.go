package monitoring

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reattach/reattach/test/lab"
)

// where are the labels that every series of a daemon has at Prometheus.
const where = `job="reattach",instance="mon-a:9778"`

func lines(series []string) string { return strings.Join(series, "\n") }

// TestAlertStories: the files for promtool are what the table says, and each
// alert has a story in which it fires and one in which it does not.
func TestAlertStories(t *testing.T) {
	byName := map[string]rule{}
	for _, a := range alerts(t) {
		byName[a.Alert] = a
	}
	quick, slow := opening("alerts_test.yml", "15s"), opening("alerts_day_test.yml", dayStep)
	quiet := map[string]bool{}
	for _, c := range alertCases {
		a, ok := byName[c.alert]
		if !ok {
			t.Fatalf("there is no alert %s", c.alert)
		}
		story := c.firing(a)
		for i := range c.quiet {
			story += c.silent(i)
		}
		if c.step() == dayStep {
			slow += story
		} else {
			quick += story
		}
		quiet[c.alert] = quiet[c.alert] || len(c.quiet) > 0
	}
	for name := range byName {
		if !quiet[name] {
			t.Errorf("no story has %s fire, or none has it stay quiet", name)
		}
	}
	golden(t, filepath.Join(rulesDir, "alerts_test.yml"), quick)
	golden(t, filepath.Join(rulesDir, "alerts_day_test.yml"), slow)
}

// dayStep is the time between two evaluations of a story that takes a day.
const dayStep = "10m"

func (c alertCase) step() string {
	if strings.HasPrefix(c.at, "24h") {
		return dayStep
	}
	return "15s"
}

// opening is how a file of stories begins.
func opening(name, step string) string {
	return "# Made from the table in test/monitoring (go test ./test/monitoring -run AlertStories -update):\n" +
		"# for each alert, series under which it fires, and some under which it does not.\n" +
		"# promtool test rules " + name + "\n" +
		"rule_files: [recording.rules.yml, alerts.rules.yml]\nevaluation_interval: " + step + "\ntests:\n"
}

// golden holds a file to what it should be.
func golden(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(text), want); diff != "" {
		t.Errorf("%s is not what it is made from; -update rewrites it:\n%s", path, diff)
	}
}

// head is the beginning of a story.
func (c alertCase) head(how string, series []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n  - name: %s %s\n    interval: %s\n    input_series:\n", c.alert, how, c.step())
	for _, s := range series {
		name, values, _ := strings.Cut(s, " ")
		metric, labels, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
		fmt.Fprintf(&b, "      - {series: '%s{%s}', values: %q}\n", metric, join(labels, where), values)
	}
	b.WriteString("    alert_rule_test:\n")
	return b.String()
}

func (c alertCase) firing(a rule) string {
	var b strings.Builder
	b.WriteString(c.head("fires", c.fires))
	if c.before != "" {
		fmt.Fprintf(&b, "      - {eval_time: %s, alertname: %s}\n", c.before, c.alert)
	}
	own := c.on
	if !c.bare {
		own = join(own, where)
	}
	labels := map[string]string{"severity": a.Labels["severity"]}
	for _, m := range matcher.FindAllStringSubmatch(own, -1) {
		labels[m[1]] = m[3]
	}
	fmt.Fprintf(&b, "      - eval_time: %s\n        alertname: %s\n        exp_alerts:\n          - exp_labels:\n", c.at, c.alert)
	for _, name := range sorted(labels) {
		fmt.Fprintf(&b, "              %s: %s\n", name, labels[name])
	}
	b.WriteString("            exp_annotations:\n")
	for _, name := range sorted(a.Annotations) {
		fmt.Fprintf(&b, "              %s: %q\n", name, rendered(a.Annotations[name], labels))
	}
	return b.String()
}

func (c alertCase) silent(i int) string {
	how := "stays quiet"
	if i > 0 {
		how += fmt.Sprintf(" (%d)", i+1)
	}
	return c.head(how, strings.Split(c.quiet[i], "\n")) + fmt.Sprintf("      - {eval_time: %s, alertname: %s}\n", c.at, c.alert)
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "," + b
}

func sorted(m map[string]string) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

var variable = regexp.MustCompile(`\{\{ \$labels\.(\w+) \}\}`)

// rendered is an annotation as Prometheus renders it.
func rendered(text string, labels map[string]string) string {
	return variable.ReplaceAllStringFunc(text, func(v string) string { return labels[variable.FindStringSubmatch(v)[1]] })
}

// TestTools: what the tools of Prometheus and Alertmanager say of the files.
func TestTools(t *testing.T) {
	lab.NeedImage(t, "monitoring")
	files := []lab.Option{lab.Named("promtool")}
	for _, name := range []string{"prometheus.yml", "recording.rules.yml", "alerts.rules.yml", "alerts_test.yml", "alerts_day_test.yml", "recording_test.yml", "alertmanager.yml"} {
		files = append(files, lab.File("/check/"+name, read(t, name)))
	}
	// The same story with an alert that does not come must fail.
	story := string(read(t, "alerts_test.yml"))
	first, second := strings.Index(story, "\n  - name:"), strings.Index(story, "\n  - name: ReattachDown stays quiet")
	down := strings.Index(story, "\n  - name: ReattachDown fires")
	broken := story[:first] + strings.Replace(story[down:second], "eval_time: 2m", "eval_time: 30s", 1)
	files = append(files, lab.File("/check/broken_test.yml", []byte(broken)))
	tools := lab.New(t).Monitoring(files...)
	for _, args := range [][]string{
		{"promtool", "check", "rules", "--lint=all", "--lint-fatal", "/check/recording.rules.yml", "/check/alerts.rules.yml"},
		{"promtool", "check", "config", "/check/prometheus.yml"},
		{"promtool", "test", "rules", "/check/alerts_test.yml", "/check/alerts_day_test.yml", "/check/recording_test.yml"},
		{"amtool", "check-config", "/check/alertmanager.yml"},
	} {
		out, err := tools.Exec(args...)
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		t.Logf("%s\n%s", strings.Join(args, " "), out)
	}
	if out, err := tools.Exec("promtool", "test", "rules", "/check/broken_test.yml"); err == nil {
		t.Errorf("a story that is not so passes: %s", out)
	}
	for labels, receiver := range map[string]string{"severity=critical": "page", "severity=warning": "today"} {
		if out, err := tools.Exec("amtool", "config", "routes", "test", "--config.file=/check/alertmanager.yml", "--verify.receivers="+receiver, labels); err != nil {
			t.Errorf("%s: %v: %s", labels, err, out)
		}
	}
}
