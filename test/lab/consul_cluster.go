package lab

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// ConsulCluster is several real Consul servers that elect a leader among them.
// Each can be killed, stopped and started by itself.
type ConsulCluster struct {
	Servers []*Consul
	t       T
}

// NewConsulCluster starts n servers with the same options, and returns once each
// has a leader and takes writes. Call [NeedConsul] first in tests. With a lab's
// gateway for their address, containers reach them.
func NewConsulCluster(t T, n int, options ConsulOptions) *ConsulCluster {
	t.Helper()
	c := &ConsulCluster{t: t}
	for i := range n {
		server := newConsul(t, options)
		server.name = fmt.Sprintf("lab-%d", i+1)
		c.Servers = append(c.Servers, server)
	}
	for _, server := range c.Servers {
		server.cluster, server.ManagementToken = c.Servers, c.Servers[0].ManagementToken
		server.configure()
		server.Launch()
	}
	c.WaitReady()
	return c
}

// WaitReady waits until each server has a leader and takes writes.
func (c *ConsulCluster) WaitReady() {
	c.t.Helper()
	for _, server := range c.Servers {
		server.WaitReady()
	}
}

// Leader is the number of the server that leads, as it says itself and a majority
// says with it; it waits for one for at most 30 s.
func (c *ConsulCluster) Leader() int {
	c.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		said, itself := make([]int, len(c.Servers)), make([]bool, len(c.Servers))
		for n, server := range c.Servers {
			if server.cmd == nil {
				continue
			}
			leader := server.saysLeads()
			for i, other := range c.Servers {
				if strings.HasSuffix(leader, fmt.Sprintf(":%d", other.ports.server)) {
					said[i]++
					itself[i] = itself[i] || i == n
				}
			}
		}
		for i, n := range said {
			if n > len(c.Servers)/2 && itself[i] {
				return i
			}
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("lab: no majority of the Consul servers names a leader: %v", said)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// saysLeads is the address of the leader by what this server knows; "" where it
// knows none, or does not answer within a second.
func (c *Consul) saysLeads() string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	leader, err := c.Client("").Status().LeaderWithQueryOptions((&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return ""
	}
	return leader
}
