package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// demanding is a resource of two MariaDB servers that demands something of its
// standby, asked with the account that may see replication.
type demanding struct {
	t *testing.T
	r daemon.Resource
	d *daemon.Daemon
	// switches is how often the handle was written.
	switches func() int
}

func newDemanding(t *testing.T, name, require string) *demanding {
	t.Helper()
	need(t)
	pair := databases()
	// As the sample says: the least that lets an account into the URL's database.
	pair.Active.SQL("GRANT SHOW VIEW ON orders.* TO probe@'%'")
	t.Cleanup(func() { pair.Active.SQL("REVOKE SHOW VIEW ON orders.* FROM probe@'%'") })
	name = unique(name)
	r := daemon.Resource{Name: name, Handle: name + "/DATABASE_URL", A: pair.Active.URL("app"), B: pair.Standby.URL("app"), Policy: daemon.Fast,
		More: fmt.Sprintf("  require = [%q]\n  probe {\n    username = \"probe\"\n    password = %q\n  }", require, lab.Password("probe"))}
	put(t, r.Handle, r.A)
	x := &demanding{t: t, r: r, d: daemon.New(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, r.Handle)), r))}
	x.switches = changes(t, r.Handle)
	return x
}

// exposed waits until the resource is not protected, and people were told why.
func (x *demanding) exposed(why string) {
	x.t.Helper()
	daemon.Eventually(x.t, 20*time.Second, "not protected: "+why, func() bool {
		s := x.d.Status(x.r.Name)
		return s.Activity == "steady" && s.Attached == "a" && !s.Protected && strings.Contains(s.Why, why)
	}, func() string { return x.d.Explain(x.r.Name) }, x.d.Logs)
	x.d.Says(why, "status", x.r.Name)
	x.d.Says(why, "explain", x.r.Name)
}

// held waits until the failover is kept back for want of a candidate.
func (x *demanding) held(why string) {
	x.t.Helper()
	daemon.Eventually(x.t, 20*time.Second, "held by the gate candidate", func() bool {
		h := x.d.Status(x.r.Name).Hold
		return h != nil && h.Gate == "candidate"
	}, func() string { return x.d.Explain(x.r.Name) }, x.d.Logs)
	daemon.Throughout(x.t, 3*time.Second, "nothing is switched", func() bool {
		return x.switches() == 0 && x.d.Status(x.r.Name).Attached == "a"
	}, func() string { return x.d.Explain(x.r.Name) })
	x.d.Says(why, "explain", x.r.Name)
	x.d.Told("held", why, 10*time.Second)
}

// TestRequireWritable: a standby that is read-only is no candidate. People are
// told before anything breaks; once it takes writes, the failover that waited goes.
func TestRequireWritable(t *testing.T) {
	x := newDemanding(t, "writable", "writable")
	pair := databases()
	mend := func() { pair.Standby.SQL("SET GLOBAL read_only = 0") }
	t.Cleanup(mend)
	pair.Standby.SQL("SET GLOBAL read_only = 1")
	x.d.Start()
	x.exposed("writable is false")
	if !testing.Short() {
		x.d.Told("not_protected", "writable is false", 90*time.Second) // which takes a minute
	}

	t.Cleanup(pair.Active.StartProcess)
	pair.Active.KillProcess()
	x.held("writable is false")
	mend()
	x.d.AttachedTo(x.r.Name, "b", 10*time.Second)
}

// TestRequireIsAskedAtOnce: a standby is asked what it is when it is wanted, not
// at its next turn.
func TestRequireIsAskedAtOnce(t *testing.T) {
	x := newDemanding(t, "at-once", "writable")
	pair := databases()
	x.r.Policy = strings.Replace(daemon.Fast, `fresh_interval   = "500ms"`, `fresh_interval   = "10m"`, 1)
	x.d.Configure(daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, x.r.Handle)), x.r))
	x.d.Start()
	x.d.Protected(x.r.Name)
	t.Cleanup(pair.Active.StartProcess)
	killed := pair.Active.KillProcess()
	x.d.AttachedTo(x.r.Name, "b", 10*time.Second)
	t.Logf("attached to b after %v, with sustain 1s", time.Since(killed).Round(time.Millisecond))
}

// TestRequireApplied: a replica that has not applied what it received is no
// candidate, while its source lives and after. Then it has, and is.
func TestRequireApplied(t *testing.T) {
	x := newDemanding(t, "applied", "applied")
	pair := databases()
	mend := func() { pair.Standby.SQL("START SLAVE") }
	t.Cleanup(mend)
	x.d.Start()
	x.d.Protected(x.r.Name)
	pair.Standby.SQL("STOP SLAVE SQL_THREAD")
	pair.Active.SQL("INSERT INTO orders (note) VALUES ('not applied')")
	x.exposed("applied is false")

	t.Cleanup(pair.Active.StartProcess)
	pair.Active.KillProcess()
	x.held("applied is false")
	mend()
	x.d.AttachedTo(x.r.Name, "b", 10*time.Second)
}

// TestRequireLag: the lag of a replica that does not replicate is not known, and
// what is not known is not met.
func TestRequireLag(t *testing.T) {
	x := newDemanding(t, "lag", "lag <= 5s")
	pair := databases()
	mend := func() { pair.Standby.SQL("START SLAVE") }
	t.Cleanup(mend)
	x.d.Start()
	x.d.Protected(x.r.Name)
	pair.Standby.SQL("STOP SLAVE")
	x.exposed("lag is unknown")

	t.Cleanup(pair.Active.StartProcess)
	pair.Active.KillProcess()
	x.held("lag is unknown")
	mend()
	pair.Active.StartProcess()
	x.d.Protected(x.r.Name)
}

