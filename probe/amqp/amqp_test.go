package amqp

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reattach/reattach/probe"
)

// TestHostile: what scripted servers come to, each in no more than the timeout.
func TestHostile(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for _, c := range []struct {
		name   string
		class  probe.Class
		phase  probe.Phase
		code   string
		script func(*fake)
	}{
		{"closes at once", probe.Reset, probe.PhaseGreet, "", func(*fake) {}},
		{"says nothing", probe.Timeout, probe.PhaseGreet, "", (*fake).hang},
		{"speaks HTTP", probe.Garbled, probe.PhaseGreet, "", func(f *fake) { f.say([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")); f.hang() }},
		{"speaks in short", probe.Garbled, probe.PhaseGreet, "", func(f *fake) { f.say([]byte("+OK\r\n")); f.hang() }},
		{"falls silent in its header", probe.Garbled, probe.PhaseGreet, "", func(f *fake) { f.say([]byte("AMQ")) }},
		{"speaks AMQP 1.0", probe.Misconfigured, probe.PhaseGreet, "", func(f *fake) { f.say([]byte("AMQP\x00\x01\x00\x00")); f.hang() }},
		{"speaks TLS", probe.TLS, probe.PhaseGreet, "", func(f *fake) { f.say([]byte{0x15, 3, 1, 0, 2, 2, 70}); f.hang() }},
		{"promises 4 GiB", probe.Garbled, probe.PhaseGreet, "", func(f *fake) { f.say([]byte{1, 0, 0, 255, 255, 255, 255, 0}); f.hang() }},
		{"promises 60 KiB and closes", probe.Reset, probe.PhaseGreet, "", func(f *fake) { f.say([]byte{1, 0, 0, 0, 0, 240, 0, 1, 2, 3}) }},
		{"promises 60 KiB and hangs", probe.Timeout, probe.PhaseGreet, "", func(f *fake) { f.say([]byte{1, 0, 0, 0, 0, 240, 0, 1, 2, 3}); f.hang() }},
		{"trickles", probe.Timeout, probe.PhaseGreet, "", trickle},
		{"floods", probe.Garbled, probe.PhaseGreet, "", flood},
		{"ends a frame wrongly", probe.Garbled, probe.PhaseGreet, "", func(f *fake) { f.say([]byte{1, 0, 0, 0, 0, 0, 4, 0, 10, 0, 10, 0}); f.hang() }},
		{"sends a method of 2 bytes", probe.Garbled, probe.PhaseGreet, "", func(f *fake) { f.say([]byte{1, 0, 0, 0, 0, 0, 2, 0, 10, frameEnd}); f.hang() }},
		{"sends another method", probe.Garbled, probe.PhaseGreet, "", func(f *fake) { f.method(0, connectionTune, nil); f.hang() }},
		{"starts with an empty start", probe.Garbled, probe.PhaseGreet, "", func(f *fake) { f.method(0, connectionStart, nil); f.hang() }},
		{"takes no password", probe.Misconfigured, probe.PhaseGreet, "", func(f *fake) { f.started(true, "EXTERNAL"); f.hang() }},
		{"dies after start-ok", probe.Reset, probe.PhaseAuth, "", func(f *fake) { f.authenticated() }},
		{"refuses without a word", probe.Auth, probe.PhaseAuth, "", func(f *fake) {
			if f.started(false, "PLAIN") {
				f.hear(connectionStartOk)
			}
		}},
		{"is silent after start-ok", probe.Timeout, probe.PhaseAuth, "", func(f *fake) { f.authenticated(); f.hang() }},
		{"wants more than a password", probe.Misconfigured, probe.PhaseAuth, "", func(f *fake) {
			f.authenticated()
			f.method(0, connectionSecure, func(e *encoder) { e.long("?") })
			f.hang()
		}},
		{"refuses", probe.Auth, probe.PhaseAuth, "403", func(f *fake) {
			f.authenticated()
			f.method(0, connectionClose, closing(403, "ACCESS_REFUSED"))
			f.hear(connectionCloseOk)
		}},
		{"tunes with nothing", probe.Garbled, probe.PhaseAuth, "", func(f *fake) { f.authenticated(); f.method(0, connectionTune, nil); f.hang() }},
		{"closes illegibly", probe.Garbled, probe.PhaseAuth, "", func(f *fake) {
			f.authenticated()
			f.method(0, connectionClose, func(e *encoder) { e.u16(403).u8(200) })
			f.hang()
		}},
		{"has no such vhost", probe.Misconfigured, probe.PhaseAuth, "530", func(f *fake) {
			f.opened(0)
			f.method(0, connectionClose, closing(530, "NOT_ALLOWED - vhost orders not found"))
			f.hear(connectionCloseOk)
		}},
		{"opens no channel", probe.Overloaded, probe.PhasePing, "506", func(f *fake) {
			f.opened(0)
			f.method(0, connectionOpenOk, func(e *encoder) { e.short("") })
			f.hear(channelOpen)
			f.method(1, channelClose, closing(506, "RESOURCE_ERROR"))
			f.hear(channelCloseOk)
			f.bye()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tg := serve(t, c.script)
			if c.class == probe.Timeout {
				tg.Timeout = 200 * time.Millisecond
			}
			began := time.Now()
			r := probe.Once(t.Context(), Protocol, tg)
			if took := time.Since(began); took > tg.Timeout+time.Second {
				t.Errorf("it took %v", took)
			}
			if r.Class != c.class || r.Phase != c.phase || r.Code != c.code {
				t.Errorf("got %v in %v, code %q (%s); want %v in %v, code %q", r.Class, r.Phase, r.Code, r.Err, c.class, c.phase, c.code)
			}
		})
	}
}

// trickle sends a byte of an endless frame now and then.
func trickle(f *fake) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	f.say([]byte{1, 0, 0, 0, 0, 240, 0})
	for {
		if _, err := f.c.Write([]byte{1}); err != nil {
			return
		}
		<-tick.C
	}
}

// flood sends heartbeats without end.
func flood(f *fake) {
	for {
		if _, err := f.c.Write(beat); err != nil {
			return
		}
	}
}

func TestNothingIsSaidBack(t *testing.T) {
	tg := serve(t, func(f *fake) {
		f.authenticated()
		f.method(0, connectionClose, closing(403, "no\nprobe-secret\x1b[31m here"))
		f.hear(connectionCloseOk)
	})
	r := probe.Once(t.Context(), Protocol, tg)
	if text := fmt.Sprintf("%+v", r); strings.Contains(text, "probe-secret") || strings.ContainsAny(text, "\n\x1b") {
		t.Errorf("the server's words came through: %q", text)
	}
}

// TestMemory: a server's promises cost nothing.
func TestMemory(t *testing.T) {
	lie := []byte{1, 0, 0, 0, 0, 240, 0, 0, 10, 0, 10}
	tg := serve(t, func(f *fake) { f.say(lie) })
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const rounds = 50
	for range rounds {
		probe.Once(t.Context(), Protocol, tg)
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / rounds; each > 32<<10 {
		t.Errorf("a promise of 60 KiB cost %d bytes", each)
	}
}

func TestPasswords(t *testing.T) {
	var tries atomic.Int32
	tg := serve(t, func(f *fake) {
		if tries.Add(1) == 1 {
			f.authenticated()
			f.method(0, connectionClose, closing(403, "ACCESS_REFUSED"))
			f.hear(connectionCloseOk)
			return
		}
		f.ready(60)
		f.bye()
	})
	tg.Passwords = []probe.Secret{"old", "new"}
	if r := probe.Once(t.Context(), Protocol, tg); r.Class != probe.OK || tries.Load() != 2 {
		t.Errorf("after %d tries: %+v", tries.Load(), r)
	}
}

func TestVhost(t *testing.T) {
	long := strings.Repeat("v", 256)
	for raw, want := range map[string]string{
		"amqp://h": "/", "amqp://h/%2F": "/", "amqp://h//": "/", "amqp://h/orders": "orders", "amqp://h/a%20b": "a b",
		"amqp://h/": "!", "amqp://h/" + long: "!", "amqp://h/?heartbeat=5": "!", "amqp://h?heartbeat=5": "/",
	} {
		u, err := probe.ParseURL(raw)
		if err != nil {
			t.Fatal(err)
		}
		got, err := vhost(u)
		if err != nil {
			got = "!"
		}
		if got != want || (Protocol.Check(u) != nil) != (want == "!") {
			t.Errorf("%s: %q (%v), want %q", raw, got, err, want)
		}
	}
	u, _ := probe.ParseURL("amqp://h/")
	_, r := prober{}.Open(t.Context(), serveAt(t, u))
	if r.Class != probe.Misconfigured || !strings.Contains(r.Err, "%2F") {
		t.Errorf("an ambiguous vhost was probed: %+v", r)
	}
}

// serveAt is a target with u's path at a server that must not be spoken to.
func serveAt(t *testing.T, u probe.URL) probe.Target {
	tg := serve(t, func(f *fake) {
		if _, err := f.in.ReadByte(); err == nil {
			t.Error("the client spoke")
		}
	})
	tg.URL.Path = u.Path
	return tg
}

func TestCodes(t *testing.T) {
	for text, want := range map[string]probe.Class{
		"320 CONNECTION_FORCED - Node was put into maintenance mode":                  probe.Degraded,
		"403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN": probe.Auth,
		"501 FRAME_ERROR": probe.Misconfigured, "506 RESOURCE_ERROR": probe.Overloaded, "999 WHAT": probe.Degraded,
		"530 NOT_ALLOWED - vhost orders not found":                                                                     probe.Misconfigured,
		"530 NOT_ALLOWED - access to vhost 'orders' refused for user 'app'":                                            probe.Auth,
		"530 NOT_ALLOWED - access to vhost 'orders' refused for user 'app': connection limit (0) is reached":           probe.Overloaded,
		"530 NOT_ALLOWED - connection refused for user 'app': user connection limit (0) is reached":                    probe.Overloaded,
		"530 NOT_ALLOWED - number of channels opened for user 'app' has reached the maximum allowed user limit of (0)": probe.Overloaded,
		"530 NOT_ALLOWED - something else":                                                                             probe.Misconfigured,
		"541 INTERNAL_ERROR - access to vhost 'orders' refused for user 'app': vhost 'orders' is down":                 probe.Degraded,
	} {
		var code uint16
		_, _ = fmt.Sscanf(text, "%d", &code)
		if got := classOf(code, text[4:]); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
		if classOf(code, text[4:]).Evidence() {
			t.Errorf("%s: an answer became evidence of failure", text)
		}
	}
}

func TestHeartbeat(t *testing.T) {
	for _, c := range []struct {
		proposed, agreed uint16
		idle             time.Duration
		depth            probe.Phase
	}{
		{0, 0, time.Hour, 0}, {60, 60, 0, 0}, {1, 10, 0, 0}, {600, 60, 0, 0}, {60, 300, 5 * time.Minute, 0}, {60, 65535, 100 * time.Hour, 0},
		{60, 10, time.Second, probe.PhaseWrite},
	} {
		s := &session{t: probe.Target{Idle: c.idle, Depth: c.depth}}
		if got := s.agree(c.proposed); got != c.agreed {
			t.Errorf("proposed %d, idle %v: agreed on %d, not %d", c.proposed, c.idle, got, c.agreed)
		}
	}
}

func contextFor(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
