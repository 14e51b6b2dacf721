package configs

import (
	"net"
	"net/mail"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/reattach/reattach/probe"
)

// exec reads which program is run.
func (l *loader) exec(s *section, n *Notifier) {
	const example = `command = ["/etc/reattach/tell", "--to", "ops"]`
	if !get(s, "command", &n.Command) {
		return
	}
	where := s.place("command")
	switch {
	case len(n.Command) == 0 || strings.TrimSpace(n.Command[0]) == "":
		l.errorf(where, example, "command names no program")
		return
	case len(n.Command) == 1 && strings.ContainsAny(n.Command[0], " \t\n"):
		l.warnf(where, example, "command is a list of program and arguments: no shell takes this text apart at its spaces")
	}
	if path := n.Command[0]; strings.Contains(path, "/") && !filepath.IsAbs(path) {
		n.Command[0] = filepath.Join(dirOf(where.Filename), path)
	}
}

// webhook reads where to post, and what.
func (l *loader) webhook(s *section, n *Notifier) {
	n.TLS = l.client(s)
	n.Token, n.Secret = l.filled(s, "token"), l.filled(s, "secret")
	if get(s, "body", &n.Body) {
		where := s.place("body")
		switch {
		case strings.TrimSpace(n.Body) == "":
			l.errorf(where, "leave it out to post JSON", "body is empty")
		case l.opts.CheckBody != nil:
			if err := l.opts.CheckBody(n.Body); err != nil {
				l.errorf(where, "", "this body cannot be made: %s", strings.TrimPrefix(err.Error(), "body: "))
			}
		}
	}
	var text string
	if !get(s, "url", &text) {
		return
	}
	u, ok := l.web(s.attrs["url"].expr, text, hookExample)
	if !ok {
		return
	}
	n.URL = probe.Secret(strings.TrimSpace(text))
	l.pointless(s, u.Scheme)
	l.bearer(s, s.place("url"), u)
}

// slack reads the incoming webhook.
func (l *loader) slack(s *section, n *Notifier) {
	n.URL = l.filled(s, "webhook_url")
	if n.URL == "" {
		return
	}
	if u, ok := l.web(s.attrs["webhook_url"].expr, n.URL.Reveal(), `webhook_url = file("/run/secrets/slack"), which holds https://hooks.slack.com/services/…`); ok {
		l.inClear(s.place("webhook_url"), u, "the webhook's URL, by which anyone can write to the channel,")
	}
}

// pagerDuty reads the key of a service.
func (l *loader) pagerDuty(s *section, n *Notifier) {
	n.RoutingKey = l.filled(s, "routing_key")
	if strings.ContainsAny(n.RoutingKey.Reveal(), " \t\n:/") {
		l.errorf(s.place("routing_key"), "PagerDuty shows it as Integration Key of an Events API v2 integration", "routing_key is no integration key")
	}
	var text string
	if !get(s, "url", &text) {
		return
	}
	if u, ok := l.web(s.attrs["url"].expr, text, quoted(pagerDutyURL)); ok {
		n.URL = probe.Secret(strings.TrimSpace(text))
		l.inClear(s.place("url"), u, "the routing key")
	}
}

var alertmanagerAPI = regexp.MustCompile(`/api(/v\d+)?(/alerts)?/*$`)

// alertmanager reads the instances of a cluster.
func (l *loader) alertmanager(s *section, n *Notifier) {
	const example = `urls = ["http://alertmanager.internal:9093"]`
	n.TLS = l.client(s)
	n.Token = l.filled(s, "token")
	var texts []string
	if !get(s, "urls", &texts) {
		return
	}
	if len(texts) == 0 {
		l.errorf(s.place("urls"), example, "urls is empty")
		return
	}
	exprs, _ := hcl.ExprList(s.attrs["urls"].expr)
	var schemes []string
	seen := map[string]bool{}
	for i, text := range texts {
		expr := s.attrs["urls"].expr
		if i < len(exprs) {
			expr = exprs[i]
		}
		u, ok := l.web(expr, text, example)
		bare := probe.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host), Port: u.Port, Path: strings.TrimRight(u.Path, "/")}
		switch {
		case !ok:
			continue
		case u.RawQuery != "" || alertmanagerAPI.MatchString(u.Path):
			l.errorf(expr.Range(), example, "the URL of an Alertmanager ends where its own page is: leave out what follows")
		case seen[bare.Reveal()]:
			l.errorf(expr.Range(), "", "the same Alertmanager stands in urls twice")
		}
		seen[bare.Reveal()] = true
		n.URLs = append(n.URLs, probe.Secret(strings.TrimSpace(text)))
		l.bearer(s, expr.Range(), u)
		schemes = append(schemes, u.Scheme)
	}
	l.pointless(s, schemes...)
}

