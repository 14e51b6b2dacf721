package mysql_test

import (
	"testing"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/test/lab"
)

// TestRealReader: InnoDB alone is read-only, as on the readers of a managed
// cluster. Nothing but innodb_read_only says so.
func TestRealReader(t *testing.T) {
	lab.Need(t)
	testReader(t, lab.New(t).MariaDB(lab.Args("--innodb-read-only=1", "--skip-log-bin")))
}

func TestRealReaderMySQLTarget(t *testing.T) {
	lab.NeedMySQL(t)
	testReader(t, lab.New(t).MySQL(lab.Args("--innodb-read-only=1", "--skip-log-bin")))
}

func testReader(t *testing.T, s *lab.Server) {
	tg := target(t, s.URL("app"))
	r := once(t, tg)
	want(t, r, probe.OK, probe.PhaseRole, "")
	if f := r.Facts; f["innodb_read_only"] != true || f["read_only"] != false || f["writable"] != false {
		t.Errorf("innodb_read_only %v, read_only %v, writable %v", f["innodb_read_only"], f["read_only"], f["writable"])
	}
	tg.Depth, tg.Table = probe.PhaseWrite, "orders.orders"
	want(t, once(t, tg), probe.Role, probe.PhaseWrite, "")
}
