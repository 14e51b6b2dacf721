package probe_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

// TestClasses states for each class what it is evidence of. Everything that
// moves a handle rests on this table.
func TestClasses(t *testing.T) {
	for _, c := range []struct {
		class              probe.Class
		name               string
		group              probe.Group
		evidence, answered bool
	}{
		{probe.OK, "ok", probe.GroupServing, false, true},
		{probe.Refused, "refused", probe.GroupHard, true, false},
		{probe.Unreachable, "unreachable", probe.GroupHard, true, false},
		{probe.Timeout, "timeout", probe.GroupSilent, true, false},
		{probe.Reset, "reset", probe.GroupBroken, true, false},
		{probe.Garbled, "protocol", probe.GroupBroken, true, false},
		{probe.Role, "role", probe.GroupRole, false, true},
		{probe.Overloaded, "overloaded", probe.GroupPressed, false, true},
		{probe.Degraded, "degraded", probe.GroupPressed, false, true},
		{probe.Auth, "auth", probe.GroupOurs, false, true},
		{probe.TLS, "tls", probe.GroupOurs, false, false},
		{probe.Misconfigured, "misconfigured", probe.GroupOurs, false, true},
		{probe.NoAddress, "resolve", probe.GroupOurs, false, false},
		{probe.Local, "local", probe.GroupLocal, false, false},
	} {
		if c.class.String() != c.name || c.class.Group() != c.group || c.class.Evidence() != c.evidence || c.class.Answered() != c.answered {
			t.Errorf("%v: group %v, evidence %v, answered %v; want %+v", c.class, c.class.Group(), c.class.Evidence(), c.class.Answered(), c)
		}
	}
	if n := len(probe.Classes()); n != 14 {
		t.Errorf("%d classes: the table above is not whole", n)
	}
	if probe.None.Evidence() || probe.None.Answered() || probe.None.Group() != probe.GroupNone {
		t.Error("None says something")
	}
	if beyond := probe.Class(200); beyond.Evidence() || beyond.Answered() || beyond.Group() != probe.GroupNone || beyond.String() != "class(200)" {
		t.Error("a class that does not exist says something")
	}
}

func TestNames(t *testing.T) {
	for _, c := range probe.Classes() {
		roundTrip(t, c, new(probe.Class))
	}
	for _, p := range probe.Phases() {
		roundTrip(t, p, new(probe.Phase))
	}
	for k := probe.Session; k < probe.KindCount; k++ {
		roundTrip(t, k, new(probe.Kind))
	}
	if json.Unmarshal([]byte(`"nonsense"`), new(probe.Class)) == nil || json.Unmarshal([]byte(`"nonsense"`), new(probe.Phase)) == nil ||
		json.Unmarshal([]byte(`"nonsense"`), new(probe.Kind)) == nil {
		t.Error("nonsense was read")
	}
	if probe.Phase(99).String() != "phase(99)" || probe.Kind(99).String() != "kind(99)" {
		t.Error("what does not exist has a name")
	}
	for _, name := range []string{"off", "prefer", "require", "verify"} {
		if mode, err := probe.ParseTLSMode(name); err != nil || mode.String() != name {
			t.Errorf("%s is %v (%v)", name, mode, err)
		}
	}
	for _, name := range []string{"", "default", "on"} {
		if _, err := probe.ParseTLSMode(name); err == nil {
			t.Errorf("mode %q was read", name)
		}
	}
}

// roundTrip writes a value as JSON and reads it again into empty.
func roundTrip[T comparable](t *testing.T, value T, empty *T) {
	t.Helper()
	b, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(b, empty)
	}
	if err != nil || *empty != value || !strings.HasPrefix(string(b), `"`) {
		t.Errorf("%v became %s became %v (%v)", value, b, *empty, err)
	}
}

func TestTimings(t *testing.T) {
	var timings probe.Timings
	timings[probe.PhaseConnect], timings[probe.PhaseRole] = 1500*time.Microsecond, 2*time.Second
	b, err := json.Marshal(timings)
	if err != nil || string(b) != `{"connect":1.5,"role":2000}` {
		t.Errorf("%s (%v)", b, err)
	}
	if !(probe.Result{Class: probe.Auth}).Failed() || (probe.Result{Class: probe.OK}).Failed() {
		t.Error("Failed is wrong")
	}
}

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "",
		"plain text":                     "plain text",
		"two\r\nlines\tand \x1b[31mred":  "two lines and [31mred",
		"\xff\xfebroken\x00":             "broken",
		"ünïcode":                        "ünïcode",
		"pw=hunter2, again hunter2":      "pw=***, again ***",
		strings.Repeat("x", 10_000):      strings.Repeat("x", 240) + "…",
		strings.Repeat("ü", 240):         strings.Repeat("ü", 240),
		"\u202eright to left \u200b gap": "right to left gap",
	} {
		if got := probe.Line(in, "", "hunter2"); got != want {
			t.Errorf("%.40q: got %.80q, want %.80q", in, got, want)
		}
	}
}
