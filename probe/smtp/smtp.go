// Package smtp probes mail servers: relays on port 25, and submission on 587
// and 465.
//
// A conversation waits for the whole greeting (postscreen keeps its last line
// back for seconds, and blocks who speaks before it), then EHLO, STARTTLS and
// EHLO anew where they are wanted, AUTH where the URL or the probe has a user,
// NOOP and QUIT. At depth "role" or "read" an empty sender with a size, taken
// back by RSET, stands in for NOOP: that sees a full disk. DATA is never said.
//
// A password is sent over TLS only, unless the TLS mode "off" asks for clear
// text in so many words.
//
// Every session holds a process of the server, and NOOP counts as junk in some:
// so nothing is held open between probes.
//
// What leaves a trace: a server that falls silent in the middle logs a lost
// connection when it wakes, and depth "connect" on port 465 one that never
// spoke TLS. The protocol gives no way to avoid either.
package smtp

import (
	"time"

	"github.com/reattach/reattach/probe"
)

// Protocol is SMTP as the rest of the program knows it.
var Protocol = probe.Protocol{
	Name: "smtp",
	Schemes: []probe.Scheme{
		{Name: "smtp", Port: "25", TLS: probe.TLSPrefer},
		{Name: "submission", Port: "587", TLS: probe.TLSVerify},
		{Name: "smtps", Port: "465", TLS: probe.TLSVerify},
	},
	Prober: prober{},
	Depths: []probe.Phase{probe.PhaseRead},
	Defaults: probe.Defaults{
		Interval: 30 * time.Second, FreshInterval: 30 * time.Second, Timeout: 15 * time.Second,
		SuspectInterval: 2 * time.Second, Sustain: 30 * time.Second,
		// A greeting may be kept back for long, to unmask those who do not wait.
		TimeoutFloor: 10 * time.Second, RestartTime: 5 * time.Second,
	},
	Traits: probe.Traits{LeftWork: true, LeftWorkCommand: func(probe.URL) string { return "postqueue -p" }},
	Facts: []probe.Fact{
		{Name: "host", Type: "string", Meaning: "what the server calls itself in its greeting: mail.example.org", Phase: probe.PhaseGreet},
		{Name: "banner", Type: "string", Meaning: "the rest of the greeting: ESMTP Postfix", Phase: probe.PhaseGreet},
		{Name: "starttls", Type: "bool", Meaning: "it offers STARTTLS", Phase: probe.PhaseGreet},
		{Name: "auth", Type: "string", Meaning: "the ways to log in that it offers, in its order: PLAIN LOGIN", Phase: probe.PhaseGreet},
		{Name: "size_limit", Type: "int64", Meaning: "the largest message that it takes, in bytes; absent when it names no limit", Phase: probe.PhaseGreet},
		{Name: "extensions", Type: "string", Meaning: "the extensions that it offers, sorted: 8BITMIME DSN SIZE", Phase: probe.PhaseGreet},
		{Name: "tls_version", Type: "string", Meaning: "the version of TLS spoken: TLS 1.3", Phase: probe.PhaseTLS},
		{Name: "tls_expiry", Type: "string", Meaning: "when the first certificate of the server's chain ends, RFC 3339", Phase: probe.PhaseTLS},
	},
}

// defaultMode is what [probe.TLSDefault] means for a scheme. It repeats
// Protocol's table, which the prober cannot ask: it is part of it.
func defaultMode(scheme string) probe.TLSMode {
	if scheme == "smtp" {
		return probe.TLSPrefer
	}
	return probe.TLSVerify
}
