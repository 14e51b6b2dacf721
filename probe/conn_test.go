package probe_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

// serve answers each connection on loopback by handle, until the test ends.
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

// dial connects to addr under a context that the test's end cancels.
func dial(t testing.TB, tg probe.Target) *probe.Conn {
	t.Helper()
	c, err := probe.Dial(t.Context(), tg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// within is a context that ends after d.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestDialRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(l.Addr().String())
	_ = l.Close()
	c, err := probe.Dial(t.Context(), probe.Target{Addr: addr})
	if err == nil {
		t.Fatal("nobody listens, and the dial succeeded")
	}
	t.Cleanup(c.Close)
	r := c.Result(t.Context(), err)
	if r.Class != probe.Refused || r.Phase != probe.PhaseConnect || r.Addr != addr.String() || r.Timings[probe.PhaseConnect] <= 0 {
		t.Errorf("%+v", r)
	}
	if _, err := c.Write([]byte("x")); err == nil {
		t.Error("a connection that never was took a byte")
	}
	if _, err := c.Reader().ReadByte(); err == nil {
		t.Error("a connection that never was gave a byte")
	}
}

// TestResultClasses states the class of each error that the network can give.
func TestResultClasses(t *testing.T) {
	silent := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	op := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx   context.Context
		err   error
		class probe.Class
		phase probe.Phase
	}{
		{nil, nil, probe.OK, probe.PhasePing},
		{nil, op(syscall.ECONNREFUSED), probe.Refused, probe.PhasePing},
		{nil, op(syscall.EHOSTUNREACH), probe.Unreachable, probe.PhasePing},
		{nil, op(syscall.EHOSTDOWN), probe.Unreachable, probe.PhasePing},
		{nil, op(syscall.ETIMEDOUT), probe.Timeout, probe.PhasePing},
		{nil, op(os.ErrDeadlineExceeded), probe.Timeout, probe.PhasePing},
		{nil, context.DeadlineExceeded, probe.Timeout, probe.PhasePing},
		{nil, op(syscall.ECONNRESET), probe.Reset, probe.PhasePing},
		{nil, op(syscall.EPIPE), probe.Reset, probe.PhasePing},
		{nil, io.EOF, probe.Reset, probe.PhasePing},
		{nil, io.ErrUnexpectedEOF, probe.Reset, probe.PhasePing},
		{nil, op(syscall.ENETUNREACH), probe.Local, probe.PhasePing},
		{nil, op(syscall.EMFILE), probe.Local, probe.PhasePing},
		{nil, op(syscall.EADDRNOTAVAIL), probe.Local, probe.PhasePing},
		{nil, errors.New("what"), probe.Garbled, probe.PhasePing},
		{nil, fmt.Errorf("x: %w", probe.Failure{Class: probe.Auth, Code: "1"}), probe.Auth, probe.PhasePing},
		{nil, probe.Failure{Class: probe.Auth, Phase: probe.PhaseAuth}, probe.Auth, probe.PhaseAuth},
		{nil, &net.DNSError{IsNotFound: true, Name: "x"}, probe.NoAddress, probe.PhaseResolve},
		{nil, &net.DNSError{IsTimeout: true, Name: "x"}, probe.Local, probe.PhaseResolve},
		{canceled, op(os.ErrDeadlineExceeded), probe.Local, probe.PhasePing},
		{canceled, probe.Failure{Class: probe.Auth}, probe.Auth, probe.PhasePing},
	} {
		conn := dial(t, probe.Target{Addr: silent})
		ctx := c.ctx
		if ctx == nil {
			ctx = t.Context()
		}
		conn.Enter(probe.PhasePing)
		r := conn.Result(ctx, c.err)
		if r.Class != c.class || r.Phase != c.phase || (r.Err == "") != (c.err == nil) && c.class != probe.Auth {
			t.Errorf("%v: %v in %v: %q; want %v in %v", c.err, r.Class, r.Phase, r.Err, c.class, c.phase)
		}
		conn.Close()
	}
}

// TestServerWords: what a server says is made harmless, secrets included.
func TestServerWords(t *testing.T) {
	addr := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	c := dial(t, probe.Target{Addr: addr, Passwords: []probe.Secret{"s3cret"}})
	c.Learn("version", "1.0\x1b[2J\n")
	r := c.Result(t.Context(), probe.Failure{Class: probe.Auth, Code: "5\n3", Text: "no \x1b[31m s3cret\nfor you"})
	if r.Err != "no [31m *** for you" || r.Code != "5 3" || r.Facts["version"] != "1.0 [2J" {
		t.Errorf("%q %q %q", r.Code, r.Err, r.Facts["version"])
	}
}

func TestDeadlines(t *testing.T) {
	addr := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	for name, run := range map[string]func(*probe.Conn) probe.Result{
		"the context's": func(c *probe.Conn) probe.Result {
			ctx := within(t, 50*time.Millisecond)
			c.Bind(ctx)
			_, err := c.Reader().ReadByte()
			return c.Result(ctx, err)
		},
		"the target's, for a ping": func(c *probe.Conn) probe.Result {
			c.Begin(t.Context(), probe.PhasePing)
			_, err := c.Reader().ReadByte()
			return c.Result(t.Context(), err)
		},
	} {
		c := dial(t, probe.Target{Addr: addr, Timeout: 50 * time.Millisecond})
		began := time.Now()
		r := run(c)
		if took := time.Since(began); r.Class != probe.Timeout || took < 40*time.Millisecond || took > time.Second {
			t.Errorf("%s: %v after %v", name, r.Class, took)
		}
		c.Close()
	}
	c := dial(t, probe.Target{Addr: addr})
	ctx, cancel := context.WithCancel(t.Context())
	c.Bind(ctx)
	cancel()
	_, err := c.Reader().ReadByte()
	if r := c.Result(ctx, err); r.Class != probe.Local {
		t.Errorf("stopped: %+v", r)
	}
}

