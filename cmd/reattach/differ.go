package main

import (
	"fmt"
	"strings"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// differences says by which parts of its URL a handle's value differs from the
// endpoint that it is nearest to. Passwords are compared and never shown, nor
// is any part of a value that may have been put together wrongly.
func differences(h policy.Handle, r *policy.Resource, value string) []string {
	value = strings.TrimSpace(value)
	if _, exact := h.Named(value); exact {
		return nil
	}
	given, err := probe.ParseURL(value)
	if err != nil || !sound(value) {
		return []string{"it is no URL, and not what the configuration spells for any endpoint"}
	}
	var nearest []string
	name := ""
	for i, v := range h.Values {
		own, err := probe.ParseURL(strings.TrimSpace(v.Reveal()))
		if err != nil {
			continue
		}
		if d := parts(given, own); name == "" || len(d) < len(nearest) {
			nearest, name = d, r.Endpoints[i].Name
		}
	}
	if name == "" {
		return []string{"the configuration spells it otherwise than as a URL"}
	}
	for i := range nearest {
		nearest[i] += " (nearest: " + name + ")"
	}
	return nearest
}

// sound reports whether a URL's password ends where it seems to: an @ behind the
// host is a sign that the password holds a character that ought to be escaped.
func sound(value string) bool {
	_, rest, _ := strings.Cut(value, "://")
	host := strings.IndexAny(rest, "/?#")
	return strings.Count(rest, "@") <= 1 && (host < 0 || !strings.Contains(rest[host:], "@"))
}

// parts lists the parts by which two URLs differ.
func parts(given, own probe.URL) (out []string) {
	shown := func(part, a, b string) {
		if a != b {
			out = append(out, fmt.Sprintf("%s is %s, not %s", part, quoted(a), quoted(b)))
		}
	}
	shown("scheme", given.Scheme, own.Scheme)
	shown("user", given.User, own.User)
	if given.Password != own.Password || given.HasPass != own.HasPass {
		out = append(out, "the password differs")
	}
	shown("host", given.Host, own.Host)
	if advice := defaultPort(given, own); advice != "" {
		out = append(out, advice)
	} else {
		shown("port", given.Port, own.Port)
	}
	shown("path", given.Path, own.Path)
	if given.RawQuery != own.RawQuery {
		out = append(out, "the query differs")
	}
	return out
}

// defaultPort is what to do about two URLs of which one names the port that the other
// means; empty if their ports are no such pair. Handles are compared letter for letter.
func defaultPort(given, own probe.URL) string {
	protocol, _ := protocolOf(own.Scheme)
	scheme, ok := protocol.Scheme(own.Scheme)
	switch {
	case !ok || scheme.Port == "":
		return ""
	case given.Port == "" && own.Port == scheme.Port:
		return "the default port is left out: add :" + own.Port + " to the key, or drop it from the URL"
	case own.Port == "" && given.Port == scheme.Port:
		return "the default port is spelt out: drop :" + given.Port + " from the key, or add it to the URL"
	}
	return ""
}

func quoted(s string) string {
	if s == "" {
		return "none"
	}
	return probe.Line(s)
}
