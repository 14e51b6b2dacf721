package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestGroupEndsTogether(t *testing.T) {
	defer goleak.VerifyNone(t)
	lost := errors.New("lost")
	ended := make([]bool, 3)
	wait := func(i int) func(context.Context) error {
		return func(ctx context.Context) error {
			<-ctx.Done()
			ended[i] = true
			return nil
		}
	}
	err := runAll(context.Background(), []part{{"a", wait(0)}, {"b", func(context.Context) error { return lost }}, {"c", wait(2)}})
	if !errors.Is(err, lost) || !strings.HasPrefix(err.Error(), "b: ") {
		t.Errorf("%v, want b's error by name", err)
	}
	if !ended[0] || !ended[2] {
		t.Error("runAll returned before the last part had ended")
	}
}

func TestGroupEndsWithoutError(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithCancel(context.Background())
	err := runAll(ctx, []part{{"a", func(ctx context.Context) error { <-ctx.Done(); return nil }}, {"b", func(context.Context) error { cancel(); return nil }}})
	if err != nil {
		t.Error(err)
	}
}

// The daemon leaves no goroutine, no socket and no lock behind: it can be
// started again at once, in the same process.
func TestRunLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	conf := filepath.Join(dir, "r.hcl")
	text := `
observer { state_dir = "` + dir + `/state" }
store "embedded" { path = "` + dir + `/store.db" }
listen {
  http   = "127.0.0.1:` + freePort(t) + `"
  socket = "` + dir + `/c.sock"
}
resource "cache" {
  handle = "production/CACHE_URL"
  endpoint "one" { url = "memcached://127.0.0.1:` + freePort(t) + `" }
  endpoint "two" { url = "memcached://127.0.0.1:` + freePort(t) + `" }
}
`
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		ctx, cancel := context.WithCancel(context.Background())
		p := &process{out: io.Discard, err: io.Discard, env: func(string) (string, bool) { return "", false }}
		ended := make(chan error, 1)
		d := &door{process: p, socket: filepath.Join(dir, "c.sock")}
		go func() { ended <- run(ctx, p, []string{conf}, slog.New(slog.DiscardHandler)) }()
		for {
			resources, _ := d.names(ctx, nil)
			if len(resources) == 1 {
				break
			}
			select {
			case err := <-ended:
				t.Fatalf("it ended by itself: %v", err)
			default:
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(filepath.Join(dir, "c.sock")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	}
}
