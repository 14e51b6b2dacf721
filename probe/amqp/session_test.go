package amqp

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

// hint checks that a result is a hint of a session, of that class and code.
func hint(t *testing.T, r probe.Result, class probe.Class, code string) {
	t.Helper()
	if r.Class != class || r.Code != code || !r.Hint || r.Kind != probe.Session {
		t.Errorf("got %+v; want a hint, %v %q", r, class, code)
	}
}

func fine(t *testing.T, r probe.Result) {
	t.Helper()
	if r.Class != probe.OK || r.Hint || r.Kind != probe.Session {
		t.Errorf("not ok: %+v", r)
	}
}

func TestSession(t *testing.T) {
	closed := make(chan bool, 1)
	s := fakeSession(t, 60, func(f *fake) {
		f.say(beat)
		f.pong()
		f.pong()
		closed <- f.hear(connectionClose)
		f.method(0, connectionCloseOk, nil)
	})
	fine(t, s.Wait(contextFor(t, 30*time.Millisecond)))
	fine(t, s.Ping(contextFor(t, 5*time.Second)))
	fine(t, s.Ping(t.Context()))
	s.Close(contextFor(t, 5*time.Second))
	if !<-closed {
		t.Error("the session ended without a goodbye")
	}
}

func TestBlocked(t *testing.T) {
	again, said := make(chan bool), make(chan bool)
	s := fakeSession(t, 60, func(f *fake) {
		f.method(0, connectionBlocked, func(e *encoder) { e.short("low on memory") })
		<-again
		f.method(0, connectionUnblocked, nil)
		close(said)
		f.pong()
		f.bye()
	})
	hint(t, s.Wait(contextFor(t, 5*time.Second)), probe.Degraded, "blocked")
	hint(t, s.Ping(contextFor(t, 5*time.Second)), probe.Degraded, "blocked")
	fine(t, s.Wait(contextFor(t, 30*time.Millisecond))) // told once
	close(again)
	<-said
	fine(t, s.Wait(contextFor(t, 50*time.Millisecond)))
	fine(t, s.Ping(contextFor(t, 5*time.Second)))
}

func TestLastWords(t *testing.T) {
	answered := make(chan bool, 1)
	s := fakeSession(t, 60, func(f *fake) {
		f.method(0, connectionClose, closing(320, "CONNECTION_FORCED - shutdown"))
		answered <- f.hear(connectionCloseOk)
	})
	hint(t, s.Wait(contextFor(t, 5*time.Second)), probe.Degraded, "320")
	hint(t, s.Ping(contextFor(t, 5*time.Second)), probe.Degraded, "320")
	if !<-answered {
		t.Error("no close-ok")
	}
}

// TestHalfAFrame: a wait that ends in the middle of a frame loses none of it.
func TestHalfAFrame(t *testing.T) {
	var e encoder
	e.begin(0, connectionClose)
	closing(541, "INTERNAL_ERROR")(&e)
	e.end()
	more := make(chan bool)
	s := fakeSession(t, 60, func(f *fake) {
		f.say(e.b[:9])
		<-more
		f.say(e.b[9:])
		f.hang()
	})
	fine(t, s.Wait(contextFor(t, 50*time.Millisecond)))
	close(more)
	hint(t, s.Wait(contextFor(t, 5*time.Second)), probe.Degraded, "541")
}

func TestHeartbeatIsSent(t *testing.T) {
	beats := make(chan frame, 10)
	s := fakeSession(t, 60, func(f *fake) {
		for range 3 {
			got, err := readFrame(f.in, startLimit)
			if err != nil {
				return
			}
			beats <- got
		}
		f.bye()
	})
	s.heartbeat = 20 * time.Millisecond
	began := time.Now()
	fine(t, s.Wait(contextFor(t, 200*time.Millisecond)))
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("the wait ended after %v", took)
	}
	for range 3 {
		select {
		case got := <-beats:
			if got.kind != frameHeartbeat {
				t.Errorf("a frame of kind %d", got.kind)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("no heartbeat")
		}
	}
}

func TestSessionEnds(t *testing.T) {
	for name, c := range map[string]struct {
		rest  func(*fake)
		class probe.Class
	}{
		"gone":      {func(*fake) {}, probe.Reset},
		"reset":     {func(f *fake) { _ = f.c.(*net.TCPConn).SetLinger(0) }, probe.Reset},
		"silent":    {(*fake).hang, probe.Timeout},
		"garbage":   {func(f *fake) { f.say([]byte("what is this?")); f.hang() }, probe.Garbled},
		"big frame": {func(f *fake) { f.say([]byte{1, 0, 0, 0, 0, 240, 0}); f.hang() }, probe.Garbled},
		"channel": {func(f *fake) {
			f.method(1, channelClose, closing(504, "CHANNEL_ERROR"))
			f.hang()
		}, probe.Misconfigured},
	} {
		t.Run(name, func(t *testing.T) {
			s := fakeSession(t, 60, c.rest)
			code := ""
			if name == "channel" {
				code = "504"
			}
			ctx := t.Context()
			if c.class == probe.Timeout {
				ctx = contextFor(t, 100*time.Millisecond)
			}
			hint(t, s.Ping(ctx), c.class, code)
			hint(t, s.Ping(ctx), c.class, code) // and so it stays
			hint(t, s.Wait(ctx), c.class, code)
		})
	}
}

// TestStopped: who is stopped in the middle says goodbye all the same.
func TestStopped(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	said := make(chan bool, 1)
	tg := serve(t, func(f *fake) {
		f.opened(60)
		f.method(0, connectionOpenOk, func(e *encoder) { e.short("") })
		f.hear(channelOpen)
		stop()
		said <- f.hear(connectionClose)
	})
	if r := probe.Once(ctx, Protocol, tg); r.Class != probe.Local {
		t.Errorf("stopped, and yet %+v", r)
	}
	if !<-said {
		t.Error("no goodbye")
	}
}

func TestFactsAreDocumented(t *testing.T) {
	named := map[string]bool{}
	for _, fact := range Protocol.Facts {
		named[fact.Name] = true
	}
	r := fakeSession(t, 60, (*fake).bye).Ping(contextFor(t, 0))
	if len(r.Facts) == 0 {
		t.Error("no facts")
	}
	for name := range r.Facts {
		if !named[name] {
			t.Errorf("the fact %s is not documented", name)
		}
	}
}
