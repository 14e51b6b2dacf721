package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// suite is what the shared servers take for their test: they end with the run.
type suite struct {
	mu       sync.Mutex
	cleanups []func()
}

var run suite

func (s *suite) Helper()                         {}
func (s *suite) Name() string                    { return "e2e" }
func (s *suite) Logf(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// Fatalf ends the whole run, and leaves nothing behind.
func (s *suite) Fatalf(format string, args ...any) {
	s.end()
	panic(fmt.Sprintf(format, args...))
}

func (s *suite) Cleanup(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleanups = append(s.cleanups, f)
}

func (s *suite) end() {
	s.mu.Lock()
	cleanups := s.cleanups
	s.cleanups = nil
	s.mu.Unlock()
	for _, f := range slices.Backward(cleanups) {
		f()
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	run.end()
	daemon.Clean()
	os.Exit(code)
}

// What tests share. Each starts with the first test that asks for it.
var (
	network = sync.OnceValue(func() *lab.Lab { return lab.New(&run) })

	databases = sync.OnceValue(func() *lab.Pair { return network().MariaDBPair() })
	queues    = pairOf(func() *lab.Server { return network().RabbitMQ() })
	relays    = pairOf(func() *lab.Server { return network().Postfix() })
	caches    = pairOf(func() *lab.Server { return network().Memcached() })

	consul = sync.OnceValue(func() *lab.Consul { return lab.NewConsul(&run, lab.ConsulOptions{ACL: true}) })
	// kv is one client for all that tests ask: Consul takes 200 connections from
	// one address.
	kv = sync.OnceValue(func() *api.KV { return consul().Client("").KV() })
)

// pairOf starts two servers at the same time.
func pairOf(start func() *lab.Server) func() *lab.Pair {
	return sync.OnceValue(func() *lab.Pair {
		network()
		second := make(chan *lab.Server, 1)
		go func() { second <- start() }()
		return &lab.Pair{Active: start(), Standby: <-second}
	})
}

// need says what a test cannot do without.
func need(t *testing.T) {
	t.Helper()
	lab.Need(t)
	lab.NeedConsul(t)
}

// policyFor is the least policy as deployments/ has it, for these handles.
func policyFor(t *testing.T, handles ...string) string {
	t.Helper()
	text, err := os.ReadFile("../../deployments/consul/reattach-policy.hcl")
	if err != nil {
		t.Fatal(err)
	}
	const sample = "key \"production/DATABASE_URL\" {\n  policy = \"write\"\n}\n"
	own, block, found := strings.Cut(string(text), sample)
	if !found || block != "" {
		t.Fatalf("the policy does not end with the block\n%s", sample)
	}
	for _, handle := range handles {
		own += strings.Replace(sample, "production/DATABASE_URL", handle, 1)
	}
	return own
}

// unique is a name that no test of this run has had, with -count too.
func unique(name string) string {
	used.Lock()
	defer used.Unlock()
	used.names[name]++
	if n := used.names[name]; n > 1 {
		return fmt.Sprintf("%s.%d", name, n)
	}
	return name
}

var used = struct {
	sync.Mutex
	names map[string]int
}{names: map[string]int{}}

// after waits for d, as a fault that lasts does.
func after(d time.Duration) { <-time.After(d) }

// exitCode is that of a command; -1 when it did not run.
func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}
