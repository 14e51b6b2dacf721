package lab

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"
)

// ConsulOptions settle how a Consul is started.
type ConsulOptions struct {
	// ACL has it deny everything to those without a token.
	ACL bool
	// TLS has it serve HTTPS with a certificate of that lab's authority.
	TLS *Lab
	// Config is further configuration in HCL.
	Config string
	// Address is where it listens, an address of this machine; "" is loopback.
	Address string
}

// Consul is one real Consul server, a local process on loopback with a data
// folder of its own, so that it can die and come back.
type Consul struct {
	t       T
	options ConsulOptions
	dir     string
	name    string
	ports   consulPorts
	cluster []*Consul // of which it is one; empty: it stands alone
	cmd     *exec.Cmd
	exited  chan struct{}
	// ManagementToken may do everything; "" without ACL.
	ManagementToken string
}

// consulPorts hold for all the lives of a Consul.
type consulPorts struct{ api, serf, server int }

// NewConsul starts a Consul and returns once it has a leader and takes writes.
// Call [NeedConsul] first in tests.
func NewConsul(t T, options ConsulOptions) *Consul {
	t.Helper()
	c := newConsul(t, options)
	c.configure()
	c.Start()
	return c
}

// newConsul is one that is neither configured nor started yet.
func newConsul(t T, options ConsulOptions) *Consul {
	t.Helper()
	if options.Address == "" {
		options.Address = "127.0.0.1"
	}
	ports := freePorts(t, options.Address, 3)
	c := &Consul{t: t, options: options, dir: tempDir(t), name: "lab", ports: consulPorts{ports[0], ports[1], ports[2]}}
	if options.ACL {
		c.ManagementToken = uuid()
	}
	t.Cleanup(c.Kill)
	return c
}

// configure writes consul.hcl.
func (c *Consul) configure() {
	c.t.Helper()
	scheme, other := "http", "https"
	tlsBlock := ""
	if c.options.TLS != nil {
		scheme, other = other, scheme
		c.Certify(c.options.TLS)
		tlsBlock = fmt.Sprintf("tls { defaults {\n cert_file = %q\n key_file = %q\n} }\n",
			filepath.Join(c.dir, "cert.pem"), filepath.Join(c.dir, "key.pem"))
	}
	acl := ""
	if c.options.ACL {
		acl = fmt.Sprintf(`acl {
  enabled        = true
  default_policy = "deny"
  tokens {
    initial_management = %q
    agent              = %q
  }
}
`, c.ManagementToken, c.ManagementToken)
	}
	var join []string
	for _, other := range c.cluster {
		join = append(join, fmt.Sprintf("%q", fmt.Sprintf("%s:%d", other.options.Address, other.ports.serf)))
	}
	c.write("consul.hcl", fmt.Appendf(nil, `
server               = true
bootstrap_expect     = %d
retry_join           = [%s]
retry_interval       = "1s"
node_name            = %q
data_dir             = %q
bind_addr            = %q
client_addr          = %q
disable_update_check = true
log_level            = "warn"
connect     { enabled = false }
performance { raft_multiplier = 1 }
telemetry {
  disable_hostname          = true
  prometheus_retention_time = "24h"
}
ports {
  %s       = %d
  %s       = -1
  serf_lan = %d
  serf_wan = -1
  server   = %d
  dns      = -1
  grpc     = -1
  grpc_tls = -1
}
%s%s%s`, max(1, len(c.cluster)), strings.Join(join, ", "), c.name, filepath.Join(c.dir, "data"), c.options.Address, c.options.Address,
		scheme, c.ports.api, other, c.ports.serf, c.ports.server, tlsBlock, acl, c.options.Config))
}

// Certify gives it a certificate of a lab's authority; one that runs shows it from
// its next start on.
func (c *Consul) Certify(by *Lab) {
	c.t.Helper()
	c.options.TLS = by
	cert, key := by.Certificate(time.Now().AddDate(0, 0, 90), "localhost", c.options.Address)
	c.write("cert.pem", cert)
	c.write("key.pem", key)
}

