package steps

import (
	"context"
	"crypto/tls"
	"database/sql"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/hashicorp/consul/api"

	"github.com/reattach/reattach/test/lab"
)

// acked is a row that a server has acknowledged to the client.
type acked struct {
	id int
	at string // host:port
	// number is that of its transaction: what has reached a replica is what is not
	// above the number that the replica received.
	number int
}

// client is an application: it writes numbered rows, one after the other, to where
// its handle leads, and after a failure reads the handle again. A row of which it
// does not know what became is given up: its number is not used again.
type client struct {
	kv     *api.KV
	handle string
	tls    *tls.Config
	ask    string // where the server's log ends, after a row

	turn chan struct{} // full while a row is written, and while none shall be

	mu   sync.Mutex
	rows []acked
}

// rest keeps the client from writing, until the returned function is called.
func (c *client) rest() func() {
	c.turn <- struct{}{}
	return func() { <-c.turn }
}

// newClient starts one, which writes until the test ends; door is where the KV's
// HTTP API is.
func newClient(t *testing.T, l *lab.Lab, w words, door, handle string) *client {
	t.Helper()
	kv, err := api.NewClient(&api.Config{Address: door})
	if err != nil {
		t.Fatal(err)
	}
	c := &client{kv: kv.KV(), handle: handle, tls: &tls.Config{RootCAs: l.CAPool()}, ask: w.logEnd, turn: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	t.Cleanup(func() { cancel(); <-ended })
	go func() {
		defer close(ended)
		for id := 1; ctx.Err() == nil; id++ {
			id = c.attached(ctx, id)
			wait(ctx, 50*time.Millisecond)
		}
	}()
	return c
}

// wait waits for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// attached writes to where the handle leads, from row id on, until that fails, and
// returns the row that failed.
func (c *client) attached(ctx context.Context, id int) int {
	config := c.config(ctx)
	if config == nil {
		return id
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return id
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return id
	}
	defer func() { _ = conn.Close() }()
	for ; ctx.Err() == nil; id++ {
		if !c.write(ctx, conn, acked{id: id, at: config.Addr}) {
			return id
		}
		wait(ctx, 5*time.Millisecond)
	}
	return id
}

// write writes one row, and reports whether it was acknowledged.
func (c *client) write(ctx context.Context, conn *sql.Conn, row acked) bool {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return false
	}
	if _, err := conn.ExecContext(ctx, "INSERT INTO orders (id, note) VALUES (?, 'numbered')", row.id); err != nil {
		return false
	}
	row.number = logEnd(ctx, conn, c.ask)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows = append(c.rows, row)
	return true
}

// config is where the handle leads, and how to log in there; nil if it cannot be read.
func (c *client) config(ctx context.Context) *mysql.Config {
	pair, _, err := c.kv.Get(c.handle, (&api.QueryOptions{}).WithContext(ctx))
	if err != nil || pair == nil {
		return nil
	}
	u, err := url.Parse(string(pair.Value))
	if err != nil {
		return nil
	}
	config := mysql.NewConfig()
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.Net, config.Addr, config.DBName = "tcp", u.Host, u.Path[1:]
	config.Timeout, config.ReadTimeout, config.WriteTimeout = 5*time.Second, 5*time.Second, 5*time.Second
	config.TLS = c.tls.Clone()
	config.TLS.ServerName = u.Hostname()
	config.Logger = quiet{}
	return config
}

type quiet struct{}

func (quiet) Print(...any) {}

// at are the rows that a server has acknowledged.
func (c *client) at(s *lab.Server) []acked {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.rows), func(row acked) bool { return row.at != s.Addr() })
}

// logEnd asks where a server's log ends. One that dies before it tells has not
// shown that any replica received so much.
func logEnd(ctx context.Context, conn *sql.Conn, ask string) int {
	var set string
	if err := conn.QueryRowContext(ctx, ask).Scan(&set); err != nil {
		return math.MaxInt
	}
	return lastNumber(set)
}

var number = regexp.MustCompile(`\d+$`)

// lastNumber is the number at the end of a set of transactions that come from one
// server: 21 in MariaDB's "0-1-21" and MySQL's "3e11fa47-…:1-21"; 0 if there is none.
func lastNumber(set string) int {
	n, _ := strconv.Atoi(number.FindString(set))
	return n
}
