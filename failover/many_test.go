package failover_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/reattach/reattach/policy"
)

// TestManyAtOnce: when many resources want a switch at the same time, few
// ballots are open at once, and all come to theirs within seconds.
func TestManyAtOnce(t *testing.T) {
	const resources, atOnce = 50, 16
	var story strings.Builder
	for i := range resources {
		fmt.Fprintf(&story, "resource r%02d a b bootstrap=true\n", i)
	}
	story.WriteString("+10s end\n")
	open, most, switched := 0, 0, 0
	for line := range strings.Lines(play(t, story.String())) {
		switch {
		case strings.HasSuffix(strings.TrimSpace(line), " read: ok"):
			open++ // the first step of a ballot
			most = max(most, open)
		case strings.Contains(line, " SWITCHED "):
			open--
			switched++
		}
	}
	if switched != resources {
		t.Errorf("%d of %d resources were bootstrapped", switched, resources)
	}
	if most > atOnce || most < 2 {
		t.Errorf("%d ballots were open at once, want at most %d", most, atOnce)
	}
}

// TestPaceAtOnce: when more resources fail at the same time than the pace allows for,
// no more are switched, whatever is on its way to the store.
func TestPaceAtOnce(t *testing.T) {
	const resources = 30
	var story strings.Builder
	for i := range resources {
		fmt.Fprintf(&story, "resource r%02d a b mass=proceed\n", i)
	}
	for i := range resources {
		fmt.Fprintf(&story, "+0s write app/r%02d/URL0 a\n", i)
	}
	story.WriteString("+5s end\n")
	for i := range resources {
		fmt.Fprintf(&story, "+0s r%02d/a refused\n", i)
	}
	story.WriteString("+30s end\n")
	if n := strings.Count(play(t, story.String()), " failover: a -> b"); n != policy.PaceLimit {
		t.Errorf("%d resources were switched within the minute, want %d", n, policy.PaceLimit)
	}
}
