package arch

import (
	"bytes"
	"errors"
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"
)

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
	"test/lab/consul_cluster.go": "between two looks at another process, under a deadline",
	"test/lab/consul.go":         "between two looks at another process, under a deadline",
	"test/lab/pair.go":           "between two looks at another process, under a deadline",
	"test/lab/server.go":         "between two looks at another process, under a deadline",
	"test/lab/template.go":       "between two looks at another process, under a deadline",
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