// TestCheckLiveFacts: check --live shows what is required, and the statement that
// it prints for a privilege that is missing grants it.
func TestCheckLiveFacts(t *testing.T) {
	need(t)
	pair := databases()
	name := unique("live")
	r := daemon.Resource{Name: name, Handle: name + "/DATABASE_URL", A: pair.Active.URL("app"), B: pair.Standby.URL("app"), Policy: daemon.Fast,
		More: `  require = ["writable", "applied"]`}
	put(t, r.Handle, r.A)
	check := live(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, r.Handle)), r))

	out := check(1)
	lacks := "missing b error SLAVE MONITOR, which the account lacks to see replication and connections, or to write its row; what is required needs it: applied"
	for _, line := range []string{"require b ✓ writable yes", "require b ✗ applied unknown", lacks} {
		if !hasLine(out, line) {
			t.Errorf("no line %q in:\n%s", line, out)
		}
	}
	t.Cleanup(func() { pair.Active.SQL("REVOKE SLAVE MONITOR ON *.* FROM app@'%'") })
	pair.Active.SQL(advice(t, out))
	daemon.Eventually(t, 10*time.Second, "it was granted", func() bool {
		out = check(-1)
		return hasLine(out, "require b ✓ applied yes")
	}, func() string { return out })
	if out = check(0); strings.Contains(out, "missing") {
		t.Errorf("still missing:\n%s", out)
	}

	pair.Standby.SQL("SET GLOBAL read_only = 1")
	t.Cleanup(func() { pair.Standby.SQL("SET GLOBAL read_only = 0") })
	if out = check(1); !hasLine(out, "require b ✗ writable no") {
		t.Errorf("a standby that is read-only:\n%s", out)
	}
}

// TestCheckLiveMySQL: MySQL wants another privilege than MariaDB.
func TestCheckLiveMySQL(t *testing.T) {
	need(t)
	lab.NeedMySQL(t)
	server := network().MySQL()
	name := unique("live-mysql")
	r := daemon.Resource{Name: name, Handle: name + "/DATABASE_URL", A: server.URL("app"), Policy: daemon.Fast, More: `  require = ["!replica"]`}
	r.B = strings.Replace(r.A, server.Addr(), lab.NewProxy(t, server.Addr()).Addr(), 1)
	put(t, r.Handle, r.A)
	check := live(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, r.Handle)), r))
	out := check(1)
	if want := "missing b error PROCESS, REPLICATION CLIENT, which the account lacks to see replication and connections, or to write its row; what is required needs it: replica"; !hasLine(out, want) {
		t.Errorf("no line %q in:\n%s", want, out)
	}
	server.SQL(advice(t, out))
	if out = check(0); !hasLine(out, "require b ✓ !replica no") || strings.Contains(out, "missing") {
		t.Errorf("it was granted:\n%s", out)
	}
}

// TestCheckLiveCanary: where only the canary can tell what an account lacks, it is
// a warning, and the command that is printed mends it.
func TestCheckLiveCanary(t *testing.T) {
	need(t)
	pair := queues()
	name := unique("canary")
	r := daemon.Resource{Name: name, Handle: name + "/AMQP_URL", A: pair.Active.URL("app"), B: pair.Standby.URL("app"), Policy: daemon.Fast,
		More: fmt.Sprintf("  probe {\n    username = \"probe\"\n    password = %q\n  }", lab.Password("probe"))}
	put(t, r.Handle, r.A)
	check := live(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, r.Handle)), r))
	shell := func(command string) {
		t.Helper()
		pair.Active.Rabbit("sh", "-c", command)
	}
	if out := check(0); strings.Contains(out, "missing") {
		t.Errorf("nothing is missing:\n%s", out)
	}
	mend := "rabbitmqctl set_permissions --vhost orders probe '' 'amq\\.default' ''"
	t.Cleanup(func() { shell(mend) })
	shell("rabbitmqctl set_permissions --vhost orders probe '' '' ''")
	out := check(0)
	if want := "missing a warning write on amq.default, which the account lacks to see alarms and what is required"; !hasLine(out, want) {
		t.Errorf("no line %q in:\n%s", want, out)
	}
	if got := advice(t, out); got != mend {
		t.Errorf("advised: %s", got)
	}
	shell(advice(t, out))
	if out := check(0); strings.Contains(out, "missing") {
		t.Errorf("still missing:\n%s", out)
	}
}

// live runs check --live on a configuration; its exit code must be that, or with
// -1 may be any.
func live(t *testing.T, config string) func(code int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "reattach.hcl")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(code int) string {
		t.Helper()
		out, err := exec.Command(daemon.Binary(), "check", path, "--live").CombinedOutput()
		if got := exitCode(err); got != code && code >= 0 {
			t.Errorf("exit code %d, want %d:\n%s", got, code, out)
		}
		t.Logf("exit code %d\n%s", exitCode(err), out)
		return string(out)
	}
}

// hasLine reports whether one line of a text is that, but for its white space.
func hasLine(text, line string) bool {
	for l := range strings.Lines(text) {
		if strings.Join(strings.Fields(l), " ") == line {
			return true
		}
	}
	return false
}

// advice is the first thing that is said to be done.
func advice(t *testing.T, out string) string {
	t.Helper()
	_, rest, found := strings.Cut(out, "→ ")
	if !found {
		t.Fatalf("nothing is advised:\n%s", out)
	}
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}
