package failover_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// TestCanarysFacts: what only the canary learns stands beside what later
// conversations learn, until the next canary, until one fails, or until it is old.
func TestCanarysFacts(t *testing.T) {
	r := defineResource(t, "ra", []string{"primary", "standby"})
	r.Protocol.Canary, r.Protocol.Defaults.CanaryInterval = probe.PhaseWrite, 30*time.Second
	r.Protocol.Facts = []probe.Fact{{Name: "version", Type: "string", Phase: probe.PhaseGreet}, {Name: "queue(NAME)", Type: "bool"},
		{Name: "confirms", Type: "bool", Phase: probe.PhaseWrite}}
	e := failover.NewEngine(failover.Config{Observer: "mon-a", Observers: []string{"mon-a"}, Resources: []*policy.Resource{r}})
	now, late := start, probe.KindCount // late: a fresh one, much later
	for i, row := range []struct {
		kind  probe.Kind
		class probe.Class
		learn probe.Facts
		want  probe.Facts
	}{
		{probe.Fresh, probe.OK, probe.Facts{"version": "1"}, probe.Facts{"version": "1"}},
		{probe.Write, probe.OK, probe.Facts{"version": "1", "confirms": true, "queue(q)": true}, probe.Facts{"version": "1", "confirms": true, "queue(q)": true}},
		{probe.Fresh, probe.OK, probe.Facts{"version": "2"}, probe.Facts{"version": "2", "confirms": true}},
		{probe.Session, probe.OK, probe.Facts{"version": "old"}, probe.Facts{"version": "2", "confirms": true}},
		{probe.Write, probe.OK, probe.Facts{"version": "2", "confirms": false}, probe.Facts{"version": "2", "confirms": false}},
		{probe.Fresh, probe.OK, probe.Facts{"version": "3"}, probe.Facts{"version": "3", "confirms": false}},
		{probe.Write, probe.Degraded, probe.Facts{"version": "3"}, probe.Facts{"version": "3"}},
		{probe.Fresh, probe.OK, probe.Facts{"version": "4"}, probe.Facts{"version": "4"}},
		{probe.Write, probe.OK, probe.Facts{"version": "4", "confirms": true}, probe.Facts{"version": "4", "confirms": true}},
		{probe.Fresh, probe.Auth, probe.Facts{"version": "5"}, probe.Facts{"version": "5"}},
		{probe.Fresh, probe.OK, probe.Facts{"version": "5"}, probe.Facts{"version": "5"}},
		{probe.Write, probe.OK, probe.Facts{"version": "5", "confirms": true}, probe.Facts{"version": "5", "confirms": true}},
		{late, probe.OK, probe.Facts{"version": "5"}, probe.Facts{"version": "5", "confirms": true}},
		{late, probe.OK, probe.Facts{"version": "5"}, probe.Facts{"version": "5"}},
	} {
		now = now.Add(time.Second)
		if row.kind == late {
			row.kind, now = probe.Fresh, now.Add(50*time.Second)
		}
		res := probe.Result{Kind: row.kind, Class: row.class, Began: now, Ended: now, Facts: row.learn}
		e.Step(now, failover.Observed{Resource: "ra", Endpoint: "standby", Result: res})
		if diff := cmp.Diff(row.want, e.Status(now).Resources[0].Endpoints[1].Facts); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i+1, diff)
		}
	}
}
