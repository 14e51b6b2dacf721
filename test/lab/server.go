package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// startTimeout is how long a server may take until it serves.
const startTimeout = 90 * time.Second

// Server is one real server in a container of the lab.
type Server struct {
	lab       *Lab
	kind      string
	name      string
	ip        string
	port      int
	tls       bool
	container testcontainers.Container
	ready     func(context.Context, *Server) error
}

// spec is what the options settle about a server before its start.
type spec struct {
	kind   string
	name   string
	ip     string   // "": the next one of the lab
	hosts  []string // "name:address", known without a name server
	port   int
	ready  func(context.Context, *Server) error
	env    map[string]string
	args   []string
	argSep string
	files  map[string][]byte
	tools  map[string][]byte // files that can be run
	cmd    []string
	ports  []string
	disk   int // MiB; 0: as large as the engine's own
	plain  bool
	expiry time.Time
}

// Option changes how a server is started.
type Option func(*spec)

// Named sets the server's name on the lab's network: "db1" instead of "mariadb1".
func Named(name string) Option { return func(s *spec) { s.name = name } }

// at gives the server an address that was taken for it before.
func at(ip string) Option { return func(s *spec) { s.ip = ip } }

// knowing has the server know another one's address by itself.
func knowing(name, ip string) Option {
	return func(s *spec) { s.hosts = append(s.hosts, name+":"+ip) }
}

// Args adds settings in the server's own words: arguments of mariadbd, mysqld and
// memcached, lines of rabbitmq.conf, "name=value" of Postfix's main.cf.
func Args(args ...string) Option {
	return func(s *spec) { s.args = append(s.args, args...) }
}

// Env sets an environment variable of the container.
func Env(name, value string) Option { return func(s *spec) { s.env[name] = value } }

// File puts a file into the container before its start, readable by all.
func File(path string, content []byte) Option {
	return func(s *spec) { s.files[path] = content }
}

// Program puts a program into the container before its start.
func Program(path string, content []byte) Option {
	return func(s *spec) { s.tools[path] = content }
}

// Command replaces what the container's init runs as its server.
func Command(command ...string) Option { return func(s *spec) { s.cmd = command } }

// Publish makes a TCP port reachable on this machine's loopback (and so from
// outside a desktop engine's virtual machine), at [Server.Published].
func Publish(port int) Option {
	return func(s *spec) { s.ports = append(s.ports, fmt.Sprintf("%d/tcp", port)) }
}

// Supervised has the server started again that many whole seconds after each
// death, as Debian's units do: MariaDB 5, RabbitMQ 10.
func Supervised(seconds int) Option { return Env("LAB_RESTART_AFTER", strconv.Itoa(seconds)) }

// WithoutTLS leaves the lab's certificate away: no 5671, 465 or 587.
func WithoutTLS() Option { return func(s *spec) { s.plain = true } }

// CertUntil sets when the server's certificate expires; default: in 90 days.
func CertUntil(at time.Time) Option { return func(s *spec) { s.expiry = at } }

