// Package daemon runs the real binary for tests and benchmarks, with real
// configuration files, and asks it over its socket as a person does. It looks
// into no memory of the daemon's.
//
// Each [Daemon] has a directory of its own and ends with its test. The binary is
// built once for each test process, as it is shipped.
package daemon

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/httpapi"
)

// Daemon is one running reattach.
type Daemon struct {
	// Dir is a directory of its own, removed at the test's end.
	Dir    string
	t      testing.TB
	binary string
	cmd    *exec.Cmd
	exited chan struct{}
	client *httpapi.Client

	mu  sync.Mutex
	log strings.Builder
}

// Write takes the daemon's log.
func (d *Daemon) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(p)
}

// Logs is all that it has logged, over all its lives.
func (d *Daemon) Logs() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

// New writes the configuration, in whose text DIR stands for a directory
// of the daemon's own, and starts nothing.
func New(t testing.TB, config string) *Daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "reattach-e2e") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &Daemon{Dir: dir, t: t, binary: binary(), client: httpapi.NewClient(filepath.Join(dir, "sock"))}
	d.Configure(config)
	return d
}

// Configure replaces the configuration's file.
func (d *Daemon) Configure(config string) {
	d.t.Helper()
	path := filepath.Join(d.Dir, "reattach.hcl")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(config, "DIR", d.Dir)), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// Start starts it and waits until it answers; it ends with the test.
func (d *Daemon) Start() {
	d.t.Helper()
	d.cmd = exec.Command(d.binary, "run", "--config", filepath.Join(d.Dir, "reattach.hcl"), "--log-format", "json", "--log-level", "debug")
	d.cmd.Stderr = d
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait()
		close(exited)
	}(d.cmd, d.exited)
	d.t.Cleanup(d.Kill)
	Eventually(d.t, 15*time.Second, "the daemon answers", func() bool {
		select {
		case <-d.exited:
			d.t.Fatalf("the daemon ended at once:\n%s", d.Logs())
		default:
		}
		_, err := d.client.Status(d.t.Context(), "")
		return err == nil
	}, d.Logs)
}

// Signal sends it a signal.
func (d *Daemon) Signal(s syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
}

// PID is the process's number.
func (d *Daemon) PID() int { return d.cmd.Process.Pid }

// Kill ends it by SIGKILL.
func (d *Daemon) Kill() {
	_ = d.cmd.Process.Kill()
	<-d.exited
}

// Terminate ends it by SIGTERM, as a supervisor does, and returns its exit code.
func (d *Daemon) Terminate() int {
	d.t.Helper()
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.exited:
	case <-time.After(10 * time.Second):
		d.t.Errorf("the daemon does not end within 10 s of SIGTERM:\n%s", d.Logs())
		d.Kill()
	}
	return d.cmd.ProcessState.ExitCode()
}

// Status is one resource as the daemon sees it.
func (d *Daemon) Status(resource string) failover.ResourceStatus {
	d.t.Helper()
	s := d.Overview(resource)
	if len(s.Resources) != 1 {
		d.t.Fatalf("status: %d resources %s", len(s.Resources), resource)
	}
	return s.Resources[0]
}

// Overview is everything as the daemon sees it, or what concerns one resource.
func (d *Daemon) Overview(resource string) failover.Status {
	d.t.Helper()
	raw, err := d.client.Status(context.Background(), resource)
	if err != nil {
		d.t.Fatalf("status: %v\n%s", err, d.Logs())
	}
	s, err := httpapi.ParseStatus(raw)
	if err != nil {
		d.t.Fatalf("status: %v", err)
	}
	return s
}

// Blind is why the daemon cannot judge, "" while it can.
func (d *Daemon) Blind() string {
	d.t.Helper()
	return d.Overview("").Blind
}

// Protected waits until the resource is attached to its first endpoint, and a
// failure of that would be answered.
func (d *Daemon) Protected(resource string) {
	d.t.Helper()
	Eventually(d.t, 20*time.Second, resource+" is steady and protected", func() bool {
		s := d.Status(resource)
		return s.Activity == "steady" && s.Protected && s.Attached == s.Endpoints[0].Name
	}, func() string { return d.Explain(resource) }, d.Logs)
}

// AttachedTo waits until the resource's attached endpoint is this one.
func (d *Daemon) AttachedTo(resource, endpoint string, limit time.Duration) {
	d.t.Helper()
	Eventually(d.t, limit, resource+" is attached to "+endpoint, func() bool {
		return d.Status(resource).Attached == endpoint
	}, func() string { return d.Explain(resource) }, d.Logs)
}

// Command runs a reattach command against the daemon and returns its output.
func (d *Daemon) Command(args ...string) (string, error) {
	args = append(args, "--socket", filepath.Join(d.Dir, "sock"))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, d.binary, args...).CombinedOutput()
	return string(out), err
}

// Explain is what a person reads of a resource.
func (d *Daemon) Explain(resource string) string {
	out, err := d.Command("explain", resource)
	if err != nil {
		return fmt.Sprintf("explain: %v: %s", err, out)
	}
	return out
}

// build builds the daemon into dir, as it is shipped.
func build(dir string) (string, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "reattach")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "./cmd/reattach")
	cmd.Dir = strings.TrimSpace(string(root))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
}

var (
	buildDir string
	binary   = sync.OnceValue(func() string {
		dir, err := os.MkdirTemp("", "reattach-bin")
		if err != nil {
			panic(err)
		}
		buildDir = dir
		path, err := build(dir)
		if err != nil {
			panic(err)
		}
		return path
	})
)

// Binary is the path of the program, built as it is shipped.
func Binary() string { return binary() }

// Clean removes the binary: for the end of a TestMain.
func Clean() {
	if buildDir != "" {
		_ = os.RemoveAll(buildDir)
	}
}
