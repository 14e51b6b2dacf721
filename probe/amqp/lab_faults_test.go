package amqp_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/amqp"
)

// testAlarm: a broker tells a memory alarm only to who publishes while it is on.
func testAlarm(t *testing.T, b broker) {
	plain := target(t, b.URL("probe"))
	write := plain
	write.Depth = probe.PhaseWrite
	want(t, once(t, write), probe.OK, probe.PhaseWrite, "")
	held := hold(t, write)
	b.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
	began := time.Now()
	r := once(t, write)
	want(t, r, probe.Degraded, probe.PhaseWrite, "blocked")
	if took := time.Since(began); took > time.Second || !strings.Contains(r.Err, "memory") {
		t.Errorf("after %v: %s", took, r.Err)
	}
	want(t, held.Ping(t.Context()), probe.OK, probe.PhasePing, "")
	want(t, once(t, plain), probe.OK, probe.PhasePing, "")
	// The connection that was blocked is gone once a heartbeat to it has failed.
	eventually(t, func() bool { return !strings.Contains(b.ctl("list_connections", "state"), "blocked") })
	canary := looped(t, plain)
	eventually(t, func() bool { return canary() == probe.Degraded })
	b.ctl("set_vm_memory_high_watermark", "0.6")
	want(t, once(t, write), probe.OK, probe.PhaseWrite, "")
	eventually(t, func() bool { return canary() == probe.OK })

	// An account that may write nowhere sees no alarm, and is no failure.
	mute := target(t, b.url("app", "app-secret", "limitless"))
	mute.Depth = probe.PhaseWrite
	if r := once(t, mute); r.Class != probe.OK || r.Facts["missing_privilege"] != "write on amq.default" {
		t.Errorf("without the right to write: %+v", r)
	}
}

// looped runs the probing loop with a quick canary, and returns what its last one
// came to.
func looped(t *testing.T, tg probe.Target) func() probe.Class {
	p := amqp.Protocol
	p.Defaults.CanaryInterval = 300 * time.Millisecond
	var last atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	l := probe.Loop{Name: "canary", Protocol: p, Target: func() probe.Target { return tg },
		Pace: probe.Pace{Interval: time.Second, FreshInterval: 30 * time.Second, SuspectInterval: time.Second},
		Emit: func(r probe.Result) {
			if r.Kind == probe.Write {
				last.Store(int32(r.Class))
			}
		}}
	ended := make(chan struct{})
	go func() { l.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	return func() probe.Class { return probe.Class(last.Load()) }
}

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

// testNetwork: what a fresh probe makes of the network is held by test/classes.
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
	want(t, once(t, tg), probe.OK, probe.PhasePing, "")
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
}
