package lab_test

import (
	"context"
	"crypto/tls"
	"database/sql"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	"github.com/hashicorp/consul/api"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/wneessen/go-mail"

	"github.com/reattach/reattach/test/lab"
)

func TestTagIsThatOfTheScript(t *testing.T) {
	out, err := exec.Command("./images.sh", "tag").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(out)); got != lab.Tag() {
		t.Errorf("images.sh says %s, the package %s", got, lab.Tag())
	}
}

func TestMariaDBPairReplicatesBothWays(t *testing.T) {
	lab.Need(t)
	pair := lab.New(t).MariaDBPair()
	one, two := pair.Active.DB(t, "app"), pair.Standby.DB(t, "app")
	for i, way := range []struct{ from, to *sql.DB }{{one, two}, {two, one}, {one, two}} {
		note := []string{"first", "second", "third"}[i]
		if _, err := way.from.Exec("INSERT INTO orders (note) VALUES (?)", note); err != nil {
			t.Fatal(err)
		}
		eventually(t, 5*time.Second, func() bool {
			var n int
			return way.to.QueryRow("SELECT COUNT(*) FROM orders WHERE note = ?", note).Scan(&n) == nil && n == 1
		})
	}

	// The active one dies and comes back: what was written meanwhile reaches it.
	pair.Active.KillContainer()
	if _, err := two.Exec("INSERT INTO orders (note) VALUES ('meanwhile')"); err != nil {
		t.Fatal(err)
	}
	pair.Active.StartContainer()
	eventually(t, 15*time.Second, func() bool {
		var n int
		return one.QueryRow("SELECT COUNT(*) FROM orders").Scan(&n) == nil && n == 4
	})
}

func TestMariaDBServerIDsDiffer(t *testing.T) {
	lab.Need(t)
	l := lab.New(t)
	a, b := l.MariaDB(lab.ReadOnly(), lab.MaxConnections(12)), l.MariaDB()
	read := func(s *lab.Server) (uid string, readOnly bool, limit int) {
		err := s.DB(t, "probe").QueryRow("SELECT @@server_uid, @@read_only, @@max_connections").Scan(&uid, &readOnly, &limit)
		if err != nil {
			t.Fatal(err)
		}
		return uid, readOnly, limit
	}
	uidA, readOnlyA, limitA := read(a)
	uidB, readOnlyB, _ := read(b)
	if uidA == uidB || uidA == "" {
		t.Errorf("server_uid: %q and %q", uidA, uidB)
	}
	if !readOnlyA || readOnlyB || limitA != 12 {
		t.Errorf("read_only %v, %v; max_connections %d", readOnlyA, readOnlyB, limitA)
	}
}

func TestMySQLTargetServes(t *testing.T) {
	lab.NeedMySQL(t)
	var version string
	if err := lab.New(t).MySQL().DB(t, "app").QueryRow("SELECT VERSION()").Scan(&version); err != nil {
		t.Fatal(err)
	}
	t.Logf("MySQL %s", version)
}

func TestRabbitMQServes(t *testing.T) {
	lab.Need(t)
	l := lab.New(t)
	broker := l.RabbitMQ()
	for name, dial := range map[string]func() (*amqp.Connection, error){
		"clear": func() (*amqp.Connection, error) { return amqp.Dial(broker.URL("app")) },
		"tls": func() (*amqp.Connection, error) {
			return amqp.DialTLS("amqps://app:app-secret@"+broker.Addr(5671)+"/orders", &tls.Config{RootCAs: l.CAPool()})
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := dial()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			channel, err := conn.Channel()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := channel.QueueDeclarePassive("orders", true, false, false, false, nil); err != nil {
				t.Errorf("queue orders: %v", err)
			}
		})
	}
	t.Run("killed and started again", func(t *testing.T) {
		broker.KillProcess()
		wantRefused(t, broker.Addr())
		broker.StartProcess()
	})
}

