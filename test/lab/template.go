package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// TemplateOptions settle what a consul-template renders, and from where.
type TemplateOptions struct {
	// Address is Consul's, or that of reattach's own KV API: host:port or a URL.
	Address string
	// Token is sent with each read; "" sends none.
	Token string
	// Template is the text, as `{{ key "production/DATABASE_URL" }}`.
	Template string
	// Command is the application: a child that is restarted when the file changes.
	// Without one the file is rendered and nothing else happens.
	Command []string
	// CAFile verifies an https Address.
	CAFile string
}

// Template is one running consul-template.
type Template struct {
	t      T
	dir    string
	cmd    *exec.Cmd
	exited chan struct{}
}

// NewTemplate starts a consul-template. Call [NeedConsul] first in tests.
func NewTemplate(t T, o TemplateOptions) *Template {
	t.Helper()
	c := &Template{t: t, dir: tempDir(t)}
	config := fmt.Sprintf(`
log_level = "info"
consul {
  address = %q
  token   = %q
  retry { backoff = "100ms" max_backoff = "1s" }
%s}
template {
  source      = %q
  destination = %q
  perms       = 0600
}
`, o.Address, o.Token, sslBlock(o.CAFile), filepath.Join(c.dir, "in.tpl"), c.Path())
	if len(o.Command) > 0 {
		words := make([]string, len(o.Command))
		for i, word := range o.Command {
			words[i] = fmt.Sprintf("%q", word)
		}
		config += fmt.Sprintf("exec {\n  command = [%s]\n  kill_timeout = \"2s\"\n}\n", strings.Join(words, ", "))
	}
	for name, content := range map[string]string{"in.tpl": o.Template, "config.hcl": config} {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(content), 0o600); err != nil {
			t.Fatalf("lab: %v", err)
		}
	}
	logs, err := os.Create(filepath.Join(c.dir, "log"))
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	defer func() { _ = logs.Close() }()
	c.cmd, c.exited = spawn(t, logs, Tool("consul-template"), "-config="+filepath.Join(c.dir, "config.hcl"))
	t.Cleanup(c.Stop)
	return c
}

func sslBlock(caFile string) string {
	if caFile == "" {
		return ""
	}
	return fmt.Sprintf("  ssl {\n    enabled = true\n    ca_cert = %q\n  }\n", caFile)
}

// Path is the file that it renders.
func (c *Template) Path() string { return filepath.Join(c.dir, "out") }

// Rendered is the file's text now, "" when there is none yet.
func (c *Template) Rendered() string {
	content, _ := os.ReadFile(c.Path())
	return string(content)
}

// WaitFor waits until the rendered file contains text, and returns the moment at
// which that was seen (to 2 ms). It fails the test after limit.
func (c *Template) WaitFor(text string, limit time.Duration) time.Time {
	c.t.Helper()
	deadline := time.Now().Add(limit)
	for time.Now().Before(deadline) {
		if strings.Contains(c.Rendered(), text) {
			return time.Now()
		}
		time.Sleep(2 * time.Millisecond)
	}
	c.t.Fatalf("lab: rendered file holds %q after %v, wanted %q; log:\n%s", c.Rendered(), limit, text, tail(c.Logs(), 20))
	return time.Time{}
}

// Logs is what it and its child printed.
func (c *Template) Logs() string {
	content, _ := os.ReadFile(filepath.Join(c.dir, "log"))
	return string(content)
}

// Stop ends it, and its child, in good order; by force after 5 s.
func (c *Template) Stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-time.After(5 * time.Second):
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
		<-c.exited
	}
}
