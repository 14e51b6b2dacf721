package e2e

import (
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/embedded"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// quick are thresholds under which a switch follows its fault by some 100 ms.
const quick = `
    interval         = "100ms"
    fresh_interval   = "200ms"
    timeout          = "500ms"
    suspect_interval = "20ms"
    sustain          = "50ms"`

// TestKilledDuringSwitches: whenever the daemon dies, its file opens, and either
// all of a switch is in it or nothing. Its next life ends what was begun.
func TestKilledDuringSwitches(t *testing.T) {
	need(t)
	pair := caches()
	done := 0
	for i := range 12 {
		a := lab.NewProxy(t, pair.Active.Addr())
		r := daemon.Resource{Name: "killed", Handle: "killed/URL", A: "memcached://" + a.Addr(), B: pair.Standby.URL(""), Policy: quick}
		config, _ := daemon.Embedded(t, r)
		d := daemon.New(t, config)
		d.Start()
		d.Protected(r.Name)
		a.Set(lab.Behaviour{Reset: true})
		a.CutAll()
		delay := time.Duration(rand.Int64N(int64(160 * time.Millisecond)))
		after(delay)
		d.Kill()
		epoch := whole(t, filepath.Join(d.Dir, "store.db"), r)
		t.Logf("%2d: killed %v after the fault: epoch %d", i, delay.Round(time.Millisecond), epoch)
		if epoch == 2 {
			done++
		}
		d.Start()
		d.AttachedTo(r.Name, "b", 10*time.Second)
		if s := d.Status(r.Name); s.Epoch != 2 {
			t.Errorf("in its next life the epoch is %d", s.Epoch)
		}
		if code := d.Terminate(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if epoch := whole(t, filepath.Join(d.Dir, "store.db"), r); epoch != 2 {
			t.Errorf("in the end the file has epoch %d", epoch)
		}
		a.Close()
	}
	if done == 0 || done == 12 {
		t.Logf("all kills came on one side of the switch (%d of 12 after it)", done)
	}
}

// whole reads a dead daemon's file, holds it against the invariants, and returns
// the epoch.
func whole(t *testing.T, path string, r daemon.Resource) uint64 {
	t.Helper()
	store, err := embedded.Open(path)
	if err != nil {
		t.Fatalf("the file does not open: %v", err)
	}
	defer func() { _ = store.Close() }()
	read := func(op failover.Op) []failover.Entry {
		t.Helper()
		reply, err := store.Txn(t.Context(), []failover.Op{op})
		if err != nil {
			t.Fatal(err)
		}
		return reply.Entries
	}
	var state failover.State
	entries := read(failover.Op{Verb: failover.GetTree, Key: "reattach/state/"})
	if len(entries) != 1 || json.Unmarshal(entries[0].Value, &state) != nil {
		t.Fatalf("%d states", len(entries))
	}
	written := entries[0].ModifyIndex
	handle := read(failover.Op{Verb: failover.GetTree, Key: r.Handle})
	want := map[string]string{"a": r.A, "b": r.B}[state.Attached]
	if len(handle) != 1 || string(handle[0].Value) != want || handle[0].ModifyIndex != written {
		t.Errorf("state says %s at index %d, the handle is another: %d entries", state.Attached, written, len(handle))
	}
	history := read(failover.Op{Verb: failover.GetTree, Key: "reattach/history/" + r.Name + "/"})
	if uint64(len(history)) != state.Epoch || (state.Attached == "b") != (state.Epoch == 2) {
		t.Errorf("%d records at epoch %d, attached to %s", len(history), state.Epoch, state.Attached)
	}
	if last := history[len(history)-1]; last.ModifyIndex != written {
		t.Errorf("the last record is of index %d, the state of %d", last.ModifyIndex, written)
	}
	return state.Epoch
}

// TestTerminatedDuringSwitches: SIGTERM ends it in order at any moment, and no
// ballot is left for others to close.
func TestTerminatedDuringSwitches(t *testing.T) {
	need(t)
	pair := caches()
	for range 6 {
		a := lab.NewProxy(t, pair.Active.Addr())
		name := unique("terminated")
		r := daemon.Resource{Name: name, Handle: name + "/URL", A: "memcached://" + a.Addr(), B: pair.Standby.URL(""), Policy: quick}
		d := daemon.New(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, r.Handle)), r))
		d.Start()
		d.Protected(name)
		a.Set(lab.Behaviour{Reset: true})
		a.CutAll()
		after(40*time.Millisecond + time.Duration(rand.Int64N(int64(60*time.Millisecond))))
		if code := d.Terminate(); code != 0 {
			t.Errorf("exit code %d:\n%s", code, d.Logs())
		}
		if !strings.Contains(d.Logs(), "ended in order") {
			t.Error("it does not say that it ended in order")
		}
		noBallot(t, name)
		t.Logf("%s: %d switches", name, len(records(t, name)))
		a.Close()
	}
}

// TestReload: a file with a mistake leaves the running configuration in force,
// and the next good one is taken without a restart.
func TestReload(t *testing.T) {
	need(t)
	pair := caches()
	first := daemon.Resource{Name: "reloaded", Handle: "reloaded/URL", A: pair.Active.URL(""), B: pair.Standby.URL(""), Policy: daemon.Fast}
	second := first
	second.Name, second.Handle = "added", "added/URL"
	config, _ := daemon.Embedded(t, first)
	d := daemon.New(t, config)
	d.Start()
	d.Protected(first.Name)

	config += second.HCL()
	d.Configure(strings.Replace(config, "sustain", "sustian", 1))
	d.Signal(syscall.SIGHUP)
	daemon.Eventually(t, 5*time.Second, "the mistake is told", func() bool {
		return strings.Contains(d.Logs(), "the running one stays") && strings.Contains(d.Logs(), "sustian")
	}, d.Logs)
	d.Protected(first.Name)
	if out, err := d.Command("status", second.Name); err == nil {
		t.Errorf("the wrong file is in force:\n%s", out)
	}

	d.Configure(config)
	d.Signal(syscall.SIGHUP)
	daemon.Eventually(t, 10*time.Second, "the good file is in force", func() bool { return strings.Contains(d.Logs(), "is in force") }, d.Logs)
	d.Protected(second.Name)
	if s := d.Status(first.Name); s.Epoch != 1 || s.Attached != "a" || s.Condition != policy.Ours.String() {
		t.Errorf("what stayed as it was: %+v", s)
	}
	if code := d.Terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
