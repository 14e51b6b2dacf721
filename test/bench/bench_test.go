package bench

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

func TestMain(m *testing.M) {
	code := m.Run()
	daemon.Clean()
	os.Exit(code)
}

// thresholds are those that the liveness figures are stated with; all else is
// the protocol's default (interval 1 s, suspect_interval 100 ms).
const thresholds = `
    timeout = "1s"
    sustain = "1s"`

// interval is that of the probes.
const interval = time.Second

// BenchmarkTimeToHandle takes the time from a fault of the attached MariaDB to
// the changed handle, as a reader on Consul sees it: for one observer and one
// Consul server, and for one and for three observers beside three Consul servers.
// By the design's liveness figures a killed process takes at most 1.3 s with these
// thresholds (sustain + 300 ms), a hang 3.4 s (interval + 2 timeouts +
// suspect_interval + 300 ms), and one timeout more with several observers.
func BenchmarkTimeToHandle(b *testing.B) {
	lab.Need(b)
	lab.NeedConsul(b)
	pair := lab.New(b).MariaDBPair()
	faults := []struct {
		name   string
		strike func() time.Time
		heal   func()
	}{
		{"killed", pair.Active.KillProcess, pair.Active.StartProcess},
		{"hang", pair.Active.Freeze, pair.Active.Thaw},
	}
	fleets := []struct{ observers, servers int }{{1, 1}, {1, 3}, {3, 3}}
	runs := 0
	for _, fleet := range fleets {
		consul := lab.NewConsulCluster(b, fleet.servers, lab.ConsulOptions{ACL: true})
		token := consul.Servers[0].CreateToken(`key_prefix "" { policy = "write" }`)
		kv := consul.Servers[0].Client("").KV()
		var addresses []string
		for _, server := range consul.Servers[:fleet.observers] {
			addresses = append(addresses, server.URL())
		}
		for _, fault := range faults {
			b.Run(fmt.Sprintf("%s/observers=%d/consul=%d", fault.name, fleet.observers, fleet.servers), func(b *testing.B) {
				var took []time.Duration
				for range b.N {
					runs++
					name := "run-" + strconv.Itoa(runs)
					r := daemon.Resource{Name: name, Handle: name + "/URL", A: pair.Active.URL("app"), B: pair.Standby.URL("app"), Policy: thresholds}
					if _, err := kv.Put(&api.KVPair{Key: r.Handle, Value: []byte(r.A)}, nil); err != nil {
						b.Fatal(err)
					}
					all := start(b, addresses, token, r)
					changed := watch(b, kv, r.Handle, r.B)
					<-time.After(rand.N(interval)) // a fault knows nothing of when it was last probed
					at := fault.strike()
					took = append(took, (<-changed).Sub(at))
					fault.heal()
					for _, d := range all {
						if code := d.Terminate(); code != 0 {
							b.Errorf("exit code %d", code)
						}
					}
				}
				report(b, took)
			})
		}
		for _, server := range consul.Servers {
			server.Kill()
		}
	}
}

// start starts an observer for each address, and returns when all are at rest.
func start(b *testing.B, addresses []string, token string, r daemon.Resource) (all []*daemon.Daemon) {
	b.Helper()
	texts := []string{daemon.OnConsul(addresses[0], token, r)}
	if len(addresses) > 1 {
		texts = daemon.Several(b, addresses, token, r)
	}
	for _, text := range texts {
		d := daemon.New(b, text)
		d.Start()
		all = append(all, d)
	}
	for _, d := range all {
		d.Protected(r.Name)
	}
	return all
}

