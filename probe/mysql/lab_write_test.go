package mysql_test

import (
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/mysql"
	"github.com/reattach/reattach/test/lab"
)

func TestRealWrite(t *testing.T) {
	lab.Need(t)
	l := lab.New(t)
	testWrite(t, newDB(t, l, l.MariaDB(lab.SmallDisk(120))))
}

func TestRealWriteMySQLTarget(t *testing.T) {
	lab.NeedMySQL(t)
	l := lab.New(t)
	testWrite(t, newDB(t, l, l.MySQL(lab.SmallDisk(200))))
}

// testWrite goes through all that a write may come to, and fills the disk at last.
func testWrite(t *testing.T, d db) {
	tg := target(t, d.url("probe", "probe-secret", ""))
	tg.Timeout, tg.Table = 5*time.Second, "reattach.canary"
	to := func(tg probe.Target, depth probe.Phase) probe.Result {
		t.Helper()
		tg.Depth = depth
		return once(t, tg)
	}
	admin := tg
	admin.Username, admin.Passwords = "root", []probe.Secret{"root-secret"}

	// The table and the privilege are as the probe says that they should be.
	d.exec(t, "CREATE DATABASE reattach")
	r := to(admin, probe.PhaseRead)
	want(t, r, probe.Misconfigured, probe.PhaseRead, "1146")
	d.exec(t, r.Err[strings.Index(r.Err, "CREATE TABLE"):])
	for _, depth := range []probe.Phase{probe.PhaseRead, probe.PhaseWrite} {
		r = to(tg, depth)
		want(t, r, probe.Auth, depth, "1142")
	}
	grant := mysql.Protocol.Grant(tg, r.Facts)
	if !strings.Contains(grant, "GRANT INSERT, DELETE ON `reattach`.`canary` TO 'probe'@'%'") {
		t.Fatalf("it says to type %s", grant)
	}
	d.exec(t, strings.Split(grant, "; ")...)

	rows := func() string {
		t.Helper()
		var s string
		if err := d.root.QueryRow("SELECT COALESCE(GROUP_CONCAT(observer, ' ', at, ' ', LENGTH(pad)), 'none') FROM reattach.canary").Scan(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	want(t, to(tg, probe.PhaseRead), probe.OK, probe.PhaseRead, "")
	want(t, to(tg, probe.PhaseNone), probe.OK, probe.PhaseRole, "")
	if got := rows(); got != "none" {
		t.Errorf("without depth write there are rows: %s", got)
	}
	want(t, to(tg, probe.PhaseWrite), probe.OK, probe.PhaseWrite, "")
	first := rows()
	want(t, to(tg, probe.PhaseWrite), probe.OK, probe.PhaseWrite, "")
	last := rows()
	if first == last || strings.Contains(last, ",") || !strings.HasPrefix(last, "reattach lab ") || !strings.HasSuffix(last, " 4096") {
		t.Errorf("the row was %q, then %q", first, last)
	}

	// Not even an account that may write to a read-only server does.
	d.exec(t, "SET GLOBAL read_only = 1")
	want(t, to(admin, probe.PhaseWrite), probe.Role, probe.PhaseWrite, "")
	want(t, to(tg, probe.PhaseRead), probe.OK, probe.PhaseRole, "")
	d.exec(t, "SET GLOBAL read_only = 0", "FLUSH TABLES WITH READ LOCK")
	want(t, to(tg, probe.PhaseWrite), probe.Degraded, probe.PhaseWrite, "1205")
	if got := rows(); got != last {
		t.Errorf("the row is %q, not %q", got, last)
	}
	d.exec(t, "UNLOCK TABLES", "CREATE TABLE reattach.other (observer INT)", "GRANT INSERT, DELETE ON reattach.other TO probe@'%'")
	other := tg
	other.Table = "reattach.other"
	want(t, to(other, probe.PhaseWrite), probe.Misconfigured, probe.PhaseWrite, "1054")
	other.Table = "canary"
	want(t, to(other, probe.PhaseWrite), probe.Misconfigured, probe.PhaseRole, "")

	d.FillDisk()
	r = to(tg, probe.PhaseWrite)
	want(t, r, probe.Timeout, probe.PhaseWrite, "")
	t.Logf("a full disk: %s", r.Err)
	for range 2 { // which do not hang beside it
		r = to(tg, probe.PhaseWrite)
		want(t, r, probe.Timeout, probe.PhaseWrite, "")
		if took := r.Ended.Sub(r.Began); !strings.Contains(r.Err, "an earlier write") {
			t.Errorf("another write after %v: %s", took, r.Err)
		}
	}
	want(t, to(tg, probe.PhaseNone), probe.OK, probe.PhaseRole, "") // which is why depth write is there
	hanging := 0
	list, err := d.root.Query("SHOW PROCESSLIST")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = list.Close() }()
	columns, err := list.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for list.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new([]byte)
		}
		if err := list.Scan(values...); err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if strings.HasPrefix(string(*v.(*[]byte)), "REPLACE") {
				hanging++
			}
		}
	}
	if hanging != 1 || list.Err() != nil {
		t.Errorf("%d writes hang; want one (%v)", hanging, list.Err())
	}
}
