package docs

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

func TestMain(m *testing.M) {
	code := m.Run()
	daemon.Clean()
	os.Exit(code)
}

// places are where the samples' secrets and authorities stand, and what stands
// for them here.
func places(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	secret := regexp.MustCompile(`(?:/run/secrets|file\("/etc/reattach)/([\w.-]+)"`)
	for _, m := range secret.FindAllStringSubmatch(text, -1) {
		value := "a-secret"
		if strings.Contains(m[1], "slack") {
			value = "https://hooks.slack.example/services/T/B/x"
		}
		if err := os.WriteFile(filepath.Join(dir, m[1]), []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	file := regexp.MustCompile(`/etc/ssl/([\w-]+-ca\.pem)`)
	for _, m := range file.FindAllStringSubmatch(text, -1) {
		if err := os.WriteFile(filepath.Join(dir, m[1]), authority, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return strings.NewReplacer("/run/secrets/", dir+"/", `file("/etc/reattach/`, `file("`+dir+"/", "/etc/ssl/", dir+"/").Replace(text)
}

// TestSamples: every configuration that a text shows can be used as it stands.
func TestSamples(t *testing.T) {
	count := 0
	for _, page := range pages(t) {
		for _, f := range fences(read(t, page)) {
			if f.language != "hcl" || strings.Contains(f.text, "# not reattach's") {
				continue
			}
			count++
			path := filepath.Join(t.TempDir(), "sample.hcl")
			if err := os.WriteFile(path, []byte(places(t, f.text)), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(daemon.Binary(), "check", path)
			cmd.Env = append(os.Environ(), "ORDERS_PW=x")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s:%d: %v\n%s", page, f.line, err, out)
			}
		}
	}
	if count < 3 {
		t.Errorf("only %d samples were found", count)
	}
}

// TestCommands runs every command of the texts against a real daemon and real
// servers, in their order. In the runbook a command may be answered with no,
// since its situation is not there; nowhere may it be wrong or find nobody.
func TestCommands(t *testing.T) {
	lab.Need(t)
	network := lab.New(t)
	databases, caches := network.MariaDBPair(), &lab.Pair{Active: network.Memcached(), Standby: network.Memcached()}
	for _, page := range pages(t) {
		lines := commands(read(t, page))
		if len(lines) == 0 {
			continue
		}
		t.Run(filepath.Base(page), func(t *testing.T) {
			s := newStage(t, databases, caches)
			for _, line := range lines {
				if code := s.run(t, line); code != 0 && !(code == 1 && filepath.Base(page) == "runbook.md") {
					t.Fatalf("exit code %d", code)
				}
			}
		})
	}
}

// commands are the lines that begin with "$ reattach " in console blocks.
func commands(text string) []string {
	var out []string
	for _, f := range fences(text) {
		for line := range strings.Lines(f.text) {
			if rest, ok := strings.CutPrefix(line, "$ reattach "); ok && f.language == "console" {
				out = append(out, strings.TrimSpace(rest))
			}
		}
	}
	return out
}

// stage is a daemon that watches what the texts talk of.
type stage struct {
	daemon *daemon.Daemon
	names  *strings.Replacer
}

func newStage(t *testing.T, databases, caches *lab.Pair) *stage {
	t.Helper()
	db1, db2 := databases.Active.URL("app"), databases.Standby.URL("app")
	door := fmt.Sprintf("127.0.0.1:%d", lab.FreePorts(t, 1)[0])
	config := fmt.Sprintf(`
observer {
  name      = "docs"
  state_dir = "DIR/state"
}
store "embedded" { path = "DIR/store.db" }
listen {
  http   = %q
  socket = "DIR/sock"
}
resource "orders-db" {
  handle    = "production/DATABASE_URL"
  bootstrap = true
  endpoint "primary" { url = %q }
  endpoint "standby" { url = %q }
  policy {
    interval = "200ms"
    sustain  = "1s"
  }
}
resource "sessions" {
  handle = "production/CACHE_URL"
  endpoint "a" { url = %q }
  endpoint "b" { url = %q }
  policy { interval = "200ms" }
}
notifier "exec" "ops-chat" { command = ["/bin/true"] }
`, door, db1, db2, caches.Active.URL(""), caches.Standby.URL(""))
	d := daemon.New(t, config)
	d.Start()
	d.Protected("orders-db")
	d.Protected("sessions")
	return &stage{d, strings.NewReplacer(
		"mysql://probe@db1.internal:3306/orders", db1, "mysql://probe@db2.internal:3306/orders", db2,
		"/etc/reattach", filepath.Join(d.Dir, "reattach.hcl"))}
}

// run runs a line as a shell does, and returns its exit code.
func (s *stage) run(t *testing.T, line string) int {
	t.Helper()
	args := s.names.Replace(line)
	if strings.HasPrefix(line, "doctor") {
		args += " --config " + filepath.Join(s.daemon.Dir, "reattach.hcl")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", daemon.Binary()+" "+args)
	cmd.Env = append(os.Environ(), "REATTACH_SOCKET="+filepath.Join(s.daemon.Dir, "sock"))
	out, err := cmd.CombinedOutput()
	t.Logf("$ reattach %s\n%s", line, out)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return -1
}
