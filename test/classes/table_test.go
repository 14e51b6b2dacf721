package classes

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/test/lab"
)

// outcome is what a probe came to.
type outcome struct {
	class probe.Class
	phase probe.Phase
	code  string
}

func (o outcome) String() string { return fmt.Sprintf("%v in %v, code %q", o.class, o.phase, o.code) }

// row is one thing that is done to a server.
type row struct {
	done string
	outcome
	// writes says that a row was to be written to a database.
	writes bool
	// or is what it may come to as well, where the moment decides.
	or *outcome
	// does brings it about, probes, and mends it.
	does func(*testing.T, *bench) probe.Result
}

// service is a server of the lab with its rows.
type service struct {
	name  string
	start func(*testing.T) *bench
	rows  []row
}

// services are in the order of the page.
func services() []service {
	return []service{mariadb(), mysqlItself(), rabbitmq(), rabbitmqCluster(), postfix(), memcachedServer(), anyService()}
}

// bench is a running server with what the rows ask of it.
type bench struct {
	*lab.Server
	lab      *lab.Lab
	protocol probe.Protocol
	url      string  // of an account that may do all that it should
	db       *sql.DB // root's
}

// target is an endpoint to probe, under a timeout that suits a test.
func (b *bench) target(t *testing.T, url string) probe.Target {
	t.Helper()
	u, err := probe.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	return probe.Target{URL: u, Timeout: 5 * time.Second, Client: "reattach lab"}
}

// probe has one conversation with url, as changed by the options.
func (b *bench) probe(t *testing.T, url string, options ...func(*probe.Target)) probe.Result {
	t.Helper()
	tg := b.target(t, url)
	for _, o := range options {
		o(&tg)
	}
	began := time.Now()
	r := probe.Once(t.Context(), b.protocol, tg)
	// A second for the goodbye, and one for a busy machine.
	if took := time.Since(began); took > tg.Timeout+2*time.Second {
		t.Errorf("a timeout of %v took %v", tg.Timeout, took)
	}
	if strings.Contains(fmt.Sprintf("%+v", r), "-secret") {
		t.Errorf("the result shows a password: %+v", r)
	}
	return r
}

// Options of a conversation.
func within(d time.Duration) func(*probe.Target) { return func(t *probe.Target) { t.Timeout = d } }
func depth(p probe.Phase) func(*probe.Target)    { return func(t *probe.Target) { t.Depth = p } }
func mode(m probe.TLSMode) func(*probe.Target)   { return func(t *probe.Target) { t.TLS.Mode = m } }

// trusting has the probe trust the lab's authority.
func (b *bench) trusting() func(*probe.Target) {
	file := b.lab.CAFile()
	return func(t *probe.Target) { t.TLS.CAFile = file }
}

// asked is a row that is one probe of another URL.
func asked(done string, o outcome, url func(*bench) string, options ...func(*probe.Target)) row {
	return row{done: done, outcome: o, does: func(t *testing.T, b *bench) probe.Result {
		return b.probe(t, url(b), options...)
	}}
}

// hold opens a session that is held until the test's end.
func (b *bench) hold(t *testing.T, url string) probe.Result {
	t.Helper()
	held, r := probe.Open(t.Context(), b.protocol, b.target(t, url))
	if held != nil {
		t.Cleanup(func() { held.Close(t.Context()) })
	}
	return r
}

// eventually waits until ok, for at most a minute.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// write replaces a file in the server's container.
func (b *bench) write(path string, content []byte) {
	b.MustExec("sh", "-c", `printf '%s' "$1" > "$2"`, "sh", string(content), path)
}

// run does all rows of a service in their order, each of which mends what it
// broke.
func run(t *testing.T, s service) {
	t.Helper()
	b := s.start(t)
	for _, row := range s.rows {
		t.Run(row.done, func(t *testing.T) {
			r := row.does(t, b)
			got := outcome{r.Class, r.Phase, r.Code}
			if got != row.outcome && (row.or == nil || got != *row.or) {
				t.Errorf("%v (%s); the table says %v", got, r.Err, row.outcome)
			}
		})
	}
	if b.Server != nil && b.protocol.Prober != nil {
		if r := b.probe(t, b.url); r.Failed() {
			t.Errorf("the last row left the server broken: %v %s", r.Class, r.Err)
		}
	}
}

func TestMariaDB(t *testing.T)     { lab.Need(t); run(t, mariadb()) }
func TestMySQLTarget(t *testing.T) { lab.NeedMySQL(t); run(t, mysqlItself()) }
func TestRabbitMQ(t *testing.T)    { lab.Need(t); run(t, rabbitmq()) }
func TestPostfix(t *testing.T)     { lab.Need(t); run(t, postfix()) }
func TestMemcached(t *testing.T)   { lab.Need(t); run(t, memcachedServer()) }
func TestAnyService(t *testing.T)  { lab.Need(t); run(t, anyService()) }

// TestTable: no row stands twice, and each has a way to be brought about.
func TestTable(t *testing.T) {
	var seen []string
	for _, s := range services() {
		for _, r := range s.rows {
			name := s.name + ": " + r.done
			if slices.Contains(seen, name) {
				t.Errorf("twice: %s", name)
			}
			if r.does == nil || r.class == probe.None {
				t.Errorf("%s: no way to do it, or no class", name)
			}
			seen = append(seen, name)
		}
	}
}
