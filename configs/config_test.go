package configs_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// load parses text, which must be right.
func load(t *testing.T, text string) *configs.Config {
	t.Helper()
	config, diags := configs.Parse("test.hcl", []byte(text), options())
	if diags.HasErrors() {
		t.Fatalf("errors:\n%s", diags)
	}
	return config
}

// pair is a resource of two endpoints with a policy.
func pair(scheme, policy string) string {
	return fmt.Sprintf(`resource "r" {
  handle = "production/URL"
  endpoint "a" { url = "%s://app@a/x" }
  endpoint "b" { url = "%s://app@b/x" }
  policy {
    %s
  }
}
`, scheme, scheme, policy)
}

func TestDefaults(t *testing.T) {
	c := load(t, pair("mysql", ""))
	if diff := cmp.Diff(configs.Observer{Name: "mon-a", StateDir: "/var/lib/reattach", Peers: []configs.Peer{{Name: "mon-a"}}}, c.Observer); diff != "" {
		t.Errorf("observer (-want +got):\n%s", diff)
	}
	if c.Store.Kind != configs.Consul || c.Store.Consul.Address != "http://127.0.0.1:8500" {
		t.Errorf("store %+v", c.Store)
	}
	if diff := cmp.Diff(configs.Listen{HTTP: "127.0.0.1:9778", Socket: "/run/reattach/control.sock"}, c.Listen); diff != "" {
		t.Errorf("listen (-want +got):\n%s", diff)
	}
	r := c.Resource("r")
	if diff := cmp.Diff(policy.Thresholds{Bad: 3, Of: 3, Rise: 2, Sustain: 10 * time.Second, AlsoSustain: time.Minute}, r.Judge); diff != "" {
		t.Errorf("thresholds (-want +got):\n%s", diff)
	}
	if !r.Veto || r.Mode != policy.Act || r.Failback != policy.FailbackManual || r.MassFailure != policy.MassHold || r.FailbackAfter != 10*time.Minute {
		t.Errorf("resource %+v", r)
	}
	target := r.Endpoints[0].Target
	if target.Timeout != 2*time.Second || target.Client != "reattach mon-a" || target.Idle != 10*time.Second || target.Depth != probe.PhaseNone {
		t.Errorf("target %+v", target)
	}
}

// TestDefaultsByScheme compares the real protocols with the table that people
// are told.
func TestDefaultsByScheme(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	for _, want := range []struct {
		url                                                string
		interval, fresh, timeout, suspectInterval, sustain time.Duration
		bootstrap                                          bool
	}{
		{"mysql://app@%s/x", s, 10 * s, 2 * s, 100 * ms, 10 * s, false},
		{"mariadb://app@%s/x", s, 10 * s, 2 * s, 100 * ms, 10 * s, false},
		{"amqp://app:x@%s", s, 30 * s, 5 * s, 200 * ms, 15 * s, true},
		{"smtp://%s", 30 * s, 30 * s, 15 * s, 2 * s, 30 * s, true},
		{"memcached://%s", s, 10 * s, s, 100 * ms, 3 * s, true},
	} {
		text := fmt.Sprintf(`resource "r" {
  handle = "k"
  endpoint "a" { url = "`+want.url+`" }
  endpoint "b" { url = "`+want.url+`" }
}`, "a", "b")
		c, diags := configs.Parse("test.hcl", []byte(text), real())
		if diags.HasErrors() {
			t.Fatalf("%s:\n%s", want.url, diags)
		}
		r := c.Resources[0]
		got := []any{r.Pace.Interval, r.Pace.FreshInterval, r.Endpoints[0].Target.Timeout, r.Pace.SuspectInterval, r.Judge.Sustain, r.Bootstrap}
		if diff := cmp.Diff([]any{want.interval, want.fresh, want.timeout, want.suspectInterval, want.sustain, want.bootstrap}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.url, diff)
		}
	}
}

