package lab_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/reattach/reattach/test/lab"
)

// TestFaults holds each fault to what a client sees of it: of a held connection,
// and of a new one.
func TestFaults(t *testing.T) {
	lab.Need(t)
	server := lab.New(t).Memcached()
	addr := server.Addr()
	for _, c := range []struct {
		name      string
		inflict   func()
		heal      func()
		dial      []error // one of them; nil: the kernel accepts
		held      []error // one of them on reading
		heldAfter bool    // the held connection serves again once healed
	}{
		{"killed process", func() { server.KillProcess() }, server.StartProcess,
			[]error{syscall.ECONNREFUSED}, []error{io.EOF, syscall.ECONNRESET}, false},
		{"stopped in good order", func() { server.Stop(); untilRefused(t, addr) }, server.StartProcess,
			[]error{syscall.ECONNREFUSED}, []error{io.EOF, syscall.ECONNRESET}, false},
		{"frozen process", func() { server.Freeze() }, server.Thaw,
			[]error{nil}, []error{os.ErrDeadlineExceeded}, true},
		{"paused container", func() { server.Pause() }, server.Unpause,
			[]error{nil}, []error{os.ErrDeadlineExceeded}, true},
		{"dropped packets", func() { server.Drop(0) }, server.Heal,
			[]error{os.ErrDeadlineExceeded}, []error{os.ErrDeadlineExceeded}, true},
		{"rejected by reset", func() { server.RejectReset(0) }, server.Heal,
			[]error{syscall.ECONNREFUSED}, []error{syscall.ECONNRESET}, false},
		{"partition", func() { server.Disconnect() }, func() { server.Connect(); server.WaitReady() },
			[]error{os.ErrDeadlineExceeded, syscall.EHOSTUNREACH}, []error{os.ErrDeadlineExceeded, syscall.EHOSTUNREACH}, true},
		{"killed container", func() { server.KillContainer() }, server.StartContainer,
			[]error{os.ErrDeadlineExceeded, syscall.EHOSTUNREACH}, []error{io.EOF, syscall.ECONNRESET}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			held, err := dial(addr, 2*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = held.Close() }()
			if err := version(held, 2*time.Second); err != nil {
				t.Fatalf("before: %v", err)
			}
			c.inflict()
			heldErr := version(held, time.Second)
			fresh, dialErr := dial(addr, time.Second)
			if dialErr == nil {
				_ = fresh.Close()
			}
			c.heal()
			if !oneOf(dialErr, c.dial) {
				t.Errorf("dial: %v, want one of %v", dialErr, c.dial)
			}
			if !oneOf(heldErr, c.held) {
				t.Errorf("held connection: %v, want one of %v", heldErr, c.held)
			}
			server.WaitReady()
			if c.heldAfter {
				if err := answers(held, 5*time.Second); err != nil {
					t.Errorf("held connection, healed: %v", err)
				}
			}
		})
	}
}

func TestRestartAfter(t *testing.T) {
	lab.Need(t)
	server := lab.New(t).Memcached()
	before := time.Now()
	at := server.RestartAfter(1500 * time.Millisecond)
	if at.Before(before) || at.After(time.Now()) {
		t.Errorf("killed at %v, which was between %v and now", at, before)
	}
	wantRefused(t, server.Addr())
	server.WaitReady()
	if took := time.Since(at); took < 1400*time.Millisecond || took > 4*time.Second {
		t.Errorf("back after %v, want about 1.5 s", took)
	}
}

