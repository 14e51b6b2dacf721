package deploy

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// management is the token that the servers start with.
const management = "5d0dd9f4-9a7a-4f0c-8a53-0c2f3f0c7b11"

// secured is a Consul server and an agent that run by the samples.
type secured struct {
	t     *testing.T
	lab   *lab.Lab
	dir   string
	https string // the agent's
}

func (s *secured) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// issue writes a certificate of the lab's authority, as consul tls cert create does.
func (s *secured) issue(name string, hosts ...string) {
	s.t.Helper()
	cert, key := s.lab.Certificate(time.Now().AddDate(0, 0, 90), hosts...)
	s.write(name+".pem", string(cert))
	s.write(name+".key", string(key))
}

// secure starts a server and an agent by the samples; what a machine of its own
// would have for itself (addresses, ports, folders) is set by a second file.
func secure(t *testing.T) *secured {
	t.Helper()
	s := &secured{t: t, lab: lab.New(t), dir: t.TempDir()}
	authority, err := os.ReadFile(s.lab.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	s.write("ca.pem", string(authority))
	s.issue("server", "server.dc1.consul", "localhost", "127.0.0.1")
	s.issue("agent", "client.dc1.consul", "localhost", "127.0.0.1")
	s.issue("client", "client.dc1.consul")
	var ports []any
	for _, port := range lab.FreePorts(t, 6) {
		ports = append(ports, port)
	}
	const own = `node_name = %q
bind_addr = "127.0.0.1"
retry_interval = "1s"
ports {
  https    = %d
  serf_lan = %d
  server   = %d
  serf_wan = -1
  dns      = -1
  grpc     = -1
  grpc_tls = -1
}
acl {
  tokens {
    agent = "` + management + `"
    %s
  }
}
`
	s.start("server", ports[1], fmt.Sprintf(own+"bootstrap_expect = 1\n", append(append([]any{"server"}, ports[:3]...), fmt.Sprintf("initial_management = %q", management))...))
	s.start("agent", ports[1], fmt.Sprintf(own, append(append([]any{"agent"}, ports[3:]...), "")...))
	s.https = fmt.Sprintf("127.0.0.1:%d", ports[3])
	return s
}

// start starts one; join is the server's port for gossip.
func (s *secured) start(name string, join any, own string) {
	s.t.Helper()
	sample := strings.NewReplacer(`["10.0.1.11", "10.0.1.12", "10.0.1.13"]`, fmt.Sprintf("[\"127.0.0.1:%d\"]", join), "/etc/consul.d/tls", s.dir, "/var/lib/consul", filepath.Join(s.dir, name+"-data")).Replace(read(s.t, "consul/"+name+".hcl"))
	if strings.Contains(sample, `["10.`) {
		s.t.Fatalf("the sample of the %s would join others than ours", name)
	}
	p := lab.NewProcess(s.t, nil, lab.Tool("consul"), "agent", "-config-file="+s.write(name+".hcl", sample), "-config-file="+s.write(name+"-own.hcl", own))
	s.t.Cleanup(func() {
		if s.t.Failed() {
			lines := strings.SplitAfter(p.Logs(), "\n")
			s.t.Logf("%s:\n%s", name, strings.Join(lines[max(0, len(lines)-15):], ""))
		}
	})
}

// client asks the agent with a token, and with a certificate unless bare.
func (s *secured) client(token string, bare bool) *api.Client {
	s.t.Helper()
	c := &api.Config{Address: "https://" + s.https, Token: token, TLSConfig: api.TLSConfig{CAFile: filepath.Join(s.dir, "ca.pem")}}
	if !bare {
		c.TLSConfig.CertFile, c.TLSConfig.KeyFile = filepath.Join(s.dir, "client.pem"), filepath.Join(s.dir, "client.key")
	}
	client, err := api.NewClient(c)
	if err != nil {
		s.t.Fatal(err)
	}
	return client
}

// token makes a token with the rules of a sample, and nothing else.
func (s *secured) token(sample string) string {
	s.t.Helper()
	acl := s.client(management, false).ACL()
	name := strings.TrimSuffix(filepath.Base(sample), ".hcl")
	if _, _, err := acl.PolicyCreate(&api.ACLPolicy{Name: name, Rules: read(s.t, sample)}, nil); err != nil {
		s.t.Fatal(err)
	}
	token, _, err := acl.TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{Name: name}}}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return token.SecretID
}

// TestFailoverWithTLS: reattach, with exactly the policies and the settings of
// deployments/consul, switches a database through an agent that wants certificates.
func TestFailoverWithTLS(t *testing.T) {
	lab.Need(t)
	lab.NeedConsul(t)
	s := secure(t)
	db := s.lab.MariaDBPair()
	kv := s.client(management, false).KV()
	daemon.Eventually(t, time.Minute, "the agent takes a write", func() bool {
		_, err := kv.Put(&api.KVPair{Key: handle, Value: []byte(db.Active.URL("app"))}, nil)
		return err == nil
	})
	s.write("consul-token", s.token("consul/reattach-policy.hcl"))
	reader := s.client(s.token("consul/reader-policy.hcl"), false).KV()

	store := strings.NewReplacer("/etc/reattach/tls", s.dir, "/etc/reattach", s.dir, "127.0.0.1:8501", s.https).Replace(read(t, "consul/reattach-store.hcl"))
	d := daemon.New(t, "observer {\n  name      = \"tls\"\n  state_dir = \"DIR/state\"\n}\nlisten {\n  http   = \"\"\n  socket = \"DIR/sock\"\n}\n"+store+
		daemon.Resource{Name: "orders-db", Handle: handle, A: db.Active.URL("app"), B: db.Standby.URL("app"), Policy: daemon.Fast}.HCL())
	d.Start()
	d.Protected("orders-db")
	db.Active.KillProcess()
	d.AttachedTo("orders-db", "b", 15*time.Second)
	if pair, _, err := reader.Get(handle, nil); err != nil || pair == nil || string(pair.Value) != db.Standby.URL("app") {
		t.Errorf("a reader does not see the standby: %v", err)
	}
	s.closed(reader)
}

// closed tries what the samples keep out.
func (s *secured) closed(reader *api.KV) {
	s.t.Helper()
	if pair, _, err := reader.Get("reattach/state/orders-db", nil); err == nil && pair != nil {
		s.t.Error("a reader reads reattach's state")
	}
	if _, err := reader.Put(&api.KVPair{Key: handle, Value: []byte("other")}, nil); err == nil {
		s.t.Error("a reader writes a handle")
	}
	if _, _, err := s.client(management, true).KV().Get(handle, nil); err == nil {
		s.t.Error("who has no certificate is answered")
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: s.lab.CAPool()}}}
	if response, err := client.Get("http://" + s.https + "/v1/status/leader"); err == nil {
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			s.t.Error("who does without TLS is answered")
		}
	}
}
