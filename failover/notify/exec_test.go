package notify

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
)

// script writes a shell script and returns its path.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func failoverMessage() Message {
	n := notices()[1]
	return Message{Matter: n.Matter(), Notices: []failover.Notice{n}, Runbook: "https://example.test/runbook.md"}
}

func runExec(t *testing.T, ctx context.Context, m Message, command ...string) error {
	t.Helper()
	e, err := NewExec(command)
	if err != nil {
		t.Fatal(err)
	}
	return e.Send(ctx, m)
}

// TestExec: a program gets the message on its input and in its environment.
func TestExec(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("NOTIFY_SOCKET", "/run/x")
	for _, v := range os.Environ() { // what the tests are run with is not the notice's
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "REATTACH_") {
			t.Setenv(name, "")
			_ = os.Unsetenv(name)
		}
	}
	hook := script(t, `cd "$1"; cat > input; env | grep -E '^(REATTACH_|NOTIFY|WATCHDOG)' | sort > env; printf '%s' "$2" > argument`)
	if err := runExec(t, t.Context(), failoverMessage(), hook, dir, "$HOME; two words"); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	diff(t, "argument", "$HOME; two words", read("argument"))
	golden(t, "exec/environment.golden", read("env"))
	var pretty strings.Builder
	enc := json.NewEncoder(&pretty)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	var doc Document
	if err := errors.Join(json.Unmarshal([]byte(read("input")), &doc), enc.Encode(json.RawMessage(read("input")))); err != nil {
		t.Fatal(err)
	}
	golden(t, "exec/document.golden", pretty.String())
}

func TestExecFails(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"status":      {"echo first; echo 'no such channel' >&2; exit 3", "exit status 3: no such channel"},
		"silent":      {"exit 1", "exit status 1"},
		"not found":   {"no_such_program_here", "exit status 127: "},
		"signal":      {"kill -TERM $$", "signal: terminated"},
		"long output": {"head -c 100000 /dev/zero | tr '\\0' 'x'; exit 1", "x…"},
		"bad bytes":   {"printf 'a\\377\\033[31mb'; exit 1", "a [31mb"},
	} {
		t.Run(name, func(t *testing.T) {
			err := runExec(t, t.Context(), failoverMessage(), script(t, tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 1000 || IsPermanent(err) {
				t.Errorf("%v, permanent %v", err, IsPermanent(err))
			}
		})
	}
	err := runExec(t, t.Context(), failoverMessage(), "/no/such/program")
	if err == nil || !strings.Contains(err.Error(), "/no/such/program is not there") || IsPermanent(err) {
		t.Error(err)
	}
	if _, err := NewExec(nil); err == nil {
		t.Error("no command was taken")
	}
}

// TestExecTimeout: when the time is over, the program ends, and what it started.
func TestExecTimeout(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	hook := script(t, `sleep 100 & echo $! > "$1.new"; echo $$ >> "$1.new"; mv "$1.new" "$1"; wait`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	done := make(chan error, 1)
	go func() { done <- runExec(t, ctx, failoverMessage(), hook, pids) }()
	for {
		if _, err := os.Stat(pids); err == nil {
			break
		}
		<-tick.C
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || IsPermanent(err) {
		t.Error(err)
	}
	text, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range strings.Fields(string(text)) {
		for alive(t, pid) { // until whoever adopted it has buried it
			<-tick.C
		}
	}
}

// alive reports whether a process runs. A dead one that nobody buried does not.
func alive(t *testing.T, pid string) bool {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	return !strings.Contains(string(stat), ") Z ")
}

// TestExecLeaves: a child that lives on delays nothing for longer than a moment.
func TestExecLeaves(t *testing.T) {
	start := time.Now()
	if err := runExec(t, t.Context(), failoverMessage(), script(t, "sleep 5 & exit 0")); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
}
