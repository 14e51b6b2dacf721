package mysql_test

import (
	"strings"
	"testing"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/test/lab"
)

// TestRealGalera: a node without a cluster lets everybody in, answers whatever
// touches no table, and serves nobody.
func TestRealGalera(t *testing.T) {
	lab.Need(t)
	l := lab.New(t)
	d := newDB(t, l, l.MariaDB(lab.Galera()))
	tg := target(t, d.URL("app"))
	eventually(t, "ready", func() bool { return once(t, tg).Class == probe.OK })
	d.LeaveCluster()
	var r probe.Result
	eventually(t, "not ready", func() bool { r = once(t, tg); return r.Class == probe.Degraded })
	want(t, r, probe.Degraded, probe.PhaseRole, "1047")
	if r.Facts["version"] == nil || r.Facts["uptime"] == nil {
		t.Errorf("what it told before is lost: %v", r.Facts)
	}
	apps := d.DB(t, "app")
	eventually(t, "an application is told the same", func() bool { // at first its connections are closed
		_, err := apps.Exec("INSERT INTO orders (note) VALUES ('x')")
		return err != nil && strings.Contains(err.Error(), r.Code) && strings.Contains(err.Error(), r.Err)
	})
	tg.Depth = probe.PhasePing
	want(t, once(t, tg), probe.OK, probe.PhasePing, "") // which is why its status is asked for
}
