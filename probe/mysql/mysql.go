// Package mysql probes MySQL and MariaDB in their own protocol: greeting, TLS,
// authentication, COM_PING, what the server is, COM_QUIT.
//
// It leaves nothing behind on a server that lets it in. That takes more than a
// TCP check does: a server counts every connection that ends before its login
// does, and at max_connect_errors of them it blocks the whole host (1129),
// applications included. So even a conversation that must not go on to the
// login, because a certificate was rejected or depth says so, ends by a login
// as nobody, which the server refuses and does not count. What is left then is
// one line "access denied"; it is also what a wrong password leaves.
//
// Without TLS no password crosses the wire in clear text. But caching_sha2_password
// and sha256_password may then send it encrypted by a key that the server names,
// as client libraries do, and nobody vouches for that key: where the network is
// not trusted, say tls { mode = "verify" }.
//
// Not spoken: protocol 9, and the methods of authentication that need more
// than a password (GSSAPI, LDAP, PAM's dialog, WebAuthn). An account that wants
// one is of class auth. At depth write a row of the observer's own is replaced in a
// table that a person made and named, at depth read the server is asked whether
// it would let us; without a table both go as deep as role.
package mysql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/reattach/reattach/probe"
)

// Protocol is MySQL and MariaDB.
var Protocol = probe.Protocol{
	Name: "mysql",
	Schemes: []probe.Scheme{
		{Name: "mysql", Port: "3306", TLS: probe.TLSPrefer},
		{Name: "mariadb", Port: "3306", TLS: probe.TLSPrefer},
		{Name: "mysqls", Port: "3306", TLS: probe.TLSVerify},
		{Name: "mariadbs", Port: "3306", TLS: probe.TLSVerify},
	},
	Prober: prober{new(ours)},
	Holds:  true,
	Writes: true,
	Depths: []probe.Phase{probe.PhaseWrite},
	Defaults: probe.Defaults{
		Interval: time.Second, FreshInterval: 10 * time.Second, Timeout: 2 * time.Second,
		SuspectInterval: 100 * time.Millisecond, Sustain: 10 * time.Second,
		TimeoutFloor: 200 * time.Millisecond, RestartTime: 7 * time.Second,
	},
	Traits: probe.Traits{StoreOfData: true, Taints: true, FenceCommand: func(u probe.URL) string {
		return fmt.Sprintf("mysql --host=%s --port=%s --execute='SET GLOBAL read_only = ON'", u.Host, cmp.Or(u.Port, "3306"))
	}},
	Facts: []probe.Fact{
		{Name: "version", Type: "string", Meaning: "the server's version, as it gives it", Phase: probe.PhaseGreet},
		{Name: "flavour", Type: "string", Meaning: "mysql or mariadb", Phase: probe.PhaseGreet},
		{Name: "writable", Type: "bool", Meaning: "neither read_only, super_read_only nor innodb_read_only is set"},
		{Name: "read_only", Type: "bool", Meaning: "@@read_only: ordinary users cannot write"},
		{Name: "super_read_only", Type: "bool", Meaning: "@@super_read_only: nobody can write (MySQL)"},
		{Name: "innodb_read_only", Type: "bool", Meaning: "@@innodb_read_only: the sign of a reader on Aurora"},
		{Name: "server_id", Type: "string", Meaning: "what makes this server itself: @@server_uuid (MySQL), @@server_uid (MariaDB)"},
		{Name: "uptime", Type: "int64", Meaning: "seconds since the server's start"},
		{Name: "writes", Type: "int64", Meaning: "statements that wrote since then: INSERT, REPLACE, UPDATE, DELETE, LOAD; those that are replicated as statements count, too"},
		{Name: "clients", Type: "int64", Meaning: "connections to it, but for this observer's own and those of replicas; on MySQL it takes the privilege PROCESS", Privileged: true},
		{Name: "gtid", Type: "string", Meaning: "how far its log goes: @@gtid_binlog_pos (MariaDB), @@gtid_executed (MySQL); one of more than 16 KiB is not read, nor then what MySQL says of its sources"},
		{Name: "gtid_own", Type: "string", Meaning: "the same, of what was written on this very server and not replicated to it"},
		{Name: "replica", Type: "bool", Meaning: "it is set up to replicate from another server", Privileged: true},
		{Name: "source", Type: "string", Meaning: "host:port of where it replicates from; several are parted by spaces", Privileged: true},
		{Name: "replicating", Type: "bool", Meaning: "both threads run, for each source", Privileged: true, Dies: true},
		{Name: "lag", Type: "int64", Meaning: "seconds behind its source, the most of all; known while both threads run, and judged by the last one where its source has died since", Privileged: true},
		{Name: "applied", Type: "bool", Meaning: "everything that it received is applied", Privileged: true},
		{Name: "missing_privilege", Type: "string", Meaning: "what the account lacks to see replication and connections, or to write its row: SLAVE MONITOR (MariaDB), REPLICATION CLIENT, PROCESS (MySQL), INSERT, DELETE ON the table"},
		{Name: "auth_method", Type: "string", Meaning: "how the account proves its password", Phase: probe.PhaseAuth},
		{Name: "tls_version", Type: "string", Meaning: "the version of TLS that is spoken", Phase: probe.PhaseAuth},
		{Name: "tls_expiry", Type: "string", Meaning: "when the first certificate of the server's chain expires, RFC 3339", Phase: probe.PhaseAuth},
	},
	Grant: grant,
	Check: check,
}

