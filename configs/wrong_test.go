package configs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/probe"
)

// wrong lists the configurations that are wrong, or worth a warning: files,
// and directories that are read as one. Beside each stands its expected report.
func wrong(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("testdata/wrong")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".golden" {
			out = append(out, filepath.Join("testdata/wrong", e.Name()))
		}
	}
	return out
}

func TestReports(t *testing.T) {
	paths := wrong(t)
	if len(paths) < 60 {
		t.Errorf("%d wrong configurations, want at least 60", len(paths))
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			config, diags := configs.Load([]string{path}, options())
			if len(diags) == 0 {
				t.Fatal("nothing is reported")
			}
			if (config == nil) != diags.HasErrors() {
				t.Errorf("config is nil: %v, but errors: %v", config == nil, diags.HasErrors())
			}
			if warns := strings.HasPrefix(filepath.Base(path), "warn-"); warns == diags.HasErrors() {
				t.Errorf("a file is called warn-… if, and only if, it has no error; errors here: %v", diags.HasErrors())
			}
			got, golden := diags.String(), path+".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("the report has changed (-want +got); -update rewrites it:\n%s", diff)
			}
		})
	}
}

// TestReportsHoldNoSecret looks for what was planted in every report, in every
// form in which it can be printed.
func TestReportsHoldNoSecret(t *testing.T) {
	seen := 0
	for _, path := range wrong(t) {
		_, diags := configs.Load([]string{path}, options())
		text := diags.String()
		for _, d := range diags {
			text += d.Message + d.Hint + d.Source + d.Caret
		}
		if strings.Contains(text, planted) {
			t.Errorf("%s: the report holds a secret:\n%s", path, diags)
		}
		if strings.Contains(text, "***") {
			seen++
		}
	}
	if seen < 10 {
		t.Errorf("only %d reports mask anything: this test proves little", seen)
	}
}

// TestScrub has a protocol that says in its complaint what it should not.
func TestScrub(t *testing.T) {
	opts := options()
	for i := range opts.Protocols {
		opts.Protocols[i].Check = func(u probe.URL) error {
			return fmt.Errorf("%s is a poor password", u.Password.Reveal())
		}
	}
	_, diags := configs.Parse("test.hcl", []byte(strings.ReplaceAll(pair("mysql", ""), "app@", "app:${env(\"WORD\")}@")), opts)
	if text := diags.String(); !strings.Contains(text, "*** is a poor password") {
		t.Errorf("the secret is not masked:\n%s", text)
	}
}

// TestReportsAreStable loads everything several times: maps must not decide
// the order of a report.
func TestReportsAreStable(t *testing.T) {
	for _, path := range wrong(t) {
		_, first := configs.Load([]string{path}, options())
		for range 5 {
			_, again := configs.Load([]string{path}, options())
			if !slices.Equal(first, again) {
				t.Fatalf("%s: another report for the same file:\n%s\nand:\n%s", path, first, again)
			}
		}
	}
}

func TestTooLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large.hcl")
	if err := os.WriteFile(path, []byte(pair("mysql", "")+strings.Repeat("#", 1<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	if config, diags := configs.Load([]string{path}, options()); config != nil || !strings.Contains(diags.String(), "larger than") {
		t.Errorf("a file of more than a mebibyte is read:\n%s", diags)
	}
	if config, diags := configs.Parse(path, []byte(pair("mysql", "")+strings.Repeat("#", 1<<20)), options()); config != nil || !strings.Contains(diags.String(), "larger than") {
		t.Errorf("a text of more than a mebibyte is read:\n%s", diags)
	}
}

// TestManyWarnings has more warnings than are shown: they do not become an error.
func TestManyWarnings(t *testing.T) {
	var b strings.Builder
	for i := range 101 {
		fmt.Fprintf(&b, "resource \"r%d\" {\n  handle = \"k%d\"\n", i, i)
		fmt.Fprintf(&b, "  endpoint \"a\" { url = \"memcached://:hunter2@a%d\" }\n  endpoint \"b\" { url = \"memcached://:hunter2@b%d\" }\n}\n", i, i)
	}
	config, diags := configs.Parse("many.hcl", []byte(b.String()), options())
	last := diags[len(diags)-1]
	if config == nil || last.Severity != configs.Warning || last.Message != "2 more findings are not shown" {
		t.Errorf("used: %v, and at last: %s", config != nil, last)
	}
	if config, diags = configs.Parse("many.hcl", []byte(b.String()+"x = 1\n"), options()); config != nil || !diags.HasErrors() {
		t.Errorf("used in spite of an error that is not shown: %s", diags[len(diags)-1])
	}
}

func TestNoSuchPath(t *testing.T) {
	for _, paths := range [][]string{nil, {"testdata/none.hcl"}, {t.TempDir()}} {
		config, diags := configs.Load(paths, options())
		if config != nil || !diags.HasErrors() || diags[0].Line != 0 {
			t.Errorf("Load(%q) = %v, %v, want an error without a line", paths, config, diags)
		}
	}
}

// TestHugeIsQuick loads what is large, and wrong in every
// line.
func TestHugeIsQuick(t *testing.T) {
	for name, line := range map[string]string{
		"unknown settings": "frobnicate = \"%d\"\n",
		"unknown blocks":   "x \"%d\" {\n}\n",
		"resources":        "resource \"r%d\" {\n  handle = \"x\"\n}\n",
		"one line":         "%d[",
	} {
		var b strings.Builder
		for i := 0; b.Len() < 1<<18; i++ {
			fmt.Fprintf(&b, line, i)
		}
		began := time.Now()
		config, diags := configs.Parse("huge.hcl", []byte(b.String()), options())
		if config != nil || !diags.HasErrors() {
			t.Errorf("%s: no error", name)
		}
		if len(diags) > 201 {
			t.Errorf("%s: %d findings are more than anyone reads", name, len(diags))
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: took %s", name, took)
		} else {
			t.Logf("%s: %s", name, took)
		}
	}
}
