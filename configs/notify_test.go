package configs_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/probe"
)

const slackURL = "https://hooks.slack.com/services/T0/B0/" + planted + "-file"

// TestNotifierDefaults writes what each kind needs, and no more.
func TestNotifierDefaults(t *testing.T) {
	c := load(t, `notifier "exec" "a" {
  command = ["tell"]
}
notifier "webhook" "b" {
  url = "https://hooks.internal/b"
}
notifier "slack" "c" {
  webhook_url = file("/run/secrets/slack")
}
notifier "pagerduty" "d" {
  routing_key = env("WORD")
}
notifier "alertmanager" "e" {
  urls = ["http://am1:9093", "http://am2:9093/prefix"]
}
notifier "email" "f" {
  smtp = "smtp://mail.internal"
  from = "a@example.com"
  to   = ["b@example.com"]
}
`+pair("mysql", ""))
	common := func(n configs.Notifier) configs.Notifier {
		n.Resolve, n.Timeout = true, 10*time.Second
		if n.Severity == "" {
			n.Severity = "info"
		}
		return n
	}
	want := []configs.Notifier{
		common(configs.Notifier{Kind: "exec", Name: "a", Command: []string{"tell"}}),
		common(configs.Notifier{Kind: "webhook", Name: "b", URL: "https://hooks.internal/b"}),
		common(configs.Notifier{Kind: "slack", Name: "c", URL: slackURL}),
		common(configs.Notifier{Kind: "pagerduty", Name: "d", RoutingKey: planted + "word", URL: "https://events.pagerduty.com/v2/enqueue", Severity: "warning"}),
		common(configs.Notifier{Kind: "alertmanager", Name: "e", URLs: []probe.Secret{"http://am1:9093", "http://am2:9093/prefix"}}),
		common(configs.Notifier{Kind: "email", Name: "f", SMTP: "smtp://mail.internal:25", From: "a@example.com", To: []string{"b@example.com"}}),
	}
	if diff := cmp.Diff(want, c.Notifiers, revealed); diff != "" {
		t.Errorf("notifiers (-want +got):\n%s", diff)
	}
	if c.Runbook != "https://github.com/reattach/reattach/blob/main/deployments/docs/runbook.md" {
		t.Errorf("runbook %q", c.Runbook)
	}
}

// revealed compares secrets by their text, and shows it where they differ.
var revealed = cmp.Transformer("Reveal", func(s probe.Secret) string { return s.Reveal() })

