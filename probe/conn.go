package probe

import (
	"bufio"
	"context"
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

// readBuffer is the size of a connection's buffer in bytes: it holds every
// usual reply, and is most of what a held session costs.
const readBuffer = 2048

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
	raw     int // and under TLS: of what encrypts it
	phase   Phase
	entered time.Time
	began   time.Time
	timings Timings
	facts   Facts
	shared  bool            // a Result holds facts: copy before writing
	addr    string          // target.Addr, spelt once
	bound   context.Context // what reads and writes obey; nil after Unbind
	release func()          // ends the watch on bound
	pinging bool            // the exchange was begun by Begin
}

// Dial connects to t.Addr. On failure the Conn is still good for Result.
func Dial(ctx context.Context, t Target) (*Conn, error) {
	now := time.Now()
	c := &Conn{target: t, facts: Facts{}, addr: t.Addr.String(), phase: PhaseConnect, entered: now, began: now, left: ReadLimit}
	c.in = bufio.NewReaderSize(limited{c}, readBuffer)
	nc, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return c, err
	}
	c.nc = nc
	c.Bind(ctx)
	return c, nil
}

// Bind makes reads and writes obey ctx from now on, instead of the context
// they obeyed before, and grants ReadLimit bytes anew. Unbind ends it, and so
// does the Result of a conversation, but not that of a ping: to bind the same
// context again costs next to nothing, so that a session which is pinged under
// one long-lived context allocates nothing.
func (c *Conn) Bind(ctx context.Context) {
	deadline, _ := ctx.Deadline()
	c.bind(ctx, deadline)
}

// past is a deadline that ends every read and write at once.
var past = time.Unix(1, 0)

func (c *Conn) bind(ctx context.Context, deadline time.Time) {
	if ctx != c.bound {
		c.Unbind()
	}
	c.Grant(ReadLimit)
	if c.nc == nil {
		return
	}
	_ = c.nc.SetDeadline(deadline)
	if ctx == c.bound {
		if ctx.Err() != nil { // the watch fired before the deadline was set
			_ = c.nc.SetDeadline(past)
		}
		return
	}
	c.bound = ctx
	if ctx.Done() == nil {
		return
	}
	nc, fired := c.nc, make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = nc.SetDeadline(past)
		close(fired)
	})
	c.release = func() {
		if !stop() {
			<-fired // or it would poison the deadline of whatever comes next
		}
	}
}

// Unbind ends the hold of the last Bind.
func (c *Conn) Unbind() {
	c.bound = nil
	if c.release != nil {
		c.release()
		c.release = nil
	}
}

// Grant allows n further bytes to be read, for replies that come in parts.
func (c *Conn) Grant(n int) { c.left, c.raw = n, ReadLimit }

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

// Learn keeps a fact. Text is cut to what [Line] allows.
func (c *Conn) Learn(name string, value any) {
	if text, ok := value.(string); ok {
		value = Line(text)
	}
	if c.shared {
		c.facts, c.shared = maps.Clone(c.facts), false
	}
	c.facts[name] = value
}

// Forget drops a fact that was good for its moment only: what is held open tells
// it no more.
func (c *Conn) Forget(name string) {
	if c.shared {
		c.facts, c.shared = maps.Clone(c.facts), false
	}
	delete(c.facts, name)
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

// Write sends b whole. Without a connection it fails, as Reader's reads do.
func (c *Conn) Write(b []byte) (int, error) {
	if c.nc == nil {
		return 0, net.ErrClosed
	}
	n, err := c.nc.Write(b)
	if err != nil && c.Encrypted() {
		err = c.alerted(err)
	}
	return n, err
}

// ErrFlood is what a reply beyond ReadLimit comes to. Test with errors.Is.
var ErrFlood = Failure{Class: Garbled, Text: fmt.Sprintf("the reply is longer than %d KiB", ReadLimit>>10)}

// limited reads from the connection within the bound.
type limited struct{ c *Conn }

func (l limited) Read(b []byte) (int, error) {
	if l.c.nc == nil {
		return 0, net.ErrClosed
	}
	if l.c.left <= 0 {
		return 0, ErrFlood
	}
	if len(b) > l.c.left {
		b = b[:l.c.left]
	}
	n, err := l.c.nc.Read(b)
	l.c.left -= n
	return n, err
}

// sealed is the connection below TLS: a handshake, and records that hold next to
// nothing, are bounded as replies are.
type sealed struct {
	net.Conn
	c *Conn
}

// Read reads what is encrypted, within the bound.
func (s sealed) Read(b []byte) (int, error) {
	if s.c.raw <= 0 {
		return 0, ErrFlood
	}
	n, err := s.Conn.Read(b[:min(len(b), s.c.raw)])
	s.c.raw -= n
	return n, err
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
	if errors.Is(err, os.ErrDeadlineExceeded) { // ctx has ended, or will within the same instant
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
// The target's Timeout bounds it, if ctx does not end it earlier.
func (c *Conn) Begin(ctx context.Context, p Phase) {
	now := time.Now()
	c.timings, c.phase, c.entered, c.began, c.pinging = Timings{}, p, now, now, true
	deadline, has := ctx.Deadline()
	if end := now.Add(c.target.Timeout); c.target.Timeout > 0 && (!has || end.Before(deadline)) {
		deadline = end
	}
	c.bind(ctx, deadline)
}

// Result ends the exchange and says what it came to: OK for nil, else the
// class of err. ctx is the context that bounded the exchange.
func (c *Conn) Result(ctx context.Context, err error) Result {
	c.Enter(c.phase)
	if !c.pinging {
		c.Unbind()
	}
	c.shared = true
	r := Result{Class: OK, Phase: c.phase, Addr: c.addr, Began: c.began, Ended: c.entered, Timings: c.timings, Facts: c.facts}
	if err == nil {
		return r
	}
	f := classify(ctx, err)
	_, secrets := c.target.Credentials()
	r.Class, r.Code, r.Err = f.Class, Line(f.Code), Line(f.Text, secrets...)
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
