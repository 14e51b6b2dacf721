package classes

import (
	"database/sql"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/mysql"
	"github.com/reattach/reattach/test/lab"
)

// mariadb is MariaDB 11.8.
func mariadb() service {
	rows := append([]row{well(probe.PhaseRole)}, network(probe.PhaseGreet)...)
	rows = append(rows, sqlRefusals("1698")...) // or 1045, by a hash of the name
	rows = append(rows,
		account("an account that is locked", probe.Auth, probe.PhaseAuth, "4151", "ACCOUNT LOCK"),
		account("a password that has expired", probe.Auth, probe.PhaseRole, "1820", "PASSWORD EXPIRE"),
	)
	rows = append(rows,
		several("a name with two addresses, the first of which nobody has", probe.PhaseRole, (*bench).database, nobody),
		several("a name with two addresses, the first of which refuses", probe.PhaseRole, (*bench).database, refusing),
		renamed("its name leads to another address while a session is held (a hint)", (*bench).database),
	)
	rows = append(rows, sqlWrites(120)...)
	rows = append(rows, row{done: "a node of Galera without its cluster", outcome: outcome{probe.Degraded, probe.PhaseRole, "1047"}, does: func(t *testing.T, b *bench) (r probe.Result) {
		node := b.lab.MariaDB(lab.Galera())
		node.LeaveCluster()
		eventually(t, "it is not ready", func() bool { r = b.probe(t, node.URL("app")); return r.Class == probe.Degraded })
		return r
	}})
	rows = append(rows, sqlTLS("FLUSH SSL")...)
	return service{name: "MariaDB", rows: rows, start: func(t *testing.T) *bench {
		l := lab.New(t)
		return sqlBench(t, l, l.MariaDB(lab.Args("--max-connect-errors=4")))
	}}
}

// mysqlItself is MySQL 9.7, which may be missing.
func mysqlItself() service {
	rows := append([]row{well(probe.PhaseRole)}, network(probe.PhaseGreet)...)
	rows = append(rows, sqlRefusals("")...)
	rows = append(rows,
		account("an account that is locked", probe.Auth, probe.PhaseAuth, "3118", "ACCOUNT LOCK"),
		account("a password that has expired", probe.Auth, probe.PhaseAuth, "1862", "PASSWORD EXPIRE"),
		settled("in offline mode", outcome{probe.Degraded, probe.PhaseAuth, "3032"}, "SET GLOBAL offline_mode = ON", "SET GLOBAL offline_mode = OFF"),
		settled("read-only, for administrators too (super_read_only)", outcome{class: probe.OK, phase: probe.PhaseRole},
			"SET GLOBAL super_read_only = 1", "SET GLOBAL super_read_only = 0", "SET GLOBAL read_only = 0"),
	)
	rows = append(rows, sqlWrites(200)...)
	rows = append(rows, sqlTLS("ALTER INSTANCE RELOAD TLS")...)
	return service{name: "MySQL", rows: rows, start: func(t *testing.T) *bench {
		l := lab.New(t)
		return sqlBench(t, l, l.MySQL(lab.Args("--max-connect-errors=4")))
	}}
}

func sqlBench(t *testing.T, l *lab.Lab, s *lab.Server) *bench {
	db := s.DB(t, "root")
	db.SetMaxOpenConns(1)
	return &bench{Server: s, lab: l, protocol: mysql.Protocol, url: s.URL("app"), db: db}
}

// as is the server's URL for an account and a path.
func (b *bench) as(user, password, path string) string {
	return fmt.Sprintf("mysql://%s:%s@%s%s", user, password, b.Addr(), path)
}

// root is one connection of root's own, which is kept: no new one might be had
// in the middle of what a row does.
func (b *bench) root(t *testing.T) *sql.DB {
	t.Helper()
	if err := b.db.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b.db
}

