package mysql_test

import (
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/test/lab"
)

// TestRealReplica follows a replica through what happens to replicas.
func TestRealReplica(t *testing.T) {
	lab.Need(t)
	pair := lab.New(t).MariaDBPair()
	followReplica(t, pair.Active, pair.Standby, nil, "SLAVE MONITOR")
}

func TestRealReplicaMySQLTarget(t *testing.T) {
	lab.NeedMySQL(t)
	l := lab.New(t)
	active, replica := l.MySQL(lab.Env("LAB_SERVER_ID", "1")), l.MySQL(lab.Env("LAB_SERVER_ID", "2"))
	replica.ReplicateFrom(active)
	followReplica(t, active, replica, "PROCESS", "PROCESS, REPLICATION CLIENT")
}

// followReplica is told what the account of probes lacks, and what an application's does.
func followReplica(t *testing.T, active, replica *lab.Server, lacks any, appLacks string) {
	account := strings.TrimSuffix(replica.URL("probe"), "/orders") // it has no right to the data
	look := func() probe.Facts {
		t.Helper()
		r := once(t, target(t, account))
		want(t, r, probe.OK, probe.PhaseRole, "")
		for name := range r.Facts {
			if !documented(name) {
				t.Errorf("the fact %s is not documented", name)
			}
		}
		return r.Facts
	}
	until := func(what string, ok func(probe.Facts) bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; <-time.After(20 * time.Millisecond) {
			f := look()
			if ok(f) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("never %s: %v", what, f)
			}
		}
	}
	until("applied", func(f probe.Facts) bool { return f["applied"] == true })
	f := look()
	if f["replica"] != true || f["replicating"] != true || f["lag"] != int64(0) || f["source"] != active.Addr() || f["missing_privilege"] != lacks {
		t.Errorf("a well replica: %v", f)
	}
	if lacks == nil { // the other one reads its log, too: that is no client
		until("alone", func(f probe.Facts) bool { return f["clients"] == int64(0) })
	}

	replica.SQL("STOP REPLICA SQL_THREAD")
	active.SQL("INSERT INTO orders.orders (note) VALUES ('received, not applied')")
	until("behind", func(f probe.Facts) bool { return f["applied"] == false })
	if f := look(); f["replicating"] != false || f["lag"] != nil {
		t.Errorf("a replica that does not apply: %v", f)
	}

	gtid, own := look()["gtid"], look()["gtid_own"]
	replica.SQL("START REPLICA SQL_THREAD")
	until("caught up", func(f probe.Facts) bool { return f["applied"] == true && f["replicating"] == true })
	if f := look(); f["gtid"] == gtid || f["gtid_own"] != own {
		t.Errorf("after a replicated row the position is %v, then %v; its own %v, then %v", gtid, f["gtid"], own, f["gtid_own"])
	}
	writes := look()["writes"]
	replica.SQL("INSERT INTO orders.orders (note) VALUES ('written here')")
	if f := look(); f["writes"] != writes.(int64)+1 || f["gtid_own"] == own {
		t.Errorf("a write of its own: %v then %v, %v then %v", writes, f["writes"], own, f["gtid_own"])
	}

	// Its source hangs: the threads wait, and the replica goes on serving.
	active.Freeze()
	t.Cleanup(active.Thaw)
	if f := look(); f["replica"] != true {
		t.Errorf("its source hangs: %v", f)
	}
	replica.SQL("STOP REPLICA")
	replica.SQL("RESET REPLICA ALL")
	if f := look(); f["replica"] != false || f["lag"] != nil || f["applied"] != nil {
		t.Errorf("no replica any more: %v", f)
	}

	r := once(t, target(t, replica.URL("app")))
	if r.Class != probe.OK || r.Facts["missing_privilege"] != appLacks || r.Facts["replica"] != nil || r.Facts["gtid_own"] == nil {
		t.Errorf("without the privilege: %+v", r)
	}
}
