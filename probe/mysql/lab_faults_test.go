package mysql_test

import (
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/test/lab"
)

// eventually waits until ok, for at most 10 s.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// testSession ends held sessions in the ways that a server has while it lives.
func testSession(t *testing.T, d db) {
	tg := target(t, d.URL("app"))
	tg.Idle = 10 * time.Second
	held := hold(t, tg)
	for range 3 {
		want(t, held.Ping(t.Context()), probe.OK, probe.PhasePing, "")
		want(t, wait(t, held, 10*time.Millisecond), probe.OK, probe.PhaseNone, "")
	}
	d.exec(t, killAll("app"))
	wantHint(t, wait(t, held, 5*time.Second), probe.Reset, "") // MariaDB closes without a word

	held = hold(t, tg)
	d.exec(t, killAll("app"))
	wantHint(t, held.Ping(t.Context()), probe.Reset, "") // not seen waiting, but by the ping
	if r := held.Ping(t.Context()); !r.Hint {
		t.Error("a ping after the end is no hint")
	}

	tg.Idle = 300 * time.Millisecond // wait_timeout 1
	held = hold(t, tg)
	wantHint(t, wait(t, held, 5*time.Second), probe.Reset, "")
}

// killAll is a statement that ends all connections of user.
func killAll(user string) string { return "KILL HARD USER " + user }

// testNetwork has something between us and the server spoil what is this
// protocol's own; what comes to all alike is held by test/classes.
func testNetwork(t *testing.T, d db) {
	proxy := lab.NewProxy(t, d.Addr())
	through := target(t, strings.Replace(d.URL("app"), d.Addr(), proxy.Addr(), 1))
	through.Timeout = time.Second
	want(t, once(t, through), probe.OK, probe.PhaseRole, "")
	for _, c := range []struct {
		name      string
		behaviour lab.Behaviour
		class     probe.Class
		phase     probe.Phase
	}{
		{"a mail server", lab.Behaviour{Greeting: []byte("220 mail.test ESMTP\r\n")}, probe.Garbled, probe.PhaseGreet},
		{"cut in the login", lab.Behaviour{CutAfter: 2000}, probe.Reset, probe.PhaseNone},
		{"slow, but in time", lab.Behaviour{Delay: 20 * time.Millisecond}, probe.OK, probe.PhaseRole},
	} {
		t.Run(c.name, func(t *testing.T) {
			proxy.Set(c.behaviour)
			began := time.Now()
			want(t, once(t, through), c.class, c.phase, "")
			if took := time.Since(began); took > through.Timeout+300*time.Millisecond {
				t.Errorf("it took %v", took)
			}
		})
	}
	proxy.Set(lab.Behaviour{})
	held := hold(t, through)
	proxy.CutAll()
	wantHint(t, wait(t, held, time.Second), probe.Reset, "")
	held = hold(t, through)
	proxy.Set(lab.Behaviour{HalfOpen: true})
	wantHint(t, held.Ping(t.Context()), probe.Timeout, "")
	d.exec(t, unblock) // the cut conversations were counted
}

func testHang(t *testing.T, d db) {
	tg := target(t, d.URL("app"))
	tg.Timeout = 500 * time.Millisecond
	held := hold(t, tg)
	for _, hang := range []struct {
		name       string
		begin, end func()
	}{
		{"frozen", func() { d.Freeze() }, d.Thaw},
		{"paused", func() { d.Pause() }, d.Unpause},
	} {
		hang.begin()
		want(t, wait(t, held, 100*time.Millisecond), probe.OK, probe.PhaseNone, "") // a hang closes nothing
		began := time.Now()
		want(t, once(t, tg), probe.Timeout, probe.PhaseGreet, "")
		wantHint(t, held.Ping(t.Context()), probe.Timeout, "")
		if took := time.Since(began); took > 2*tg.Timeout+300*time.Millisecond {
			t.Errorf("%s: both took %v", hang.name, took)
		}
		hang.end()
		eventually(t, hang.name+" for ever", func() bool { return once(t, tg).Class == probe.OK })
		d.exec(t, unblock)
		held = hold(t, tg)
	}
	// A hang in the middle: the login is through, a statement waits.
	before := d.counters(t)
	slow := lab.NewProxy(t, d.Addr())
	through := target(t, strings.Replace(d.URL("app"), d.Addr(), slow.Addr(), 1))
	session := hold(t, through)
	slow.Set(lab.Behaviour{HalfOpen: true})
	through.Timeout = 200 * time.Millisecond
	wantHint(t, session.Ping(t.Context()), probe.Timeout, "")
	bye(session)
	slow.Set(lab.Behaviour{})
	if after := d.counters(t); after != before {
		t.Errorf("a session that was given up left a trace: before\n%safter\n%s", before, after)
	}
}

// testStopped is a stop in good order.
func testStopped(t *testing.T, d db) {
	tg := target(t, d.URL("app"))
	held := hold(t, tg)
	gone := strings.Count(d.Logs(), goneMark)
	d.Stop()
	r := wait(t, held, 10*time.Second)
	t.Logf("SIGTERM: %v %s %s", r.Class, r.Code, r.Err)
	if !r.Hint || r.Class == probe.OK {
		t.Errorf("no hint: %+v", r)
	}
	eventually(t, "it stops", func() bool {
		r := once(t, tg)
		if r.Class != probe.Refused {
			t.Logf("meanwhile: %v %s %s", r.Class, r.Code, r.Err)
		}
		return r.Class == probe.Refused
	})
	eventually(t, "its process ends", func() bool { return strings.Count(d.Logs(), goneMark) > gone })
	d.StartProcess()
	want(t, once(t, tg), probe.OK, probe.PhaseRole, "")
}

// goneMark is what a container's init prints when its server has ended.
const goneMark = "server gone"

func testKilled(t *testing.T, d db) {
	tg := target(t, d.URL("app"))
	held := hold(t, tg)
	killed := d.KillProcess()
	r := wait(t, held, 10*time.Second)
	wantHint(t, r, probe.Reset, "")
	t.Logf("killed: heard after %v", r.Ended.Sub(killed))
	if r := once(t, tg); r.Class != probe.Refused && r.Class != probe.Reset { // reset: it was dialled before the kernel had closed its socket
		t.Errorf("the first dial is %v: %s", r.Class, r.Err)
	}
	want(t, once(t, tg), probe.Refused, probe.PhaseConnect, "")
	if got := d.driverCode(t, "app", "app-secret", "/orders"); got != -1 {
		t.Errorf("the client library says %d", got)
	}
	wantHint(t, held.Ping(t.Context()), probe.Misconfigured, "")
	d.StartProcess()
}

func testReadOnly(t *testing.T, d db) {
	d.exec(t, "SET GLOBAL read_only = 1")
	r := once(t, target(t, d.URL("app")))
	want(t, r, probe.OK, probe.PhaseRole, "") // whether that is a fault, expect says
	if r.Facts["read_only"] != true || r.Facts["writable"] != false {
		t.Errorf("read_only %v, writable %v", r.Facts["read_only"], r.Facts["writable"])
	}
	d.exec(t, "SET GLOBAL read_only = 0")
}
