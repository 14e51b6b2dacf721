package configs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reattach/reattach/configs"
)

func TestFilesChanged(t *testing.T) {
	dir := t.TempDir()
	secret, config := filepath.Join(dir, "secret"), filepath.Join(dir, "c.hcl")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(secret, "one\r\n")
	write(config, "store \"consul\" {\n  token = file(\"secret\")\n}\n"+pair("mysql", ""))
	opts := options()
	opts.ReadFile = nil
	c, diags := configs.Load([]string{dir}, opts)
	if c == nil {
		t.Fatal(diags)
	}
	if got := c.Store.Consul.Token.Reveal(); got != "one" {
		t.Errorf("token %q", got)
	}
	if c.Files.Changed() {
		t.Error("changed at once")
	}
	write(secret, "two\n")
	if !c.Files.Changed() {
		t.Error("a rotation goes unnoticed")
	}
	write(secret, "one\r\n")
	if c.Files.Changed() {
		t.Error("changed there and back")
	}
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	if !c.Files.Changed() {
		t.Error("a missing file goes unnoticed")
	}
}

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
