package amqp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/amqp"
	"github.com/reattach/reattach/test/lab"
)

// target is an endpoint to probe, with the scheme's own idea of TLS.
func target(t testing.TB, raw string) probe.Target {
	t.Helper()
	u, err := probe.ParseURL(raw)
	if err != nil {
		t.Fatal(err)
	}
	return probe.Target{URL: u, Timeout: amqp.Protocol.Defaults.Timeout, Client: "reattach lab", Idle: 10 * time.Second}
}

func once(t testing.TB, tg probe.Target) probe.Result {
	t.Helper()
	return probe.Once(t.Context(), amqp.Protocol, tg)
}

// hold opens a session that the test's end closes.
func hold(t testing.TB, tg probe.Target) probe.Held {
	t.Helper()
	held, r := probe.Open(t.Context(), amqp.Protocol, tg)
	if r.Class != probe.OK {
		t.Fatalf("no session: %+v", r)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		held.Close(ctx)
	})
	return held
}

// want checks the class, phase and code of a result, where they are named.
func want(t *testing.T, r probe.Result, class probe.Class, phase probe.Phase, code string) {
	t.Helper()
	if r.Class != class || phase != probe.PhaseNone && r.Phase != phase || r.Code != code {
		t.Errorf("got %v in %v, code %q (%s); want %v in %v, code %q", r.Class, r.Phase, r.Code, r.Err, class, phase, code)
	}
	if strings.Contains(fmt.Sprintf("%+v", r), "-secret") {
		t.Errorf("the result shows a password: %+v", r)
	}
}

// broker is RabbitMQ with what the tests ask of it.
type broker struct {
	*lab.Server
	lab *lab.Lab
}

func (b broker) ctl(args ...string) string {
	return b.Rabbit(append([]string{"rabbitmqctl", "-q"}, args...)...)
}

// url is the broker's URL for user and vhost (escaped).
func (b broker) url(user, password, vhost string) string {
	return fmt.Sprintf("amqp://%s:%s@%s/%s", user, password, b.Addr(), vhost)
}

// more is what the broker has besides the lab's own: limits that are reached, and
// a vhost to break.
const more = `{
	"users": [
		{"name": "crowd", "password": "crowd-secret", "tags": [], "limits": {"max-connections": 0}},
		{"name": "mute",  "password": "mute-secret",  "tags": [], "limits": {"max-channels": 0}}
	],
	"vhosts": [{"name": "limited"}, {"name": "limitless"}, {"name": "fallen"}],
	"permissions": [
		{"user": "crowd", "vhost": "orders",  "configure": "", "write": "", "read": ""},
		{"user": "mute",  "vhost": "orders",  "configure": "", "write": "", "read": ""},
		{"user": "app",   "vhost": "limited", "configure": "", "write": "", "read": ""},
		{"user": "app",   "vhost": "limitless", "configure": "", "write": "", "read": ""},
		{"user": "app",   "vhost": "fallen",  "configure": "", "write": "", "read": ""}
	],
	"parameters": [
		{"component": "vhost-limits", "name": "limits", "vhost": "limited", "value": {"max-connections": 0}}
	]
}`

// TestRealBroker holds the probe against one RabbitMQ, and breaks it in turn.
// The order matters: each part leaves the broker as it found it.
func TestRealBroker(t *testing.T) {
	lab.Need(t)
	l := lab.New(t)
	b := broker{l.RabbitMQ(lab.File("/lab/more.json", []byte(more))), l}
	b.ctl("import_definitions", "/lab/more.json")
	for _, part := range []struct {
		name string
		run  func(*testing.T, broker)
	}{
		{"ok", testOK},
		{"quiet", testQuiet}, // before anything that the broker logs
		{"facts", testFacts},
		{"a queue of the probe's own", testOwnQueue},
		{"encrypted", testTLS},
		{"turned away", testTurnedAway},
		{"limits", testLimits},
		{"vhost down", testVhostDown},
		{"closed by a person", testForced},
		{"alarm", testAlarm},
		{"maintenance", testMaintenance},
		{"hang", testHang},
		{"network", testNetwork},
		{"killed", testKilled},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, b) })
	}
}

