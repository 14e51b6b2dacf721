package monitoring

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const grafanaDir = "../../deployments/grafana"

func dashboard(t *testing.T) ([]byte, sDashboard) {
	t.Helper()
	text, err := os.ReadFile(grafanaDir + "/dashboards/reattach.json")
	if err != nil {
		t.Fatal(err)
	}
	d, wrong := parseDashboard(text)
	for _, err := range wrong {
		t.Error(err)
	}
	if t.Failed() {
		t.FailNow()
	}
	return text, d
}

// query is one of the dashboard's.
type query struct{ where, expr string }

func dashboardQueries(t *testing.T) (all []query) {
	t.Helper()
	_, d := dashboard(t)
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			all = append(all, query{p.Title + " " + q.RefID, q.Expr})
		}
	}
	for _, a := range d.Annotations.List {
		all = append(all, query{"annotation " + a.Name, a.Expr})
	}
	return all
}

// TestDashboardIsWhole: panels lie side by side and not on one another, each
// asks the chosen data source, and only variables are used that there are.
func TestDashboardIsWhole(t *testing.T) {
	text, d := dashboard(t)
	if !strings.Contains(d.Description, "never rendered by our tests") {
		t.Error("the dashboard does not say that it was never rendered by our tests")
	}
	if n := len(d.UID); n < 8 || n > 40 {
		t.Errorf("the uid %q has %d characters, 8 to 40 are allowed", d.UID, n)
	}
	taken, ids := map[[2]int]int{}, map[int]bool{}
	for _, p := range d.Panels {
		g := p.GridPos
		if ids[p.ID] || p.ID < 1 || g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 || p.Title == "" {
			t.Errorf("panel %d %q at %+v", p.ID, p.Title, g)
		}
		ids[p.ID] = true
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != 0 {
					t.Fatalf("the panels %d and %d lie on one another", p.ID, other)
				}
				taken[[2]int{x, y}] = p.ID
			}
		}
		checkTargets(t, p)
	}
	known := map[string]bool{"__rate_interval": true, "__range": true, "__all": true}
	for _, v := range d.Templating.List {
		known[v.Name] = true
	}
	for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllSubmatch(text, -1) {
		if !known[string(m[1])] {
			t.Errorf("there is no variable %s", m[1])
		}
	}
	for _, row := range []string{"At a glance", "Resources", "Probes", "Switches", "Gates that hold", "Notices and notifiers", "The daemon itself"} {
		if !bytes.Contains(text, []byte(fmt.Sprintf("%q", row))) {
			t.Errorf("there is no row %s", row)
		}
	}
}

func checkTargets(t *testing.T, p sPanel) {
	t.Helper()
	refs := map[string]bool{}
	for _, q := range p.Targets {
		if refs[q.RefID] || q.Expr == "" || q.Instant == q.Range || q.Datasource.UID != "${datasource}" || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %q, query %s: %+v", p.Title, q.RefID, q)
		}
		refs[q.RefID] = true
		if (p.Type == "table") != (q.Format == "table") {
			t.Errorf("panel %q is a %s, and its query answers as %s", p.Title, p.Type, q.Format)
		}
	}
	if p.Type != "row" && len(refs) == 0 {
		t.Errorf("panel %q asks for nothing", p.Title)
	}
}

// TestDashboardAsksForWhatThereIs: see TestQueriesAskForWhatThereIs.
func TestDashboardAsksForWhatThereIs(t *testing.T) {
	for _, q := range dashboardQueries(t) {
		found := selectors(q.expr)
		if len(found) == 0 {
			t.Errorf("%s asks for nothing of ours: %s", q.where, q.expr)
		}
		for _, s := range found {
			if err := s.wrong(recorded(t)); err != nil {
				t.Errorf("%s: %v", q.where, err)
			}
		}
	}
}

// TestSchemaBites: a dashboard that Grafana would not take as meant is found.
func TestSchemaBites(t *testing.T) {
	text, _ := dashboard(t)
	for name, edit := range map[string][2]string{
		"an unknown key":        {`"schemaVersion"`, `"schema_version"`},
		"a key of another case": {`"gridPos"`, `"gridpos"`},
		"an unknown option":     {`"graphMode"`, `"graph"`},
		"an unknown word":       {`"stepAfter"`, `"steps"`},
		"an unknown panel":      {`"type": "timeseries"`, `"type": "graph2"`},
		"an unknown color":      {`"color": "orange"`, `"color": "ochre"`},
		"a mapped color":        {`"color": "blue",`, `"color": "indigo",`},
		"an unknown mode":       {`"mode": "palette-classic-by-name"`, `"mode": "by name"`},
		"a transformation":      {`"id": "organize"`, `"id": "organise"`},
		"an override":           {`"id": "byName"`, `"id": "named"`},
		"an unknown unit":       {`"unit": "ops"`, `"unit": "per second"`},
		"a text for a number":   {`"graphTooltip": 1`, `"graphTooltip": "1"`},
		"an unknown variable":   {`"type": "query"`, `"type": "question"`},
		"falling thresholds":    {`"value": 86400`, `"value": 86400000`},
		"thresholds of no mode": {`"mode": "absolute"`, `"mode": "relative"`},
	} {
		broken := bytes.Replace(text, []byte(edit[0]), []byte(edit[1]), 1)
		if bytes.Equal(broken, text) {
			t.Fatalf("%s: nothing to edit", name)
		}
		if _, wrong := parseDashboard(broken); len(wrong) == 0 {
			t.Errorf("%s is not found", name)
		}
	}
}

// TestProvisioning holds the sample files to the published form of theirs.
func TestProvisioning(t *testing.T) {
	load := func(name string, v any) string {
		t.Helper()
		text, err := os.ReadFile(grafanaDir + "/provisioning/" + name)
		if err != nil {
			t.Fatal(err)
		}
		dec := yaml.NewDecoder(bytes.NewReader(text))
		dec.KnownFields(true)
		if err := dec.Decode(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Contains(text, []byte("never loaded by Grafana in our tests")) {
			t.Errorf("%s does not say that it was never loaded", name)
		}
		return string(text)
	}
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access, URL string
			IsDefault                    bool `yaml:"isDefault"`
			JSONData                     struct {
				TimeInterval string `yaml:"timeInterval"`
				HTTPMethod   string `yaml:"httpMethod"`
			} `yaml:"jsonData"`
		}
	}
	load("datasources/reattach.yml", &sources)
	if sources.APIVersion != 1 || len(sources.Datasources) != 1 || sources.Datasources[0].Type != "prometheus" {
		t.Errorf("data sources: %+v", sources)
	}
	var providers struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Folder, Type string
			DisableDeletion    bool `yaml:"disableDeletion"`
			AllowUIUpdates     bool `yaml:"allowUiUpdates"`
			Options            struct{ Path string }
		}
	}
	load("dashboards/reattach.yml", &providers)
	if providers.APIVersion != 1 || len(providers.Providers) != 1 || providers.Providers[0].Type != "file" || providers.Providers[0].Options.Path == "" {
		t.Errorf("providers: %+v", providers)
	}
}
