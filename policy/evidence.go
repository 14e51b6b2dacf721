package policy

import (
	"slices"

	"github.com/reattach/reattach/probe"
)

// CountsAsBad reports whether what v rests on is evidence of failure under t.
func CountsAsBad(v Verdict, t Thresholds) bool {
	t = t.of(v.Kind)
	if slices.Contains(t.AlsoEvidence, v.Class) {
		return true
	}
	return t.hard(v.Class, v.WasOK)
}

// notEvidence says why a class does not call for a switch.
func notEvidence(c probe.Class) string {
	switch c {
	case probe.Auth:
		return "the server is alive and rejects our credentials; a standby would mostly do the same"
	case probe.TLS:
		return "TLS settings or certificates are at fault; a standby would mostly fail the same way"
	case probe.Misconfigured:
		return "the server is alive and lacks what the URL names; mend the configuration"
	case probe.NoAddress:
		return "its name has no address; that is for DNS to mend"
	case probe.Overloaded:
		return "the server is alive and has too much to do; a switch would move the load, not lift it"
	case probe.Degraded:
		return "the server is alive and serves in part"
	case probe.Role:
		return "the server is alive in another role, and expect does not ask for this one"
	case probe.Garbled:
		return "it never spoke this protocol: does the URL name the right port?"
	}
	return "no evidence of failure"
}
