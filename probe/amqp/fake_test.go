package amqp

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

// fake is one connection to a server that keeps to a script. Its methods fail
// the test when the client does not say what is due, except that the client
// may always go.
type fake struct {
	t  *testing.T
	c  net.Conn
	in *bufio.Reader
}

// serve runs script for each connection until the test ends, and returns the
// URL to probe.
func serve(t *testing.T, script func(*fake)) probe.Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer func() { _ = c.Close() }()
				stop := context.AfterFunc(ctx, func() { _ = c.Close() })
				defer stop()
				script(&fake{t: t, c: c, in: bufio.NewReader(c)})
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		group.Wait()
	})
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	u, err := probe.ParseURL("amqp://probe:probe-secret@" + addr.String() + "/orders")
	if err != nil {
		t.Fatal(err)
	}
	return probe.Target{URL: u, Addr: netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), Timeout: 5 * time.Second}
}

// say sends bytes.
func (f *fake) say(b []byte) { _, _ = f.c.Write(b) }

// method sends a method with arguments.
func (f *fake) method(channel uint16, m method, args func(*encoder)) {
	var e encoder
	e.begin(channel, m)
	if args != nil {
		args(&e)
	}
	f.say(e.end().b)
}

// hear reads until the client says the method m, and reports whether it did.
func (f *fake) hear(m method) bool {
	for {
		got, err := readFrame(f.in, startLimit)
		if err != nil {
			return false
		}
		if got.kind == frameMethod && got.method == m {
			return true
		}
		if got.kind == frameMethod {
			f.t.Errorf("the client says %v where %v is due", got.method, m)
		}
	}
}

// hang waits until the client goes.
func (f *fake) hang() { _, _ = io.Copy(io.Discard, f.in) }

// started goes as far as connection.start.
func (f *fake) started(capable bool, mechanisms string) bool {
	got := make([]byte, len(header))
	if _, err := io.ReadFull(f.in, got); err != nil || string(got) != header {
		return false
	}
	f.method(0, connectionStart, func(e *encoder) {
		e.u8(0).u8(9).table(func(e *encoder) {
			e.field("product", "Fake")
			e.field("version", "1.2.3")
			if capable {
				e.short("capabilities").u8('F').table(func(e *encoder) { e.flag("authentication_failure_close") })
			}
		}).long(mechanisms).long("en_US")
	})
	return true
}

// authenticated goes as far as start-ok.
func (f *fake) authenticated() bool {
	return f.started(true, "AMQPLAIN PLAIN") && f.hear(connectionStartOk)
}

// fakeChannels is how many channels a fake's client may open.
const fakeChannels = 4

// opened goes as far as connection.open.
func (f *fake) opened(beat uint16) bool {
	if !f.authenticated() {
		return false
	}
	f.method(0, connectionTune, func(e *encoder) { e.u16(fakeChannels).u32(131072).u16(beat) })
	return f.hear(connectionTuneOk) && f.hear(connectionOpen)
}

// ready goes through the first ping.
func (f *fake) ready(beat uint16) bool {
	if !f.opened(beat) {
		return false
	}
	f.method(0, connectionOpenOk, func(e *encoder) { e.short("") })
	if !f.hear(channelOpen) {
		return false
	}
	f.method(1, channelOpenOk, func(e *encoder) { e.long("") })
	return f.pong()
}

// pong answers a ping.
func (f *fake) pong() bool {
	if !f.hear(basicQos) {
		return false
	}
	f.method(1, basicQosOk, nil)
	return true
}

// bye answers the goodbye.
func (f *fake) bye() {
	if f.hear(connectionClose) {
		f.method(0, connectionCloseOk, nil)
	}
}

func closing(code uint16, text string) func(*encoder) {
	return func(e *encoder) { e.u16(code).short(text).u16(0).u16(0) }
}

// fakeSession opens a session with a server that goes through the first ping and
// then does rest.
func fakeSession(t *testing.T, beat uint16, rest func(*fake)) *session {
	t.Helper()
	tg := serve(t, func(f *fake) {
		if f.ready(beat) {
			rest(f)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), tg.Timeout)
	defer cancel()
	held, r := prober{}.Open(ctx, tg)
	if r.Failed() {
		t.Fatalf("no session: %+v", r)
	}
	s := held.(*session)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Close(ctx)
	})
	return s
}
