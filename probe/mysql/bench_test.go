package mysql_test

import (
	"net"
	"testing"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/test/lab"
)

// BenchmarkConversations compares what a probe costs with a bare TCP dial to
// the same server, which here waits for the greeting, or the server would fall
// behind. It leaves a trace, other than the probe.
func BenchmarkConversations(b *testing.B) {
	lab.Need(b)
	l := lab.New(b)
	server := l.MariaDB(lab.Args("--max-connect-errors=4294967295"))
	tg := target(b, server.URL("app"))
	b.Run("dial", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			conn, err := net.Dial("tcp", server.Addr())
			if err != nil {
				b.Fatal(err)
			}
			if _, err := conn.Read(make([]byte, 4)); err != nil {
				b.Fatal(err)
			}
			_ = conn.Close()
		}
	})
	for _, mode := range []probe.TLSMode{probe.TLSOff, probe.TLSPrefer} {
		for _, depth := range []probe.Phase{probe.PhasePing, probe.PhaseRole} {
			b.Run("fresh to "+depth.String()+", TLS "+mode.String(), func(b *testing.B) {
				tg.TLS.Mode, tg.Depth = mode, depth
				b.ReportAllocs()
				for b.Loop() {
					if r := once(b, tg); r.Class != probe.OK {
						b.Fatalf("%+v", r)
					}
				}
			})
		}
		b.Run("held ping, TLS "+mode.String(), func(b *testing.B) {
			tg.TLS.Mode = mode
			held, ctx := hold(b, tg), b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if r := held.Ping(ctx); r.Class != probe.OK {
					b.Fatalf("%+v", r)
				}
			}
		})
	}
}
