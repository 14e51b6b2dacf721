package httpapi

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// Attention says how much of a person's attention a resource wants.
type Attention uint8

// The degrees.
const (
	Calm  Attention = iota // protected, nothing to do
	Watch                  // it serves, but not all is as it should be
	Alarm                  // it does not serve, or a person must decide
)

// String returns "calm", "watch" or "alarm".
func (a Attention) String() string { return [...]string{"calm", "watch", "alarm"}[a] }

// AttentionOf says how much attention r wants. It decides nothing but colours.
func AttentionOf(r failover.ResourceStatus) Attention {
	if r.Hold != nil || r.Outage != nil {
		return Alarm
	}
	switch r.Condition {
	case policy.Foreign.String(), policy.Deleted.String(), policy.Empty.String():
		return Alarm
	}
	calm := r.Protected && r.Paused == "" && r.Condition == policy.Ours.String()
	for _, e := range r.Endpoints {
		switch {
		case e.Attached && e.State == policy.Down:
			return Alarm
		case e.State != policy.Up && e.Drained == "", e.Tainted != "":
			calm = false
		}
	}
	if calm {
		return Calm
	}
	return Watch
}

// Notices sorts what people were told, and what is not over, for display: next
// is, for each resource that holds a switch, the command to type; rest is all
// that a hold does not say itself, newest first.
func Notices(s failover.Status) (next map[string]string, rest []failover.Notice) {
	held := map[string]bool{}
	for _, r := range s.Resources {
		held[r.Name] = r.Hold != nil
	}
	next = map[string]string{}
	for _, n := range slices.Backward(s.Notices) {
		switch {
		case n.Over:
		case n.Event != "held" || !held[n.Resource]:
			rest = append(rest, n)
		case next[n.Resource] == "":
			next[n.Resource] = n.Next
		}
	}
	return next, rest
}

// waitsLong is how long a notice may be on its way before people should know.
const waitsLong = time.Minute

// Trouble is a destination of notices that does not take them.
type Trouble struct {
	Notifier string
	Level    Attention
	Text     string // all of it in one line
}

// Troubles says which destinations of notices are in trouble: first those that
// take none now, then those that missed some; each in the order of how long
// they have waited.
func Troubles(s failover.Status) []Trouble {
	all := slices.Clone(s.Notifiers)
	// Where nothing waits, Oldest is zero, and there is no trouble of the first degree.
	slices.SortStableFunc(all, func(a, b failover.NotifierStatus) int { return a.Oldest.Compare(b.Oldest) })
	var out []Trouble
	for _, n := range all {
		if level := troubleOf(n, s.AsOf); level != Calm {
			out = append(out, Trouble{n.Name, level, troubleText(n, s.AsOf)})
		}
	}
	slices.SortStableFunc(out, func(a, b Trouble) int { return int(b.Level) - int(a.Level) })
	return out
}

func troubleOf(n failover.NotifierStatus, now time.Time) Attention {
	switch {
	case n.Error != "" && n.Pending > 0, n.Pending > 0 && now.Sub(n.Oldest) > waitsLong:
		return Alarm
	case n.Dead > 0, n.Error != "":
		return Watch
	}
	return Calm
}

func troubleText(n failover.NotifierStatus, now time.Time) string {
	var parts []string
	if n.Pending > 0 {
		parts = append(parts, fmt.Sprintf("%s, the oldest for %s", count(n.Pending, "notice waits", "notices wait"), Age(now.Sub(n.Oldest))))
	}
	if n.Dead > 0 {
		parts = append(parts, count(n.Dead, "notice was given up", "notices were given up"))
	}
	if n.Error != "" {
		parts = append(parts, "last error: "+n.Error)
	}
	return fmt.Sprintf("notifier %s (%s): %s", n.Name, n.Kind, strings.Join(parts, "; "))
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Age says how long d is, in the one or two units that matter: "12 s", "4 min",
// "3 h 20 min", "2 d 5 h". What lies in the future is "0 s".
func Age(d time.Duration) string {
	d = max(d, 0)
	two := func(a int, x string, b int, y string) string {
		if b == 0 {
			return fmt.Sprintf("%d %s", a, x)
		}
		return fmt.Sprintf("%d %s %d %s", a, x, b, y)
	}
	hours, minutes := int(d/time.Hour), int(d/time.Minute)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d/time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%d min", minutes)
	case d < 24*time.Hour:
		return two(hours, "h", minutes%60, "min")
	case d < 100*24*time.Hour:
		return two(hours/24, "d", hours%24, "h")
	}
	return fmt.Sprintf("%d d", hours/24)
}

// Millis says how long a conversation or a phase took: "0.12 ms", "45 ms", "2.1 s".
func Millis(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms < 1:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f s", ms/1000)
}
