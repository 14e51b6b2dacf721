package configs_test

import (
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/notify"
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
	opts.Events = nil
	for _, k := range failover.EventKinds() {
		opts.Events = append(opts.Events, k.Name)
	}
	opts.CheckBody = func(text string) error { _, err := notify.ParseBody(text); return err }
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

// TestDeployedSamples loads what is shipped below deployments/: each HCL file
// that has a block of ours at its left edge, and directories called reattach.d
// as a whole.
func TestDeployedSamples(t *testing.T) {
	ours := regexp.MustCompile(`(?m)^(observer|store|listen|defaults|resource|notifier)\b[^=\n]*\{`)
	job := regexp.MustCompile(`(?m)^job "`) // of Nomad, which may hold a whole file of ours
	seen := map[string]bool{}
	err := filepath.WalkDir("../deployments", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".hcl" {
			return err
		}
		if text := read(t, path); !ours.MatchString(text) || job.MatchString(text) {
			return nil
		}
		if filepath.Base(filepath.Dir(path)) == "reattach.d" {
			path = filepath.Dir(path)
		}
		if seen[path] {
			return nil
		}
		seen[path] = true
		opts := real() // of the host that it is made for
		opts.Env = func(string) (string, bool) { return planted, true }
		opts.ReadFile = anyFile
		_, diags := configs.Load([]string{path}, opts)
		if diags.HasErrors() {
			t.Errorf("%s:\n%s", path, diags)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) == 0 {
		t.Error("no sample was found")
	}
	t.Logf("%d samples: %q", len(seen), slices.Sorted(maps.Keys(seen)))
}

// TestDatabasesRequireWritable: whoever begins with one of our samples has a failover
// attach no database that refuses writes. Those whose standbys are masters, too, are
// known by name.
func TestDatabasesRequireWritable(t *testing.T) {
	var all []string
	for _, pattern := range []string{"*.hcl", "*.json", "../deployments/*/*.hcl"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	seen := 0
	for _, path := range all {
		text := read(t, path)
		if !regexp.MustCompile(`resource[ "]`).MatchString(text) || !strings.Contains(text, "mysql://") {
			continue
		}
		if path == "quickstart.hcl" || path == "../deployments/compose/reattach.hcl" {
			continue
		}
		seen++
		if !regexp.MustCompile(`require"?( =|:) \["writable"`).MatchString(text) {
			t.Errorf("%s: no require = [\"writable\"]", path)
		}
	}
	if seen < 9 {
		t.Errorf("only %d samples of a database were found", seen)
	}
}

// anyFile knows every file, and what is in it by its name.
func anyFile(path string) ([]byte, error) {
	switch {
	case strings.HasSuffix(path, ".key"), strings.HasSuffix(path, "-key.pem"):
		return []byte(testKey), nil
	case strings.HasSuffix(path, ".pem"), strings.HasSuffix(path, ".crt"):
		return []byte(testCA), nil
	case strings.Contains(path, "slack"), strings.Contains(path, "webhook"):
		return readFile("/run/secrets/slack")
	}
	return []byte(planted + "\n"), nil
}

// TestReferenceIsComplete looks for every setting of the table in the sample
// that promises to have them all.
func TestReferenceIsComplete(t *testing.T) {
	reference, err := filepath.Glob("reference.hcl")
	if err != nil || len(reference) != 1 {
		t.Fatal(reference, err)
	}
	shown := map[string]bool{}
	for _, path := range []string{"reference.hcl", "embedded.hcl"} {
		f, diags := hclsyntax.ParseConfig([]byte(read(t, path)), path, hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		paths(f.Body.(*hclsyntax.Body), "", shown)
	}
	// What is the same in several places is shown in one of them.
	once := strings.NewReplacer(`"webhook".tls`, `"alertmanager".tls`, `"email".tls`, `"alertmanager".tls`,
		"defaults.policy", "resource.policy", "defaults.probe", "resource.probe", "endpoint.tls", "probe.tls")
	everyKind := regexp.MustCompile(`^notifier\."\w+"\.(events|severity|resolve|timeout)$`)
	commented := []string{`store."consul".token`, "listen.token", "listen.token_file", "resource.probe.password"} // excluded by their neighbours
	for _, s := range configs.Schema() {
		path := once.Replace(everyKind.ReplaceAllString(s.Path, `notifier."slack".$1`))
		if !s.Unsupported && !shown[path] && !slices.Contains(commented, path) {
			t.Errorf("%s is missing", s.Path)
		}
	}
}

// paths adds the settings of a body, as the schema writes their paths.
func paths(b *hclsyntax.Body, above string, shown map[string]bool) {
	for name := range b.Attributes {
		shown[above+name] = true
	}
	for _, inner := range b.Blocks {
		here := above + inner.Type + "."
		if inner.Type == "store" || inner.Type == "notifier" {
			here += fmt.Sprintf("%q.", inner.Labels[0])
		}
		paths(inner.Body, here, shown)
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
