package e2e

import (
	"context"
	"database/sql"
	"sync"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// standby is what is known of the second endpoint.
func (x *demanding) standby() probe.Facts {
	return x.d.Status(x.r.Name).Endpoints[1].Facts
}

// TestAppliedUnderWrites: while its primary is written to without a pause, a
// replica nearly always has something left to apply. It keeps up, so the resource
// is protected, and stays so. Once the primary is dead everything is to be applied:
// a replica that something holds up is waited for.
func TestAppliedUnderWrites(t *testing.T) {
	x := newDemanding(t, "busy", "applied")
	pair := databases()
	explain := func() string { return x.d.Explain(x.r.Name) }
	pair.Active.SQL("REPLACE INTO orders (id, note) VALUES (1000001, 'contended')")
	writing(t, pair.Active)
	x.d.Start()
	x.d.Protected(x.r.Name)
	daemon.Eventually(t, 60*time.Second, "it is seen with everything applied", func() bool { return x.standby()["applied"] == true }, explain)

	// A lock on the replica holds up what was received, while both threads run.
	lock := locked(t, pair.Standby)
	pair.Active.SQL("UPDATE orders SET note = 'behind the lock' WHERE id = 1000001")
	daemon.Eventually(t, 20*time.Second, "it has something left to apply", func() bool {
		f := x.standby()
		lag, _ := f["lag"].(float64)
		return f["applied"] == false && f["replicating"] == true && lag >= 2
	}, explain)
	daemon.Throughout(t, 5*time.Second, "it is protected, though not everything is applied", func() bool {
		return x.d.Status(x.r.Name).Protected && x.standby()["applied"] == false
	}, explain)

	t.Cleanup(pair.Active.StartProcess)
	pair.Active.KillProcess()
	x.held("applied is false")
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	x.d.AttachedTo(x.r.Name, "b", 30*time.Second)
	var note string
	if err := pair.Standby.DB(t, "root").QueryRow("SELECT note FROM orders WHERE id = 1000001").Scan(&note); err != nil || note != "behind the lock" {
		t.Errorf("attached before all that it received was applied: %q, %v", note, err)
	}
}

// writing has rows written to a server, one after the other, until the test ends
// or the server takes them no more.
func writing(t *testing.T, s *lab.Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	t.Cleanup(func() { cancel(); group.Wait() })
	db := s.DB(t, "app")
	group.Go(func() {
		pause := time.NewTicker(5 * time.Millisecond)
		defer pause.Stop()
		for ; ctx.Err() == nil; <-pause.C {
			if _, err := db.ExecContext(ctx, "INSERT INTO orders (note) VALUES ('one of many')"); err != nil {
				return
			}
		}
	})
}

// locked holds the contended row on a server until its transaction ends.
func locked(t *testing.T, s *lab.Server) *sql.Tx {
	t.Helper()
	db, note := s.DB(t, "app"), ""
	// Before: to ask for a lock on a row that is not there would lock its place.
	daemon.Eventually(t, 30*time.Second, "the row is replicated", func() bool {
		return db.QueryRow("SELECT note FROM orders WHERE id = 1000001").Scan(&note) == nil && note == "contended"
	})
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	if err := tx.QueryRow("SELECT note FROM orders WHERE id = 1000001 FOR UPDATE").Scan(&note); err != nil {
		t.Fatal(err)
	}
	return tx
}

// TestLagOfTheDead: the lag of a replica is not known any more when its source is
// dead; it is judged by the last one.
func TestLagOfTheDead(t *testing.T) {
	x := newDemanding(t, "lag-of-the-dead", "lag <= 5s")
	pair := databases()
	x.d.Start()
	x.d.Protected(x.r.Name)
	t.Cleanup(pair.Active.StartProcess)
	pair.Active.KillProcess()
	x.d.AttachedTo(x.r.Name, "b", 20*time.Second)
	if lag, known := x.standby()["lag"]; known {
		t.Errorf("its source is dead, and its lag is %v: this shows nothing", lag)
	}
}