// TestLayers says what wins: a resource's setting, its profile, the defaults'
// setting, their profile, the protocol.
func TestLayers(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	for _, test := range []struct {
		name, defaults, own string
		sustain, suspect    time.Duration
		of                  int
	}{
		{"protocol", "", "", 10 * s, 100 * ms, 3},
		{"fast", "", `profile = "fast"`, 50 * ms, 10 * ms, 3},
		{"cautious", "", `profile = "cautious"`, 30 * s, 100 * ms, 5},
		{"own setting over own profile", "", "sustain = \"7s\"\nprofile = \"fast\"", 7 * s, 10 * ms, 3},
		{"defaults' profile", `profile = "fast"`, "", 50 * ms, 10 * ms, 3},
		{"defaults' setting over their profile", "profile = \"fast\"\nsustain = \"7s\"", "", 7 * s, 10 * ms, 3},
		{"own profile over defaults' profile", `profile = "cautious"`, `profile = "fast"`, 50 * ms, 10 * ms, 3},
		{"own profile over defaults' setting", `sustain = "7s"`, `profile = "cautious"`, 30 * s, 100 * ms, 5},
		{"own setting over defaults", `sustain = "7s"`, `sustain = "8s"`, 8 * s, 100 * ms, 3},
		{"an interval below suspect_interval", "", `interval = "50ms"`, 10 * s, 50 * ms, 3},
	} {
		c := load(t, "defaults {\n  policy {\n"+test.defaults+"\n  }\n}\n"+pair("mysql", test.own))
		r := c.Resources[0]
		if r.Judge.Sustain != test.sustain || r.Pace.SuspectInterval != test.suspect || r.Judge.Of != test.of || r.Judge.Bad != test.of {
			t.Errorf("%s: sustain %s, suspect_interval %s, %d of %d", test.name, r.Judge.Sustain, r.Pace.SuspectInterval, r.Judge.Bad, r.Judge.Of)
		}
	}
}

