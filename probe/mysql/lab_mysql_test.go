package mysql_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/mysql"
	"github.com/reattach/reattach/test/lab"
)

// TestRealMySQLTarget holds the probe against MySQL itself, where it differs
// from MariaDB: its methods of authentication, its facts, its last words.
func TestRealMySQLTarget(t *testing.T) {
	lab.NeedMySQL(t)
	l := lab.New(t)
	d := newDB(t, l, l.MySQL(lab.Args("--max-connect-errors=4")))
	for _, part := range []struct {
		name string
		run  func(*testing.T, db)
	}{
		{"ok", testMySQLOK},
		{"clients", testMySQLClients},
		{"quiet", testQuiet},
		{"methods", testMySQLMethods},
		{"turned away", testMySQLTurnedAway},
		{"shallow", testShallow},
		{"limits", testLimits},
		{"read-only", testMySQLReadOnly},
		{"a long set", testMySQLLongSet},
		{"last words", testMySQLLastWords},
		{"offline", testMySQLOffline},
		{"killed", testMySQLKilled},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, d) })
	}
}

func testMySQLOK(t *testing.T, d db) {
	r := once(t, target(t, d.URL("app")))
	want(t, r, probe.OK, probe.PhaseRole, "")
	var version, id string
	if err := d.root.QueryRow("SELECT @@version, @@server_uuid").Scan(&version, &id); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]any{
		"version": version, "server_id": id, "read_only": false, "super_read_only": false, "writable": true,
		"flavour": "mysql", "auth_method": "caching_sha2_password",
	} {
		if r.Facts[name] != value {
			t.Errorf("%s is %v; the client library says %v", name, r.Facts[name], value)
		}
	}
	for name := range r.Facts {
		if !documented(name) {
			t.Errorf("the fact %s is not documented", name)
		}
	}
	own, _ := r.Facts["gtid_own"].(string)
	d.exec(t, "CREATE TABLE IF NOT EXISTS orders.own (n INT)", "INSERT INTO orders.own VALUES (1)")
	r = once(t, target(t, d.URL("app")))
	if now, _ := r.Facts["gtid_own"].(string); now == own || !strings.HasPrefix(now, id+":") {
		t.Errorf("with a row of its own, its log went from %q to %q", own, now)
	}
	t.Logf("%v: %v", r.Facts["version"], r.Ended.Sub(r.Began))
}

// testMySQLMethods goes all the ways that a password can take: with and
// without TLS, known to the server's cache and not.
func testMySQLMethods(t *testing.T, d db) {
	d.exec(t,
		"CREATE USER sha@'%' IDENTIFIED WITH sha256_password BY 'sha-secret'",
		"CREATE USER void@'%' IDENTIFIED BY ''",
		"CREATE USER voidsha@'%' IDENTIFIED WITH sha256_password BY ''")
	for _, mode := range []probe.TLSMode{probe.TLSOff, probe.TLSRequire} {
		for _, user := range []string{"app", "sha", "void", "voidsha"} {
			t.Run(user+" "+mode.String(), func(t *testing.T) {
				d.exec(t, "FLUSH PRIVILEGES") // empties the cache of passwords
				tg := target(t, d.url(user, passwordOf(user), ""))
				tg.TLS.Mode = mode
				for range 2 { // the full way, then the fast one
					want(t, once(t, tg), probe.OK, probe.PhaseRole, "")
				}
				if user != "app" && user != "sha" {
					return
				}
				tg.URL.Password = "wrong"
				want(t, once(t, tg), probe.Auth, probe.PhaseAuth, "1045")
				if _, encrypted := once(t, tg).Facts["tls_version"]; encrypted != (mode == probe.TLSRequire) {
					t.Errorf("encrypted: %v", encrypted)
				}
			})
		}
	}
	tg := target(t, d.URL("app"))
	tg.TLS.Mode = probe.TLSOff
	d.exec(t, "SET GLOBAL require_secure_transport = ON")
	want(t, once(t, tg), probe.TLS, probe.PhaseAuth, "3159")
	d.exec(t, "SET GLOBAL require_secure_transport = OFF")
}

func passwordOf(user string) string {
	if strings.HasPrefix(user, "void") {
		return ""
	}
	return lab.Password(user)
}

func testMySQLTurnedAway(t *testing.T, d db) {
	d.exec(t,
		"CREATE USER locked@'%' IDENTIFIED BY 'locked-secret' ACCOUNT LOCK",
		"CREATE USER expired@'%' IDENTIFIED BY 'expired-secret' PASSWORD EXPIRE")
	d.agree(t, "app", "app-secret", "/orders", probe.OK, 0)
	d.agree(t, "app", "wrong", "/orders", probe.Auth, 1045)
	d.agree(t, "nobody", "app-secret", "/orders", probe.Auth, 1045)
	d.agree(t, "app", "app-secret", "/nowhere", probe.Misconfigured, 1044)
	d.agree(t, "root", "root-secret", "/nowhere", probe.Misconfigured, 1049)
	d.agree(t, "locked", "locked-secret", "", probe.Auth, 3118)
	d.agree(t, "expired", "expired-secret", "", probe.Auth, 1862)
}

