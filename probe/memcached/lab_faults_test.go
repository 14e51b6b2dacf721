package memcached_test

import (
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/test/lab"
)

// testSession has the server close a session that is idle.
func testSession(t *testing.T, c cache) {
	held := hold(t, target(t, c.URL("")))
	for range 3 {
		want(t, held.Ping(t.Context()), probe.OK, probe.PhasePing, "")
		want(t, wait(t, held, 10*time.Millisecond), probe.OK, probe.PhaseNone, "")
	}
	wantHint(t, wait(t, held, 10*time.Second), probe.Reset)
	if r := held.Ping(t.Context()); !r.Hint {
		t.Error("a ping after the end is no hint")
	}
}

// testNetwork has something between us and the server spoil what is this
// protocol's own; what comes to all alike is held by test/classes.
func testNetwork(t *testing.T, c cache) {
	proxy := lab.NewProxy(t, c.Addr())
	through := target(t, "memcached://"+proxy.Addr())
	through.Timeout = 500 * time.Millisecond
	want(t, once(t, through), probe.OK, probe.PhaseRole, "")
	for _, s := range []struct {
		name      string
		behaviour lab.Behaviour
		class     probe.Class
		phase     probe.Phase
	}{
		{"cut in the statistics", lab.Behaviour{CutAfter: 500}, probe.Reset, probe.PhaseRole},
		{"slow, but in time", lab.Behaviour{Delay: 20 * time.Millisecond}, probe.OK, probe.PhaseRole},
	} {
		t.Run(s.name, func(t *testing.T) {
			proxy.Set(s.behaviour)
			began := time.Now()
			want(t, once(t, through), s.class, s.phase, "")
			if took := time.Since(began); took > through.Timeout+300*time.Millisecond {
				t.Errorf("it took %v", took)
			}
		})
	}
	proxy.Set(lab.Behaviour{})
	held := hold(t, through)
	proxy.CutAll()
	wantHint(t, wait(t, held, time.Second), probe.Reset)
	held = hold(t, through)
	proxy.Set(lab.Behaviour{HalfOpen: true})
	wantHint(t, held.Ping(t.Context()), probe.Timeout)
}

func testHang(t *testing.T, c cache) {
	tg := target(t, c.URL(""))
	tg.Timeout = 300 * time.Millisecond
	for _, hang := range []struct {
		name       string
		begin, end func()
	}{
		{"frozen", func() { c.Freeze() }, c.Thaw},
		{"paused", func() { c.Pause() }, c.Unpause},
	} {
		held := hold(t, tg)
		hang.begin()
		want(t, wait(t, held, 50*time.Millisecond), probe.OK, probe.PhaseNone, "") // a hang closes nothing
		want(t, once(t, tg), probe.Timeout, probe.PhasePing, "")
		wantHint(t, held.Ping(t.Context()), probe.Timeout)
		hang.end()
		eventually(t, hang.name+" for ever", func() bool { return once(t, tg).Class == probe.OK })
	}
}

// testStopped is a stop in good order.
func testStopped(t *testing.T, c cache) {
	tg := target(t, c.URL(""))
	held := hold(t, tg)
	gone := strings.Count(c.Logs(), goneMark)
	c.Stop()
	wantHint(t, wait(t, held, 10*time.Second), probe.Reset)
	eventually(t, "its process ends", func() bool { return strings.Count(c.Logs(), goneMark) > gone })
	want(t, once(t, tg), probe.Refused, probe.PhaseConnect, "")
	c.StartProcess()
	want(t, once(t, tg), probe.OK, probe.PhaseRole, "")
}

// goneMark is what a container's init prints when its server has ended.
const goneMark = "server gone"

func testKilled(t *testing.T, c cache) {
	tg := target(t, c.URL(""))
	held := hold(t, tg)
	killed := c.KillProcess()
	r := wait(t, held, 10*time.Second)
	wantHint(t, r, probe.Reset)
	t.Logf("killed: heard after %v", r.Ended.Sub(killed))
	if r := once(t, tg); r.Class != probe.Refused && r.Class != probe.Reset { // reset: it was dialled before the kernel had closed its socket
		t.Errorf("the first dial is %v: %s", r.Class, r.Err)
	}
	want(t, once(t, tg), probe.Refused, probe.PhaseConnect, "")
	if err := c.client().Ping(); err == nil {
		t.Error("the client library found a server")
	}
	c.StartProcess()
}
