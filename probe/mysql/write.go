package mysql

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/reattach/reattach/probe"
)

// What a write is. The row is as large as a block of a file system, and stands
// in the statement's text: whatever the format of the server's log, the write
// needs room of its own there. A smaller one fits for minutes into what is left
// of the log's last block on a disk that is full.
const (
	padding = 4096
	replace = "REPLACE INTO %s (observer, at, pad) VALUES (0x%x, UTC_TIMESTAMP(6), '%s')"
	// As short as both servers have it: who waits longer is kept from writing.
	shortWaits = "SET SESSION lock_wait_timeout = 1, innodb_lock_wait_timeout = 1"
	// A statement that hangs keeps its session, and this lock, on the server after
	// the probe has left. So there is at most one that hangs.
	askTurn = "SELECT GET_LOCK('reattach.%x', 1)"
)

// tableDefinition is how a person makes the table.
const tableDefinition = "CREATE TABLE %s (observer VARCHAR(255) PRIMARY KEY, at DATETIME(6) NOT NULL, pad VARBINARY(4096) NOT NULL)"

// Codes of a write that will not be had.
const (
	codeDenied  = 1142
	codeNoTable = 1146
)

// write replaces the observer's row in t.Table. At depth read it only asks the
// server how it would do so, which wants the same table and privileges, and
// writes nothing.
func (s *session) write(t probe.Target, depth probe.Phase) error {
	table, err := quoteTable(t.Table)
	if err != nil {
		return err
	}
	statement := fmt.Sprintf(replace, table, t.Client, strings.Repeat(".", padding))
	switch {
	case s.state != loggedIn:
		return nil // it could not be asked any more what it is
	case depth < probe.PhaseWrite && !s.writable:
		return nil // it would not say
	case depth < probe.PhaseWrite:
		s.w.c.Enter(probe.PhaseRead)
		_, err := s.w.query("EXPLAIN " + statement)
		return s.unwritten(table, err)
	}
	s.w.c.Enter(probe.PhaseWrite)
	if !s.writable { // an account that may write all the same would harm a replica
		return probe.Failure{Class: probe.Role, Text: "it is read-only, and nothing was written to it"}
	}
	if err := s.w.exec(shortWaits); err != nil {
		return err
	}
	turn := sha256.Sum256([]byte(t.Client + "\x00" + t.Table))
	row, err := s.row(fmt.Sprintf(askTurn, turn[:8]))
	if err != nil {
		return err
	}
	if row[0] != "1" {
		return probe.Failure{Class: probe.Timeout, Text: "an earlier write has not been answered yet"}
	}
	return s.unwritten(table, s.w.exec(statement))
}

// unwritten says what a refused write is evidence of. Only a code that is known
// speaks against the server: any other may be about the table.
func (s *session) unwritten(table string, err error) error {
	e, ok := errors.AsType[serverError](err)
	if !ok {
		return err
	}
	f := e.failure()
	switch {
	case e.code == codeDenied:
		s.lacks("INSERT, DELETE ON " + table)
	case e.code == codeNoTable:
		f.Text += "; " + fmt.Sprintf(tableDefinition, table)
	case codes[e.code] == probe.None:
		f.Class = probe.Misconfigured
	}
	return f
}

// quoteTable writes database.table as a statement names it.
func quoteTable(name string) (string, error) {
	database, table, ok := strings.Cut(name, ".")
	if !ok || database == "" || table == "" {
		return "", probe.Failure{Class: probe.Misconfigured, Text: "the table to write to is not named as DATABASE.TABLE"}
	}
	tick := func(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }
	return tick(database) + "." + tick(table), nil
}
