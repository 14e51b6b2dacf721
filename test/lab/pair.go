package lab

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Pair is two MariaDB servers that replicate both ways, as an active and a
// passive one. Their AUTO_INCREMENTs are odd and even.
type Pair struct {
	Active  *Server
	Standby *Server
}

// MariaDBPair starts both, writable unless opts say otherwise, and returns once
// replication runs in both directions.
func (l *Lab) MariaDBPair(opts ...Option) *Pair {
	l.t.Helper()
	started := make(chan *Server, 1)
	go func() {
		defer close(started)
		started <- l.MariaDB(append(opts[:len(opts):len(opts)], Env("LAB_SERVER_ID", "2"))...)
	}()
	active := l.MariaDB(append(opts[:len(opts):len(opts)], Env("LAB_SERVER_ID", "1"))...)
	standby, ok := <-started
	if !ok || standby == nil {
		l.t.Fatalf("lab: the pair's second server did not start")
	}
	pair := &Pair{Active: active, Standby: standby}
	pair.Active.ReplicateFrom(pair.Standby)
	pair.Standby.ReplicateFrom(pair.Active)
	return pair
}

// ReplicateFrom makes the server a replica of source, by GTID, and returns once
// both of its threads run.
func (s *Server) ReplicateFrom(source *Server) {
	s.lab.t.Helper()
	s.SQL("STOP REPLICA")
	change := "CHANGE MASTER TO MASTER_HOST='%s', MASTER_PORT=%d, MASTER_USER='repl'," +
		" MASTER_PASSWORD='%s', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_SSL=0"
	if s.kind == "mysql" { // whose first login wants a private line
		change = "CHANGE REPLICATION SOURCE TO SOURCE_HOST='%s', SOURCE_PORT=%d, SOURCE_USER='repl'," +
			" SOURCE_PASSWORD='%s', SOURCE_AUTO_POSITION=1, SOURCE_CONNECT_RETRY=1, SOURCE_SSL=1"
	}
	s.SQL(fmt.Sprintf(change, source.ip, source.port, Password("repl")))
	s.SQL("START REPLICA")
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := s.ReplicationError()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.lab.t.Fatalf("lab: %s does not replicate from %s: %v", s.name, source.name, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// ReplicationError is nil while both replication threads run without an error.
func (s *Server) ReplicationError() error {
	status, err := s.ReplicaStatus()
	if err != nil {
		return err
	}
	word := "Slave"
	if s.kind == "mysql" {
		word = "Replica"
	}
	io, sql := status[word+"_IO_Running"], status[word+"_SQL_Running"]
	if io == "Yes" && sql == "Yes" {
		return nil
	}
	return fmt.Errorf("io %s, sql %s: %s %s", io, sql, status["Last_IO_Error"], status["Last_SQL_Error"])
}

// ReplicaStatus is SHOW REPLICA STATUS by column, in the server's own words
// (MariaDB's say Slave and Master, MySQL's Replica and Source); NULL is "".
func (s *Server) ReplicaStatus() (map[string]string, error) {
	db, err := s.open("root")
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	rows, err := db.QueryContext(ctx, "SHOW REPLICA STATUS")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	if !rows.Next() {
		return nil, errors.Join(errors.New("no replica"), rows.Err())
	}
	values := make([]sql.NullString, len(columns))
	targets := make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	if err := rows.Scan(targets...); err != nil {
		return nil, err
	}
	status := make(map[string]string, len(columns))
	for i, column := range columns {
		status[strings.TrimSpace(column)] = values[i].String
	}
	return status, nil
}
