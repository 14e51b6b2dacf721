package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"time"
)

// StartTLS encrypts the connection, in a phase of its own, and learns
// "tls_version" and "tls_expiry" (when the earliest certificate of the
// server's chain ends, RFC 3339). Bytes that came in clear text before the
// handshake are a protocol failure: somebody may have injected them.
//
// The server's certificate is verified after the handshake, not within it.
// When it is rejected, Encrypted is true and the error of class TLS: the
// connection is whole, so the prober can say goodbye, without a secret, to a
// server that would count or log a broken handshake.
func (c *Conn) StartTLS(ctx context.Context) error {
	c.Enter(PhaseTLS)
	if c.in.Buffered() > 0 {
		return Failure{Class: Garbled, Text: "the server spoke in clear text after agreeing to TLS"}
	}
	conf, err := c.target.TLS.Client(c.target.URL.Host, c.target.TLS.Mode)
	if err != nil {
		return err
	}
	verify := !conf.InsecureSkipVerify
	conf.InsecureSkipVerify = true
	c.raw = ReadLimit
	tc := tls.Client(sealed{c.nc, c}, conf)
	if err := tc.HandshakeContext(ctx); err != nil {
		return err
	}
	c.nc = tc
	c.in = bufio.NewReaderSize(limited{c}, readBuffer)
	state := tc.ConnectionState()
	c.Learn("tls_version", tls.VersionName(state.Version))
	if expiry := earliest(state.PeerCertificates); !expiry.IsZero() {
		c.Learn("tls_expiry", expiry.UTC().Format(time.RFC3339))
	}
	if verify {
		return verifyChain(state.PeerCertificates, conf)
	}
	return nil
}

// verifyChain checks what crypto/tls would have checked in the handshake:
// chain, validity and name.
func verifyChain(chain []*x509.Certificate, conf *tls.Config) error {
	opts := x509.VerifyOptions{Roots: conf.RootCAs, DNSName: conf.ServerName, Intermediates: x509.NewCertPool()}
	for _, cert := range chain[1:] {
		opts.Intermediates.AddCert(cert)
	}
	if _, err := chain[0].Verify(opts); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
	}
	return nil
}

func earliest(chain []*x509.Certificate) (t time.Time) {
	for _, cert := range chain {
		if t.IsZero() || cert.NotAfter.Before(t) {
			t = cert.NotAfter
		}
	}
	return t
}

// Encrypted reports whether StartTLS succeeded.
func (c *Conn) Encrypted() bool {
	_, ok := c.nc.(*tls.Conn)
	return ok
}

// alerted returns why a write failed: the server's alert, if there is one. With
// TLS 1.3 a server that will not have our certificate says so only after the
// handshake, and closes; its word then lies unread while our next one breaks off.
func (c *Conn) alerted(failed error) error {
	if errors.Is(failed, os.ErrDeadlineExceeded) {
		return failed // there is no time left to listen
	}
	if _, said := c.in.Peek(1); said != nil && isTLS(said) {
		return said
	}
	return failed
}

func isTLS(err error) bool {
	var (
		alert  tls.AlertError
		record tls.RecordHeaderError
		verify *tls.CertificateVerificationError
		auth   x509.UnknownAuthorityError
		name   x509.HostnameError
		bad    x509.CertificateInvalidError
	)
	return errors.As(err, &alert) || errors.As(err, &record) || errors.As(err, &verify) || errors.As(err, &auth) ||
		errors.As(err, &name) || errors.As(err, &bad) || strings.HasPrefix(err.Error(), "tls: ") || strings.Contains(err.Error(), "remote error: tls")
}