// email reads the mail server and the addresses.
func (l *loader) email(s *section, n *Notifier) {
	tls := s.find("tls")
	n.TLS = tlsOf(tls, TLSFiles{})
	l.certificates(tls, n.TLS)
	n.SMTP = l.mailServer(s)
	if get(s, "from", &n.From) {
		l.address(s.place("from"), n.From)
	}
	if get(s, "to", &n.To) {
		exprs, _ := hcl.ExprList(s.attrs["to"].expr)
		for i, to := range n.To {
			at := s.place("to")
			if i < len(exprs) {
				at = exprs[i].Range()
			}
			l.address(at, to)
		}
		if len(n.To) == 0 {
			l.errorf(s.place("to"), `to = ["ops@example.com"]`, "to is empty: nobody would get the mail")
		}
	}
	get(s, "username", &n.Username)
	n.Password = l.filled(s, "password")
	switch {
	case s.has("username") && !s.has("password"):
		l.errorf(s.place("username"), `password = file("/run/secrets/smtp")`, "username needs password beside it")
	case s.has("password") && !s.has("username"):
		l.errorf(s.place("password"), "", "password needs username beside it")
	}
}

// mailServer reads smtp, and adds the port where it is left out.
func (l *loader) mailServer(s *section) string {
	const example = `"smtp://mail.internal:25", or "smtps://mail.internal"`
	var text string
	if !get(s, "smtp", &text) {
		return ""
	}
	where := s.place("smtp")
	u, err := probe.ParseURL(strings.TrimSpace(text))
	port := map[string]string{"smtp": "25", "smtps": "465"}[u.Scheme]
	switch {
	case err != nil || port == "":
		l.errorf(where, example, "smtp is the smtp:// or smtps:// URL of a mail server")
		return ""
	case u.User != "" || u.HasPass:
		l.errorf(where, "", "smtp holds a user or password: username and password stand beside it")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		l.errorf(where, example, "the URL of a mail server ends with its port")
	}
	if u.Port != "" {
		port = u.Port
	}
	return u.Scheme + "://" + net.JoinHostPort(u.Host, port)
}

func (l *loader) address(at hcl.Range, text string) {
	if _, err := mail.ParseAddress(text); err != nil {
		l.errorf(at, `"ops@example.com", or "Operations <ops@example.com>"`, "this is no mail address")
	}
}

// filled reads a secret, which must not be empty where it is written.
func (l *loader) filled(s *section, name string) probe.Secret {
	var secret probe.Secret
	if !get(s, name, &secret) {
		return ""
	}
	text := strings.TrimSpace(secret.Reveal())
	if text == "" {
		l.errorf(s.place(name), "", "%s is empty", name)
	}
	return probe.Secret(text)
}

const hookExample = `"https://hooks.example.com/…"`

// web checks a URL that is posted to. Such a URL is often a credential.
func (l *loader) web(expr hcl.Expression, text, example string) (probe.URL, bool) {
	if !literal(expr) {
		l.secret(text)
	}
	l.urlSecret(expr, text)
	u, err := probe.ParseURL(strings.TrimSpace(text))
	switch {
	case err != nil && strings.Contains(text, "://"):
		l.errorf(expr.Range(), example, "this URL is broken: %s", err)
	case err != nil || u.Scheme != "http" && u.Scheme != "https":
		l.errorf(expr.Range(), example, "notices are posted to an http:// or https:// URL")
	default:
		if u.Password != "" && literal(expr) {
			l.clear(expr.Range(), "password")
		}
		return u, true
	}
	return u, false
}

// client reads the files of a TLS client.
func (l *loader) client(s *section) TLSFiles {
	tls := s.find("tls")
	files := tlsOf(tls, TLSFiles{})
	l.certificates(tls, files)
	return files
}

// pointless refuses TLS where no URL is https://.
func (l *loader) pointless(s *section, schemes ...string) {
	tls := s.find("tls")
	if tls == nil || len(schemes) == 0 {
		return
	}
	for _, scheme := range schemes {
		if scheme == "https" {
			return
		}
	}
	l.errorf(tls.header, "", "tls has no effect: no URL begins with https://")
}

// bearer checks how a token gets on with the URL that it is sent to.
func (l *loader) bearer(s *section, at hcl.Range, u probe.URL) {
	user := u.User != "" || u.HasPass
	switch {
	case s.has("token") && user:
		l.errorf(at, "", "the URL holds a user, and there is a token, too: keep one of them")
	case s.has("token"):
		l.inClear(at, u, "the token")
	case user:
		l.inClear(at, u, "the password")
	}
}

// inClear warns of a credential that others on the way can read.
func (l *loader) inClear(at hcl.Range, u probe.URL, what string) {
	if u.Scheme == "http" && !loopback(u.Host) {
		l.warnf(at, "begin the URL with https://", "%s travels in clear", what)
	}
}
