package classes

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/memcached"
	"github.com/reattach/reattach/test/lab"
)

// anyService is what happens before a server is reached, whichever it is; here
// it is a memcached.
func anyService() service {
	said := func(c probe.Class, p probe.Phase) outcome { return outcome{class: c, phase: p} }
	return service{name: "any", start: func(t *testing.T) *bench {
		l := lab.New(t)
		s := l.Memcached()
		return &bench{Server: s, lab: l, protocol: memcached.Protocol, url: s.URL("")}
	}, rows: []row{
		{done: "an address that nobody has", outcome: said(probe.Unreachable, probe.PhaseConnect), or: &outcome{class: probe.Timeout, phase: probe.PhaseConnect},
			does: func(t *testing.T, b *bench) probe.Result { return b.probe(t, "memcached://"+b.lab.NewAddr()) }},
		asked("a port that nobody listens on", said(probe.Refused, probe.PhaseConnect), func(b *bench) string { return "memcached://" + b.Addr(11212) }),
		named("a name that does not exist (NXDOMAIN)", said(probe.NoAddress, probe.PhaseResolve), func(*lab.DNS) {}),
		named("a name without an address", said(probe.NoAddress, probe.PhaseResolve), func(d *lab.DNS) { d.Point("cache.test") }),
		named("a name that its nameserver cannot look up (SERVFAIL)", said(probe.NoAddress, probe.PhaseResolve), func(d *lab.DNS) { d.Fail(lab.DNSServerFailure) }),
		named("a name, and no nameserver answers", said(probe.Local, probe.PhaseResolve), (*lab.DNS).Silence),
		several("a name with two addresses, the first of which nobody has", probe.PhaseRole, (*bench).cache, nobody),
		several("a name with two addresses, the first of which refuses", probe.PhaseRole, (*bench).cache, refusing),
		renamed("its name leads to another address while a session is held (a hint)", (*bench).cache),
		{done: "no file descriptor left to us", outcome: said(probe.Local, probe.PhaseConnect), does: starved},
		{done: "no route to it from our host", outcome: said(probe.Local, probe.PhaseConnect), does: routeless},
	}}
}

// named is a row of a name that the nameserver has this done to.
func named(done string, o outcome, does func(*lab.DNS)) row {
	return row{done: done, outcome: o, does: func(t *testing.T, b *bench) probe.Result {
		does(lab.NewDNS(t))
		return b.probe(t, "memcached://cache.test", within(2*time.Second))
	}}
}

// starved probes while this process may open nothing more.
func starved(t *testing.T, b *bench) probe.Result {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	next := file.Fd() // all below it are taken
	_ = file.Close()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	none := old
	none.Cur = uint64(next)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
	}()
	return b.probe(t, b.url)
}

// routeless has the binary probe from a container that has no network.
func routeless(t *testing.T, b *bench) probe.Result {
	binary := filepath.Join(t.TempDir(), "reattach")
	build := exec.Command("go", "build", "-o", binary, "github.com/reattach/reattach/cmd/reattach")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	tools := b.lab.Tools(lab.Program("/usr/local/bin/reattach", program))
	tools.Disconnect()
	out, _ := tools.Exec("reattach", "probe", b.url, "--json") // it exits with 1, as it should
	var said struct {
		Class probe.Class
		Phase probe.Phase
		Code  string
		Error string
	}
	if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &said); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return probe.Result{Class: said.Class, Phase: said.Phase, Code: said.Code, Err: said.Error}
}
