package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/failover/httpapi"
	"github.com/reattach/reattach/probe"
)

// renderResult shows one conversation, phase by phase.
func renderResult(p paint, protocol probe.Protocol, t probe.Target, r probe.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", p.in(bold, t.URL.String()))
	b.WriteString(renderPhases(p, r))
	fmt.Fprintf(&b, "\n%s%s\n%s\n", p.in(inkOf(r.Class), classTitle(r)), errText(r), meaning(r, protocol, t.Depth))
	if facts := renderFacts(p, protocol, r); facts != "" {
		b.WriteString("\n" + facts)
	}
	return b.String()
}

func renderPhases(p paint, r probe.Result) string {
	t := table{paint: p, indent: "  "}
	for _, phase := range probe.Phases() {
		took := r.Timings[phase]
		stopped := r.Failed() && phase == r.Phase
		if took == 0 && !stopped {
			continue
		}
		note := cell{}
		switch {
		case stopped:
			note = cell{"stopped here: " + r.Class.String(), inkOf(r.Class)}
		case phase == probe.PhaseResolve && len(r.Addrs) > 1:
			note = cell{strings.Join(r.Addrs, ", "), dim}
		case phase == probe.PhaseConnect && r.Addr != "":
			note = cell{r.Addr, dim}
		}
		t.row(cell{phase.String(), plain}, cell{fmt.Sprintf("%9s", httpapi.Millis(took)), plain}, note)
	}
	t.row(cell{"in all", bold}, cell{fmt.Sprintf("%9s", httpapi.Millis(r.Ended.Sub(r.Began))), bold})
	return t.String()
}

func classTitle(r probe.Result) string {
	return strings.TrimSpace(r.Class.String() + " " + r.Code)
}

func errText(r probe.Result) string {
	if r.Err == "" {
		return ""
	}
	return ": " + strings.TrimSpace(strings.TrimPrefix(r.Err, r.Code))
}

func inkOf(c probe.Class) ink {
	switch {
	case c == probe.OK:
		return green
	case c.Evidence():
		return red
	}
	return yellow
}

// meanings says what each class means.
var meanings = map[probe.Class]string{
	probe.OK:            "The whole conversation went as it should.",
	probe.Refused:       "The address answers, and nobody listens on that port: the process is gone, or the port is wrong.",
	probe.Unreachable:   "Nobody answers for that address: the host is gone, or no network leads to it.",
	probe.Timeout:       "Nothing came in time: the host is gone, packets are dropped, or the process hangs.",
	probe.Reset:         "The connection was accepted, and then closed or reset before the conversation was over.",
	probe.Garbled:       "Something answered, but not in this protocol.",
	probe.Role:          "The server is well, but not in the role that is expected of it.",
	probe.Overloaded:    "The server is alive and takes no more for now: too many connections, or too much to do.",
	probe.Degraded:      "The server is alive and serves in part.",
	probe.Auth:          "The server is alive and rejects these credentials.",
	probe.TLS:           "The server is there, and TLS does not come about: a certificate, a name, or the TLS settings.",
	probe.Misconfigured: "The server is alive, and lacks what the URL names, or blocks this host.",
	probe.NoAddress:     "The name has no address.",
	probe.Local:         "The fault is on this machine: no route, no nameserver, or no file descriptors left.",
}

// meaning says what a result means, and what the daemon would make of it. A
// conversation that was told how deep to go says how far it went.
func meaning(r probe.Result, p probe.Protocol, depth probe.Phase) string {
	text := meanings[r.Class] + "\n"
	if r.Class == probe.OK && depth != probe.PhaseNone {
		text = fmt.Sprintf("It went as it should up to %s, and was not to go further.\n", r.Phase)
	}
	switch {
	case r.Class == probe.OK:
		text += "Evidence of health."
	case r.Class == probe.Garbled:
		text += "Evidence of failure only of an endpoint that was ok before; else the URL probably names the wrong port."
	case r.Class.Evidence():
		text += fmt.Sprintf("Evidence of failure: lasting %v (the default for %s), it makes the endpoint down, and a failover is due.", p.Defaults.Sustain, p.Name)
	case r.Class == probe.Local:
		text += "No evidence of anything: while it lasts, the daemon suspends its judgement."
	case r.Class.Answered():
		text += "No evidence of failure, so no failover: the server answered. The daemon tells people."
	default:
		text += "No evidence of failure, so no failover: this is for a person to mend. The daemon tells people."
	}
	return text
}

// renderFacts lists what was learned, in the order in which the protocol documents it.
func renderFacts(p paint, protocol probe.Protocol, r probe.Result) string {
	var names []string
	for _, f := range protocol.Facts {
		names = append(names, f.Name)
	}
	var more []string
	for name := range r.Facts {
		if !slices.Contains(names, name) {
			more = append(more, name)
		}
	}
	slices.Sort(more)
	t := table{paint: p, indent: "  "}
	for _, name := range append(names, more...) {
		if value, ok := r.Facts[name]; ok {
			t.row(cell{name, dim}, cell{factText(name, value, r.Ended), plain})
		}
	}
	return t.String()
}

// factText shows a fact's value to people.
func factText(name string, value any, now time.Time) string {
	switch v := value.(type) {
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case string:
		if at, err := time.Parse(time.RFC3339, v); err == nil && name == "tls_expiry" {
			if left := at.Sub(now); left > 0 {
				return fmt.Sprintf("%s (in %s)", v, httpapi.Age(left))
			}
			return fmt.Sprintf("%s (%s ago)", v, httpapi.Age(now.Sub(at)))
		}
		return probe.Line(v)
	case float64:
		if name == "uptime" {
			return httpapi.Age(time.Duration(v * float64(time.Second)))
		}
		return fmt.Sprintf("%g", v)
	case int64:
		if name == "uptime" {
			return httpapi.Age(time.Duration(v) * time.Second)
		}
	}
	return fmt.Sprint(value)
}
