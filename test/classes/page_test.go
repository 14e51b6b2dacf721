package classes

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

var update = flag.Bool("update", false, "rewrite deployments/docs/classes.md from the table of these tests")

const page = "../../deployments/docs/classes.md"

// TestPage: the page says what the table says.
func TestPage(t *testing.T) {
	want := render()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the table says: go test ./test/classes -run Page -update", page)
	}
}

// meaning is what a class is to a switch, in the words of somebody on call.
var meaning = map[probe.Class]string{
	probe.OK:            "It answered as it should.",
	probe.Refused:       "The host is there, and nobody listens: the process is dead, or a firewall says so.",
	probe.Unreachable:   "Nobody answers for that address: the host is gone.",
	probe.Timeout:       "No answer in time: it hangs, or packets vanish.",
	probe.Reset:         "The connection was accepted, then closed without the word that was due.",
	probe.Garbled:       "Something answered, and not in this protocol: a proxy, or another service.",
	probe.Role:          "It serves, and is not what `expect` says, as read-only.",
	probe.Overloaded:    "It is alive and has no room for us: too many connections, a full disk.",
	probe.Degraded:      "It is alive and does not serve as it should: an alarm, maintenance, a part that is down.",
	probe.Auth:          "It is alive and rejects our credentials, or our host.",
	probe.TLS:           "The certificate, or the settings of TLS on either side.",
	probe.Misconfigured: "It is alive and lacks what the URL names, or will not speak to us.",
	probe.NoAddress:     "A nameserver says that the name has no address.",
	probe.Local:         "Our own fault: no route, no file descriptors, no nameserver that answers.",
}

// counts says whether what a row came to counts as failure.
func (r row) counts() string {
	wrote := policy.Verdict{Kind: probe.Write, Class: r.class}
	if r.writes && policy.CountsAsBad(wrote, policy.Thresholds{WriteSustain: 1}) {
		return "yes"
	}
	return counts(r.class)
}

// counts says whether a class counts as failure.
func counts(c probe.Class) string {
	switch c.Group() {
	case probe.GroupServing:
		return "no, it is well"
	case probe.GroupHard, probe.GroupSilent, probe.GroupBroken:
		return "yes"
	case probe.GroupRole:
		return "only with `expect`"
	case probe.GroupLocal:
		return "never: this observer does not judge"
	}
	return "no, it is told"
}

const introduction = `# Classes: what a probe makes of a fault

Each probe ends in a class, with the phase of the conversation in which it stopped and the server's own code. Only some classes count as
failure, and only they, for as long as ` + "`sustain`" + ` and as often as ` + "`fail_after`" + ` say, lead to a switch. The others mean that the server is alive, or
that the fault is ours: a standby would mostly do the same, so they are told and nothing is switched.

## What each class means for a switch

"No, it is told" becomes yes, after ` + "`also_sustain`" + `, where ` + "`also_evidence`" + ` names the class and the standby is well with the same credentials. A row
that is written to a database, by ` + "`depth = \"write\"`" + `, has a ` + "`sustain`" + ` of its own, and ` + "`degraded`" + ` counts: whoever asks for it wants to know whether rows can be written.

| class | what it says | counts as failure? |
| --- | --- | --- |
`

const before = `
## What was done to which server, and what a probe said

Each row was brought about on a real server: MariaDB 11.8, MySQL 9.7, RabbitMQ 4.0, Postfix 3.10, memcached 1.6. "Or" stands where the moment
decides. A dash is no code: the server had said nothing, or nothing with a code. "Any" is the probe's own host, whatever it asks.

| service | what was done | class | phase | code | counts as failure? |
| --- | --- | --- | --- | --- | --- |
`

const closing = `
## Where a fault of ours looks like theirs

- Clear text spoken to a TLS port is silence to Postfix (` + "`timeout`" + `) and a closed connection to memcached (` + "`reset`" + `): write ` + "`smtps`" + `, or
  ` + "`tls { mode = \"require\" }`" + `. ` + "`reattach check --live`" + ` has each conversation once, before the daemon does, and says what came.
- A memcached started with ` + "`no_maxconns_fast`" + ` does not refuse the connection that is too many, it leaves it waiting: that is a hang to every client, and counts.
- A ` + "`timeout`" + ` shorter than postscreen waits with its greeting makes a well relay look dead.
- A router's "net unreachable" cannot be told from a route that we lack ourselves, so it is ` + "`local`" + ` and switches nothing.

## How this page is made

The test that did all this writes this page: ` + "`go test ./test/classes`" + ` holds every row against the servers, ` + "`go test ./test/classes -run Page -update`" + ` writes the
page from its table and needs no server. MySQL itself cannot be had everywhere; its rows stay in the page where it is missing, and are held wherever it is there.
`

func render() string {
	var b strings.Builder
	b.WriteString(introduction)
	for _, c := range probe.Classes() {
		fmt.Fprintf(&b, "| `%v` | %s | %s |\n", c, meaning[c], counts(c))
	}
	b.WriteString(before)
	for _, l := range lines() {
		who := strings.Join(l.services, ", ")
		if len(l.services) == servers() {
			who = "every one"
		}
		class, phase, code := fmt.Sprintf("`%v`", l.class), l.phase.String(), l.code
		if l.or != nil && l.or.class != l.class {
			class += fmt.Sprintf(" or `%v`", l.or.class)
		}
		if l.or != nil && l.or.phase != l.phase {
			phase += " or " + l.or.phase.String()
		}
		if l.or != nil && l.or.code != l.code {
			code += " or " + l.or.code
		}
		if code == "" {
			code = "–"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", who, l.done, class, phase, code, l.counts())
	}
	b.WriteString(closing)
	return b.String()
}

// servers is how many services are tried with everything that can be done to any
// server; the others are there for what is their own.
func servers() (n int) {
	for _, s := range services() {
		if slices.ContainsFunc(s.rows, func(r row) bool { return r.done == nothing }) {
			n++
		}
	}
	return n
}

// line is a row of the page: what is the same for several services stands once.
type line struct {
	services []string
	row
}

func lines() (all []*line) {
	for _, s := range services() {
		for _, r := range s.rows {
			same := slices.IndexFunc(all, func(l *line) bool {
				return l.done == r.done && l.outcome == r.outcome && (l.or == nil) == (r.or == nil) && (r.or == nil || *l.or == *r.or)
			})
			if same < 0 {
				all = append(all, &line{[]string{s.name}, r})
				continue
			}
			all[same].services = append(all[same].services, s.name)
		}
	}
	slices.SortStableFunc(all, func(a, b *line) int { // what holds for every one first, the others as they came
		every := func(l *line) bool { return len(l.services) == servers() }
		switch {
		case every(a) == every(b):
			return 0
		case every(a):
			return -1
		}
		return 1
	})
	return all
}
