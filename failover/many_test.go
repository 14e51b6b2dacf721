package failover_test

import (
	"fmt"
	"strings"
	"testing"
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
