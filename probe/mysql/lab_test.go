package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/mysql"
	"github.com/reattach/reattach/test/lab"
)

// target is an endpoint to probe, with the scheme's own idea of TLS.
func target(t testing.TB, raw string) probe.Target {
	t.Helper()
	u, err := probe.ParseURL(raw)
	if err != nil {
		t.Fatal(err)
	}
	return probe.Target{URL: u, Timeout: mysql.Protocol.Defaults.Timeout, Client: "reattach lab"}
}

func once(t testing.TB, tg probe.Target) probe.Result {
	t.Helper()
	return probe.Once(t.Context(), mysql.Protocol, tg)
}

// hold opens a session that the test's end closes.
func hold(t testing.TB, tg probe.Target) probe.Held {
	t.Helper()
	held, r := probe.Open(t.Context(), mysql.Protocol, tg)
	if r.Class != probe.OK {
		t.Fatalf("no session: %+v", r)
	}
	t.Cleanup(func() { bye(held) })
	return held
}

func bye(held probe.Held) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	held.Close(ctx)
}

// wait is what a held session hears within limit.
func wait(t testing.TB, held probe.Held, limit time.Duration) probe.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return held.Wait(ctx)
}

// want checks class, phase (where one is named) and code, and that no password shows.
func want(t testing.TB, r probe.Result, class probe.Class, phase probe.Phase, code string) {
	t.Helper()
	if r.Class != class || phase != probe.PhaseNone && r.Phase != phase || r.Code != code {
		t.Errorf("got %v in %v, code %q (%s); want %v in %v, code %q", r.Class, r.Phase, r.Code, r.Err, class, phase, code)
	}
	if strings.Contains(fmt.Sprintf("%+v", r), "-secret") {
		t.Errorf("the result shows a password: %+v", r)
	}
}

// wantHint checks that a held session gave a hint, with that class and code.
func wantHint(t testing.TB, r probe.Result, class probe.Class, code string) {
	t.Helper()
	want(t, r, class, probe.PhasePing, code)
	if !r.Hint || r.Kind != probe.Session {
		t.Errorf("hint %v of kind %v; want a hint of a session", r.Hint, r.Kind)
	}
}

// db is a real server with what the tests ask of it.
type db struct {
	*lab.Server
	lab  *lab.Lab
	root *sql.DB
}

func newDB(t *testing.T, l *lab.Lab, s *lab.Server) db {
	t.Helper()
	d := db{Server: s, lab: l, root: s.DB(t, "root")}
	d.root.SetMaxOpenConns(1) // one connection, so that its own goodbye is not counted in between
	return d
}

func (d db) exec(t testing.TB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := d.root.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// counters are what a server counts when conversations end badly.
func (d db) counters(t testing.TB) string {
	t.Helper()
	var out strings.Builder
	for _, name := range []string{"Aborted_connects", "Aborted_clients", "Connection_errors_internal"} {
		var n, value string
		if err := d.root.QueryRow("SHOW GLOBAL STATUS LIKE '"+name+"'").Scan(&n, &value); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s %s\n", n, value)
	}
	return out.String()
}

// unblock empties the list of hosts that are blocked, on every server.
const unblock = "SET GLOBAL host_cache_size = 200"

// url is the server's URL for an account and a path.
func (d db) url(user, password, path string) string {
	return fmt.Sprintf("mysql://%s:%s@%s%s", user, password, d.Addr(), path)
}

// driverCode is the code that go-sql-driver reports for the same attempt: 0 for
// none, -1 for an error without one.
func (d db) driverCode(t testing.TB, user, password, path string) int {
	t.Helper()
	config := driver.NewConfig()
	config.User, config.Passwd, config.Net, config.Addr = user, password, "tcp", d.Addr()
	config.DBName, config.Timeout, config.ReadTimeout = strings.TrimPrefix(path, "/"), time.Second, time.Second
	config.TLSConfig = "preferred"
	config.Logger = &driver.NopLogger{}
	connector, err := driver.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	pool := sql.OpenDB(connector)
	defer func() { _ = pool.Close() }()
	var e *driver.MySQLError
	switch err := pool.PingContext(t.Context()); {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return int(e.Number)
	}
	return -1
}

// agree wants probe and client library to be told the same by the server.
func (d db) agree(t testing.TB, user, password, path string, class probe.Class, code int) {
	t.Helper()
	said := ""
	if code > 0 {
		said = fmt.Sprint(code)
	}
	want(t, once(t, target(t, d.url(user, password, path))), class, probe.PhaseNone, said)
	if got := d.driverCode(t, user, password, path); got != code {
		t.Errorf("%s%s: the client library says %d, not %d", user, path, got, code)
	}
}

// TestRealMariaDB holds the probe against one MariaDB, and breaks it in turn.
// The order matters: each part leaves the server as it found it.
func TestRealMariaDB(t *testing.T) {
	lab.Need(t)
	l := lab.New(t)
	d := newDB(t, l, l.MariaDB(lab.Args("--max-connect-errors=4")))
	for _, part := range []struct {
		name string
		run  func(*testing.T, db)
	}{
		{"ok", testOK},
		{"clients", testClients},
		{"quiet", testQuiet},
		{"encrypted", testTLS},
		{"shallow", testShallow},
		{"turned away", testTurnedAway},
		{"methods", testMethods},
		{"limits", testLimits},
		{"read-only", testReadOnly},
		{"session", testSession},
		{"network", testNetwork},
		{"hang", testHang},
		{"stopped", testStopped},
		{"killed", testKilled},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, d) })
	}
}

