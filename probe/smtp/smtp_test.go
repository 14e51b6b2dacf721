package smtp

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reattach/reattach/probe"
)

func raw(text string) func(*fake) {
	return func(f *fake) { _, _ = io.WriteString(f.c, text); f.hang() }
}

// TestHostile: what scripted servers come to, each in no more than the timeout.
func TestHostile(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for _, c := range []struct {
		name   string
		class  probe.Class
		phase  probe.Phase
		code   string
		script func(*fake)
	}{
		{"closes at once", probe.Reset, probe.PhaseGreet, "", func(*fake) {}},
		{"says nothing", probe.Timeout, probe.PhaseGreet, "", (*fake).hang},
		{"holds its last line back", probe.Timeout, probe.PhaseGreet, "", raw("220-mail.test wait\r\n")},
		{"stops in a line", probe.Timeout, probe.PhaseGreet, "", raw("220 mail.te")},
		{"closes in a line", probe.Reset, probe.PhaseGreet, "", func(f *fake) { _, _ = io.WriteString(f.c, "220 mail.te") }},
		{"speaks SSH", probe.Garbled, probe.PhaseGreet, "", raw("SSH-2.0-OpenSSH_9.2\r\n")},
		{"speaks of 20 things", probe.Garbled, probe.PhaseGreet, "", raw("20 things\r\n")},
		{"speaks TLS", probe.TLS, probe.PhaseGreet, "", raw("\x15\x03\x01\x00\x02\x02\x0a\n")},
		{"speaks of 220 and 250", probe.Garbled, probe.PhaseGreet, "", raw("220-mail.test\r\n250 ok\r\n")},
		{"has a long line", probe.Garbled, probe.PhaseGreet, "", raw("220 " + strings.Repeat("x", 4000) + "\r\n")},
		{"has many lines", probe.Garbled, probe.PhaseGreet, "", flood},
		{"trickles", probe.Timeout, probe.PhaseGreet, "", trickle},
		{"greets with 250", probe.Garbled, probe.PhaseGreet, "250", answers{"greeting": lines("250 ok")}.run},
		{"turns us away", probe.Misconfigured, probe.PhaseGreet, "554 5.7.1", answers{"greeting": lines("554 5.7.1 not for you")}.run},
		{"is full", probe.Overloaded, probe.PhaseGreet, "421 4.7.0", answers{"greeting": lines("421 4.7.0 too many")}.run},
		{"knows no EHLO", probe.Misconfigured, probe.PhaseGreet, "502 5.5.1", answers{"EHLO": lines("502 5.5.1 what?")}.run},
		{"shuts down", probe.Overloaded, probe.PhasePing, "421 4.3.2", answers{"NOOP": lines("421 4.3.2 shutting down")}.run},
		{"defers", probe.Degraded, probe.PhasePing, "451", answers{"NOOP": lines("451 not now")}.run},
		{"is silent", probe.Timeout, probe.PhasePing, "", func(f *fake) {
			f.say("220 mail.test")
			f.hear()
			f.say("250 mail.test")
			f.hang()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tg, _ := serve(t, "smtp", c.script)
			if c.class == probe.Timeout {
				tg.Timeout = 200 * time.Millisecond
			}
			began := time.Now()
			r := probe.Once(t.Context(), Protocol, tg)
			if took := time.Since(began); took > tg.Timeout+time.Second {
				t.Errorf("it took %v", took)
			}
			check(t, r, c.class, c.phase, c.code)
		})
	}
}

func check(t *testing.T, r probe.Result, class probe.Class, phase probe.Phase, code string) {
	t.Helper()
	if r.Class != class || r.Phase != phase || r.Code != code {
		t.Errorf("got %v in %v, code %q (%s); want %v in %v, code %q", r.Class, r.Phase, r.Code, r.Err, class, phase, code)
	}
}

func flood(f *fake) {
	for {
		if _, err := io.WriteString(f.c, "220-more\r\n"); err != nil {
			return
		}
	}
}

// trickle sends a line of an endless greeting now and then.
func trickle(f *fake) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := io.WriteString(f.c, "220-more\r\n"); err != nil {
			return
		}
		<-tick.C
	}
}

var (
	offers    = lines("250-mail.test", "250-SIZE 1000", "250-STARTTLS", "250 8BITMIME")
	encrypted = lines("250-mail.test", "250-SIZE 2000", "250 AUTH PLAIN LOGIN")
)

