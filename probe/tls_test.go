package probe_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

// certificate makes a self-signed certificate for host, and a file that trusts it.
func certificate(t testing.TB, host string, until time.Time) (pair tls.Certificate, caFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().AddDate(0, 0, -2), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.DNSNames, template.IPAddresses = nil, []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, caFile
}

func TestStartTLS(t *testing.T) {
	until := time.Now().Add(48 * time.Hour).Truncate(time.Second)
	good, ca := certificate(t, "db.test", until)
	byAddr, addrCA := certificate(t, "127.0.0.1", until)
	old, oldCA := certificate(t, "db.test", time.Now().Add(-time.Hour))
	for _, c := range []struct {
		name      string
		pair      tls.Certificate
		conf      probe.TLSConfig
		class     probe.Class
		encrypted bool
	}{
		{"verified", good, probe.TLSConfig{Mode: probe.TLSVerify, CAFile: ca, ServerName: "db.test"}, probe.OK, true},
		{"verified by address", byAddr, probe.TLSConfig{Mode: probe.TLSVerify, CAFile: addrCA}, probe.OK, true},
		{"unknown authority", good, probe.TLSConfig{Mode: probe.TLSVerify, ServerName: "db.test"}, probe.TLS, true},
		{"another name", good, probe.TLSConfig{Mode: probe.TLSVerify, CAFile: ca}, probe.TLS, true},
		{"expired", old, probe.TLSConfig{Mode: probe.TLSVerify, CAFile: oldCA, ServerName: "db.test"}, probe.TLS, true},
		{"expired, not verified", old, probe.TLSConfig{Mode: probe.TLSRequire}, probe.OK, true},
		{"no such file", good, probe.TLSConfig{Mode: probe.TLSVerify, CAFile: "/nonexistent"}, probe.TLS, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := serve(t, func(conn net.Conn) {
				server := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{c.pair}})
				_, _ = io.Copy(server, server)
			})
			conn := dial(t, probe.Target{URL: parse(t, "echo://"+addr.String()), Addr: addr, TLS: c.conf})
			err := conn.StartTLS(t.Context())
			if r := conn.Result(t.Context(), err); r.Class != c.class || r.Phase != probe.PhaseTLS || conn.Encrypted() != c.encrypted {
				t.Fatalf("%v in %v: %s; encrypted: %v", r.Class, r.Phase, r.Err, conn.Encrypted())
			}
			if !c.encrypted {
				return
			}
			facts := conn.Result(t.Context(), nil).Facts
			leaf, _ := x509.ParseCertificate(c.pair.Certificate[0])
			if facts["tls_version"] != "TLS 1.3" || facts["tls_expiry"] != leaf.NotAfter.UTC().Format(time.RFC3339) {
				t.Errorf("%v", facts)
			}
			// Whatever the certificate came to, a goodbye can be said.
			if _, err := conn.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if b, err := conn.Reader().ReadByte(); b != 'x' || err != nil {
				t.Errorf("%c, %v", b, err)
			}
		})
	}
}

func TestStartTLSBroken(t *testing.T) {
	for _, c := range []struct {
		name  string
		serve func(net.Conn)
		early bool // bytes before the handshake are already in the buffer
		class probe.Class
	}{
		{"no TLS", func(c net.Conn) {
			_, _ = io.WriteString(c, "220 hello, this is in the clear\r\n")
			_, _ = io.Copy(io.Discard, c)
		}, false, probe.TLS},
		{"injected", func(c net.Conn) { _, _ = io.WriteString(c, "220 ready\r\nEVIL"); _, _ = io.Copy(io.Discard, c) }, true, probe.Garbled},
		{"closed", func(net.Conn) {}, false, probe.Reset},
		{"silent", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, false, probe.Timeout},
		{"an alert", func(c net.Conn) { _ = tls.Server(c, &tls.Config{}).Handshake() }, false, probe.TLS},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := serve(t, c.serve)
			conn := dial(t, probe.Target{URL: parse(t, "echo://"+addr.String()), Addr: addr, TLS: probe.TLSConfig{Mode: probe.TLSRequire}})
			ctx := within(t, 200*time.Millisecond)
			if c.early {
				if _, err := conn.Reader().ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
			err := conn.StartTLS(ctx)
			if r := conn.Result(ctx, err); r.Class != c.class || r.Phase != probe.PhaseTLS || conn.Encrypted() {
				t.Errorf("%v in %v: %s", r.Class, r.Phase, r.Err)
			}
		})
	}
}

// TestAlertBeneathAWrite: with TLS 1.3 a server rejects our certificate after the
// handshake, and closes. The write that then fails has the server's word, and not
// the broken connection alone, which would be evidence against the server.
func TestAlertBeneathAWrite(t *testing.T) {
	pair, _ := certificate(t, "db.test", time.Now().Add(time.Hour))
	addr := serve(t, func(c net.Conn) {
		_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert}).Handshake()
	})
	conn := dial(t, probe.Target{URL: parse(t, "echo://"+addr.String()), Addr: addr, TLS: probe.TLSConfig{Mode: probe.TLSRequire}})
	ctx := within(t, 30*time.Second)
	conn.Bind(ctx)
	if err := conn.StartTLS(ctx); err != nil {
		t.Fatal(err)
	}
	var err error
	for err == nil { // until the server's end is known here
		_, err = conn.Write([]byte("x"))
	}
	if r := conn.Result(ctx, err); r.Class != probe.TLS {
		t.Errorf("%v: %s", r.Class, r.Err)
	}
}
