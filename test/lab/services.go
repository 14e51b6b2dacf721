package lab

import (
	"bufio"
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	amqp "github.com/rabbitmq/amqp091-go"
)

// MariaDB starts a MariaDB 11.8 with an empty table orders.orders (id, note, at),
// a binary log, and the accounts root (everything), app (everything in orders),
// probe (BINLOG MONITOR, SLAVE MONITOR) and repl.
func (l *Lab) MariaDB(opts ...Option) *Server {
	l.t.Helper()
	return l.start(spec{kind: "mariadb", port: 3306, argSep: " ", ready: mysqlReady}, opts)
}

// MySQL starts a MySQL 9.7 with the same objects. Its image may be missing: call
// [NeedMySQL].
func (l *Lab) MySQL(opts ...Option) *Server {
	l.t.Helper()
	return l.start(spec{kind: "mysql", port: 3306, argSep: " ", ready: mysqlReady}, opts)
}

// RabbitMQ starts a RabbitMQ 4.0 (5672, and 5671 with TLS) with the vhosts "/" and
// "orders", a durable queue orders in the latter, and the accounts root, app (all
// rights) and probe (may publish to the default exchange, nothing else).
func (l *Lab) RabbitMQ(opts ...Option) *Server {
	l.t.Helper()
	return l.start(spec{kind: "rabbitmq", port: 5672, argSep: ";", ready: amqpReady}, opts)
}

// Postfix starts a Postfix 3.10 (25, 587 with STARTTLS, 465 with TLS) that
// delivers orders@lab.test to /var/mail/orders and discards the rest. The accounts
// app and probe may log in on 587 and 465.
func (l *Lab) Postfix(opts ...Option) *Server {
	l.t.Helper()
	return l.start(spec{kind: "postfix", port: 25, argSep: ";", ready: smtpReady}, opts)
}

// Memcached starts a memcached 1.6, without authentication.
func (l *Lab) Memcached(opts ...Option) *Server {
	l.t.Helper()
	return l.start(spec{kind: "memcached", port: 11211, argSep: " ", ready: memcachedReady}, opts)
}

// Tools starts a container of our network that serves nothing: Debian with
// iptables, curl and socat, to run programs of our own in.
func (l *Lab) Tools(opts ...Option) *Server {
	l.t.Helper()
	return l.start(spec{kind: "tools", ready: listens}, opts)
}

// listens reports whether PID 1 takes orders: what is killed before would take the
// making of its pipe along.
func listens(_ context.Context, s *Server) error {
	out, err := s.Exec("test", "-p", "/run/lab/ctl")
	if err != nil {
		return fmt.Errorf("no pipe yet: %w: %s", err, out)
	}
	return nil
}

// Monitoring is [Lab.Tools] with Prometheus, promtool, Alertmanager and amtool.
func (l *Lab) Monitoring(opts ...Option) *Server {
	l.t.Helper()
	return l.start(spec{kind: "monitoring", ready: listens}, opts)
}

// Packaging is [Lab.Tools] with rpm and systemd's own tools, to install packages in.
func (l *Lab) Packaging(opts ...Option) *Server {
	l.t.Helper()
	return l.start(spec{kind: "packaging", ready: listens}, opts)
}

// MaxConnections limits MariaDB, MySQL or memcached to n connections.
func MaxConnections(n int) Option {
	return func(s *spec) {
		if s.kind == "memcached" {
			s.args = append(s.args, "-c", strconv.Itoa(n))
			return
		}
		s.args = append(s.args, "--max-connections="+strconv.Itoa(n))
	}
}

// ReadOnly starts MariaDB or MySQL with read_only.
func ReadOnly() Option { return Args("--read-only=1") }

// Login has memcached demand the name and password of one account.
func Login(user string) Option {
	return File("/lab/memcached-auth", []byte(user+":"+Password(user)+"\n"))
}

// Postscreen puts Postfix's postscreen before port 25: the greeting has two
// lines, the second one 2 s after the first.
func Postscreen() Option { return Env("LAB_POSTSCREEN", "1") }

// DB is a connection pool to a MariaDB or MySQL of the lab, as user, in the
// database orders (probe and repl, which have no right to it, in none);
// statements time out after 10 s. It is closed when t ends, which may be sooner
// than the server: what it keeps open counts among the server's clients.
func (s *Server) DB(t T, user string) *sql.DB {
	t.Helper()
	db, err := s.open(user)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// SQL runs one statement as root, and fails the test on an error.
func (s *Server) SQL(statement string, args ...any) {
	s.lab.t.Helper()
	db, err := s.open("root")
	if err != nil {
		s.lab.t.Fatalf("lab: %v", err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Exec(statement, args...); err != nil {
		s.lab.t.Fatalf("lab: %s: %q: %v", s.name, statement, err)
	}
}

func (s *Server) open(user string) (*sql.DB, error) {
	config := mysql.NewConfig()
	config.User, config.Passwd = user, Password(user)
	config.Net, config.Addr = "tcp", s.Addr()
	if user == "root" || user == "app" {
		config.DBName = "orders"
	}
	config.Timeout, config.ReadTimeout, config.WriteTimeout = 10*time.Second, 10*time.Second, 10*time.Second
	config.ParseTime = true
	config.Logger = quietSQL{}
	if s.kind == "mysql" { // caching_sha2_password wants a private line at first
		config.TLS = &tls.Config{RootCAs: s.lab.CAPool(), ServerName: s.name, MinVersion: tls.VersionTLS12}
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

type quietSQL struct{}

func (quietSQL) Print(...any) {}

func mysqlReady(ctx context.Context, s *Server) error {
	db, err := s.open("app")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	return db.PingContext(ctx)
}

func amqpReady(ctx context.Context, s *Server) error {
	if err := dialable(ctx, s); err != nil {
		return err
	}
	urls := []string{s.URL("app")}
	if s.tls { // the second listener starts a moment after the first
		urls = append(urls, "amqps://app:"+Password("app")+"@"+s.Addr(5671)+"/orders")
	}
	for _, url := range urls {
		conn, err := amqp.DialConfig(url, amqp.Config{
			Dial: amqp.DefaultDial(5 * time.Second), TLSClientConfig: &tls.Config{RootCAs: s.lab.CAPool()},
		})
		if err != nil {
			return err
		}
		if err := conn.Close(); err != nil {
			return err
		}
	}
	return nil
}

func smtpReady(ctx context.Context, s *Server) error {
	conn, err := dial(ctx, s)
	if err != nil {
		return err
	}
	text := textproto.NewConn(conn)
	defer func() { _ = text.Close() }()
	if _, _, err := text.ReadResponse(220); err != nil {
		return err
	}
	return errors.Join(text.PrintfLine("QUIT"), second(text.ReadResponse(221)))
}

func second[A, B any](_ A, _ B, err error) error { return err }

func memcachedReady(ctx context.Context, s *Server) error {
	conn, err := dial(ctx, s)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprint(conn, "version\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "VERSION") && !strings.HasPrefix(line, "CLIENT_ERROR unauth") {
		err = fmt.Errorf("it says %q", line)
	}
	return err
}

// dial connects to the server's own port, with ctx's deadline for all that follows.
func dial(ctx context.Context, s *Server) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.Addr())
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	return conn, nil
}

// dialable tells cheaply that nobody listens yet.
func dialable(ctx context.Context, s *Server) error {
	conn, err := dial(ctx, s)
	if err != nil {
		return err
	}
	return conn.Close()
}