// start runs a container from the image of s.kind, and returns once it serves.
func (l *Lab) start(s spec, opts []Option) *Server {
	l.t.Helper()
	s.env, s.files, s.tools = map[string]string{}, map[string][]byte{}, map[string][]byte{}
	s.expiry = time.Now().AddDate(0, 0, 90)
	for _, opt := range opts {
		opt(&s)
	}
	if s.name == "" {
		s.name = l.alias(s.kind)
	}
	if s.ip == "" {
		s.ip = l.NewAddr()
	}
	server := &Server{lab: l, kind: s.kind, name: s.name, ip: s.ip, port: s.port, ready: s.ready}
	if server.tls = !s.plain; server.tls {
		cert, key := l.Certificate(s.expiry, s.name, "localhost", server.ip, "127.0.0.1")
		s.files["/lab/tls/ca.pem"], s.files["/lab/tls/cert.pem"], s.files["/lab/tls/key.pem"] = l.ca.pem, cert, key
	}
	if len(s.args) > 0 {
		s.env["LAB_ARGS"] = strings.Join(s.args, s.argSep)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	c, err := testcontainers.GenericContainer(ctx, testcontainers.GenericContainerRequest{
		ContainerRequest: l.request(server, s), Started: true, Logger: quiet{},
	})
	if c != nil {
		server.container = c
		l.t.Cleanup(server.remove)
	}
	if err != nil {
		l.t.Fatalf("lab: start %s: %v", s.name, err)
	}
	server.WaitReady()
	return server
}

func (l *Lab) request(server *Server, s spec) testcontainers.ContainerRequest {
	var files []testcontainers.ContainerFile
	add := func(contents map[string][]byte, mode int64) {
		for path, content := range contents {
			files = append(files, testcontainers.ContainerFile{
				Reader: bytes.NewReader(content), ContainerFilePath: path, FileMode: mode,
			})
		}
	}
	add(s.files, 0o644)
	add(s.tools, 0o755)
	return testcontainers.ContainerRequest{
		Image:        Image(s.kind),
		Name:         fmt.Sprintf("reattach-lab-%s-%s", l.id, s.name),
		Env:          s.env,
		Labels:       labels(),
		Networks:     []string{l.net.Name},
		Files:        files,
		Cmd:          s.cmd,
		ExposedPorts: s.ports,
		EndpointSettingsModifier: func(settings map[string]*network.EndpointSettings) {
			settings[l.net.Name] = server.endpoint()
		},
		ConfigModifier: func(c *container.Config) { c.Hostname = s.name },
		HostConfigModifier: func(h *container.HostConfig) {
			h.PortBindings = network.PortMap{}
			for _, port := range s.ports {
				h.PortBindings[network.MustParsePort(port)] = []network.PortBinding{{HostIP: loopback}}
			}
			if s.disk > 0 {
				h.Tmpfs = map[string]string{dataDir(s.kind): fmt.Sprintf("size=%dm", s.disk)}
			}
			h.CapAdd = append(h.CapAdd, "NET_ADMIN")
			// This machine gets a name, so that no server waits for a name server
			// to learn who is calling.
			h.ExtraHosts = append(append(h.ExtraHosts, s.hosts...), "tester:"+l.Gateway())
		},
	}
}

// endpoint is the server's place in the network: always the same address.
func (s *Server) endpoint() *network.EndpointSettings {
	return &network.EndpointSettings{
		NetworkID:  s.lab.net.ID,
		Aliases:    []string{s.name},
		IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: netip.MustParseAddr(s.ip)},
	}
}

// IP is the server's address, the same for all its life.
func (s *Server) IP() string { return s.ip }

// Port is the port that the server's protocol is spoken on, in the clear.
func (s *Server) Port() int { return s.port }

// Name is the server's name within the lab's network.
func (s *Server) Name() string { return s.name }

// Addr is host:port to dial, by default for the protocol's usual port.
func (s *Server) Addr(port ...int) string {
	p := s.port
	if len(port) > 0 {
		p = port[0]
	}
	return net.JoinHostPort(s.ip, strconv.Itoa(p))
}

// Published is the address on this machine of a port that [Publish] named.
func (s *Server) Published(port int) string {
	s.lab.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	mapped, err := s.container.MappedPort(ctx, fmt.Sprintf("%d/tcp", port))
	if err != nil {
		s.lab.t.Fatalf("lab: %s: %v", s.name, err)
	}
	return net.JoinHostPort("127.0.0.1", mapped.Port())
}

