package consul_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/consul"
)

// fake serves answer in Consul's place until the test ends.
func fake(t *testing.T, answer http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server
}

var (
	writes = []failover.Op{{Verb: failover.Set, Key: "a", Value: []byte("secret-value")}}
	reads  = []failover.Op{{Verb: failover.Get, Key: "a"}}
)

// granted is the answer to reads and to writes.
const granted = `{"Results":[{"KV":{"Key":"a","Value":"dg==","Flags":0,"CreateIndex":5,"ModifyIndex":6}}],"Errors":null}`

// call tries ops once, but for at most half a second.
func call(t *testing.T, s *consul.Store, ops []failover.Op) (failover.Reply, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	return s.Txn(ctx, ops)
}

// TestStatus: what each answer of Consul, or of something in its place, means.
func TestStatus(t *testing.T) {
	tests := []struct {
		status int
		body   string
		want   error // nil: a reply
	}{
		{http.StatusOK, granted, nil},
		{http.StatusOK, `{"Results":[{"KV":{"Key":"a"`, failover.ErrUnknown},
		{http.StatusOK, `<html>`, failover.ErrUnknown},
		{http.StatusConflict, `{"Results":null,"Errors":[{"OpIndex":0,"What":"key \"Permission denied\" exists"}]}`, nil},
		{http.StatusConflict, `{"Results":null,"Errors":[{"OpIndex":0,"What":"index is stale"},{"OpIndex":1,"What":"Permission denied: token lacks permission"}]}`, failover.ErrDenied},
		{http.StatusConflict, `{}`, failover.ErrUnknown},
		{http.StatusForbidden, "ACL not found", failover.ErrDenied},
		{http.StatusUnauthorized, "", failover.ErrDenied},
		{http.StatusBadRequest, "Failed to parse body", failover.ErrInvalid},
		{http.StatusNotFound, "", failover.ErrInvalid},
		{http.StatusMethodNotAllowed, "", failover.ErrInvalid},
		{http.StatusRequestEntityTooLarge, "too many operations", failover.ErrInvalid},
		{http.StatusTemporaryRedirect, "", failover.ErrUnknown},
		{http.StatusTooManyRequests, "", failover.ErrUnknown},
		{http.StatusInternalServerError, "rpc error: No cluster leader", failover.ErrUnknown},
		{http.StatusInternalServerError, "Permission denied", failover.ErrUnknown},
		{http.StatusBadGateway, "", failover.ErrUnknown},
		{http.StatusServiceUnavailable, "", failover.ErrUnknown},
	}
	for _, tt := range tests {
		server := fake(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/v1/txn")
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.body)
		})
		s := store(t, consul.Config{Address: server.URL, Token: token("secret-token")})
		for _, ops := range [][]failover.Op{writes, reads} {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			reply, err := s.Txn(ctx, ops)
			cancel()
			if !errors.Is(err, tt.want) || tt.want == nil && reply.OK != (tt.status == http.StatusOK) {
				t.Errorf("%d %s: %+v, %v; want %v", tt.status, tt.body, reply, err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error holds a secret: %v", err)
			}
			if classes(err) > 1 {
				t.Errorf("%d %s: of two classes: %v", tt.status, tt.body, err)
			}
		}
	}
}

func classes(err error) int {
	n := 0
	for _, class := range []error{failover.ErrDenied, failover.ErrInvalid, failover.ErrUnknown} {
		if errors.Is(err, class) {
			n++
		}
	}
	return n
}

// TestLeftOut: a key that the answer leaves out may not be read. It is not absent.
func TestLeftOut(t *testing.T) {
	server := fake(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, granted)
	})
	s := store(t, consul.Config{Address: server.URL})
	if _, err := call(t, s, append(reads, failover.Op{Verb: failover.Get, Key: "b"})); !errors.Is(err, failover.ErrDenied) {
		t.Errorf("error is %v", err)
	}
}

