package consul_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"

	"github.com/reattach/reattach/failover/consul"
)

// TestTLSRenewed: who is trusted, and what we show, is what the files hold when a
// connection is made, and not when the store was opened.
func TestTLSRenewed(t *testing.T) {
	serverCert, _, serverPair := certify(t, "consul.example")
	nextCert, _, nextPair := certify(t, "consul.example")
	clientCert, clientKey, _ := certify(t, "reattach")
	nextClientCert, nextClientKey, nextClient := certify(t, "reattach")
	clients := x509.NewCertPool()
	clients.AddCert(nextClient.Leaf) // the one that is not in the files yet

	var shown atomic.Pointer[tls.Config]
	serve := func(pair tls.Certificate, demand tls.ClientAuthType) {
		shown.Store(&tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: clients, ClientAuth: demand})
	}
	serve(serverPair, tls.NoClientCert)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, granted)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{serverPair},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return shown.Load(), nil }}
	server.Config.SetKeepAlivesEnabled(false) // each call is a connection of its own
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	s := store(t, consul.Config{Address: server.URL, TLS: consul.TLS{CAFile: serverCert, CertFile: clientCert, KeyFile: clientKey, ServerName: "consul.example"}})
	asked := func(want bool, when string) {
		t.Helper()
		if reply, err := call(t, s, writes); (err == nil && reply.OK) != want {
			t.Errorf("%s: %+v, %v", when, reply, err)
		}
	}
	replace := func(path, by string) {
		t.Helper()
		if err := os.Rename(by, path); err != nil {
			t.Fatal(err)
		}
	}
	asked(true, "as it began")
	serve(nextPair, tls.NoClientCert)
	asked(false, "the server's certificate is of an authority that the file does not hold yet")
	replace(serverCert, nextCert)
	asked(true, "and now it does")
	serve(nextPair, tls.RequireAndVerifyClientCert)
	asked(false, "the server wants a certificate that the file does not hold yet")
	replace(clientCert, nextClientCert)
	replace(clientKey, nextClientKey)
	asked(true, "and now it does")
	serve(serverPair, tls.NoClientCert)
	asked(false, "the former authority is not trusted any more")
}