func TestPostfixServes(t *testing.T) {
	lab.Need(t)
	l := lab.New(t)
	server := l.Postfix()
	secure := mail.WithTLSConfig(&tls.Config{RootCAs: l.CAPool(), ServerName: server.IP()})
	login := []mail.Option{mail.WithSMTPAuth(mail.SMTPAuthPlain), mail.WithUsername("app"), mail.WithPassword(lab.Password("app"))}
	for name, opts := range map[string][]mail.Option{
		"25":  {mail.WithPort(25), mail.WithTLSPolicy(mail.NoTLS)},
		"587": append(login, mail.WithPort(587), mail.WithTLSPolicy(mail.TLSMandatory)),
		"465": append(login, mail.WithPort(465), mail.WithSSL()),
	} {
		t.Run(name, func(t *testing.T) {
			client, err := mail.NewClient(server.IP(), append(opts, secure)...)
			if err != nil {
				t.Fatal(err)
			}
			message := mail.NewMsg()
			_ = message.From("app@lab.test")
			_ = message.To("orders@lab.test")
			message.Subject("by " + name)
			message.SetBodyString(mail.TypeTextPlain, "one")
			if err := client.DialAndSend(message); err != nil {
				t.Fatal(err)
			}
			eventually(t, 5*time.Second, func() bool {
				box, _ := server.Exec("cat", "/var/mail/orders")
				return strings.Contains(box, "by "+name)
			})
		})
	}
	t.Run("killed and started again", func(t *testing.T) {
		server.KillProcess()
		wantRefused(t, server.Addr())
		server.StartProcess()
	})
}

func TestPostscreenGreetsInTwoLines(t *testing.T) {
	lab.Need(t)
	server := lab.New(t).Postfix(lab.Postscreen())
	start := time.Now()
	server.WaitReady()
	if took := time.Since(start); took < time.Second {
		t.Errorf("whole greeting after %v, want about 2 s", took)
	}
}

func TestMemcachedServes(t *testing.T) {
	lab.Need(t)
	l := lab.New(t)
	open, closed := l.Memcached(), l.Memcached(lab.Login("app"))
	item := &memcache.Item{Key: "a", Value: []byte("b")}
	if err := memcache.New(open.Addr()).Set(item); err != nil {
		t.Error(err)
	}
	if err := memcache.New(closed.Addr()).Set(item); err == nil {
		t.Error("a server that wants a login took a value without one")
	}
}

func TestSupervisedServerComesBack(t *testing.T) {
	lab.Need(t)
	server := lab.New(t).Memcached(lab.Supervised(1))
	at := server.KillProcess()
	server.WaitReady()
	if took := time.Since(at); took < 900*time.Millisecond || took > 5*time.Second {
		t.Errorf("back after %v, want about 1 s", took)
	}
}

func TestToolsRunPrograms(t *testing.T) {
	lab.Need(t)
	l := lab.New(t)
	cache, tools := l.Memcached(lab.Named("cache")), l.Tools()
	out := tools.MustExec("sh", "-c", "echo version | socat -t2 - TCP:cache:11211")
	if !strings.HasPrefix(out, "VERSION 1.6") {
		t.Errorf("%s says %q", cache.Name(), out)
	}
}

func TestToolsRunAProgramOfOurs(t *testing.T) {
	lab.Need(t)
	program := []byte("#!/bin/sh\nexec socat TCP-LISTEN:7777,fork,reuseaddr SYSTEM:'echo hello from $(hostname)'\n")
	l := lab.New(t)
	tools := l.Tools(lab.Named("app"), lab.Program("/usr/local/bin/app", program),
		lab.Command("/usr/local/bin/app"), lab.Publish(7777))
	for _, addr := range []string{tools.Addr(7777), tools.Published(7777)} {
		eventually(t, 5*time.Second, func() bool {
			conn, err := dial(addr, time.Second)
			if err != nil {
				return false
			}
			defer func() { _ = conn.Close() }()
			text, _ := io.ReadAll(conn)
			return string(text) == "hello from app\n"
		})
	}
	_, port, _ := strings.Cut(tools.Published(7777), ":")
	wantRefused(t, l.Gateway()+":"+port) // on loopback, and on nothing else
}

func TestNothingOfOursStays(t *testing.T) {
	lab.Need(t)
	var network string
	t.Run("a lab", func(t *testing.T) {
		l := lab.New(t)
		network = l.Network()
		l.Memcached()
	})
	out, err := exec.Command("docker", "network", "ls", "-q", "--filter", "name="+network).Output()
	if err != nil {
		t.Fatal(err)
	}
	if len(out) > 0 { // the engine keeps a network for as long as a container is in it
		t.Errorf("network %s is still there", network)
	}
}

