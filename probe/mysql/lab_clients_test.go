package mysql_test

import (
	"testing"

	"github.com/reattach/reattach/probe"
)

// testClients counts an application's connections, those of the probe's own
// account included, and none that a probe holds.
func testClients(t *testing.T, d db) {
	tg := target(t, d.URL("app"))
	var others int64 // the tests' own, which root sees
	if err := d.root.QueryRow("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = 'orders'").Scan(&others); err != nil {
		t.Fatal(err)
	}
	hold(t, tg)
	hold(t, target(t, d.URL("probe")[:len(d.URL("probe"))-len("/orders")])) // another account of ours
	count := func(n int64) {
		t.Helper()
		eventually(t, "the clients are counted", func() bool {
			r := once(t, tg)
			want(t, r, probe.OK, probe.PhaseRole, "")
			return r.Facts["clients"] == n
		})
	}
	count(others)
	apps := d.DB(t, "app")
	for range 3 {
		conn, err := apps.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	count(others + 3)
	if err := apps.Close(); err != nil {
		t.Fatal(err)
	}
}

// testMySQLClients: MySQL shows an account its own sessions only, so what is seen
// without the privilege is no count.
func testMySQLClients(t *testing.T, d db) {
	r := once(t, target(t, d.URL("app")))
	want(t, r, probe.OK, probe.PhaseRole, "")
	if r.Facts["clients"] != nil || r.Facts["missing_privilege"] != "PROCESS, REPLICATION CLIENT" {
		t.Errorf("without the privilege: %v clients, missing %v", r.Facts["clients"], r.Facts["missing_privilege"])
	}
	d.exec(t, "GRANT PROCESS ON *.* TO app@'%'")
	testClients(t, d)
}
