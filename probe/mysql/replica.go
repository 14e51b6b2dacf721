package mysql

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strconv"
	"strings"
)

// What the role phase asks about replication and writes, by flavour. MariaDB
// shows all connections at once; MySQL all channels.
const (
	replicasMariaDB = "SHOW ALL SLAVES STATUS"
	replicasMySQL   = "SHOW REPLICA STATUS"
	replicasOld     = "SHOW SLAVE STATUS"
	gtidMariaDB     = "SELECT @@gtid_binlog_pos, IF(LENGTH(@@gtid_binlog_state) > 16384, 'long', @@gtid_binlog_state), @@server_id"
	appliedMariaDB  = "SELECT @@gtid_slave_pos"
	gtidMySQL       = "SELECT IF(LENGTH(@@GLOBAL.gtid_executed) > 16384, 'long', @@GLOBAL.gtid_executed), IF(LENGTH(@@GLOBAL.gtid_executed) > 16384, 'long', @@GLOBAL.gtid_executed), @@server_uuid"
	askStatus       = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Uptime','Com_insert','Com_insert_select','Com_replace','Com_replace_select','Com_update','Com_update_multi','Com_delete','Com_delete_multi','Com_load','Threads_connected','Slaves_connected','wsrep_ready','wsrep_provider_name')"
)

// long stands for a set of GTIDs of more than 16 KiB, which is not asked for: it
// may be longer than a reply may be, and a replica's status has it twice.
const long = "long"

// Codes that say what this server or account cannot tell.
const (
	codeSyntax    = 1064 // it is older than the statement
	codePrivilege = 1227
	codeNotReady  = 1047
)

// source is one row of a replica's status: where it replicates from, and how far.
type source map[string]string

// any returns the first of several columns that is there: names have changed.
func (s source) any(names ...string) string {
	for _, n := range names {
		if v, ok := s[n]; ok {
			return v
		}
	}
	return ""
}

func (s source) host() string {
	host := s.any("Source_Host", "Master_Host")
	if port := s.any("Source_Port", "Master_Port"); host != "" && port != "" {
		return host + ":" + port
	}
	return host
}

// runs reports whether both threads run.
func (s source) runs() bool {
	return s.any("Replica_IO_Running", "Slave_IO_Running") == "Yes" && s.any("Replica_SQL_Running", "Slave_SQL_Running") == "Yes"
}

// lag is how many seconds the replica is behind. It is known only while both
// threads run: NULL means that they stand still, not that nothing is missing.
func (s source) lag() (seconds int64, known bool) {
	n, err := strconv.ParseInt(s.any("Seconds_Behind_Source", "Seconds_Behind_Master"), 10, 64)
	return n, err == nil && s.runs()
}

// appliedPositions compares what was read with what was executed, by file and
// offset of the source's log; known is false where it never read anything.
func (s source) appliedPositions() (applied, known bool) {
	read, done := s.any("Source_Log_File", "Master_Log_File"), s.any("Relay_Source_Log_File", "Relay_Master_Log_File")
	readPos, donePos := s.any("Read_Source_Log_Pos", "Read_Master_Log_Pos"), s.any("Exec_Source_Log_Pos", "Exec_Master_Log_Pos")
	if read == "" || readPos == "" || donePos == "" {
		return false, false
	}
	return read == done && readPos == donePos, true
}

// replication learns how far the server's log goes, whether it is a replica, of
// whom, how far behind, and whether it has applied all that it received. What it
// may not ask stays unknown, which is no failure.
func (s *session) replication(flavour string) error {
	set, err := s.gtid(flavour)
	if err != nil || set == long {
		return err
	}
	ask := replicasMySQL
	if flavour == flavourMariaDB {
		ask = replicasMariaDB
	}
	rows, err := s.w.table(ask)
	if e, ok := errors.AsType[serverError](err); ok && e.code == codeSyntax {
		rows, err = s.w.table(replicasOld)
	}
	if e, ok := errors.AsType[serverError](err); ok {
		if e.code == codePrivilege {
			s.lacks(privilege(flavour))
		}
		return nil
	}
	if err != nil {
		return err
	}
	s.w.c.Learn("replica", len(rows) > 0)
	if len(rows) == 0 {
		return nil
	}
	return s.learnSources(rows, flavour)
}