func TestPolicy(t *testing.T) {
	c := load(t, pair("memcached", `
    interval         = "2s"
    fresh_interval   = "20s"
    timeout          = "3s"
    suspect_interval = "300ms"
    sustain          = "4s"
    fail_after       = " 2  of 5 "
    rise             = 4
    also_evidence    = ["overloaded", "tls"]
    also_sustain     = "90s"
    mode             = "observe"
    failback         = "auto"
    failback_after   = "20m"
    mass_failure     = "proceed"
    quorum { veto = false }`))
	r := c.Resources[0]
	const s = time.Second
	want := policy.Thresholds{Bad: 2, Of: 5, Rise: 4, Sustain: 4 * s, AlsoEvidence: []probe.Class{probe.Overloaded, probe.TLS}, AlsoSustain: 90 * s}
	if diff := cmp.Diff(want, r.Judge); diff != "" {
		t.Errorf("thresholds (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(probe.Pace{Interval: 2 * s, FreshInterval: 20 * s, SuspectInterval: 300 * time.Millisecond}, r.Pace); diff != "" {
		t.Errorf("pace (-want +got):\n%s", diff)
	}
	if r.Mode != policy.Observe || r.Failback != policy.FailbackAuto || r.FailbackAfter != 20*time.Minute || r.MassFailure != policy.MassProceed || r.Veto {
		t.Errorf("resource %+v", r)
	}
	if target := r.Endpoints[1].Target; target.Timeout != 3*s || target.Idle != 20*s {
		t.Errorf("target %+v", target)
	}
}

// TestIntervalAlone changes one interval, which its neighbours follow.
func TestIntervalAlone(t *testing.T) {
	const s = time.Second
	for _, test := range []struct {
		scheme, policy string
		want           probe.Pace
	}{
		{"mysql", `interval = "20s"`, probe.Pace{Interval: 20 * s, FreshInterval: 20 * s, SuspectInterval: s / 10}},
		{"mysql", `interval = "50ms"`, probe.Pace{Interval: s / 20, FreshInterval: 10 * s, SuspectInterval: s / 20}},
		{"smtp", `interval = "60s"`, probe.Pace{Interval: 60 * s, FreshInterval: 60 * s, SuspectInterval: 2 * s}},
		{"smtp", `interval = "5s"`, probe.Pace{Interval: 5 * s, FreshInterval: 5 * s, SuspectInterval: 2 * s}},
	} {
		if got := load(t, pair(test.scheme, test.policy)).Resources[0].Pace; got != test.want {
			t.Errorf("%s with %s: %+v, want %+v", test.scheme, test.policy, got, test.want)
		}
	}
}

func TestHandles(t *testing.T) {
	c := load(t, `resource "orders-db" {
  handle = "production/DATABASE_URL"
  handles = {
    "production/ALL"  = join("|", [endpoint.name, endpoint.scheme, endpoint.user, endpoint.password, endpoint.host, endpoint.port, endpoint.path, endpoint.query])
    "production/JSON" = jsonencode({ host = endpoint.host, port = endpoint.port })
    "production/SAME" = endpoint.url
  }
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1/orders?charset=utf8" }
  endpoint "standby" { url = "MySQL://app:a%2fb@[2001:db8::2]:3307/orders" }
}`)
	r := c.Resources[0]
	var got []string
	for _, h := range r.Handles {
		for _, v := range h.Values {
			got = append(got, h.Key+" = "+v.Reveal())
		}
	}
	want := []string{
		"production/DATABASE_URL = mysql://app:hunter2&env@db1/orders?charset=utf8",
		"production/DATABASE_URL = mysql://app:a%2Fb@[2001:db8::2]:3307/orders",
		"production/ALL = primary|mysql|app|hunter2&env|db1|3306|/orders|charset=utf8",
		"production/ALL = standby|mysql|app|a/b|2001:db8::2|3307|/orders|",
		`production/JSON = {"host":"db1","port":"3306"}`,
		`production/JSON = {"host":"2001:db8::2","port":"3307"}`,
		"production/SAME = mysql://app:hunter2&env@db1/orders?charset=utf8",
		"production/SAME = mysql://app:a%2Fb@[2001:db8::2]:3307/orders",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("handles (-want +got):\n%s", diff)
	}
}

// TestURLEncode makes every character fit for a password in a URL, whoever
// decodes it: a plus would stand for a space to some, and not to others.
func TestURLEncode(t *testing.T) {
	const password = "a b+c/d?e#f@g:h%i&j=kéÿ\"'\\$"
	opts := options()
	opts.Env = func(string) (string, bool) { return password, true }
	text := strings.ReplaceAll(pair("mysql", ""), "app@", `app:${urlencode(env("X"))}@`)
	c, diags := configs.Parse("test.hcl", []byte(text), opts)
	if c == nil {
		t.Fatal(diags)
	}
	if got := c.Resources[0].Endpoints[0].Target.URL.Password.Reveal(); got != password {
		t.Errorf("password %q, want %q", got, password)
	}
	value := c.Resources[0].Handles[0].Values[0].Reveal()
	if u, err := url.Parse(value); err != nil {
		t.Errorf("the handle %q is no URL: %v", value, err)
	} else if got, _ := u.User.Password(); got != password {
		t.Errorf("the handle %q holds password %q, want %q", value, got, password)
	}
	if strings.Contains(urlencoded(t, " "), "+") {
		t.Error("a space becomes a plus")
	}
}

func urlencoded(t *testing.T, s string) string {
	t.Helper()
	c := load(t, "observer {\n  zone = \"z\"\n}\n"+strings.ReplaceAll(pair("mysql", ""), `handle = "production/URL"`,
		fmt.Sprintf("handles = { \"k\" = \"${endpoint.host}${urlencode(%q)}\" }", s)))
	return c.Resources[0].Handles[0].Values[0].Reveal()
}

func TestProbe(t *testing.T) {
	c := load(t, `defaults {
  probe {
    username = "watcher"
    password = file("/run/secrets/probe")
    tls {
      mode    = "require"
      ca_file = "/etc/ssl/a-ca.pem"
    }
  }
}
resource "r" {
  handle = "k"
  endpoint "a" {
    url = "mysql://app@a/x"
    tls {
      mode        = "verify"
      server_name = "a.example"
    }
  }
  endpoint "b" { url = "mysql://app@b/x" }
  probe {
    passwords = [env("WORD"), file("/run/secrets/x")]
    depth     = "auth"
    tls {
      cert_file = "/etc/ssl/client.pem"
      key_file  = "/etc/ssl/client.key"
    }
  }
}`)
	a, b := c.Resources[0].Endpoints[0].Target, c.Resources[0].Endpoints[1].Target
	common := probe.TLSConfig{Mode: probe.TLSRequire, CAFile: "/etc/ssl/a-ca.pem", CertFile: "/etc/ssl/client.pem", KeyFile: "/etc/ssl/client.key"}
	if diff := cmp.Diff(common, b.TLS); diff != "" {
		t.Errorf("tls of b (-want +got):\n%s", diff)
	}
	common.Mode, common.ServerName = probe.TLSVerify, "a.example"
	if diff := cmp.Diff(common, a.TLS); diff != "" {
		t.Errorf("tls of a (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"hunter2word", "hunter2-file"}, reveal(a.Passwords)); diff != "" || a.Username != "watcher" || a.Depth != probe.PhaseAuth {
		t.Errorf("target %+v, passwords (-want +got):\n%s", a, diff)
	}
}

func reveal(secrets []probe.Secret) []string {
	var out []string
	for _, s := range secrets {
		out = append(out, s.Reveal())
	}
	return out
}

func TestDaemon(t *testing.T) {
	c := load(t, `observer {
  name      = "mon-b"
  zone      = "az-2"
  state_dir = "/srv/reattach"
  peers     = { mon-b = "https://10.0.2.5:9778" }
}
store "consul" {
  address    = "unix:///run/consul.sock"
  token_file = "/run/secrets/token"
  datacenter = "dc2"
  namespace  = "ns"
  partition  = "pt"
}
listen {
  http   = "10.0.2.5:9778"
  socket = "/run/r.sock"
}
`+pair("mysql", ""))
	if diff := cmp.Diff(configs.Observer{Name: "mon-b", Zone: "az-2", StateDir: "/srv/reattach", Peers: []configs.Peer{{Name: "mon-b", URL: "https://10.0.2.5:9778"}}}, c.Observer); diff != "" {
		t.Errorf("observer (-want +got):\n%s", diff)
	}
	want := configs.ConsulStore{Address: "unix:///run/consul.sock", Token: "hunter2-file", TokenFile: "/run/secrets/token", Datacenter: "dc2", Namespace: "ns", Partition: "pt"}
	if c.Store.Consul != want {
		t.Errorf("store %+v, token %q", c.Store.Consul, c.Store.Consul.Token.Reveal())
	}
	if len(c.Files) != 1 || c.Files[0].Path != "/run/secrets/token" {
		t.Errorf("files %+v", c.Files)
	}
	c = load(t, "store \"embedded\" {\n  path = \"/srv/s.db\"\n}\nlisten {\n  http  = \":9778\"\n  token = file(\"/run/secrets/t\")\n}\n"+pair("mysql", ""))
	if c.Store.Kind != configs.Embedded || c.Store.Embedded.Path != "/srv/s.db" || c.Listen.Token.Reveal() != "hunter2-file" {
		t.Errorf("store %+v, listen %+v", c.Store, c.Listen)
	}
}

// TestConfigPrintsNoSecret formats a whole configuration in every way that a
// log or a debugger would.
func TestConfigPrintsNoSecret(t *testing.T) {
	c, diags := configs.Load([]string{"reference.hcl"}, real())
	if c == nil {
		t.Fatal(diags)
	}
	c.Resources[0].Protocol = probe.Protocol{}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, *c); strings.Contains(text, planted) {
			t.Errorf("%s prints a secret", format)
		}
	}
	if c.Resources[0].Handles[0].Values[0].Reveal() == "" || !strings.Contains(c.Resources[0].Handles[0].Values[0].Reveal(), planted) {
		t.Error("no secret is there to be printed")
	}
}