func (c *Consul) write(name string, content []byte) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), content, 0o600); err != nil {
		c.t.Fatalf("lab: %v", err)
	}
}

// Start starts it, again with what it had written, and waits until it takes writes.
func (c *Consul) Start() {
	c.t.Helper()
	c.Launch()
	c.WaitReady()
}

// Launch is [Consul.Start] without the waiting: one of several may have no leader
// until others run.
func (c *Consul) Launch() {
	c.t.Helper()
	logs, err := os.OpenFile(filepath.Join(c.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		c.t.Fatalf("lab: %v", err)
	}
	defer func() { _ = logs.Close() }()
	c.cmd, c.exited = spawn(c.t, logs, Tool("consul"), "agent", "-config-file="+filepath.Join(c.dir, "consul.hcl"))
}

// WaitReady waits until it has a leader and takes a write, for at most 60 s.
func (c *Consul) WaitReady() {
	c.t.Helper()
	client := c.Client("")
	deadline := time.Now().Add(60 * time.Second)
	for {
		leader, err := client.Status().Leader()
		if err == nil && leader != "" {
			if _, err = client.KV().Delete("reattach-lab-ready", nil); err == nil {
				return
			}
		}
		select {
		case <-c.exited:
			c.t.Fatalf("lab: consul ended: %s", tail(c.Logs(), 20))
		default:
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("lab: consul has no leader (%v): %s", err, tail(c.Logs(), 20))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Kill ends it by SIGKILL; its data stays for [Consul.Start].
func (c *Consul) Kill() {
	if c.cmd != nil {
		_ = c.cmd.Process.Kill()
		<-c.exited
		c.cmd = nil
	}
}

// Stop ends it in good order, by SIGTERM.
func (c *Consul) Stop() {
	if c.cmd != nil {
		_ = c.cmd.Process.Signal(syscall.SIGTERM)
		<-c.exited
		c.cmd = nil
	}
}

// Pause stops its process by SIGSTOP: connections hang. Unpause ends that.
func (c *Consul) Pause() { _ = c.cmd.Process.Signal(syscall.SIGSTOP) }

// Unpause ends [Consul.Pause].
func (c *Consul) Unpause() { _ = c.cmd.Process.Signal(syscall.SIGCONT) }

// Revive has it run, whatever was done to it, and does not wait.
func (c *Consul) Revive() {
	c.t.Helper()
	if c.cmd == nil {
		c.Launch()
		return
	}
	c.Unpause()
}

// Addr is host:port of its API.
func (c *Consul) Addr() string { return fmt.Sprintf("%s:%d", c.options.Address, c.ports.api) }

// URL is the base of its API, http:// or https://.
func (c *Consul) URL() string {
	if c.options.TLS != nil {
		return "https://" + c.Addr()
	}
	return "http://" + c.Addr()
}

// Logs is all that it printed.
func (c *Consul) Logs() string {
	content, _ := os.ReadFile(filepath.Join(c.dir, "log"))
	return string(content)
}

// Client is an API client with a token, by default the one for management.
func (c *Consul) Client(token string) *api.Client {
	c.t.Helper()
	config := &api.Config{Address: c.URL(), Token: c.ManagementToken}
	if token != "" {
		config.Token = token
	}
	if c.options.TLS != nil {
		config.TLSConfig.CAPem = c.options.TLS.ca.pem
	}
	client, err := api.NewClient(config)
	if err != nil {
		c.t.Fatalf("lab: consul client: %v", err)
	}
	return client
}

// CreateToken makes a policy of the given rules (HCL) and a token that has it.
func (c *Consul) CreateToken(rules string) string {
	c.t.Helper()
	acl := c.Client("").ACL()
	policy, _, err := acl.PolicyCreate(&api.ACLPolicy{Name: "lab-" + randomID(), Rules: rules}, nil)
	if err != nil {
		c.t.Fatalf("lab: policy: %v", err)
	}
	token, _, err := acl.TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{ID: policy.ID}}}, nil)
	if err != nil {
		c.t.Fatalf("lab: token: %v", err)
	}
	return token.SecretID
}

// Counter is how often a measured operation has happened since Consul's start, by
// its name in Prometheus' format: "consul_kvs_apply" counts writes of single
// keys, "consul_txn_apply" transactions. What is counted by labels is added up.
func (c *Consul) Counter(name string) int {
	c.t.Helper()
	request, err := http.NewRequest(http.MethodGet, c.URL()+"/v1/agent/metrics?format=prometheus", http.NoBody)
	if err != nil {
		c.t.Fatalf("lab: metrics: %v", err)
	}
	request.Header.Set("X-Consul-Token", c.ManagementToken)
	client := &http.Client{Timeout: 10 * time.Second}
	if c.options.TLS != nil {
		client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.options.TLS.CAPool()}}
	}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		c.t.Fatalf("lab: metrics: %v", err)
	}
	defer func() { _ = response.Body.Close() }()
	lines, sum := bufio.NewScanner(response.Body), 0
	for lines.Scan() {
		var n float64
		rest, ok := strings.CutPrefix(lines.Text(), name+"_count")
		if _, labelled, found := strings.Cut(rest, "}"); found && strings.HasPrefix(rest, "{") {
			rest = labelled
		}
		if _, err := fmt.Sscanf(rest, " %g", &n); ok && err == nil {
			sum += int(n)
		}
	}
	return sum
}

