package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/httpapi"
	"github.com/reattach/reattach/probe"
)

func TestClientReadsWhatTheDaemonSays(t *testing.T) {
	client, ctx := httpapi.NewClient(serve(t, door(&fake{}))), context.Background()
	raw, err := client.Status(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := httpapi.ParseStatus(raw)
	if err != nil {
		t.Fatal(err)
	}
	want := status()
	for i := range want.Resources {
		for j := range want.Resources[i].Endpoints {
			if e := &want.Resources[i].Endpoints[j]; e.URL.HasPass {
				e.URL.Password = probe.Mask
			}
		}
	}
	want.Resources[0].Endpoints[1].Facts["uptime"] = 180000.0 // JSON has no integers
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-sent +received:\n%s", diff)
	}
	raw, err = client.Explain(ctx, "mail")
	if err != nil {
		t.Fatal(err)
	}
	x, err := httpapi.ParseExplanation(raw)
	if err != nil || x.Status.Name != "mail" || len(x.Status.Endpoints) != 2 || len(x.IfDown.Gates) != 1 {
		t.Errorf("%v: %+v", err, x)
	}
	raw, err = client.History(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	if h, err := httpapi.ParseHistory(raw); err != nil || len(h) != 1 || h[0].Epoch != 7 {
		t.Errorf("%v: %+v", err, h)
	}
}

func TestClientIsRefused(t *testing.T) {
	client := httpapi.NewClient(serve(t, door(&fake{})))
	_, err := client.Explain(context.Background(), "na/il")
	var refusal *httpapi.Refusal
	if !errors.As(err, &refusal) || refusal.Code != 404 || !strings.Contains(refusal.Text, "na/il") || refusal.Hint == "" {
		t.Errorf("%v", err)
	}
}

func TestClientCommands(t *testing.T) {
	for _, want := range []failover.Answer{
		{Done: true, Text: "switched"}, {Text: "held by damping", Hint: "reattach ack"}, {Invalid: true, Text: "no such endpoint"}, {Unsure: true, Text: "nobody knows"},
	} {
		f := &fake{answer: want}
		client := httpapi.NewClient(serve(t, door(f)))
		command := failover.Command{Verb: "switchover", Resource: "mail", Endpoint: "relay-b", Force: []string{"pace"}, By: "ana@ops", Reason: "disk"}
		got, err := client.Do(context.Background(), command)
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("%v: %+v, want %+v", err, got, want)
		}
		if !cmp.Equal(f.command, command) {
			t.Errorf("the daemon was told %+v", f.command)
		}
	}
	client := httpapi.NewClient(serve(t, door(&fake{err: errors.New("ending")})))
	var refusal *httpapi.Refusal
	if _, err := client.Do(context.Background(), failover.Command{Verb: "ack"}); !errors.As(err, &refusal) || refusal.Text != "ending" {
		t.Errorf("%v", err)
	}
}

func TestUnreachable(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale.sock")
	leaveStale(t, stale)
	for _, path := range []string{filepath.Join(dir, "none.sock"), stale} {
		if _, err := httpapi.NewClient(path).Status(context.Background(), ""); !errors.Is(err, httpapi.ErrUnreachable) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// leaveStale leaves a socket as a killed daemon does.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	_ = ln.Close()
}

func TestSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "control.sock")
	ln, err := httpapi.ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v: mode %v, want a socket with 0600", err, info.Mode())
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("beside the socket there is %v", left)
	}
	if _, err := httpapi.ListenSocket(path); !errors.Is(err, httpapi.ErrAlive) {
		t.Errorf("a second daemon: %v, want ErrAlive", err)
	}
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
}

func TestSocketReplacesAStaleOneOnly(t *testing.T) {
	dir := t.TempDir()
	stale, file := filepath.Join(dir, "stale.sock"), filepath.Join(dir, "file")
	leaveStale(t, stale)
	first, err := httpapi.ListenSocket(stale)
	if err != nil {
		t.Fatalf("stale: %v", err)
	}
	// Whoever comes later and takes the place keeps it.
	if err := os.Remove(stale); err != nil {
		t.Fatal(err)
	}
	second, err := httpapi.ListenSocket(stale)
	if err != nil {
		t.Fatal(err)
	}
	_ = first.Close()
	if _, err := os.Lstat(stale); err != nil {
		t.Errorf("the end of the first daemon took the second one's socket: %v", err)
	}
	_ = second.Close()
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := httpapi.ListenSocket(file); err == nil {
		t.Error("a file was taken for a socket")
	}
	if b, _ := os.ReadFile(file); string(b) != "precious" {
		t.Errorf("the file holds %q", b)
	}
	if _, err := httpapi.ListenSocket(filepath.Join(dir, strings.Repeat("x", 120))); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a path that is too long: %v", err)
	}
}

// An answer under way, even one that would block for minutes, does not keep the
// daemon from ending.
func TestServeEndsBlockingQueries(t *testing.T) {
	api, asked := door(&fake{}), make(chan struct{})
	api.KV = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		_ = json.NewEncoder(w).Encode("ended")
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- httpapi.Serve(ctx, ln, api.Handler(), slog.New(slog.DiscardHandler)) }()
	answered := make(chan error, 1)
	go func() {
		defer http.DefaultClient.CloseIdleConnections()
		resp, err := http.Get("http://" + ln.Addr().String() + "/v1/kv/x?index=1")
		if err == nil {
			err = resp.Body.Close()
		}
		answered <- err
	}()
	<-asked
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("the query was cut off: %v", err)
	}
}

func TestServeFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	if err := httpapi.Serve(context.Background(), ln, door(&fake{}).Handler(), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("serving on a closed listener ended well")
	}
}
