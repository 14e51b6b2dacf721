package consul_test

import (
	"testing"

	"github.com/reattach/reattach/failover/consul"
	"github.com/reattach/reattach/failover/storetest"
	"github.com/reattach/reattach/test/lab"
)

// BenchmarkSwitch is a ballot's opening and its commit on one Consul server on
// this machine.
func BenchmarkSwitch(b *testing.B) {
	lab.NeedConsul(b)
	server := lab.NewConsul(b, lab.ConsulOptions{})
	storetest.BenchmarkSwitch(b, store(b, consul.Config{Address: server.URL()}))
}

// BenchmarkSweep reads 120 keys at one moment, as each second does.
func BenchmarkSweep(b *testing.B) {
	lab.NeedConsul(b)
	server := lab.NewConsul(b, lab.ConsulOptions{})
	storetest.BenchmarkSweep(b, store(b, consul.Config{Address: server.URL()}))
}
