package classes

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/smtp"
	"github.com/reattach/reattach/test/lab"
)

// postfix is Postfix 3.10.
func postfix() service {
	said := func(c probe.Class, p probe.Phase, code string) outcome { return outcome{c, p, code} }
	rows := append([]row{well(probe.PhasePing)}, network(probe.PhaseGreet)...)
	login := func(user, password string) func(*bench) string {
		return func(b *bench) string { return "submission://" + user + ":" + password + "@" + b.Addr(587) }
	}
	rows = append(rows,
		asked("a wrong password", said(probe.Auth, probe.PhaseAuth, "535 5.7.8"), login("probe%40lab.test", "wrong"), mode(probe.TLSRequire)),
		asked("an unknown user", said(probe.Auth, probe.PhaseAuth, "535 5.7.8"), login("stranger%40lab.test", "wrong"), mode(probe.TLSRequire)),
		asked("a login where it offers none", said(probe.Misconfigured, probe.PhaseAuth, ""), func(b *bench) string { return "smtp://probe%40lab.test:probe-secret@" + b.Addr() }),
		mechanism("a login where it knows only AUTH LOGIN", said(probe.OK, probe.PhasePing, ""), login("probe%40lab.test", "probe-secret")),
		mechanism("a wrong password where it knows only AUTH LOGIN", said(probe.Auth, probe.PhaseAuth, "535 5.7.8"), login("probe%40lab.test", "wrong")),
		tuned("what checks its passwords is away", said(probe.Degraded, probe.PhaseAuth, "454 4.7.0"),
			func(t *testing.T, b *bench) probe.Result {
				b.sasl("pwcheck_method", "saslauthd")
				defer b.sasl("pwcheck_method", "auxprop")
				return b.probe(t, login("probe%40lab.test", "probe-secret")(b), mode(probe.TLSRequire))
			}),
		tuned("too many connections from our host", said(probe.Overloaded, probe.PhaseGreet, "421 4.7.0"),
			func(t *testing.T, b *bench) probe.Result {
				held, _ := probe.Open(t.Context(), b.protocol, b.target(t, b.url))
				defer func() {
					held.Close(t.Context())
					eventually(t, "it counts us out", func() bool { return b.probe(t, b.url).Class == probe.OK })
				}()
				return b.probe(t, b.url)
			}, "smtpd_client_event_limit_exceptions=", "smtpd_client_connection_count_limit=1"),
		tuned("more connections in a minute than our host may have", said(probe.Overloaded, probe.PhaseGreet, "421 4.7.0"),
			func(t *testing.T, b *bench) (r probe.Result) {
				eventually(t, "it has counted us", func() bool { r = b.probe(t, b.url); return r.Failed() })
				return r
			}, "smtpd_client_event_limit_exceptions=", "smtpd_client_connection_rate_limit=3"),
		row{done: "all its processes are busy", outcome: said(probe.Timeout, probe.PhaseGreet, ""), does: busy},
		tuned("messages of our size are not taken, with depth read", said(probe.Misconfigured, probe.PhaseRead, "552 5.3.4"),
			func(t *testing.T, b *bench) probe.Result { return b.probe(t, b.url, depth(probe.PhaseRead)) }, "message_size_limit=10000"),
		tuned("its queue's disk full, with depth read", said(probe.Overloaded, probe.PhaseRead, "452 4.3.1"),
			func(t *testing.T, b *bench) probe.Result { return b.probe(t, b.url, depth(probe.PhaseRead)) }, "queue_minfree=9000000000000000"),
		tuned("its queue's disk full, with the default depth", said(probe.OK, probe.PhasePing, ""),
			func(t *testing.T, b *bench) probe.Result { return b.probe(t, b.url) }, "queue_minfree=9000000000000000"),
		tuned("our host turned away", said(probe.Misconfigured, probe.PhaseGreet, "554 5.7.1"),
			func(t *testing.T, b *bench) probe.Result { return b.probe(t, b.url) }, "smtpd_delay_reject=no", "smtpd_client_restrictions=reject"),
		tuned("our host told to come back later", said(probe.Degraded, probe.PhaseGreet, "450 4.3.2"),
			func(t *testing.T, b *bench) probe.Result { return b.probe(t, b.url) }, "smtpd_delay_reject=no", "smtpd_client_restrictions=defer"),
		screened("postscreen, which greets after a while", said(probe.OK, probe.PhasePing, ""), 15*time.Second),
		screened("postscreen, and a timeout shorter than it waits", said(probe.Timeout, probe.PhaseGreet, ""), time.Second),
		tuned("its certificate cannot be loaded", said(probe.TLS, probe.PhaseTLS, "454 4.7.0"),
			func(t *testing.T, b *bench) probe.Result {
				return b.probe(t, "submission://"+b.Addr(587), mode(probe.TLSRequire))
			}, "smtpd_tls_cert_file=/nowhere"),
		tuned("no STARTTLS where the URL demands it", said(probe.TLS, probe.PhaseTLS, ""),
			func(t *testing.T, b *bench) probe.Result { return b.probe(t, b.url, mode(probe.TLSRequire)) }, "smtpd_tls_security_level=none"),
		asked("encryption demanded by the server, and switched off here", said(probe.TLS, probe.PhaseRead, "530 5.7.0"),
			func(b *bench) string { return "submission://" + b.Addr(587) }, mode(probe.TLSOff), depth(probe.PhaseRead)),
		asked("clear text spoken to its TLS port", said(probe.Timeout, probe.PhaseGreet, ""),
			func(b *bench) string { return "smtp://" + b.Addr(465) }, within(short)),
		asked("TLS spoken to its clear text port", said(probe.TLS, probe.PhaseTLS, ""),
			func(b *bench) string { return "smtps://" + b.IP() + ":" + strconv.Itoa(b.Port()) }),
	)
	secure := func(b *bench) string { return "submission://" + b.Addr(587) }
	rejected := said(probe.Overloaded, probe.PhaseGreet, "421 4.7.1") // with which it also says that it is full
	rows = append(rows, demanding(probe.PhasePing, rejected, rejected, relayDemands)...)
	rows = append(rows, certified(probe.PhasePing, secure, func(_ *testing.T, b *bench, cert, key []byte) {
		b.write("/lab/tls/cert.pem", cert)
		b.write("/etc/postfix/key.pem", key)
		b.MustExec("postfix", "reload")
	})...)
	return service{name: "Postfix", rows: rows, start: func(t *testing.T) *bench {
		l := lab.New(t)
		s := l.Postfix()
		return &bench{Server: s, lab: l, protocol: smtp.Protocol, url: s.URL("")}
	}}
}

