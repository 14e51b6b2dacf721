package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Process is one running program, such as an envconsul with a sample of ours.
type Process struct {
	t      T
	logs   string
	cmd    *exec.Cmd
	exited chan struct{}
}

// NewProcess starts a program with variables added to this process's environment.
// It ends with t: by force, with all of its children.
func NewProcess(t T, env []string, program string, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, logs: filepath.Join(tempDir(t), "log")}
	logs, err := os.Create(p.logs)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	defer func() { _ = logs.Close() }()
	p.cmd, p.exited = spawn(t, logs, "/usr/bin/env", append(append(append([]string{}, env...), program), args...)...)
	t.Cleanup(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.exited
	})
	return p
}

// Signal sends it a signal, and none to its children.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// Alive says whether it runs.
func (p *Process) Alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// ExitCode waits until it has ended, and fails the test after limit.
func (p *Process) ExitCode(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(limit):
		p.t.Fatalf("lab: it still runs after %v:\n%s", limit, tail(p.Logs(), 20))
	}
	return p.cmd.ProcessState.ExitCode()
}

// Logs is what it and its children printed.
func (p *Process) Logs() string {
	content, _ := os.ReadFile(p.logs)
	return string(content)
}