// TestNotifiers writes everything there is.
func TestNotifiers(t *testing.T) {
	c := load(t, `defaults {
  runbook = "https://wiki.internal/reattach"
}
notifier "exec" "a" {
  command  = ["bin/tell", "-x"]
  events   = ["held", "suspect"]
  severity = "critical"
  resolve  = false
  timeout  = "3s"
}
notifier "webhook" "b" {
  url    = " https://hooks.internal/b "
  secret = env("WORD")
  token  = "${file("/run/secrets/t")} "
  body   = "{{.Title}}"
  tls {
    ca_file     = "/etc/ssl/our-ca.pem"
    cert_file   = "/etc/ssl/client.pem"
    key_file    = "/etc/ssl/client.key"
    server_name = "hooks"
  }
}
notifier "pagerduty" "d" {
  routing_key = env("WORD")
  url         = "https://events.eu.pagerduty.com/v2/enqueue"
  severity    = "info"
}
notifier "alertmanager" "e" {
  urls  = ["https://am1:9093"]
  token = env("WORD")
  tls {
    server_name = "am"
  }
}
notifier "email" "f" {
  smtp     = "smtps://[2001:db8::1]"
  from     = "reattach <a@example.com>"
  to       = ["b@example.com", "The C <c@example.com>"]
  username = "u"
  password = env("WORD")
  tls {
    server_name = "mail"
  }
}
notifier "email" "g" {
  smtp = "smtp://mail.internal:587"
  from = "a@example.com"
  to   = ["b@example.com"]
}
`+pair("mysql", ""))
	const s = time.Second
	word := probe.Secret(planted + "word")
	want := []configs.Notifier{
		{Kind: "exec", Name: "a", Command: []string{"bin/tell", "-x"}, Events: []string{"held", "suspect"}, Severity: "critical", Timeout: 3 * s},
		{Kind: "webhook", Name: "b", Severity: "info", Resolve: true, Timeout: 10 * s, URL: "https://hooks.internal/b", Secret: word, Token: planted + "-file", Body: "{{.Title}}",
			TLS: configs.TLSFiles{CAFile: "/etc/ssl/our-ca.pem", CertFile: "/etc/ssl/client.pem", KeyFile: "/etc/ssl/client.key", ServerName: "hooks"}},
		{Kind: "pagerduty", Name: "d", Severity: "info", Resolve: true, Timeout: 10 * s, RoutingKey: word, URL: "https://events.eu.pagerduty.com/v2/enqueue"},
		{Kind: "alertmanager", Name: "e", Severity: "info", Resolve: true, Timeout: 10 * s, Token: word, URLs: []probe.Secret{"https://am1:9093"}, TLS: configs.TLSFiles{ServerName: "am"}},
		{Kind: "email", Name: "f", Severity: "info", Resolve: true, Timeout: 10 * s, SMTP: "smtps://[2001:db8::1]:465", From: "reattach <a@example.com>",
			To: []string{"b@example.com", "The C <c@example.com>"}, Username: "u", Password: word, TLS: configs.TLSFiles{ServerName: "mail"}},
		{Kind: "email", Name: "g", Severity: "info", Resolve: true, Timeout: 10 * s, SMTP: "smtp://mail.internal:587", From: "a@example.com", To: []string{"b@example.com"}},
	}
	if diff := cmp.Diff(want, c.Notifiers, revealed); diff != "" {
		t.Errorf("notifiers (-want +got):\n%s", diff)
	}
	if c.Runbook != "https://wiki.internal/reattach" {
		t.Errorf("runbook %q", c.Runbook)
	}
}

