// Package arch holds the shape of the house: who may import whom, what the pure
// parts may not touch, where goroutines begin, and what every file keeps to.
package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
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

func (p pkg) ours() bool {
	return p.ImportPath == module || strings.HasPrefix(p.ImportPath, module+"/")
}

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
	"failover/consul":    {inner: []string{"failover"}, libs: []string{"github.com/hashicorp/consul/api", "github.com/cenkalti/backoff/v4"}},
	"failover/embedded":  {inner: []string{"failover"}, libs: []string{"go.etcd.io/bbolt"}},
	"failover/httpapi":   {inner: []string{"probe", "policy", "failover"}},
	"failover/metrics":   {inner: []string{"probe", "policy", "failover"}, libs: []string{"github.com/prometheus/client_golang"}},
	"failover/storetest": {inner: []string{"failover"}, libs: []string{"github.com/google/go-cmp", "pgregory.net/rapid"}}, // a suite for tests, imported by tests only
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

// TestArchRoomsApart: no protocol knows another, and no adapter another.
func TestArchRoomsApart(t *testing.T) {
	for name, p := range ours(t) {
		for _, imp := range p.Imports {
			in, ok := within(imp)
			if ok && path.Dir(in) == path.Dir(name) && path.Dir(name) != "." {
				t.Errorf("%s imports its neighbour %s", name, in)
			}
		}
	}
}

// TestArchTestLibraries: what is for tests is imported by tests.
func TestArchTestLibraries(t *testing.T) {
	libs := []string{"testing", "pgregory.net/rapid", "go.uber.org/goleak", "github.com/google/go-cmp", "github.com/rogpeppe/go-internal",
		"github.com/testcontainers/testcontainers-go", "github.com/go-sql-driver/mysql", "github.com/rabbitmq/amqp091-go",
		"github.com/bradfitz/gomemcache", "github.com/wneessen/go-mail", "github.com/chromedp/chromedp"}
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

// pure reports whether a file is of the part that must be pure: the same
// arguments, the same answer, for ever.
func pure(file string) bool {
	dir, base := path.Split(file)
	return dir == "policy/" || dir == "failover/" && (strings.HasPrefix(base, "engine") || base == "txn.go" || base == "state.go" || base == "event.go" || base == "view.go")
}

// TestArchPure holds what the policy and the engine may not touch: the world, the
// clock, chance, and other goroutines.
func TestArchPure(t *testing.T) {
	imports := []string{"net", "os", "log", "log/slog", "math/rand", "math/rand/v2", "crypto/rand", "sync", "sync/atomic", "context", "runtime", "unsafe"}
	clock := []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}
	fset, own, files := token.NewFileSet(), ours(t), 0
	for _, name := range []string{"policy", "failover"} {
		for _, src := range own[name].sources(t, fset) {
			if !pure(src.path) {
				continue
			}
			files++
			for _, imp := range src.file.Imports {
				if slices.Contains(imports, strings.Trim(imp.Path.Value, `"`)) {
					t.Errorf("%s imports %s", src.path, imp.Path.Value)
				}
			}
			ast.Inspect(src.file, func(n ast.Node) bool {
				if what := impure(n, clock); what != "" {
					t.Errorf("%s: %s", fset.Position(n.Pos()), what)
				}
				return true
			})
		}
	}
	if files < 12 {
		t.Errorf("only %d pure files: did they move?", files)
	}
}

func impure(n ast.Node, clock []string) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "a goroutine begins"
	case *ast.ChanType, *ast.SendStmt, *ast.SelectStmt:
		return "a channel"
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			return "a channel"
		}
	case *ast.SelectorExpr:
		if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clock, n.Sel.Name) {
			return "it reads the clock: time." + n.Sel.Name
		}
	}
	return ""
}

// orderless are the functions of the pure parts that range over a map, each with
// the reason why the order decides nothing.
var orderless = map[string]string{
	"failover.pinned":  "each key is copied into another map",
	"failover.abandon": "the names are sorted before anything is done",
}

// TestArchNoOrderOfMaps: the same events give the same effects, byte for byte.
func TestArchNoOrderOfMaps(t *testing.T) {
	own := ours(t)
	used := map[string]bool{}
	for _, name := range []string{"policy", "failover"} {
		fset := token.NewFileSet()
		srcs := own[name].sources(t, fset)
		info := check(t, fset, own[name], srcs)
		for _, src := range srcs {
			if !pure(src.path) {
				continue
			}
			for _, decl := range src.file.Decls {
				fn, ok := decl.(*ast.FuncDecl)
				if !ok {
					continue
				}
				ast.Inspect(fn, func(n ast.Node) bool {
					r, ok := n.(*ast.RangeStmt)
					if !ok {
						return true
					}
					if _, isMap := info.TypeOf(r.X).Underlying().(*types.Map); isMap {
						key := name + "." + fn.Name.Name
						if used[key] = true; orderless[key] == "" {
							t.Errorf("%s ranges over a map: %s", fset.Position(r.Pos()), key)
						}
					}
					return true
				})
				ast.Inspect(fn, func(n ast.Node) bool {
					if sel, ok := n.(*ast.SelectorExpr); ok {
						if x, ok := sel.X.(*ast.Ident); ok && x.Name == "maps" && slices.Contains([]string{"Keys", "Values", "All"}, sel.Sel.Name) {
							t.Errorf("%s: maps.%s has no order", fset.Position(n.Pos()), sel.Sel.Name)
						}
					}
					return true
				})
			}
		}
	}
	for key := range orderless {
		if !used[key] {
			t.Errorf("%s ranges over no map any more: take it off the list", key)
		}
	}
}

