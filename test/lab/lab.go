// Package lab starts the real servers that reattach's tests speak to, and breaks
// them in ways that a network and a machine break.
//
// A [Lab] is a container network of its own with an address range of its own.
// Each [Server] in it has one address for life: it is dialled by that address,
// never by a published port (Docker's proxy accepts for servers that are gone),
// and has it again after a kill or a partition. Everything carries the label
// reattach-lab=1 and is removed when the test ends.
//
// The servers come with TLS from the lab's own authority ([Lab.CAFile]) and with
// the accounts root, app, probe and repl, whose passwords are "<name>-secret".
//
// Images are built by test/lab/setup.sh and not here: a test says [Need] first,
// and is left out by name, or fails, where they are missing. Consul and
// consul-template are local processes ([NewConsul], [NewTemplate]; [NeedConsul]).
//
// Not guaranteed: that a container's fault begins at an exact moment. Those
// methods that know it return it; the others return the moment before they asked.
package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"
)

// T is what the lab asks of a test; *testing.T is one, and a program such as the
// quickstart can be.
type T interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	// Fatalf does not return.
	Fatalf(format string, args ...any)
	// Cleanup registers what runs, last first, when the test ends.
	Cleanup(func())
}

// apiTimeout bounds each request to the container engine.
const apiTimeout = 60 * time.Second

// Lab is one test's network of servers.
type Lab struct {
	t      T
	id     string
	docker *testcontainers.DockerClient
	net    *testcontainers.DockerNetwork
	subnet netip.Prefix
	ca     *authority

	mu     sync.Mutex
	next   netip.Addr
	counts map[string]int
}

// New makes an empty lab and its network, to be removed when t ends. Call [Need]
// first in tests.
func New(t T) *Lab {
	t.Helper()
	prepare()
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		t.Fatalf("lab: no container engine: %v", err)
	}
	t.Cleanup(func() { _ = docker.Close() })
	l := &Lab{t: t, id: randomID(), docker: docker, counts: map[string]int{}}
	if l.ca, err = newAuthority(); err != nil {
		t.Fatalf("lab: %v", err)
	}
	if err := l.createNetwork(ctx); err != nil {
		t.Fatalf("lab: network: %v", err)
	}
	l.next = l.subnet.Addr().Next().Next() // the first is the gateway: this machine
	t.Cleanup(l.removeNetwork)
	return l
}

// Network is the name of the lab's container network.
func (l *Lab) Network() string { return l.net.Name }

// Gateway is this machine's address on the lab's network.
func (l *Lab) Gateway() string { return l.subnet.Addr().Next().String() }

// NewAddr takes one address of the lab's range that no server has: dials to it
// find nobody.
func (l *Lab) NewAddr() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	addr := l.next
	l.next = addr.Next()
	if !l.subnet.Contains(l.next) {
		l.t.Fatalf("lab: more servers than %s has addresses", l.subnet)
	}
	return addr.String()
}

// alias is the name of the nth server of a kind within the network.
func (l *Lab) alias(kind string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[kind]++
	return kind + strconv.Itoa(l.counts[kind])
}

// createNetwork tries ranges at random until one overlaps neither another
// network of the engine nor one of this machine.
func (l *Lab) createNetwork(ctx context.Context) error {
	var last error
	for range 50 {
		subnet := randomSubnet()
		if overlapsHost(subnet) {
			continue
		}
		net, err := tcnetwork.New(ctx,
			tcnetwork.WithDriver("bridge"),
			tcnetwork.WithLabels(labels()),
			tcnetwork.WithIPAM(&network.IPAM{Config: []network.IPAMConfig{{
				Subnet: subnet, Gateway: subnet.Addr().Next(),
			}}}))
		if err == nil {
			l.net, l.subnet = net, subnet
			return nil
		}
		last = err
		if !strings.Contains(err.Error(), "overlap") { // the engine has no code for it
			return err
		}
	}
	return errors.Join(errors.New("no free address range"), last)
}

func (l *Lab) removeNetwork() {
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	if _, err := l.docker.NetworkRemove(ctx, l.net.ID, client.NetworkRemoveOptions{}); err != nil {
		l.t.Logf("lab: network %s stays behind: %v", l.net.Name, err)
	}
}

// labels mark what is ours; REATTACH_LAB_RUN names one run of the tests, so that
// its end removes what it left, and nobody else's.
func labels() map[string]string {
	marks := map[string]string{"reattach-lab": "1"}
	if run := os.Getenv("REATTACH_LAB_RUN"); run != "" {
		marks["reattach-lab.run"] = run
	}
	return marks
}

func randomID() string {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// randomSubnet is one of the 1,024 /26 ranges of 10.213.0.0/16.
func randomSubnet() netip.Prefix {
	var b [2]byte
	_, _ = rand.Read(b[:])
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 213, b[0], b[1] &^ 63}), 26)
}

func overlapsHost(subnet netip.Prefix) bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Masked().Overlaps(subnet) {
			return true
		}
	}
	return false
}

// Image is the full name of one of the lab's images: mariadb, rabbitmq, postfix,
// memcached, mysql, or tools (Debian with iptables and our init).
func Image(kind string) string { return fmt.Sprintf("reattach-lab-%s:%s", kind, Tag()) }