func testOK(t *testing.T, d db) {
	r := once(t, target(t, d.URL("app")))
	want(t, r, probe.OK, probe.PhaseRole, "")
	oracle := d.DB(t, "app")
	var version, id string
	var readOnly bool
	if err := oracle.QueryRow("SELECT @@version, @@server_uid, @@read_only").Scan(&version, &id, &readOnly); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]any{
		"version": version, "server_id": id, "read_only": readOnly, "writable": true, "flavour": "mariadb",
		"innodb_read_only": false, "auth_method": "mysql_native_password", "tls_version": "TLS 1.3",
	} {
		if r.Facts[name] != value {
			t.Errorf("%s is %v; the client library says %v", name, r.Facts[name], value)
		}
	}
	if up, _ := r.Facts["uptime"].(int64); up < 0 || up > 600 || r.Facts["uptime"] == nil {
		t.Errorf("uptime %v", r.Facts["uptime"])
	}
	for _, phase := range []probe.Phase{probe.PhaseConnect, probe.PhaseTLS, probe.PhaseGreet, probe.PhaseAuth, probe.PhasePing, probe.PhaseRole} {
		if r.Timings[phase] <= 0 {
			t.Errorf("no time for %v", phase)
		}
	}
	for name := range r.Facts {
		if !documented(name) {
			t.Errorf("the fact %s is not documented", name)
		}
	}
	t.Logf("%v: %v", r.Facts["version"], r.Ended.Sub(r.Began))
}

func documented(fact string) bool {
	for _, f := range mysql.Protocol.Facts {
		if f.Name == fact {
			return true
		}
	}
	return false
}

// testQuiet shows that conversations which the server lets in leave no trace.
func testQuiet(t *testing.T, d db) {
	clear := target(t, d.URL("app"))
	clear.TLS.Mode = probe.TLSOff
	missing := target(t, d.url("root", "root-secret", "/nowhere"))
	before, logged := d.counters(t), d.Logs()
	for range 50 {
		want(t, once(t, clear), probe.OK, probe.PhaseRole, "")
		want(t, once(t, target(t, d.URL("app"))), probe.OK, probe.PhaseRole, "")
		want(t, once(t, missing), probe.Misconfigured, probe.PhaseAuth, "1049")
	}
	held, r := probe.Open(t.Context(), mysql.Protocol, clear)
	want(t, r, probe.OK, probe.PhaseRole, "")
	for range 50 {
		want(t, held.Ping(t.Context()), probe.OK, probe.PhasePing, "")
	}
	bye(held)
	if after := d.counters(t); after != before {
		t.Errorf("counters before\n%safter\n%s", before, after)
	}
	if after := d.Logs(); after != logged {
		t.Errorf("the server logged %s", strings.TrimPrefix(after, logged))
	}
}

