package classes

import (
	"testing"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/test/lab"
)

// writing has a conversation write to the table that [canary] makes.
func writing(t *probe.Target) { t.Depth, t.Table = probe.PhaseWrite, "reattach.canary" }

// canary is what a person makes for writes.
var canary = []string{
	"CREATE DATABASE reattach",
	"CREATE TABLE reattach.canary (observer VARCHAR(255) PRIMARY KEY, at DATETIME(6) NOT NULL, pad VARBINARY(4096) NOT NULL)",
	"GRANT INSERT, DELETE ON reattach.canary TO app@'%'",
}

// sqlWrites are the rows about depth write; disk is how many MiB the server's data want.
func sqlWrites(disk int) []row {
	written := func(c probe.Class, code string) outcome { return outcome{c, probe.PhaseWrite, code} }
	// with is a row of statements before the write, and of those that mend it.
	with := func(done string, o outcome, before, mend []string) row {
		return row{done: done, outcome: o, writes: true, does: func(t *testing.T, b *bench) probe.Result {
			db := b.root(t)
			execute(t, db, canary...)
			execute(t, db, before...)
			r := b.probe(t, b.url, writing)
			execute(t, db, mend...)
			execute(t, db, "REVOKE INSERT, DELETE ON reattach.canary FROM app@'%'", "DROP DATABASE reattach")
			return r
		}}
	}
	list := func(s ...string) []string { return s }
	full := func(options ...func(*probe.Target)) func(*testing.T, *bench) probe.Result {
		return func(t *testing.T, b *bench) probe.Result {
			start := b.lab.MariaDB
			if !b.mariadb() {
				start = b.lab.MySQL
			}
			s := start(lab.SmallDisk(disk))
			for _, statement := range canary {
				s.SQL(statement)
			}
			s.FillDisk()
			return b.probe(t, s.URL("app"), options...)
		}
	}
	return []row{
		with("a write, with depth write", written(probe.OK, ""), nil, nil),
		with("a write to a table that the account has no right to", written(probe.Auth, "1142"),
			list("REVOKE INSERT, DELETE ON reattach.canary FROM app@'%'"), list("GRANT INSERT, DELETE ON reattach.canary TO app@'%'")),
		with("a write to a table of another form", written(probe.Misconfigured, "1054"), list("ALTER TABLE reattach.canary DROP COLUMN at"), nil),
		with("a write while all tables are locked (FLUSH TABLES WITH READ LOCK)", written(probe.Degraded, "1205"), list("FLUSH TABLES WITH READ LOCK"), list("UNLOCK TABLES")),
		with("a write to a server that is read-only: none is sent", written(probe.Role, ""), list("SET GLOBAL read_only = 1"), list("SET GLOBAL read_only = 0")),
		{done: "a full disk, with depth write", outcome: written(probe.Timeout, ""), writes: true, does: full(writing)},
		{done: "a full disk, with the default depth", outcome: outcome{class: probe.OK, phase: probe.PhaseRole}, does: full()},
	}
}
