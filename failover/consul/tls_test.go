package consul_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/consul"
)

// certify writes a certificate for name, that is its own authority, and its key.
func certify(t *testing.T, name string) (certFile, keyFile string, pair tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := errors.Join(os.WriteFile(certFile, certPEM, 0o600), os.WriteFile(keyFile, keyPEM, 0o600)); err != nil {
		t.Fatal(err)
	}
	if pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile, pair
}

func TestTLS(t *testing.T) {
	serverCert, _, serverPair := certify(t, "consul.example")
	clientCert, clientKey, clientPair := certify(t, "reattach")
	otherCert, otherKey, _ := certify(t, "consul.example")
	clients := x509.NewCertPool()
	clients.AddCert(clientPair.Leaf)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, granted)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{serverPair}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	tests := []struct {
		name string
		tls  consul.TLS
		ok   bool
	}{
		{"as it should be", consul.TLS{CAFile: serverCert, CertFile: clientCert, KeyFile: clientKey, ServerName: "consul.example"}, true},
		{"the machine's authorities", consul.TLS{CertFile: clientCert, KeyFile: clientKey, ServerName: "consul.example"}, false},
		{"another authority", consul.TLS{CAFile: otherCert, CertFile: clientCert, KeyFile: clientKey, ServerName: "consul.example"}, false},
		{"another name", consul.TLS{CAFile: serverCert, CertFile: clientCert, KeyFile: clientKey}, false},
		{"no client certificate", consul.TLS{CAFile: serverCert, ServerName: "consul.example"}, false},
		{"another client certificate", consul.TLS{CAFile: serverCert, CertFile: otherCert, KeyFile: otherKey, ServerName: "consul.example"}, false},
	}
	for _, tt := range tests {
		reply, err := call(t, store(t, consul.Config{Address: server.URL, TLS: tt.tls}), writes)
		if tt.ok && (err != nil || !reply.OK) || !tt.ok && !errors.Is(err, failover.ErrUnknown) {
			t.Errorf("%s: %+v, %v", tt.name, reply, err)
		}
	}
}
