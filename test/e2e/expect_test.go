package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/test/daemon"
)

// TestExpect: two resources live on one database, which answers and has become
// read-only. The one that expects writes is switched, once that has lasted, and
// says why; the other one asks for nothing and stays. As a standby the database
// may be read-only; a standby that is read-only is not gone to.
func TestExpect(t *testing.T) {
	x := newDemanding(t, "expecting", "writable")
	expecting, other := x.r, x.r
	expecting.More += "\n  expect = [\"writable\"]"
	other.Name = unique("unexpecting")
	other.Handle = other.Name + "/DATABASE_URL"
	put(t, other.Handle, other.A)
	kept := changes(t, other.Handle)
	x.r = expecting
	x.d.Configure(daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, expecting.Handle, other.Handle)), expecting, other))
	pair := databases()
	readOnly := func(on int) {
		pair.Active.SQL(fmt.Sprintf("SET GLOBAL read_only = %d", on))
	}
	t.Cleanup(func() {
		readOnly(0)
		pair.Standby.SQL("SET GLOBAL read_only = 0")
	})
	x.d.Start()
	x.d.Protected(expecting.Name)
	x.d.Protected(other.Name)

	// Nobody can take over: held, by the fact.
	pair.Standby.SQL("SET GLOBAL read_only = 1")
	x.exposed("writable is false")
	readOnly(1)
	x.held("writable is false")
	x.d.Says("a is up, but not what expect says (writable is false)", "explain", expecting.Name)

	// Now somebody can.
	pair.Standby.SQL("SET GLOBAL read_only = 0")
	x.d.AttachedTo(expecting.Name, "b", 20*time.Second)
	x.d.Told("failover", "a was up, but not what expect says (writable is false)", 10*time.Second)
	daemon.Eventually(t, 20*time.Second, "as a standby it is up", func() bool {
		for _, ep := range x.d.Status(expecting.Name).Endpoints {
			if ep.Name == "a" {
				return ep.State.String() == "up" && ep.Facts["writable"] == false
			}
		}
		return false
	}, func() string { return x.d.Explain(expecting.Name) })

	x.d.Protected(other.Name)
	if s := x.d.Status(other.Name); kept() != 0 || s.Attached != "a" || s.Activity != "steady" {
		t.Errorf("nothing was expected of %s: it is in %s, attached to %s, its handle was written %d times\n%s", other.Name, s.Activity, s.Attached, kept(), x.d.Explain(other.Name))
	}
	if out, err := x.d.Command("events", other.Name); err != nil || strings.Contains(out, "expect") {
		t.Errorf("%v: it was told of:\n%s", err, out)
	}
}