// TestConversation: who says what, in every mode of TLS.
func TestConversation(t *testing.T) {
	full := answers{"EHLO": offers, "EHLO/TLS": encrypted, "STARTTLS": lines("220 go")}
	for _, c := range []struct {
		name, scheme string
		mode         probe.TLSMode
		server       answers
		class        probe.Class
		phase        probe.Phase
		said         string
	}{
		{"prefers TLS", "smtp", probe.TLSPrefer, full, probe.OK, probe.PhasePing, "EHLO [127.0.0.1]|STARTTLS|EHLO [127.0.0.1]|NOOP|QUIT"},
		{"does without", "smtp", probe.TLSPrefer, answers{}, probe.OK, probe.PhasePing, "EHLO [127.0.0.1]|NOOP|QUIT"},
		{"does without a broken one", "smtp", probe.TLSPrefer, answers{"EHLO": offers, "STARTTLS": lines("454 4.7.0 no")}, probe.OK, probe.PhasePing, "EHLO [127.0.0.1]|STARTTLS|NOOP|QUIT"},
		{"wants none", "smtp", probe.TLSOff, full, probe.OK, probe.PhasePing, "EHLO [127.0.0.1]|NOOP|QUIT"},
		{"needs it", "submission", probe.TLSRequire, answers{}, probe.TLS, probe.PhaseTLS, "EHLO [127.0.0.1]|QUIT"},
		{"needs a sound one", "submission", probe.TLSRequire, answers{"EHLO": offers, "STARTTLS": lines("454 4.7.0 no")}, probe.TLS, probe.PhaseTLS, "EHLO [127.0.0.1]|STARTTLS|QUIT"},
		{"needs a true one", "submission", probe.TLSVerify, full, probe.TLS, probe.PhaseTLS, "EHLO [127.0.0.1]|STARTTLS"},
		{"from the first byte", "smtps", probe.TLSRequire, answers{"EHLO": encrypted}, probe.OK, probe.PhasePing, "EHLO [127.0.0.1]|NOOP|QUIT"},
		{"not at all, said twice", "smtps", probe.TLSOff, answers{}, probe.TLS, probe.PhaseTLS, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tg, heard := serve(t, c.scheme, c.server.run)
			tg.TLS.Mode = c.mode
			r := probe.Once(t.Context(), Protocol, tg)
			if r.Class != c.class || r.Phase != c.phase {
				t.Errorf("got %v in %v (%s), want %v in %v", r.Class, r.Phase, r.Err, c.class, c.phase)
			}
			if heard.String() != c.said {
				t.Errorf("said %q, want %q", heard, c.said)
			}
		})
	}
}

// TestInjected: what came in clear text after STARTTLS is not believed.
func TestInjected(t *testing.T) {
	tg, heard := serve(t, "submission", answers{"EHLO": offers, "STARTTLS": lines("220 go", "250 ok")}.run)
	r := probe.Once(t.Context(), Protocol, tg)
	check(t, r, probe.Garbled, probe.PhaseTLS, "")
	if strings.Contains(heard.String(), "NOOP") {
		t.Errorf("went on: %s", heard)
	}
}

func TestDepth(t *testing.T) {
	for depth, want := range map[probe.Phase]string{
		probe.PhaseConnect: "QUIT",
		probe.PhaseGreet:   "EHLO|QUIT",
		probe.PhaseAuth:    "EHLO|QUIT",
		probe.PhasePing:    "EHLO|NOOP|QUIT",
		probe.PhaseRole:    "EHLO|MAIL FROM:<> SIZE=16384|RSET|QUIT",
		probe.PhaseRead:    "EHLO|MAIL FROM:<> SIZE=16384|RSET|QUIT",
		probe.PhaseWrite:   "EHLO|MAIL FROM:<> SIZE=16384|RSET|QUIT",
	} {
		tg, heard := serve(t, "smtp", answers{"EHLO": lines("250-mail.test", "250 SIZE")}.run)
		tg.Depth = depth
		r := probe.Once(t.Context(), Protocol, tg)
		if said := strings.ReplaceAll(heard.String(), " [127.0.0.1]", ""); r.Class != probe.OK || said != want {
			t.Errorf("%v: %v, said %q; want %q", depth, r.Class, said, want)
		}
	}
}

// TestPolite: nothing is said before the greeting, not even goodbye.
func TestPolite(t *testing.T) {
	tg, heard := serve(t, "smtp", func(f *fake) {
		_ = f.c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := f.in.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("spoke before the greeting (%v)", err)
		}
		_ = f.c.SetReadDeadline(time.Time{})
		f.say("220 mail.test")
		f.hang()
	})
	tg.Depth = probe.PhaseConnect
	check(t, probe.Once(t.Context(), Protocol, tg), probe.OK, probe.PhaseConnect, "")
	if heard.String() != "QUIT" {
		t.Errorf("said %q", heard)
	}
}

// TestEachReplyHasItsBound: long replies add up to more than one may be.
func TestEachReplyHasItsBound(t *testing.T) {
	long := make([]string, 0, 401)
	for range 400 {
		long = append(long, "250-"+strings.Repeat("x", 100))
	}
	long = append(long, "250 x")
	tg, _ := serve(t, "smtp", answers{"EHLO": long, "NOOP": long}.run)
	check(t, probe.Once(t.Context(), Protocol, tg), probe.OK, probe.PhasePing, "")
}

