package failover_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// Kinds of notice of which some things cannot be said.
var (
	// fromTo lead from one endpoint to another.
	fromTo = []string{"failover", "switchover", "failback", "would_fail_over"}
	// everywhere concern no single resource.
	everywhere = []string{"store_lost", "blind", "denied", "config_not_reloaded", "order", "rewound", "quorum_margin", "quorum_lost"}
	// theirs want a command of the server's typed next, and no sentence ends with one.
	theirs = []string{"old_primary_writable", "split_writes", "left_work"}
	// gates are all that can hold; steps are gates, too.
	gates = func() (names []string) {
		for _, g := range policy.Gates() {
			names = append(names, g.Name)
		}
		return append(names, "fence", "promote")
	}()
)

// lacking says what a notice does not say and should: what happened, to which
// resource, from where to where, why, since when, and what to type next.
func lacking(n failover.Notice) (all []string) {
	need := func(has bool, what string) {
		if !has {
			all = append(all, what)
		}
	}
	kind := slices.IndexFunc(failover.EventKinds(), func(k failover.EventKind) bool { return k.Name == n.Event })
	need(kind >= 0, "a kind that there is")
	need(n.Key != "" && n.Matter() != "", "a key")
	need((strings.HasSuffix(n.Text, ".") || n.Next != "" && strings.HasSuffix(n.Text, n.Next)) && len(n.Text) > 10, "a sentence")
	need(!n.At.IsZero() && !n.Since.After(n.At), "its time")
	need(n.Observer != "", "who tells it")
	need(n.Resource != "" || slices.Contains(everywhere, n.Event), "its resource")
	if n.Over {
		need(!n.Since.IsZero(), "since when it went on")
		return all
	}
	need(n.Why != "", "why")
	need(n.Next != "", "what to type next")
	need(n.Severity() == failover.Info || strings.Contains(n.Next, "reattach ") || slices.Contains(theirs, n.Event), "a command of ours")
	if slices.Contains(fromTo, n.Event) && n.From != n.To {
		need(n.To != "", "where to")
		need(n.From != "" || n.Event != "failover", "where from")
	}
	if n.Event == "held" {
		need(slices.Contains(gates, n.Gate), "its gate")
		need(strings.Contains(n.Text, n.Why), "the gate's reason in its sentence")
	}
	if n.Event == "suspect" {
		need(n.Class != "" && n.Phase != "" && n.From != "", "class, phase and endpoint")
	}
	return all
}

// whole fails the test if a notice is told that does not say all that it should.
func whole(t teller, n failover.Notice) {
	t.Helper()
	if all := lacking(n); len(all) > 0 {
		t.Errorf("%s [%s] lacks %s: %+v", n.Event, n.Key, strings.Join(all, ", "), n)
	}
}

// TestLackingBites: a notice that leaves something out is found.
func TestLackingBites(t *testing.T) {
	good := failover.Notice{Key: "r/2.failover", Event: "failover", Resource: "r", Text: "r: failover from a to b.", At: start, Observer: "mon-a",
		From: "a", To: "b", Why: "a was down", Next: "reattach explain r"}
	if all := lacking(good); len(all) > 0 {
		t.Errorf("a whole one lacks %v", all)
	}
	for name, spoil := range map[string]func(*failover.Notice){
		"kind": func(n *failover.Notice) { n.Event = "fail_over" }, "key": func(n *failover.Notice) { n.Key = "" },
		"resource": func(n *failover.Notice) { n.Resource = "" }, "text": func(n *failover.Notice) { n.Text = "r" },
		"to": func(n *failover.Notice) { n.To = "" }, "from": func(n *failover.Notice) { n.From = "" }, "why": func(n *failover.Notice) { n.Why = "" },
		"next": func(n *failover.Notice) { n.Next = "look" }, "gate": func(n *failover.Notice) { n.Event = "held" },
	} {
		bad := good
		if spoil(&bad); len(lacking(bad)) == 0 {
			t.Errorf("nobody misses its %s", name)
		}
	}
}

// TestEachKindHasAStory: each kind of notice but the person's own test is told in a
// story, and so read by whoever reviews its golden file.
func TestEachKindHasAStory(t *testing.T) {
	told := map[string]int{}
	for _, pattern := range []string{"testdata/scenario/*.golden", "testdata/fleet/*.golden"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?:told|PAGED) ([a-z_]+) \[`).FindAllStringSubmatch(string(text), -1) {
				told[m[1]]++
			}
		}
	}
	for _, k := range failover.EventKinds() {
		if told[k.Name] == 0 && k.Name != "test" && k.Name != "recovered" { // which is an end
			t.Errorf("no story tells %s: %s", k.Name, k.Meaning)
		}
	}
	t.Log(fmt.Sprint(told))
}