// TestRepeats: reads are sent again until they are answered; writes never are.
func TestRepeats(t *testing.T) {
	breaks := map[string]http.HandlerFunc{
		"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"reset": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_ = conn.(*net.TCPConn).SetLinger(0)
				_ = conn.Close()
			}
		},
		"half": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, granted[:20])
		},
	}
	for name, fail := range breaks {
		t.Run(name, func(t *testing.T) {
			var sent atomic.Int64
			server := fake(t, func(w http.ResponseWriter, r *http.Request) {
				// The first request uses the connection up to here, so that a
				// transport that repeats by itself would do so for the second.
				if n := sent.Add(1); n == 2 || n == 3 {
					fail(w, r)
					return
				}
				w.Header().Set("X-Consul-Index", "6")
				if r.Method == http.MethodGet {
					_, _ = io.WriteString(w, `[]`)
					return
				}
				_, _ = io.WriteString(w, granted)
			})
			s := store(t, consul.Config{Address: server.URL})
			for _, tt := range []struct {
				what string
				call func() error
				sent int64
			}{
				{"write", func() error { _, err := call(t, s, writes); return err }, 2},
				{"read", func() error { _, err := call(t, s, reads); return err }, 4},
				{"watch", func() error { _, _, err := s.Watch(t.Context(), "a/", 0); return err }, 4},
			} {
				sent.Store(0)
				if _, err := call(t, s, writes); err != nil {
					t.Fatal(err)
				}
				err := tt.call()
				if failed := errors.Is(err, failover.ErrUnknown); failed != (tt.what == "write") {
					t.Errorf("%s: %v", tt.what, err)
				}
				if got := sent.Load(); got != tt.sent {
					t.Errorf("%s: %d requests, want %d", tt.what, got, tt.sent)
				}
			}
		})
	}
}

// TestDeadlines: nothing waits for a Consul that hangs, longer than it was told.
func TestDeadlines(t *testing.T) {
	hang := make(chan struct{})
	server := fake(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(hang) })
	s := store(t, consul.Config{Address: server.URL, Wait: time.Second})
	limits := map[string]struct {
		call  func(ctx context.Context) error
		limit time.Duration
	}{
		"write":         {func(ctx context.Context) error { _, err := s.Txn(ctx, writes); return err }, 5 * time.Second},
		"read":          {func(ctx context.Context) error { _, err := s.Txn(ctx, reads); return err }, 5 * time.Second},
		"watch from 0":  {func(ctx context.Context) error { _, _, err := s.Watch(ctx, "a/", 0); return err }, 5 * time.Second},
		"watch from 10": {func(ctx context.Context) error { _, _, err := s.Watch(ctx, "a/", 10); return err }, 4062500 * time.Microsecond},
	}
	for name, tt := range limits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			for _, tt := range []struct {
				ctx   context.Context
				limit time.Duration
			}{{ctx, 100 * time.Millisecond}, {context.Background(), tt.limit}} {
				started := time.Now()
				err := limits[name].call(tt.ctx)
				took := time.Since(started)
				if !errors.Is(err, failover.ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error is %v", err)
				}
				if took < tt.limit-10*time.Millisecond || took > tt.limit+2*time.Second {
					t.Errorf("took %v, want %v", took, tt.limit)
				}
			}
		})
	}
}

// TestRequests: what is sent says who asks, where, and how consistently; nothing
// of that comes from the environment.
func TestRequests(t *testing.T) {
	for name, value := range map[string]string{
		"CONSUL_HTTP_TOKEN": "from-environment", "CONSUL_NAMESPACE": "from-environment", "CONSUL_PARTITION": "from-environment",
		"CONSUL_HTTP_ADDR": "http://127.0.0.1:1", "CONSUL_HTTP_TOKEN_FILE": "/from/environment", "CONSUL_HTTP_AUTH": "from:environment",
		"CONSUL_HTTP_SSL": "true",
	} {
		t.Setenv(name, value)
	}
	var last *http.Request
	var body []byte
	server := fake(t, func(w http.ResponseWriter, r *http.Request) {
		last = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("X-Consul-Index", "6")
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, `[]`)
			return
		}
		_, _ = io.WriteString(w, granted)
	})
	secret := "one"
	plain := store(t, consul.Config{Address: server.URL + "/behind/"})
	full := store(t, consul.Config{
		Address: server.URL, Token: func() (string, error) { return secret + "\n", nil },
		Datacenter: "dc9", Namespace: "ns9", Partition: "p9", Wait: 2 * time.Second,
	})
	if _, err := call(t, plain, reads); err != nil {
		t.Fatal(err)
	}
	if last.URL.String() != "/behind/v1/txn?consistent=" || last.Header.Get("X-Consul-Token") != "" || last.Header.Get("Authorization") != "" {
		t.Errorf("%s %v", last.URL, last.Header)
	}
	if _, err := call(t, full, writes); err != nil {
		t.Fatal(err)
	}
	if query := last.URL.Query(); query.Get("dc") != "dc9" || query.Get("ns") != "ns9" || query.Get("partition") != "p9" || last.Header.Get("X-Consul-Token") != "one" {
		t.Errorf("%s %v", last.URL, last.Header)
	}
	var ops []struct{ KV api.KVTxnOp }
	if err := json.Unmarshal(body, &ops); err != nil || len(ops) != 1 || ops[0].KV.Namespace != "ns9" || ops[0].KV.Partition != "p9" {
		t.Errorf("%s: %v", body, err)
	}
	secret = "two"
	if _, _, err := full.Watch(t.Context(), "a/", 5); err != nil {
		t.Fatal(err)
	}
	if query := last.URL.Query(); last.URL.Path != "/v1/kv/a/" || !query.Has("recurse") || query.Get("index") != "5" || query.Get("wait") != "2000ms" || last.Header.Get("X-Consul-Token") != "two" {
		t.Errorf("%s %v", last.URL, last.Header)
	}
}

