package mysql

import (
	"strings"
	"testing"

	"github.com/reattach/reattach/probe"
)

func TestGtidWithin(t *testing.T) {
	for _, c := range []struct {
		received, applied string
		within, known     bool
	}{
		{"0-1-21", "0-1-21", true, true},
		{"0-1-21", "0-2-22", true, true}, // another server's turn in the same domain
		{"0-1-21", "0-1-20", false, true},
		{"0-1-21,1-5-3", "0-1-21", false, true},
		{"0-1-21", "0-1-21,1-5-3", true, true},
		{"0-1-21", "", false, true},
		{"0-1", "0-1-21", false, false},
		{"0-1-x", "0-1-21", false, false},
		{"0-1-21", "nonsense", false, false},
	} {
		if within, known := gtidWithin(c.received, c.applied); within != c.within || known != c.known {
			t.Errorf("%q within %q: %v (known %v)", c.received, c.applied, within, known)
		}
	}
}

func TestOwnGtids(t *testing.T) {
	const a, b = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "9bb8b3c4-0000-11f1-9e33-c80aa9429562"
	for _, c := range []struct{ set, self, own string }{
		{"0-1-21,0-2-30", "1", "0-1-21"},
		{"0-2-30", "1", ""},
		{"0-1-21,7-1-4,0-11-5", "1", "0-1-21,7-1-4"},
		{"", "1", ""},
		{a + ":1-9,\n" + b + ":1-3:5", b, b + ":1-3:5"},
		{a + ":1-9", b, ""},
		{a + ":1-9:tagged:1-2", strings.ToUpper(a), a + ":1-9:tagged:1-2"},
		{"nonsense", "1", ""},
	} {
		if own := ownGtids(c.set, c.self); own != c.own {
			t.Errorf("of %q, %s wrote %q; want %q", c.set, c.self, own, c.own)
		}
	}
}

func TestAppliedPositions(t *testing.T) {
	old := func(file, read, at, exec string) source {
		return source{"Master_Log_File": file, "Read_Master_Log_Pos": read, "Relay_Master_Log_File": at, "Exec_Master_Log_Pos": exec}
	}
	for _, c := range []struct {
		name           string
		s              source
		applied, known bool
	}{
		{"all", old("b.7", "400", "b.7", "400"), true, true},
		{"behind", old("b.7", "400", "b.7", "300"), false, true},
		{"an earlier file", old("b.7", "400", "b.6", "400"), false, true},
		{"never read", old("", "4", "", "0"), false, false},
		{"new names", source{"Source_Log_File": "b.7", "Read_Source_Log_Pos": "4", "Relay_Source_Log_File": "b.7", "Exec_Source_Log_Pos": "4"}, true, true},
	} {
		if applied, known := c.s.appliedPositions(); applied != c.applied || known != c.known {
			t.Errorf("%s: %v (known %v)", c.name, applied, known)
		}
	}
}

// TestLagIsUnknownWhileNothingRuns: NULL, and the 0 that a hanging source leaves.
func TestLagIsUnknownWhileNothingRuns(t *testing.T) {
	for _, c := range []struct {
		io, sql, behind string
		known           bool
	}{{"Yes", "Yes", "0", true}, {"Yes", "Yes", "", false}, {"Connecting", "Yes", "0", false}, {"Yes", "No", "0", false}} {
		s := source{"Slave_IO_Running": c.io, "Slave_SQL_Running": c.sql, "Seconds_Behind_Master": c.behind}
		if _, known := s.lag(); known != c.known {
			t.Errorf("%+v: known is %v", c, known)
		}
	}
}

// TestGtidSetStandsInAStatement: what a server calls its set is not believed.
func TestGtidSetStandsInAStatement(t *testing.T) {
	for set, ok := range map[string]bool{
		"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7,aa:tag:1": true, "": true,
		"x'": false, "a:1), SLEEP(9": false, "a\x00": false, "a\\": false,
	} {
		if isGtidSet(set) != ok {
			t.Errorf("%q: %v", set, !ok)
		}
	}
}

// TestLongSetsDiffer: whoever compares two positions sees each step, wherever it is
// in a set that is too long to be shown.
func TestLongSetsDiffer(t *testing.T) {
	set := "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5" + strings.Repeat(":7-9", 200) + ":5000-"
	learn := func(own string) any {
		script := []string{mariaHello, packet(2, okPayload), packet(2, okPayload), packet(2, okPayload), resultOf("9.7", "0", "0", "uid"), resultOf("Uptime", "7"),
			tableOf([]string{"a", "b", "c"}, []string{own, own, "3e11fa47-71ca-11e1-9e33-c80aa9429562"}), noRows("Master_Host")}
		r := probe.Once(t.Context(), Protocol, aim(t, scripted(t, script...)))
		if r.Class != probe.OK || r.Facts["gtid"] != r.Facts["gtid_own"] {
			t.Errorf("%+v", r)
		}
		return r.Facts["gtid_own"]
	}
	if a, b := learn(set+"5001"), learn(set+"5002"); a == b || a == nil {
		t.Errorf("%v and %v", a, b)
	}
}