// check type-checks a package against what the compiler exported of its imports.
func check(t *testing.T, fset *token.FileSet, p pkg, srcs []source) *types.Info {
	t.Helper()
	all, err := exports()
	if err != nil {
		t.Fatal(err)
	}
	lookup := func(imp string) (io.ReadCloser, error) { return os.Open(all[imp].Export) }
	var files []*ast.File
	for _, src := range srcs {
		files = append(files, src.file)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", lookup)}
	if _, err := conf.Check(p.ImportPath, fset, files, info); err != nil {
		t.Fatal(err)
	}
	return info
}

// TestArchGoroutines: libraries block and callers write go. What is shipped
// starts goroutines in three places only.
func TestArchGoroutines(t *testing.T) {
	fset := token.NewFileSet()
	for name, p := range ours(t) {
		if !production(name) || strings.HasPrefix(name, "cmd/") {
			continue
		}
		for _, src := range p.sources(t, fset) {
			if src.path == "probe/loop.go" || src.path == "failover/daemon.go" {
				continue
			}
			ast.Inspect(src.file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.GoStmt:
					t.Errorf("%s: a goroutine begins", fset.Position(n.Pos()))
				case *ast.CallExpr:
					if sel, ok := n.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Go" {
						t.Errorf("%s: a goroutine begins", fset.Position(n.Pos()))
					}
				}
				return true
			})
		}
	}
}

// TestArchDocumented: every exported identifier that is shipped says what it is.
func TestArchDocumented(t *testing.T) {
	fset := token.NewFileSet()
	for name, p := range ours(t) {
		if !production(name) && name != "failover/storetest" {
			continue
		}
		described := false
		for _, src := range p.sources(t, fset) {
			described = described || src.file.Doc != nil
			for _, decl := range src.file.Decls {
				for _, ident := range undocumented(decl) {
					t.Errorf("%s: %s has no comment", fset.Position(ident.Pos()), ident.Name)
				}
			}
		}
		if !described {
			t.Errorf("the package %s has no comment", name)
		}
	}
}

func undocumented(decl ast.Decl) (missing []*ast.Ident) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || exportedReceiver(d.Recv)) {
			missing = append(missing, d.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					missing = append(missing, s.Name)
				}
			case *ast.ValueSpec:
				for _, ident := range s.Names {
					if ident.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
						missing = append(missing, ident)
					}
				}
			}
		}
	}
	return missing
}

func exportedReceiver(recv *ast.FieldList) bool {
	expr := recv.List[0].Type
	if star, ok := expr.(*ast.StarExpr); ok {
		expr = star.X
	}
	if index, ok := expr.(*ast.IndexExpr); ok {
		expr = index.X
	}
	ident, ok := expr.(*ast.Ident)
	return ok && ident.IsExported()
}

// Sizes, in lines. A file beyond fileAim is only told of; what is beyond a limit fails.
const (
	fileAim   = 400
	fileLimit = 500
	funcLimit = 80
)

// TestArchSizes keeps files and functions readable in one sitting.
func TestArchSizes(t *testing.T) {
	fset := token.NewFileSet()
	for name, p := range ours(t) {
		if !production(name) {
			continue
		}
		for _, src := range p.sources(t, fset) {
			switch n := bytes.Count(src.text, []byte("\n")); {
			case n > fileLimit:
				t.Errorf("%s has %d lines: the limit is %d", src.path, n, fileLimit)
			case n > fileAim:
				t.Logf("%s has %d lines: aim at %d", src.path, n, fileAim)
			}
			for _, decl := range src.file.Decls {
				if fn, ok := decl.(*ast.FuncDecl); ok {
					if n := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1; n > funcLimit {
						t.Errorf("%s: %s has %d lines: the limit is %d", src.path, fn.Name.Name, n, funcLimit)
					}
				}
			}
		}
	}
}

// naps are files that may sleep, each with a reason. All others wait for what
// they want, or let time pass in a bubble of synctest.
var naps = map[string]string{
	"test/lab/consul.go":   "between two looks at another process, under a deadline",
	"test/lab/pair.go":     "between two looks at another process, under a deadline",
	"test/lab/server.go":   "between two looks at another process, under a deadline",
	"test/lab/template.go": "between two looks at another process, under a deadline",
}

// TestArchNoSleep: a sleep is a guess, and cannot be interrupted.
func TestArchNoSleep(t *testing.T) {
	used := map[string]bool{}
	walk(t, func(name string, text []byte) {
		if path.Ext(name) != ".go" || !bytes.Contains(text, []byte("time."+"Sleep(")) {
			return
		}
		used[name] = true
		if naps[name] == "" && !bytes.Contains(text, []byte(`"testing/synctest"`)) {
			t.Errorf("%s sleeps", name)
		}
	})
	for name := range naps {
		if !used[name] {
			t.Errorf("%s sleeps no more: take it off the list", name)
		}
	}
}

// TestArchNothingForgotten: what was written on the way does not stay.
func TestArchNothingForgotten(t *testing.T) {
	words := [][]byte{[]byte("TO" + "DO"), []byte("FIX" + "ME"), []byte("XX" + "X:"), []byte("../" + "shared"), []byte("/work/" + "main")}
	walk(t, func(name string, text []byte) {
		for _, word := range words {
			if bytes.Contains(text, word) {
				t.Errorf("%s says %q", name, word)
			}
		}
	})
}

// walk visits every file of the checkout that is text and of ours.
func walk(t *testing.T, visit func(name string, text []byte)) {
	t.Helper()
	skip := []string{".git", "bin", "dist", "node_modules", "fuzz"}
	err := filepath.WalkDir("..", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains(skip, entry.Name()):
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) { // somebody tidies up meanwhile
			return nil
		}
		if err == nil && !bytes.ContainsRune(text, 0) {
			name, _ := filepath.Rel("..", file)
			visit(filepath.ToSlash(name), text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
