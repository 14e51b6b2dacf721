package e2e

import (
	"net/url"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/wneessen/go-mail"

	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// TestFailoverOfEachProtocol: what MariaDB does in the other tests, the other
// three do here, each lost in another way, and their clients follow the handle.
func TestFailoverOfEachProtocol(t *testing.T) {
	need(t)
	cases := []struct {
		name         string
		pair         func() *lab.Pair
		user         string
		strike, heal func(*lab.Server)
		use          func(t *testing.T, u *url.URL)
	}{
		{"amqp", queues, "app", func(s *lab.Server) { s.KillProcess() }, (*lab.Server).StartProcess, publish},
		{"smtp", relays, "", func(s *lab.Server) { s.Freeze() }, (*lab.Server).Thaw, send},
		{"memcached", caches, "", func(s *lab.Server) { s.Disconnect() }, (*lab.Server).Connect, set},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			pair := c.pair()
			name := unique("each-" + c.name)
			r := daemon.Resource{Name: name, Handle: name + "/URL", A: pair.Active.URL(c.user), B: pair.Standby.URL(c.user), Policy: daemon.Fast}
			d := daemon.New(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, r.Handle)), r))
			d.Start()
			d.Protected(name) // it made the handle itself: these are no stores of data
			handle := changes(t, r.Handle)
			t.Cleanup(func() { c.heal(pair.Active) })
			c.strike(pair.Active)
			d.AttachedTo(name, "b", 15*time.Second)
			u, err := url.Parse(string(entry(t, r.Handle).Value))
			if err != nil || u.Host != pair.Standby.Addr() {
				t.Fatalf("the handle does not name the standby: %v", err)
			}
			c.use(t, u)
			daemon.Throughout(t, time.Second, "the handle changed once", func() bool { return handle() <= 1 })
			if got := records(t, name); len(got) != 2 || got[1].Kind.String() != "failover" || got[1].To != "b" {
				t.Errorf("history: %+v", got)
			}
			noBallot(t, name)
		})
	}
}

func publish(t *testing.T, u *url.URL) {
	t.Helper()
	conn, err := amqp.Dial(u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	channel, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if err := channel.Confirm(false); err != nil {
		t.Fatal(err)
	}
	confirmed, err := channel.PublishWithDeferredConfirmWithContext(t.Context(), "", "orders", true, false, amqp.Publishing{Body: []byte("1")})
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := confirmed.WaitContext(t.Context()); !ok || err != nil {
		t.Errorf("not confirmed: %v", err)
	}
}

func send(t *testing.T, u *url.URL) {
	t.Helper()
	client, err := mail.NewClient(u.Hostname(), mail.WithPort(25), mail.WithTLSPolicy(mail.NoTLS))
	if err != nil {
		t.Fatal(err)
	}
	message := mail.NewMsg()
	if err := message.From("app@lab.test"); err != nil {
		t.Fatal(err)
	}
	if err := message.To("orders@lab.test"); err != nil {
		t.Fatal(err)
	}
	if err := client.DialAndSendWithContext(t.Context(), message); err != nil {
		t.Error(err)
	}
}

func set(t *testing.T, u *url.URL) {
	t.Helper()
	client := memcache.New(u.Host)
	defer func() { _ = client.Close() }()
	if err := client.Set(&memcache.Item{Key: "e2e", Value: []byte("1")}); err != nil {
		t.Error(err)
	}
}

// TestRestartedCacheClears: a memcached that was left and restarted is empty, and
// so is no longer tainted: nobody has to say so.
func TestRestartedCacheClears(t *testing.T) {
	need(t)
	pair := caches()
	name := unique("restarted")
	r := daemon.Resource{Name: name, Handle: name + "/URL", A: pair.Active.URL(""), B: pair.Standby.URL(""), Policy: daemon.Fast}
	d := daemon.New(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, r.Handle)), r))
	d.Start()
	d.Protected(name)
	t.Cleanup(pair.Active.StartProcess)
	pair.Active.KillProcess()
	d.AttachedTo(name, "b", 15*time.Second)
	if d.Status(name).Endpoints[0].Tainted == "" {
		t.Error("the endpoint that was left is not tainted")
	}
	after(6 * time.Second) // uptime is told in whole seconds, and some servers count from a little earlier
	pair.Active.StartProcess()
	daemon.Eventually(t, 20*time.Second, "a is not tainted any more", func() bool { return d.Status(name).Endpoints[0].Tainted == "" },
		func() string { return d.Explain(name) })
}
