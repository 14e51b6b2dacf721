package e2e

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// TestDiskFull: a database whose disk is full answers whatever is asked of it, and
// takes no write. Who has rows written is switched; who has not is told nothing.
func TestDiskFull(t *testing.T) {
	need(t)
	l := lab.New(t)
	diskFull(t, l.MariaDB(lab.SmallDisk(120)), l.MariaDB())
}

// TestDiskFullMySQLTarget: MySQL waits for room, too.
func TestDiskFullMySQLTarget(t *testing.T) {
	need(t)
	lab.NeedMySQL(t)
	l := lab.New(t)
	diskFull(t, l.MySQL(lab.SmallDisk(200)), l.MySQL())
}

func diskFull(t *testing.T, a, b *lab.Server) {
	pools := map[*lab.Server]*sql.DB{}
	for _, s := range []*lab.Server{a, b} {
		pools[s] = s.DB(t, "root")
		s.SQL("CREATE DATABASE reattach")
		s.SQL("CREATE TABLE reattach.canary (observer VARCHAR(255) PRIMARY KEY, at DATETIME(6) NOT NULL, pad VARBINARY(4096) NOT NULL)")
	}
	rows := func(s *lab.Server) (n int) {
		t.Helper()
		if err := pools[s].QueryRow("SELECT COUNT(*) FROM reattach.canary").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	name := unique("disk")
	// Those who would say so falsely, as a slow machine may have it, have time.
	plain := daemon.Resource{Name: name + "-plain", Handle: name + "-plain/URL", A: a.URL("app"), B: b.URL("app"),
		Policy: "\n    fresh_interval = \"1s\"\n    timeout        = \"10s\""}
	writing := daemon.Resource{Name: name, Handle: name + "/URL", A: a.URL("app"), B: b.URL("app"), Policy: daemon.Fast,
		More: "  probe {\n    depth = \"write\"\n    write {\n      table    = \"reattach.canary\"\n      interval = \"1s\"\n      sustain  = \"2s\"\n    }\n  }"}
	put(t, plain.Handle, plain.A)
	put(t, writing.Handle, writing.A)
	config := daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, plain.Handle, writing.Handle)), plain, writing)
	check := live(t, config)
	out := check(1)
	if !strings.Contains(out, "GRANT INSERT, DELETE ON `reattach`.`canary` TO 'app'@'%'") {
		t.Errorf("check --live names no privilege that is missing:\n%s", out)
	}
	for _, s := range []*lab.Server{a, b} {
		s.SQL("GRANT INSERT, DELETE ON reattach.canary TO app@'%'")
	}
	check(0)
	if rows(a)+rows(b) != 0 {
		t.Error("check --live has written")
	}

	d := daemon.New(t, config)
	d.Start()
	for _, r := range []daemon.Resource{plain, writing} {
		d.Protected(r.Name)
	}
	daemon.Eventually(t, 20*time.Second, "the attached one is written to", func() bool { return rows(a) == 1 }, d.Logs)
	if n := rows(b); n != 0 {
		t.Errorf("%d rows on the standby", n)
	}

	a.FillDisk()
	full := time.Now()
	d.AttachedTo(writing.Name, "b", 60*time.Second)
	t.Logf("switched %v after the disk was full", time.Since(full))
	daemon.Eventually(t, 20*time.Second, "what is attached now is written to", func() bool { return rows(b) == 1 }, d.Logs)
	state := func(resource string) (s failover.ResourceStatus, first string) {
		s = d.Status(resource)
		return s, s.Endpoints[0].State.String()
	}
	daemon.Eventually(t, 20*time.Second, "writes do not speak against it any more", func() bool {
		_, first := state(writing.Name)
		return first == "up"
	}, func() string { return d.Explain(writing.Name) })

	// As the README says.
	if s, first := state(plain.Name); s.Attached != "a" || !s.Protected || first != "up" {
		t.Errorf("without writes a is %s, attached %s, protected %v", first, s.Attached, s.Protected)
	}
	out, err := d.Command("events", plain.Name)
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range failover.EventKinds() {
		if event.Severity >= failover.Warning && strings.Contains(out, event.Name) {
			t.Errorf("without writes it was told of %s:\n%s", event.Name, out)
		}
	}
	if made := records(t, writing.Name); len(made) != 2 || !strings.HasPrefix(made[1].Why, "a was down") {
		t.Errorf("an adopt and a failover were made: %+v", made)
	}
}
