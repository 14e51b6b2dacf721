package failover_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reattach/reattach/failover"
)

// TestRules: each rule has a name of its own and a sentence, is known to its set
// alone, and is asked for by the engine.
func TestRules(t *testing.T) {
	asked := ruleNamesIn(t, "engine*.go")
	names := map[string]bool{}
	for _, r := range failover.Rules() {
		name := r.String()
		if name == "" || names[name] || strings.ToLower(name) != name {
			t.Errorf("rule %d is called %q", r, name)
		}
		names[name] = true
		if len(r.Says()) < 10 || strings.HasSuffix(r.Says(), ".") {
			t.Errorf("%s says %q", r, r.Says())
		}
		if asked["rule"+strings.ReplaceAll(name, "-", "")] == 0 {
			t.Errorf("no line of the engine asks for the rule %s", r)
		}
		set := failover.RuleSet{}.With(r)
		for _, other := range failover.Rules() {
			if set.Has(other) != (other == r) {
				t.Errorf("a set of %s: Has(%s) = %v", r, other, set.Has(other))
			}
		}
	}
}

// ruleNamesIn counts the rules that files name, by their names in lower case.
func ruleNamesIn(t *testing.T, pattern string) map[string]int {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no sources: %v", err)
	}
	n := map[string]int{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(node ast.Node) bool {
			if id, ok := node.(*ast.Ident); ok && strings.HasPrefix(id.Name, "Rule") {
				n[strings.ToLower(id.Name)]++
			}
			return true
		})
	}
	return n
}

// TestRulesAreWritten: the house's page lists the rules as they are, each with a
// story that needs it (-update rewrites the table).
func TestRulesAreWritten(t *testing.T) {
	const page, head = "../ARCHITECTURE.md", "| rule | what it says | a story that needs it |\n| --- | --- | --- |\n"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), head)
	i := strings.Index(rest, "|\n\n")
	if !ok || i < 0 {
		t.Fatalf("%s has no table of the rules", page)
	}
	var rows strings.Builder
	stories := storiesOfRules()
	for _, r := range failover.Rules() {
		story := "—"
		if s := stories[r]; s != "" {
			story = fmt.Sprintf("[%s](failover/testdata/%s.txt)", s, s)
		}
		fmt.Fprintf(&rows, "| `%s` | %s | %s |\n", r, r.Says(), story)
	}
	if rows.String() == rest[:i+2] {
		return
	}
	if !*update {
		t.Fatalf("%s lists other rules (-update rewrites the table)", page)
	}
	if err := os.WriteFile(page, []byte(before+head+rows.String()+rest[i+2:]), 0o644); err != nil {
		t.Fatal(err)
	}
}
