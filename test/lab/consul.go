package lab

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
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
}

// Consul is one real Consul server, a local process on loopback with a data
// folder of its own, so that it can die and come back.
type Consul struct {
	t       T
	options ConsulOptions
	dir     string
	port    int
	cmd     *exec.Cmd
	exited  chan struct{}
	// ManagementToken may do everything; "" without ACL.
	ManagementToken string
}

// NewConsul starts a Consul and returns once it has a leader and takes writes.
// Call [NeedConsul] first in tests.
func NewConsul(t T, options ConsulOptions) *Consul {
	t.Helper()
	c := &Consul{t: t, options: options, dir: tempDir(t)}
	if options.ACL {
		c.ManagementToken = uuid()
	}
	c.configure()
	t.Cleanup(c.Kill)
	c.Start()
	return c
}

// configure writes consul.hcl, with free ports that hold for all its lives.
func (c *Consul) configure() {
	c.t.Helper()
	ports := freePorts(c.t, 3)
	c.port = ports[0]
	scheme, other := "http", "https"
	tlsBlock := ""
	if c.options.TLS != nil {
		scheme, other = other, scheme
		cert, key := c.options.TLS.Certificate(time.Now().AddDate(0, 0, 90), "localhost", "127.0.0.1")
		c.write("cert.pem", cert)
		c.write("key.pem", key)
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
	c.write("consul.hcl", fmt.Appendf(nil, `
server               = true
bootstrap_expect     = 1
node_name            = "lab"
data_dir             = %q
bind_addr            = "127.0.0.1"
client_addr          = "127.0.0.1"
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
%s%s%s`, filepath.Join(c.dir, "data"), scheme, ports[0], other, ports[1], ports[2], tlsBlock, acl, c.options.Config))
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
	logs, err := os.OpenFile(filepath.Join(c.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		c.t.Fatalf("lab: %v", err)
	}
	defer func() { _ = logs.Close() }()
	c.cmd, c.exited = spawn(c.t, logs, Tool("consul"), "agent", "-config-file="+filepath.Join(c.dir, "consul.hcl"))
	c.WaitReady()
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

// Addr is host:port of its API.
func (c *Consul) Addr() string { return fmt.Sprintf("127.0.0.1:%d", c.port) }

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
// keys, "consul_txn_apply" transactions.
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
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		var n float64
		if _, err := fmt.Sscanf(lines.Text(), name+"_count %g", &n); err == nil {
			return int(n)
		}
	}
	return 0
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

// freePorts finds n ports of loopback that nobody listens on.
func freePorts(t T, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("lab: %v", err)
		}
		defer func() { _ = listener.Close() }()
		ports[i] = listener.Addr().(*net.TCPAddr).Port
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
