package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// deposit sends a message that no queue gets, by a connection of its own.
func deposit(ctx context.Context, handle string) error {
	conn, err := amqp.DialConfig(handle, amqp.Config{Dial: amqp.DefaultDial(10 * time.Second)})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	channel, err := conn.Channel()
	if err != nil {
		return err
	}
	return channel.PublishWithContext(ctx, "", "nobody", false, false, amqp.Publishing{Body: []byte("rotation")})
}

// TestRotationOfAccount walks the page where an account has one password: the
// next password gets an account of its own.
func TestRotationOfAccount(t *testing.T) {
	lab.Need(t)
	pair := queues()
	servers := []*lab.Server{pair.Active, pair.Standby}
	name := unique("rotationamqp")
	app := strings.ReplaceAll(name, ".", "")
	brokers(servers, "rabbitmqctl", "-q", "eval", fmt.Sprintf(`rabbit_auth_backend_internal:add_user(<<"%[1]s">>, <<"old-secret">>, <<"lab">>),
		rabbit_auth_backend_internal:set_permissions(<<"%[1]s">>, <<"orders">>, <<".*">>, <<".*">>, <<".*">>, <<"lab">>).`, app))
	w := &walk{t: t, dir: t.TempDir(), servers: servers, secrets: map[string]string{"NEW": "new-secret"}}
	w.names = strings.NewReplacer("orders-db", name, "app2", app+"2", "delete_user app", "delete_user "+app)
	w.on("An application's account")
	urls := func(login string) {
		w.write("a", "amqp://"+login+"@"+pair.Active.Addr()+"/orders")
		w.write("b", "amqp://"+login+"@"+pair.Standby.Addr()+"/orders")
	}
	urls(app + ":old-secret")
	config, door := daemon.Embedded(t, daemon.Resource{Name: name, Handle: name + "/URL", A: "A", B: "B", Policy: patient})
	config = strings.NewReplacer(`"A"`, fmt.Sprintf(`file("%s/a")`, w.dir), `"B"`, fmt.Sprintf(`file("%s/b")`, w.dir)).Replace(config)
	w.d = daemon.New(t, config)
	w.d.Start()
	w.d.Protected(name)
	c := &client{work: deposit}
	stop := c.begin(door, name+"/URL")
	defer stop()
	c.serves(t, app+":old-secret")

	w.step(1)
	urls(app + "2:new-secret")
	w.condition(name, policy.Outdated.String())
	w.reattach(`refresh orders-db --reason "new account"`)
	w.condition(name, policy.Ours.String())
	c.serves(t, app+"2:new-secret")
	daemon.Eventually(t, 2*time.Minute, "nobody is connected by the old account", func() bool {
		return !slices.Contains(strings.Fields(brokers(servers, "rabbitmqctl", "-q", "list_connections", "user")), app)
	})
	w.step(4)
	c.serves(t, app+"2:new-secret")
	w.d.Protected(name)
	stop()
	c.unharmed(t)
	quiet(t, w.d, "bootstrap", "refresh")
	const refused = "login refused"
	for _, s := range servers {
		if n := logged(s, refused, "'"+app); n != 0 {
			t.Errorf("%s refused %d logins", s.Name(), n)
		}
	}
	if err := deposit(t.Context(), "amqp://"+app+":old-secret@"+pair.Active.Addr()+"/orders"); err == nil {
		t.Error("the old account still lets in")
	}
	daemon.Eventually(t, 10*time.Second, "the log has that refused login", func() bool { return logged(pair.Active, refused, "'"+app) == 1 })
}

