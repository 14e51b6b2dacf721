package daemon

import (
	"fmt"
	"strings"
	"time"
)

// Says asks a command until its output holds the text, for at most 10 s. White
// space counts for one blank each time, as people read it.
func (d *Daemon) Says(text string, args ...string) {
	d.t.Helper()
	var out string
	Eventually(d.t, patience, fmt.Sprintf("reattach %s says %q", strings.Join(args, " "), text), func() bool {
		out, _ = d.Command(args...)
		return strings.Contains(strings.Join(strings.Fields(out), " "), text)
	}, func() string { return out })
}

// Told waits until a notice of that kind, with that text in it, is on record.
func (d *Daemon) Told(event, text string, limit time.Duration) {
	d.t.Helper()
	var out string
	Eventually(d.t, limit, fmt.Sprintf("told: %s, with %q", event, text), func() bool {
		out, _ = d.Command("events", "--since", "1h", "--json")
		for line := range strings.Lines(out) {
			if strings.Contains(line, `"`+event+`"`) && strings.Contains(line, text) {
				return true
			}
		}
		return false
	}, func() string { return out })
}
