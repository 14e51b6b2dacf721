// Package arch holds the shape of the house: who may import whom, what the pure
// parts may not touch, where goroutines begin, and what every file keeps to.
package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/reattach/reattach"

// pkg is what `go list` says of a package.
type pkg struct {
	ImportPath, Dir, Export string
	GoFiles, Imports        []string
}

// name is the package's path within the module: "failover/consul".
func (p pkg) name() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") }

// golist asks the go command about packages of the module.
func golist(args ...string) (map[string]pkg, error) {
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,Export,GoFiles,Imports"}, args...)...)
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, &stderr)
	}
	all := map[string]pkg{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all[p.ImportPath] = p
	}
}

// modules is every package of the module; exports is what the compiler knows of
// the pure ones and of all that they rest on.
var (
	modules = sync.OnceValues(func() (map[string]pkg, error) { return golist("./...") })
	exports = sync.OnceValues(func() (map[string]pkg, error) { return golist("-export", "-deps", "./policy", "./failover") })
)

// ours returns the module's own packages, by their names.
func ours(t *testing.T) map[string]pkg {
	t.Helper()
	all, err := modules()
	if err != nil {
		t.Fatal(err)
	}
	own := map[string]pkg{}
	for _, p := range all {
		own[p.name()] = p
	}
	return own
}

// production reports whether a package is part of what is shipped.
func production(name string) bool {
	return name != "test" && !strings.HasPrefix(name, "test/") && name != "failover/storetest"
}

// room is what a package may import besides the standard library.
type room struct {
	inner []string // of the module
	libs  []string // and modules of others
}

// rooms holds the arrows of import. A package that is not here may import
// nothing but the standard library, and so has to be entered first.
var rooms = map[string]room{
	"probe":              {},
	"probe/amqp":         {inner: []string{"probe"}},
	"probe/memcached":    {inner: []string{"probe"}},
	"probe/mysql":        {inner: []string{"probe"}, libs: []string{"filippo.io/edwards25519"}}, // its ed25519 plugin hashes to the curve
	"probe/smtp":         {inner: []string{"probe"}},
	"policy":             {inner: []string{"probe"}},
	"configs":            {inner: []string{"probe", "policy"}, libs: []string{"github.com/hashicorp/hcl/v2", "github.com/zclconf/go-cty"}},
	"failover":           {inner: []string{"probe", "policy"}},
	"failover/boltfile":  {libs: []string{"go.etcd.io/bbolt"}},
	"failover/consul":    {inner: []string{"failover"}, libs: []string{"github.com/hashicorp/consul/api", "github.com/cenkalti/backoff/v4"}},
	"failover/embedded":  {inner: []string{"failover", "failover/boltfile"}, libs: []string{"go.etcd.io/bbolt"}},
	"failover/hook":      {},
	"failover/httpapi":   {inner: []string{"probe", "policy", "failover"}},
	"failover/metrics":   {inner: []string{"probe", "policy", "failover"}, libs: []string{"github.com/prometheus/client_golang"}},
	"failover/notify":    {inner: []string{"probe", "policy", "failover", "failover/boltfile", "failover/hook"}, libs: []string{"go.etcd.io/bbolt", "github.com/cenkalti/backoff/v4", "github.com/wneessen/go-mail"}},
	"failover/storetest": {inner: []string{"failover"}, libs: []string{"github.com/google/go-cmp", "pgregory.net/rapid"}}, // a suite for tests, imported by tests only

	"deployments/grafana": {inner: []string{"probe"}}, // prints the dashboard
}

// TestArchArrows holds who imports whom. The composition root may import
// everything that is shipped; test/ everything.
func TestArchArrows(t *testing.T) {
	own := ours(t)
	for name, p := range own {
		allowed, known := rooms[name]
		switch {
		case strings.HasPrefix(name, "test"):
			continue
		case strings.HasPrefix(name, "cmd/"):
			for _, imp := range p.Imports {
				if in, ok := within(imp); ok && !production(in) {
					t.Errorf("%s imports %s, which is for tests", name, in)
				}
			}
			continue
		case !known:
			t.Errorf("the package %s has no room in this test: say what it may import", name)
			continue
		}
		for _, imp := range p.Imports {
			in, inner := within(imp)
			lib := slices.ContainsFunc(allowed.libs, func(l string) bool { return imp == l || strings.HasPrefix(imp, l+"/") })
			switch {
			case inner && !slices.Contains(allowed.inner, in):
				t.Errorf("%s imports %s: it may import %v", name, in, allowed.inner)
			case !inner && strings.Contains(strings.Split(imp, "/")[0], ".") && !lib:
				t.Errorf("%s imports %s: it may import %v", name, imp, allowed.libs)
			}
		}
	}
	for name := range rooms {
		if _, ok := own[name]; !ok {
			t.Errorf("the room %s is empty", name)
		}
	}
}

// within returns a package's name within the module, and whether it is of it.
func within(imp string) (string, bool) { return strings.CutPrefix(imp, module+"/") }

// TestArchRoomsApart: no protocol knows another, and no adapter another. A tool,
// which knows nothing of this module, is nobody's neighbour.
func TestArchRoomsApart(t *testing.T) {
	own := ours(t)
	tool := func(name string) bool {
		return !slices.ContainsFunc(own[name].Imports, func(imp string) bool { _, ok := within(imp); return ok })
	}
	for name, p := range own {
		for _, imp := range p.Imports {
			in, ok := within(imp)
			if ok && path.Dir(in) == path.Dir(name) && path.Dir(name) != "." && !tool(in) {
				t.Errorf("%s imports its neighbour %s", name, in)
			}
		}
	}
}

// TestArchTestLibraries: what is for tests is imported by tests.
func TestArchTestLibraries(t *testing.T) {
	libs := []string{"testing", "pgregory.net/rapid", "go.uber.org/goleak", "github.com/google/go-cmp", "github.com/rogpeppe/go-internal",
		"github.com/testcontainers/testcontainers-go", "github.com/go-sql-driver/mysql", "github.com/rabbitmq/amqp091-go",
		"github.com/bradfitz/gomemcache", "github.com/chromedp/chromedp"}
	for name, p := range ours(t) {
		if !production(name) {
			continue
		}
		for _, imp := range p.Imports {
			if slices.ContainsFunc(libs, func(l string) bool { return imp == l || strings.HasPrefix(imp, l+"/") }) {
				t.Errorf("%s, which is shipped, imports %s", name, imp)
			}
		}
	}
}

// source is a parsed file of the module.
type source struct {
	path string // from the module's root
	file *ast.File
	text []byte
}

// sources parses every file of a package, tests excluded.
func (p pkg) sources(t *testing.T, fset *token.FileSet) (all []source) {
	t.Helper()
	for _, name := range p.GoFiles {
		all = append(all, parse(t, fset, filepath.Join(p.Dir, name), path.Join(p.name(), name)))
	}
	return all
}

func parse(t *testing.T, fset *token.FileSet, file, name string) source {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(fset, file, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return source{name, f, text}
}
