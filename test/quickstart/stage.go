package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sync/errgroup"

	"github.com/reattach/reattach/failover"
)

// Containers that are no servers.
const (
	daemon      = network
	application = network + "-app"
	consul      = network + "-consul"
)

// server is one real server.
type server struct {
	kind string
	name string // in the network, and as an endpoint
	port int
}

func (s server) container() string { return network + "-" + s.name }

var servers = []server{
	{"mariadb", "mariadb-1", 3306}, {"mariadb", "mariadb-2", 3306},
	{"rabbitmq", "rabbitmq-1", 5672}, {"rabbitmq", "rabbitmq-2", 5672},
	{"postfix", "postfix-1", 25}, {"postfix", "postfix-2", 25},
	{"memcached", "memcached-1", 11211}, {"memcached", "memcached-2", 11211},
}

// stage is where the play is set: the network and all that runs in it.
type stage struct {
	store     string // embedded or consul
	tag       string // of the lab's images
	tools     map[string]string
	hosts     []string // --add-host NAME:ADDRESS for each server
	daemonLog *journal
	appLog    *journal
}

// secrets never appear in any output; the last check looks for them.
var secrets = map[string]string{"APP_PASSWORD": "app-secret", "READER_TOKEN": token()}

func token() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// newStage finds what make built.
func newStage(ctx context.Context, store string) (*stage, error) {
	s := &stage{store: store, daemonLog: newJournal(), appLog: newJournal()}
	out, err := exec.CommandContext(ctx, "test/lab/images.sh", "tag").Output()
	if err != nil {
		return nil, fmt.Errorf("run `make quickstart` at the top of the checkout: %w", err)
	}
	s.tag = strings.TrimSpace(string(out))
	s.tools = map[string]string{"reattach": "bin/reattach", "app": "bin/quickstart-app"}
	names := []string{"consul-template"}
	if store == "consul" {
		names = append(names, "consul")
	}
	for _, name := range names {
		if s.tools[name], err = cached(name); err != nil {
			return nil, err
		}
	}
	for name, path := range s.tools {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("%s is not built (%w): run `make quickstart`", name, err)
		}
	}
	return s, nil
}

// cached is where the set-up keeps a tool.
func cached(name string) (string, error) {
	versions, err := os.ReadFile("test/lab/versions")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(versions)) {
		if tool, version, _ := strings.Cut(strings.TrimSpace(line), " "); tool == name {
			base, err := os.UserCacheDir()
			return filepath.Join(cmp.Or(os.Getenv("REATTACH_CACHE"), filepath.Join(base, "reattach")), "bin", name+"-"+version), err
		}
	}
	return "", fmt.Errorf("test/lab/versions does not name %s", name)
}

func (s *stage) image(kind string) string { return "reattach-lab-" + kind + ":" + s.tag }

// startServers starts all eight and returns once each serves.
func (s *stage) startServers(ctx context.Context) error {
	if _, err := docker(ctx, "network", "create", "--label", label, "--label", ours, network); err != nil {
		return err
	}
	group, each := errgroup.WithContext(ctx)
	for i, server := range servers {
		group.Go(func() error {
			_, err := docker(each, s.create("run", server.container(), server.name, "-d", "--cap-add", "NET_ADMIN",
				"-e", "LAB_SERVER_ID="+strconv.Itoa(i%2+1), s.image(server.kind))...)
			if err != nil {
				return err
			}
			return listening(each, server.container(), server.port)
		})
	}
	if s.store == "consul" {
		group.Go(func() error { return s.startConsul(each) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := replicate(ctx); err != nil {
		return err
	}
	return s.findAddresses(ctx)
}

// create is a docker run or create of one of our containers.
func (s *stage) create(verb, container, host string, args ...string) []string {
	return append([]string{verb, "--name", container, "--hostname", host, "--network", network, "--network-alias", host,
		"--label", label, "--label", ours, "--log-driver", "json-file", "--log-opt", "max-size=8m"}, args...)
}

// listening waits until a server accepts connections.
func listening(ctx context.Context, container string, port int) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	loop := fmt.Sprintf("until (: < /dev/tcp/127.0.0.1/%d) 2>/dev/null; do sleep 0.1; done", port)
	if _, err := docker(ctx, "exec", container, "bash", "-c", loop); err != nil {
		return fmt.Errorf("%s does not serve: %w", container, err)
	}
	return nil
}

// replicate has both databases follow each other.
func replicate(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range 2 {
		group.Go(func() error {
			_, err := docker(ctx, "exec", servers[i].container(), "mariadb", "-e",
				"CHANGE MASTER TO MASTER_HOST='"+servers[1-i].name+"', MASTER_USER='repl', MASTER_PASSWORD='repl-secret',"+
					" MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_SSL=0; START REPLICA")
			return err
		})
	}
	return group.Wait()
}

// findAddresses settles each server's name for the daemon and the application.
// The engine's own name server forgets a server that is gone, which is not how a
// host vanishes elsewhere.
func (s *stage) findAddresses(ctx context.Context) error {
	for _, server := range servers {
		out, err := docker(ctx, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", server.container())
		if err != nil {
			return err
		}
		s.hosts = append(s.hosts, "--add-host", server.name+":"+strings.TrimSpace(out))
	}
	return nil
}

// startConsul starts a Consul of one server and returns once it has a leader.
func (s *stage) startConsul(ctx context.Context) error {
	err := s.run(ctx, consul, "consul", map[string]string{s.tools["consul"]: "/usr/local/bin/consul"}, nil,
		"consul", "agent", "-server", "-bootstrap-expect=1", "-data-dir=/var/lib/consul", "-client=0.0.0.0", "-log-level=warn",
		"-hcl=disable_update_check = true connect { enabled = false } performance { raft_multiplier = 1 }")
	if err != nil {
		return err
	}
	_, err = docker(ctx, "exec", consul, "bash", "-c",
		"until curl -s 127.0.0.1:8500/v1/status/leader | grep -q :; do sleep 0.1; done")
	return err
}

// run makes a container of the tools' image, copies files into it, and starts a
// command as its first process.
func (s *stage) run(ctx context.Context, container, host string, files map[string]string, args []string, command ...string) error {
	args = append(args, "--entrypoint", command[0], s.image("tools"))
	if _, err := docker(ctx, s.create("create", container, host, append(args, command[1:]...)...)...); err != nil {
		return err
	}
	for from, to := range files {
		if _, err := docker(ctx, "cp", "-L", from, container+":"+to); err != nil {
			return err
		}
	}
	_, err := docker(ctx, "start", container)
	return err
}

// startDaemon starts reattach, and returns once every resource is attached to
// its first server and protected by the second.
func (s *stage) startDaemon(ctx context.Context) error {
	config, err := s.config()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "reattach-quickstart")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "reattach.hcl")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		return err
	}
	args := append([]string{"-e", "APP_PASSWORD", "-e", "READER_TOKEN", "-p", "127.0.0.1::9778"}, s.hosts...)
	files := map[string]string{s.tools["reattach"]: "/usr/local/bin/reattach", path: "/etc/reattach.hcl"}
	if err := s.run(ctx, daemon, "reattach", files, args, "reattach", "run", "--config", "/etc/reattach.hcl"); err != nil {
		return err
	}
	go func() { _ = follow(ctx, daemon, s.daemonLog.add) }()
	_, err = awaitStatus(ctx, 30*time.Second, func(st failover.Status) bool {
		for _, r := range st.Resources {
			if !r.Protected || r.Attached != r.Endpoints[0].Name {
				return false
			}
		}
		return len(st.Resources) == 4
	})
	return err
}

