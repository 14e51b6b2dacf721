package smtp_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/smtp"
	"github.com/reattach/reattach/test/lab"
)

// target is an endpoint to probe, with the scheme's own idea of TLS.
func target(t testing.TB, raw string) probe.Target {
	t.Helper()
	u, err := probe.ParseURL(raw)
	if err != nil {
		t.Fatal(err)
	}
	return probe.Target{URL: u, Timeout: 5 * time.Second, Client: "reattach lab"}
}

func once(t testing.TB, tg probe.Target) probe.Result {
	t.Helper()
	return probe.Once(t.Context(), smtp.Protocol, tg)
}

// want checks the class, phase and code of a result, where they are named.
func want(t *testing.T, r probe.Result, class probe.Class, phase probe.Phase, code string) {
	t.Helper()
	if r.Class != class || phase != probe.PhaseNone && r.Phase != phase || r.Code != code {
		t.Errorf("got %v in %v, code %q (%s); want %v in %v, code %q", r.Class, r.Phase, r.Code, r.Err, class, phase, code)
	}
	if strings.Contains(fmt.Sprintf("%+v", r), "-secret") {
		t.Errorf("the result shows a password: %+v", r)
	}
}

// eventually waits for what follows within moments of its cause.
func eventually(t *testing.T, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not happen")
		}
	}
}

// relay is Postfix with what the tests ask of it.
type relay struct {
	*lab.Server
	lab *lab.Lab
}

// set changes main.cf until the test ends.
func (p relay) set(t *testing.T, name, value string) {
	t.Helper()
	old := strings.TrimSpace(p.MustExec("postconf", "-h", name))
	p.configure(name + "=" + value)
	t.Cleanup(func() { p.configure(name + "=" + old) })
}

func (p relay) configure(setting string) {
	p.MustExec("postconf", "-e", setting)
	p.MustExec("postfix", "reload")
}

// secure is a target of the relay that trusts the lab.
func (p relay) secure(t testing.TB, scheme, user, password string) probe.Target {
	port := map[string]int{"smtp": 25, "submission": 587, "smtps": 465}[scheme]
	raw := scheme + "://" + p.Addr(port)
	if user != "" {
		raw = fmt.Sprintf("%s://%s:%s@%s", scheme, user, password, p.Addr(port))
	}
	tg := target(t, raw)
	tg.TLS.CAFile = p.lab.CAFile()
	return tg
}

// TestRealRelay holds the probe against one Postfix, and breaks it in turn. The
// order matters: each part leaves the relay as it found it.
func TestRealRelay(t *testing.T) {
	lab.Need(t)
	l := lab.New(t)
	p := relay{l.Postfix(), l}
	for _, part := range []struct {
		name string
		run  func(*testing.T, relay)
	}{
		{"ok", testOK},
		{"encrypted", testTLS},
		{"login", testLogin},
		{"login out of order", testLoginBroken},
		// Before the oracle, whose library cancels a failed login with a line of
		// its own: the log would show it late.
		{"quiet", testQuiet},
		{"commands", testCommands},
		{"oracle", testOracle},
		{"session", testSession},
		{"full disk", testFullDisk},
		{"TLS out of order", testTLSBroken},
		{"turned away", testTurnedAway},
		{"limit", testLimit},
		{"hang", testHang},
		{"network", testNetwork},
		{"killed", testKilled},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, p) })
	}
}

