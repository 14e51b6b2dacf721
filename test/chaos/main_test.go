package chaos

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

var (
	minutes = flag.Float64("minutes", 0.5, "how long TestRandom breaks things")
	seed    = flag.Uint64("seed", 0, "what TestRandom breaks, and when; 0: another one each time")
	program = flag.String("program", "", "the reattach to use instead of the one built from this tree: one that is broken on purpose, to see a test bite")
)

// suite is what the shared servers take for their test: they end with the run.
type suite struct {
	mu       sync.Mutex
	cleanups []func()
}

var run suite

func (s *suite) Helper()                         {}
func (s *suite) Name() string                    { return "chaos" }
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
	network   = sync.OnceValue(func() *lab.Lab { return lab.New(&run) })
	databases = sync.OnceValue(func() *lab.Pair { return network().MariaDBPair() })
	consuls   = sync.OnceValue(func() *lab.ConsulCluster {
		return lab.NewConsulCluster(&run, 3, lab.ConsulOptions{ACL: true, Address: network().Gateway()})
	})
	token = sync.OnceValue(func() string {
		text, err := os.ReadFile("../../deployments/consul/reattach-policy.hcl")
		if err != nil {
			run.Fatalf("%v", err)
		}
		return consuls().Servers[0].CreateToken(string(text) + "key_prefix \"chaos/\" {\n  policy = \"write\"\n}\n")
	})
	// observers are three machines on which a daemon is installed, and not started.
	observers = sync.OnceValue(func() []*observer {
		path := *program
		if path == "" {
			path = daemon.Binary()
		}
		binary, err := os.ReadFile(path)
		if err != nil {
			run.Fatalf("%v", err)
		}
		all := make([]*observer, 3)
		for i := range all {
			o := &observer{name: fmt.Sprintf("mon-%c", 'a'+i), zone: fmt.Sprintf("az-%d", i+1), consul: consuls().Servers[i]}
			o.machine = network().Tools(lab.Named(o.name), lab.Env("LAB_WAIT", "1"), lab.Program("/usr/local/bin/reattach", binary), lab.WithoutTLS(),
				lab.Command("/usr/local/bin/reattach", "run", "--config", "/etc/reattach.hcl", "--log-format", "json", "--log-level", "debug"))
			all[i] = o
		}
		return all
	})
)

// need says what a test cannot do without.
func need(t *testing.T) {
	t.Helper()
	lab.Need(t)
	lab.NeedConsul(t)
}

// after waits for d, as a fault that lasts does.
func after(d time.Duration) { <-time.After(d) }

// together does several things at the same time, and returns when all are done.
func together(all ...func()) {
	var group sync.WaitGroup
	for _, f := range all {
		group.Go(f)
	}
	group.Wait()
}
