// Package deploy runs the samples of deployments/consul, consul-template and
// envconsul with the real programs. Of each sample nothing is changed but paths,
// addresses and, where a test says so, times.
package deploy

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

func TestMain(m *testing.M) {
	code := m.Run()
	daemon.Clean()
	os.Exit(code)
}

const (
	samples = "../../deployments/"
	handle  = "production/DATABASE_URL" // the one that the samples name
)

// orders is the application: it writes down with what it was started, and that it
// was asked to end.
const orders = `#!/bin/sh
if [ "${1:-}" = --env-file ]; then . "$2"; fi
echo "started with ${DATABASE_URL-nothing}" >> DIR/orders.log
trap 'echo "asked to end" >> DIR/orders.log; kill $!; exit 0' TERM
sleep 600 & wait $!
`

// beside is an application with the program that attaches it.
type beside struct {
	t      *testing.T
	dir    string
	tool   string
	consul *lab.Consul
	kv     *api.KV
	ready  atomic.Bool // systemd would have been told so
	proc   *lab.Process
}

// attach writes a sample's files, with quick retries and what replace says.
func attach(t *testing.T, tool string, replace ...string) *beside {
	t.Helper()
	lab.NeedConsul(t)
	if tool == "envconsul" {
		lab.NeedEnvconsul(t)
	}
	b := &beside{t: t, dir: t.TempDir(), tool: tool, consul: lab.NewConsul(t, lab.ConsulOptions{ACL: true})}
	b.kv = b.consul.Client("").KV()
	b.write("consul-token", b.consul.CreateToken(read(t, "consul/reader-policy.hcl")), 0o600)
	b.write("orders", strings.ReplaceAll(orders, "DIR", b.dir), 0o700)
	entries, err := os.ReadDir(samples + tool)
	if err != nil {
		t.Fatal(err)
	}
	inPlace := strings.NewReplacer(append(replace, "/etc/orders", b.dir, "/run/orders", b.dir, "/usr/local/bin", b.dir, "127.0.0.1:8500", b.consul.Addr(),
		`backoff     = "250ms"`, `backoff = "20ms"`, `max_backoff = "5s"`, `max_backoff = "100ms"`)...)
	for _, e := range entries {
		b.write(e.Name(), inPlace.Replace(read(t, tool+"/"+e.Name())), 0o700)
	}
	b.listen()
	return b
}

// listen stands for systemd, which takes each READY=1: they come all the time, and
// consul-template stands still while nobody does.
func (b *beside) listen() {
	b.t.Helper()
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(b.dir, "notify"), Net: "unixgram"})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = notify.Close() })
	go func() {
		for buf := make([]byte, 256); ; {
			n, err := notify.Read(buf)
			if err != nil {
				return
			}
			if string(buf[:n]) == "READY=1" {
				b.ready.Store(true)
			}
		}
	}()
}

func read(t *testing.T, sample string) string {
	t.Helper()
	text, err := os.ReadFile(samples + sample)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (b *beside) write(name, text string, mode os.FileMode) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), mode); err != nil {
		b.t.Fatal(err)
	}
}

func (b *beside) start() {
	b.t.Helper()
	env := []string{"NOTIFY_SOCKET=" + filepath.Join(b.dir, "notify")}
	for line := range strings.Lines(read(b.t, b.tool+"/"+b.tool+".service")) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "Environment="); ok {
			env = append(env, strings.ReplaceAll(v, "/etc/orders", b.dir))
		}
	}
	b.proc = lab.NewProcess(b.t, env, lab.Tool(b.tool), "-config="+filepath.Join(b.dir, b.tool+".hcl"))
}

func (b *beside) put(value string) {
	b.t.Helper()
	if _, err := b.kv.Put(&api.KVPair{Key: handle, Value: []byte(value)}, nil); err != nil {
		b.t.Fatal(err)
	}
}

// log is what the application wrote down.
func (b *beside) log() string {
	text, _ := os.ReadFile(filepath.Join(b.dir, "orders.log"))
	return string(text)
}

// started waits until the application's last start was with value.
func (b *beside) started(value string) {
	b.t.Helper()
	daemon.Eventually(b.t, 15*time.Second, "orders was started with "+value, func() bool {
		return strings.HasSuffix(b.log(), "started with "+value+"\n")
	}, b.log, b.proc.Logs)
}

// away takes Consul away, for longer than twelve attempts last.
func (b *beside) away() {
	b.t.Helper()
	b.consul.Kill()
	daemon.Throughout(b.t, 3*time.Second, b.tool+" lives on without Consul", b.proc.Alive, b.proc.Logs)
	b.consul.Start()
}

// end sends what the unit says, and expects what the unit takes for success.
func (b *beside) end() {
	b.t.Helper()
	unit := read(b.t, b.tool+"/"+b.tool+".service")
	if !strings.Contains(unit, "\nKillSignal=SIGINT\n") || !strings.Contains(unit, "\nSuccessExitStatus=12\n") {
		b.t.Errorf("the unit says otherwise:\n%s", unit)
	}
	b.proc.Signal(syscall.SIGINT)
	if code := b.proc.ExitCode(10 * time.Second); code != 12 {
		b.t.Errorf("exit code %d:\n%s", code, b.proc.Logs())
	}
	if !strings.HasSuffix(b.log(), "asked to end\n") {
		b.t.Errorf("the application was not asked to end:\n%s", b.log())
	}
}

