package memcached_test

import (
	"net"
	"testing"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/test/lab"
)

// BenchmarkConversations compares what a probe costs with a bare TCP dial to
// the same server.
func BenchmarkConversations(b *testing.B) {
	lab.Need(b)
	l := lab.New(b)
	server := l.Memcached()
	tg := target(b, server.URL(""))
	b.Run("dial", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			conn, err := net.Dial("tcp", server.Addr())
			if err != nil {
				b.Fatal(err)
			}
			_ = conn.Close()
		}
	})
	for _, depth := range []probe.Phase{probe.PhasePing, probe.PhaseRole} {
		b.Run("fresh to "+depth.String(), func(b *testing.B) {
			tg.Depth = depth
			b.ReportAllocs()
			for b.Loop() {
				if r := once(b, tg); r.Class != probe.OK {
					b.Fatalf("%+v", r)
				}
			}
		})
	}
	b.Run("held ping", func(b *testing.B) {
		held, ctx := hold(b, tg), b.Context()
		b.ReportAllocs()
		for b.Loop() {
			if r := held.Ping(ctx); r.Class != probe.OK {
				b.Fatalf("%+v", r)
			}
		}
	})
}