// URL is the endpoint of user, as an application would have it in its
// configuration: the protocol's scheme, the user's password, the address, and
// the path that the lab's objects are under.
func (s *Server) URL(user string) string {
	scheme, path := "", ""
	switch s.kind {
	case "mariadb", "mysql":
		scheme, path = "mysql", "/orders"
	case "rabbitmq":
		scheme, path = "amqp", "/orders"
	case "postfix":
		scheme = "smtp"
	case "memcached":
		scheme = "memcached"
	}
	if user != "" {
		user += ":" + Password(user) + "@"
	}
	return scheme + "://" + user + s.Addr() + path
}

// Password is the password of one of the lab's accounts: root, app, probe, repl.
func Password(user string) string { return user + "-secret" }

// WaitReady waits until the server serves a whole conversation, for at most 90 s.
func (s *Server) WaitReady() {
	s.lab.t.Helper()
	s.awaitReady(func() {})
}

// againEvery is how often what shall make a server serve is done again.
const againEvery = 5 * time.Second

// awaitReady is WaitReady, and does something again every few seconds until then.
func (s *Server) awaitReady(again func()) {
	s.lab.t.Helper()
	next := time.Now().Add(againEvery)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	var last error
	for ctx.Err() == nil {
		attempt, done := context.WithTimeout(ctx, 5*time.Second)
		last = s.ready(attempt, s)
		done()
		if last == nil {
			return
		}
		if time.Now().After(next) {
			again()
			next = time.Now().Add(againEvery)
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	s.lab.t.Fatalf("lab: %s did not serve within %v: %v\n%s", s.name, startTimeout, last, tail(s.Logs(), 30))
}

// Exec runs a command as root in the server's container and returns what it
// printed, with an error when it exits with anything but 0.
func (s *Server) Exec(command ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	id := s.container.GetContainerID()
	created, err := s.lab.docker.ExecCreate(ctx, id, client.ExecCreateOptions{
		Cmd: command, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return "", fmt.Errorf("lab: exec in %s: %w", s.name, err)
	}
	stream, err := s.lab.docker.ExecAttach(ctx, created.ID, client.ExecAttachOptions{})
	if err != nil {
		return "", fmt.Errorf("lab: exec in %s: %w", s.name, err)
	}
	defer stream.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, stream.Reader); err != nil {
		return out.String(), fmt.Errorf("lab: exec in %s: %w", s.name, err)
	}
	state, err := s.lab.docker.ExecInspect(ctx, created.ID, client.ExecInspectOptions{})
	for err == nil && state.Running {
		time.Sleep(2 * time.Millisecond) // its output ended a moment before itself
		state, err = s.lab.docker.ExecInspect(ctx, created.ID, client.ExecInspectOptions{})
	}
	if err != nil {
		return out.String(), fmt.Errorf("lab: exec in %s: %w", s.name, err)
	}
	if state.ExitCode != 0 {
		return out.String(), fmt.Errorf("lab: %s: %q exits with %d: %s", s.name, command, state.ExitCode, tail(out.String(), 5))
	}
	return out.String(), nil
}

// MustExec is [Server.Exec], and fails the test on an error.
func (s *Server) MustExec(command ...string) string {
	s.lab.t.Helper()
	out, err := s.Exec(command...)
	if err != nil {
		s.lab.t.Fatalf("%v", err)
	}
	return out
}

// Logs is all that the server has printed.
func (s *Server) Logs() string {
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	logs, err := s.lab.docker.ContainerLogs(ctx, s.container.GetContainerID(),
		client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		return err.Error()
	}
	defer func() { _ = logs.Close() }()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, logs); err != nil && err != io.EOF {
		fmt.Fprintf(&out, "\nlab: logs cut short: %v", err)
	}
	return out.String()
}

func (s *Server) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	_, err := s.lab.docker.ContainerRemove(ctx, s.container.GetContainerID(),
		client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil {
		s.lab.t.Logf("lab: %s stays behind: %v", s.name, err)
	}
}

// tail is the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// quiet is testcontainers' logger for nothing.
type quiet struct{}

func (quiet) Printf(string, ...any) {}
