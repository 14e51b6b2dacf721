package configs

import (
	"fmt"
	"time"
)

// notifierBlock is the table of destinations; they differ by their kind.
func notifierBlock() *block {
	web := func() *block {
		return &block{name: "tls", meaning: "TLS to an https:// URL", settings: tlsFiles("the URL's host")}
	}
	mail := &block{name: "tls", meaning: "TLS to the mail server, by STARTTLS or from the start", settings: tlsFiles("the host of smtp")}
	return &block{name: "notifier", meaning: "a destination of notices", labels: []string{"kind", "name"}, many: true, kinds: []*block{
		notifierKind("exec", "runs a program, which gets the message as JSON on its standard input and the gist in its environment", nil,
			setting{name: "command", kind: Texts, required: true, meaning: "program and arguments, run without a shell; a relative path is relative to this file"}),
		notifierKind("webhook", "posts JSON, or a body of your own, to a URL", web(),
			setting{name: "url", kind: URL, required: true, meaning: "where to post"},
			setting{name: "secret", kind: SecretTxt, def: `""`, meaning: "key that signs each body (HMAC-SHA256, in the header X-Reattach-Signature)"},
			setting{name: "token", kind: SecretTxt, def: `""`, meaning: "sent as a bearer token"},
			setting{name: "body", kind: Text, def: "(JSON)", meaning: "a Go text/template of the body, instead of JSON"}),
		notifierKind("slack", "writes to one Slack channel", nil,
			setting{name: "webhook_url", kind: SecretTxt, required: true, meaning: "URL of the incoming webhook, which is its credential, too"}),
		notifierKind("pagerduty", "opens and resolves alerts by PagerDuty's Events API v2", nil,
			setting{name: "routing_key", kind: SecretTxt, required: true, meaning: "integration key of the service"},
			setting{name: "url", kind: URL, def: quoted(pagerDutyURL), meaning: "where to post"}),
		notifierKind("alertmanager", "keeps alerts in every instance of an Alertmanager cluster", web(),
			setting{name: "urls", kind: Texts, required: true, meaning: "URL of each instance, without /api/v2"},
			setting{name: "token", kind: SecretTxt, def: `""`, meaning: "sent as a bearer token"}),
		notifierKind("email", "sends mail through one server", mail,
			setting{name: "smtp", kind: URL, required: true, meaning: "URL of the mail server, smtp://host with STARTTLS where it is offered, or smtps://host; its port is 25 or 465 where none is given"},
			setting{name: "from", kind: Text, required: true, meaning: "address of the sender, with or without a name"},
			setting{name: "to", kind: Texts, required: true, meaning: "addresses of the recipients"},
			setting{name: "username", kind: Text, def: `""`, meaning: "account at the mail server; wants TLS with a certificate that can be verified"},
			setting{name: "password", kind: SecretTxt, def: `""`, meaning: "its password"}),
	}}
}

// notifierKind returns the table of one kind, with the settings of all.
func notifierKind(kind, meaning string, tls *block, own ...setting) *block {
	n := newNotifier(kind, "")
	b := &block{name: kind, meaning: meaning, settings: append(own,
		setting{name: "events", kind: Texts, def: "(all but the quiet ones)", meaning: "kinds of notice to tell, by the names of the runbook's entries; quiet ones are told only where they are named"},
		setting{name: "severity", kind: Text, def: quoted(n.Severity), oneOf: severities, meaning: "the least severe that is told; what is urgent is critical, whatever its kind"},
		setting{name: "resolve", kind: Bool, def: fmt.Sprint(n.Resolve), meaning: "tell that a matter is over, too"},
		setting{name: "timeout", kind: Duration, def: quoted(short(n.Timeout)), min: 100 * time.Millisecond, max: 5 * time.Minute, meaning: "bound of one attempt; attempts go on for a day"},
	)}
	if tls != nil {
		b.blocks = []*block{tls}
	}
	return b
}