func testOK(t *testing.T, b broker) {
	tg := target(t, b.URL("probe"))
	r := once(t, tg)
	want(t, r, probe.OK, probe.PhasePing, "")
	conn, err := amqp091.Dial(b.URL("probe"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for _, name := range []string{"product", "version", "cluster_name"} {
		if r.Facts[name] != conn.Properties[name] || r.Facts[name] == nil {
			t.Errorf("%s is %v; the client library says %v", name, r.Facts[name], conn.Properties[name])
		}
	}
	for _, phase := range []probe.Phase{probe.PhaseConnect, probe.PhaseGreet, probe.PhaseAuth, probe.PhasePing} {
		if r.Timings[phase] <= 0 {
			t.Errorf("no time for %v", phase)
		}
	}
	t.Logf("%v %v: %v", r.Facts["product"], r.Facts["version"], r.Ended.Sub(r.Began))
	held := hold(t, tg)
	want(t, held.Ping(t.Context()), probe.OK, probe.PhasePing, "")
	if list := b.ctl("list_connections", "client_properties"); !strings.Contains(list, "reattach lab") {
		t.Errorf("the broker's list of connections does not say who probes: %s", list)
	}
	if u := b.url("probe", "probe-secret", ""); amqp.Protocol.Check(target(t, u).URL) == nil {
		t.Error("the ambiguous path / passed")
	}
	want(t, once(t, target(t, b.url("probe", "probe-secret", "%2F"))), probe.OK, probe.PhasePing, "")
	want(t, once(t, target(t, strings.TrimSuffix(b.url("probe", "probe-secret", ""), "/"))), probe.OK, probe.PhasePing, "")
}

func testTLS(t *testing.T, b broker) {
	tg := target(t, "amqps://probe:probe-secret@"+b.Addr(5671)+"/orders")
	want(t, once(t, tg), probe.TLS, probe.PhaseTLS, "")
	tg.TLS.CAFile = b.lab.CAFile()
	r := once(t, tg)
	want(t, r, probe.OK, probe.PhasePing, "")
	if at, err := time.Parse(time.RFC3339, fmt.Sprint(r.Facts["tls_expiry"])); err != nil || time.Until(at) > 91*24*time.Hour || time.Until(at) < 89*24*time.Hour {
		t.Errorf("the certificate ends %v", r.Facts["tls_expiry"])
	}
	held := hold(t, tg)
	for range 3 { // a wait that ends without a word leaves the session whole
		want(t, wait(t, held, 20*time.Millisecond), probe.OK, probe.PhasePing, "")
		want(t, held.Ping(t.Context()), probe.OK, probe.PhasePing, "")
	}
	tg.TLS.ServerName = "elsewhere.lab"
	want(t, once(t, tg), probe.TLS, probe.PhaseTLS, "")
	tg.TLS = probe.TLSConfig{Mode: probe.TLSRequire}
	want(t, once(t, tg), probe.OK, probe.PhasePing, "")
	want(t, once(t, target(t, "amqp://probe:probe-secret@"+b.Addr(5671)+"/orders")), probe.TLS, probe.PhaseGreet, "")
	want(t, once(t, target(t, "amqps://probe:probe-secret@"+b.Addr()+"/orders")), probe.TLS, probe.PhaseTLS, "")
}

// testTurnedAway: what the broker refuses, and what the client library makes of it.
func testTurnedAway(t *testing.T, b broker) {
	for _, c := range []struct {
		user, password, vhost string
		class                 probe.Class
		code                  string
		oracle                int
	}{
		{"probe", "wrong-secret", "orders", probe.Auth, "403", 403},
		{"nobody", "wrong-secret", "orders", probe.Auth, "403", 403},
		{"probe", "probe-secret", "nosuch", probe.Misconfigured, "530", 530},
		{"probe", "probe-secret", "limit%20is%20reached", probe.Misconfigured, "530", 530},
	} {
		began := time.Now()
		u := b.url(c.user, c.password, c.vhost)
		want(t, once(t, target(t, u)), c.class, probe.PhaseAuth, c.code)
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s took %v", c.user, took)
		}
		_, err := amqp091.Dial(u)
		var said *amqp091.Error
		if !errors.As(err, &said) || said.Code != c.oracle {
			t.Errorf("the client library says %v, not %d", err, c.oracle)
		}
	}
	tg := target(t, b.url("probe", "ignored-secret", "orders"))
	tg.Passwords = []probe.Secret{"old-secret", "probe-secret"}
	want(t, once(t, tg), probe.OK, probe.PhasePing, "")
	want(t, once(t, target(t, b.url("probe", "probe-secret", "fallen"))), probe.Auth, probe.PhaseAuth, "530")
}

func testLimits(t *testing.T, b broker) {
	want(t, once(t, target(t, b.url("app", "app-secret", "limited"))), probe.Overloaded, probe.PhaseAuth, "530")
	want(t, once(t, target(t, b.url("crowd", "crowd-secret", "orders"))), probe.Overloaded, probe.PhaseAuth, "530")
	want(t, once(t, target(t, b.url("mute", "mute-secret", "orders"))), probe.Overloaded, probe.PhasePing, "530")
}

func testVhostDown(t *testing.T, b broker) {
	u := b.url("app", "app-secret", "fallen")
	want(t, once(t, target(t, u)), probe.OK, probe.PhasePing, "")
	b.ctl("eval", `rabbit_vhost_sup_sup:stop_and_delete_vhost(<<"fallen">>).`)
	want(t, once(t, target(t, u)), probe.Degraded, probe.PhaseAuth, "541")
}

// testQuiet: twenty whole conversations and a held session leave nothing worse
// than info lines in the broker's log.
func testQuiet(t *testing.T, b broker) {
	before := len(b.Logs())
	tg := target(t, b.URL("probe"))
	for range 20 {
		want(t, once(t, tg), probe.OK, probe.PhasePing, "")
	}
	for _, depth := range []probe.Phase{probe.PhaseConnect, probe.PhaseAuth, probe.PhaseWrite} {
		tg.Depth = depth
		want(t, once(t, tg), probe.OK, depth, "")
	}
	tg.Depth = probe.PhaseNone
	held, _ := probe.Open(t.Context(), amqp.Protocol, tg)
	for range 20 {
		want(t, held.Ping(t.Context()), probe.OK, probe.PhasePing, "")
	}
	held.Close(t.Context())
	for _, line := range loud(b.Logs()[before:]) {
		t.Errorf("the broker logs: %s", line)
	}
	tg.Depth = probe.PhaseGreet // the proof that the search finds what it looks for
	want(t, once(t, tg), probe.OK, probe.PhaseGreet, "")
	eventually(t, func() bool { return len(loud(b.Logs()[before:])) > 0 })
}

// loud returns the warnings and errors of a log.
func loud(log string) (lines []string) {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "[warning]") || strings.Contains(line, "[error]") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// eventually waits for what follows within moments of its cause.
func eventually(t *testing.T, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not happen")
		}
	}
}

