package mysql

import (
	"errors"
	"net/netip"
	"strconv"
	"sync"
)

// askSessions counts the sessions of others on MySQL, which keeps no count of
// those that read its log. It shows an account its own sessions only; the second
// column is what makes an error of a list that would be cut short. (MariaDB has
// both counts in its status. To ask it for the list costs a table on its disk.)
const askSessions = "SELECT COUNT(*), (SELECT COUNT(*) FROM information_schema.INNODB_CMP)" +
	" FROM information_schema.PROCESSLIST WHERE COMMAND NOT LIKE 'Binlog Dump%'" +
	" AND USER NOT IN ('system user', 'event_scheduler', 'unauthenticated user')"

// ours counts this process's own sessions by server, so that they are not taken
// for clients.
type ours struct {
	mu sync.Mutex
	at map[netip.AddrPort]int64
}

// add counts n more sessions with a server, and returns how many there are.
func (o *ours) add(server netip.AddrPort, n int64) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.at == nil {
		o.at = map[netip.AddrPort]int64{}
	}
	o.at[server] += n
	total := o.at[server]
	if total == 0 {
		delete(o.at, server)
	}
	return total
}

// count keeps the session among ours from its connection (1) to its end (-1).
func (s *session) count(n int64) {
	if now := n > 0; now != s.counted {
		s.counted = now
		s.ours.add(s.server, n)
	}
}

// clients asks MySQL how many connections others have to it.
func (s *session) clients() error {
	row, err := s.row(askSessions)
	if e, ok := errors.AsType[serverError](err); ok {
		if e.code == codePrivilege {
			s.lacks("PROCESS")
		}
		return nil
	}
	if err != nil {
		return err
	}
	if n, err := strconv.ParseInt(row[0], 10, 64); err == nil {
		s.learnClients(n)
	}
	return nil
}

// learnClients keeps how many of the connections are not this process's own.
// One that is just being made or ended may count.
func (s *session) learnClients(connections int64) {
	s.w.c.Learn("clients", max(0, connections-s.ours.add(s.server, 0)))
}
