package configs_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/amqp"
	"github.com/reattach/reattach/probe/memcached"
	"github.com/reattach/reattach/probe/mysql"
	"github.com/reattach/reattach/probe/smtp"
)

// real returns the options of options(), with the protocols of the daemon.
func real() configs.Options {
	opts := options()
	known := opts.Env
	opts.Env = func(name string) (string, bool) {
		if strings.HasSuffix(name, "_PASSWORD") || strings.HasSuffix(name, "_TOKEN") {
			return planted + name, true
		}
		return known(name)
	}
	opts.Protocols = []probe.Protocol{mysql.Protocol, amqp.Protocol, smtp.Protocol, memcached.Protocol}
	return opts
}

// warned are the samples that rightly come with warnings, and a word of each.
var warned = map[string][]string{
	"reference.hcl":  {"the way home opens only after someone cleared it"},                      // it sets everything, failback too
	"quickstart.hcl": {"a healthy amqp", "a healthy smtp", "a plain restart", "with bootstrap"}, // it is in a hurry, and its databases are its own
}

func TestSamples(t *testing.T) {
	hcl, err := filepath.Glob("*.hcl")
	if err != nil {
		t.Fatal(err)
	}
	json, err := filepath.Glob("*.json")
	if err != nil {
		t.Fatal(err)
	}
	samples := slices.Concat(hcl, json)
	if len(samples) < 9 {
		t.Errorf("%d samples, want at least 9: %q", len(samples), samples)
	}
	for _, path := range samples {
		t.Run(path, func(t *testing.T) {
			config, diags := configs.Load([]string{path}, real())
			if text := read(t, path); strings.HasSuffix(path, ".hcl") && text != string(hclwrite.Format([]byte(text))) {
				t.Errorf("it is not formatted:\n%s", cmp.Diff(text, string(hclwrite.Format([]byte(text)))))
			}
			if diags.HasErrors() {
				t.Fatalf("errors:\n%s", diags)
			}
			if len(config.Resources) == 0 {
				t.Error("no resource")
			}
			want := warned[path]
			if len(diags) != len(want) {
				t.Fatalf("%d warnings, want %d:\n%s", len(diags), len(want), diags)
			}
			for i, d := range diags {
				if !strings.Contains(d.Message, want[i]) {
					t.Errorf("a warning without %q:\n%s", want[i], d)
				}
			}
		})
	}
}

// TestReferenceIsComplete looks for every setting of the table in the sample
// that promises to have them all.
func TestReferenceIsComplete(t *testing.T) {
	reference, err := filepath.Glob("reference.hcl")
	if err != nil || len(reference) != 1 {
		t.Fatal(reference, err)
	}
	text := read(t, "reference.hcl") + read(t, "embedded.hcl")
	for _, s := range configs.Schema() {
		if s.Unsupported {
			continue
		}
		name := s.Path[strings.LastIndex(s.Path, ".")+1:]
		if !strings.Contains(text, " "+name+" ") {
			t.Errorf("%s is missing", s.Path)
		}
	}
}

// TestRealProtocols holds the doubles of these tests against the protocols
// that they stand for: what is wrong with the ones is wrong with the others.
func TestRealProtocols(t *testing.T) {
	for _, path := range wrong(t) {
		_, doubles := configs.Load([]string{path}, options())
		_, diags := configs.Load([]string{path}, real())
		if doubles.HasErrors() != diags.HasErrors() {
			t.Errorf("%s: errors with the real protocols: %v, with their doubles: %v\n%s", path, diags.HasErrors(), doubles.HasErrors(), diags)
		}
		if strings.Contains(diags.String(), planted) {
			t.Errorf("%s: the report holds a secret:\n%s", path, diags)
		}
	}
}
