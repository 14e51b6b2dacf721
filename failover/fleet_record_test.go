package failover_test

import (
	"context"
	"testing"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// TestVotesOfTheFenceStandInTheRecord: what was fenced may answer what it likes, and
// it does on the ballot that commits. So the votes that say that it was down are
// those on the ballot that claimed its fence, and they stand in the record, too:
// a majority of them. (Invariant 2.)
func TestVotesOfTheFenceStandInTheRecord(t *testing.T) {
	f := newFleet(t, "observers mon-a/az-1 mon-b/az-2 mon-c/az-3\nresource orders-db primary standby sustain=1s fence=10s\n")
	f.play(t, "+0s store: write app/orders-db/URL0 primary\n+0s step orders-db fence ok 1s\n"+
		"+5s orders-db/primary refused\n+1800ms orders-db/primary ok\n+10s end\n")
	reply, err := f.worlds[0].store.Txn(context.Background(), []failover.Op{{Verb: failover.GetTree, Key: "reattach/history/orders-db/"}})
	if err != nil || len(reply.Entries) != 2 {
		t.Fatalf("%v, %d records", err, len(reply.Entries))
	}
	var rec failover.Record
	f.worlds[0].decode(reply.Entries[1], &rec)
	down := map[string]bool{}
	for _, v := range rec.Votes {
		for _, saw := range v.Saw {
			if saw.Endpoint == "primary" && saw.State == policy.Down {
				down[v.Observer] = true
			}
		}
	}
	if rec.Kind != policy.Failover || len(down) < 2 {
		t.Errorf("the %s rests on %d votes that primary is down: %+v", rec.Kind, len(down), rec.Votes)
	}
}