// RaftIndex is the index of the last entry in Consul's log. A store at rest
// gains a few entries a minute from Consul's own housekeeping.
func (c *Consul) RaftIndex() uint64 {
	c.t.Helper()
	self, err := c.Client("").Agent().Self()
	if err != nil {
		c.t.Fatalf("lab: agent self: %v", err)
	}
	var index uint64
	encoded, _ := json.Marshal(self["Stats"]["raft"])
	var raft map[string]string
	if err := json.Unmarshal(encoded, &raft); err != nil {
		c.t.Fatalf("lab: raft statistics: %v", err)
	}
	if _, err := fmt.Sscan(raft["last_log_index"], &index); err != nil {
		c.t.Fatalf("lab: raft index: %v", err)
	}
	return index
}

// spawn starts a process that dies with this one; the channel closes at its end.
func spawn(t T, logs *os.File, program string, args ...string) (*exec.Cmd, chan struct{}) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = logs, logs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	diesWithParent(cmd.SysProcAttr)
	if err := cmd.Start(); err != nil {
		t.Fatalf("lab: %s: %v", filepath.Base(program), err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	return cmd, exited
}

// FreePorts finds n ports of loopback that nobody has, for TCP or UDP. They lie
// below those that the kernel gives to whoever asks for any: nobody is given one
// before the program that it is meant for takes it.
func FreePorts(t T, n int) []int {
	t.Helper()
	return freePorts(t, "127.0.0.1", n)
}

func freePorts(t T, host string, n int) []int {
	t.Helper()
	var ports []int
	for tries := 0; len(ports) < n; tries++ {
		if tries == 10_000 {
			t.Fatalf("lab: no %d free ports", n)
		}
		port := 20_000 + mathrand.IntN(12_000)
		addr := fmt.Sprintf("%s:%d", host, port)
		stream, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		defer func() { _ = stream.Close() }()
		packets, err := net.ListenPacket("udp", addr)
		if err != nil {
			continue
		}
		defer func() { _ = packets.Close() }()
		ports = append(ports, port)
	}
	return ports
}

func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	var out bytes.Buffer
	for i, group := range [][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:]} {
		if i > 0 {
			out.WriteByte('-')
		}
		fmt.Fprintf(&out, "%x", group)
	}
	return strings.ToLower(out.String())
}
