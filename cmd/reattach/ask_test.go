package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/reattach/reattach/failover/httpapi"
)

// answering serves h on a unix socket until the test ends, and returns a
// process whose output is collected, and a door to it.
func answering(t *testing.T, h http.HandlerFunc) (*door, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "c.sock")
	ln, err := httpapi.ListenSocket(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- httpapi.Serve(ctx, ln, h, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	var out, errs bytes.Buffer
	env := func(name string) (string, bool) { return socket, name == "REATTACH_SOCKET" }
	return &door{process: &process{out: &out, err: &errs, env: env}, socket: socket}, &out, &errs
}

func TestWatchOutlivesTheDaemon(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var asked atomic.Int32
	d, out, _ := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		switch asked.Add(1) {
		case 1:
			_ = json.NewEncoder(w).Encode(status())
		case 2: // the daemon goes, and comes back
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			_ = json.NewEncoder(w).Encode(status())
			cancel()
		}
	})
	if err := d.watchStatus(ctx, ""); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "of 3 resources protected"); n < 1 || !strings.Contains(out.String(), "503") {
		t.Errorf("%d views and no word of the daemon's absence:\n%s", n, out)
	}
}

func TestExitCodesOfAnswers(t *testing.T) {
	for _, c := range []struct {
		name, body string
		status     int
		code       int
		out, err   string
	}{
		{"done", `{"done":true,"text":"Paused."}`, 200, 0, "Paused.", ""},
		{"no", `{"done":false,"text":"Held.","hint":"try ack","decision":{"kind":"failover","gates":[{"gate":"pace","open":false,"why":"too many"},{"gate":"ours","open":true,"why":"fine"}]}}`, 409, 1, "", "not done: Held.\n  ✗  pace  too many\n  try ack"},
		{"invalid", `{"done":false,"invalid":true,"text":"No such resource."}`, 422, 2, "", "No such resource."},
		{"unsure", `{"done":false,"unsure":true,"text":"Nobody knows."}`, 504, 3, "", "Nobody knows."},
		{"ending", `{"error":"the daemon has stopped"}`, 503, 3, "", "the daemon has stopped"},
		{"garbage", `<html>`, 200, 3, "", "the daemon answered 200"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, out, errs := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			})
			code := execute(context.Background(), d.process, []string{"pause", "mail", "--reason", "x"})
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.err) {
				t.Errorf("printed %q and %q, want %q and %q", out, errs, c.out, c.err)
			}
		})
	}
}

func TestExitCodesOfQuestions(t *testing.T) {
	for _, c := range []struct {
		body   string
		status int
		code   int
	}{
		{`{"error":"no such resource: \"mail\"","hint":"h"}`, 404, exitWrong},
		{`{"error":"no answer in time"}`, 504, exitUnreachable},
		{`[]`, 200, exitNo}, // of another version
	} {
		d, _, errs := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		})
		for _, args := range [][]string{{"status", "mail"}, {"explain", "mail"}} {
			if code := execute(context.Background(), d.process, args); code != c.code {
				t.Errorf("%v, answered %s: exit code %d, want %d: %s", args, c.body, code, c.code, errs)
			}
		}
	}
}

func TestInterruptedIsNotUnreachable(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		want string
	}{
		{fmt.Errorf("%w: %w", httpapi.ErrUnreachable, context.Canceled), exitNo, "interrupted"},
		{fmt.Errorf("%w: %w", httpapi.ErrUnreachable, context.DeadlineExceeded), exitUnreachable, "in time"},
		{fmt.Errorf("%w: %w", httpapi.ErrUnreachable, os.ErrPermission), exitUnreachable, "no permission"},
		{fmt.Errorf("%w: %w", httpapi.ErrUnreachable, os.ErrNotExist), exitUnreachable, "no daemon answers"},
	} {
		e := exitOf(asked(c.err, "/c.sock"))
		if e.code != c.code || !strings.Contains(e.Error(), c.want) || e.hint == "" {
			t.Errorf("%v: exit code %d, %q, %q", c.err, e.code, e, e.hint)
		}
	}
}
