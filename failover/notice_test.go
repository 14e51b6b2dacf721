package failover_test

import (
	"slices"
	"testing"

	"github.com/reattach/reattach/failover"
)

// TestLasting: what is left of notices after each of them was told.
func TestLasting(t *testing.T) {
	held := failover.Notice{Key: "ra/1.x.held.candidate", Event: "held", Outage: "ra/1.x", Lasts: true}
	class := failover.Notice{Key: "ra/1.x.held.class", Event: "held", Outage: "ra/1.x", Lasts: true}
	lost := failover.Notice{Key: "store_lost", Event: "store_lost", Lasts: true}
	switched := failover.Notice{Key: "ra/2.failover", Event: "failover", Outage: "ra/1.x", Lasts: true}
	over := func(n failover.Notice, acked bool) failover.Notice { n.Over, n.Acked = true, acked; return n }
	recovered := failover.Notice{Key: "ra/1.x.recovered", Event: "recovered", Outage: "ra/1.x", Over: true}
	acked := over(recovered, true)
	for name, tt := range map[string]struct {
		told []failover.Notice
		want []string // keys; an acknowledged one with a +
	}{
		"what does not last":         {[]failover.Notice{{Key: "ra/2.switchover", Event: "switchover"}, lost}, []string{"store_lost"}},
		"its own end":                {[]failover.Notice{lost, held, over(lost, false)}, []string{held.Key}},
		"the end of an outage":       {[]failover.Notice{held, lost, class, recovered}, []string{"store_lost"}},
		"a failover carries it on":   {[]failover.Notice{held, class, switched}, []string{"ra/2.failover"}},
		"and ends with the outage":   {[]failover.Notice{held, switched, recovered}, nil},
		"told again":                 {[]failover.Notice{lost, held, lost}, []string{"store_lost", held.Key}},
		"acknowledged":               {[]failover.Notice{held, lost, acked}, []string{held.Key + "+", "store_lost"}},
		"acknowledged and passed":    {[]failover.Notice{held, lost, acked, recovered}, []string{"store_lost"}},
		"worse since it was":         {[]failover.Notice{lost, over(lost, true), lost}, []string{"store_lost"}},
		"the end of nothing":         {[]failover.Notice{recovered}, nil},
		"one outage of several":      {[]failover.Notice{held, {Key: "rb/1.y.held.class", Outage: "rb/1.y", Lasts: true}, recovered}, []string{"rb/1.y.held.class"}},
		"no outage is not an outage": {[]failover.Notice{lost, {Key: "ra/denied", Lasts: true}, {Key: "x", Over: true}}, []string{"store_lost", "ra/denied"}},
	} {
		t.Run(name, func(t *testing.T) {
			var left []failover.Notice
			for _, n := range tt.told {
				left = failover.Lasting(left, n)
			}
			var got []string
			for _, n := range left {
				if n.Acked {
					n.Key += "+"
				}
				got = append(got, n.Key)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("left are %v, want %v", got, tt.want)
			}
		})
	}
}