func TestTokenMissing(t *testing.T) {
	server := fake(t, func(http.ResponseWriter, *http.Request) { t.Error("a request without the token") })
	s := store(t, consul.Config{Address: server.URL, Token: func() (string, error) { return "", io.ErrUnexpectedEOF }})
	for _, ops := range [][]failover.Op{writes, reads} {
		if _, err := call(t, s, ops); !errors.Is(err, failover.ErrDenied) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("error is %v", err)
		}
	}
}

// TestWatchAnswers: an answer that leaves keys out, or names no index, is none.
func TestWatchAnswers(t *testing.T) {
	tests := []struct {
		header map[string]string
		status int
		want   error
	}{
		{map[string]string{"X-Consul-Index": "7"}, http.StatusOK, nil},
		{map[string]string{"X-Consul-Index": "7"}, http.StatusNotFound, nil},
		{map[string]string{"X-Consul-Index": "7", "X-Consul-LastContact": "0", "X-Consul-Results-Filtered-By-ACLs": "true"}, http.StatusNotFound, failover.ErrDenied},
		{nil, http.StatusNotFound, failover.ErrUnknown},
		{nil, http.StatusOK, failover.ErrUnknown},
		{nil, http.StatusForbidden, failover.ErrDenied},
		{nil, http.StatusBadRequest, failover.ErrInvalid},
	}
	for _, tt := range tests {
		server := fake(t, func(w http.ResponseWriter, _ *http.Request) {
			for name, value := range tt.header {
				w.Header().Set(name, value)
			}
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, `[]`)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		entries, next, err := store(t, consul.Config{Address: server.URL}).Watch(ctx, "a/", 3)
		cancel()
		if !errors.Is(err, tt.want) || len(entries) != 0 || tt.want == nil && next != 7 {
			t.Errorf("%d %v: %v, %d, %v; want %v", tt.status, tt.header, entries, next, err, tt.want)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	s := store(t, consul.Config{Address: "http://127.0.0.1:1"})
	for _, ops := range [][]failover.Op{writes, reads} {
		if _, err := call(t, s, ops); !errors.Is(err, failover.ErrUnknown) {
			t.Errorf("error is %v", err)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "consul.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, granted)
	}))
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	reply, err := call(t, store(t, consul.Config{Address: "unix://" + path}), reads)
	if err != nil || !reply.OK {
		t.Errorf("%+v, %v", reply, err)
	}
}

func TestConfigRefused(t *testing.T) {
	for _, config := range []consul.Config{
		{Address: "127.0.0.1:8500"},
		{Address: "consul:8500"},
		{Address: "tcp://127.0.0.1:8500"},
		{Address: "http://"},
		{Address: "http://:8500"},
		{Address: "unix://"},
		{Address: "http://user:secret@127.0.0.1:8500"},
		{Address: "http://127.0.0.1:8500?token=secret"},
		{Address: "http://127.0.0.1:85 00/secret"},
		{Wait: time.Millisecond},
		{Wait: time.Hour},
		{Address: "https://127.0.0.1", TLS: consul.TLS{CAFile: "/missing"}},
		{Address: "https://127.0.0.1", TLS: consul.TLS{CAFile: "fake_test.go"}},
		{Address: "https://127.0.0.1", TLS: consul.TLS{CertFile: "cert.pem"}},
		{Address: "https://127.0.0.1", TLS: consul.TLS{CertFile: "/missing", KeyFile: "/missing"}},
	} {
		if _, err := consul.New(config); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", config, err)
		}
	}
	if _, err := consul.New(consul.Config{}); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}
