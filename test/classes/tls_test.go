package classes

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/test/lab"
)

// demands has a server demand a certificate of ours, one of its own if need be,
// until end is called; secure is the URL at which it does.
type demands func(*testing.T, *bench) (s *bench, secure string, end func())

// demanding are the rows about such a server, and what comes of no certificate
// and of a bad one.
func demanding(deepest probe.Phase, missing, bad outcome, has demands) []row {
	ask := func(o outcome, done string, certificate func(*testing.T, *bench) func(*probe.Target)) row {
		return row{done: done, outcome: o, does: func(t *testing.T, b *bench) probe.Result {
			s, url, end := has(t, b)
			defer end()
			return s.probe(t, url, b.trusting(), mode(probe.TLSVerify), expecting(s), certificate(t, b))
		}}
	}
	return []row{
		ask(missing, "it demands a certificate of ours, and we have none", func(*testing.T, *bench) func(*probe.Target) { return func(*probe.Target) {} }),
		ask(bad, "it demands a certificate of ours, which has expired", func(t *testing.T, b *bench) func(*probe.Target) { return b.showing(t, -time.Hour) }),
		ask(outcome{class: probe.OK, phase: deepest}, "it demands a certificate of ours, and is shown one", func(t *testing.T, b *bench) func(*probe.Target) { return b.showing(t, time.Hour) }),
	}
}

// expecting has the probe expect the server's own name: not every certificate has its
// address.
func expecting(s *bench) func(*probe.Target) {
	return func(tg *probe.Target) { tg.TLS.ServerName = s.Name() }
}

// showing has the probe show a certificate of the lab's authority.
func (b *bench) showing(t *testing.T, left time.Duration) func(*probe.Target) {
	t.Helper()
	cert, key := b.lab.Certificate(time.Now().Add(left), "reattach.test")
	dir := t.TempDir()
	files := map[string][]byte{"cert.pem": cert, "key.pem": key}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return func(tg *probe.Target) {
		tg.TLS.CertFile, tg.TLS.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	}
}

// sqlDemands makes an account that wants one.
func sqlDemands(t *testing.T, b *bench) (*bench, string, func()) {
	execute(t, b.root(t), "DROP USER IF EXISTS shown@'%'", "CREATE USER shown@'%' IDENTIFIED BY 'shown-secret' REQUIRE X509", "GRANT ALL ON orders.* TO shown@'%'")
	return b, "mysqls://shown:shown-secret@" + b.Addr() + "/orders", func() {}
}

// rabbitDemands is a node of its own, since its listener has other options. The
// lab counts a node as started that lets it in, so it is not told of that listener.
func rabbitDemands() demands {
	var node *lab.Server
	const name = "demanding"
	return func(t *testing.T, b *bench) (*bench, string, func()) {
		if node == nil {
			cert, key := b.lab.Certificate(time.Now().Add(time.Hour), name)
			ca, err := os.ReadFile(b.lab.CAFile())
			if err != nil {
				t.Fatal(err)
			}
			node = b.lab.RabbitMQ(lab.Named(name), lab.WithoutTLS(), lab.File("/own/ca.pem", ca), lab.File("/own/cert.pem", cert), lab.File("/own/key.pem", key),
				lab.Args("listeners.ssl.1 = 0.0.0.0:5671", "ssl_options.cacertfile = /own/ca.pem", "ssl_options.certfile = /own/cert.pem", "ssl_options.keyfile = /own/key.pem",
					"ssl_options.verify = verify_peer", "ssl_options.fail_if_no_peer_cert = true"))
			eventually(t, "its listener for TLS is there", func() bool {
				conn, err := net.Dial("tcp", node.Addr(5671))
				if err == nil {
					_ = conn.Close()
				}
				return err == nil
			})
		}
		s := *b
		s.Server = node
		return &s, "amqps://probe:probe-secret@" + s.Addr(5671) + "/orders", func() {}
	}
}

// relayDemands is a setting.
func relayDemands(t *testing.T, b *bench) (*bench, string, func()) {
	set := func(settings ...string) {
		b.MustExec(append([]string{"postconf", "-e"}, settings...)...)
		b.MustExec("postfix", "reload")
	}
	set("smtpd_tls_req_ccert=yes", "smtpd_tls_CAfile=/lab/tls/ca.pem")
	return b, "submission://" + b.Addr(587), func() { set("smtpd_tls_req_ccert=no", "smtpd_tls_CAfile=") }
}

// cacheDemands is a memcached of its own.
func cacheDemands() demands {
	var cache *lab.Server
	return func(_ *testing.T, b *bench) (*bench, string, func()) {
		if cache == nil {
			cache = b.lab.Memcached(lab.Command("memcached", "-u", "memcache", "-Z",
				"-o", "ssl_chain_cert=/lab/tls/cert.pem,ssl_key=/lab/tls/key.pem,ssl_ca_cert=/lab/tls/ca.pem,ssl_verify_mode=2",
				"-l", "notls:0.0.0.0:11211", "-l", fmt.Sprintf("0.0.0.0:%d", encrypted)))
		}
		s := *b
		s.Server = cache
		return &s, "memcached://" + s.Addr(encrypted), func() {}
	}
}
