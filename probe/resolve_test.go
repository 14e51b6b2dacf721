package probe_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

// answers is what the process's only nameserver says: the addresses of a name,
// and a response code; it is silent where that is negative.
var answers atomic.Pointer[func(name string) (addrs []string, code int)]

// The resolver is set once and for all, because lookups that were given up go
// on for a moment beside whatever test comes next.
func init() {
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return &nameConn{ctx: ctx}, nil
	}}
}

// nameserver sets what the nameserver says, until the test ends.
func nameserver(t *testing.T, answer func(name string) (addrs []string, code int)) {
	t.Helper()
	old := answers.Swap(&answer)
	t.Cleanup(func() { answers.Store(old) })
}

// nameConn is a connection to the nameserver, framed as over TCP.
type nameConn struct {
	net.Conn
	ctx   context.Context
	reply []byte
}

func (c *nameConn) SetDeadline(time.Time) error { return nil }
func (c *nameConn) Close() error                { return nil }

func (c *nameConn) Write(q []byte) (int, error) {
	answer := func(string) ([]string, int) { return nil, nameError }
	if set := answers.Load(); set != nil {
		answer = *set
	}
	if reply := respond(q[2:], answer); reply != nil {
		c.reply = append([]byte{0, byte(len(reply))}, reply...)
	}
	return len(q), nil
}

func (c *nameConn) Read(b []byte) (int, error) {
	if c.reply == nil {
		<-c.ctx.Done()
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b, c.reply)
	c.reply = c.reply[n:]
	return n, nil
}

// Response codes.
const nameError, serverFailure = 3, 2

// respond builds the answer to a question for addresses of version 4.
func respond(q []byte, answer func(string) ([]string, int)) []byte {
	var labels []string
	i := 12
	for q[i] != 0 {
		labels = append(labels, string(q[i+1:i+1+int(q[i])]))
		i += 1 + int(q[i])
	}
	kind := q[i+2]
	addrs, code := answer(strings.Join(labels, "."))
	if code < 0 {
		return nil
	}
	if kind != 1 { // no addresses of version 6
		addrs = nil
	}
	reply := append([]byte{q[0], q[1], 0x81, 0x80 | byte(code), 0, 1, 0, byte(len(addrs)), 0, 0, 0, 0}, q[12:i+5]...)
	for _, a := range addrs {
		ip := netip.MustParseAddr(a).As4()
		reply = append(append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4), ip[:]...)
	}
	return reply
}

// serveAt is serve on one address of loopback, for a port that others share.
func serveAt(t *testing.T, addr netip.AddrPort, handle func(net.Conn)) {
	t.Helper()
	l, err := net.Listen("tcp", addr.String())
	if err != nil {
		t.Skipf("this machine's loopback has one address only: %v", err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			handle(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
}

// TestNameservers states the class of what a nameserver can do: what it says about
// the name is ours to mend, its silence is our own fault, and neither is
// evidence.
func TestNameservers(t *testing.T) {
	for _, c := range []struct {
		name  string
		code  int
		class probe.Class
	}{
		{"no such name", nameError, probe.NoAddress},
		{"no addresses", 0, probe.NoAddress},
		{"server failure", serverFailure, probe.NoAddress},
		{"silence", -1, probe.Local},
	} {
		t.Run(c.name, func(t *testing.T) {
			nameserver(t, func(string) ([]string, int) { return nil, c.code })
			protocol, _ := echoProtocol()
			r := probe.Once(t.Context(), protocol, probe.Target{URL: parse(t, "echo://db.test."), Timeout: 300 * time.Millisecond})
			if r.Class != c.class || r.Phase != probe.PhaseResolve || r.Err == "" || r.Timings[probe.PhaseResolve] <= 0 {
				t.Errorf("%+v", r)
			}
			var f probe.Failure
			if _, err := probe.Resolve(within(t, 300*time.Millisecond), "db.test.", "1"); !errors.As(err, &f) || f.Class != c.class {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestOpenTriesAllAddresses: an endpoint is up if any of its addresses is, and
// one that hangs leaves time for the others.
func TestOpenTriesAllAddresses(t *testing.T) {
	echoes := func(c net.Conn) { _, _ = io.Copy(c, c) }
	second := "127.0.0.2"
	nameserver(t, func(string) ([]string, int) { return []string{"127.0.0.1", second, "127.0.0.3"}, 0 })
	protocol, p := echoProtocol()
	for name, first := range map[string]func(net.Conn){
		"refused": nil,
		"hangs":   func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"resets":  func(net.Conn) {},
	} {
		t.Run(name, func(t *testing.T) {
			addr := serve(t, func(c net.Conn) { first(c) })
			if first == nil {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				addr = netip.MustParseAddrPort(l.Addr().String())
				_ = l.Close()
			}
			serveAt(t, netip.AddrPortFrom(netip.MustParseAddr(second), addr.Port()), echoes)
			r := probe.Once(t.Context(), protocol, probe.Target{URL: parse(t, "echo://db.test.:"+strconv.Itoa(int(addr.Port()))), Timeout: 600 * time.Millisecond})
			if r.Class != probe.OK || !strings.HasPrefix(r.Addr, second) || len(r.Addrs) != 3 {
				t.Fatalf("%+v", r)
			}
			<-p.closed
		})
	}
}

// TestOpenBestAddress: where no address is ok, the endpoint is as well as its
// best one, in whatever order they come.
func TestOpenBestAddress(t *testing.T) {
	const answers, refuses, ourFault = "127.0.0.2", "127.0.0.3", "255.255.255.255"
	for _, c := range []struct {
		addrs []string
		class probe.Class
	}{
		{[]string{refuses}, probe.Refused},
		{[]string{ourFault}, probe.Local},
		{[]string{refuses, ourFault}, probe.Refused},
		{[]string{ourFault, refuses}, probe.Refused},
		{[]string{answers, refuses}, probe.Auth},
		{[]string{refuses, answers, ourFault}, probe.Auth},
	} {
		nameserver(t, func(string) ([]string, int) { return c.addrs, 0 })
		prober := answering{class: map[string]probe.Class{answers: probe.Auth, refuses: probe.Refused, ourFault: probe.Local}}
		protocol := probe.Protocol{Prober: prober, Schemes: []probe.Scheme{{Name: "echo", Port: "7"}}}
		r := probe.Once(t.Context(), protocol, probe.Target{URL: parse(t, "echo://db.test."), Timeout: time.Second})
		if r.Class != c.class || len(r.Addrs) != len(c.addrs) {
			t.Errorf("%v: %+v", c.addrs, r)
		}
	}
}

// answering comes to a class by address, without a network.
type answering struct{ class map[string]probe.Class }

func (a answering) Open(_ context.Context, t probe.Target) (probe.Held, probe.Result) {
	return nil, probe.Result{Class: a.class[t.Addr.Addr().String()]}
}
