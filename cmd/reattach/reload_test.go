package main

import (
	"fmt"
	"io/fs"
	"os/user"
	"slices"
	"testing"

	"github.com/reattach/reattach/configs"
)

// TestNextAfter: what a person is told to type about a configuration that was not
// taken is what helps, under the account for which it matters.
func TestNextAfter(t *testing.T) {
	us, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	const text = `resource "r" {
  handle = "k"
  endpoint "a" { url = "memcached://:${file("/run/secrets/pw")}@a" }
  endpoint "b" { url = "memcached://b" }
}`
	paths := []string{"/etc/reattach", "my own.hcl"}
	for _, c := range []struct {
		read error // what reading a file ends with
		err  error
		want string
	}{
		{nil, fmt.Errorf("%w: store", errRestart), "systemctl restart reattach"},
		{fs.ErrPermission, nil, "sudo -u " + us.Username + " reattach check /etc/reattach 'my own.hcl'"},
		{fs.ErrNotExist, nil, ""},
	} {
		o := configs.Options{Hostname: "mon-a", Protocols: protocols(), ReadFile: func(string) ([]byte, error) { return []byte("x"), c.read }}
		conf, diags := configs.Parse("r.hcl", []byte(text), o)
		if (conf == nil) != (c.read != nil) {
			t.Fatalf("%v: %s", c.read, diags)
		}
		if c.err == nil {
			c.err = mistakes(diags)
		}
		if got := nextAfter(c.err, diags, paths); got != c.want {
			t.Errorf("%v, %v: %q, want %q", c.read, c.err, got, c.want)
		}
	}
}

// TestChangedTexts: what a reload's log says is for people.
func TestChangedTexts(t *testing.T) {
	got := changedTexts([]configs.Change{{Name: "orders-db", What: []string{"probe", "require"}}, {Name: "cache", What: []string{"endpoints"}, Dropped: []string{"b"}}})
	if want := []string{"orders-db: probe, require", "cache: endpoints; without b"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
