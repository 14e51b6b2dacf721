package classes

import (
	"bufio"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/memcached"
	"github.com/reattach/reattach/test/lab"
)

// memcachedServer is memcached 1.6.
func memcachedServer() service {
	said := func(c probe.Class, p probe.Phase, code string) outcome { return outcome{c, p, code} }
	rows := append([]row{well(probe.PhaseRole)}, network(probe.PhasePing)...)
	rows = append(rows,
		other("a wrong password", said(probe.Auth, probe.PhaseAuth, "CLIENT_ERROR"), func(t *testing.T, b, s *bench) probe.Result {
			return b.probe(t, "memcached://app:wrong@"+s.Addr())
		}, lab.Login("app")),
		other("an unknown user", said(probe.Auth, probe.PhaseAuth, "CLIENT_ERROR"), func(t *testing.T, b, s *bench) probe.Result {
			return b.probe(t, "memcached://stranger:wrong@"+s.Addr())
		}, lab.Login("app")),
		other("no password where it wants one", said(probe.Auth, probe.PhaseAuth, "CLIENT_ERROR"), func(t *testing.T, b, s *bench) probe.Result {
			return b.probe(t, s.URL(""))
		}, lab.Login("app")),
		row{done: "started for SASL (-S), which is in the binary protocol only", outcome: said(probe.Timeout, probe.PhasePing, ""), does: binary},
		other("too many connections", said(probe.Overloaded, probe.PhasePing, "ERROR"), crowded(5*time.Second), lab.MaxConnections(60), lab.Args("-t", "1")),
		other("too many connections, started with no_maxconns_fast", said(probe.Timeout, probe.PhasePing, ""), crowded(short), lab.MaxConnections(60), lab.Args("-t", "1", "-o", "no_maxconns_fast")),
		other("out of memory (-M), seen by the canary", said(probe.Degraded, probe.PhaseWrite, "SERVER_ERROR"), stuffed(probe.PhaseWrite), lab.Args("-M", "-m", "8")),
		other("out of memory (-M), seen by an ordinary probe", said(probe.OK, probe.PhaseRole, ""), stuffed(probe.PhaseNone), lab.Args("-M", "-m", "8")),
		row{done: "no TLS where the URL demands it", outcome: said(probe.TLS, probe.PhaseTLS, ""), does: func(t *testing.T, b *bench) probe.Result {
			return b.probe(t, b.url, mode(probe.TLSRequire))
		}},
		asked("clear text spoken to its TLS port", said(probe.Reset, probe.PhasePing, ""), func(b *bench) string { return "memcached://" + b.Addr(encrypted) }),
	)
	secure := func(b *bench) string { return "memcached://" + b.Addr(encrypted) }
	rejected := said(probe.TLS, probe.PhasePing, "")
	rows = append(rows, demanding(probe.PhaseRole, rejected, rejected, cacheDemands())...)
	rows = append(rows, certified(probe.PhaseRole, secure, refresh)...)
	return service{name: "memcached", rows: rows, start: func(t *testing.T) *bench {
		l := lab.New(t)
		s := l.Memcached(lab.Command("memcached", "-u", "memcache", "-Z", "-o", "ssl_chain_cert=/lab/tls/cert.pem,ssl_key=/lab/tls/key.pem",
			"-l", "notls:0.0.0.0:11211", "-l", fmt.Sprintf("0.0.0.0:%d", encrypted)))
		return &bench{Server: s, lab: l, protocol: memcached.Protocol, url: s.URL("")}
	}}
}

// encrypted is the port where the memcached of the rows speaks TLS.
const encrypted = 11212

// binary probes a second memcached in the container that wants SASL.
func binary(t *testing.T, b *bench) (r probe.Result) {
	const port = 11213
	b.MustExec("sh", "-c", fmt.Sprintf("mkdir -p /etc/sasl2 && echo 'mech_list: plain' > /etc/sasl2/memcached.conf && memcached -d -u memcache -S -l 0.0.0.0 -p %d", port))
	eventually(t, "it listens", func() bool {
		r = b.probe(t, "memcached://app:app-secret@"+b.Addr(port), within(2*time.Second))
		return r.Class != probe.Refused
	})
	return r
}

// refresh has it read another certificate.
func refresh(t *testing.T, b *bench, cert, key []byte) {
	b.write("/lab/tls/cert.pem", cert)
	b.write("/lab/tls/key.pem", key)
	conn, err := net.DialTimeout("tcp", b.Addr(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = fmt.Fprint(conn, "refresh_certs\r\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != "OK\r\n" {
		t.Fatalf("it does not take another certificate: %q, %v", line, err)
	}
}

// other is a row of a memcached of its own, that was started in a certain way.
func other(done string, o outcome, does func(t *testing.T, b, s *bench) probe.Result, options ...lab.Option) row {
	return row{done: done, outcome: o, does: func(t *testing.T, b *bench) probe.Result {
		s := *b
		s.Server = b.lab.Memcached(options...)
		return does(t, b, &s)
	}}
}

// crowded takes connections until no more are to be had.
func crowded(timeout time.Duration) func(t *testing.T, b, s *bench) probe.Result {
	return func(t *testing.T, b, s *bench) probe.Result {
		tg := b.target(t, s.URL(""))
		tg.Timeout = timeout
		for range 100 {
			held, r := probe.Open(t.Context(), b.protocol, tg)
			if held == nil {
				return r
			}
			defer held.Close(t.Context())
		}
		t.Fatal("any number of connections")
		return probe.Result{}
	}
}

// stuffed fills a server that evicts nothing, in the classes of size that a
// canary needs, too.
func stuffed(deep probe.Phase) func(t *testing.T, b, s *bench) probe.Result {
	return func(t *testing.T, b, s *bench) probe.Result {
		client := memcache.New(s.Addr())
		client.Timeout = 5 * time.Second
		defer func() { _ = client.Close() }()
		for i := range 1_000_000 {
			big := client.Set(&memcache.Item{Key: fmt.Sprintf("big%d", i), Value: make([]byte, 4000)})
			little := client.Set(&memcache.Item{Key: fmt.Sprintf("reattach:canary:%013d", i), Value: []byte("123456789012")})
			if big != nil && little != nil {
				break
			}
		}
		return b.probe(t, s.URL(""), depth(deep))
	}
}
