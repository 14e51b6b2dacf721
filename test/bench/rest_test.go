package bench

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/test/daemon"
)

// How large the fleet is, and how long it is left alone; make bench has more of both.
var (
	restFor  = flag.Duration("rest", 20*time.Second, "how long a fleet is at rest in TestFleetAtRest")
	restMany = flag.Int("resources", 30, "how many resources it watches")
)

// counters are what Consul has applied, by its own count. The last one is its own
// housekeeping: what was deleted is forgotten 15 minutes later.
type counters struct{ kvs, txns, fsmKVs, fsmTxns, reaped int }

func (f *fleet) counters() counters {
	f.Helper()
	return counters{f.consul.Counter("consul_kvs_apply"), f.consul.Counter("consul_txn_apply"),
		f.consul.Counter("consul_fsm_kvs"), f.consul.Counter("consul_fsm_txn"), f.consul.Counter("consul_fsm_tombstone")}
}

func (c counters) writes() int { return c.kvs + c.txns + c.fsmKVs + c.fsmTxns }

// TestFleetAtRest: three observers that have had ballots write nothing once those
// are over, hold nothing when Consul forgets what was deleted (after 15 minutes, in
// the long run of make bench), and switch as before.
func TestFleetAtRest(t *testing.T) {
	f := newFleet(t, *restMany)
	some := []int{0, 1, 2, 3, 4}
	for _, i := range some {
		f.dies(i)
	}
	t.Logf("%d resources fail and are switched, with three votes of four: %v until every observer knows", len(some), f.switched(some...).Round(time.Millisecond))
	busy := f.counters()
	if busy.writes() == 0 {
		t.Fatal("Consul counts no writes: the test proves nothing")
	}
	daemon.Eventually(t, time.Minute, "no ballot is open, and no vote lies around", func() bool { open, votes := f.ballots(); return open+votes == 0 })
	f.watchRest(3 * time.Second) // for what was on its way
	before, asked := f.counters(), f.asked.Load()
	seen := f.watchRest(*restFor)
	after := f.counters()
	t.Logf("%d resources, 3 observers, %v at rest: %d writes (%+v before, %+v after), %d questions to the store, %d connections; reaped meanwhile: %d",
		*restMany, *restFor, after.writes()-before.writes(), before, after, f.asked.Load()-asked, f.relay.open.Load(), after.reaped-before.reaped)
	if after.writes() != before.writes() {
		t.Errorf("at rest %d writes: %+v, then %+v", after.writes()-before.writes(), before, after)
	}
	if seen.held > 0 {
		t.Errorf("at rest something was held %d times, as: %s", seen.held, seen.what)
	}
	daemon.Eventually(t, 10*time.Second, "all is steady in the end", func() bool {
		return f.every(func(r failover.ResourceStatus) bool { return r.Activity == failover.Steady.String() && r.Hold == nil })
	})
	f.dies(5)
	t.Logf("then one fails: %v until every observer knows that it was switched", f.switched(5).Round(time.Millisecond))
	f.fine()
}

// rest is what was seen of a fleet at rest, look by look.
type rest struct {
	looks, blind, held int
	what               string
}

// watchRest lets time pass, and counts what is not at rest meanwhile. That an
// observer is blind where this machine stands still, and Consul with it, is only
// told of.
func (f *fleet) watchRest(d time.Duration) (seen rest) {
	f.Helper()
	end, tick := time.After(d), time.NewTicker(500*time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-end:
			f.Logf("%d looks at an observer in %v: %d times he was blind, %d times something was held", seen.looks, d, seen.blind, seen.held)
			return seen
		case <-tick.C:
		}
		for _, d := range f.daemons {
			s, err := d.Status(f.Context())
			if err != nil {
				f.Fatal(err)
			}
			if seen.looks++; s.Blind != "" {
				seen.blind++
				continue
			}
			for _, r := range s.Resources {
				if r.Hold != nil {
					seen.held, seen.what = seen.held+1, fmt.Sprintf("%s holds %s: %s", s.Observer, r.Name, r.Hold.Why)
				}
			}
		}
	}
}

// fine says how the store took it, and fails the test if it refused somebody something.
func (f *fleet) fine() {
	f.Helper()
	f.Logf("%d answers 429, %d questions failed, %d connections at most", f.relay.refused.Load(), f.failed.Load(), f.relay.most.Load())
	if f.relay.refused.Load() > 0 {
		f.Error("Consul refused connections")
	}
	if f.failed.Load() > 0 { // a machine that stands still
		f.Logf("the last question that failed: %q", f.lastErr.Load())
	}
}

// TestBallotsAtOnce: as many ballots as there are resources are open at once, and
// Consul refuses nobody a connection; all are answered, and come to their end.
func TestBallotsAtOnce(t *testing.T) {
	f := newFleet(t, *restMany)
	began := time.Now()
	f.openAll()
	daemon.Eventually(t, 30*time.Second, "all are closed by a veto", func() bool { open, _ := f.ballots(); return open == 0 })
	t.Logf("%d ballots at once on what is well: vetoed within %v", *restMany, time.Since(began).Round(time.Millisecond))
	daemon.Eventually(t, time.Minute, "the votes are swept up", func() bool { _, votes := f.ballots(); return votes == 0 })

	for i := range f.resources {
		f.dies(i)
	}
	began = time.Now()
	f.openAll()
	voted := 0
	daemon.Eventually(t, time.Minute, "those ballots are over", func() bool {
		_, votes := f.ballots()
		voted = max(voted, votes)
		return f.openedBy("mon-d") == 0
	})
	t.Logf("%d ballots at once on what is down: all over after %v, by age; %d votes lay beside them at most", *restMany, time.Since(began).Round(time.Millisecond), voted)
	if voted == 0 {
		t.Error("nobody voted: the test proves nothing")
	}
	f.fine()
}
