package classes

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/memcached"
	"github.com/reattach/reattach/probe/mysql"
	"github.com/reattach/reattach/test/lab"
)

// moving is the name that leads elsewhere in these tests.
const moving = "moving.test"

// cache is the URL of a memcached by a name.
func (b *bench) cache(name string) string { return fmt.Sprintf("memcached://%s:%d", name, b.Port()) }

// database is the URL of a database by a name.
func (b *bench) database(name string) string {
	return fmt.Sprintf("mysql://app:%s@%s:%d/orders", lab.Password("app"), name, b.Port())
}

// several is a row of a name with two addresses, the second of which is the server's.
func several(done string, deepest probe.Phase, url func(*bench, string) string, first func(*bench) string) row {
	return row{done: done, outcome: outcome{class: probe.OK, phase: deepest}, does: func(t *testing.T, b *bench) probe.Result {
		dead := first(b)
		lab.NewDNS(t).Point(moving, dead, b.IP())
		r := b.probe(t, url(b, moving))
		if len(r.Addrs) != 2 || !strings.HasPrefix(r.Addrs[0], dead+":") || r.Addr != b.Addr() {
			t.Errorf("it was %s of %v that answered; want the second, %s", r.Addr, r.Addrs, b.Addr())
		}
		return r
	}}
}

// nobody is an address that nobody has, and refusing one where nobody listens.
func nobody(b *bench) string   { return b.lab.NewAddr() }
func refusing(b *bench) string { return b.lab.Tools().IP() }

// renamed is a row of a session that is held while its name moves.
func renamed(done string, url func(*bench, string) string) row {
	return row{done: done, outcome: outcome{class: probe.NoAddress, phase: probe.PhaseResolve}, does: func(t *testing.T, b *bench) probe.Result {
		dns := lab.NewDNS(t)
		dns.Point(moving, b.IP())
		w := watch(t, b.protocol, b.target(t, url(b, moving)))
		w.until(t, "a session", func(r probe.Result) bool { return r.Kind == probe.Session && r.Class == probe.OK })
		dns.Point(moving, b.lab.NewAddr())
		return w.until(t, "a hint", func(r probe.Result) bool { return r.Hint })
	}}
}

// watched is what the probing loop tells of one endpoint.
type watched struct {
	mu   sync.Mutex
	all  []probe.Result
	next int // the first that until has not looked at
}

// watch runs the probing loop until the test's end.
func watch(t *testing.T, protocol probe.Protocol, target probe.Target) *watched {
	t.Helper()
	w := &watched{}
	loop := &probe.Loop{Name: moving, Protocol: protocol, Target: func() probe.Target { return target },
		Pace: probe.Pace{Interval: 100 * time.Millisecond, FreshInterval: 200 * time.Millisecond, SuspectInterval: 100 * time.Millisecond},
		Emit: func(r probe.Result) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.all = append(w.all, r)
		}}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { loop.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		group.Wait()
	})
	return w
}

// until waits for a result after those that an earlier call has looked at.
func (w *watched) until(t *testing.T, what string, good func(probe.Result) bool) (found probe.Result) {
	t.Helper()
	eventually(t, what, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for w.next < len(w.all) {
			w.next++
			if found = w.all[w.next-1]; good(found) {
				return true
			}
		}
		return false
	})
	return found
}

// against returns the results that speak against the endpoint.
func (w *watched) against() (bad []probe.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.all {
		if r.Failed() && !r.Hint {
			bad = append(bad, r)
		}
	}
	return bad
}

// TestNamesThatMove: a session follows its name to another server, and goes over to
// the name's other address when its own server dies. Neither is evidence against
// the endpoint, and the server that was left keeps no connection of ours.
func TestNamesThatMove(t *testing.T) {
	lab.Need(t)
	l := lab.New(t)
	for _, s := range []struct {
		name     string
		protocol probe.Protocol
		pair     *lab.Pair
		url      func(*bench, string) string
		ours     func(*testing.T, *lab.Server) string // "" while no connection of ours is there
		rude     func(*testing.T, *lab.Server) string // how many clients left without a word; nil: it does not count
	}{
		{"MariaDB", mysql.Protocol, &lab.Pair{Active: l.MariaDB(), Standby: l.MariaDB()}, (*bench).database, ourThreads, aborted},
		{"memcached", memcached.Protocol, &lab.Pair{Active: l.Memcached(), Standby: l.Memcached()}, (*bench).cache, ourConnections, nil},
	} {
		t.Run(s.name, func(t *testing.T) {
			a, b := s.pair.Active, s.pair.Standby
			at := func(s *lab.Server) func(probe.Result) bool {
				return func(r probe.Result) bool { return r.Kind == probe.Session && r.Class == probe.OK && r.Addr == s.Addr() }
			}
			before := ""
			if s.rude != nil {
				before = s.rude(t, a)
			}
			dns := lab.NewDNS(t)
			dns.Point(moving, a.IP())
			seat := &bench{Server: a, protocol: s.protocol}
			w := watch(t, s.protocol, seat.target(t, s.url(seat, moving)))
			w.until(t, "a session with a", at(a))

			dns.Point(moving, b.IP())
			if r := w.until(t, "a hint", func(r probe.Result) bool { return r.Hint }); r.Class != probe.NoAddress || r.Addr != a.Addr() {
				t.Errorf("the hint is %+v", r)
			}
			w.until(t, "a session with b", at(b))
			eventually(t, "a has no connection of ours any more", func() bool { return s.ours(t, a) == "" })
			if s.rude != nil && s.rude(t, a) != before {
				t.Errorf("a counts %s clients that left without a word, and before %s", s.rude(t, a), before)
			}

			dns.Point(moving, b.IP(), a.IP())
			w.until(t, "an answer with both addresses", func(r probe.Result) bool { return r.Kind == probe.Fresh && len(r.Addrs) == 2 })
			b.KillProcess()
			w.until(t, "a hint", func(r probe.Result) bool { return r.Hint })
			w.until(t, "a session with a, although b comes first", at(a))
			if bad := w.against(); len(bad) > 0 {
				t.Errorf("the endpoint had an address that was well all the time: %+v", bad)
			}
			b.StartProcess()
		})
	}
}

// ourThreads lists the probing account's connections to a MariaDB.
func ourThreads(t *testing.T, s *lab.Server) (list string) {
	t.Helper()
	db := s.DB(t, "root")
	defer func() { _ = db.Close() }() // it is asked again and again
	rows, err := db.QueryContext(t.Context(), "SELECT CONCAT(ID, ' ', COMMAND) FROM information_schema.PROCESSLIST WHERE USER = 'app'")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			t.Fatal(err)
		}
		list += one + "; "
	}
	return list
}

// aborted is how many clients a MariaDB has seen go without a word.
func aborted(t *testing.T, s *lab.Server) (n string) {
	t.Helper()
	if err := s.DB(t, "root").QueryRowContext(t.Context(), "SHOW GLOBAL STATUS LIKE 'Aborted_clients'").Scan(new(string), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// ourConnections tells how many more a memcached has than it has at rest, with
// one that asks.
func ourConnections(t *testing.T, s *lab.Server) string {
	t.Helper()
	const atRest = 2 // its own listening one, and this one
	r := probe.Once(t.Context(), memcached.Protocol, (&bench{Server: s}).target(t, s.URL("")))
	if n, _ := r.Facts["curr_connections"].(int64); n > atRest {
		return fmt.Sprint(n - atRest)
	}
	return ""
}