func TestHostname(t *testing.T) {
	for _, host := range []string{"", "bad name", "_x", strings.Repeat("x", 65)} {
		opts := options()
		opts.Hostname = host
		if c, _ := configs.Parse("test.hcl", []byte(pair("mysql", "")), opts); c != nil {
			t.Errorf("host name %q is taken for the observer's", host)
		}
		if c, diags := configs.Parse("test.hcl", []byte("observer {\n  name = \"m\"\n}\n"+pair("mysql", "")), opts); c == nil || c.Observer.Name != "m" {
			t.Errorf("host name %q matters though a name is given:\n%s", host, diags)
		}
	}
}

func TestSchema(t *testing.T) {
	seen := map[string]configs.Setting{}
	for _, s := range configs.Schema() {
		if _, twice := seen[s.Path]; twice {
			t.Errorf("%s is listed twice", s.Path)
		}
		seen[s.Path] = s
		if s.Meaning == "" || s.Type == "" {
			t.Errorf("%s has no meaning or type", s.Path)
		}
	}
	want := configs.Setting{Path: "resource.policy.mode", Type: configs.Text, Default: `"act"`, Meaning: "observe does everything but writing a handle", OneOf: []string{"act", "observe"}}
	if diff := cmp.Diff(want, seen[want.Path]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
