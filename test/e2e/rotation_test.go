package e2e

import (
	"context"
	"crypto/tls"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// patient are thresholds under which a busy machine is no reason for a notice,
// and fresh logins are many.
const patient = `
    interval       = "200ms"
    fresh_interval = "200ms"
    timeout        = "10s"
    sustain        = "30s"`

// watchful are thresholds under which evidence is believed soon, and a busy machine
// is none.
const watchful = `
    interval       = "200ms"
    fresh_interval = "200ms"
    timeout        = "10s"
    sustain        = "1s"`

// denied is how both servers begin the line of a refused login.
const denied = "Access denied for user '"

// client is an application that takes its handle anew and logs in anew for each
// piece of its work.
type client struct {
	work     func(ctx context.Context, handle string) error // by a connection of its own
	mu       sync.Mutex
	url      string // that served last
	done     int    // pieces of work
	failures []string
}

func (c *client) run(ctx context.Context, door, key string) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		handle, err := fetch(ctx, "http://"+door+"/v1/kv/"+key+"?raw")
		if err == nil {
			err = c.work(ctx, handle)
		}
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		if err == nil {
			c.url, c.done = handle, c.done+1
		} else {
			c.failures = append(c.failures, err.Error())
		}
		c.mu.Unlock()
	}
}

// insert writes one row by a connection of its own.
func insert(ctx context.Context, handle string) error {
	u, err := url.Parse(handle)
	if err != nil {
		return err
	}
	config := mysql.NewConfig()
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.Net, config.Addr, config.DBName = "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
	config.TLS = &tls.Config{InsecureSkipVerify: true} // MySQL wants a private line for a new password
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(ctx, "INSERT INTO orders (note) VALUES ('rotation')")
	return err
}

// begin starts the application; stop ends it, and returns once it has ended.
func (c *client) begin(door, key string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { c.run(ctx, door, key) })
	return func() { cancel(); running.Wait() }
}

// unharmed fails the test if any of the application's work failed.
func (c *client) unharmed(t *testing.T) {
	t.Helper()
	if len(c.failures) > 0 {
		t.Errorf("%d of %d times the application could not work: %s", len(c.failures), c.done+len(c.failures), c.failures[0])
	}
	t.Logf("%d times the application did its work", c.done)
}

// serves waits until the application has worked by this user and password.
func (c *client) serves(t *testing.T, login string) {
	t.Helper()
	var before int
	daemon.Eventually(t, 30*time.Second, "the application works by its handle", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !strings.Contains(c.url, "//"+login+"@") {
			return false
		}
		if before == 0 {
			before = c.done
		}
		return c.done > before+3
	}, func() string { c.mu.Lock(); defer c.mu.Unlock(); return strings.Join(c.failures, "\n") })
}

func TestRotation(t *testing.T) {
	lab.Need(t)
	pair := databases()
	rotateSQL(t, "MariaDB", pair, pair.Active)
}

func TestRotationMySQLTarget(t *testing.T) {
	lab.NeedMySQL(t)
	l := network()
	noting := lab.Args("--log-error-verbosity=3") // else it notes no refused login
	pair := &lab.Pair{Active: l.MySQL(noting), Standby: l.MySQL(noting)}
	rotateSQL(t, "MySQL", pair, pair.Active, pair.Standby)
}