// watch returns when the key has the value, by a blocking query that is under
// way when it returns.
func watch(b *testing.B, kv *api.KV, key, value string) <-chan time.Time {
	b.Helper()
	first, meta, err := kv.Get(key, nil)
	if err != nil || first == nil {
		b.Fatalf("%s: %v", key, err)
	}
	seen := make(chan time.Time, 1)
	go func() {
		index := meta.LastIndex
		for {
			pair, meta, err := kv.Get(key, &api.QueryOptions{WaitIndex: index, WaitTime: time.Minute})
			now := time.Now()
			switch {
			case err != nil || pair == nil:
				return // the test waits in vain, and says so by its time limit
			case string(pair.Value) == value:
				seen <- now
				return
			}
			index = meta.LastIndex
		}
	}()
	return seen
}

func report(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ms(took[0]), "ms-min")
	b.ReportMetric(ms(took[len(took)/2]), "ms-median")
	b.ReportMetric(ms(took[len(took)-1]), "ms-max")
}

// endpoints is how many memcached endpoints the daemon watches in
// BenchmarkThousandEndpoints, two for each resource.
const endpoints = 1000

// BenchmarkThousandEndpoints takes CPU time and memory of a daemon at rest that
// probes 1,000 endpoints once a second each, on Consul, over half a minute. They
// are ports of one real memcached, each with a held connection.
func BenchmarkThousandEndpoints(b *testing.B) {
	lab.Need(b)
	lab.NeedConsul(b)
	server := lab.New(b).Memcached(lab.MaxConnections(4 * endpoints))
	server.MustExec("iptables", "-t", "nat", "-A", "PREROUTING", "-p", "tcp",
		"--dport", fmt.Sprintf("20000:%d", 20000+endpoints-1), "-j", "REDIRECT", "--to-ports", "11211")
	consul := lab.NewConsul(b, lab.ConsulOptions{ACL: true})
	token := consul.CreateToken(`key_prefix "" { policy = "write" }`)
	kv := consul.Client("").KV()
	var resources []daemon.Resource
	for port := 20000; port < 20000+endpoints; port += 2 {
		name := "cache-" + strconv.Itoa(port)
		r := daemon.Resource{
			Name: name, Handle: "bench/" + name,
			A: "memcached://" + server.Addr(port), B: "memcached://" + server.Addr(port+1),
		}
		if _, err := kv.Put(&api.KVPair{Key: r.Handle, Value: []byte(r.A)}, nil); err != nil {
			b.Fatal(err)
		}
		resources = append(resources, r)
	}
	d := daemon.New(b, daemon.OnConsul(consul.URL(), token, resources...))
	began := time.Now()
	d.Start()
	protected := func() bool {
		return !slices.ContainsFunc(d.Overview("").Resources, func(r failover.ResourceStatus) bool { return !r.Protected })
	}
	daemon.Eventually(b, time.Minute, "all are protected", protected)
	b.Logf("%d handles adopted, all protected, %v after the start", len(resources), time.Since(began).Round(time.Millisecond))
	const window = 30 * time.Second
	for b.Loop() {
		cpu := cpuTime(b, d.PID())
		<-time.After(window)
		b.ReportMetric(100*(cpuTime(b, d.PID())-cpu).Seconds()/window.Seconds(), "cpu-%")
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(memory(b, d.PID(), "VmRSS"))/1024, "rss-MiB")
	b.ReportMetric(float64(memory(b, d.PID(), "VmHWM"))/1024, "rss-max-MiB")
	files, err := os.ReadDir(proc(d.PID(), "fd"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(len(files)), "fds")
	if !protected() {
		b.Error("in the end not all are protected")
	}
}

func proc(pid int, name string) string { return filepath.Join("/proc", strconv.Itoa(pid), name) }

// cpuTime is the time that a process has spent on the CPU, in user and system.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(proc(pid, "stat"))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may hold spaces
	fields := strings.Fields(rest)
	var ticks int
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 everywhere
}

// memory is a figure of a process's status, in KiB.
func memory(b *testing.B, pid int, name string) (kib int) {
	b.Helper()
	text, err := os.ReadFile(proc(pid, "status"))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			if _, err := fmt.Sscanf(value, "%d kB", &kib); err != nil {
				b.Fatal(err)
			}
		}
	}
	return kib
}
