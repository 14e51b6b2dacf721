package mysql

import (
	"strconv"

	"github.com/reattach/reattach/probe"
)

// codes says what an error code of MySQL or MariaDB is evidence of.
//
// A server that sends an error packet is alive, so no code maps to a class
// that is evidence of failure. A code that is not listed is [probe.Degraded]:
// somebody answered, in this protocol, and would not serve; proxies, which
// have codes of their own for a backend that is gone (MySQL Router 2003,
// ProxySQL 9001), land there, too.
var codes = map[uint16]probe.Class{
	// Pressed: the server has no room for us; it may have again in a second.
	1037: probe.Overloaded, // out of memory
	1038: probe.Overloaded, // out of sort memory
	1040: probe.Overloaded, // too many connections
	1041: probe.Overloaded, // out of memory or disk, from the server's limits
	1135: probe.Overloaded, // cannot create a thread
	1203: probe.Overloaded, // the user has all the connections it may have
	1226: probe.Overloaded, // the user's hourly or simultaneous limit
	1461: probe.Overloaded, // too many prepared statements

	// Pressed: alive, and not serving as it should.
	1047: probe.Degraded, // Galera: this node is not ready; others may be
	1053: probe.Degraded, // shutting down: gone in a moment, which the next dial will say
	1080: probe.Degraded, // the connection is closed by force
	1205: probe.Degraded, // waited too long for a lock
	1317: probe.Degraded, // the query was interrupted by somebody
	1927: probe.Degraded, // MariaDB: the connection was killed
	1969: probe.Degraded, // MariaDB: the statement took too long
	3024: probe.Degraded, // MySQL: the statement took too long
	3032: probe.Degraded, // offline mode: only administrators may come in
	1213: probe.Degraded, // a deadlock
	3169: probe.Degraded, // MySQL: the session was killed
	4031: probe.Degraded, // MySQL: idle for too long, the server says goodbye

	// Pressed: what is written finds no room, or cannot be logged.
	3:    probe.Degraded, // error writing a file
	20:   probe.Degraded, // MySQL: no space left on device
	1021: probe.Degraded, // disk full
	1026: probe.Degraded, // error writing a file
	1030: probe.Degraded, // the storage engine's own error, as 28: no space left on device
	1114: probe.Degraded, // the table is full
	1180: probe.Degraded, // error during a commit
	1598: probe.Degraded, // the binary log cannot be written
	1878: probe.Degraded, // a temporary file cannot be written
	1881: probe.Degraded, // InnoDB runs in its recovery mode
	3100: probe.Degraded, // MySQL: a plugin refused the commit (group replication)

	// Role: a write met a server that takes none.
	1036: probe.Role, // the table is read-only
	1290: probe.Role, // running with --read-only
	1792: probe.Role, // a read-only transaction
	1836: probe.Role, // read-only mode
	1874: probe.Role, // InnoDB is read-only

	// Ours to mend: credentials, and what they may do.
	1045: probe.Auth, // wrong user or password
	1130: probe.Auth, // this host may not connect
	1142: probe.Auth, // the command is denied to the user
	1227: probe.Auth, // a privilege is missing
	1251: probe.Auth, // the account's method is not one that we announced
	1275: probe.Auth, // the account has a password of the old kind
	1396: probe.Auth, // the user does not exist
	1524: probe.Auth, // the account's method is not loaded
	1698: probe.Auth, // this account takes no password (unix_socket)
	1820: probe.Auth, // the password must be changed first
	1862: probe.Auth, // the password has expired
	3118: probe.Auth, // the account is locked
	4150: probe.Auth, // MariaDB: the user is blocked, after too many wrong passwords
	4151: probe.Auth, // MariaDB: the account is locked

	// Ours to mend: settings.
	1042: probe.Misconfigured, // our address has no name, and the server wants one
	1043: probe.Misconfigured, // the server did not like our handshake
	1044: probe.Misconfigured, // the user may not use that database; it is also how an ordinary user hears that there is none
	1046: probe.Misconfigured, // no database selected
	1049: probe.Misconfigured, // no such database
	1129: probe.Misconfigured, // our host is blocked: FLUSH HOSTS
	1146: probe.Misconfigured, // no such table
	3159: probe.TLS,           // MySQL: only encrypted connections
}

// serverError is what an error packet says.
type serverError struct {
	code uint16
	text string
}

// Error returns code and text.
func (e serverError) Error() string { return strconv.Itoa(int(e.code)) + " " + e.text }

// failure gives an error of the server its class.
func (e serverError) failure() probe.Failure {
	class, known := codes[e.code]
	if !known {
		class = probe.Degraded
	}
	return probe.Failure{Class: class, Code: strconv.Itoa(int(e.code)), Text: e.text}
}

// Unwrap makes a serverError a probe.Failure to errors.As.
func (e serverError) Unwrap() error { return e.failure() }

// parseError reads an error packet. Packets that come before the server knows
// what we understand have no SQL state.
func parseError(p []byte) error {
	c := cursor{b: p}
	if c.byte() != 0xff {
		return garbled("no error packet")
	}
	code := c.uint16()
	if c.bad || code == 0 {
		return garbled("an error packet without a code")
	}
	if len(c.b) >= 6 && c.b[0] == '#' {
		c.take(6)
	}
	return serverError{code: code, text: probe.Line(string(c.b))}
}
