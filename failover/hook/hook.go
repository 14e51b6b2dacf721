// Package hook runs a person's commands around a switch: fence, promote, abort,
// after.
//
// A command is run without a shell, in a process group of its own, until it ends
// or its time is over. Then the whole group is killed. It does not outlive this
// process, either: the kernel kills the command itself (on Linux), and a
// supervisor such as systemd, which ends a service by its control group, whatever
// the command has started.
//
// Not guaranteed: that a command which was killed has done nothing.
package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Command is what to run, and what to tell it.
type Command struct {
	Argv []string // program and arguments
	// Env is told to it as REATTACH_<name>, besides this process's environment.
	Env   map[string]string
	Stdin []byte
}

// Outcome is how a command ended.
type Outcome struct {
	OK     bool
	Code   int           // exit code; -1 if it did not exit by itself
	Why    string        // in a few words, why it is not OK
	Output string        // the last 4 KiB of what it wrote
	Took   time.Duration // from its start
	// NotStarted says that it never ran; Late, that it did not because its time
	// was over.
	NotStarted, Late bool
}

// Bounds of a command.
const (
	outputKept  = 4 << 10
	outputAfter = time.Second // for its children to let go of its output
)

// Run runs a command until it ends, until ctx ends, or until the deadline, by
// both clocks. One whose deadline is over is not started.
func Run(ctx context.Context, c Command, deadline time.Time) Outcome {
	began := time.Now()
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		return Outcome{Code: -1, Why: "there is no command", NotStarted: true}
	}
	if late(began, deadline) {
		return Outcome{Code: -1, Why: "its time was over before it began", NotStarted: true, Late: true}
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	// The kernel ties the command's life to the thread that starts it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out := &tail{}
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(c.Stdin), out, out
	cmd.Env = environment(c.Env)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	diesWithUs(cmd.SysProcAttr)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = outputAfter
	err := cmd.Run()
	o := Outcome{Took: time.Since(began), Output: strings.ToValidUTF8(string(out.kept), "�")}
	o.explain(ctx, c.Argv[0], err, cmd.ProcessState)
	return o
}

// late compares both clocks: a suspended machine stops the monotonic one.
func late(now, deadline time.Time) bool {
	return !now.Before(deadline) || !now.Round(0).Before(deadline.Round(0))
}

// explain says how a command ended.
func (o *Outcome) explain(ctx context.Context, program string, err error, state *os.ProcessState) {
	o.Code = -1
	if state != nil {
		o.Code = state.ExitCode()
	}
	var left *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay) && o.Code == 0: // only its children held on to its output
		o.OK = true
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, exec.ErrNotFound):
		o.Why, o.NotStarted = program+" is not there", true
	case errors.Is(err, fs.ErrPermission):
		o.Why, o.NotStarted = program+" may not be run", true
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		o.Why = fmt.Sprintf("killed after %v: its time was over", o.Took.Round(time.Millisecond))
	case ctx.Err() != nil:
		o.Why = "killed: the daemon ended"
	case errors.As(err, &left):
		o.Why = left.String()
	default:
		o.Why = err.Error()
	}
}

// environment is this process's own without what is between it and its
// supervisor, and what the command is told.
func environment(told map[string]string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "NOTIFY_SOCKET=") || strings.HasPrefix(v, "WATCHDOG_") || strings.HasPrefix(v, "REATTACH_")
	})
	for name, value := range told {
		env = append(env, "REATTACH_"+name+"="+strings.ReplaceAll(value, "\x00", ""))
	}
	slices.Sort(env)
	return env
}

// tail keeps the end of what is written to it.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - outputKept; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}
