package configs

import (
	"fmt"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// root is the table of all blocks and settings.
var root = &block{blocks: []*block{
	observerBlock(), storeBlock(), listenBlock(), defaultsBlock(), resourceBlock(), notifierBlock(),
}}

func observerBlock() *block {
	c := newConfig("")
	return &block{name: "observer", meaning: "this running reattach", settings: []setting{
		{name: "name", kind: Text, def: "(the host's name)", meaning: "what this observer is called in ballots, history and logs"},
		{name: "zone", kind: Text, def: quoted(c.Observer.Zone), meaning: "where it stands; observers of one zone fail together"},
		{name: "state_dir", kind: Text, def: quoted(c.Observer.StateDir), meaning: "directory for what was seen last and for notices, kept across restarts"},
		{name: "peers", kind: URLs, def: "(this observer alone)", meaning: "every observer by name, this one included, with the URL of its API"},
	}}
}

func storeBlock() *block {
	c := newConfig("").Store
	return &block{name: "store", meaning: "where handles and state are kept", labels: []string{"kind"}, kinds: []*block{
		{name: "consul", meaning: "Consul KV", settings: []setting{
			{name: "address", kind: Text, def: quoted(c.Consul.Address), meaning: "URL of a Consul agent: http://, https:// or unix://"},
			{name: "token", kind: SecretTxt, def: `""`, meaning: "ACL token"},
			{name: "token_file", kind: Text, def: `""`, meaning: "file that holds the ACL token, instead of token; read again when it changes"},
			{name: "datacenter", kind: Text, def: "(the agent's)", meaning: "Consul datacenter"},
			{name: "namespace", kind: Text, def: `""`, meaning: "Consul Enterprise namespace"},
			{name: "partition", kind: Text, def: `""`, meaning: "Consul Enterprise admin partition"},
		}, blocks: []*block{{name: "tls", meaning: "TLS to an https:// address", settings: tlsFiles("the address's host")}}},
		{name: "embedded", meaning: "a file on this machine, for one observer", settings: []setting{
			{name: "path", kind: Text, def: quoted(c.Embedded.Path), meaning: "the file, created where there is none"},
		}},
	}}
}

func tlsFiles(host string) []setting {
	return []setting{
		{name: "ca_file", kind: Text, def: "(the system's roots)", meaning: "PEM file of the certificate authorities to trust"},
		{name: "cert_file", kind: Text, def: `""`, meaning: "PEM file of the client certificate"},
		{name: "key_file", kind: Text, def: `""`, meaning: "PEM file of its key"},
		{name: "server_name", kind: Text, def: "(" + host + ")", meaning: "name to expect in the server's certificate"},
	}
}

func listenBlock() *block {
	c := newConfig("").Listen
	return &block{name: "listen", meaning: "the daemon's own doors", settings: []setting{
		{name: "http", kind: Text, def: quoted(c.HTTP), meaning: `host:port of status page, /metrics and health, and of the KV read calls with store "embedded"; "" for none`},
		{name: "socket", kind: Text, def: quoted(c.Socket), meaning: "unix socket of the command line"},
		{name: "token", kind: SecretTxt, def: `""`, meaning: `X-Consul-Token that readers of store "embedded" must send; needed on an address other than loopback`},
		{name: "token_file", kind: Text, def: `""`, meaning: "file that holds that token, instead of token"},
		{name: "pprof", kind: Bool, def: fmt.Sprint(c.Pprof), meaning: "serve Go's profiles below /debug/pprof/ on http"},
	}}
}

func defaultsBlock() *block {
	return &block{name: "defaults", meaning: "what holds for every resource that does not say otherwise", settings: []setting{
		{name: "notify", kind: Texts, def: "(every notifier)", meaning: "names of the notifiers to tell; also of what concerns no resource. [] for none"},
		{name: "runbook", kind: Text, def: quoted(newConfig("").Runbook), meaning: "http:// or https:// page to which notices link, with the kind of notice as its anchor"},
	}, blocks: []*block{policyBlock(), probeBlock()}}
}

func resourceBlock() *block {
	return &block{name: "resource", meaning: "one backing service as applications see it", labels: []string{"name"}, many: true,
		settings: []setting{
			{name: "handle", kind: Text, def: "(none, but handle or handles is needed)", meaning: "KV key that holds the attached endpoint's URL"},
			{name: "handles", kind: Templates, def: "{}", meaning: "further KV keys, and how each spells the attached endpoint; changed in the same transaction"},
			{name: "bootstrap", kind: Bool, def: "(true; false for stores of data)", meaning: "create handles that were never there, once the first endpoint is up"},
			{name: "require", kind: Texts, def: "[]", meaning: "facts that a standby must show before it takes over: \"writable\", \"version >= 10.11\""},
			{name: "expect", kind: Texts, def: "[]", meaning: "facts that the attached endpoint must show; one that shows something else counts as failing"},
			{name: "notify", kind: Texts, def: "(that of defaults)", meaning: "names of the notifiers to tell; [] for none"},
		},
		blocks: []*block{
			{name: "endpoint", meaning: "one place that can serve the resource; the order is that of preference", labels: []string{"name"}, many: true,
				settings: []setting{{name: "url", kind: URL, required: true, meaning: "its URL; query parameters that reattach does not know belong to the application"}},
				blocks:   []*block{tlsBlock()}},
			probeBlock(), policyBlock(),
			stepBlock("fence"), stepBlock("promote"), stepBlock("abort"), stepBlock("after"),
		}}
}

func stepBlock(name string) *block {
	meanings := map[string]string{
		"fence":   "the command that makes the endpoint that is left harmless, before anything else",
		"promote": "the command that makes the standby ready, before it is attached",
		"abort":   "the command that runs after a promotion that was not followed by its switch",
		"after":   "the command that runs after each switch, at least once",
	}
	b := &block{name: name, meaning: meanings[name], settings: []setting{
		{name: "command", kind: Texts, required: true, meaning: "program, by its absolute path, and arguments; run without a shell"},
		{name: "timeout", kind: Duration, def: quoted(short(stepTimeout)), meaning: "when it is killed, with all that it started", min: time.Second, max: time.Hour},
	}}
	switch name {
	case "fence":
		b.settings = append(b.settings, setting{name: "on_failure", kind: Text, def: quoted("hold"), oneOf: []string{"hold", "proceed"}, meaning: "what to do when it fails: proceed leaves the old one as it is"})
	case "promote":
		b.settings = append(b.settings, setting{name: "require", kind: Texts, def: "[]", meaning: "facts that the standby must show before: \"applied\". What require asks for is then asked after"})
	}
	return b
}

func probeBlock() *block {
	return &block{name: "probe", meaning: "how endpoints are asked", settings: []setting{
		{name: "username", kind: Text, def: "(the URL's)", meaning: "account of the probe"},
		{name: "password", kind: SecretTxt, def: "(the URL's)", meaning: "its password"},
		{name: "passwords", kind: Secrets, def: "[]", meaning: "instead of password: several, while one is rotated. The one that was taken last is tried first, the next only when it is rejected"},
		{name: "depth", kind: Text, def: "(the deepest that leaves no trace)", oneOf: probe.DepthWords(), meaning: "how far a conversation goes"},
	}, blocks: []*block{tlsBlock(), writeBlock()}}
}

func writeBlock() *block {
	return &block{name: "write", meaning: "with depth = \"write\": a row that is replaced in a table of the attached endpoint, never of a standby (mysql, mariadb)", settings: []setting{
		{name: "table", kind: Text, required: true, meaning: "the table, as \"reattach.canary\""},
		{name: "interval", kind: Duration, def: quoted(short(writeInterval)), meaning: "time between two writes", min: 100 * time.Millisecond, max: time.Hour},
		{name: "sustain", kind: Duration, def: quoted(short(writeSustain)), meaning: "how long ago the first write of the run that failed must have begun", max: time.Hour},
	}}
}

func tlsBlock() *block {
	mode := setting{name: "mode", kind: Text, def: "(by scheme)", meaning: "how much TLS a conversation wants",
		oneOf: words(probe.TLSOff, probe.TLSPrefer, probe.TLSRequire, probe.TLSVerify)}
	return &block{name: "tls", meaning: "encryption of probes; files are read for each conversation", settings: append([]setting{mode}, tlsFiles("the URL's host")...)}
}

func policyBlock() *block {
	r := newResource("", probe.Protocol{})
	const day, byScheme = 24 * time.Hour, "(by scheme)"
	return &block{name: "policy", meaning: "how much evidence is wanted, and what to do with it", settings: []setting{
		{name: "profile", kind: Text, def: `""`, oneOf: profileNames(), meaning: "a name for a set of times; what is written beside it wins"},
		{name: "interval", kind: Duration, def: byScheme, min: 10 * time.Millisecond, max: time.Hour, meaning: "time between two pings on a held session, or two conversations where none is held"},
		{name: "fresh_interval", kind: Duration, def: byScheme, min: 10 * time.Millisecond, max: time.Hour, meaning: "time between two whole conversations beside a held session"},
		{name: "timeout", kind: Duration, def: byScheme, min: time.Millisecond, max: 5 * time.Minute, meaning: "bound of one conversation, or one ping"},
		{name: "suspect_interval", kind: Duration, def: byScheme, min: time.Millisecond, max: time.Minute, meaning: "time between two conversations while an endpoint is examined"},
		{name: "sustain", kind: Duration, def: byScheme, max: day, meaning: "how long ago the first bad probe of the run must have begun"},
		{name: "fail_after", kind: Text, def: fmt.Sprintf("\"%d of %d\"", r.Judge.Bad, r.Judge.Of), meaning: "how many of the last probes, of at most 64, must be bad: \"3 of 5\""},
		{name: "rise", kind: Count, def: fmt.Sprint(r.Judge.Rise), least: 1, most: mostProbes, meaning: "good probes in a row that make it up again"},
		{name: "also_evidence", kind: Texts, def: "[]", oneOf: words(evidence()...), meaning: "classes that count as failure here, if they last also_sustain"},
		{name: "also_sustain", kind: Duration, def: quoted(short(r.Judge.AlsoSustain)), max: day, meaning: "how long such a class must last"},
		{name: "mode", kind: Text, def: quoted(r.Mode), oneOf: words(policy.Act, policy.Observe), meaning: "observe does everything but writing a handle"},
		{name: "failback", kind: Text, def: quoted(r.Failback), oneOf: words(policy.FailbackManual, policy.FailbackAuto), meaning: "who brings a resource home to its first endpoint"},
		{name: "failback_after", kind: Duration, def: quoted(short(r.FailbackAfter)), max: 30 * day, meaning: "how long the first endpoint must have been up before an automatic failback"},
		{name: "mass_failure", kind: Text, def: quoted(r.MassFailure), oneOf: words(policy.MassHold, policy.MassProceed), meaning: "what to do when half of everything fails at once"},
	}, blocks: []*block{{name: "quorum", meaning: "how observers agree", settings: []setting{
		{name: "veto", kind: Bool, def: fmt.Sprint(r.Veto), meaning: "an observer that was answered keeps the others from a failover"},
	}}}}
}