func execute(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// settled is a row of a setting, and of those that mend it.
func settled(done string, o outcome, set string, mend ...string) row {
	return row{done: done, outcome: o, does: func(t *testing.T, b *bench) probe.Result {
		db := b.root(t)
		execute(t, db, set)
		r := b.probe(t, b.url)
		execute(t, db, mend...)
		return r
	}}
}

// account is a row of an account that was made with a clause.
func account(done string, class probe.Class, phase probe.Phase, code, clause string) row {
	return row{done: done, outcome: outcome{class, phase, code}, does: func(t *testing.T, b *bench) probe.Result {
		execute(t, b.root(t), "DROP USER IF EXISTS odd@'%'", "CREATE USER odd@'%' IDENTIFIED BY 'odd-secret' "+clause)
		return b.probe(t, b.as("odd", "odd-secret", ""))
	}}
}

// unblock empties the list of hosts that are blocked, on every server.
const unblock = "SET GLOBAL host_cache_size = 200"

// sqlRefusals is what both servers refuse with the same words. stranger is what
// an unknown user may hear instead of 1045.
func sqlRefusals(stranger string) []row {
	refused := func(c probe.Class, code string) outcome { return outcome{c, probe.PhaseAuth, code} }
	rows := []row{
		asked("a wrong password", refused(probe.Auth, "1045"), func(b *bench) string { return b.as("app", "wrong", "/orders") }),
		asked("an unknown user", refused(probe.Auth, "1045"), func(b *bench) string { return b.as("stranger", "wrong", "/orders") }),
		asked("a database that is missing", refused(probe.Misconfigured, "1049"), func(b *bench) string { return b.as("root", "root-secret", "/nowhere") }),
		asked("a database that the user has no right to, or that is missing and the user is an ordinary one", refused(probe.Misconfigured, "1044"),
			func(b *bench) string { return b.as("app", "app-secret", "/nowhere") }),
		{done: "too many connections", outcome: refused(probe.Overloaded, "1040"), does: full},
		account("more connections than the user may have in an hour", probe.Overloaded, probe.PhaseAuth, "1226", "WITH MAX_CONNECTIONS_PER_HOUR 1").twice(
			func(b *bench) string { return b.as("odd", "odd-secret", "") }),
		{done: "our host blocked, after connections that were broken off", outcome: outcome{probe.Misconfigured, probe.PhaseGreet, "1129"}, does: blocked},
		{done: "no account may come in from our host", outcome: outcome{probe.Auth, probe.PhaseGreet, "1130"}, does: banned},
		settled("read-only", outcome{class: probe.OK, phase: probe.PhaseRole}, "SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"),
	}
	if stranger != "" {
		rows[1].or = &outcome{probe.Auth, probe.PhaseAuth, stranger}
	}
	return rows
}

// twice is a row whose probe is had a second time, which is the one that counts.
func (r row) twice(url func(*bench) string) row {
	does := r.does
	r.does = func(t *testing.T, b *bench) probe.Result {
		does(t, b)
		return b.probe(t, url(b))
	}
	return r
}

func full(t *testing.T, b *bench) probe.Result {
	db := b.root(t)
	execute(t, db, "SET GLOBAL max_connections = 10")
	var r probe.Result
	for range 30 {
		if r = b.hold(t, b.url); r.Failed() {
			break
		}
	}
	execute(t, db, "SET GLOBAL max_connections = 151")
	return r
}

func blocked(t *testing.T, b *bench) probe.Result {
	db := b.root(t)
	for range 6 {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Read(make([]byte, 4)) // the server has greeted: it will count this one
		_ = conn.Close()
	}
	var r probe.Result
	eventually(t, "this host is blocked", func() bool { r = b.probe(t, b.url); return r.Failed() })
	execute(t, db, unblock)
	return r
}

// banned renames the accounts' host, and takes care to keep a way back.
func banned(t *testing.T, b *bench) probe.Result {
	table := "mysql.user"
	if b.mariadb() {
		table = "mysql.global_priv"
	}
	move := func(from, to string) []string {
		return []string{fmt.Sprintf("UPDATE %s SET Host = '%s' WHERE Host = '%s'", table, to, from), "FLUSH PRIVILEGES", unblock}
	}
	db := b.root(t)
	execute(t, db, move("%", "192.0.2.1")...)
	r := b.probe(t, b.url)
	execute(t, db, move("192.0.2.1", "%")...)
	return r
}

func (b *bench) mariadb() bool { return b.Name()[:5] == "maria" }

// sqlTLS are the rows about encryption; reload has the server read its
// certificate again.
func sqlTLS(reload string) []row {
	secure := func(b *bench) string { return "mysqls://app:app-secret@" + b.Addr() + "/orders" }
	rows := []row{
		{done: "encryption demanded by the server, and switched off here", outcome: outcome{probe.TLS, probe.PhaseAuth, "3159"}, does: func(t *testing.T, b *bench) probe.Result {
			db := b.root(t)
			execute(t, db, "SET GLOBAL require_secure_transport = ON")
			r := b.probe(t, b.url, mode(probe.TLSOff))
			execute(t, db, "SET GLOBAL require_secure_transport = OFF")
			return r
		}},
	}
	certify := func(t *testing.T, b *bench, cert, key []byte) {
		db := b.root(t)
		b.write("/lab/tls/cert.pem", cert)
		b.write("/run/mysqld/key.pem", key)
		execute(t, db, reload)
	}
	rows = append(rows, row{done: "no TLS where the URL demands it", outcome: outcome{class: probe.TLS, phase: probe.PhaseTLS},
		does: func(t *testing.T, b *bench) probe.Result {
			if b.mariadb() {
				return b.probe(t, b.lab.MariaDB(lab.WithoutTLS(), lab.Args("--skip-ssl")).URL("app"), mode(probe.TLSRequire))
			}
			db := b.root(t) // the lab starts no MySQL without TLS: it loses it here
			b.write("/lab/tls/cert.pem", []byte("broken"))
			execute(t, db, "ALTER INSTANCE RELOAD TLS NO ROLLBACK ON ERROR")
			r := b.probe(t, b.url, mode(probe.TLSRequire))
			cert, key := b.lab.Certificate(time.Now().Add(time.Hour), b.Name(), b.IP())
			certify(t, b, cert, key)
			return r
		}})
	rows = append(rows, demanding(probe.PhaseRole, outcome{probe.Auth, probe.PhaseAuth, "1045"}, outcome{class: probe.TLS, phase: probe.PhaseAuth}, sqlDemands)...)
	return append(rows, certified(probe.PhaseRole, secure, certify)...)
}