func testMySQLReadOnly(t *testing.T, d db) {
	d.exec(t, "SET GLOBAL super_read_only = 1")
	r := once(t, target(t, d.URL("app")))
	want(t, r, probe.OK, probe.PhaseRole, "")
	if r.Facts["read_only"] != true || r.Facts["super_read_only"] != true || r.Facts["writable"] != false {
		t.Errorf("%v", r.Facts)
	}
	d.exec(t, "SET GLOBAL super_read_only = 0", "SET GLOBAL read_only = 0")
}

// testMySQLLastWords ends sessions by a server that says why.
func testMySQLLastWords(t *testing.T, d db) {
	tg := target(t, d.URL("app"))
	tg.Idle = time.Second
	held := hold(t, tg)
	r := wait(t, held, 5*time.Second)
	t.Logf("idle: %v %s %s", r.Class, r.Code, r.Err)
	wantHint(t, r, probe.Degraded, "4031")

	tg.Idle = 10 * time.Second
	held = hold(t, tg)
	d.exec(t, "SET @ignored = 1")
	var id string
	if err := d.root.QueryRow("SELECT id FROM information_schema.processlist WHERE user = 'app' LIMIT 1").Scan(&id); err != nil {
		t.Fatal(err)
	}
	d.exec(t, "KILL "+id)
	r = wait(t, held, 5*time.Second)
	t.Logf("KILL: %v %s %s", r.Class, r.Code, r.Err)
	if !r.Hint || r.Class == probe.OK {
		t.Errorf("no hint: %+v", r)
	}
}

func testMySQLOffline(t *testing.T, d db) {
	held := hold(t, target(t, d.URL("app")))
	d.exec(t, "SET GLOBAL offline_mode = ON")
	want(t, once(t, target(t, d.URL("app"))), probe.Degraded, probe.PhaseAuth, "3032")
	if r := wait(t, held, 5*time.Second); !r.Hint {
		t.Errorf("no hint: %+v", r)
	}
	d.exec(t, "SET GLOBAL offline_mode = OFF")
}

func testMySQLKilled(t *testing.T, d db) {
	tg := target(t, d.URL("app"))
	held := hold(t, tg)
	d.KillProcess()
	wantHint(t, wait(t, held, 10*time.Second), probe.Reset, "")
	eventually(t, "refused", func() bool { return probe.Once(t.Context(), mysql.Protocol, tg).Class == probe.Refused })
}

// TestRealMySQLTargetFastWay takes the full way from those who have no TLS: the
// server has no RSA key. So what lets them in is the proof of the fast way alone.
func TestRealMySQLTargetFastWay(t *testing.T) {
	lab.NeedMySQL(t)
	l := lab.New(t)
	d := newDB(t, l, l.MySQL(lab.Args("--caching-sha2-password-private-key-path=none.pem", "--caching-sha2-password-public-key-path=none.pub")))
	d.exec(t, "FLUSH PRIVILEGES") // empties the cache of passwords
	clear, private := target(t, d.URL("app")), target(t, d.URL("app"))
	clear.TLS.Mode, private.TLS.Mode = probe.TLSOff, probe.TLSRequire
	if r := once(t, clear); r.Class != probe.Auth || r.Phase != probe.PhaseAuth {
		t.Fatalf("there is another way than the fast one: %+v", r)
	}
	want(t, once(t, private), probe.OK, probe.PhaseRole, "")
	want(t, once(t, clear), probe.OK, probe.PhaseRole, "")
	clear.URL.Password = "wrong"
	if r := once(t, clear); r.Class != probe.Auth {
		t.Errorf("a wrong password: %+v", r)
	}
}

// testMySQLLongSet: a server that has executed what very many others began is as
// well as any. Its set of GTIDs is longer than a reply may be.
func testMySQLLongSet(t *testing.T, d db) {
	var set []string
	for i := range 2000 {
		set = append(set, fmt.Sprintf("%08x-71ca-11e1-9e33-c80aa9429562:1-5", i))
	}
	d.exec(t, "SET GLOBAL gtid_purged = '+"+strings.Join(set, ",")+"'")
	held, r := probe.Open(t.Context(), mysql.Protocol, target(t, d.URL("app")))
	want(t, r, probe.OK, probe.PhaseRole, "")
	if r.Facts["gtid"] != nil || r.Facts["writable"] != true {
		t.Errorf("%v", r.Facts)
	}
	if held == nil {
		return
	}
	defer held.Close(t.Context())
	if r := held.Ping(t.Context()); r.Class != probe.OK {
		t.Errorf("the session that is held: %+v", r)
	}
}
