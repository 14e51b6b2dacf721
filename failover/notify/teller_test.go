package notify

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reattach/reattach/failover"
)

// by is a notice that another observer has told.
func by(teller string, n failover.Notice) failover.Notice { n.Teller = teller; return n }

// TestToldElsewhere: what another observer has told is kept and handed to nobody; if
// its end is for this one to tell, it reaches those who were to hear of the beginning.
func TestToldElsewhere(t *testing.T) {
	for name, tt := range map[string]struct {
		keep []failover.Notice
		want []string
		left int // active
	}{
		"a beginning":                   {[]failover.Notice{by("b", held("r1"))}, nil, 1},
		"and its end, by the other":     {[]failover.Notice{by("b", held("r1")), by("b", recovered("r1"))}, nil, 0},
		"and its end, by this one":      {[]failover.Notice{by("b", held("r1")), recovered("r1")}, []string{"r1/1.1 over r1/1.1.recovered!"}, 0},
		"a beginning by this one":       {[]failover.Notice{held("r1"), by("b", recovered("r1"))}, []string{"r1/1.1 r1/1.1.held.damping"}, 0},
		"what needs no end":             {[]failover.Notice{by("b", moved("r1", 2))}, nil, 0},
		"told again, now by this one":   {[]failover.Notice{by("b", held("r1")), held("r1")}, []string{"r1/1.1 r1/1.1.held.damping"}, 1},
		"the end of what nobody told":   {[]failover.Notice{recovered("r1")}, nil, 0},
		"a quiet kind that another saw": {[]failover.Notice{by("b", failover.Notice{Key: "r1/1.suspect", Event: "suspect", Resource: "r1", At: time.Now()})}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t)
			synctest.Test(t, func(t *testing.T) {
				in := &inbox{}
				o, stop := running(t, path, to(dest("ops", in)))
				for i, n := range tt.keep {
					if keep(t, o, n); i == 0 {
						time.Sleep(5 * time.Second) // in a bubble of synctest
						stop()
						o, stop = running(t, path, to(dest("ops", in))) // a restart between the two
					}
				}
				time.Sleep(5 * time.Second)
				if got := in.taken(); !slices.Equal(got, tt.want) {
					t.Errorf("taken was %q, want %q", got, tt.want)
				}
				if got := len(o.Active()); got != tt.left {
					t.Errorf("%d active, want %d", got, tt.left)
				}
				if told, err := o.Events(0, "", 10); err != nil || len(told) != len(tt.keep) {
					t.Errorf("events: %v, %+v", err, told)
				}
				if n := matters(o); n > tt.left {
					t.Errorf("%d matters are left", n)
				}
				stop()
			})
		})
	}
}