// privilege is what the account lacks to see replication.
func privilege(flavour string) string {
	if flavour == flavourMariaDB {
		return "SLAVE MONITOR"
	}
	return "REPLICATION CLIENT"
}

// gtid learns how far the server's log goes, and how far with what began on the
// server itself. It returns the former as the server said it.
func (s *session) gtid(flavour string) (string, error) {
	ask := gtidMySQL
	if flavour == flavourMariaDB {
		ask = gtidMariaDB
	}
	row, err := s.row(ask)
	if errors.As(err, new(serverError)) {
		return "", nil // older than GTIDs
	}
	if err != nil {
		return "", err
	}
	if len(row) < 3 {
		return "", garbled("%d columns of positions", len(row))
	}
	if row[0] != "" && row[0] != long {
		s.w.c.Learn("gtid", short(strings.ReplaceAll(row[0], "\n", "")))
	}
	if own := ownGtids(row[1], row[2]); own != "" {
		s.w.c.Learn("gtid_own", short(own))
	}
	return row[0], nil
}

// short makes a set fit to be shown and to be compared: a fact is cut, and what
// advances may be in the part that is.
func short(set string) string {
	const shown = 200
	if len(set) <= shown {
		return set
	}
	return fmt.Sprintf("%s… (sum %08x)", set[:shown], crc32.ChecksumIEEE([]byte(set)))
}

// done is what a replica has applied, in MariaDB's words. It is asked after what
// was received, so that under load a replica that keeps up is not called behind
// for what arrived in between.
func (s *session) done(flavour string) (string, error) {
	if flavour != flavourMariaDB {
		return "", nil
	}
	row, err := s.row(appliedMariaDB)
	if errors.As(err, new(serverError)) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return row[0], nil
}

// ownGtids picks out of a set what began on the server that is called self: of
// "0-1-21,0-2-30" (MariaDB: domain, server, number) what server 1 wrote, of
// "uuid:1-9,uuid:1-3" (MySQL) what the server of that uuid did.
func ownGtids(set, self string) string {
	var own []string
	for gtid := range strings.SplitSeq(strings.ReplaceAll(set, "\n", ""), ",") {
		gtid = strings.TrimSpace(gtid)
		parts := strings.Split(gtid, "-")
		uuid, _, isMySQL := strings.Cut(gtid, ":")
		if isMySQL && strings.EqualFold(uuid, self) || !isMySQL && len(parts) == 3 && parts[1] == self {
			own = append(own, gtid)
		}
	}
	return strings.Join(own, ",")
}

// learnSources folds all sources of a replica into facts: the worst holds.
func (s *session) learnSources(rows []source, flavour string) error {
	done, err := s.done(flavour)
	if err != nil {
		return err
	}
	var hosts []string
	lag, lagKnown, running, applied, known := int64(0), true, true, true, true
	for _, r := range rows {
		hosts = append(hosts, r.host())
		n, ok := r.lag()
		lag, lagKnown, running = max(lag, n), lagKnown && ok, running && r.runs()
		a, k, err := s.applied(r, flavour, done)
		if err != nil {
			return err
		}
		applied, known = applied && a, known && k
	}
	s.w.c.Learn("source", strings.Join(hosts, " "))
	s.w.c.Learn("replicating", running)
	if lagKnown {
		s.w.c.Learn("lag", lag)
	}
	if known {
		s.w.c.Learn("applied", applied)
	}
	return nil
}

