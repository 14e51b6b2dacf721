package chaos

import (
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/test/daemon"
)

// TestConsulLeaderLost: the Consul server that leads is killed, or hangs, in the
// middle of a ballot. Two of three elect another, and it is switched once: at the
// latest by a ballot that is opened 30 s after the one that came to nothing.
func TestConsulLeaderLost(t *testing.T) {
	need(t)
	for _, fault := range []string{"killed", "hangs"} {
		t.Run(fault, func(t *testing.T) {
			f := newFleet(t, newResource(t))
			cluster := consuls()
			leader := cluster.Leader()
			opener, opened, killed := f.strike()
			if fault == "killed" {
				cluster.Servers[leader].Kill()
			} else {
				cluster.Servers[leader].Pause()
			}
			f.midBallot(opened)
			for _, o := range f.observers {
				o.mend() // from here on nothing but Consul is in their way
			}
			t.Logf("%s leads, %s opened", f.observers[leader].name, opener.name)
			took := f.switched(10 * ballotTime).Sub(killed)
			t.Logf("from kill to handle: %v", took.Round(time.Millisecond))
			f.mend()
			f.once(ballotTime)
		})
	}
}

// TestNoConsulMajority: with one of three Consul servers nothing can be switched,
// and nothing is kept for later. What was wanted while there was no majority is
// forgotten if the primary is well when it is back; if it is not, fresh evidence
// switches once.
func TestNoConsulMajority(t *testing.T) {
	need(t)
	t.Run("the primary comes back first", func(t *testing.T) {
		f := newFleet(t, newResource(t))
		f.loseMajority()
		f.resource.primary.StartProcess()
		f.regainMajority()
		f.protected()
		after(ballotTime)
		if n := len(records(t, f.resource.name)); n != 1 {
			t.Fatalf("%d records: what was wanted while Consul was away was done afterwards", n)
		}
	})
	t.Run("the primary stays away", func(t *testing.T) {
		f := newFleet(t, newResource(t))
		f.loseMajority()
		returns := f.regainMajority()
		f.switched(10 * ballotTime)
		f.fresh(f.once(ballotTime), returns)
	})
}

// loseMajority kills two of three Consul servers while a ballot is open, and
// returns when every observer says that he cannot judge, and their own paths are
// mended.
func (f *fleet) loseMajority() {
	f.t.Helper()
	_, opened, _ := f.strike()
	f.midBallot(opened)
	for _, server := range consuls().Servers[1:] {
		server.Kill()
	}
	for _, o := range f.observers {
		daemon.Eventually(f.t, 15*time.Second, o.name+" says that it is blind", func() bool {
			s, err := o.overview()
			return err == nil && s.Blind != ""
		})
		o.mend()
	}
	after(time.Second)
}

// regainMajority starts them again, and returns when that began.
func (f *fleet) regainMajority() (returns time.Time) {
	f.t.Helper()
	returns = time.Now()
	for _, server := range consuls().Servers {
		server.Revive()
	}
	consuls().WaitReady()
	return returns
}

// fresh holds that the evidence of a switch began after a moment.
func (f *fleet) fresh(rec failover.Record, moment time.Time) {
	f.t.Helper()
	if first := rec.At.Add(-time.Duration(rec.Times.Total * float64(time.Second))); first.Before(moment) {
		f.t.Errorf("the evidence began %v too early: it is not fresh", moment.Sub(first))
	}
}
