package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"
)

// ReadLimit bounds what a conversation reads for one reply, in bytes. No
// server that is well needs more, and a hostile one gets no more.
const ReadLimit = 64 << 10

// Failure is an error that knows its class. Probers return it where they
// understood what the server said; all other errors are classified by
// [Conn.Result].
type Failure struct {
	Class Class
	Phase Phase  // PhaseNone: the phase that the conversation was in
	Code  string // the server's own code
	Text  string // one line, without secrets
}

// Error returns code and text.
func (f Failure) Error() string { return strings.TrimSpace(f.Code + " " + f.Text) }

// Conn is a connection that times its phases, obeys a context and bounds what
// it reads. It is used by one goroutine at a time.
type Conn struct {
	target  Target
	nc      net.Conn
	in      *bufio.Reader
	left    int // bytes that may still be read for this reply
	phase   Phase
	entered time.Time
	began   time.Time
	timings Timings
	facts   Facts
	shared  bool // a Result holds facts: copy before writing
	release func() bool
}

// Dial connects to t.Addr. On failure the Conn is still good for Result.
func Dial(ctx context.Context, t Target) (*Conn, error) {
	now := time.Now()
	c := &Conn{target: t, facts: Facts{}, phase: PhaseConnect, entered: now, began: now, left: ReadLimit}
	nc, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", t.Addr.String())
	if err != nil {
		return c, err
	}
	c.nc = nc
	c.in = bufio.NewReaderSize(limited{c}, 2048)
	c.Bind(ctx)
	return c, nil
}

// Bind makes reads and writes obey ctx from now on, instead of the context
// they obeyed before, and grants ReadLimit bytes anew. Result ends it, as
// Unbind does.
func (c *Conn) Bind(ctx context.Context) {
	c.Unbind()
	c.left = ReadLimit
	if c.nc == nil {
		return
	}
	deadline, _ := ctx.Deadline()
	_ = c.nc.SetDeadline(deadline)
	nc := c.nc
	c.release = context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
}

// Unbind ends the hold of the last Bind.
func (c *Conn) Unbind() {
	if c.release != nil {
		c.release()
		c.release = nil
	}
}

// Grant allows n further bytes to be read, for replies that come in parts.
func (c *Conn) Grant(n int) { c.left = n }

// Enter begins a phase and ends the clock of the one before.
func (c *Conn) Enter(p Phase) {
	now := time.Now()
	c.timings[c.phase] += now.Sub(c.entered)
	c.phase, c.entered = p, now
}

// Phase returns the phase that the conversation is in.
func (c *Conn) Phase() Phase { return c.phase }

// Target returns what the connection was dialled for.
func (c *Conn) Target() Target { return c.target }

// Learn keeps a fact.
func (c *Conn) Learn(name string, value any) {
	if c.shared {
		c.facts, c.shared = maps.Clone(c.facts), false
	}
	c.facts[name] = value
}

// LocalAddr returns this end's address; it is not valid while there is no
// connection.
func (c *Conn) LocalAddr() netip.AddrPort {
	if c.nc == nil {
		return netip.AddrPort{}
	}
	addr, _ := c.nc.LocalAddr().(*net.TCPAddr)
	return addr.AddrPort()
}

// Reader returns the buffered, bounded reader of the connection. It is a new
// one after StartTLS.
func (c *Conn) Reader() *bufio.Reader { return c.in }

// Write sends b whole.
func (c *Conn) Write(b []byte) (int, error) { return c.nc.Write(b) }

// errFlood is what a reply beyond ReadLimit comes to.
var errFlood = Failure{Class: Garbled, Text: fmt.Sprintf("the reply is longer than %d KiB", ReadLimit>>10)}

// limited reads from the connection within the bound.
type limited struct{ c *Conn }

func (l limited) Read(b []byte) (int, error) {
	if l.c.left <= 0 {
		return 0, errFlood
	}
	if len(b) > l.c.left {
		b = b[:l.c.left]
	}
	n, err := l.c.nc.Read(b)
	l.c.left -= n
	return n, err
}