// applied reports whether everything that was received from a source is applied.
func (s *session) applied(r source, flavour, done string) (applied, known bool, err error) {
	if flavour == flavourMariaDB {
		if received := r["Gtid_IO_Pos"]; received != "" && r["Using_Gtid"] != "No" {
			applied, known = gtidWithin(received, done)
			return applied, known, nil
		}
		applied, known = r.appliedPositions()
		return applied, known, nil
	}
	received := strings.ReplaceAll(r["Retrieved_Gtid_Set"], "\n", "")
	if received == "" || !isGtidSet(received) {
		applied, known = r.appliedPositions()
		return applied, known, nil
	}
	row, err := s.row("SELECT GTID_SUBSET('" + received + "', @@GLOBAL.gtid_executed)")
	if errors.As(err, new(serverError)) {
		return false, false, nil
	}
	return err == nil && row[0] == "1", err == nil, err
}

// isGtidSet reports whether a text of the server's can stand in a statement.
func isGtidSet(set string) bool {
	return !strings.ContainsFunc(set, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune(":-,_ ", r)
	})
}

// gtidWithin reports whether MariaDB's position a ("0-1-21,5-2-9": domain,
// server, number) is reached by b; known is false where either cannot be read.
func gtidWithin(a, b string) (within, known bool) {
	have, ok := gtidDomains(b)
	want, ok2 := gtidDomains(a)
	if !ok || !ok2 {
		return false, false
	}
	for domain, number := range want {
		if have[domain] < number {
			return false, true
		}
	}
	return true, true
}

// gtidDomains reads the highest number of each domain.
func gtidDomains(pos string) (map[string]uint64, bool) {
	out := map[string]uint64{}
	for gtid := range strings.SplitSeq(pos, ",") {
		if gtid = strings.TrimSpace(gtid); gtid == "" {
			continue
		}
		parts := strings.Split(gtid, "-")
		if len(parts) != 3 {
			return nil, false
		}
		number, err := strconv.ParseUint(parts[2], 10, 64)
		if err != nil {
			return nil, false
		}
		out[parts[0]] = max(out[parts[0]], number)
	}
	return out, true
}

// status learns how long the server has run, how many statements wrote, and
// whether a node of Galera serves at all.
func (s *session) status() error {
	rows, err := s.w.query(askStatus)
	if errors.As(err, new(serverError)) {
		return nil // it will not say; that is no failure
	}
	if err != nil {
		return err
	}
	writes, counted := int64(0), false
	galera, ready := false, true
	connected, replicas := int64(0), int64(-1) // MySQL does not count the latter
	for _, row := range rows {
		if len(row) != 2 {
			return garbled("a status of %d columns", len(row))
		}
		n, err := strconv.ParseInt(row[1], 10, 64)
		switch {
		case row[0] == "wsrep_provider_name":
			galera = row[1] != ""
		case row[0] == "wsrep_ready":
			ready = isOn(row[1])
		case err != nil:
		case row[0] == "Uptime":
			s.w.c.Learn("uptime", n)
		case row[0] == "Threads_connected":
			connected = n
		case row[0] == "Slaves_connected":
			replicas = n
		default:
			writes, counted = writes+n, true
		}
	}
	if counted {
		s.w.c.Learn("writes", writes)
	}
	if replicas >= 0 {
		s.learnClients(connected - replicas)
	}
	if galera && !ready {
		// It answers whatever touches no table, and everything else so:
		return serverError{code: codeNotReady, text: "WSREP has not yet prepared node for application use"}
	}
	return nil
}

// table runs a statement and returns its rows by the columns' names.
func (w *wire) table(sql string) ([]source, error) {
	names, rows, err := w.ask(sql)
	if err != nil {
		return nil, err
	}
	out := make([]source, 0, len(rows))
	for _, row := range rows {
		s := make(source, len(names))
		for i, name := range names {
			s[name] = row[i]
		}
		out = append(out, s)
	}
	return out, nil
}

// unanswered reports whether a question came to nothing but its deadline.
func unanswered(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}
