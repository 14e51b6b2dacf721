package mysql

import (
	"errors"
	"strings"
)

// What the role phase asks, by flavour. None of it needs a privilege, and all
// of it is answered from memory.
const (
	roleMariaDB = "SELECT @@version, @@read_only, @@innodb_read_only, @@server_uid"
	roleMySQL   = "SELECT @@version, @@read_only, @@innodb_read_only, @@server_uuid, @@super_read_only"
	roleAny     = "SELECT @@version, @@read_only"
)

// codeUnknownVariable is the answer of a server that is older than a variable.
const codeUnknownVariable = 1193

const (
	flavourMySQL   = "mysql"
	flavourMariaDB = "mariadb"
)

// learnVersion keeps version and flavour. MariaDB says "5.5.5-" before its
// version, so that old replicas do not take it for a version 1.
func (s *session) learnVersion(version string) string {
	flavour := flavourMySQL
	if strings.Contains(version, "MariaDB") {
		flavour = flavourMariaDB
		version = strings.TrimPrefix(version, "5.5.5-")
	}
	s.w.c.Learn("version", version)
	s.w.c.Learn("flavour", flavour)
	return flavour
}

// role learns what the server is.
func (s *session) role() error {
	ask, flavour := roleMySQL, flavourMySQL
	if strings.Contains(s.greeting.version, "MariaDB") {
		ask, flavour = roleMariaDB, flavourMariaDB
	}
	row, err := s.row(ask)
	if e, ok := errors.AsType[serverError](err); ok && e.code == codeUnknownVariable {
		row, err = s.row(roleAny)
	}
	if err != nil {
		return err
	}
	s.learnRole(row)
	if err := s.status(); err != nil {
		return err
	}
	if flavour == flavourMySQL {
		if err := s.clients(); err != nil {
			return err
		}
	}
	err = s.replication(flavour)
	if unanswered(err) || tooLong(err) {
		// A replica whose threads are being stopped makes this one question wait,
		// while it serves everybody, and one of very many sources has more to tell
		// than is read: no evidence. Its goodbye would wait as well.
		s.state = lost
		return nil
	}
	return err
}

// learnRole keeps the columns of a role query, as many as there are.
func (s *session) learnRole(row []string) {
	s.learnVersion(row[0])
	writable := true
	for i, name := range []string{1: "read_only", 2: "innodb_read_only", 4: "super_read_only"} {
		if name == "" || i >= len(row) {
			continue
		}
		on := isOn(row[i])
		writable = writable && !on
		s.w.c.Learn(name, on)
	}
	s.writable = writable
	s.w.c.Learn("writable", writable)
	if len(row) > 3 && row[3] != "" {
		s.w.c.Learn("server_id", row[3])
	}
}

// isOn reads a switch. Newer servers have words for kinds of read-only.
func isOn(v string) bool { return v != "" && v != "0" && !strings.EqualFold(v, "OFF") }

// row runs a query that has one row.
func (s *session) row(sql string) ([]string, error) {
	rows, err := s.w.query(sql)
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 {
		return nil, garbled("%d rows instead of one", len(rows))
	}
	return rows[0], nil
}
