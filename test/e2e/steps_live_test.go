package e2e

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/test/daemon"
)

// TestCheckLivePromote: a read-only replica is ready where a step makes it writable.
// What the promotion requires is held against it instead, and the privilege that
// this needs is named.
func TestCheckLivePromote(t *testing.T) {
	need(t)
	pair := databases()
	name := unique("live-promote")
	r := daemon.Resource{Name: name, Handle: name + "/DATABASE_URL", A: pair.Active.URL("app"), B: pair.Standby.URL("app"), Policy: daemon.Fast,
		More: `  require = ["writable"]
  fence { command = ["/bin/true"] }
  promote {
    require = ["replica", "applied"]
    command = ["/bin/true"]
  }`}
	put(t, r.Handle, r.A)
	check := live(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, r.Handle)), r))
	pair.Standby.SQL("SET GLOBAL read_only = 1")
	t.Cleanup(func() { pair.Standby.SQL("SET GLOBAL read_only = 0") })

	out := check(1)
	for _, line := range []string{"promote b ✗ applied unknown", "require b - writable no, asked after promote", "require a ✓ writable yes"} {
		if !hasLine(out, line) {
			t.Errorf("no line %q in:\n%s", line, out)
		}
	}
	if lacks := regexp.MustCompile(`(?m)^ *missing +b +error +SLAVE MONITOR, .*; what is required needs it: replica, applied$`); !lacks.MatchString(out) {
		t.Errorf("the privilege is not named:\n%s", out)
	}
	t.Cleanup(func() { pair.Active.SQL("REVOKE SLAVE MONITOR ON *.* FROM app@'%'") })
	pair.Active.SQL(advice(t, out))
	daemon.Eventually(t, 10*time.Second, "it was granted", func() bool {
		out = check(-1)
		return hasLine(out, "promote b ✓ applied yes")
	}, func() string { return out })
	if out = check(0); strings.Contains(out, "missing") || hasLine(out, "promote a ✗ replica no") {
		t.Errorf("nothing is missing, and the attached one is not promoted:\n%s", out)
	}
}
