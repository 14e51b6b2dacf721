package probe_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

// echo is the smallest protocol there is: one byte there, one byte back. Its
// goodbyes are counted.
type echo struct {
	closed chan error
	then   func() // runs at the end of each conversation that went well
}

func (p echo) Open(ctx context.Context, t probe.Target) (probe.Held, probe.Result) {
	if t.Idle != 0 {
		return nil, probe.Result{Class: probe.Misconfigured, Err: "a conversation that ends at once asks for no idleness"}
	}
	c, err := probe.Dial(ctx, t)
	if err == nil {
		c.Enter(probe.PhasePing)
		if _, err = c.Write([]byte{'x'}); err == nil {
			_, err = c.Reader().ReadByte()
		}
	}
	r := c.Result(ctx, err)
	if err != nil {
		c.Close()
		return nil, r
	}
	if p.then != nil {
		p.then()
	}
	return echoHeld{c, p.closed}, r
}

type echoHeld struct {
	c      *probe.Conn
	closed chan error
}

func (h echoHeld) Ping(context.Context) probe.Result { return probe.Result{Class: probe.OK} }
func (h echoHeld) Wait(context.Context) probe.Result { return probe.Result{Class: probe.OK} }
func (h echoHeld) Close(ctx context.Context) {
	h.closed <- ctx.Err()
	h.c.Close()
}

func echoProtocol() (probe.Protocol, echo) {
	p := echo{closed: make(chan error, 8)}
	return probe.Protocol{Name: "echo", Prober: p, Schemes: []probe.Scheme{{Name: "echo", Port: "7"}, {Name: "echos", Port: "8", TLS: probe.TLSVerify}}}, p
}

func parse(t testing.TB, s string) probe.URL {
	t.Helper()
	u, err := probe.ParseURL(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestOnce(t *testing.T) {
	addr := serve(t, func(c net.Conn) { _, _ = io.Copy(c, c) })
	protocol, p := echoProtocol()
	ctx, cancel := context.WithCancel(t.Context())
	r := probe.Once(ctx, protocol, probe.Target{URL: parse(t, "echo://"+addr.String()), Timeout: time.Second, Idle: time.Minute})
	if r.Class != probe.OK || r.Kind != probe.Fresh || r.Addr != addr.String() || !slices.Equal(r.Addrs, []string{addr.String()}) ||
		r.Timings[probe.PhaseResolve] <= 0 || r.Ended.Before(r.Began) {
		t.Errorf("%+v", r)
	}
	if err := <-p.closed; err != nil {
		t.Errorf("the goodbye began under an ended context: %v", err)
	}
	// The caller gives up while the conversation goes on: the goodbye is said.
	p.then = cancel
	protocol.Prober = p
	probe.Once(ctx, protocol, probe.Target{URL: parse(t, "echo://"+addr.String()), Timeout: time.Second})
	if err := <-p.closed; err != nil || ctx.Err() == nil {
		t.Errorf("the goodbye began under an ended context: %v", err)
	}
	if r := probe.Once(ctx, protocol, probe.Target{URL: parse(t, "echo://"+addr.String()), Timeout: time.Second}); r.Class != probe.Local {
		t.Errorf("a probe that was stopped is %+v", r)
	}
}

// TestOpenObeysTimeout: a server that says nothing costs the timeout, not more.
func TestOpenObeysTimeout(t *testing.T) {
	addr := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	protocol, _ := echoProtocol()
	began := time.Now()
	r := probe.Once(t.Context(), protocol, probe.Target{URL: parse(t, "echo://"+addr.String()), Timeout: 50 * time.Millisecond})
	if took := time.Since(began); r.Class != probe.Timeout || r.Phase != probe.PhasePing || took > time.Second {
		t.Errorf("%v in %v after %v", r.Class, r.Phase, took)
	}
}

func TestResolve(t *testing.T) {
	for _, c := range []struct{ host, port, want string }{
		{"192.0.2.1", "3306", "[192.0.2.1:3306]"},
		{"::1", "25", "[[::1]:25]"},
		{"192.0.2.1", "smtp", "[192.0.2.1:25]"},
	} {
		got, err := probe.Resolve(t.Context(), c.host, c.port)
		if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("%s %s: %v (%v)", c.host, c.port, got, err)
		}
	}
	var f probe.Failure
	if _, err := probe.Resolve(t.Context(), "192.0.2.1", "nonsense"); !errors.As(err, &f) || f.Class != probe.Misconfigured || f.Phase != probe.PhaseResolve {
		t.Errorf("a port of no name: %v", err)
	}
}

func TestScheme(t *testing.T) {
	protocol, _ := echoProtocol()
	if s, ok := protocol.Scheme("echos"); !ok || s.Port != "8" || s.TLS != probe.TLSVerify {
		t.Errorf("%+v %v", s, ok)
	}
	if _, ok := protocol.Scheme("ftp"); ok {
		t.Error("ftp is served")
	}
}

func TestCredentials(t *testing.T) {
	u := parse(t, "echo://app:one@h")
	for _, c := range []struct {
		target probe.Target
		user   string
		first  string
		count  int
	}{
		{probe.Target{URL: u}, "app", "one", 1},
		{probe.Target{URL: u, Username: "probe"}, "probe", "one", 1},
		{probe.Target{URL: u, Passwords: []probe.Secret{"two", "three"}}, "app", "two", 2},
		{probe.Target{URL: parse(t, "echo://h")}, "", "", 1},
	} {
		user, passwords := c.target.Credentials()
		if user != c.user || len(passwords) != c.count || passwords[0].Reveal() != c.first {
			t.Errorf("%s %d %s; want %+v", user, len(passwords), passwords[0].Reveal(), c)
		}
	}
}

func TestTLSFiles(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, conf := range map[string]probe.TLSConfig{
		"missing CA":          {CAFile: filepath.Join(dir, "none")},
		"empty CA":            {CAFile: empty},
		"missing certificate": {CertFile: filepath.Join(dir, "none")},
		"empty certificate":   {CertFile: empty, KeyFile: empty},
	} {
		var f probe.Failure
		if _, err := conf.Client("h", probe.TLSVerify); !errors.As(err, &f) || f.Class != probe.TLS {
			t.Errorf("%s: %v", name, err)
		}
	}
	conf, err := probe.TLSConfig{ServerName: "other"}.Client("h", probe.TLSRequire)
	if err != nil || conf.ServerName != "other" || !conf.InsecureSkipVerify {
		t.Errorf("%+v %v", conf, err)
	}
	if conf, err = (probe.TLSConfig{}).Client("h", probe.TLSVerify); err != nil || conf.ServerName != "h" || conf.InsecureSkipVerify {
		t.Errorf("%+v %v", conf, err)
	}
}