func url(n int) string { return fmt.Sprintf("mysql://app@db%d/orders", n) }

// TestConsulTemplate: the sample, through the life of a handle.
func TestConsulTemplate(t *testing.T) {
	b := attach(t, "consul-template")
	b.start()
	daemon.Throughout(t, time.Second, "nothing is started without a handle", func() bool { return !b.ready.Load() && b.log() == "" && b.proc.Alive() }, b.proc.Logs)
	b.put(url(1))
	b.started(url(1))
	daemon.Eventually(t, 5*time.Second, "systemd is told that it is ready", b.ready.Load)
	b.put(url(2))
	b.started(url(2))

	if _, err := b.kv.Delete(handle, nil); err != nil {
		t.Fatal(err)
	}
	before := b.log()
	daemon.Throughout(t, time.Second, "a deleted handle changes nothing", func() bool { return b.log() == before }, b.log)
	b.put(url(3))
	b.started(url(3))

	b.away()
	b.put(url(4))
	b.started(url(4))
	b.end()
	if n := strings.Count(b.log(), "started"); n != 4 {
		t.Errorf("started %d times:\n%s", n, b.log())
	}
}

// TestEnvconsulTarget: the sample, through the life of a handle.
func TestEnvconsulTarget(t *testing.T) {
	b := attach(t, "envconsul")
	b.start()
	if code := b.proc.ExitCode(15 * time.Second); code != 78 || b.log() != "" {
		t.Errorf("without a handle: exit code %d\n%s%s", code, b.log(), b.proc.Logs())
	}
	b.put(url(1))
	b.start()
	b.started(url(1))
	b.put(url(2))
	b.started(url(2))
	b.away()
	b.put(url(3))
	b.started(url(3))
	b.end()
	if n := strings.Count(b.log(), "started"); n != 3 {
		t.Errorf("started %d times:\n%s", n, b.log())
	}
}

// TestOneRestart: two handles that change in one transaction restart the
// application once, each time.
func TestOneRestart(t *testing.T) {
	const second = "production/JDBC_URL"
	b := attach(t, "consul-template", `splay = "2s"`, `splay = "1ms"`)
	b.write("consul-token", b.consul.ManagementToken, 0o600)
	b.write("app.env.tpl", "DATABASE_URL={{ key \""+handle+"\" }}-{{ key \""+second+"\" }}\n", 0o600)
	change := func(n int) {
		ops := api.KVTxnOps{{Verb: api.KVSet, Key: handle, Value: []byte(fmt.Sprint(n))}, {Verb: api.KVSet, Key: second, Value: []byte(fmt.Sprint(n))}}
		if ok, _, _, err := b.kv.Txn(ops, nil); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	change(1)
	b.start()
	b.started("1-1")
	for n := 2; n < 12; n++ {
		change(n)
		b.started(fmt.Sprintf("%d-%d", n, n))
	}
	if n := strings.Count(b.log(), "started"); n != 11 {
		t.Errorf("started %d times, after 10 changes:\n%s", n, b.log())
	}
}

// TestWithoutAttempts: the lines that keep both alive are needed.
func TestWithoutAttempts(t *testing.T) {
	const line = "attempts    = 0 "
	t.Run("consul-template", func(t *testing.T) {
		b := attach(t, "consul-template", line, "")
		b.put(url(1))
		b.start()
		b.started(url(1))
		b.consul.Kill()
		if code := b.proc.ExitCode(20 * time.Second); code != 14 {
			t.Errorf("exit code %d:\n%s", code, b.proc.Logs())
		}
	})
	t.Run("EnvconsulTarget", func(t *testing.T) {
		b := attach(t, "envconsul", line, "")
		b.put(url(1))
		b.start()
		b.started(url(1))
		b.away()
		b.put(url(2))
		daemon.Throughout(t, 4*time.Second, "it never looks again", func() bool { return strings.HasSuffix(b.log(), url(1)+"\n") }, b.log)
	})
}

// TestOtherSignals: what systemd sends by default goes on to the child.
func TestOtherSignals(t *testing.T) {
	for name, tool := range map[string]string{"consul-template": "consul-template", "EnvconsulTarget": "envconsul"} {
		t.Run(name, func(t *testing.T) {
			b := attach(t, tool)
			b.write("orders", strings.ReplaceAll(strings.Replace(orders, "kill $!; exit 0", ":", 1), "DIR", b.dir)+"\nwait\n", 0o700)
			b.put(url(1))
			b.start()
			b.started(url(1))
			b.proc.Signal(syscall.SIGTERM)
			daemon.Eventually(t, 5*time.Second, "the child was asked", func() bool { return strings.Contains(b.log(), "asked to end") })
			daemon.Throughout(t, time.Second, tool+" stays", b.proc.Alive)
		})
	}
}
