package embedded_test

import (
	"testing"

	"github.com/reattach/reattach/failover/storetest"
)

// BenchmarkSwitch is a ballot's opening and its commit, each on the disk.
func BenchmarkSwitch(b *testing.B) {
	storetest.BenchmarkSwitch(b, open(b))
}

// BenchmarkSweep reads 120 keys at one moment, as each second does.
func BenchmarkSweep(b *testing.B) {
	storetest.BenchmarkSweep(b, open(b))
}
