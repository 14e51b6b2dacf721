package docs

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/amqp"
	"github.com/reattach/reattach/probe/memcached"
	"github.com/reattach/reattach/probe/mysql"
	"github.com/reattach/reattach/probe/smtp"
)

var update = flag.Bool("update", false, "rewrite the tables that are made from the code")

const (
	runbook = root + "/deployments/docs/runbook.md"
	tuning  = root + "/deployments/docs/tuning.md"
)

// TestRunbookKnowsEachNotice: an entry for each kind of notice, and none for
// what is never told.
func TestRunbookKnowsEachNotice(t *testing.T) {
	text := read(t, runbook)
	overview, _, _ := strings.Cut(text, "\n## ")
	kinds := map[string]bool{}
	for _, k := range failover.EventKinds() {
		kinds[k.Name] = true
		if !strings.Contains(overview, "["+k.Name+"](#"+k.Name+")") {
			t.Errorf("the overview of the runbook does not lead to %s", k.Name)
		}
		entry := section(text, k.Name)
		if entry == "" {
			t.Errorf("the runbook has no entry for %s: %s", k.Name, k.Meaning)
		}
		if !strings.HasPrefix(strings.TrimSpace(entry), "**") {
			t.Errorf("the entry of %s does not begin with what has happened", k.Name)
		}
		if k.Severity > failover.Info && !strings.Contains(strings.ToLower(entry), "end") {
			t.Errorf("the entry of %s does not say how it ends", k.Name)
		}
	}
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "## "); ok && !kinds[strings.TrimSpace(name)] {
			t.Errorf("there is no notice %s", strings.TrimSpace(name))
		}
	}
}

// TestRunbookKnowsEachGate: the entry on what is held says what to do at each gate.
func TestRunbookKnowsEachGate(t *testing.T) {
	entry := section(read(t, runbook), "held")
	for _, g := range policy.Gates() {
		if !strings.Contains(entry, "| `"+g.Name+"` |") {
			t.Errorf("the runbook does not say what to do at the gate %s", g.Name)
		}
	}
}

// section is the text below a heading of the second rank.
func section(text, title string) string {
	_, after, ok := strings.Cut(text, "\n## "+title+"\n")
	if !ok {
		return ""
	}
	before, _, _ := strings.Cut(after, "\n## ")
	return before
}

// bounds is the table of how long a switch takes, by scheme and profile.
func bounds() string {
	var b strings.Builder
	b.WriteString("| scheme | profile | `sustain` | `interval` | `timeout` | `suspect_interval` | a crash, at most | a hang, at most |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, p := range []probe.Protocol{mysql.Protocol, amqp.Protocol, smtp.Protocol, memcached.Protocol} {
		for _, profile := range []string{"(default)", "fast", "cautious"} {
			d, bad := p.Defaults, 3
			switch profile {
			case "fast":
				d.Sustain, d.SuspectInterval = 50*time.Millisecond, 10*time.Millisecond
			case "cautious":
				d.Sustain, bad = 3*d.Sustain, 5
			}
			more := time.Duration(bad-1) * d.SuspectInterval
			crash := max(d.Sustain, more) + 300*time.Millisecond
			if !p.Holds {
				crash += d.Interval
			}
			hang := d.Interval + max(d.Sustain, 2*d.Timeout+d.SuspectInterval, d.Timeout+more) + 300*time.Millisecond
			fmt.Fprintf(&b, "| %s | %s | %v | %v | %v | %v | %.2f s | %.2f s |\n", p.Name, profile, d.Sustain, d.Interval, d.Timeout, d.SuspectInterval,
				crash.Seconds(), hang.Seconds())
		}
	}
	return b.String()
}

// TestTuningTable: the table of bounds is what the protocols' defaults come to.
func TestTuningTable(t *testing.T) {
	text := read(t, tuning)
	before, rest, ok := strings.Cut(text, "<!-- table: bounds -->\n")
	old, after, ok2 := strings.Cut(rest, "<!-- end -->")
	if !ok || !ok2 {
		t.Fatal("no table in tuning.md")
	}
	if old == bounds() {
		return
	}
	if !*update {
		t.Fatalf("the table is out of date (-update):\n%s", bounds())
	}
	if err := os.WriteFile(tuning, []byte(before+"<!-- table: bounds -->\n"+bounds()+"<!-- end -->"+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
