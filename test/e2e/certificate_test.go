package e2e

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// secureCache starts a memcached that speaks TLS, and in the clear beside it.
func secureCache(l *lab.Lab) *lab.Server {
	return l.Memcached(lab.Command("memcached", "-u", "memcache", "-Z", "-o", "ssl_chain_cert=/lab/tls/cert.pem,ssl_key=/lab/tls/key.pem",
		"-l", "notls:0.0.0.0:11211", "-l", "0.0.0.0:11212"))
}

// certify has such a memcached show another certificate from now on.
func certify(t *testing.T, l *lab.Lab, s *lab.Server, notAfter time.Time) {
	t.Helper()
	cert, key := l.Certificate(notAfter, s.Name(), s.IP())
	for path, content := range map[string][]byte{"/lab/tls/cert.pem": cert, "/lab/tls/key.pem": key} {
		s.MustExec("sh", "-c", `printf '%s' "$1" > "$2"`, "sh", string(content), path)
	}
	conn, err := net.DialTimeout("tcp", s.Addr(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	answer := make([]byte, 4)
	_, _ = fmt.Fprint(conn, "refresh_certs\r\n")
	if n, err := conn.Read(answer); string(answer[:n]) != "OK\r\n" {
		t.Fatalf("it does not take another certificate: %q, %v", answer[:n], err)
	}
}

// TestCertificateToldEarly: real servers' certificates that end in 20 days, in 6,
// tomorrow and now are told, of the standby as of the attached one; each is
// ended by the next. Nothing is ever switched because of one.
func TestCertificateToldEarly(t *testing.T) {
	lab.Need(t)
	l := network()
	a, b := secureCache(l), secureCache(l)
	name := unique("certificate")
	url := func(s *lab.Server) string { return "memcached://" + s.Addr(11212) }
	config, _ := daemon.Embedded(t, daemon.Resource{Name: name, Handle: name + "/URL", A: url(a), B: url(b), Policy: watchful,
		More: fmt.Sprintf("  probe {\n    tls {\n      mode    = \"verify\"\n      ca_file = %q\n    }\n  }", l.CAFile())})
	d := daemon.New(t, config)
	d.Start()
	d.Protected(name)
	quiet(t, d, "bootstrap") // 90 days are no news

	active := func(endpoint string) (all []failover.Notice) {
		for _, n := range d.Overview("").Notices {
			if n.Event == "certificate" && n.From == endpoint {
				all = append(all, n)
			}
		}
		return all
	}
	day := 24 * time.Hour
	for _, c := range []struct {
		endpoint string
		server   *lab.Server
		left     time.Duration
		says     string
		severity failover.Severity
	}{
		{"b", b, 20*day + 12*time.Hour, "expires in 20 days", failover.Warning},
		{"b", b, 6*day + 12*time.Hour, "expires in 6 days", failover.Warning},
		{"b", b, 12*time.Hour + 30*time.Minute, "expires in 12 hours", failover.Critical},
		{"a", a, 20*day + 12*time.Hour, "expires in 20 days", failover.Warning},
	} {
		certify(t, l, c.server, time.Now().Add(c.left))
		daemon.Eventually(t, 30*time.Second, c.endpoint+"'s certificate "+c.says+", and no other is told of it", func() bool {
			got := active(c.endpoint)
			return len(got) == 1 && strings.Contains(got[0].Text, "the certificate of "+c.endpoint+" "+c.says) && got[0].Severity() == c.severity
		}, func() string { return events(t, d, name) }, d.Logs)
	}
	d.Protected(name) // all of them are good yet

	// It ends while sessions are held: fresh conversations see it.
	certify(t, l, a, time.Now().Add(8*time.Second))
	class := func(i int) probe.Class { return d.Status(name).Endpoints[i].Class }
	daemon.Eventually(t, 60*time.Second, "a's certificate has expired", func() bool {
		return class(0) == probe.TLS && slices.ContainsFunc(active("a"), func(n failover.Notice) bool { return strings.Contains(n.Text, "has expired") })
	}, func() string { return d.Explain(name) }, d.Logs)
	daemon.Throughout(t, 3*time.Second, "nothing is switched, three times sustain", func() bool {
		s := d.Status(name)
		return s.Attached == "a" && s.Epoch == 1 && s.Endpoints[0].State != policy.Down
	}, func() string { return d.Explain(name) })

	for _, s := range []*lab.Server{a, b} {
		certify(t, l, s, time.Now().Add(90*day))
	}
	daemon.Eventually(t, 30*time.Second, "what was told of them ends", func() bool { return len(active("a"))+len(active("b")) == 0 },
		func() string { return events(t, d, name) }, d.Logs)
	d.Protected(name)
	quiet(t, d, "bootstrap", "certificate", "suspect", "held", "recovered", "not_protected")
	if out := events(t, d, name); !strings.Contains(out, "the certificate of a was replaced") {
		t.Errorf("no end is told:\n%s", out)
	}
}
