package hook_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reattach/reattach/failover/hook"
)

// TestMain is also the process that is killed in the middle of a command.
func TestMain(m *testing.M) {
	if pidFile := os.Getenv("HOOK_TEST_CHILD"); pidFile != "" {
		hook.Run(context.Background(), sh("echo $$ > "+pidFile+"; exec sleep 600"), time.Now().Add(time.Minute))
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func sh(script string) hook.Command { return hook.Command{Argv: []string{"/bin/sh", "-c", script}} }

func soon() time.Time { return time.Now().Add(20 * time.Second) }

func TestHowItEnds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "not-a-program")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		argv       []string
		ok         bool
		code       int
		why        string
		notStarted bool
	}{
		"well":              {[]string{"/bin/sh", "-c", "exit 0"}, true, 0, "", false},
		"refused":           {[]string{"/bin/sh", "-c", "exit 3"}, false, 3, "exit status 3", false},
		"by a signal":       {[]string{"/bin/sh", "-c", "kill -9 $$"}, false, -1, "signal: killed", false},
		"not there":         {[]string{"/no/such/program"}, false, -1, "/no/such/program is not there", true},
		"not in the path":   {[]string{"no-such-program"}, false, -1, "no-such-program is not there", true},
		"may not be run":    {[]string{file}, false, -1, file + " may not be run", true},
		"nothing":           {nil, false, -1, "there is no command", true},
		"no shell looks at": {[]string{"/bin/test", "$HOME", "=", "$HOME"}, true, 0, "", false},
		"child holds on":    {[]string{"/bin/sh", "-c", "sleep 30 & exit 0"}, true, 0, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := hook.Run(t.Context(), hook.Command{Argv: c.argv}, soon())
			if o.OK != c.ok || o.Code != c.code || o.Why != c.why || o.NotStarted != c.notStarted {
				t.Errorf("%+v", o)
			}
		})
	}
}

// TestWhatItIsTold: its environment, its input, and nothing of the supervisor's.
func TestWhatItIsTold(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/x")
	t.Setenv("WATCHDOG_USEC", "1")
	t.Setenv("REATTACH_SOCKET", "/run/y")
	c := sh("cat; env | grep -E 'REATTACH|NOTIFY|WATCHDOG'")
	c.Env, c.Stdin = map[string]string{"FROM": "primary", "TO": "a\x00b $(id)"}, []byte("{}\n")
	o := hook.Run(t.Context(), c, soon())
	if want := "{}\nREATTACH_FROM=primary\nREATTACH_TO=ab $(id)\n"; !o.OK || o.Output != want {
		t.Errorf("%+v; want %q", o, want)
	}
}

func TestOutputIsBounded(t *testing.T) {
	o := hook.Run(t.Context(), sh("head -c 1000000 /dev/zero | tr '\\0' x; echo; echo the end"), soon())
	if !o.OK || len(o.Output) > 4<<10 || !strings.HasSuffix(o.Output, "x\nthe end\n") {
		t.Errorf("%v, %d bytes", o.OK, len(o.Output))
	}
}

// TestKilledWithItsChildren: when its time is over, or the daemon ends, nothing
// that it started in its group is left.
func TestKilledWithItsChildren(t *testing.T) {
	for name, run := range map[string]func(hook.Command) hook.Outcome{
		"killed after": func(c hook.Command) hook.Outcome {
			return hook.Run(t.Context(), c, time.Now().Add(300*time.Millisecond))
		},
		"killed: the daemon ended": func(c hook.Command) hook.Outcome {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			ended, end := context.WithCancel(t.Context())
			context.AfterFunc(ctx, end)
			return hook.Run(ended, c, soon())
		},
	} {
		pidFile := filepath.Join(t.TempDir(), "pid")
		o := run(sh("trap '' TERM; sleep 600 & echo $! > " + pidFile + "; wait"))
		if o.OK || !strings.HasPrefix(o.Why, name) || o.Took > 10*time.Second {
			t.Errorf("%+v", o)
		}
		gone(t, pidFile)
	}
}

// TestNotStarted: a command whose time is over does nothing at all.
func TestNotStarted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "done")
	o := hook.Run(t.Context(), sh("touch "+file), time.Now())
	if _, err := os.Stat(file); o.OK || !o.NotStarted || !o.Late || err == nil {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestDiesWithItsRunner: SIGKILL of the process that runs it.
func TestDiesWithItsRunner(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HOOK_TEST_CHILD="+pidFile)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid(t, pidFile)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	gone(t, pidFile)
}

// pid waits for a process's number.
func pid(t *testing.T, file string) int {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
		if b, err := os.ReadFile(file); err == nil {
			if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
				return n
			}
		}
	}
	t.Fatal("it never began")
	return 0
}

// gone waits until a process has ended; a zombie has.
func gone(t *testing.T, file string) {
	t.Helper()
	n := pid(t, file)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(n) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") || syscall.Kill(n, 0) != nil {
			return
		}
	}
	_ = syscall.Kill(n, syscall.SIGKILL)
	t.Errorf("%d lives on", n)
}
