package consul

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// A peer that is gone without a word is noticed after 5 + 3 × 2 s, which is what
// a watch would otherwise wait out.
var dialer = net.Dialer{
	Timeout: 3 * time.Second,
	KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3,
	},
}

// dial reads the address, and returns what consul/api shall call it and how it
// is reached.
func dial(config Config) (*url.URL, *http.Transport, error) {
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: 3 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		MaxIdleConnsPerHost: 8,
	}
	if config.Address == "" {
		return &url.URL{Scheme: "http", Host: "127.0.0.1:8500"}, transport, nil
	}
	if path, ok := strings.CutPrefix(config.Address, "unix://"); ok {
		if path == "" {
			return nil, nil, errors.New("address unix:// names no socket")
		}
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		}
		return &url.URL{Scheme: "http", Host: "localhost"}, transport, nil
	}
	base, err := parse(config.Address)
	if err != nil {
		return nil, nil, err
	}
	if base.Scheme == "https" {
		if transport.TLSClientConfig, err = config.TLS.load(base.Hostname()); err != nil {
			return nil, nil, err
		}
	}
	return base, transport, nil
}

// parse does not repeat the address in its errors: a mistaken one may hold a secret.
func parse(address string) (*url.URL, error) {
	base, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, errors.New("the address is not a URL")
	case base.Scheme != "http" && base.Scheme != "https":
		return nil, errors.New("the address begins with none of http://, https:// and unix://")
	case base.User != nil:
		return nil, errors.New("the address has a user; a token is set apart")
	case base.Hostname() == "":
		return nil, errors.New("the address has no host")
	case base.RawQuery != "" || base.Fragment != "":
		return nil, errors.New("the address has a query or fragment")
	}
	base.Path = strings.TrimSuffix(base.Path, "/")
	return base, nil
}

// load checks the files, and returns a configuration that reads them again for
// each connection with host.
func (t TLS) load(host string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		if _, err := authorities(t.CAFile); err != nil {
			return nil, err
		}
		config.InsecureSkipVerify = true // verifier does it, by the authorities of that moment
		config.VerifyConnection = verifier(t.CAFile, cmp.Or(t.ServerName, host))
	}
	if t.CertFile == "" && t.KeyFile == "" {
		return config, nil
	}
	if t.CertFile == "" || t.KeyFile == "" {
		return nil, errors.New("of cert_file and key_file only one is set")
	}
	if _, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile); err != nil {
		return nil, err
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		return &pair, err
	}
	return config, nil
}

// authorities reads those whom the file says to trust.
func authorities(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return pool, nil
}

// verifier checks what crypto/tls checks of a server's certificate (chain,
// validity and name), but by the authorities that the file holds then.
func verifier(caFile, name string) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		pool, err := authorities(caFile)
		if err != nil {
			return err
		}
		chain := state.PeerCertificates
		options := x509.VerifyOptions{Roots: pool, DNSName: name, Intermediates: x509.NewCertPool()}
		for _, cert := range chain[1:] {
			options.Intermediates.AddCert(cert)
		}
		if _, err := chain[0].Verify(options); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
		}
		return nil
	}
}