func TestConsulComesBackWithItsData(t *testing.T) {
	lab.NeedConsul(t)
	consul := lab.NewConsul(t, lab.ConsulOptions{ACL: true})
	if _, err := consul.Client(consul.CreateToken(`key_prefix "a/" { policy = "read" }`)).KV().Delete("a/b", nil); err == nil {
		t.Error("a token that may read deleted a key")
	}
	writer := consul.Client(consul.CreateToken(`key_prefix "a/" { policy = "write" }`)).KV()
	put(t, writer, "a/b", "1")
	template := lab.NewTemplate(t, lab.TemplateOptions{
		Address: consul.URL(), Token: consul.ManagementToken, Template: `value={{ key "a/b" }};`,
	})
	template.WaitFor("value=1;", 10*time.Second)
	consul.Kill()
	consul.Start()
	put(t, writer, "a/b", "2")
	template.WaitFor("value=2;", 20*time.Second)
	if n := consul.Counter("consul_kvs_apply"); n == 0 {
		t.Error("Consul counted no write")
	}
	if consul.RaftIndex() == 0 {
		t.Error("no raft index")
	}
}

func TestTemplateRestartsItsChild(t *testing.T) {
	lab.NeedConsul(t)
	consul := lab.NewConsul(t, lab.ConsulOptions{})
	put(t, consul.Client("").KV(), "a/b", "first")
	log := t.TempDir() + "/log"
	template := lab.NewTemplate(t, lab.TemplateOptions{
		Address: consul.Addr(), Template: `{{ key "a/b" }}`,
		Command: []string{"sh", "-c", "echo started >> " + log + "; exec sleep 600"},
	})
	starts := func() int { content, _ := os.ReadFile(log); return strings.Count(string(content), "started") }
	eventually(t, 10*time.Second, func() bool { return starts() == 1 })
	put(t, consul.Client("").KV(), "a/b", "second")
	template.WaitFor("second", 10*time.Second)
	eventually(t, 10*time.Second, func() bool { return starts() == 2 })
}

func TestConsulServesTLS(t *testing.T) {
	lab.Need(t)
	lab.NeedConsul(t)
	consul := lab.NewConsul(t, lab.ConsulOptions{TLS: lab.New(t)})
	put(t, consul.Client("").KV(), "a", "1")
}

// eventually waits until done is true, and fails the test after limit.
func eventually(t *testing.T, limit time.Duration, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within %v", limit)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestConsulCluster: of three servers one may be lost, the one that leads, too, and
// what was written stays; of two that are lost nobody answers for all.
func TestConsulCluster(t *testing.T) {
	lab.NeedConsul(t)
	cluster := lab.NewConsulCluster(t, 3, lab.ConsulOptions{ACL: true})
	first := cluster.Leader()
	write := func(server *lab.Consul, value string) error {
		_, err := server.Client("").KV().Put(&api.KVPair{Key: "lab", Value: []byte(value)}, nil)
		return err
	}
	if err := write(cluster.Servers[first], "one"); err != nil {
		t.Fatal(err)
	}
	cluster.Servers[first].Kill()
	second := cluster.Leader()
	if second == first {
		t.Fatalf("server %d leads, who was killed", first)
	}
	cluster.Servers[second].WaitReady()
	if err := write(cluster.Servers[second], "two"); err != nil {
		t.Fatal(err)
	}
	cluster.Servers[first].Revive()
	cluster.Servers[first].WaitReady()
	if pair, _, err := cluster.Servers[first].Client("").KV().Get("lab", nil); err != nil || pair == nil || string(pair.Value) != "two" {
		t.Errorf("the server that was away reads %v, %v", pair, err)
	}
	leader := cluster.Leader()
	for i, server := range cluster.Servers {
		if i != leader {
			server.Pause()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := cluster.Servers[leader].Client("").KV().Put(&api.KVPair{Key: "lab"}, (&api.WriteOptions{}).WithContext(ctx)); err == nil {
		t.Error("one of three servers took a write")
	}
	for _, server := range cluster.Servers {
		server.Revive()
	}
	cluster.WaitReady()
}