// StartTLS encrypts the connection, in a phase of its own, and learns
// "tls_version" and "tls_expiry" (when the earliest certificate of the
// server's chain ends, RFC 3339). Bytes that came in clear text before the
// handshake are a protocol failure: somebody may have injected them.
func (c *Conn) StartTLS(ctx context.Context) error {
	c.Enter(PhaseTLS)
	if c.in.Buffered() > 0 {
		return Failure{Class: Garbled, Text: "the server spoke in clear text after agreeing to TLS"}
	}
	conf, err := c.target.TLS.Client(c.target.URL.Host, c.target.TLS.Mode)
	if err != nil {
		return err
	}
	tc := tls.Client(c.nc, conf)
	if err := tc.HandshakeContext(ctx); err != nil {
		return err
	}
	c.nc = tc
	c.in = bufio.NewReaderSize(limited{c}, 2048)
	state := tc.ConnectionState()
	c.Learn("tls_version", tls.VersionName(state.Version))
	if expiry := earliest(state.PeerCertificates); !expiry.IsZero() {
		c.Learn("tls_expiry", expiry.UTC().Format(time.RFC3339))
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

// WaitByte blocks until the server sends, closes, or ctx is done. spoke says
// that a byte can be read; after a quiet end both are zero.
func (c *Conn) WaitByte(ctx context.Context) (spoke bool, err error) {
	c.Bind(ctx)
	defer c.Unbind()
	_, err = c.in.Peek(1)
	if err == nil {
		return true, nil
	}
	if ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	return false, err
}

// Close closes the connection without a word.
func (c *Conn) Close() {
	c.Unbind()
	if c.nc != nil {
		_ = c.nc.Close()
	}
}

// Begin starts the clocks of a further exchange (a ping) on a held connection.
func (c *Conn) Begin(ctx context.Context, p Phase) {
	now := time.Now()
	c.timings, c.phase, c.entered, c.began = Timings{}, p, now, now
	c.Bind(ctx)
}

// Result ends the exchange and says what it came to: OK for nil, else the
// class of err. ctx is the context that bounded the exchange.
func (c *Conn) Result(ctx context.Context, err error) Result {
	c.Enter(c.phase)
	c.Unbind()
	c.shared = true
	r := Result{Class: OK, Phase: c.phase, Addr: c.target.Addr.String(), Began: c.began, Ended: c.entered, Timings: c.timings, Facts: c.facts}
	if err == nil {
		return r
	}
	f := classify(ctx, err)
	r.Class, r.Code, r.Err = f.Class, f.Code, f.Text
	if f.Phase != PhaseNone {
		r.Phase = f.Phase
	}
	return r
}

// classify finds the class of an error of the network, of TLS or of a prober.
func classify(ctx context.Context, err error) Failure {
	var f Failure
	if errors.As(err, &f) {
		return f
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return Failure{Class: Local, Text: "the probe was stopped"}
	}
	if f, ok := classifyDNS(err); ok {
		return f
	}
	if class, ok := classifyErrno(err); ok {
		return Failure{Class: class, Text: plain(err)}
	}
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return Failure{Class: Timeout, Text: "no answer in time"}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Failure{Class: Reset, Text: "the server closed the connection"}
	case isTLS(err):
		return Failure{Class: TLS, Text: plain(err)}
	}
	return Failure{Class: Garbled, Text: plain(err)}
}

func classifyErrno(err error) (Class, bool) {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return None, false
	}
	switch errno {
	case syscall.ECONNREFUSED:
		return Refused, true
	case syscall.EHOSTUNREACH, syscall.EHOSTDOWN:
		return Unreachable, true
	case syscall.ETIMEDOUT:
		return Timeout, true
	case syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE:
		return Reset, true
	}
	return Local, true // ENETUNREACH, EMFILE, ENFILE, ENOBUFS, EADDRNOTAVAIL, EACCES: this host's
}

func classifyDNS(err error) (Failure, bool) {
	var e *net.DNSError
	if !errors.As(err, &e) {
		return Failure{}, false
	}
	text := fmt.Sprintf("%s: %s", e.Name, e.Err)
	// A nameserver that says SERVFAIL has answered. The resolver tells that from
	// a nameserver that nobody hears only in words.
	if e.IsNotFound || e.Err == "server misbehaving" {
		return Failure{Class: NoAddress, Phase: PhaseResolve, Text: text}, true
	}
	return Failure{Class: Local, Phase: PhaseResolve, Text: text}, true
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

// plain cuts an error of the net package down to what a person needs: the
// address and the operation stand elsewhere.
func plain(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		err = sys.Err
	}
	return strings.ReplaceAll(err.Error(), "\n", " ")
}
