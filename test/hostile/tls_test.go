package hostile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reattach/reattach/probe"
)

// certificate is a server's own.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// chain is the beginning of a server's answer in TLS 1.2, whose certificates are
// 200 KiB long: less than crypto/tls would take.
var chain = "\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03" + strings.Repeat("r", 32) + "\x00\xc0\x2f\x00" +
	"\x16\x03\x03\x00\x04\x0b\x03\x20\x00"

// record is a full one of a handshake.
var record = "\x16\x03\x03\x40\x00" + strings.Repeat("x", 16<<10)

// TestTLS attacks the handshake, and what comes after it.
func TestTLS(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	own := certificate(t)
	shake := func(c net.Conn) *tls.Conn {
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{own}})
		if s.Handshake() != nil {
			return nil
		}
		return s
	}
	for _, a := range []attack{
		{"silence", false, silent},
		{"a byte of a record now and then", false, func(c net.Conn) { trickle(c, "\x16\x03\x03\x40\x00\x02\x00\x3f\xfc") }},
		{"a message of 16 MiB", true, func(c net.Conn) { say(c, "\x16\x03\x03\x40\x00\x02\xff\xff\xff"); flood(c, record) }},
		{"a gigabyte", true, func(c net.Conn) { flood(c, "x") }},
		{"no end of empty records", true, func(c net.Conn) { flood(c, "\x16\x03\x03\x00\x00") }},
		{"a chain of 200 KiB", true, func(c net.Conn) { say(c, chain); flood(c, record) }},
		{"silence after the handshake", false, func(c net.Conn) { shake(c); silent(c) }},
		{"a gigabyte after the handshake", true, func(c net.Conn) {
			if s := shake(c); s != nil {
				flood(s, "x")
			}
		}},
	} {
		for _, r := range slices.Concat(rooms, negotiated) {
			t.Run(r.name+"/"+a.name, func(t *testing.T) {
				addr := serve(t, func(c net.Conn) {
					if !play(c, r.greets, r.secure) {
						return
					}
					_, _ = io.ReadFull(c, make([]byte, r.request)) // which the handshake does not read
					a.do(c)
				})
				r.scheme = r.secureScheme
				tg := target(t, r, addr, a.patience())
				tg.TLS.Mode = probe.TLSRequire
				bounded(t, a, false, func() probe.Result { return probe.Once(t.Context(), r.protocol, tg) })
			})
		}
	}
}
