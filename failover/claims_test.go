package failover_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
)

// TestFleetAtRest: three observers who have nothing to tell and nothing to do write
// nothing, and ask for no more than they must.
func TestFleetAtRest(t *testing.T) {
	f := newFleet(t, `observers mon-a/az-1 mon-b/az-2 mon-c/az-3
resource orders-db primary standby
resource mail-db primary standby
+0s store: write app/orders-db/URL0 primary
+0s store: write app/mail-db/URL0 primary`)
	f.play(t, "+0s store: write app/orders-db/URL0 primary\n+0s store: write app/mail-db/URL0 primary\n+30s end")
	var writes []string
	reads := 0
	for _, w := range f.worlds {
		w.landed = func(tx failover.Transact) {
			if slices.ContainsFunc(tx.Ops, func(op failover.Op) bool { return op.Verb.Writes() }) {
				writes = append(writes, w.cfg.Observer+" "+string(tx.Purpose))
			}
			reads++
		}
	}
	f.run(f.now.Add(5 * time.Minute))
	if len(writes) > 0 {
		t.Errorf("written at rest: %v", writes)
	}
	if most := 3 * 310; reads > most || reads < 3*290 {
		t.Errorf("%d transactions in 5 minutes, want one a second for each", reads)
	}
}

// TestTellOps: a claim is made on nothing but what was read, with the claim on its
// outage beside it, and takes away what it makes needless.
func TestTellOps(t *testing.T) {
	const tree = "reattach/notice/ra/"
	list := func(ops []failover.Op) (lines []string) {
		for _, op := range ops {
			lines = append(lines, strings.Replace(op.String(), tree, "", 1))
		}
		return lines
	}
	claim := failover.Claim{By: "mon-a", ID: "1", Key: "ra/1.x.held.quorum", Outage: "ra/1.x", Lasts: true}
	mine, other := failover.Claim{By: "mon-a", Key: "ra/1.x"}, failover.Claim{By: "mon-b", Key: "ra/1.x"}
	absent, there := failover.Entry{Key: tree + "1.outage"}, failover.Entry{Key: tree + "1.outage", ModifyIndex: 7}
	alone := claim
	alone.Outage = ""
	for name, tt := range map[string]struct {
		ops  []failover.Op
		want []string
	}{
		"a matter of its own":        {failover.TellOps(failover.Entry{Key: tree + "not_protected"}, alone, failover.Entry{}, failover.Claim{}, nil), []string{"cas not_protected @0"}},
		"the first of an outage":     {failover.TellOps(failover.Entry{Key: tree + "1.held.quorum"}, claim, absent, mine, nil), []string{"cas 1.held.quorum @0", "cas 1.outage @0"}},
		"a further one, by the same": {failover.TellOps(failover.Entry{Key: tree + "1.held.class"}, claim, there, mine, nil), []string{"cas 1.held.class @0", "cas 1.outage @7"}},
		"and by another":             {failover.TellOps(failover.Entry{Key: tree + "1.held.class"}, claim, there, other, nil), []string{"cas 1.held.class @0", "check-index 1.outage @7"}},
		"taken over": {failover.TellOps(failover.Entry{Key: tree + "1.held.quorum", ModifyIndex: 5}, claim, there, mine, []failover.Entry{{Key: tree + "1.held.class", ModifyIndex: 6}}),
			[]string{"cas 1.held.quorum @5", "cas 1.outage @7", "delete-cas 1.held.class @6"}},
	} {
		if got := list(tt.ops); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