func testTLS(t *testing.T, d db) {
	tg := target(t, "mysqls://app:app-secret@"+d.Addr()+"/orders")
	for range 10 { // more than max_connect_errors
		want(t, once(t, tg), probe.TLS, probe.PhaseTLS, "")
	}
	want(t, once(t, target(t, d.URL("app"))), probe.OK, probe.PhaseRole, "") // and this host is not blocked
	tg.TLS.CAFile = d.lab.CAFile()
	r := once(t, tg)
	want(t, r, probe.OK, probe.PhaseRole, "")
	if at, err := time.Parse(time.RFC3339, fmt.Sprint(r.Facts["tls_expiry"])); err != nil || time.Until(at) > 91*24*time.Hour || time.Until(at) < 89*24*time.Hour {
		t.Errorf("the certificate ends %v", r.Facts["tls_expiry"])
	}
	tg.TLS.ServerName = "elsewhere.test"
	want(t, once(t, tg), probe.TLS, probe.PhaseTLS, "")
	plain := newDB(t, d.lab, d.lab.MariaDB(lab.WithoutTLS(), lab.Args("--skip-ssl", "--max-connect-errors=4")))
	tg = target(t, plain.URL("app"))
	want(t, once(t, tg), probe.OK, probe.PhaseRole, "")
	tg.TLS.Mode = probe.TLSRequire
	for range 10 {
		want(t, once(t, tg), probe.TLS, probe.PhaseTLS, "")
	}
	tg.TLS.Mode = probe.TLSPrefer
	want(t, once(t, tg), probe.OK, probe.PhaseRole, "")
}

// testShallow shows that depths before the login do not block this host, as a
// TCP check does.
func testShallow(t *testing.T, d db) {
	for _, depth := range []probe.Phase{probe.PhaseConnect, probe.PhaseGreet, probe.PhaseTLS, probe.PhaseAuth, probe.PhasePing, probe.PhaseRole} {
		tg := target(t, d.URL("app"))
		tg.Depth = depth
		for range 6 {
			want(t, once(t, tg), probe.OK, depth, "")
		}
	}
	tg := target(t, d.URL("app"))
	tg.Depth = probe.PhaseGreet
	wantHint(t, hold(t, tg).Ping(t.Context()), probe.Misconfigured, "")
	for range 6 {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", d.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Read(make([]byte, 4)) // the server has greeted: it will count this one
		_ = conn.Close()
	}
	eventually(t, "this host is blocked", func() bool { return once(t, target(t, d.URL("app"))).Code == "1129" })
	want(t, once(t, target(t, d.URL("app"))), probe.Misconfigured, probe.PhaseGreet, "1129")
	d.exec(t, unblock)
	want(t, once(t, target(t, d.URL("app"))), probe.OK, probe.PhaseRole, "")
}

func testTurnedAway(t *testing.T, d db) {
	d.agree(t, "app", "app-secret", "/orders", probe.OK, 0)
	d.agree(t, "app", "wrong", "/orders", probe.Auth, 1045)
	d.agree(t, "nobody", "app-secret", "/orders", probe.Auth, d.driverCode(t, "nobody", "app-secret", "/orders")) // 1045 or 1698, by a hash of the name
	d.agree(t, "app", "app-secret", "/mysql", probe.Misconfigured, 1044)
	d.agree(t, "app", "app-secret", "/nowhere", probe.Misconfigured, 1044) // an ordinary user is not told that it is missing
	d.agree(t, "root", "root-secret", "/nowhere", probe.Misconfigured, 1049)
	tg := target(t, d.url("app", "", "/orders"))
	tg.Passwords = []probe.Secret{"old-secret", "app-secret", "never-secret"}
	want(t, once(t, tg), probe.OK, probe.PhaseRole, "")
	tg.Username, tg.Passwords = "probe", []probe.Secret{"probe-secret"}
	tg.URL.Path = ""
	want(t, once(t, tg), probe.OK, probe.PhaseRole, "")
	if d.driverCode(t, "", "", "") == 0 {
		t.Error("anybody may come in: the goodbye of shallow conversations was not tested")
	}
	tg = target(t, "mysql://"+d.Addr())
	if err := mysql.Protocol.Check(tg.URL); err == nil {
		t.Error("a URL without a user passed")
	}
	before := d.counters(t)
	want(t, once(t, tg), probe.Misconfigured, probe.PhaseConnect, "")
	if after := d.counters(t); after != before {
		t.Errorf("a URL without a user was tried: before\n%safter\n%s", before, after)
	}
}