// config is configs/quickstart.hcl, with Consul for its store where that is wanted.
func (s *stage) config() ([]byte, error) {
	text, err := os.ReadFile("configs/quickstart.hcl")
	if err != nil || s.store != "consul" {
		return text, err
	}
	file, diags := hclwrite.ParseConfig(text, "quickstart.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	body := file.Body()
	body.RemoveBlock(body.FirstMatchingBlock("store", []string{"embedded"}))
	body.FirstMatchingBlock("listen", nil).Body().RemoveAttribute("token") // for readers of the embedded store
	body.AppendNewBlock("store", []string{"consul"}).Body().SetAttributeValue("address", cty.StringVal("http://consul:8500"))
	return file.Bytes(), nil
}

// template is what the application reads, in consul-template's words.
const template = `DATABASE_URL={{ key "quickstart/DATABASE_URL" }}
AMQP_URL={{ key "quickstart/AMQP_URL" }}
SMTP_URL={{ key "quickstart/SMTP_URL" }}
CACHE_URL={{ key "quickstart/CACHE_URL" }}
`

// startApplication starts consul-template and, as its child, the application;
// it returns once that has written to all four services.
func (s *stage) startApplication(ctx context.Context) error {
	address := "reattach:9778"
	if s.store == "consul" {
		address = "consul:8500"
	}
	dir, err := os.MkdirTemp("", "reattach-quickstart")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	config := fmt.Sprintf(`
consul {
  address = %q
  retry { attempts = 0 }
}
template {
  source      = "/etc/app.tpl"
  destination = "/run/app.env"
  perms       = 0600
}
exec {
  command      = ["app", "/run/app.env"]
  kill_timeout = "2s"
}
`, address)
	files := map[string]string{s.tools["consul-template"]: "/usr/local/bin/consul-template", s.tools["app"]: "/usr/local/bin/app"}
	for name, text := range map[string]string{"consul-template.hcl": config, "app.tpl": template} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
		files[path] = "/etc/" + name
	}
	args := append([]string{"-e", "CONSUL_HTTP_TOKEN"}, s.hosts...)
	if err := s.run(ctx, application, "app", files, args, "consul-template", "-config=/etc/consul-template.hcl"); err != nil {
		return err
	}
	go func() { _ = follow(ctx, application, s.appLog.add) }()
	for _, a := range acts {
		if _, err := s.attached(ctx, time.Time{}, a.resource, a.from); err != nil {
			return fmt.Errorf("the application does not attach to %s: %w", a.from, err)
		}
	}
	return nil
}

// attached waits until the application has written to a server.
func (s *stage) attached(ctx context.Context, since time.Time, resource, server string) (event, error) {
	return s.appLog.await(ctx, since, 15*time.Second, func(e event) bool {
		return e.Msg == "attached" && e.Service == resource && e.Host == server
	})
}
