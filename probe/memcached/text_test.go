package memcached

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

// scripted is a server on loopback that says one step each time the client has
// sent something, and then keeps silent; at hangUp it closes. What a step
// unasked says comes at once.
func scripted(t testing.TB, unasked string, script ...string) netip.AddrPort {
	t.Helper()
	return serve(t, func(c net.Conn) {
		_, _ = io.WriteString(c, unasked)
		heard := make([]byte, 4096)
		for _, say := range script {
			if say == hangUp {
				return
			}
			if _, err := c.Read(heard); err != nil {
				return
			}
			if _, err := io.WriteString(c, say); err != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, c)
	})
}

const hangUp = "\x00hang up"

func serve(t testing.TB, handle func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			handle(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return netip.MustParseAddrPort(l.Addr().String())
}

// aim is a target for a scripted server.
func aim(t testing.TB, addr netip.AddrPort) probe.Target {
	t.Helper()
	u, err := probe.ParseURL("memcached://app:s3cret@" + addr.String())
	if err != nil {
		t.Fatal(err)
	}
	return probe.Target{URL: u, Timeout: 150 * time.Millisecond, Client: "reattach test"}
}

// TestScripts plays what no well server says, and what few do.
func TestScripts(t *testing.T) {
	const version, stats = "VERSION 1.6.38\r\n", "STAT pid 7\r\nSTAT uptime 9\r\nEND\r\n"
	for _, c := range []struct {
		name    string
		unasked string
		script  []string
		class   probe.Class
		phase   probe.Phase
		code    string
	}{
		{"well", "", []string{version, stats}, probe.OK, probe.PhaseRole, ""},
		{"silent", "", nil, probe.Timeout, probe.PhasePing, ""},
		{"closes", "", []string{hangUp}, probe.Reset, probe.PhasePing, ""},
		{"full", "ERROR Too many open connections\r\n", []string{hangUp}, probe.Overloaded, probe.PhasePing, "ERROR"},
		{"half a line", "VERSION 1.", nil, probe.Timeout, probe.PhasePing, ""},
		{"another protocol", "", []string{"HTTP/1.1 400 Bad Request\r\n\r\n"}, probe.Garbled, probe.PhasePing, ""},
		{"a mail server", "220 mail.test ESMTP\r\n", nil, probe.Garbled, probe.PhasePing, ""},
		{"no command", "", []string{"ERROR\r\n"}, probe.Misconfigured, probe.PhasePing, "ERROR"},
		{"a line without an end", strings.Repeat("x", 100_000), nil, probe.Garbled, probe.PhasePing, ""},
		{"out of memory", "", []string{"SERVER_ERROR out of memory writing stats\r\n"}, probe.Degraded, probe.PhasePing, "SERVER_ERROR"},
		{"login", "", []string{"CLIENT_ERROR unauthenticated\r\n", "STORED\r\n", version, stats}, probe.OK, probe.PhaseRole, ""},
		{"wrong login", "", []string{"CLIENT_ERROR unauthenticated\r\n", "CLIENT_ERROR authentication failure\r\n"}, probe.Auth, probe.PhaseAuth, "CLIENT_ERROR"},
		{"login for nothing", "", []string{"CLIENT_ERROR unauthenticated\r\n", "STORED\r\n", "CLIENT_ERROR unauthenticated\r\n"}, probe.Auth, probe.PhasePing, "CLIENT_ERROR"},
		{"a login that hangs", "", []string{"CLIENT_ERROR unauthenticated\r\n"}, probe.Timeout, probe.PhaseAuth, ""},
		{"a proxy without stats", "", []string{"VERSION proxy\r\n", "ERROR\r\n"}, probe.OK, probe.PhaseRole, ""},
		{"stats without an end", "", []string{version, strings.Repeat("STAT a b\r\n", 10_000)}, probe.Garbled, probe.PhaseRole, ""},
		{"stats that flood", "", []string{version, strings.Repeat("STAT "+strings.Repeat("x", 1000)+" 1\r\n", 100)}, probe.Garbled, probe.PhaseRole, ""},
		{"stats cut short", "", []string{version, "STAT pid 1\r\n", hangUp}, probe.Reset, probe.PhaseRole, ""},
		{"nonsense among stats", "", []string{version, "STAT pid 1\r\nwhat\r\n"}, probe.Garbled, probe.PhaseRole, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tg := aim(t, scripted(t, c.unasked, c.script...))
			began := time.Now()
			r := probe.Once(t.Context(), Protocol, tg)
			if r.Class != c.class || r.Phase != c.phase || r.Code != c.code || (r.Err == "") != (r.Class == probe.OK) {
				t.Errorf("%v in %v, code %q: %s; want %v in %v, code %q", r.Class, r.Phase, r.Code, r.Err, c.class, c.phase, c.code)
			}
			if took := time.Since(began); took > tg.Timeout+farewell+500*time.Millisecond {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// TestCanaryScripts: what becomes of a canary.
func TestCanaryScripts(t *testing.T) {
	const version, stats = "VERSION 1.6.38\r\n", "END\r\n"
	for _, c := range []struct {
		name   string
		script []string
		class  probe.Class
		code   string
	}{
		{"lost", []string{version, stats, "END\r\n", "STORED\r\n", "END\r\n"}, probe.Degraded, ""},
		{"changed", []string{version, stats, "END\r\n", "STORED\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n"}, probe.Degraded, ""},
		{"there before", []string{version, stats, "VALUE k 0 1\r\nx\r\nEND\r\n", "SERVER_ERROR out of memory storing object\r\n"}, probe.Degraded, "SERVER_ERROR"},
		{"not stored", []string{version, stats, "END\r\n", "NOT_STORED\r\n"}, probe.Garbled, ""},
		{"without an end", []string{version, stats, "VALUE k 0 1\r\nx\r\ny\r\n"}, probe.Garbled, ""},
		{"refused", []string{version, stats, "SERVER_ERROR temporary failure\r\n"}, probe.Degraded, "SERVER_ERROR"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tg := aim(t, scripted(t, "", c.script...))
			tg.Depth = probe.PhaseWrite
			if r := probe.Once(t.Context(), Protocol, tg); r.Class != c.class || r.Code != c.code {
				t.Errorf("%v, code %q: %s; want %v, code %q", r.Class, r.Code, r.Err, c.class, c.code)
			}
		})
	}
	if a, b := canaryKey(probe.Target{Client: "a"}), canaryKey(probe.Target{Client: "b"}); a == b || strings.ContainsAny(a, " \r\n") || len(a) > 250 {
		t.Errorf("keys %q and %q", a, b)
	}
}

// TestCredentialsStayHome: a server that has not refused a command hears no
// credentials: it would store them for everybody.
func TestCredentialsStayHome(t *testing.T) {
	for _, said := range []string{"VERSION 1.6.38\r\n", "ERROR\r\n", "CLIENT_ERROR what\r\n", "SERVER_ERROR\r\n"} {
		heard := make(chan string, 1)
		addr := serve(t, func(c net.Conn) {
			var all strings.Builder
			b := make([]byte, 4096)
			for {
				n, err := c.Read(b)
				all.Write(b[:n])
				if err != nil || strings.Contains(all.String(), "quit") {
					heard <- all.String()
					return
				}
				_, _ = io.WriteString(c, said)
			}
		})
		probe.Once(t.Context(), Protocol, aim(t, addr))
		if got := <-heard; strings.Contains(got, "s3cret") || !strings.HasPrefix(got, "version\r\n") {
			t.Errorf("after %q the server heard %q", said, got)
		}
	}
}

// TestSession: what a held session is asked depends on the server's version.
func TestSession(t *testing.T) {
	for _, c := range []struct{ version, wants, answer string }{
		{"1.6.38", "mn\r\n", "MN\r\n"}, {"1.10.0", "mn\r\n", "MN\r\n"}, {"2.0", "mn\r\n", "MN\r\n"},
		{"1.5.22", "version\r\n", "VERSION 1.5.22\r\n"}, {"mcrouter 39", "version\r\n", "VERSION mcrouter 39\r\n"}, {"", "version\r\n", "VERSION \r\n"},
	} {
		heard := make(chan string, 8)
		addr := serve(t, func(conn net.Conn) {
			b := make([]byte, 100)
			for _, say := range []string{"VERSION " + c.version + "\r\n", c.answer, "ERROR Too many open connections\r\n"} {
				n, err := conn.Read(b)
				if err != nil {
					return
				}
				heard <- string(b[:n])
				_, _ = io.WriteString(conn, say)
			}
		})
		tg := aim(t, addr)
		tg.Depth, tg.Timeout = probe.PhasePing, 2*time.Second
		held, r := probe.Open(t.Context(), Protocol, tg)
		if held == nil {
			t.Fatalf("%+v", r)
		}
		<-heard
		if r := held.Ping(t.Context()); r.Class != probe.OK || r.Hint || r.Kind != probe.Session {
			t.Errorf("%s: %+v", c.version, r)
		}
		if got := <-heard; got != c.wants {
			t.Errorf("%s was asked %q", c.version, got)
		}
		if r := held.Ping(t.Context()); r.Class != probe.Overloaded || !r.Hint {
			t.Errorf("%s: %+v", c.version, r)
		}
		if r := held.Wait(t.Context()); r.Class != probe.Reset || !r.Hint {
			t.Errorf("%s: %+v", c.version, r)
		}
		held.Close(t.Context())
	}
}

// TestWordsBeforeAFailedWrite: the server has said why and has closed; the
// write of the ping fails, and what was said is heard all the same.
func TestWordsBeforeAFailedWrite(t *testing.T) {
	tg := aim(t, serve(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 100))
		_, _ = io.WriteString(c, "VERSION 1.6.38\r\nERROR Too many open connections\r\n")
	}))
	tg.Depth, tg.Timeout = probe.PhasePing, 2*time.Second
	held, r := probe.Open(t.Context(), Protocol, tg)
	if held == nil {
		t.Fatalf("%+v", r)
	}
	defer held.Close(t.Context())
	s := held.(*session)
	s.c.Begin(t.Context(), probe.PhasePing)
	for err := error(nil); err == nil; { // until the kernel has heard of the close
		_, err = s.c.Write([]byte{'x'})
	}
	if r := held.Ping(t.Context()); !r.Hint || r.Class != probe.Overloaded {
		t.Errorf("%+v", r)
	}
}

// TestUnasked: what a server says on a held session that asked for nothing.
func TestUnasked(t *testing.T) {
	for said, class := range map[string]probe.Class{"ERROR Too many open connections\r\n": probe.Overloaded, "what\r\n": probe.Garbled, "half": probe.Reset} {
		addr := scripted(t, "", "VERSION 1.6.38\r\n"+said, hangUp)
		tg := aim(t, addr)
		tg.Depth = probe.PhasePing
		held, r := probe.Open(t.Context(), Protocol, tg)
		if held == nil {
			t.Fatalf("%+v", r)
		}
		if r := held.Wait(t.Context()); r.Class != class || !r.Hint || r.Kind != probe.Session {
			t.Errorf("%q: %+v", said, r)
		}
		held.Close(t.Context())
	}
}

func TestCheck(t *testing.T) {
	for raw, good := range map[string]bool{"memcached://h": true, "memcached://u:p@h": true, "memcached://a%20b:p@h": false, "memcached://a%0ab:p@h": false} {
		u, err := probe.ParseURL(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := Protocol.Check(u); (err == nil) != good {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// TestTLS: the scheme memcacheds begins with TLS, verified.
func TestTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	addr := serve(t, func(c net.Conn) {
		s, b := tls.Server(c, conf), make([]byte, 100)
		for _, say := range []string{"VERSION 1.6.38\r\n", "END\r\n"} {
			if _, err := s.Read(b); err != nil {
				return
			}
			_, _ = io.WriteString(s, say)
		}
		_, _ = s.Read(b)
	})
	u, err := probe.ParseURL("memcacheds://" + addr.String())
	if err != nil {
		t.Fatal(err)
	}
	tg := probe.Target{URL: u, Timeout: 2 * time.Second}
	if r := probe.Once(t.Context(), Protocol, tg); r.Class != probe.TLS || r.Phase != probe.PhaseTLS {
		t.Errorf("an unknown certificate: %+v", r)
	}
	tg.TLS.Mode = probe.TLSRequire
	if r := probe.Once(t.Context(), Protocol, tg); r.Class != probe.OK || r.Facts["tls_version"] != "TLS 1.3" {
		t.Errorf("%+v", r)
	}
}

// FuzzRefusal: every line has a class; only what is not the protocol is evidence.
func FuzzRefusal(f *testing.F) {
	for _, s := range []string{"ERROR", "ERROR Too many open connections", "CLIENT_ERROR unauthenticated", "SERVER_ERROR out of memory", "HTTP/1.1 400", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		fail, ok := errors.AsType[probe.Failure](parseRefusal(line))
		if !ok || fail.Class == probe.None || fail.Class == probe.OK || fail.Class.Evidence() != (fail.Class == probe.Garbled) {
			t.Fatalf("%q: %+v", line, fail)
		}
	})
}

// FuzzStat: what is read is what stands there.
func FuzzStat(f *testing.F) {
	f.Add([]byte("STAT pid 1"))
	f.Add([]byte("STAT "))
	f.Add([]byte("STAT a b c"))
	f.Fuzz(func(t *testing.T, line []byte) {
		if name, value, ok := parseStat(line); ok && "STAT "+string(name)+" "+string(value) != string(line) {
			t.Fatalf("%q is %q, %q", line, name, value)
		}
	})
}

// FuzzConversation: a server that says anything at all costs no more than the
// time, and no panic.
func FuzzConversation(f *testing.F) {
	f.Add("VERSION 1.6.38\r\nSTAT pid 1\r\nEND\r\nEND\r\nSTORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n")
	f.Add("CLIENT_ERROR unauthenticated\r\nSTORED\r\nVERSION 1\r\nEND\r\n")
	f.Add("ERROR Too many open connections\r\n")
	f.Fuzz(func(t *testing.T, say string) {
		tg := aim(t, serve(t, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 100))
			_, _ = io.WriteString(c, say)
		}))
		tg.Timeout, tg.Depth = time.Second, probe.PhaseWrite
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		r := probe.Once(ctx, Protocol, tg)
		if r.Class == probe.None || r.Class == probe.Local || ctx.Err() != nil || strings.ContainsAny(r.Err, "\n\r\x1b\x00") || strings.Contains(r.Err, "s3cret") {
			t.Fatalf("%+v", r)
		}
	})
}