// errNoUser is why a URL without a user is refused. The probe's own account
// counts: callers put it into the URL before they check it.
var errNoUser = errors.New("it names no user: a server counts logins that never come and then blocks the whole host; " +
	"write mysql://USER:PASSWORD@HOST/DATABASE, or give the probe an account of its own")

// check refuses URLs that would harm the probe's host or can mean nothing.
func check(u probe.URL) error {
	if u.User == "" {
		return errNoUser
	}
	_, err := database(u)
	return err
}

// database is the name in the URL's path, "" if there is none.
func database(u probe.URL) (string, error) {
	name, err := url.PathUnescape(strings.TrimPrefix(u.Path, "/"))
	switch {
	case err != nil:
		return "", errors.New("an escape in its path is broken: write % as %25")
	case strings.Contains(strings.TrimPrefix(u.Path, "/"), "/"):
		return "", errors.New("its path has several parts, but names one database: write a / in the name as %2F")
	case len(name) > 256:
		return "", errors.New("its path is longer than any name of a database")
	}
	return name, nil
}

type prober struct{ ours *ours }

// Open implements probe.Prober. A password that is rejected is followed by the
// next one, on a connection of its own.
func (p prober) Open(ctx context.Context, t probe.Target) (held probe.Held, r probe.Result) {
	user, passwords := t.Credentials()
	for _, password := range passwords {
		held, r = p.open(ctx, t, user, password.Reveal())
		if held != nil && r.Phase >= probe.PhaseAuth {
			t.Took(password)
		}
		if r.Code != "1045" && r.Code != "1698" {
			break
		}
	}
	return held, r
}

func (p prober) open(ctx context.Context, t probe.Target, user, password string) (probe.Held, probe.Result) {
	name, err := database(t.URL)
	if err == nil && user == "" {
		err = errNoUser
	}
	if err != nil {
		now := time.Now()
		return nil, probe.Result{Kind: probe.Fresh, Class: probe.Misconfigured, Phase: probe.PhaseConnect, Err: err.Error(), Began: now, Ended: now}
	}
	c, err := probe.Dial(ctx, t)
	s := &session{w: wire{c: c}, ours: p.ours, server: t.Addr}
	if err == nil {
		s.state = dialled
		s.count(1)
		err = s.converse(ctx, t, login{w: &s.w, user: user, password: password}, name)
	}
	r := c.Result(ctx, err)
	r.Kind = probe.Fresh
	if err != nil {
		s.close(ctx)
		return nil, r
	}
	return s, r
}

// converse goes as deep as t says. A Depth of none is role.
func (s *session) converse(ctx context.Context, t probe.Target, l login, database string) error {
	depth := t.Depth
	if depth == probe.PhaseNone {
		depth = probe.PhaseRole
	}
	if depth <= probe.PhaseConnect {
		return nil
	}
	if err := s.greet(); err != nil || depth <= probe.PhaseGreet && depth != probe.PhaseTLS {
		return err
	}
	if err := s.encrypt(ctx, t.TLS.Mode); err != nil || depth < probe.PhaseAuth {
		return err
	}
	if err := s.login(l, t, database); err != nil || depth < probe.PhasePing {
		return err
	}
	s.w.c.Enter(probe.PhasePing)
	if err := s.w.ping(); err != nil || depth < probe.PhaseRole {
		return err
	}
	s.w.c.Enter(probe.PhaseRole)
	if err := s.role(); err != nil || depth < probe.PhaseRead || t.Table == "" {
		return err
	}
	return s.write(t, depth)
}

func (s *session) greet() error {
	s.w.c.Enter(probe.PhaseGreet)
	s.state = lost
	p, err := s.w.read()
	if err != nil {
		return err
	}
	s.greeting, err = parseGreeting(p)
	if err != nil {
		return err
	}
	s.state = greeted
	s.learnVersion(s.greeting.version)
	return nil
}

// encrypt goes over to TLS as far as the mode wants it. A handshake that
// fails half way leaves nothing to be said in.
func (s *session) encrypt(ctx context.Context, mode probe.TLSMode) error {
	if mode == probe.TLSOff || mode == probe.TLSDefault {
		return nil
	}
	if s.greeting.caps&capTLS == 0 {
		if mode == probe.TLSPrefer {
			return nil
		}
		return probe.Failure{Class: probe.TLS, Phase: probe.PhaseTLS, Text: "the server offers no TLS"}
	}
	if err := s.w.requestTLS(s.greeting); err != nil {
		return err
	}
	err := s.w.c.StartTLS(ctx)
	if err != nil && !s.w.c.Encrypted() {
		s.state = lost
	}
	return err
}

func (s *session) login(l login, t probe.Target, database string) error {
	s.w.c.Enter(probe.PhaseAuth)
	s.state = lost // until the login has been heard out
	if err := l.authenticate(s.greeting, t.Client); err != nil {
		return err
	}
	s.state = loggedIn
	s.w.c.Learn("auth_method", l.plugin)
	if database != "" {
		// Not within the login: a database that is missing would spoil the login,
		// and the server would count and log it.
		if err := s.w.use(database); err != nil {
			return err
		}
	}
	if t.Idle <= 0 {
		return nil
	}
	seconds := max(1, int64((t.Idle+time.Second-1)/time.Second))
	err := s.w.exec(fmt.Sprintf("SET SESSION wait_timeout = %d", seconds))
	if errors.As(err, new(serverError)) {
		return nil // then the session lives as long as the server likes
	}
	return err
}