func testMethods(t *testing.T, d db) {
	d.exec(t, "INSTALL SONAME 'auth_ed25519'", "INSTALL SONAME 'auth_parsec'",
		"CREATE USER par@'%' IDENTIFIED VIA parsec USING PASSWORD('par-secret')",
		"CREATE USER ed@'%' IDENTIFIED VIA ed25519 USING PASSWORD('ed-secret')",
		"CREATE USER void@'%' IDENTIFIED BY ''",
		"CREATE USER sock@'%' IDENTIFIED VIA unix_socket",
		"CREATE USER locked@'%' IDENTIFIED BY 'locked-secret' ACCOUNT LOCK",
		"CREATE USER expired@'%' IDENTIFIED BY 'expired-secret' PASSWORD EXPIRE",
		"CREATE USER elsewhere@'192.0.2.1' IDENTIFIED BY 'elsewhere-secret'")
	r := once(t, target(t, d.url("ed", "ed-secret", "")))
	want(t, r, probe.OK, probe.PhaseRole, "")
	if r.Facts["auth_method"] != "client_ed25519" {
		t.Errorf("the method was %v", r.Facts["auth_method"])
	}
	r = once(t, target(t, d.url("par", "par-secret", ""))) // go-sql-driver does not speak it
	want(t, r, probe.OK, probe.PhaseRole, "")
	if r.Facts["auth_method"] != "parsec" {
		t.Errorf("the method was %v", r.Facts["auth_method"])
	}
	want(t, once(t, target(t, d.url("par", "wrong", ""))), probe.Auth, probe.PhaseAuth, "1045")
	d.agree(t, "ed", "ed-secret", "", probe.OK, 0)
	d.agree(t, "ed", "wrong", "", probe.Auth, 1045)
	d.agree(t, "void", "", "", probe.OK, 0)
	d.agree(t, "void", "something", "", probe.Auth, 1045)
	d.agree(t, "sock", "", "", probe.Auth, 1698)
	d.agree(t, "locked", "locked-secret", "", probe.Auth, 4151)
	d.agree(t, "elsewhere", "elsewhere-secret", "", probe.Auth, 1045)
	want(t, once(t, target(t, d.url("expired", "expired-secret", ""))), probe.Auth, probe.PhaseRole, "1820")
	d.exec(t, "SET GLOBAL disconnect_on_expired_password = ON")
	d.agree(t, "expired", "expired-secret", "", probe.Auth, 1862)
	d.exec(t, "SET GLOBAL disconnect_on_expired_password = OFF")
}

func testLimits(t *testing.T, d db) {
	d.exec(t, "SET GLOBAL max_connections = 10")
	for {
		held, r := probe.Open(t.Context(), mysql.Protocol, target(t, d.URL("app")))
		if held == nil {
			want(t, r, probe.Overloaded, probe.PhaseAuth, "1040")
			break
		}
		t.Cleanup(func() { bye(held) })
	}
	if got := d.driverCode(t, "app", "app-secret", "/orders"); got != 1040 {
		t.Errorf("the client library says %d", got)
	}
	d.exec(t, "SET GLOBAL max_connections = 200",
		"CREATE USER few@'%' IDENTIFIED BY 'few-secret' WITH MAX_USER_CONNECTIONS 1",
		"CREATE USER rare@'%' IDENTIFIED BY 'rare-secret' WITH MAX_CONNECTIONS_PER_HOUR 1")
	hold(t, target(t, d.url("few", "few-secret", "")))
	d.agree(t, "few", "few-secret", "", probe.Overloaded, 1226)
	want(t, once(t, target(t, d.url("rare", "rare-secret", ""))), probe.OK, probe.PhaseRole, "")
	d.agree(t, "rare", "rare-secret", "", probe.Overloaded, 1226)
}