// TestRelativeCommand finds a program beside the configuration that names it.
func TestRelativeCommand(t *testing.T) {
	c, diags := configs.Parse("/etc/reattach/a.hcl", []byte("notifier \"exec\" \"a\" {\n  command = [\"./tell\", \"./x\"]\n}\n"+pair("mysql", "")), options())
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if diff := cmp.Diff([]string{"/etc/reattach/tell", "./x"}, c.Notifiers[0].Command); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestScrubNotifiers has a template's complaint say what it should not: a URL
// that was computed, and the password in one that was not.
func TestScrubNotifiers(t *testing.T) {
	for _, url := range []string{`env("HOOK")`, `"https://u:${env("PW")}@hooks.internal/x"`, `"https://u:` + planted + `-in-it@hooks.internal/x"`, `"https://hooks.internal/services/` + planted + `-in-it-for-sure"`} {
		opts := options()
		opts.Env = func(name string) (string, bool) {
			return map[string]string{"HOOK": "https://hooks.internal/", "PW": ""}[name] + planted + "-in-it", true
		}
		opts.CheckBody = func(string) error {
			return errors.New("https://hooks.internal/" + planted + "-in-it, " + planted + "-in-it-for-sure, " + planted + "-in-it")
		}
		_, diags := configs.Parse("test.hcl", []byte("notifier \"webhook\" \"w\" {\n  url  = "+url+"\n  body = \"x\"\n}\n"+pair("mysql", "")), opts)
		want := map[bool]string{true: "made: ***,", false: "***"}[strings.HasPrefix(url, "env")]
		if text := diags.String(); !diags.HasErrors() || !strings.Contains(text, want) {
			t.Errorf("%s: not masked:\n%s", url, text)
		}
	}
}

func TestRoutes(t *testing.T) {
	const two = `notifier "slack" "chat" { webhook_url = file("/run/secrets/slack") }
notifier "exec" "siren" { command = ["siren"] }
`
	type routes = map[string][]string
	for _, test := range []struct {
		name, defaults, own string
		want                routes
	}{
		{"nothing is said", "", "", routes{"": {"chat", "siren"}, "r": {"chat", "siren"}}},
		{"defaults", `notify = ["siren"]`, "", routes{"": {"siren"}, "r": {"siren"}}},
		{"a resource", "", `notify = ["chat"]`, routes{"": {"chat", "siren"}, "r": {"chat"}}},
		{"both, in their order", `notify = ["siren"]`, `notify = ["siren", "chat"]`, routes{"": {"siren"}, "r": {"siren", "chat"}}},
		{"none by default", `notify = []`, `notify = ["chat", "siren"]`, routes{"": nil, "r": {"chat", "siren"}}},
		{"none for a resource", "", `notify = []`, routes{"": {"chat", "siren"}, "r": nil}},
		{"null is as if nothing was said", `notify = null`, `notify = null`, routes{"": {"chat", "siren"}, "r": {"chat", "siren"}}},
	} {
		text := "defaults {\n" + test.defaults + "\n}\n" + two + strings.Replace(pair("mysql", ""), "{\n", "{\n"+test.own+"\n", 1)
		if diff := cmp.Diff(test.want, load(t, text).Routes); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
	if got := load(t, pair("mysql", "")).Routes; len(got[""])+len(got["r"]) > 0 {
		t.Errorf("without a notifier: %v", got)
	}
}

func TestDiffNotices(t *testing.T) {
	const before = `defaults {
  notify = ["chat"]
}
notifier "slack" "chat" {
  webhook_url = file("/run/secrets/slack")
}
notifier "email" "mail" {
  smtp = "smtp://mail.internal"
  from = "a@example.com"
  to   = ["b@example.com"]
}
resource "db" {
  handle = "db"
  notify = ["chat", "mail"]
  endpoint "a" { url = "mysql://app:x@a/x" }
  endpoint "b" { url = "mysql://app:x@b/x" }
}
`
	const siren = "notifier \"exec\" \"siren\" {\n  command = [\"siren\"]\n}\n"
	for _, test := range []struct {
		name  string
		edits []string // pairs of old and new
		want  configs.Notices
	}{
		{name: "nothing"},
		{"added, and told of nothing yet", []string{`resource "db"`, siren + `resource "db"`}, configs.Notices{Added: []string{"siren"}}},
		{"added, and told", []string{`resource "db"`, siren + `resource "db"`, `["chat", "mail"]`, `["siren", "chat", "mail"]`}, configs.Notices{Added: []string{"siren"}}},
		{"renamed", []string{`"mail"`, `"post"`}, configs.Notices{Added: []string{"post"}, Removed: []string{"mail"}}},
		{"a rotated URL", []string{`"/run/secrets/slack"`, `"/run/secrets/slack-next"`}, configs.Notices{}},
		{"another URL", []string{`file("/run/secrets/slack")`, `"https://hooks.internal/x"`}, configs.Notices{Changed: []configs.Change{{Name: "chat", What: []string{"webhook_url"}}}}},
		{"another addressee", []string{`"b@`, `"c@`, `smtp://`, `smtps://`}, configs.Notices{Changed: []configs.Change{{Name: "mail", What: []string{"smtp", "to"}}}}},
		{"another severity", []string{`  to   =`, "  severity = \"critical\"\n  resolve = false\n  to   ="}, configs.Notices{Changed: []configs.Change{{Name: "mail", What: []string{"severity", "resolve"}}}}},
		{"another route", []string{`["chat", "mail"]`, `["mail"]`}, configs.Notices{Routes: []string{"db"}}},
		{"the same route in another order", []string{`["chat", "mail"]`, `["mail", "chat"]`}, configs.Notices{}},
		{"all routes", []string{`["chat"]`, `["mail"]`, `["chat", "mail"]`, `["mail"]`}, configs.Notices{Routes: []string{"", "db"}}},
		{"another page", []string{`notify = ["chat"]`, "notify = [\"chat\"]\n  runbook = \"https://wiki.internal/\""}, configs.Notices{Runbook: true}},
	} {
		got := configs.Diff(load(t, before), load(t, strings.NewReplacer(test.edits...).Replace(before)))
		if diff := cmp.Diff(configs.Changes{Notices: test.want}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if want := test.want.Empty(); got.Empty() != want {
			t.Errorf("%s: Empty() = %v, want %v", test.name, got.Empty(), want)
		}
	}
}