// rotateSQL walks the page for databases. Those told are enough for all to know.
func rotateSQL(t *testing.T, flavour string, pair *lab.Pair, told ...*lab.Server) {
	name := unique("rotation" + strings.ToLower(flavour))
	app, probes := strings.ReplaceAll(name, ".", "")+"app", strings.ReplaceAll(name, ".", "")+"probe"
	for _, s := range told {
		s.SQL(fmt.Sprintf("CREATE USER %s@'%%' IDENTIFIED BY 'app-old'", app))
		s.SQL(fmt.Sprintf("CREATE USER %s@'%%' IDENTIFIED BY 'probe-old'", probes))
		s.SQL(fmt.Sprintf("GRANT ALL ON orders.* TO %s@'%%'", app))
		s.SQL(fmt.Sprintf("GRANT SHOW VIEW ON orders.* TO %s@'%%'", probes))
	}
	alike(t, pair, app)
	alike(t, pair, probes)

	w := &walk{t: t, dir: t.TempDir(), servers: told, flavour: flavour}
	w.names = strings.NewReplacer("orders-db", name, "app@'%'", app+"@'%'", "probe@'%'", probes+"@'%'")
	w.write("orders", "app-old")
	w.write("probe", "probe-old")
	w.write("probe-next", "probe-old")
	endpoint := func(s *lab.Server) string {
		return fmt.Sprintf(`mysql://%s:${file("%s/orders")}@%s/orders`, app, w.dir, s.Addr())
	}
	r := daemon.Resource{Name: name, Handle: name + "/URL", A: "A", B: "B", Policy: patient, More: fmt.Sprintf(`  bootstrap = true
  probe {
    username  = %q
    passwords = [file("%s/probe"), file("%s/probe-next")]
  }`, probes, w.dir, w.dir)}
	config, door := daemon.Embedded(t, r)
	config = strings.NewReplacer(`"A"`, `"`+endpoint(pair.Active)+`"`, `"B"`, `"`+endpoint(pair.Standby)+`"`).Replace(config)
	w.d = daemon.New(t, config)
	w.d.Start()
	w.d.Protected(name)

	refused := func(user string) (n [2]int) {
		return [2]int{logged(pair.Active, denied+user+"'"), logged(pair.Standby, denied+user+"'")}
	}
	logins := func(endpoint string) int {
		return counter(t, door, "reattach_probes_total", `kind="fresh"`, `class="ok"`, fmt.Sprintf("resource=%q", name), fmt.Sprintf("endpoint=%q", endpoint))
	}
	more := func(what string) { // fresh logins at both
		t.Helper()
		a, b := logins("a")+5, logins("b")+5
		daemon.Eventually(t, time.Minute, what, func() bool { return logins("a") >= a && logins("b") >= b }, w.d.Logs)
	}

	t.Run("application", func(t *testing.T) {
		w.t, w.secrets = t, map[string]string{"NEW": "app-new", "OLD": "app-old"}
		w.on("An application's password")
		c := &client{work: insert}
		stop := c.begin(door, r.Handle)
		defer stop()
		c.serves(t, app+":app-old")

		w.step(1)
		alike(t, pair, app)
		w.step(2)
		w.condition(name, policy.Outdated.String())
		daemon.Eventually(t, 30*time.Second, "it is protected as ever", func() bool { return w.d.Status(name).Protected }, w.d.Logs)
		out := w.reattach("status orders-db") + w.reattach("check --live /etc/reattach")
		if !strings.Contains(out, "handles outdated") || !strings.Contains(out, "reattach refresh "+name+" --reason … writes the new spelling") {
			t.Errorf("status and check --live do not say that the handle is outdated:\n%s", out)
		}
		c.serves(t, app+":app-old")
		w.step(3)
		w.condition(name, policy.Ours.String())
		c.serves(t, app+":app-new")
		w.step(4)
		alike(t, pair, app)
		c.serves(t, app+":app-new")
		more("probes go on")
		stop()
		c.unharmed(t)
		if n := refused(app); n != [2]int{} {
			t.Errorf("refused logins in the servers' logs: %d", n)
		}
		// The old one is good for nothing any more, and such lines are seen.
		if err := insert(t.Context(), fmt.Sprintf("mysql://%s:app-old@%s/orders", app, pair.Active.Addr())); err == nil {
			t.Error("the old password still lets in")
		}
		daemon.Eventually(t, 10*time.Second, "the server's log has that refused login", func() bool { return refused(app) == [2]int{1, 0} })
	})

	t.Run("probe", func(t *testing.T) {
		w.t, w.secrets = t, map[string]string{"NEW": "probe-new", "OLD": "probe-old"}
		w.on("The probe's password")
		taken := strings.Count(w.d.Logs(), "is in force")
		reread := func(what string) {
			t.Helper()
			taken++
			daemon.Eventually(t, 30*time.Second, what, func() bool { return strings.Count(w.d.Logs(), "is in force") >= taken }, w.d.Logs)
			more("probes go on, after: " + what)
		}
		w.step(1)
		reread("the second file is read")
		if n := refused(probes); n != [2]int{} {
			t.Errorf("refused logins before the server changed over: %d", n)
		}
		w.step(2)
		alike(t, pair, probes)
		more("probes go on with the new password")
		changed := refused(probes)
		if changed[0] < 1 || changed[1] < 1 || changed[0] > 4 || changed[1] > 4 {
			t.Errorf("refused logins as the server changed over: %d, want one each, or as many as can overlap", changed)
		}
		// What was learnt outlives a loop that is begun anew.
		w.d.Configure(strings.ReplaceAll(config, `fresh_interval = "200ms"`, `fresh_interval = "210ms"`))
		w.d.Signal(syscall.SIGHUP)
		reread("the configuration is reloaded")
		w.step(3)
		reread("the first file is read")
		if n := refused(probes); n != changed {
			t.Errorf("refused logins went on: %d became %d", changed, n)
		}
		t.Logf("refused logins: %d", changed)
	})
	quiet(t, w.d, "bootstrap", "refresh")
	if s := w.d.Status(name); s.Attached != "a" || s.Epoch != 2 {
		t.Errorf("in the end it is attached to %s, epoch %d", s.Attached, s.Epoch)
	}
	for _, secret := range []string{"app-old", "app-new", "probe-old", "probe-new"} {
		if strings.Contains(w.d.Logs(), secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
}

// alike waits until both servers know an account by the same words.
func alike(t *testing.T, pair *lab.Pair, user string) {
	t.Helper()
	if pair.Active.Name()[:5] != "maria" {
		return // each was told, and salts the password as it likes
	}
	active, standby := pair.Active.DB(t, "root"), pair.Standby.DB(t, "root")
	words := func(db *sql.DB) (text string) {
		_ = db.QueryRowContext(t.Context(), "SHOW CREATE USER "+user+"@'%'").Scan(&text)
		return text
	}
	daemon.Eventually(t, 30*time.Second, "the standby knows "+user+" as the active one does", func() bool {
		text := words(active)
		return text != "" && text == words(standby)
	})
}
