package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/test/daemon"
)

var observers = []string{"mon-a", "mon-b", "mon-c"}

// fleet is three daemons in three zones, with one database and one place where
// people are told.
type fleet struct {
	t    *testing.T
	r    daemon.Resource
	all  []*daemon.Daemon
	told string // the file to which every observer's notifier appends the keys
}

func newFleet(t *testing.T, name string) *fleet {
	t.Helper()
	name = unique(name)
	db := databases()
	f := &fleet{t: t, told: filepath.Join(t.TempDir(), "told"), r: daemon.Resource{
		Name: name, Handle: name + "/DATABASE_URL", A: db.Active.URL("app"), B: db.Standby.URL("app"), Policy: daemon.Fast,
	}}
	put(t, f.r.Handle, f.r.A)
	token := consul().CreateToken(policyFor(t, f.r.Handle))
	notifier := fmt.Sprintf("notifier \"exec\" \"people\" {\n  command = [\"/bin/sh\", \"-c\", \"echo $REATTACH_EVENT $REATTACH_KEY >> %s\"]\n}\n", f.told)
	f.all = daemon.Fleet(t, consul().URL(), token, notifier, observers, f.r)
	for _, d := range f.all {
		d.Start()
	}
	for _, d := range f.all {
		d.Protected(name)
	}
	return f
}

// heard are the notices that people got, one a line.
func (f *fleet) heard(about string) (lines []string) {
	text, _ := os.ReadFile(f.told)
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, about) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// show logs what a person reads on each observer.
func (f *fleet) show(args ...string) {
	for i, d := range f.all {
		out, err := d.Command(args...)
		f.t.Logf("%s: reattach %s (%v)\n%s", observers[i], strings.Join(args, " "), err, out)
	}
}

// TestFleet: three observers lose the primary. It is switched once, and people are
// told once; each observer says how the others voted.
func TestFleet(t *testing.T) {
	need(t)
	f := newFleet(t, "fleet")
	f.show("status")
	for _, d := range f.all {
		for _, name := range observers {
			d.Says(name, "status")
		}
		d.Says("3 of 3 observers said so", "explain", f.r.Name)
	}

	t.Cleanup(databases().Active.StartProcess)
	databases().Active.KillProcess()
	for _, d := range f.all {
		d.AttachedTo(f.r.Name, "b", 20*time.Second)
	}
	var made, voters []string
	for _, r := range records(t, f.r.Name) {
		if r.Kind != policy.Failover {
			continue
		}
		made = append(made, r.By)
		for _, v := range r.Votes {
			if slices.ContainsFunc(v.Saw, func(s failover.EndpointVote) bool { return s.Endpoint == "a" && s.State == policy.Down }) {
				voters = append(voters, v.Observer)
			}
		}
		if len(voters) < 2 {
			t.Errorf("%d of 3 votes in %+v", len(voters), r.Votes)
		}
	}
	if len(made) != 1 {
		t.Fatalf("failovers: %v", made)
	}
	daemon.Eventually(t, 10*time.Second, "people are told", func() bool { return len(f.heard("failover")) == 1 }, func() string { return fmt.Sprint(f.heard("")) })
	for i, d := range f.all {
		if observers[i] != made[0] {
			d.Says("told by "+made[0], "events", f.r.Name)
		}
		d.Says("so said "+strings.Join(voters, ", "), "explain", f.r.Name)
		for _, other := range voters[1:] {
			d.Says(other+" finds a down", "explain", f.r.Name, "--epoch", "2")
		}
	}
	f.show("status")
	f.show("explain", f.r.Name)
	f.show("explain", f.r.Name, "--epoch", "2")
	f.show("events", f.r.Name)
	if got := f.heard("failover"); len(got) != 1 {
		t.Errorf("people heard of it %d times: %v", len(got), got)
	}
}

// TestFleetPeople: what a person asks of one observer, all know; and one observer
// that is gone is seen by the others.
func TestFleetPeople(t *testing.T) {
	need(t)
	f := newFleet(t, "fleet-people")
	a, b, c := f.all[0], f.all[1], f.all[2]
	if out, err := a.Command("pause", f.r.Name, "--reason", "a test"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, d := range f.all {
		d.Says("paused by", "status", f.r.Name)
	}
	if out, err := c.Command("resume", f.r.Name, "--reason", "done"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, d := range f.all {
		d.Protected(f.r.Name)
	}
	if out, err := b.Command("switchover", f.r.Name, "--to", "b", "--reason", "a test"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, d := range f.all {
		d.AttachedTo(f.r.Name, "b", 10*time.Second)
	}
	c.Kill()
	a.Says("mon-c", "status")
	daemon.Eventually(t, 10*time.Second, "the others see that it is gone", func() bool {
		out, _ := a.Command("status")
		return strings.Contains(out, "does not answer")
	})
	a.Told("quorum_margin", "mon-c", 60*time.Second)
	f.all = f.all[:2]
	f.show("status")
	if got := f.heard("quorum_margin"); len(got) != 1 {
		t.Errorf("people heard of it %d times: %v", len(got), got)
	}
}
