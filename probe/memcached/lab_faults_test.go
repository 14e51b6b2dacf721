package memcached_test

import (
	"fmt"
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
		{"reset", lab.Behaviour{Reset: true}, probe.Reset, probe.PhaseNone},
		{"closed", lab.Behaviour{Close: true}, probe.Reset, probe.PhasePing},
		{"silent", lab.Behaviour{Silent: true}, probe.Timeout, probe.PhasePing},
		{"half open", lab.Behaviour{HalfOpen: true}, probe.Timeout, probe.PhasePing},
		{"an SSH server", lab.Behaviour{Greeting: []byte("SSH-2.0-OpenSSH_9.9\r\n")}, probe.Garbled, probe.PhasePing},
		{"cut in the version", lab.Behaviour{CutAfter: 5}, probe.Reset, probe.PhasePing},
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

	tg := target(t, c.URL(""))
	tg.Timeout = 300 * time.Millisecond
	c.Drop(0)
	want(t, once(t, tg), probe.Timeout, probe.PhaseConnect, "")
	c.Heal()
	c.RejectReset(0)
	want(t, once(t, tg), probe.Refused, probe.PhaseConnect, "")
	c.Heal()
	want(t, once(t, tg), probe.OK, probe.PhaseRole, "")
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

func testVanished(t *testing.T, c cache) {
	tg := target(t, c.URL(""))
	tg.Timeout = 4 * time.Second // the kernel asks three times, a second apart, who has the address
	c.KillContainer()
	r := once(t, tg)
	if r.Class != probe.Unreachable && r.Class != probe.Timeout || r.Phase != probe.PhaseConnect {
		t.Errorf("a dead host is %v in %v: %s", r.Class, r.Phase, r.Err)
	}
	t.Logf("vanished: %v %s after %v", r.Class, r.Err, r.Ended.Sub(r.Began))
	nobody := target(t, fmt.Sprintf("memcached://%s", c.lab.NewAddr()))
	nobody.Timeout = 300 * time.Millisecond
	want(t, once(t, nobody), probe.Timeout, probe.PhaseConnect, "")
}
