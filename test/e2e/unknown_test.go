package e2e

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// TestStoreLostDuringSwitches takes Consul away somewhere between a fault and
// the commit that answers it, so that the outcomes of transactions are unknown.
// Whatever was lost, there is one switch, recorded once, and no ballot is left.
func TestStoreLostDuringSwitches(t *testing.T) {
	need(t)
	losses := []struct {
		name       string
		lose, give func()
	}{
		{"hang", consul().Pause, consul().Unpause},
		{"crash", consul().Kill, consul().Start},
	}
	for _, loss := range losses {
		t.Run(loss.name, func(t *testing.T) {
			for range 3 {
				a := lab.NewProxy(t, caches().Active.Addr())
				name := unique("unknown")
				r := daemon.Resource{Name: name, Handle: name + "/URL", A: "memcached://" + a.Addr(), B: caches().Standby.URL(""), Policy: quick}
				d := daemon.New(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, r.Handle)), r))
				d.Start()
				d.Protected(name)
				a.Set(lab.Behaviour{Reset: true})
				at := time.Now()
				a.CutAll()
				delay := 40*time.Millisecond + time.Duration(rand.Int64N(int64(60*time.Millisecond)))
				after(delay)
				loss.lose()
				after(2500 * time.Millisecond)
				loss.give()
				d.AttachedTo(name, "b", 40*time.Second)
				daemon.Eventually(t, 5*time.Second, "it is steady", func() bool { return d.Status(name).Activity == "steady" },
					func() string { return d.Explain(name) })
				recordedOnce(t, r)
				t.Logf("lost %v after the fault: the commit was sent %v after it",
					delay.Round(time.Millisecond), records(t, name)[1].At.Sub(at).Round(time.Millisecond))
				if code := d.Terminate(); code != 0 {
					t.Errorf("exit code %d", code)
				}
				a.Close()
			}
		})
	}
}

// recordedOnce holds what Consul has of a resource after its first failover
// against the invariants.
func recordedOnce(t *testing.T, r daemon.Resource) {
	t.Helper()
	stored := entry(t, "reattach/state/"+r.Name)
	var state failover.State
	if err := json.Unmarshal(stored.Value, &state); err != nil {
		t.Fatal(err)
	}
	list := records(t, r.Name)
	if len(list) != 2 || list[1].Kind != policy.Failover || list[1].Op != state.Op || state.Epoch != 2 || state.Attached != "b" {
		t.Errorf("state: epoch %d, attached to %s, by operation %s; history: %+v", state.Epoch, state.Attached, state.Op, list)
	}
	if handle := entry(t, r.Handle); string(handle.Value) != r.B || handle.ModifyIndex != stored.ModifyIndex {
		t.Errorf("the handle is of index %d, the state of %d", handle.ModifyIndex, stored.ModifyIndex)
	}
	noBallot(t, r.Name)
}
