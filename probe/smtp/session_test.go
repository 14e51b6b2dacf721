package smtp

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

// open opens a session with a server that answers EHLO and NOOP, and then does
// rest.
func open(t *testing.T, rest func(*fake)) probe.Held {
	t.Helper()
	tg, _ := serve(t, "smtp", func(f *fake) {
		f.say("220 mail.test")
		f.hear()
		f.say("250 mail.test")
		f.hear()
		f.say("250 ok")
		rest(f)
	})
	held, r := probe.Open(t.Context(), Protocol, tg)
	if r.Failed() {
		t.Fatalf("no session: %+v", r)
	}
	t.Cleanup(func() { held.Close(within(t, 5*time.Second)) })
	return held
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), d)
	t.Cleanup(cancel)
	return ctx
}

func TestSessionEnds(t *testing.T) {
	for name, c := range map[string]struct {
		rest  func(*fake)
		class probe.Class
		code  string
	}{
		"gone":       {func(*fake) {}, probe.Reset, ""},
		"reset":      {func(f *fake) { _ = f.c.(*net.TCPConn).SetLinger(0) }, probe.Reset, ""},
		"last words": {func(f *fake) { f.say("421 4.3.2 shutting down") }, probe.Overloaded, "421 4.3.2"},
		"silent":     {(*fake).hang, probe.Timeout, ""},
		"garbage":    {func(f *fake) { f.say("what is this?"); f.hang() }, probe.Garbled, ""},
	} {
		t.Run(name, func(t *testing.T) {
			held := open(t, c.rest)
			ctx := t.Context()
			if c.class == probe.Timeout {
				ctx = within(t, 100*time.Millisecond)
			}
			for range 2 { // it stays so
				r := held.Ping(ctx)
				if r.Class != c.class || r.Code != c.code || !r.Hint || r.Kind != probe.Session {
					t.Errorf("got %+v; want a hint, %v %q", r, c.class, c.code)
				}
			}
		})
	}
}

func TestWait(t *testing.T) {
	speak := make(chan bool)
	held := open(t, func(f *fake) {
		f.hear()
		f.say("250 ok")
		<-speak
		f.say("421 4.4.2 idle")
	})
	if r := held.Wait(within(t, 30*time.Millisecond)); r.Failed() || r.Hint || r.Kind != probe.Session {
		t.Errorf("quiet, and yet %+v", r)
	}
	if r := held.Ping(within(t, 5*time.Second)); r.Failed() || r.Hint || r.Kind != probe.Session {
		t.Errorf("a ping: %+v", r)
	}
	close(speak)
	if r := held.Wait(within(t, 5*time.Second)); r.Class != probe.Overloaded || r.Code != "421 4.4.2" || !r.Hint {
		t.Errorf("last words: %+v", r)
	}
	if r := held.Wait(within(t, 5*time.Second)); r.Class != probe.Overloaded {
		t.Errorf("and then: %+v", r)
	}
}

// TestStopped: who is stopped in the middle says goodbye all the same.
func TestStopped(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	tg, heard := serve(t, "smtp", func(f *fake) {
		f.say("220 mail.test")
		f.hear()
		stop()
		f.hang()
	})
	r := probe.Once(ctx, Protocol, tg)
	if r.Class != probe.Local {
		t.Errorf("stopped, and yet %+v", r)
	}
	eventually(t, func() bool { return heard.String() == "EHLO [127.0.0.1]|QUIT" })
}

func eventually(t *testing.T, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := within(t, 5*time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline.Done():
			t.Fatal("it did not happen")
		}
	}
}
