package smtp

import (
	"strings"

	"github.com/reattach/reattach/probe"
)

// verb is what a reply answers.
type verb string

// What a probe says, or waits for.
const (
	every    verb = ""
	greeting verb = "greeting"
	ehlo     verb = "EHLO"
	starttls verb = "STARTTLS"
	login    verb = "AUTH"
	noop     verb = "NOOP"
	mail     verb = "MAIL"
	rset     verb = "RSET"
)

// rule says what a refusal means: of which verb, with which code. A code below
// 10 stands for all that begin with it.
type rule struct {
	verb  verb
	code  int
	class probe.Class
}

// rules are tried in order. A server that says any of this is alive and speaks
// the protocol, so none of them is evidence of failure.
var rules = []rule{
	{starttls, 4, probe.TLS}, // 454: it cannot load its certificate
	{starttls, 5, probe.TLS},
	{every, 421, probe.Overloaded},    // too many sessions, or shutting down
	{every, 452, probe.Overloaded},    // disk full
	{login, 432, probe.Auth},          // the password must be changed
	{login, 4, probe.Degraded},        // 454: what it asks for passwords is out of order
	{login, 502, probe.Misconfigured}, // it takes no logins here
	{login, 504, probe.Misconfigured}, // nor any of this kind
	{login, 5, probe.Auth},            // 535, and its kin 525, 534, 538
	{every, 530, probe.Auth},          // it wants a login
	{every, 535, probe.Auth},
	{every, 4, probe.Degraded},      // 450, 451: not now
	{every, 5, probe.Misconfigured}, // 554 as a greeting: not for clients like us
}

// refusal is the failure that a reply to v stands for. In clear text 530 asks
// for TLS, not for a login.
func refusal(v verb, r reply, encrypted bool) error {
	class := probe.Garbled // a positive reply of the wrong kind
	for _, rule := range rules {
		if (rule.verb == every || rule.verb == v) && (rule.code == r.code || rule.code == r.code/100) {
			class = rule.class
			break
		}
	}
	if r.code == 530 && !encrypted && v != login {
		class = probe.TLS
	}
	return probe.Failure{Class: class, Code: r.status(), Text: strings.Join(r.lines, " ")}
}
