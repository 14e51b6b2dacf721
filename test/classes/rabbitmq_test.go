package classes

import (
	"fmt"
	"testing"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/amqp"
	"github.com/reattach/reattach/test/lab"
)

// limits are accounts and vhosts that have reached what they may have.
const limits = `{
	"users": [
		{"name": "crowd", "password": "crowd-secret", "tags": [], "limits": {"max-connections": 0}},
		{"name": "mute",  "password": "mute-secret",  "tags": [], "limits": {"max-channels": 0}}
	],
	"vhosts": [{"name": "limited"}, {"name": "fallen"}],
	"permissions": [
		{"user": "crowd", "vhost": "orders",  "configure": "", "write": "", "read": ""},
		{"user": "mute",  "vhost": "orders",  "configure": "", "write": "", "read": ""},
		{"user": "app",   "vhost": "limited", "configure": "", "write": "", "read": ""},
		{"user": "app",   "vhost": "fallen",  "configure": "", "write": "", "read": ""}
	],
	"parameters": [
		{"component": "vhost-limits", "name": "limits", "vhost": "limited", "value": {"max-connections": 0}}
	]
}`

// rabbitmq is RabbitMQ 4.0.
func rabbitmq() service {
	at := func(user, password, vhost string) func(*bench) string {
		return func(b *bench) string { return fmt.Sprintf("amqp://%s:%s@%s/%s", user, password, b.Addr(), vhost) }
	}
	said := func(c probe.Class, p probe.Phase, code string) outcome { return outcome{c, p, code} }
	rows := append([]row{well(probe.PhasePing)}, network(probe.PhaseGreet)...)
	rows = append(rows,
		asked("a wrong password", said(probe.Auth, probe.PhaseAuth, "403"), at("probe", "wrong", "orders")),
		asked("an unknown user", said(probe.Auth, probe.PhaseAuth, "403"), at("stranger", "wrong", "orders")),
		asked("a vhost that is missing", said(probe.Misconfigured, probe.PhaseAuth, "530"), at("probe", "probe-secret", "nowhere")),
		asked("a vhost that the user has no right to", said(probe.Auth, probe.PhaseAuth, "530"), at("probe", "probe-secret", "fallen")),
		asked("more connections than the vhost may have", said(probe.Overloaded, probe.PhaseAuth, "530"), at("app", "app-secret", "limited")),
		asked("more connections than the user may have", said(probe.Overloaded, probe.PhaseAuth, "530"), at("crowd", "crowd-secret", "orders")),
		asked("more channels than the user may have", said(probe.Overloaded, probe.PhasePing, "530"), at("mute", "mute-secret", "orders")),
		row{done: "the vhost is down, others serve", outcome: said(probe.Degraded, probe.PhaseAuth, "541"), does: func(t *testing.T, b *bench) probe.Result {
			b.Rabbit("rabbitmqctl", "-q", "import_definitions", "/lab/limits.json")
			b.Rabbit("rabbitmqctl", "-q", "eval", `rabbit_vhost_sup_sup:stop_and_delete_vhost(<<"fallen">>).`)
			return b.probe(t, at("app", "app-secret", "fallen")(b))
		}},
		alarmed("a memory alarm, seen by the canary", said(probe.Degraded, probe.PhaseWrite, "blocked"),
			[]string{"set_vm_memory_high_watermark", "absolute", "1MB"}, []string{"set_vm_memory_high_watermark", "0.6"}, probe.PhaseWrite),
		alarmed("a disk alarm, seen by the canary", said(probe.Degraded, probe.PhaseWrite, "blocked"),
			[]string{"set_disk_free_limit", "1000GB"}, []string{"set_disk_free_limit", "50MB"}, probe.PhaseWrite),
		alarmed("a memory alarm, seen by an ordinary probe", said(probe.OK, probe.PhasePing, ""),
			[]string{"set_vm_memory_high_watermark", "absolute", "1MB"}, []string{"set_vm_memory_high_watermark", "0.6"}, probe.PhaseNone),
		row{done: "put into maintenance (rabbitmq-upgrade drain)", outcome: said(probe.Refused, probe.PhaseConnect, ""), does: func(t *testing.T, b *bench) probe.Result {
			b.Rabbit("rabbitmq-upgrade", "drain")
			r := b.probe(t, b.url)
			b.Rabbit("rabbitmq-upgrade", "revive")
			return r
		}},
		row{done: "its application stopped, the node alive (stop_app)", outcome: said(probe.Refused, probe.PhaseConnect, ""), does: func(t *testing.T, b *bench) probe.Result {
			b.Rabbit("rabbitmqctl", "-q", "stop_app")
			r := b.probe(t, b.url)
			b.Rabbit("rabbitmqctl", "-q", "start_app")
			b.WaitReady()
			return r
		}},
		asked("clear text spoken to its TLS port", said(probe.TLS, probe.PhaseGreet, ""), func(b *bench) string { return "amqp://probe:probe-secret@" + b.Addr(5671) + "/orders" }),
		asked("no TLS where the URL demands it", said(probe.TLS, probe.PhaseTLS, ""), func(b *bench) string { return "amqps://probe:probe-secret@" + b.Addr() + "/orders" }),
	)
	secure := func(b *bench) string { return "amqps://probe:probe-secret@" + b.Addr(5671) + "/orders" }
	rejected := said(probe.TLS, probe.PhaseGreet, "")
	rows = append(rows, demanding(probe.PhasePing, rejected, rejected, rabbitDemands())...)
	rows = append(rows, certified(probe.PhasePing, secure, func(_ *testing.T, b *bench, cert, key []byte) {
		b.write("/lab/tls/cert.pem", cert)
		b.write("/run/lab-key.pem", key)
		b.Rabbit("rabbitmqctl", "-q", "eval", "ssl:clear_pem_cache().")
	})...)
	return service{name: "RabbitMQ", rows: rows, start: func(t *testing.T) *bench {
		l := lab.New(t)
		s := l.RabbitMQ(lab.File("/lab/limits.json", []byte(limits)))
		b := &bench{Server: s, lab: l, protocol: amqp.Protocol, url: s.URL("probe")}
		b.Rabbit("rabbitmqctl", "-q", "import_definitions", "/lab/limits.json")
		return b
	}}
}

// alarmed is a row of an alarm that one command raises and another one ends.
func alarmed(done string, o outcome, set, mend []string, deep probe.Phase) row {
	return row{done: done, outcome: o, does: func(t *testing.T, b *bench) probe.Result {
		b.Rabbit(append([]string{"rabbitmqctl", "-q"}, set...)...)
		r := b.probe(t, b.url, depth(deep))
		b.Rabbit(append([]string{"rabbitmqctl", "-q"}, mend...)...)
		eventually(t, "the alarm ends", func() bool { return b.probe(t, b.url, depth(probe.PhaseWrite)).Class == probe.OK })
		return r
	}}
}
