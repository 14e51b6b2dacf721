package smtp_test

import (
	"context"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/smtp"
)

func testFullDisk(t *testing.T, p relay) {
	p.set(t, "queue_minfree", "9000000000000000")
	tg := target(t, p.URL(""))
	want(t, once(t, tg), probe.OK, probe.PhasePing, "") // which is why depth "read" is there
	tg.Depth = probe.PhaseRead
	want(t, once(t, tg), probe.Overloaded, probe.PhaseRead, "452 4.3.1")
}

func testTLSBroken(t *testing.T, p relay) {
	p.set(t, "smtpd_tls_cert_file", "/nowhere")
	want(t, once(t, p.secure(t, "submission", "", "")), probe.TLS, probe.PhaseTLS, "454 4.7.0")
	r := once(t, target(t, p.URL(""))) // which asks for TLS where it is to be had
	want(t, r, probe.OK, probe.PhasePing, "")
	if r.Facts["tls_version"] != nil {
		t.Errorf("encrypted all the same: %+v", r)
	}
}

func testTurnedAway(t *testing.T, p relay) {
	p.set(t, "smtpd_delay_reject", "no")
	p.set(t, "smtpd_client_restrictions", "reject")
	want(t, once(t, target(t, p.URL(""))), probe.Misconfigured, probe.PhaseGreet, "554 5.7.1")
	p.set(t, "smtpd_client_restrictions", "defer")
	want(t, once(t, target(t, p.URL(""))), probe.Degraded, probe.PhaseGreet, "450 4.3.2")
}

func testLimit(t *testing.T, p relay) {
	p.set(t, "smtpd_client_event_limit_exceptions", "")
	p.set(t, "smtpd_client_connection_count_limit", "1")
	held, r := probe.Open(t.Context(), smtp.Protocol, target(t, p.URL("")))
	want(t, r, probe.OK, probe.PhasePing, "")
	want(t, once(t, target(t, p.URL(""))), probe.Overloaded, probe.PhaseGreet, "421 4.7.0")
	held.Close(t.Context())
	eventually(t, func() bool { return once(t, target(t, p.URL(""))).Class == probe.OK })
}

func testHang(t *testing.T, p relay) {
	tg := target(t, p.URL(""))
	tg.Timeout = time.Second
	held, _ := probe.Open(t.Context(), smtp.Protocol, tg)
	for _, fault := range []struct {
		begin func() time.Time
		end   func()
	}{{p.Freeze, p.Thaw}, {p.Pause, p.Unpause}} {
		fault.begin()
		began := time.Now()
		want(t, once(t, tg), probe.Timeout, probe.PhaseGreet, "")
		if took := time.Since(began); took < tg.Timeout || took > tg.Timeout+300*time.Millisecond {
			t.Errorf("the timeout of %v took %v", tg.Timeout, took)
		}
		if held != nil {
			r := held.Ping(t.Context())
			want(t, r, probe.Timeout, probe.PhasePing, "")
			held.Close(t.Context())
			held = nil
		}
		fault.end()
		eventually(t, func() bool { return once(t, tg).Class == probe.OK })
	}
}

// testNetwork: what a fresh probe makes of the network is held by test/classes.
func testNetwork(t *testing.T, p relay) {
	tg := target(t, p.URL(""))
	tg.Timeout = time.Second
	held, _ := probe.Open(t.Context(), smtp.Protocol, tg)
	p.RejectReset(0)
	want(t, once(t, tg), probe.Refused, probe.PhaseConnect, "")
	r := held.Ping(t.Context())
	want(t, r, probe.Reset, probe.PhasePing, "")
	if !r.Hint || r.Kind != probe.Session {
		t.Errorf("no hint: %+v", r)
	}
	p.Heal()
	want(t, once(t, tg), probe.OK, probe.PhasePing, "")
}

func testKilled(t *testing.T, p relay) {
	tg := target(t, p.URL(""))
	held, r := probe.Open(t.Context(), smtp.Protocol, tg)
	want(t, r, probe.OK, probe.PhasePing, "")
	seen := make(chan probe.Result, 1)
	go func() { seen <- held.Wait(context.Background()) }()
	at := p.KillProcess()
	r = <-seen
	t.Logf("the session saw the kill after %v", r.Ended.Sub(at))
	want(t, r, probe.Reset, probe.PhasePing, "")
	want(t, once(t, tg), probe.Refused, probe.PhaseConnect, "")
	p.StartProcess()
	want(t, once(t, tg), probe.OK, probe.PhasePing, "")
}
