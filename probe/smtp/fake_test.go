package smtp

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

// fake is one connection to a server that keeps to a script, and writes down
// what it hears.
type fake struct {
	t     *testing.T
	c     net.Conn
	in    *bufio.Reader
	cert  *tls.Config
	heard *transcript
}

// transcript is what clients said, line by line.
type transcript struct {
	mu    sync.Mutex
	lines []string
}

func (h *transcript) add(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, line)
}

func (h *transcript) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.lines, "|")
}

// serve runs script for each connection until the test ends, and returns the
// target to probe and what it said.
func serve(t *testing.T, scheme string, script func(*fake)) (probe.Target, *transcript) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	heard, cert := &transcript{}, certificate(t)
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer func() { _ = c.Close() }()
				stop := context.AfterFunc(ctx, func() { _ = c.Close() })
				defer stop()
				f := &fake{t: t, c: c, in: bufio.NewReader(c), cert: cert, heard: heard}
				if scheme == "smtps" {
					f.encrypt()
				}
				script(f)
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		group.Wait()
	})
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	u, err := probe.ParseURL(scheme + "://" + addr.String())
	if err != nil {
		t.Fatal(err)
	}
	tg := probe.Target{URL: u, Addr: netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), Timeout: 5 * time.Second}
	if scheme != "smtp" {
		tg.TLS.Mode = probe.TLSRequire
	}
	return tg, heard
}

// certificate is one that nobody signed but itself.
func certificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}

func (f *fake) encrypt() {
	f.c = tls.Server(f.c, f.cert)
	f.in = bufio.NewReader(f.c)
}

// say sends lines, each with its end.
func (f *fake) say(lines ...string) {
	_, _ = io.WriteString(f.c, strings.Join(lines, "\r\n")+"\r\n")
}

// hear reads a line, and returns its first word; "" when the client has gone.
func (f *fake) hear() string {
	line, err := f.in.ReadString('\n')
	line = strings.TrimRight(line, "\r\n")
	if line != "" {
		f.heard.add(line)
	}
	if err != nil {
		return ""
	}
	word, _, _ := strings.Cut(line, " ")
	return word
}

// hang waits until the client goes, and hears what it says.
func (f *fake) hang() {
	for f.hear() != "" {
		continue
	}
}

// answers is a server that greets and then says, to each first word, what is
// due; to all else it says 250.
type answers map[string][]string

func (a answers) run(f *fake) {
	greeting := a["greeting"]
	if greeting == nil {
		greeting = []string{"220 mail.test ESMTP Fake"}
	}
	f.say(greeting...)
	for {
		word := f.hear()
		if word == "" {
			return
		}
		lines := a[word]
		switch {
		case word == "EHLO" && f.encrypted() && a["EHLO/TLS"] != nil:
			lines = a["EHLO/TLS"]
		case word == "QUIT":
			lines = []string{"221 bye"}
		case lines == nil:
			lines = []string{"250 ok"}
		}
		f.say(lines...)
		switch {
		case word == "QUIT":
			return
		case strings.HasPrefix(lines[0], "421"):
			f.hang()
			return
		case word == "STARTTLS" && strings.HasPrefix(lines[0], "220"):
			f.encrypt()
		}
	}
}

func (f *fake) encrypted() bool {
	_, ok := f.c.(*tls.Conn)
	return ok
}

func lines(text ...string) []string { return text }
