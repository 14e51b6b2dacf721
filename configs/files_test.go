package configs_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reattach/reattach/configs"
)

// TestOneAsMany reads several files as one, once each, in the order of names.
func TestOneAsMany(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"b.hcl":      strings.ReplaceAll(pair("mysql", ""), `"r"`, `"second"`),
		"a.hcl":      "defaults {\n  policy {\n    rise = 7\n  }\n}\n",
		"c.json":     `{"resource": {"third": {"handle": "c", "endpoint": {"a": {"url": "memcached://a"}, "b": {"url": "memcached://b"}}}}}`,
		".#c.hcl":    "broken {",
		"notes.txt":  "not ours",
		"c.hcl.orig": "broken {",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, diags := configs.Load([]string{dir, filepath.Join(dir, "b.hcl")}, options())
	if c == nil {
		t.Fatal(diags)
	}
	var got []string
	for _, r := range c.Resources {
		got = append(got, fmt.Sprint(r.Name, r.Judge.Rise))
	}
	if diff := cmp.Diff([]string{"second7", "third7"}, got); diff != "" {
		t.Errorf("resources (-want +got):\n%s", diff)
	}
}

// TestFileDenied: a file that this account may not read is an error that says what
// to do; root, who may read everything, would not have met it.
func TestFileDenied(t *testing.T) {
	const text = "store \"consul\" {\n  token_file = \"/run/secrets/token\"\n  tls { ca_file = \"/run/secrets/ca\" }\n}\n"
	const want = "the daemon's account has to be able to read it: chown root:reattach, chmod 0640"
	path := filepath.Join(t.TempDir(), "c.hcl")
	if err := os.WriteFile(path, []byte(text+pair("mysql", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	opts := options()
	opts.ReadFile = func(name string) ([]byte, error) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EACCES}
	}
	hinted := func(paths ...string) (n int) {
		_, diags := configs.Load(paths, opts)
		for _, d := range diags {
			if d.Severity == configs.Error && strings.Contains(d.Message, "permission denied") {
				if d.Hint != want {
					t.Errorf("%s: the hint is %q", d.Message, d.Hint)
				}
				n++
			}
		}
		return n
	}
	if n := hinted(path); n != 2 {
		t.Errorf("%d errors, want 2", n)
	}
	if os.Geteuid() == 0 {
		return // nothing is denied
	}
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	if n := hinted(path); n != 1 {
		t.Errorf("%d errors of the configuration itself, want 1", n)
	}
}
