package configs_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// requiring is a resource that requires what the expression says.
func requiring(expr, probe string) string {
	return strings.Replace(pair("mysql", ""), "  policy", "  require = "+expr+"\n  probe {\n"+probe+"\n  }\n  policy", 1)
}

func TestRequire(t *testing.T) {
	good := probe.Facts{"writable": true, "lag": int64(3), "version": "11.8.2-MariaDB"}
	for expr, want := range map[string][]string{
		`[]`:                          nil,
		`["writable"]`:                {"writable"},
		`["writable", " lag <= 5s "]`: {"writable", "lag <= 5s"},
		`["lag > 1", "lag <= 5s"]`:    {"lag > 1", "lag <= 5s"},
		`split(",", "!read_only,version >= 10.11")`: {"!read_only", "version >= 10.11"},
	} {
		r := load(t, requiring(expr, "")).Resources[0]
		var got []string
		for _, q := range r.Require {
			got = append(got, q.Text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", expr, diff)
		}
		if unmet := policy.Unmet(r.Require, good); len(unmet) > 0 != strings.Contains(expr, "read_only") {
			t.Errorf("%s of %v: %q", expr, good, unmet)
		}
	}
}

// TestExpect: what is expected of the attached endpoint is read in the same words,
// and the same is to be required of a standby.
func TestExpect(t *testing.T) {
	for text, want := range map[string]int{
		"require = [\"writable\"]\n  expect = [\"writable\"]":                                      0,
		"require = [\"writable\", \"lag <= 5s\"]\n  expect = [\"lag<=5s\"]":                        0,
		"expect = [\"writable\"]":                                                                  1,
		"require = [\"writable\"]\n  expect = [\"writable\", \"!read_only\"]":                      1,
		"promote {\n command = [\"/p\"]\n require = [\"writable\"]\n }\n  expect = [\"writable\"]": 1,
	} {
		config, diags := configs.Parse("test.hcl", []byte(strings.Replace(pair("mysql", ""), "  policy", "  "+text+"\n  policy", 1)), options())
		if diags.HasErrors() || strings.Count(diags.String(), "left again") != want {
			t.Errorf("%s, want %d warnings:\n%s", text, want, diags)
			continue
		}
		last := config.Resources[0].Judge.Expect
		if len(last) == 0 || !strings.Contains(text, last[len(last)-1].Text) {
			t.Errorf("%s is read as %v", text, last)
		}
	}
}

// TestRequireDepth: the warning comes exactly when conversations end before the
// fact is learnt.
func TestRequireDepth(t *testing.T) {
	for _, test := range []struct {
		require, probe string
		warned         bool
	}{
		{`["writable"]`, ``, false},
		{`["writable"]`, `depth = "role"`, false},
		{`["writable"]`, `depth = "ping"`, true},
		{`["auth_method == x"]`, `depth = "ping"`, false},
		{`["auth_method == x"]`, `depth = "auth"`, false},
		{`["version > 10"]`, `depth = "auth"`, false},
	} {
		_, diags := configs.Parse("test.hcl", []byte(requiring(test.require, test.probe)), options())
		if warned := strings.Contains(diags.String(), "never learnt"); warned != test.warned || diags.HasErrors() {
			t.Errorf("%s with %q:\n%s", test.require, test.probe, diags)
		}
	}
}

// TestWanted: the probes of every endpoint are told which facts are relied on,
// each once; that a reload changes them is told as what is required.
func TestWanted(t *testing.T) {
	text := strings.Replace(requiring(`["writable", "lag <= 5s", "lag > 1"]`, ""), "  policy",
		"  promote {\n    require = [\"applied\", \"writable\"]\n    command = [\"/bin/true\"]\n  }\n  policy", 1)
	text = strings.Replace(text, "  promote {", "  expect = [\"!read_only\"]\n  promote {", 1)
	conf := load(t, text)
	for _, e := range conf.Resources[0].Endpoints {
		if diff := cmp.Diff([]string{"writable", "lag", "applied", "read_only"}, e.Target.Wanted); diff != "" {
			t.Errorf("%s (-want +got):\n%s", e.Name, diff)
		}
	}
	diff := configs.Diff(conf, load(t, strings.Replace(text, `"lag > 1"`, `"version > 10"`, 1)))
	if len(diff.Changed) != 1 || !cmp.Equal(diff.Changed[0].What, []string{"require"}) {
		t.Errorf("the reload is told as %+v", diff)
	}
}
