package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// TestStoodStill stops the daemon's own process: when it goes on, every deadline
// has passed, and none of that is evidence against a server. The way to the
// server is so slow that some conversation is always under way, and one that is
// misjudged would be enough. Even a canary is well within its timeout on that way.
func TestStoodStill(t *testing.T) {
	need(t)
	a := lab.NewProxy(t, caches().Active.Addr())
	a.Set(lab.Behaviour{Delay: 50 * time.Millisecond})
	name := unique("still")
	r := daemon.Resource{Name: name, Handle: name + "/URL", A: "memcached://" + a.Addr(), B: caches().Standby.URL(""), Policy: `
    interval         = "100ms"
    fresh_interval   = "100ms"
    timeout          = "900ms"
    suspect_interval = "20ms"
    sustain          = "50ms"
    fail_after       = "1 of 1"`}
	d := daemon.New(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, r.Handle)), r))
	d.Start()
	d.Protected(name)
	t.Cleanup(func() { d.Signal(syscall.SIGCONT) })
	for _, gap := range []time.Duration{1200 * time.Millisecond, 2300 * time.Millisecond, 1700 * time.Millisecond} {
		d.Signal(syscall.SIGSTOP)
		after(gap)
		d.Signal(syscall.SIGCONT)
		daemon.Throughout(t, time.Second, "a stays attached", func() bool { return d.Status(name).Attached == "a" },
			func() string { return d.Explain(name) }, d.Logs)
		d.Protected(name)
	}
	if n := len(records(t, name)); n != 1 {
		t.Errorf("%d records in history, want the bootstrap alone", n)
	}
}