func testOK(t *testing.T, p relay) {
	r := once(t, target(t, p.URL("")))
	want(t, r, probe.OK, probe.PhasePing, "")
	for name, value := range map[string]any{"host": "mail.lab.test", "banner": "ESMTP", "starttls": true, "size_limit": int64(10240000), "tls_version": "TLS 1.3"} {
		if r.Facts[name] != value {
			t.Errorf("%s is %v, not %v", name, r.Facts[name], value)
		}
	}
	for _, phase := range []probe.Phase{probe.PhaseConnect, probe.PhaseTLS, probe.PhaseGreet, probe.PhasePing} {
		if r.Timings[phase] <= 0 {
			t.Errorf("no time for %v", phase)
		}
	}
	t.Logf("Postfix %s: %v", strings.TrimSpace(p.MustExec("postconf", "-h", "mail_version")), r.Ended.Sub(r.Began))
	for _, depth := range []probe.Phase{probe.PhaseRole, probe.PhaseRead} {
		tg := target(t, p.URL(""))
		tg.Depth = depth
		want(t, once(t, tg), probe.OK, depth, "")
	}
	clear := target(t, p.URL(""))
	clear.TLS.Mode = probe.TLSOff
	if r := once(t, clear); r.Class != probe.OK || r.Facts["tls_version"] != nil {
		t.Errorf("in clear text: %+v", r)
	}
}

func testTLS(t *testing.T, p relay) {
	for _, scheme := range []string{"submission", "smtps"} {
		tg := p.secure(t, scheme, "", "")
		r := once(t, tg)
		want(t, r, probe.OK, probe.PhasePing, "")
		if at, err := time.Parse(time.RFC3339, fmt.Sprint(r.Facts["tls_expiry"])); err != nil || time.Until(at) > 91*24*time.Hour || time.Until(at) < 89*24*time.Hour {
			t.Errorf("%s: the certificate ends %v", scheme, r.Facts["tls_expiry"])
		}
		tg.TLS.ServerName = "elsewhere.lab"
		want(t, once(t, tg), probe.TLS, probe.PhaseTLS, "")
		tg.TLS = probe.TLSConfig{}
		want(t, once(t, tg), probe.TLS, probe.PhaseTLS, "")
		tg.TLS.Mode = probe.TLSRequire
		want(t, once(t, tg), probe.OK, probe.PhasePing, "")
	}
	tg := p.secure(t, "smtps", "", "")
	tg.URL.Port = "25" // clear text where TLS is due
	want(t, once(t, tg), probe.TLS, probe.PhaseTLS, "")
	tg = target(t, "smtp://"+p.Addr(465)) // and the other way round
	tg.Timeout = time.Second
	want(t, once(t, tg), probe.Timeout, probe.PhaseGreet, "")
	tg = p.secure(t, "submission", "", "")
	tg.TLS.Mode = probe.TLSOff
	tg.Depth = probe.PhaseRead
	want(t, once(t, tg), probe.TLS, probe.PhaseRead, "530 5.7.0")
}

func testLogin(t *testing.T, p relay) {
	for _, scheme := range []string{"submission", "smtps"} {
		tg := p.secure(t, scheme, "probe%40lab.test", "probe-secret")
		r := once(t, tg)
		want(t, r, probe.OK, probe.PhasePing, "")
		if r.Timings[probe.PhaseAuth] <= 0 || r.Facts["auth"] == nil {
			t.Errorf("no login: %+v", r)
		}
		want(t, once(t, p.secure(t, scheme, "probe%40lab.test", "wrong-secret")), probe.Auth, probe.PhaseAuth, "535 5.7.8")
		want(t, once(t, p.secure(t, scheme, "nobody%40lab.test", "wrong-secret")), probe.Auth, probe.PhaseAuth, "535 5.7.8")
		tg.Passwords = []probe.Secret{"old-secret", "probe-secret"}
		want(t, once(t, tg), probe.OK, probe.PhasePing, "")
		tg.Passwords, tg.Depth = nil, probe.PhaseRead
		want(t, once(t, tg), probe.OK, probe.PhaseRead, "")
	}
	want(t, once(t, p.secure(t, "smtp", "probe%40lab.test", "probe-secret")), probe.Misconfigured, probe.PhaseAuth, "")
	clear := p.secure(t, "submission", "probe%40lab.test", "probe-secret")
	clear.TLS.Mode = probe.TLSOff // Postfix itself offers no login in clear text
	want(t, once(t, clear), probe.Misconfigured, probe.PhaseAuth, "")
	p.MustExec("sh", "-c", "sed -i 's/^mech_list.*/mech_list: LOGIN/' /etc/postfix/sasl/smtpd.conf && postfix reload")
	want(t, once(t, p.secure(t, "submission", "probe%40lab.test", "probe-secret")), probe.OK, probe.PhasePing, "")
	want(t, once(t, p.secure(t, "submission", "probe%40lab.test", "wrong-secret")), probe.Auth, probe.PhaseAuth, "535 5.7.8")
	p.MustExec("sh", "-c", "sed -i 's/^mech_list.*/mech_list: PLAIN LOGIN/' /etc/postfix/sasl/smtpd.conf && postfix reload")
}

