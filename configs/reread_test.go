package configs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reattach/reattach/configs"
)

// rotating is a configuration on disk, with a secret's file beside it.
type rotating struct {
	t              *testing.T
	config, secret string // paths
	opts           configs.Options
	c              *configs.Config
}

func newRotating(t *testing.T) *rotating {
	t.Helper()
	dir := t.TempDir()
	r := &rotating{t: t, config: filepath.Join(dir, "c.hcl"), secret: filepath.Join(dir, "secret"), opts: options()}
	r.opts.ReadFile = nil
	r.write(r.secret, "one\r\n")
	r.write(r.config, "store \"consul\" {\n  token = file(\"secret\")\n}\n"+pair("mysql", ""))
	var diags configs.Diagnostics
	if r.c, diags = configs.Load([]string{dir}, r.opts); r.c == nil {
		t.Fatal(diags)
	}
	return r
}

func (r *rotating) write(path, text string) {
	r.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// token rereads, and returns the token that comes of it.
func (r *rotating) token() string {
	r.t.Helper()
	c, diags := r.c.Reread(r.c.Files.Read(), r.opts)
	if c == nil {
		r.t.Fatal(diags)
	}
	return c.Store.Consul.Token.Reveal()
}

func TestFilesSay(t *testing.T) {
	r := newRotating(t)
	first := r.c.Files.Read()
	if got := r.c.Store.Consul.Token.Reveal(); got != "one" {
		t.Errorf("token %q", got)
	}
	if !r.c.Files.Say(first) || !first.Equal(r.c.Files.Read()) {
		t.Error("changed at once")
	}
	r.write(r.secret, "two\n")
	if now := r.c.Files.Read(); r.c.Files.Say(now) || now.Equal(first) {
		t.Error("a rotation goes unnoticed")
	}
	r.write(r.secret, "one\r\n")
	if !r.c.Files.Say(r.c.Files.Read()) {
		t.Error("changed there and back")
	}
	if err := os.Remove(r.secret); err != nil {
		t.Fatal(err)
	}
	if now := r.c.Files.Read(); r.c.Files.Say(now) || now.Equal(first) || !now.Equal(r.c.Files.Read()) {
		t.Error("a missing file goes unnoticed")
	}
}

// TestReread: what a file says is taken anew, and nothing else that stands on disk.
func TestReread(t *testing.T) {
	r := newRotating(t)
	r.write(r.config, "an unfinished edit {")
	r.write(r.secret, "two\n")
	now := r.c.Files.Read()
	r.write(r.secret, "three\n")
	c, diags := r.c.Reread(now, r.opts)
	if c == nil {
		t.Fatal(diags)
	}
	if got := c.Store.Consul.Token.Reveal(); got != "two" {
		t.Errorf("the token is %q: not what was looked at", got)
	}
	if len(c.Resources) != len(r.c.Resources) || !c.Files.Say(now) {
		t.Errorf("%d resources, files %v", len(c.Resources), c.Files)
	}
	if changes := configs.Diff(r.c, c); strings.Join(changes.Tokens, " ") != "store" || len(changes.Changed)+len(changes.Restart) != 0 {
		t.Errorf("changes: %+v", changes)
	}
	r.c = c
	if got := r.token(); got != "three" {
		t.Errorf("the second time the token is %q", got)
	}
}

// TestRereadLink: a secret that a link leads to, by way of another link, as
// Kubernetes mounts them, is replaced by pointing the inner link elsewhere.
func TestRereadLink(t *testing.T) {
	r := newRotating(t)
	dir := filepath.Dir(r.secret)
	r.write(filepath.Join(dir, "v2"), "two")
	point := func(link, to string) {
		t.Helper()
		if err := os.Symlink(to, link+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+".new", link); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(r.secret, filepath.Join(dir, "v1")); err != nil {
		t.Fatal(err)
	}
	point(filepath.Join(dir, "data"), "v1")
	point(r.secret, "data")
	if !r.c.Files.Say(r.c.Files.Read()) {
		t.Fatal("the same words behind a link are a change")
	}
	point(filepath.Join(dir, "data"), "v2")
	if r.c.Files.Say(r.c.Files.Read()) {
		t.Error("a link that leads elsewhere goes unnoticed")
	}
	if got := r.token(); got != "two" {
		t.Errorf("the token is %q", got)
	}
}

// TestRereadRefuses what a configuration cannot be made of, and a file that is
// most likely being written.
func TestRereadRefuses(t *testing.T) {
	r := newRotating(t)
	for name, c := range map[string]struct {
		spoil func()
		want  string
	}{
		"empty": {func() { r.write(r.secret, "\n") }, "is empty now"},
		"gone":  {func() { _ = os.Remove(r.secret) }, "cannot read"},
	} {
		c.spoil()
		got, diags := r.c.Reread(r.c.Files.Read(), r.opts)
		if got != nil || !strings.Contains(diags.String(), c.want) || strings.Contains(diags.String(), "one") {
			t.Errorf("%s: %v, %s", name, got != nil, diags)
		}
	}
	// What was empty from the beginning is meant to be.
	r.write(r.secret, "")
	r.write(r.config, "defaults {\n  probe { password = file(\"secret\") }\n}\n"+pair("mysql", ""))
	c, diags := configs.Load([]string{r.config}, r.opts)
	if c == nil {
		t.Fatal(diags)
	}
	if again, diags := c.Reread(c.Files.Read(), r.opts); again == nil {
		t.Error(diags)
	}
}
