package arch

import (
	"go/ast"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

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

// starts are the files outside cmd/ that start goroutines, each with the reason.
var starts = map[string]string{
	"probe/loop.go":          "conversations of one endpoint overlap",
	"failover/daemon.go":     "the actor that performs effects",
	"failover/notify/run.go": "one for each destination: one that hangs must not delay the others",
}

// TestArchGoroutines: libraries block and callers write go. What is shipped
// starts goroutines in few places only, and these wait for them.
func TestArchGoroutines(t *testing.T) {
	fset := token.NewFileSet()
	for name, p := range ours(t) {
		if !production(name) || strings.HasPrefix(name, "cmd/") {
			continue
		}
		for _, src := range p.sources(t, fset) {
			if starts[src.path] != "" {
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
