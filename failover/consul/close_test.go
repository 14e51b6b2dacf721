package consul_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/reattach/reattach/failover/consul"
)

// TestClose: connections that are not in use are closed, and not kept for the
// minute and a half after which nobody would want them any more.
func TestClose(t *testing.T) {
	closed := make(chan struct{}, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, granted) }))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	s, err := consul.New(consul.Config{Address: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := call(t, s, reads); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("its connection is still open")
		server.CloseClientConnections()
	}
}
