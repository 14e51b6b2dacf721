package httpapi

import (
	"fmt"
	"strings"

	"github.com/reattach/reattach/failover"
)

// ObserverLine is how one of several observers is, for people.
type ObserverLine struct {
	Name, Zone string
	Level      Attention
	Text       string
}

// Dot is the class of the mark before it on the page.
func (l ObserverLine) Dot() string { return [...]string{"up", "suspect", "down"}[l.Level] }

// Observers says how each observer is, and since when; nil where there is one.
func Observers(s failover.Status) (lines []ObserverLine) {
	for _, o := range s.Observers {
		l := ObserverLine{Name: o.Name, Zone: o.Zone}
		l.Level, l.Text = observerText(o, s)
		lines = append(lines, l)
	}
	return lines
}

func observerText(o failover.ObserverStatus, s failover.Status) (Attention, string) {
	since := ""
	if !o.Since.IsZero() {
		since = " for " + Age(s.AsOf.Sub(o.Since))
	}
	switch {
	case o.Self && o.Blind != "":
		return Alarm, "this one, blind: " + o.Blind
	case o.Self:
		return Calm, "this one," + since
	case o.Since.IsZero():
		return Watch, "was not asked yet"
	case !o.Answers:
		return Alarm, "does not answer" + since + ": " + o.Error
	}
	level, parts := Calm, []string{"answers" + since}
	if o.Blind != "" {
		level, parts = Alarm, append(parts, "blind: "+o.Blind)
	}
	if len(o.Differs) > 0 {
		level = max(level, Watch)
		parts = append(parts, "its votes do not count, because it has another configuration of "+fewOf(o.Differs))
	}
	if o.Version != s.Version {
		level = max(level, Watch)
		parts = append(parts, fmt.Sprintf("version %s, and here %s", o.Version, s.Version))
	}
	return level, strings.Join(parts, "; ")
}

// fewOf names the first of many.
func fewOf(names []string) string {
	const few = 3
	if len(names) <= few+1 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}
