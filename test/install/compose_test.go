package install

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// stack is a project of docker-compose with the lab's images.
type stack struct {
	t    *testing.T
	name string
	env  []string
}

// needCompose is for docker-compose what lab.Need is for the engine.
func needCompose(t *testing.T) {
	t.Helper()
	lab.Need(t)
	if _, err := exec.LookPath("docker-compose"); err == nil {
		return
	}
	if os.Getenv("REATTACH_REQUIRE_LAB") != "" {
		t.Fatal("docker-compose is not there: run make setup")
	}
	t.Skip("docker-compose is not there: run make setup")
}

func newStack(t *testing.T, image string) *stack {
	t.Helper()
	return &stack{t, "reattach" + strings.ToLower(rand.Text()[:8]), []string{"REATTACH_IMAGE=" + image,
		"REATTACH_PORT=", "CONSUL_PORT=", "PROMETHEUS_PORT=", "ALERTMANAGER_PORT=", "GRAFANA_PORT="}} // any free one
}

// try runs docker-compose and returns all that it printed.
func (s *stack) try(args ...string) (string, error) {
	cmd := exec.Command("deployments/compose/lab.sh", append([]string{"-p", s.name, "--ansi", "never"}, args...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), s.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *stack) compose(args ...string) string {
	s.t.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("docker-compose %q: %v\n%s", args, err, out)
	}
	return out
}

// says waits until docker-compose's answer has all the words in it.
func (s *stack) says(limit time.Duration, words []string, args ...string) {
	s.t.Helper()
	said := ""
	daemon.Eventually(s.t, limit, strings.Join(args, " ")+" says "+strings.Join(words, ", "), func() bool {
		said, _ = s.try(args...)
		for _, word := range words {
			if !strings.Contains(said, word) {
				return false
			}
		}
		return true
	}, func() string { return said }, func() string { return s.compose("logs", "--tail", "20", "reattach") })
}

// left is what the engine still has of the project.
func (s *stack) left() string {
	s.t.Helper()
	left := ""
	for _, kind := range []string{"container", "network", "volume"} {
		args := []string{kind, "ls", "-q", "--filter", "label=com.docker.compose.project=" + s.name}
		if kind == "container" {
			args = append(args, "-a")
		}
		left += command(s.t, nil, "docker", args...)
	}
	return left
}

// TestComposeConfig: docker-compose takes the file as it is for people with a
// registry, and every file that it mounts is there.
func TestComposeConfig(t *testing.T) {
	needCompose(t)
	newStack(t, "reattach:latest").compose("config", "-q")
	out := command(t, nil, "docker-compose", "-f", "deployments/compose/docker-compose.yml", "config")
	contains(t, "the configuration", out, "image: hashicorp/consul:", "image: reattach:latest", "127.0.0.1:9778:9778", "profiles:\n    - grafana")
	mounts := 0
	for line := range strings.Lines(out) {
		source, _, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "- "), ":/")
		if !ok || !filepath.IsAbs(source) {
			continue
		}
		mounts++
		if _, err := os.Stat(source); err != nil {
			t.Errorf("what it mounts is not there: %v", err)
		}
	}
	if mounts != 8 {
		t.Errorf("%d files and directories are mounted, want 8:\n%s", mounts, out)
	}
}

// TestCompose runs the whole stack through a failover: seen by the daemon, by the
// application beside consul-template, by Prometheus' rules and in Alertmanager.
// Nothing of it stays.
func TestCompose(t *testing.T) {
	needCompose(t)
	lab.NeedImage(t, "monitoring")
	lab.NeedConsul(t)
	s := newStack(t, image()(t, "latest"))
	t.Cleanup(func() {
		s.compose("down", "-v", "-t", "2")
		if left := s.left(); left != "" {
			t.Errorf("left behind:\n%s", left)
		}
	})
	s.compose("up", "-d")
	ask := []string{"exec", "-T", "reattach", "/usr/bin/reattach"}
	s.says(90*time.Second, []string{"4 of 4 resources protected"}, append(ask, "status")...)
	s.says(15*time.Second, []string{"DATABASE_URL mariadb-1:3306/orders", "AMQP_URL rabbitmq-1:5672", "SMTP_URL relay-1:25", "CACHE_URL memcached-1:11211"}, "logs", "application")
	s.says(30*time.Second, []string{`"health":"up"`}, "exec", "-T", "prometheus", "curl", "-s", "http://127.0.0.1:9090/api/v1/targets")

	s.compose("kill", "memcached-1")
	s.says(20*time.Second, []string{"failover", "memcached-2"}, append(ask, "history", "sessions")...)
	s.says(15*time.Second, []string{"CACHE_URL memcached-2:11211"}, "logs", "application")
	s.says(60*time.Second, []string{"ReattachFailover", `"resource":"sessions"`}, "exec", "-T", "alertmanager", "curl", "-s", "http://127.0.0.1:9093/api/v2/alerts")
	if n := len(strings.Fields(s.compose("ps", "-q"))); n != 13 {
		t.Errorf("%d containers", n)
	}
	if logs := s.compose("logs", "reattach", "application", "consul"); strings.Contains(logs, "app-secret") {
		t.Error("a log holds the password")
	}
}