func wait(t *testing.T, held probe.Held, d time.Duration) probe.Result {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return held.Wait(ctx)
}

// waitHint waits for what the broker says to a held session.
func waitHint(t *testing.T, held probe.Held) probe.Result {
	t.Helper()
	r := wait(t, held, 10*time.Second)
	if r.Failed() && (!r.Hint || r.Kind != probe.Session) {
		t.Errorf("no hint: %+v", r)
	}
	return r
}

func testForced(t *testing.T, b broker) {
	held := hold(t, target(t, b.URL("probe")))
	b.ctl("close_all_connections", "--global", "a lab test")
	want(t, waitHint(t, held), probe.Degraded, probe.PhasePing, "320")
	want(t, held.Ping(t.Context()), probe.Degraded, probe.PhasePing, "320")
	again := hold(t, target(t, b.URL("probe")))
	b.ctl("close_all_connections", "--global", "a lab test")
	r := again.Ping(t.Context()) // the last words, though nobody waited for them
	want(t, r, probe.Degraded, probe.PhasePing, "320")
	if !r.Hint || r.Kind != probe.Session {
		t.Errorf("no hint: %+v", r)
	}
}

func testMaintenance(t *testing.T, b broker) {
	held := hold(t, target(t, b.URL("probe")))
	b.Rabbit("rabbitmq-upgrade", "drain")
	want(t, waitHint(t, held), probe.Degraded, probe.PhasePing, "320")
	want(t, once(t, target(t, b.URL("probe"))), probe.Refused, probe.PhaseConnect, "")
	b.Rabbit("rabbitmq-upgrade", "revive")
	want(t, once(t, target(t, b.URL("probe"))), probe.OK, probe.PhasePing, "")
}

// TestOtherServers: what a probe says of servers of other protocols.
func TestOtherServers(t *testing.T) {
	lab.Need(t)
	l := lab.New(t)
	for _, c := range []struct {
		server *lab.Server
		class  probe.Class
	}{
		{l.Postfix(), probe.Garbled},
		{l.MariaDB(), probe.Garbled},
		{l.Memcached(), probe.Timeout}, // it waits for the end of the line
	} {
		tg := target(t, "amqp://probe:probe-secret@"+c.server.Addr()+"/orders")
		tg.Timeout = time.Second
		want(t, once(t, tg), c.class, probe.PhaseGreet, "")
	}
}

func BenchmarkHeldPing(b *testing.B) {
	held := hold(b, benchTarget(b))
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		if r := held.Ping(ctx); r.Failed() {
			b.Fatal(r)
		}
	}
}

func BenchmarkFresh(b *testing.B) {
	tg := benchTarget(b)
	b.ReportAllocs()
	for b.Loop() {
		if r := once(b, tg); r.Failed() {
			b.Fatal(r)
		}
	}
}

func benchTarget(b *testing.B) probe.Target {
	lab.Need(b)
	return target(b, lab.New(b).RabbitMQ().URL("probe"))
}
