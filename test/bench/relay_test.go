package bench

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// relay passes connections on to Consul, one for one, and counts how many are open
// and how many answers are a 429. Its clients see to it that a read is asked again,
// and would not show it.
type relay struct {
	net.Listener
	to      string
	open    atomic.Int64
	most    atomic.Int64
	refused atomic.Int64
}

func newRelay(tb testing.TB, to string) *relay {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	r := &relay{Listener: ln, to: to}
	var group sync.WaitGroup
	tb.Cleanup(func() { _ = ln.Close(); group.Wait() })
	group.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			group.Go(func() { r.pass(conn) })
		}
	})
	return r
}

// pass passes one connection on, until either side ends it.
func (r *relay) pass(client net.Conn) {
	if n := r.open.Add(1); n > r.most.Load() {
		r.most.Store(n) // one too few is no matter
	}
	defer r.open.Add(-1)
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	var group sync.WaitGroup
	group.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
	_, _ = io.Copy(io.MultiWriter(client, r), server)
	_ = client.Close()
	group.Wait()
}

// Write looks at what Consul answers: an answer begins with its status.
func (r *relay) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("HTTP/1.1 429")) {
		r.refused.Add(1)
	}
	return len(p), nil
}