func TestProxy(t *testing.T) {
	// An echo server stands for the real one.
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = target.Close() }()
	go func() {
		for {
			conn, err := target.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn); _ = conn.Close() }()
		}
	}()
	for _, c := range []struct {
		name      string
		behaviour lab.Behaviour
		want      string
		err       error
		atLeast   time.Duration
	}{
		{"passes on", lab.Behaviour{}, "hello", nil, 0},
		{"delays both ways", lab.Behaviour{Delay: 50 * time.Millisecond}, "hello", nil, 100 * time.Millisecond},
		{"a byte at a time", lab.Behaviour{Pace: 20 * time.Millisecond}, "hello", nil, 80 * time.Millisecond},
		{"garbage", lab.Behaviour{Greeting: []byte("HTTP!")}, "HTTP!", nil, 0},
		{"resets", lab.Behaviour{Reset: true}, "", syscall.ECONNRESET, 0},
		{"closes", lab.Behaviour{Close: true}, "", io.EOF, 0},
		{"is silent", lab.Behaviour{Silent: true}, "", os.ErrDeadlineExceeded, 0},
		{"cuts off", lab.Behaviour{CutAfter: 3}, "hel", syscall.ECONNRESET, 0},
		{"half open", lab.Behaviour{HalfOpen: true}, "", os.ErrDeadlineExceeded, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			proxy := lab.NewProxy(t, target.Addr().String())
			proxy.Set(c.behaviour)
			conn, err := dial(proxy.Addr(), time.Second)
			if c.behaviour.Reset && errors.Is(err, syscall.ECONNRESET) {
				return // so soon that the dial saw it
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			start := time.Now()
			_ = conn.SetDeadline(start.Add(300 * time.Millisecond))
			_, _ = conn.Write([]byte("hello"))
			got := make([]byte, 5)
			n, err := io.ReadFull(conn, got)
			if errors.Is(err, io.ErrUnexpectedEOF) {
				err = io.EOF
			}
			closedEarly := c.err == io.EOF && errors.Is(err, syscall.ECONNRESET) // "hello" met a closed socket
			if string(got[:n]) != c.want && c.err == nil || !errors.Is(err, c.err) && !closedEarly {
				t.Errorf("got %q, %v; want %q, %v", got[:n], err, c.want, c.err)
			}
			if took := time.Since(start); took < c.atLeast {
				t.Errorf("took %v, want at least %v", took, c.atLeast)
			}
			if proxy.Accepted() != 1 {
				t.Errorf("accepted %d", proxy.Accepted())
			}
		})
	}
}

func TestProxyHealsHalfOpen(t *testing.T) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = target.Close() }()
	proxy := lab.NewProxy(t, target.Addr().String())
	conn, err := dial(proxy.Addr(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	server, err := target.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	proxy.Set(lab.Behaviour{HalfOpen: true})
	_, _ = conn.Write([]byte("x"))
	_ = server.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("half open, and yet: %v", err)
	}
	proxy.Set(lab.Behaviour{})
	_ = server.SetReadDeadline(time.Now().Add(2 * time.Second))
	if _, err := server.Read(make([]byte, 1)); err != nil {
		t.Errorf("healed: %v", err)
	}
}

func dial(addr string, limit time.Duration) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", addr, limit)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		err = os.ErrDeadlineExceeded
	}
	return conn, err
}

// version holds one conversation with memcached.
func version(conn net.Conn, limit time.Duration) error {
	_ = conn.SetDeadline(time.Now().Add(limit))
	if _, err := io.WriteString(conn, "version\r\n"); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 64))
	return err
}

// answers reads what is on its way, and holds one more conversation.
func answers(conn net.Conn, limit time.Duration) error {
	_ = conn.SetDeadline(time.Now().Add(limit))
	if _, err := conn.Read(make([]byte, 64)); err != nil {
		return err
	}
	return version(conn, limit)
}

func oneOf(err error, wanted []error) bool {
	for _, want := range wanted {
		if errors.Is(err, want) {
			return true
		}
	}
	return false
}

func wantRefused(t *testing.T, addr string) {
	t.Helper()
	conn, err := dial(addr, time.Second)
	if err == nil {
		_ = conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial %s: %v, want refused", addr, err)
	}
}

// untilRefused waits for a server that ends in its own time.
func untilRefused(t *testing.T, addr string) {
	t.Helper()
	eventually(t, 10*time.Second, func() bool {
		conn, err := dial(addr, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
}

func put(t *testing.T, kv *api.KV, key, value string) {
	t.Helper()
	if _, err := kv.Put(&api.KVPair{Key: key, Value: []byte(value)}, nil); err != nil {
		t.Fatal(err)
	}
}
