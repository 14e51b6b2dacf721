package failover_test

import (
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// TestExpectOfWhatIsAttached: expectations hold for what is attached, by
// conversations that began since; for nobody else, and for nothing before.
func TestExpectOfWhatIsAttached(t *testing.T) {
	w := newWorld(t, "resource ra primary standby sustain=1s expect=writable")
	w.oracle = newOracle(w)
	w.playOn([]string{"+0s write app/ra/URL0 primary", "+3s end"})
	readOnly := func(endpoint string, began time.Time) policy.State {
		t.Helper()
		o := observed(endpoint, probe.OK, began)
		o.Result.Facts = probe.Facts{"writable": false}
		w.step(o)
		return stateOf(w.engine, w.now, endpoint)
	}
	if s := readOnly("standby", w.now); s != policy.Up {
		t.Errorf("a standby that is read-only is %s", s)
	}
	if s := readOnly("primary", w.now); s != policy.Suspect {
		t.Errorf("what is attached and read-only is %s", s)
	}
	w.playOn([]string{"+3s order switchover ra to=standby", "+2s end"})
	if s := w.engine.Status(w.now).Resources[0]; s.Attached != "standby" {
		t.Fatalf("attached to %s", s.Attached)
	}
	if s := readOnly("standby", w.now.Add(-3*time.Second)); s != policy.Up {
		t.Errorf("what it showed before it was attached makes it %s", s)
	}
	if s := readOnly("primary", w.now); s != policy.Up {
		t.Errorf("what was left, and is read-only, is %s", s)
	}
	if s := readOnly("standby", w.now); s != policy.Suspect {
		t.Errorf("what it shows since makes it %s", s)
	}
	var last failover.EndpointStatus
	for _, ep := range w.engine.Status(w.now).Resources[0].Endpoints {
		if ep.Name == "standby" {
			last = ep
		}
	}
	if last.Class != probe.Role || last.Err != "writable is false" {
		t.Errorf("people are shown %s: %s", last.Class, last.Err)
	}
}