// testLoginBroken: what checks passwords is away, which is not a wrong password.
func testLoginBroken(t *testing.T, p relay) {
	p.MustExec("sh", "-c", "sed -i 's/^pwcheck_method.*/pwcheck_method: saslauthd/' /etc/postfix/sasl/smtpd.conf && postfix reload")
	r := once(t, p.secure(t, "submission", "probe%40lab.test", "probe-secret"))
	want(t, r, probe.Degraded, probe.PhaseAuth, "454 4.7.0")
	p.MustExec("sh", "-c", "sed -i 's/^pwcheck_method.*/pwcheck_method: auxprop/' /etc/postfix/sasl/smtpd.conf && postfix reload")
	want(t, once(t, p.secure(t, "submission", "probe%40lab.test", "probe-secret")), probe.OK, probe.PhasePing, "")
}

// testOracle: the client library agrees on who may log in.
func testOracle(t *testing.T, p relay) {
	for password, ok := range map[string]bool{"probe-secret": true, "wrong-secret": false} {
		client, err := mail.NewClient(p.IP(), mail.WithPort(587), mail.WithTLSPolicy(mail.TLSMandatory),
			mail.WithTLSConfig(&tls.Config{RootCAs: p.lab.CAPool(), ServerName: p.IP(), MinVersion: tls.VersionTLS12}),
			mail.WithSMTPAuth(mail.SMTPAuthPlain), mail.WithUsername("probe@lab.test"), mail.WithPassword(password), mail.WithTimeout(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		err = client.DialWithContext(t.Context())
		if (err == nil) != ok {
			t.Errorf("the client library says %v", err)
		}
		_ = client.Close()
		if r := once(t, p.secure(t, "submission", "probe%40lab.test", password)); (r.Class == probe.OK) != ok {
			t.Errorf("the probe says %v where the client library says %v", r.Class, err)
		}
	}
}

// testQuiet: no conversation is a lost connection to the server, whatever its
// depth and its end.
func testQuiet(t *testing.T, p relay) {
	before := len(p.Logs())
	for range 20 {
		want(t, once(t, target(t, p.URL(""))), probe.OK, probe.PhasePing, "")
	}
	for _, scheme := range []string{"submission", "smtps"} {
		for _, depth := range []probe.Phase{probe.PhaseGreet, probe.PhaseAuth, probe.PhaseRead} {
			tg := p.secure(t, scheme, "probe%40lab.test", "probe-secret")
			tg.Depth = depth
			want(t, once(t, tg), probe.OK, probe.PhaseNone, "")
		}
		want(t, once(t, p.secure(t, scheme, "probe%40lab.test", "wrong-secret")), probe.Auth, probe.PhaseAuth, "535 5.7.8")
	}
	shallow := target(t, p.URL(""))
	shallow.Depth = probe.PhaseConnect
	want(t, once(t, shallow), probe.OK, probe.PhaseConnect, "")
	for _, line := range lost(p.Logs()[before:]) {
		t.Errorf("the relay logs: %s", line)
	}
	rude, err := net.Dial("tcp", p.Addr()) // the proof that the search finds what it looks for
	if err != nil {
		t.Fatal(err)
	}
	_ = rude.Close()
	eventually(t, func() bool { return len(lost(p.Logs()[before:])) > 0 })
}

// lost returns the lines of a log that a rude client leaves.
func lost(log string) (lines []string) {
	for line := range strings.Lines(log) {
		for _, word := range []string{"lost connection", "PREGREET", "improper command", "warning: non-SMTP", "timeout after"} {
			if strings.Contains(line, word) {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
	}
	return lines
}

func wait(t *testing.T, held probe.Held, d time.Duration) probe.Result {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return held.Wait(ctx)
}

// testSession: nothing is held by default, but a session behaves as one.
func testSession(t *testing.T, p relay) {
	held, r := probe.Open(t.Context(), smtp.Protocol, target(t, p.URL("")))
	want(t, r, probe.OK, probe.PhasePing, "")
	defer held.Close(t.Context())
	want(t, held.Ping(t.Context()), probe.OK, probe.PhasePing, "")
	want(t, wait(t, held, 50*time.Millisecond), probe.OK, probe.PhasePing, "")
	want(t, held.Ping(t.Context()), probe.OK, probe.PhasePing, "")
	private, r := probe.Open(t.Context(), smtp.Protocol, p.secure(t, "smtps", "", ""))
	want(t, r, probe.OK, probe.PhasePing, "")
	defer private.Close(t.Context())
	for range 3 { // a wait that ends without a word leaves the session whole
		want(t, wait(t, private, 20*time.Millisecond), probe.OK, probe.PhasePing, "")
		want(t, private.Ping(t.Context()), probe.OK, probe.PhasePing, "")
	}
	p.set(t, "smtpd_timeout", "1s")
	idle, r := probe.Open(t.Context(), smtp.Protocol, target(t, p.URL("")))
	want(t, r, probe.OK, probe.PhasePing, "")
	defer idle.Close(t.Context())
	said := idle.Wait(t.Context())
	want(t, said, probe.Overloaded, probe.PhasePing, "421 4.4.2")
	if !said.Hint || said.Kind != probe.Session {
		t.Errorf("no hint: %+v", said)
	}
}

// TestPostscreen: who speaks before the last line of the greeting is blocked.
func TestPostscreen(t *testing.T) {
	lab.Need(t)
	l := lab.New(t)
	p := l.Postfix(lab.Postscreen())
	tg := target(t, p.URL(""))
	r := once(t, tg)
	want(t, r, probe.OK, probe.PhasePing, "")
	if r.Timings[probe.PhaseGreet] < time.Second {
		t.Errorf("postscreen kept nothing back: %v", r.Timings[probe.PhaseGreet])
	}
	tg.Timeout = time.Second
	want(t, once(t, tg), probe.Timeout, probe.PhaseGreet, "")
	if log := p.Logs(); strings.Contains(log, "PREGREET") {
		t.Errorf("spoke too soon: %s", log)
	}
}

// TestOtherServers: what a probe says of servers of other protocols.
func TestOtherServers(t *testing.T) {
	lab.Need(t)
	l := lab.New(t)
	mariadb := target(t, "smtp://"+l.MariaDB().Addr())
	want(t, once(t, mariadb), probe.Garbled, probe.PhaseGreet, "")
	silent := target(t, "smtp://"+l.Memcached().Addr()) // which waits for us, as we for it
	silent.Timeout = time.Second
	want(t, once(t, silent), probe.Timeout, probe.PhaseGreet, "")
}

func BenchmarkHeldPing(b *testing.B) {
	held, r := probe.Open(b.Context(), smtp.Protocol, benchTarget(b))
	if r.Failed() {
		b.Fatal(r)
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		if r := held.Ping(ctx); r.Failed() {
			b.Fatal(r)
		}
	}
	held.Close(ctx)
}

func BenchmarkFresh(b *testing.B) {
	tg := benchTarget(b)
	for name, mode := range map[string]probe.TLSMode{"clear": probe.TLSOff, "starttls": probe.TLSPrefer} {
		tg.TLS.Mode = mode
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r := once(b, tg); r.Failed() {
					b.Fatal(r)
				}
			}
		})
	}
}

func benchTarget(b *testing.B) probe.Target {
	lab.Need(b)
	return target(b, lab.New(b).Postfix(lab.Args("smtpd_junk_command_limit=100000000")).URL(""))
}