func encode(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// TestLogin: which way, what is never sent, and what refusals come to.
func TestLogin(t *testing.T) {
	with := func(ways string, more answers) answers {
		a := answers{"EHLO": lines("250-mail.test", "250 AUTH "+ways), "AUTH": lines("334 "), encode("\x00u\x00p-secret"): lines("235 ok"),
			encode("u"): lines("334 cGFzcw=="), encode("p-secret"): lines("235 ok")}
		for k, v := range more {
			a[k] = v
		}
		return a
	}
	plain := encode("\x00u\x00p-secret")
	for _, c := range []struct {
		name   string
		server answers
		class  probe.Class
		code   string
		said   string
	}{
		{"PLAIN", with("LOGIN PLAIN", nil), probe.OK, "", "AUTH PLAIN|" + plain + "|NOOP|QUIT"},
		{"LOGIN", with("CRAM-MD5 LOGIN", nil), probe.OK, "", "AUTH LOGIN|" + encode("u") + "|" + encode("p-secret") + "|NOOP|QUIT"},
		{"neither", with("CRAM-MD5", nil), probe.Misconfigured, "", "QUIT"},
		{"refused", with("PLAIN", answers{plain: lines("535 5.7.8 no")}), probe.Auth, "535 5.7.8", "AUTH PLAIN|" + plain + "|QUIT"},
		{"out of order", with("PLAIN", answers{plain: lines("454 4.7.0 no")}), probe.Degraded, "454 4.7.0", "AUTH PLAIN|" + plain + "|QUIT"},
		{"not that way", with("PLAIN", answers{"AUTH": lines("504 5.5.4 no")}), probe.Misconfigured, "504 5.5.4", "AUTH PLAIN|QUIT"},
		{"told too often", with("PLAIN", answers{plain: lines("421 4.7.0 no")}), probe.Overloaded, "421 4.7.0", "AUTH PLAIN|" + plain},
		{"asks for more", with("PLAIN", answers{plain: lines("334 more")}), probe.Garbled, "334", "AUTH PLAIN|" + plain},
		{"says it back", with("PLAIN", answers{plain: lines("535 p-secret " + plain)}), probe.Auth, "535", "AUTH PLAIN|" + plain + "|QUIT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tg, heard := serve(t, "smtps", c.server.run)
			tg.Username, tg.Passwords = "u", []probe.Secret{"p-secret"}
			r := probe.Once(t.Context(), Protocol, tg)
			if r.Class != c.class || r.Code != c.code {
				t.Errorf("got %v %q (%s), want %v %q", r.Class, r.Code, r.Err, c.class, c.code)
			}
			if said := strings.TrimPrefix(heard.String(), "EHLO [127.0.0.1]|"); said != c.said {
				t.Errorf("said %q, want %q", said, c.said)
			}
			if text := fmt.Sprintf("%+v", r); strings.Contains(text, "secret") || strings.Contains(text, plain) {
				t.Errorf("the password shows: %s", text)
			}
		})
	}
}

// TestNoPasswordInClear: but where it is asked for in so many words.
func TestNoPasswordInClear(t *testing.T) {
	server := answers{"EHLO": lines("250-mail.test", "250 AUTH PLAIN"), "AUTH": lines("334 "), encode("\x00u\x00p"): lines("235 ok")}
	tg, heard := serve(t, "smtp", server.run)
	tg.Username, tg.Passwords = "u", []probe.Secret{"p"}
	check(t, probe.Once(t.Context(), Protocol, tg), probe.TLS, probe.PhaseAuth, "")
	if strings.Contains(heard.String(), "AUTH") {
		t.Errorf("said %s", heard)
	}
	tg.TLS.Mode = probe.TLSOff
	check(t, probe.Once(t.Context(), Protocol, tg), probe.OK, probe.PhasePing, "")
}

func TestPasswords(t *testing.T) {
	server := answers{"EHLO": lines("250-mail.test", "250 AUTH PLAIN"), "AUTH": lines("334 "),
		encode("\x00u\x00old"): lines("535 no"), encode("\x00u\x00new"): lines("235 ok")}
	tg, _ := serve(t, "smtps", server.run)
	tg.Username, tg.Passwords = "u", []probe.Secret{"old", "new"}
	check(t, probe.Once(t.Context(), Protocol, tg), probe.OK, probe.PhasePing, "")
}

func TestFacts(t *testing.T) {
	tg, _ := serve(t, "smtp", answers{"greeting": lines("220-wait", "220 mail.test ESMTP Fake"), "EHLO": offers, "EHLO/TLS": encrypted, "STARTTLS": lines("220 go")}.run)
	r := probe.Once(t.Context(), Protocol, tg)
	for name, want := range map[string]any{
		"host": "mail.test", "banner": "ESMTP Fake", "starttls": true, "auth": "PLAIN LOGIN", "size_limit": int64(2000), "extensions": "AUTH SIZE",
	} {
		if r.Facts[name] != want {
			t.Errorf("%s is %v, not %v", name, r.Facts[name], want)
		}
	}
	if r.Facts["tls_expiry"] == nil {
		t.Error("no tls_expiry")
	}
	named := map[string]bool{}
	for _, fact := range Protocol.Facts {
		named[fact.Name] = true
	}
	for name := range r.Facts {
		if !named[name] {
			t.Errorf("the fact %s is not documented", name)
		}
	}
}
