package configs

import (
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/reattach/reattach/probe"
)

// Notifier is a destination of notices. What belongs to other kinds is empty.
type Notifier struct {
	Kind, Name string        // exec, webhook, slack, pagerduty, alertmanager, email
	Severity   string        // the least that it is told: info, warning, critical
	Events     []string      // kinds of notice; empty: all but the quiet ones
	Resolve    bool          // it is told that a matter is over, too
	Timeout    time.Duration // of one attempt

	Command    []string       // exec: program and arguments, run without a shell
	URL        probe.Secret   // webhook, slack, pagerduty
	URLs       []probe.Secret // alertmanager: each instance of a cluster, without /api/v2
	Secret     probe.Secret   // webhook: signs the body
	Body       string         // webhook: a text/template; empty: JSON
	RoutingKey probe.Secret   // pagerduty
	Token      probe.Secret   // webhook, alertmanager: sent as a bearer token
	SMTP       string         // email: smtp://host:port, or smtps://host:port
	From       string         // email
	To         []string       // email
	Username   string         // email
	Password   probe.Secret   // email
	TLS        TLSFiles       // webhook, alertmanager, email
}

// severities are the words for how much a notice wants of a person, in their
// order.
var severities = []string{"info", "warning", "critical"}

// notifiers reads the destinations of notices, and who is told of what.
func (l *loader) notifiers(sections []*section, defaults *section) {
	places := map[string]hcl.Range{}
	for _, s := range sections {
		name, here := s.labels[1].text, s.labels[1].at
		if first, twice := places[name]; twice {
			l.errorf(here, "", "a second notifier %q: there is one at %s already", name, position(first))
			continue
		}
		l.name("notifier", name, here)
		places[name] = here
		l.config.Notifiers = append(l.config.Notifiers, l.notifier(s))
	}
	l.runbook(defaults)
	sound := l.routes(defaults)
	for _, n := range l.config.Notifiers {
		if sound && !l.routed(n.Name) {
			l.warnf(places[n.Name], "notify = [\""+n.Name+"\", …], in defaults or in a resource", "no notify names the notifier %q: it is told nothing", n.Name)
		}
	}
}

// routed reports whether anything is told to the notifier of that name.
func (l *loader) routed(name string) bool {
	for _, names := range l.config.Routes {
		if slices.Contains(names, name) {
			return true
		}
	}
	return false
}

// routes finds who is told of each resource: whom it names itself, or whom
// defaults name, or everyone. It returns false after a mistake.
func (l *loader) routes(defaults *section) bool {
	var all []string
	for _, n := range l.config.Notifiers {
		all = append(all, n.Name)
	}
	sound := true
	route := func(s *section, inherited []string) []string {
		if !s.has("notify") {
			return inherited
		}
		names, ok := l.route(s, all)
		sound = sound && ok
		return names
	}
	base := route(defaults, all)
	l.config.Routes = map[string][]string{"": base}
	for i, p := range l.places {
		l.config.Routes[l.config.Resources[i].Name] = route(p.section, base)
	}
	return sound
}

// route reads a list of names of notifiers.
func (l *loader) route(s *section, all []string) (names []string, sound bool) {
	a := s.attrs["notify"]
	given, ok := a.value.([]string)
	exprs, _ := hcl.ExprList(a.expr) // none for a list that is computed
	for i, name := range given {
		at, shown := a.expr.Range(), "…"
		if i < len(exprs) {
			at = exprs[i].Range()
			shown = l.say(at, name)
		}
		switch {
		case slices.Contains(l.unread, name):
			ok = false // what is wrong with it was said
		case !slices.Contains(all, name):
			ok = false
			hint := guess(name, all)
			if hint == "" {
				hint = `notifier "slack" "` + shown + `" { webhook_url = file("/run/secrets/slack") }`
			}
			l.errorf(at, hint, "there is no notifier of the name %q", shown)
		case slices.Contains(names, name):
			ok = false
			l.errorf(at, "", "notify names %q twice", shown)
		default:
			names = append(names, name)
		}
	}
	return names, ok
}

// runbook reads to which page notices link.
func (l *loader) runbook(defaults *section) {
	var page string
	if !get(defaults, "runbook", &page) {
		return
	}
	where := defaults.place("runbook")
	l.urlSecret(defaults.attrs["runbook"].expr, page)
	u, err := probe.ParseURL(page)
	switch {
	case strings.Contains(page, "#"):
		l.errorf(where, "", "runbook ends before the #: the anchor is the kind of notice")
	case err != nil || u.Scheme != "http" && u.Scheme != "https":
		l.errorf(where, `"https://wiki.internal/reattach"; leave it out to link to the project's own`, "runbook is the http:// or https:// URL of a page")
	case u.User != "" || u.HasPass:
		l.errorf(where, "", "runbook holds a user or password, and every notice would show it")
	default:
		l.config.Runbook = page
	}
}

// notifier reads one destination.
func (l *loader) notifier(s *section) Notifier {
	n := newNotifier(s.labels[0].text, s.labels[1].text)
	get(s, "severity", &n.Severity)
	get(s, "resolve", &n.Resolve)
	get(s, "timeout", &n.Timeout)
	l.events(s, &n)
	switch n.Kind {
	case "exec":
		l.exec(s, &n)
	case "webhook":
		l.webhook(s, &n)
	case "slack":
		l.slack(s, &n)
	case "pagerduty":
		l.pagerDuty(s, &n)
	case "alertmanager":
		l.alertmanager(s, &n)
	case "email":
		l.email(s, &n)
	}
	return n
}

// events reads which kinds of notice a destination is told.
func (l *loader) events(s *section, n *Notifier) {
	if !get(s, "events", &n.Events) {
		return
	}
	a := s.attrs["events"]
	if len(n.Events) == 0 {
		l.errorf(a.expr.Range(), "leave it out for all but the quiet ones; notify says who is told nothing", "events is empty")
	}
	exprs, _ := hcl.ExprList(a.expr)
	for i, name := range n.Events {
		at, shown := a.expr.Range(), "…"
		if i < len(exprs) {
			at = exprs[i].Range()
			shown = l.say(at, name)
		}
		switch {
		case !slices.Contains(l.opts.Events, name):
			l.errorf(at, guess(name, l.opts.Events), "there is no kind of notice %q", shown)
		case slices.Contains(n.Events[:i], name):
			l.errorf(at, "", "events names %q twice", shown)
		}
	}
}