// TestBindAgain: a context that ended, even in the instant in which the next
// one is bound, does not spoil what follows.
func TestBindAgain(t *testing.T) {
	addr := serve(t, func(c net.Conn) { _, _ = io.Copy(c, c) })
	c := dial(t, probe.Target{Addr: addr, Timeout: 5 * time.Second})
	for i := range 300 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%5)*100*time.Microsecond)
		if spoke, err := c.WaitByte(ctx); spoke || err != nil {
			t.Fatalf("a quiet wait: %v, %v", spoke, err)
		}
		cancel()
		c.Begin(t.Context(), probe.PhasePing)
		if _, err := c.Write([]byte{'x'}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Reader().ReadByte(); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		c.Result(t.Context(), nil)
	}
}

func TestWaitByte(t *testing.T) {
	words := make(chan string)
	addr := serve(t, func(c net.Conn) {
		for w := range words {
			if w == "" {
				return
			}
			_, _ = io.WriteString(c, w)
		}
	})
	c := dial(t, probe.Target{Addr: addr})
	if spoke, err := c.WaitByte(within(t, 20*time.Millisecond)); spoke || err != nil {
		t.Errorf("quiet: %v, %v", spoke, err)
	}
	words <- "hi"
	if spoke, err := c.WaitByte(within(t, 5*time.Second)); !spoke || err != nil {
		t.Errorf("spoken: %v, %v", spoke, err)
	}
	b := make([]byte, 2)
	if _, err := io.ReadFull(c.Reader(), b); err != nil || string(b) != "hi" {
		t.Errorf("%q, %v: waiting took what was said", b, err)
	}
	words <- ""
	if spoke, err := c.WaitByte(within(t, 5*time.Second)); spoke || !errors.Is(err, io.EOF) {
		t.Errorf("closed: %v, %v", spoke, err)
	}
}

// TestReadLimit: a server that floods costs no more than the limit.
func TestReadLimit(t *testing.T) {
	addr := serve(t, func(c net.Conn) {
		for {
			if _, err := c.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	})
	c := dial(t, probe.Target{Addr: addr})
	n, err := io.Copy(io.Discard, c.Reader())
	if r := c.Result(t.Context(), err); n != probe.ReadLimit || r.Class != probe.Garbled {
		t.Errorf("%d bytes, %v: %s", n, r.Class, r.Err)
	}
	c.Grant(1000)
	if n, _ := io.Copy(io.Discard, c.Reader()); n != 1000 {
		t.Errorf("%d bytes of 1000 that were granted", n)
	}
}

// TestFactsAreNotShared: a result that was handed out does not change.
func TestFactsAreNotShared(t *testing.T) {
	addr := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	c := dial(t, probe.Target{Addr: addr})
	c.Learn("a", int64(1))
	first := c.Result(t.Context(), nil)
	c.Learn("a", int64(2))
	c.Learn("b", true)
	second := c.Result(t.Context(), nil)
	if fmt.Sprint(first.Facts) != "map[a:1]" || fmt.Sprint(second.Facts) != "map[a:2 b:true]" {
		t.Errorf("%v, %v", first.Facts, second.Facts)
	}
}

// TestPhases: each phase has its own time, and a ping begins anew.
func TestPhases(t *testing.T) {
	addr := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	c := dial(t, probe.Target{Addr: addr})
	wait := func(p probe.Phase) {
		c.Enter(p)
		_, _ = c.WaitByte(within(t, 10*time.Millisecond))
	}
	wait(probe.PhaseGreet)
	wait(probe.PhaseAuth)
	wait(probe.PhaseGreet)
	r := c.Result(t.Context(), nil)
	if r.Timings[probe.PhaseGreet] < 20*time.Millisecond || r.Timings[probe.PhaseAuth] < 10*time.Millisecond || r.Phase != probe.PhaseGreet {
		t.Errorf("%v %v", r.Phase, r.Timings)
	}
	var sum time.Duration
	for _, d := range r.Timings {
		sum += d
	}
	if whole := r.Ended.Sub(r.Began); sum != whole {
		t.Errorf("the phases took %v, the whole %v", sum, whole)
	}
	c.Begin(t.Context(), probe.PhasePing)
	if r := c.Result(t.Context(), nil); r.Timings[probe.PhaseGreet] != 0 || r.Phase != probe.PhasePing {
		t.Errorf("%v %v", r.Phase, r.Timings)
	}
	if !strings.HasPrefix(c.LocalAddr().String(), "127.0.0.1:") || c.Target().Addr != addr || c.Phase() != probe.PhasePing {
		t.Error("the connection does not know where it is")
	}
}

// TestPingAllocates: a ping under one context costs no memory.
func TestPingAllocates(t *testing.T) {
	addr := serve(t, func(c net.Conn) { _, _ = io.Copy(c, c) })
	c := dial(t, probe.Target{Addr: addr, Timeout: 5 * time.Second})
	c.Learn("version", "1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	said := []byte("x")
	ping := func() {
		c.Begin(ctx, probe.PhasePing)
		_, err := c.Write(said)
		if err == nil {
			_, err = c.Reader().ReadByte()
		}
		if r := c.Result(ctx, err); r.Class != probe.OK {
			t.Fatal(r.Err)
		}
	}
	ping()
	if n := testing.AllocsPerRun(100, ping); n > 0 {
		t.Errorf("%v allocations for each ping", n)
	}
}