// sasl changes how the server takes passwords.
func (b *bench) sasl(setting, value string) {
	b.MustExec("sh", "-c", "sed -i 's/^"+setting+":.*/"+setting+": "+value+"/' /etc/postfix/sasl/smtpd.conf && postfix reload")
}

// mechanism is a row of a server that offers one way to log in.
func mechanism(done string, o outcome, url func(*bench) string) row {
	return row{done: done, outcome: o, does: func(t *testing.T, b *bench) probe.Result {
		b.sasl("mech_list", "LOGIN")
		defer b.sasl("mech_list", "PLAIN LOGIN")
		r := b.probe(t, url(b), mode(probe.TLSRequire))
		if r.Facts["auth"] != "LOGIN" {
			t.Errorf("it offers %v", r.Facts["auth"])
		}
		return r
	}}
}

// busy probes while the only process that the server may have speaks with another;
// those from before it was told so may serve a few more.
func busy(t *testing.T, b *bench) (r probe.Result) {
	limit := func(n string) {
		b.MustExec("postconf", "-F", "smtp/inet/process_limit="+n)
		b.MustExec("postfix", "reload")
	}
	limit("1")
	defer limit("-")
	for range 10 {
		if r = b.hold(t, b.url); r.Failed() {
			break
		}
	}
	return r
}

// tuned is a row of settings of main.cf, which are taken back afterwards.
func tuned(done string, o outcome, does func(*testing.T, *bench) probe.Result, settings ...string) row {
	return row{done: done, outcome: o, does: func(t *testing.T, b *bench) probe.Result {
		configure := func(settings []string) {
			if len(settings) > 0 {
				b.MustExec(append([]string{"postconf", "-e"}, settings...)...)
				b.MustExec("postfix", "reload")
			}
		}
		var old []string
		for _, s := range settings {
			name, _, _ := strings.Cut(s, "=")
			old = append(old, name+"="+strings.TrimSpace(b.MustExec("postconf", "-h", name)))
		}
		configure(settings)
		defer configure(old)
		return does(t, b)
	}}
}

// screened is a row of a Postfix of its own, behind postscreen.
func screened(done string, o outcome, timeout time.Duration) row {
	return row{done: done, outcome: o, does: func(t *testing.T, b *bench) probe.Result {
		return b.probe(t, b.lab.Postfix(lab.Postscreen()).URL(""), within(timeout))
	}}
}