// TestRotationInAnotherOrder: the server forgets the old password before the file
// has the new one. That is told, and no reason for a switch; the file ends it.
func TestRotationInAnotherOrder(t *testing.T) {
	lab.Need(t)
	pair := databases()
	name := unique("rotationlate")
	user := strings.ReplaceAll(name, ".", "")
	pair.Active.SQL(fmt.Sprintf("CREATE USER %s@'%%' IDENTIFIED BY 'old-secret'", user))
	pair.Active.SQL(fmt.Sprintf("GRANT ALL ON orders.* TO %s@'%%'", user))
	alike(t, pair, user)
	secret := filepath.Join(t.TempDir(), "secret")
	write := func(value string) {
		t.Helper()
		if err := os.WriteFile(secret, []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old-secret")
	url := func(s *lab.Server) string {
		return fmt.Sprintf(`mysql://%s:${file("%s")}@%s/orders`, user, secret, s.Addr())
	}
	config, _ := daemon.Embedded(t, daemon.Resource{Name: name, Handle: name + "/URL", A: "A", B: "B", More: "  bootstrap = true", Policy: watchful})
	config = strings.NewReplacer(`"A"`, `"`+url(pair.Active)+`"`, `"B"`, `"`+url(pair.Standby)+`"`).Replace(config)
	d := daemon.New(t, config)
	d.Start()
	d.Protected(name)

	pair.Active.SQL(fmt.Sprintf("ALTER USER %s@'%%' IDENTIFIED BY 'new-secret'", user))
	daemon.Eventually(t, 30*time.Second, "both reject the old password", func() bool {
		s := d.Status(name)
		return s.Endpoints[0].Class == probe.Auth && s.Endpoints[1].Class == probe.Auth && !s.Protected
	}, func() string { return d.Explain(name) })
	daemon.Throughout(t, 3*time.Second, "nothing is switched, three times sustain", func() bool { return d.Status(name).Epoch == 1 })
	write("new-secret")
	daemon.Eventually(t, 30*time.Second, "the file is read and all is well, but for the handle", func() bool {
		s := d.Status(name)
		return s.Protected && s.Attached == "a" && s.Condition == policy.Outdated.String() && s.Endpoints[0].Class == probe.OK
	}, func() string { return d.Explain(name) }, d.Logs)
	if out, err := d.Command("refresh", name, "--reason", "late"); err != nil {
		t.Fatalf("refresh: %v: %s", err, out)
	}
	daemon.Eventually(t, 10*time.Second, "the handle is spelt anew", func() bool { return d.Status(name).Condition == policy.Ours.String() })
	quiet(t, d, "bootstrap", "suspect", "held", "not_protected", "recovered", "refresh")
}

// TestRotationOfToken: Consul's token is replaced without a restart, in the page's
// order without a word, and in the other one with one that ends.
func TestRotationOfToken(t *testing.T) {
	need(t)
	pair := caches()
	name := unique("rotationtoken")
	r := daemon.Resource{Name: name, Handle: name + "/URL", A: pair.Active.URL(""), B: pair.Standby.URL(""), Policy: patient}
	rules := policyFor(t, r.Handle)
	token := consul().CreateToken(rules)
	file := filepath.Join(t.TempDir(), "token")
	write := func(value string) { t.Helper(); replace(t, file, []byte(value+"\n")) }
	revoke := func(secret string) {
		t.Helper()
		acl := consul().Client("").ACL()
		entry, _, err := consul().Client(secret).ACL().TokenReadSelf(nil)
		if err == nil {
			_, err = acl.TokenDelete(entry.AccessorID, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(token)
	config := strings.Replace(daemon.OnConsul(consul().URL(), "TOKEN", r), `token   = "TOKEN"`, fmt.Sprintf("token_file = %q", file), 1)
	d := daemon.New(t, config)
	d.Start()
	d.Protected(name)

	next := consul().CreateToken(rules)
	write(next)
	daemon.Eventually(t, 30*time.Second, "the new token is in force", func() bool { return strings.Contains(d.Logs(), `"tokens":["store"]`) }, d.Logs)
	revoke(token)
	drain := func(verb, reason string) (string, error) { return d.Command(verb, name, "b", "--reason", reason) }
	if out, err := drain("drain", "a write by the new token"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := drain("undrain", "another"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	d.Protected(name)
	quiet(t, d, "bootstrap", "order", "not_protected") // of the drained standby

	revoke(next)
	told := func() bool {
		return slices.ContainsFunc(d.Overview("").Notices, func(n failover.Notice) bool { return n.Event == "denied" })
	}
	daemon.Eventually(t, 30*time.Second, "it is told that the store denies it", told, d.Logs)
	write(consul().CreateToken(rules))
	daemon.Eventually(t, 90*time.Second, "it is not denied any more, without a restart", func() bool { return !told() }, d.Logs)
	d.Protected(name)
	if s := d.Status(name); s.Epoch != 1 {
		t.Errorf("epoch %d", s.Epoch)
	}
	if strings.Contains(d.Logs(), token) || strings.Contains(d.Logs(), next) {
		t.Error("the log holds a token")
	}
}

// replace puts another file in the place of one, as the page says: by a rename.
func replace(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// TestRotationOfAuthority: Consul gets a certificate of another authority. With
// both in the file the daemon goes on; with the wrong one it is cut off until the
// file has the right one. It is never restarted.
func TestRotationOfAuthority(t *testing.T) {
	need(t)
	pair := caches()
	first, second := network(), lab.New(t)
	own := lab.NewConsul(t, lab.ConsulOptions{ACL: true, TLS: first})
	authority := func(l *lab.Lab) []byte {
		t.Helper()
		pem, err := os.ReadFile(l.CAFile())
		if err != nil {
			t.Fatal(err)
		}
		return pem
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	replace(t, file, authority(first))
	name := unique("rotationca")
	r := daemon.Resource{Name: name, Handle: name + "/URL", A: pair.Active.URL(""), B: pair.Standby.URL(""), Policy: patient}
	config := strings.Replace(daemon.OnConsul(own.URL(), own.ManagementToken, r), "store \"consul\" {\n", fmt.Sprintf("store \"consul\" {\n  tls { ca_file = %q }\n", file), 1)
	d := daemon.New(t, config)
	d.Start()
	d.Protected(name)
	restart := func(by *lab.Lab) {
		t.Helper()
		own.Stop()
		daemon.Eventually(t, 30*time.Second, "the daemon misses its store", func() bool { return d.Blind() != "" }, d.Logs)
		own.Certify(by)
		own.Start()
	}
	sees := func() {
		t.Helper()
		daemon.Eventually(t, 30*time.Second, "the daemon sees its store", func() bool { return d.Blind() == "" }, d.Logs)
		d.Protected(name)
	}

	replace(t, file, append(authority(first), authority(second)...))
	restart(second)
	sees()
	replace(t, file, authority(second))
	restart(first)
	daemon.Throughout(t, 3*time.Second, "whom the file does not name is not trusted", func() bool { return d.Blind() != "" })
	replace(t, file, authority(first))
	sees()
	if s := d.Status(name); s.Epoch != 1 || s.Attached != "a" {
		t.Errorf("epoch %d, attached to %s", s.Epoch, s.Attached)
	}
}
