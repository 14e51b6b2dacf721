package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// TestAliveServersAreKept: a server that answers, if only with a refusal, is
// never left, and explain names the gate, the server's code and the reason.
func TestAliveServersAreKept(t *testing.T) {
	need(t)
	active := databases().Active
	root := active.DB(t, "root")
	root.SetMaxOpenConns(1) // MariaDB keeps one place beyond the limit for root
	exec := func(statements ...string) {
		t.Helper()
		for _, s := range append([]string{"SET sql_log_bin = 0"}, statements...) {
			if _, err := root.Exec(s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}
	var full []*sql.Conn
	wrongs := []struct {
		name           string
		before         []string // on both servers
		strike, mend   func()
		database, user string
		code, reason   string
	}{
		{name: "wrong password", database: "orders", user: "app", code: "1045", reason: "rejects our credentials",
			strike: func() { exec("ALTER USER app@'%' IDENTIFIED BY 'changed'") },
			mend:   func() { exec("ALTER USER app@'%' IDENTIFIED BY '" + lab.Password("app") + "'") }},
		{name: "missing database", database: "e2e_gone", user: "root", code: "1049", reason: "lacks what the URL names",
			before: []string{"CREATE DATABASE IF NOT EXISTS e2e_gone"},
			strike: func() { exec("DROP DATABASE e2e_gone") },
			mend:   func() { exec("CREATE DATABASE IF NOT EXISTS e2e_gone") }},
		{name: "too many connections", database: "orders", user: "app", code: "1040", reason: "too much to do",
			strike: func() { exec("SET GLOBAL max_connections = 10"); full = fill(t, active) },
			mend: func() {
				for _, c := range full {
					_ = c.Close()
				}
				exec("SET GLOBAL max_connections = 151")
			}},
	}
	for _, wrong := range wrongs {
		t.Run(wrong.name, func(t *testing.T) {
			for _, s := range wrong.before {
				databases().Active.SQL(s) // replicated to the standby
			}
			name := unique("alive-" + wrong.code)
			r := daemon.Resource{Name: name, Handle: name + "/DATABASE_URL", Policy: daemon.Fast}
			address := func(s *lab.Server) string {
				return fmt.Sprintf("mysql://%s:%s@%s/%s", wrong.user, lab.Password(wrong.user), s.Addr(), wrong.database)
			}
			r.A, r.B = address(active), address(databases().Standby)
			put(t, r.Handle, r.A)
			d := daemon.New(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, r.Handle)), r))
			d.Start()
			d.Protected(name)
			url := changes(t, r.Handle)

			t.Cleanup(wrong.mend)
			wrong.strike()
			daemon.Eventually(t, 15*time.Second, "a is suspect", func() bool { return d.Status(name).Endpoints[0].State == policy.Suspect },
				func() string { return d.Explain(name) }, d.Logs)
			daemon.Throughout(t, 3*time.Second, "nothing is switched", func() bool { return url() == 0 && d.Status(name).Attached == "a" },
				func() string { return d.Explain(name) })
			said := d.Explain(name)
			for _, text := range []string{"because of the gate class", wrong.code, wrong.reason} {
				if !strings.Contains(said, text) {
					t.Errorf("explain does not say %q:\n%s", text, said)
				}
			}
			if h := d.Status(name).Hold; h == nil || h.Gate != "class" {
				t.Errorf("held: %+v", h)
			}
			if n := len(records(t, name)); n != 1 {
				t.Errorf("%d records in history, want the adoption alone", n)
			}
			wrong.mend()
			d.Protected(name)
		})
	}
}

// fill takes every connection that a server gives to ordinary accounts, those
// too that others, such as a probe, give back meanwhile.
func fill(t *testing.T, server *lab.Server) (held []*sql.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	db := server.DB(t, "app")
	for refused := 0; refused < 20; {
		conn, err := db.Conn(ctx)
		switch {
		case ctx.Err() != nil:
			t.Fatal("the server takes any number of connections")
		case err == nil:
			held, refused = append(held, conn), 0
			continue
		}
		refused++
		after(20 * time.Millisecond)
	}
	return held
}
