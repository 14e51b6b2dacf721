package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/reattach/reattach/test/daemon"
)

// TestStoodStill stops the daemon's own process: when it goes on, every deadline
// has passed, and none of that is evidence against a server. The thresholds are
// so short that one misjudged conversation would be enough.
func TestStoodStill(t *testing.T) {
	need(t)
	db := databases()
	name := unique("still")
	r := daemon.Resource{Name: name, Handle: name + "/URL", A: db.Active.URL("app"), B: db.Standby.URL("app"), Policy: quick + "\n    fail_after = \"1 of 1\""}
	put(t, r.Handle, r.A)
	d := daemon.New(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, r.Handle)), r))
	d.Start()
	d.Protected(name)
	t.Cleanup(func() { d.Signal(syscall.SIGCONT) })
	for _, gap := range []time.Duration{1200 * time.Millisecond, 2300 * time.Millisecond} {
		d.Signal(syscall.SIGSTOP)
		after(gap)
		d.Signal(syscall.SIGCONT)
		daemon.Throughout(t, time.Second, "a stays attached", func() bool { return d.Status(name).Attached == "a" },
			func() string { return d.Explain(name) }, d.Logs)
		d.Protected(name)
	}
	if n := len(records(t, name)); n != 1 {
		t.Errorf("%d records in history, want the adoption alone", n)
	}
}
