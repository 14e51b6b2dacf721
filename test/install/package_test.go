package install

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// The packages that are installed, and then upgraded to. The second ships another
// configuration, as a later release may.
const (
	first  = "v0.1.0"
	second = "v0.2.0"
)

// packages builds the deb and the rpm of both releases once for all tests, and
// returns the files by "v0.1.0.deb".
var packages = sync.OnceValue(func() func(t *testing.T, name string) []byte {
	dir, err := os.MkdirTemp("", "reattach-packages")
	if err != nil {
		panic(err)
	}
	scratch = append(scratch, dir)
	built := map[string]bool{}
	return func(t *testing.T, name string) []byte {
		t.Helper()
		version := strings.TrimSuffix(name, filepath.Ext(name))
		out := filepath.Join(dir, version)
		if !built[version] {
			env := []string{"VERSION=" + version, "COMMIT=tested", "OUT=" + out}
			if version == second {
				shipped := filepath.Join(dir, "reattach.hcl")
				if err := os.WriteFile(shipped, []byte(text(t, "deployments/package/reattach.hcl")+"\n# Of the second release.\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				env = append(env, "CONFIG="+shipped)
			}
			command(t, env, "deployments/package/build.sh")
			built[version] = true
		}
		files, err := filepath.Glob(filepath.Join(out, "*"+filepath.Ext(name)))
		if err != nil || len(files) != 1 {
			t.Fatalf("%d packages *%s in %s (%v)", len(files), filepath.Ext(name), out, err)
		}
		content, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
})

// TestPackageVersions: each is newer than the one before, as packages compare them,
// and says what it was built from.
func TestPackageVersions(t *testing.T) {
	const commit = 1795400000
	want := []struct {
		described, version string
		seconds            int // when it was committed
	}{
		{"c4e896e", "0.0.0~20261123021320.c4e896e", commit},
		{"0a1b2c3", "0.0.0~20261123021321.0a1b2c3", commit + 1},
		{"v1.3.0-rc1", "1.3.0~rc1", commit},
		{"v1.3.0-rc1-2-gabcdef", "1.3.0~rc1+2.gabcdef", commit},
		{"v1.3.0", "1.3.0", commit},
		{"v1.3.0-4-gabcdef", "1.3.0+4.gabcdef", commit},
		{"v1.3.0-4-gabcdef-dirty", "1.3.0+4.gabcdef.dirty", commit},
	}
	for i, w := range want {
		env := []string{"VERSION=" + w.described, fmt.Sprint("SOURCE_DATE_EPOCH=", w.seconds), "OUT=" + t.TempDir()}
		if got := strings.TrimSpace(command(t, env, "deployments/package/build.sh", "version")); got != w.version {
			t.Errorf("%s: %s, want %s", w.described, got, w.version)
		}
		if _, err := exec.LookPath("dpkg"); err == nil && i > 0 {
			command(t, nil, "dpkg", "--compare-versions", want[i-1].version, "lt", w.version)
		}
	}
}

// manager is how a package manager is told what to do; %s is the package's file.
type manager struct{ ext, install, upgrade, remove string }

var (
	dpkg = manager{".deb", "dpkg -i %s 2>&1", "dpkg -i --force-confdef --force-confold %s 2>&1", "dpkg -r reattach 2>&1"}
	// rpm's namespaces want more rights than a container has, and on Debian it
	// knows of no installed package.
	rpm = manager{".rpm", "rpm -i --noplugins --nodeps %s 2>&1", "rpm -U --noplugins --nodeps %s 2>&1", "rpm -e --noplugins reattach 2>&1"}
)

// box is a clean machine with both releases in /packages.
func (m manager) box(t *testing.T, opts ...lab.Option) *lab.Server {
	t.Helper()
	lab.NeedImage(t, "packaging")
	lab.NeedTool(t, "nfpm")
	for _, version := range []string{first, second} {
		opts = append(opts, lab.File("/packages/"+version+m.ext, packages()(t, version+m.ext)))
	}
	return lab.New(t).Packaging(opts...)
}

func (m manager) file(version string) string { return "/packages/" + version + m.ext }

func (m manager) installs(t *testing.T, box *lab.Server) string {
	t.Helper()
	return shell(t, box, fmt.Sprintf(m.install, m.file(first)))
}

func (m manager) upgrades(t *testing.T, box *lab.Server) string {
	t.Helper()
	return shell(t, box, fmt.Sprintf(m.upgrade, m.file(second)))
}

// life installs, upgrades and removes a package on a machine without an init.
func (m manager) life(t *testing.T, box *lab.Server) {
	t.Helper()
	contains(t, "the installation", m.installs(t, box), "reattach check", "watches nothing yet")
	contains(t, "what is installed", shell(t, box, `stat -c '%n %U:%G %a' /etc/reattach /etc/reattach/reattach.hcl /var/lib/reattach /usr/bin/reattach
		reattach version; reattach check; getent passwd reattach; ls /usr/share/doc/reattach
		bash -n /usr/share/bash-completion/completions/reattach && echo completes`),
		"/etc/reattach root:reattach 750", "/etc/reattach/reattach.hcl root:reattach 640", "/var/lib/reattach reattach:reattach 700",
		"/usr/bin/reattach root:root 755", "reattach "+first+" (commit tested", "there is no resource: nothing is watched", "no errors",
		":/var/lib/reattach:/usr/sbin/nologin", "copyright", "third-party-licences.txt", "examples", "completes")
	contains(t, "what root's doctor says", shell(t, box, `install -m 600 /dev/null /etc/reattach/mine.hcl
		reattach doctor --json || true; rm /etc/reattach/mine.hcl`),
		"the daemon's account reattach may not read /etc/reattach/mine.hcl (-rw-------)", "chown root:reattach /etc/reattach/mine.hcl && chmod 0640 /etc/reattach/mine.hcl")

	shell(t, box, `echo '# edited by a person' >> /etc/reattach/reattach.hcl
		echo mine > /etc/reattach/orders-db.password; echo seen > /var/lib/reattach/seen.json`)
	if said := m.upgrades(t, box); strings.Contains(said, "watches nothing yet") {
		t.Errorf("the upgrade says what an installation says:\n%s", said)
	}
	contains(t, "the upgrade", shell(t, box, `reattach version; cat /etc/reattach/reattach.hcl /var/lib/reattach/seen.json; ls /etc/reattach
		stat -c '%n %U:%G %a' /etc/reattach/reattach.hcl`),
		"reattach "+second, "# edited by a person", "seen", "/etc/reattach/reattach.hcl root:reattach 640")
	if fresh := shell(t, box, `grep -l 'Of the second release' /etc/reattach/*`); strings.TrimSpace(fresh) == "/etc/reattach/reattach.hcl" {
		t.Error("the upgrade put its own configuration in the place of the edited one")
	}

	shell(t, box, m.remove)
	contains(t, "what stays", shell(t, box, `test ! -e /usr/bin/reattach; test ! -e /usr/lib/systemd/system/reattach.service
		cat /etc/reattach/reattach.hcl* /etc/reattach/orders-db.password /var/lib/reattach/seen.json; getent passwd reattach`),
		"# edited by a person", "mine", "seen", "reattach daemon")
}

// TestDebLife: and a purge, which dpkg alone has.
func TestDebLife(t *testing.T) {
	box := dpkg.box(t)
	dpkg.life(t, box)
	shell(t, box, "dpkg -P reattach; test ! -e /var/lib/reattach; test ! -e /etc/reattach/reattach.hcl")
	if mine := shell(t, box, "cat /etc/reattach/orders-db.password"); mine != "mine\n" {
		t.Errorf("the purge took a file that is not the package's: %q", mine)
	}
}

// TestRPMLife: what is removed leaves the edited configuration as .rpmsave.
func TestRPMLife(t *testing.T) {
	box := rpm.box(t)
	rpm.life(t, box)
	shell(t, box, "test -e /etc/reattach/reattach.hcl.rpmsave")
}

// systemctl stands for a systemd at work: it writes down what it is asked for.
const systemctl = `#!/bin/sh
case $1 in
--version) echo "systemd $(cat /tmp/systemd) (of the test)" ;;
*) echo "$*" >> /tmp/asked ;;
esac
`

// TestPackageAndSystemd: nothing is started by an installation, what runs is
// restarted by an upgrade and stopped by a removal, and an old systemd gets what it
// does not know.
func TestPackageAndSystemd(t *testing.T) {
	for _, m := range []manager{dpkg, rpm} {
		t.Run(m.ext[1:], func(t *testing.T) {
			box := m.box(t, lab.Program("/usr/bin/systemctl", []byte(systemctl)))
			shell(t, box, "mkdir -p /run/systemd/system; echo 252 > /tmp/systemd")
			asked := func() string { return shell(t, box, "cat /tmp/asked; : > /tmp/asked") }
			const dropIn = "/etc/systemd/system/reattach.service.d/reload-before-253.conf"

			contains(t, "the installation", m.installs(t, box), "systemctl enable --now reattach")
			if got := asked(); got != "daemon-reload\n" {
				t.Errorf("the installation asked systemd for\n%s", got)
			}
			contains(t, "the drop-in", shell(t, box, "cat "+dropIn), "ExecReload=")
			shell(t, box, "echo 257 > /tmp/systemd")
			m.upgrades(t, box)
			if got := asked(); got != "daemon-reload\ntry-restart reattach.service\n" {
				t.Errorf("the upgrade asked systemd for\n%s", got)
			}
			shell(t, box, "test ! -e "+dropIn)
			shell(t, box, m.remove)
			if got := asked(); got != "--no-reload disable --now reattach.service\ndaemon-reload\n" {
				t.Errorf("the removal asked systemd for\n%s", got)
			}
		})
	}
}

// sample is the commented resource of the shipped configuration, put to use.
func sample(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	used := false
	for line := range strings.Lines(text(t, "deployments/package/reattach.hcl")) {
		if used = used || strings.HasPrefix(line, "#resource"); used {
			line = strings.TrimPrefix(line, "#")
		}
		out.WriteString(line)
	}
	if !used {
		t.Fatal("there is no commented resource")
	}
	return out.String()
}

// TestPackageFirstDay goes the way that the package shows: describe, check, observe,
// act; with a real Consul on the same machine and two real servers.
func TestPackageFirstDay(t *testing.T) {
	lab.NeedConsul(t)
	consul, err := os.ReadFile(lab.Tool("consul"))
	if err != nil {
		t.Fatal(err)
	}
	lab.NeedImage(t, "packaging")
	lab.NeedTool(t, "nfpm")
	network := lab.New(t)
	a, b := network.Memcached(), network.Memcached()
	box := network.Packaging(lab.Program("/usr/local/bin/consul", consul), lab.File("/packages/"+first+".deb", packages()(t, first+".deb")))
	dpkg.installs(t, box)

	// The sample as it is, with its password's file.
	shell(t, box, "echo secret > /etc/reattach/orders-db.password; cat > /etc/reattach/reattach.hcl <<'E'\n"+sample(t)+"E")
	contains(t, "the sample", shell(t, box, "reattach check"), "no mistakes: 1 resource, 2 endpoints, 1 handle")

	// A resource of one's own, in a file of its own.
	shell(t, box, "cat > /etc/reattach/reattach.hcl <<'E'\n"+text(t, "deployments/package/reattach.hcl")+"E\n"+
		fmt.Sprintf("cat > /etc/reattach/sessions.hcl <<'E'\nresource \"sessions\" {\n  handle = \"production/CACHE_URL\"\n  endpoint \"a\" { url = %q }\n  endpoint \"b\" { url = %q }\n  policy {%s\n  }\n}\nE",
			a.URL(""), b.URL(""), daemon.Fast))
	shell(t, box, "chown root:reattach /etc/reattach/*; chmod 0640 /etc/reattach/*; reattach check")
	shell(t, box, `setsid consul agent -dev -log-level warn > /tmp/consul.log 2>&1 < /dev/null &
		install -d -o reattach -g reattach -m 750 /run/reattach`)
	handle := func() string {
		out, _ := box.Exec("consul", "kv", "get", "production/CACHE_URL")
		return strings.TrimSpace(out)
	}
	daemon.Eventually(t, 30*time.Second, "Consul takes writes", func() bool {
		_, err := box.Exec("consul", "kv", "put", "production/CACHE_URL", a.URL(""))
		return err == nil
	})
	shell(t, box, "setsid setpriv --reuid reattach --regid reattach --init-groups reattach run > /tmp/log 2>&1 < /dev/null & echo $! > /tmp/pid")
	says := func(command, word string) {
		t.Helper()
		said := ""
		daemon.Eventually(t, 20*time.Second, fmt.Sprintf("%s says %q", command, word), func() bool {
			said, _ = box.Exec("sh", "-c", command+" 2>&1")
			return strings.Contains(said, word)
		}, func() string { return said }, func() string { out, _ := box.Exec("cat", "/tmp/log"); return out })
	}
	says("reattach status sessions", "handles ours")

	a.KillProcess()
	says("reattach explain sessions", "would")
	daemon.Throughout(t, 2*time.Second, "observing, it writes no handle", func() bool { return handle() == a.URL("") })

	shell(t, box, `sed -i 's/mode = "observe"/mode = "act"/' /etc/reattach/reattach.hcl; kill -HUP "$(cat /tmp/pid)"`)
	daemon.Eventually(t, 60*time.Second, "acting, it names the standby", func() bool { return handle() == b.URL("") },
		func() string { out, _ := box.Exec("reattach", "explain", "sessions"); return out })
	says("reattach history sessions", "failover")
	shell(t, box, `kill "$(cat /tmp/pid)"`)
	says("tail -n 1 /tmp/log", "ended in order")
}
