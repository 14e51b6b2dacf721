package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/test/daemon"
)

// TestSplitWrites: a database is left by a switchover and stays writable. What is
// replicated to it from the new one is none of its own; a client that stayed and
// writes is paged, with the positions, until the database is read-only.
func TestSplitWrites(t *testing.T) {
	x := newDemanding(t, "split", "writable")
	pair := databases()
	t.Cleanup(func() { pair.Active.SQL("SET GLOBAL read_only = 0") })
	app := pair.Active.DB(t, "app")
	app.SetMaxOpenConns(1)
	write := func(note string) {
		t.Helper()
		if _, err := app.Exec("INSERT INTO orders (note) VALUES (?)", note); err != nil {
			t.Fatal(err)
		}
	}
	write("while it was attached")
	left := func() failover.EndpointStatus { return x.d.Status(x.r.Name).Endpoints[0] }
	x.d.Start()
	x.d.Protected(x.r.Name)
	if out, err := x.d.Command("switchover", x.r.Name, "--to", "b", "--reason", "to be split"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	x.d.Told("old_primary_writable", "a client is connected to it", 20*time.Second)

	own, gtid := left().Facts["gtid_own"], left().Facts["gtid"]
	pair.Standby.SQL("INSERT INTO orders (note) VALUES ('where it belongs')")
	daemon.Eventually(t, 20*time.Second, "the row is replicated", func() bool { return left().Facts["gtid"] != gtid }, func() string { return x.d.Explain(x.r.Name) })
	if out, err := x.d.Command("events", x.r.Name); err != nil || strings.Contains(out, "is written to") || own == nil || left().Facts["gtid_own"] != own {
		t.Errorf("%v: what was replicated counts as its own, %v then %v:\n%s", err, own, left().Facts["gtid_own"], out)
	}

	write("where nobody reads it")
	x.d.Told("split_writes", "its own log went from "+own.(string)+" to 0-1-", 20*time.Second)
	x.d.Told("split_writes", "a client is connected to it", 10*time.Second)
	pair.Active.SQL("SET GLOBAL read_only = 1")
	x.d.Told("split_writes", "a is read-only now; its own log goes to 0-1-", 20*time.Second)
}
