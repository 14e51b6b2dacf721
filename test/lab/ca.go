package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authority is a lab's own certificate authority.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "reattach lab"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key, pem: pemBlock("CERTIFICATE", der)}, nil
}

// issue makes a server's certificate and key in PEM, for its names and addresses.
func (a *authority) issue(notAfter time.Time, hosts ...string) (cert, key []byte, err error) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: hosts[0]},
		NotBefore: time.Now().AddDate(0, 0, -30), NotAfter: notAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, own.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		return nil, nil, err
	}
	return pemBlock("CERTIFICATE", der), pemBlock("PRIVATE KEY", pkcs8), nil
}

// CAFile writes the certificate of the lab's authority to a file, for a probe's
// ca_file, and returns its path.
func (l *Lab) CAFile() string {
	l.t.Helper()
	dir := tempDir(l.t)
	path := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(path, l.ca.pem, 0o600); err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	return path
}

// CAPool is the lab's authority, for Go's TLS clients.
func (l *Lab) CAPool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(l.ca.cert)
	return pool
}

// Certificate makes a certificate and key in PEM, signed by the lab's authority,
// for servers that a test runs itself.
func (l *Lab) Certificate(notAfter time.Time, hosts ...string) (cert, key []byte) {
	l.t.Helper()
	cert, key, err := l.ca.issue(notAfter, hosts...)
	if err != nil {
		l.t.Fatalf("lab: certificate: %v", err)
	}
	return cert, key
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// tempDir is a folder that goes when t ends.
func tempDir(t T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "reattach-lab-")
	if err != nil {
		t.Fatalf("lab: %v", fmt.Errorf("temporary folder: %w", err))
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
