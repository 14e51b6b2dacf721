package smtp_test

import (
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

// heard finds the commands of clients in the log of a Postfix that was told to log
// them; what follows AUTH is no command, and longer than one.
var heard = regexp.MustCompile(`< [^ ]+\[[\d.]+\]: ([A-Za-z]{4,8})(?: .*)?\r?\n`)

// verbs are the commands that a log shows, and how often.
func verbs(log string) map[string]int {
	out := map[string]int{}
	for _, m := range heard.FindAllStringSubmatch(log, -1) {
		out[strings.ToUpper(m[1])]++
	}
	return out
}

// testCommands holds by the relay's own log what a probe says, at every depth and
// by every way in: never a recipient, and never DATA, so no probe can send mail.
func testCommands(t *testing.T, p relay) {
	p.set(t, "debug_peer_list", "0.0.0.0/0")
	before := len(p.Logs())
	for _, scheme := range []string{"smtp", "submission", "smtps"} {
		for _, depth := range []probe.Phase{probe.PhaseConnect, probe.PhaseGreet, probe.PhaseAuth, probe.PhasePing, probe.PhaseRole, probe.PhaseRead, probe.PhaseWrite} {
			tg := p.secure(t, scheme, "", "")
			if scheme != "smtp" {
				tg = p.secure(t, scheme, "probe%40lab.test", "probe-secret")
			}
			tg.Depth = depth
			want(t, once(t, tg), probe.OK, probe.PhaseNone, "")
		}
	}
	said := func() map[string]int { return verbs(p.Logs()[before:]) }
	eventually(t, func() bool { return said()["QUIT"] >= 18 }) // each but those that only connect
	usual := []string{"AUTH", "EHLO", "MAIL", "NOOP", "QUIT", "RSET", "STARTTLS"}
	if got := slices.Sorted(maps.Keys(said())); !slices.Equal(got, usual) {
		t.Errorf("the probes said %v; want %v", got, usual)
	}

	conn, err := net.Dial("tcp", p.Addr()) // the proof that the log would have shown it
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Read(make([]byte, 512)); err != nil { // its greeting
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("DATA\r\n")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return said()["DATA"] == 1 })
}
