package amqp_test

import (
	"context"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

func testHang(t *testing.T, b broker) {
	tg := target(t, b.URL("probe"))
	tg.Timeout = time.Second
	held := hold(t, tg)
	before := len(b.Logs())
	for _, fault := range []struct {
		begin func() time.Time
		end   func()
	}{{b.Freeze, b.Thaw}, {b.Pause, b.Unpause}} {
		fault.begin()
		began := time.Now()
		want(t, once(t, tg), probe.Timeout, probe.PhaseGreet, "")
		if took := time.Since(began); took < tg.Timeout || took > tg.Timeout+300*time.Millisecond {
			t.Errorf("the timeout of %v took %v", tg.Timeout, took)
		}
		fault.end()
		want(t, once(t, tg), probe.OK, probe.PhasePing, "")
	}
	b.Freeze()
	r := held.Ping(t.Context())
	want(t, r, probe.Timeout, probe.PhasePing, "")
	if !r.Hint || r.Kind != probe.Session {
		t.Errorf("no hint: %+v", r)
	}
	held.Close(t.Context())
	b.Thaw()
	want(t, once(t, tg), probe.OK, probe.PhasePing, "")
	for _, line := range loud(b.Logs()[before:]) {
		t.Logf("unavoidable after a hang: %s", line)
	}
}

func testNetwork(t *testing.T, b broker) {
	tg := target(t, b.URL("probe"))
	tg.Timeout = time.Second
	held := hold(t, tg)
	b.RejectReset(0)
	want(t, once(t, tg), probe.Refused, probe.PhaseConnect, "")
	r := held.Ping(t.Context())
	want(t, r, probe.Reset, probe.PhasePing, "")
	if !r.Hint {
		t.Errorf("no hint: %+v", r)
	}
	b.Heal()
	b.Drop(0)
	want(t, once(t, tg), probe.Timeout, probe.PhaseConnect, "")
	b.Heal()
	b.Disconnect()
	if r := once(t, tg); r.Class != probe.Timeout && r.Class != probe.Unreachable {
		t.Errorf("a partition: %+v", r)
	}
	b.Connect()
	want(t, once(t, tg), probe.OK, probe.PhasePing, "")
	tg.URL.Host = b.lab.NewAddr()
	tg.Timeout = 5 * time.Second
	if r := once(t, tg); r.Class != probe.Timeout && r.Class != probe.Unreachable {
		t.Errorf("an address that nobody has: %+v", r)
	}
}

func testKilled(t *testing.T, b broker) {
	tg := target(t, b.URL("probe"))
	held := hold(t, tg)
	seen := make(chan probe.Result, 1)
	go func() { seen <- held.Wait(context.Background()) }()
	at := b.KillProcess()
	r := <-seen
	t.Logf("the held session saw the kill after %v", r.Ended.Sub(at))
	want(t, r, probe.Reset, probe.PhasePing, "")
	if !r.Hint || r.Kind != probe.Session {
		t.Errorf("no hint: %+v", r)
	}
	want(t, once(t, tg), probe.Refused, probe.PhaseConnect, "")
	b.StartProcess()
	want(t, once(t, tg), probe.OK, probe.PhasePing, "")
	b.KillContainer()
	tg.Timeout = 5 * time.Second
	if r := once(t, tg); r.Class != probe.Timeout && r.Class != probe.Unreachable {
		t.Errorf("a vanished host: %+v", r)
	}
}
