package configs

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// mostEndpoints and mostHandles bound a resource: a switch is one transaction
// of the store, and a look at a resource another.
const (
	mostEndpoints = 16
	mostHandles   = 32
)

// resource reads one resource and adds it, if there is enough of it to be
// checked against the others.
func (l *loader) resource(s, defaults *section) {
	name := s.labels[0].text
	l.here = s.labels[0].at
	l.name("resource", name, l.here)
	protocol, endpoints, places := l.endpoints(s)
	r := newResource(name, protocol)
	r.Endpoints = endpoints
	get(s, "bootstrap", &r.Bootstrap)
	p := placed{section: s, defaults: defaults, endpoints: places}
	l.handles(&r, s, &p)
	if protocol.Name != "" {
		l.policy(&r, defaults.find("policy"), s.find("policy"))
		l.probe(&r, defaults.find("probe"), s.find("probe"), places)
		r.Require = l.requirements(&r, s, require)
		r.Judge.Expect = l.requirements(&r, s, expect)
		l.steps(&r, s)
		l.pitfalls(&r, s)
		want(&r)
	}
	l.config.Resources = append(l.config.Resources, r)
	l.places = append(l.places, p)
}

// endpoints reads a resource's endpoints, and what they all speak.
func (l *loader) endpoints(s *section) (probe.Protocol, []policy.Endpoint, []*section) {
	var protocol probe.Protocol
	var out []policy.Endpoint
	var places []*section
	names := map[string]hcl.Range{}
	sections := s.every("endpoint")
	for _, e := range sections {
		name, here := e.labels[0].text, e.labels[0].at
		l.name("endpoint", name, here)
		if first, twice := names[name]; twice {
			l.errorf(here, "", "a second endpoint %q: there is one at %s already", name, position(first))
			continue
		}
		names[name] = here
		u, p, ok := l.url(e)
		switch {
		case !ok:
			continue
		case protocol.Name == "":
			protocol = p
		case p.Name != protocol.Name:
			l.errorf(e.place("url"), "applications attach to all endpoints of a resource alike: make two resources of them",
				"%s:// is not the protocol of the endpoint before, which speaks %s", u.Scheme, protocol.Name)
			continue
		}
		out = append(out, policy.Endpoint{Name: name, Target: probe.Target{URL: u}})
		places = append(places, e)
	}
	switch n := len(sections); {
	case n == 0:
		l.errorf(l.here, `endpoint "primary" { url = "mysql://…" }`, "resource %q has no endpoint", s.labels[0].text)
	case n == 1:
		l.warnf(l.here, `add endpoint "standby" { url = "…" }`, "resource %q has one endpoint: it is watched, but never protected", s.labels[0].text)
	case n > mostEndpoints:
		l.errorf(l.here, "", "a resource has at most %d endpoints", mostEndpoints)
	}
	l.alike(out, places)
	return protocol, out, places
}

// url reads an endpoint's URL and finds who speaks it.
func (l *loader) url(e *section) (probe.URL, probe.Protocol, bool) {
	var none probe.Protocol
	var text string
	if !get(e, "url", &text) {
		return probe.URL{}, none, false
	}
	where := e.place("url")
	u, err := probe.ParseURL(strings.TrimSpace(text))
	if err != nil {
		l.errorf(where, "mysql://user:password@host:3306/name, where special characters of the password go through urlencode()", "this is no URL that can be probed: %s", err)
		return u, none, false
	}
	p, ok := l.protocol(u.Scheme)
	switch {
	case !ok && l.say(where, u.Scheme) == u.Scheme:
		l.errorf(where, guess(u.Scheme, l.schemes()), "no protocol here speaks %s://", u.Scheme)
		return u, none, false
	case !ok:
		l.errorf(where, "one of "+strings.Join(l.schemes(), ", "), "no protocol here speaks this URL's scheme")
		return u, none, false
	}
	if p.Check != nil {
		if err := p.Check(u); err != nil {
			l.errorf(where, "", "%s", err)
		}
	}
	if strings.TrimSpace(text) != text {
		l.errorf(where, "trimspace(…) removes it", "the URL begins or ends with white space")
	}
	if u.HasPass && u.Password == "" {
		l.warnf(where, "", "the URL has a colon for a password, but the password is empty")
	}
	if u.Password != "" && literal(e.attrs["url"].expr) {
		l.clear(where, "password")
	}
	return u, p, true
}

// alike refuses two endpoints at one URL, and warns of two on one server.
func (l *loader) alike(endpoints []policy.Endpoint, places []*section) {
	for i, e := range endpoints {
		for _, before := range endpoints[:i] {
			a, b := l.bare(e.Target.URL), l.bare(before.Target.URL)
			switch {
			case a == b:
				l.errorf(places[i].place("url"), "", "endpoints %q and %q have the same address: a switch between them would change nothing", before.Name, e.Name)
			case address(a) == address(b):
				l.warnf(places[i].place("url"), "", "endpoints %q and %q stand on the same server (%s): they will fail together", before.Name, e.Name, net.JoinHostPort(a.Host, a.Port))
			default:
				continue
			}
			return
		}
	}
}

// bare returns what a URL reaches: no credentials, no parameters, its port.
func (l *loader) bare(u probe.URL) probe.URL {
	p, _ := l.protocol(u.Scheme)
	scheme, _ := p.Scheme(u.Scheme)
	if u.Port == "" {
		u.Port = scheme.Port
	}
	return probe.URL{Scheme: p.Name, Host: strings.ToLower(strings.TrimSuffix(u.Host, ".")), Port: u.Port, Path: strings.TrimSuffix(u.Path, "/")}
}

func address(u probe.URL) string { return net.JoinHostPort(u.Host, u.Port) }

// endpointFields are what templates may say of an endpoint.
var endpointFields = []string{"name", "url", "scheme", "user", "password", "host", "port", "path", "query"}

// endpointValue is the endpoint as templates see it.
func endpointValue(e policy.Endpoint, p probe.Protocol) cty.Value {
	u := e.Target.URL
	scheme, _ := p.Scheme(u.Scheme)
	port := u.Port
	if port == "" {
		port = scheme.Port
	}
	values := []string{e.Name, u.Reveal(), u.Scheme, u.User, u.Password.Reveal(), u.Host, port, u.Path, u.RawQuery}
	out := map[string]cty.Value{}
	for i, name := range endpointFields {
		out[name] = cty.StringVal(values[i])
	}
	return cty.ObjectVal(out)
}

// asText converts a text, number or truth value to text; nothing else.
func asText(v cty.Value) (string, bool) {
	if v.IsNull() || !v.IsWhollyKnown() {
		return "", false
	}
	switch v.Type() {
	case cty.String:
		return v.AsString(), true
	case cty.Number:
		return v.AsBigFloat().Text('f', -1), true
	case cty.Bool:
		return fmt.Sprint(v.True()), true
	}
	return "", false
}

func dirOf(file string) string { return filepath.Dir(file) }
