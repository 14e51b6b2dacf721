package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/httpapi"
)

// daemon is one running reattach.
type daemon struct {
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	exited chan struct{}
	client *httpapi.Client

	mu  sync.Mutex
	log strings.Builder
}

// Write takes the daemon's log.
func (d *daemon) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(p)
}

func (d *daemon) logs() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

// newDaemon writes the configuration, in whose text DIR stands for a directory
// of the daemon's own, and starts nothing.
func newDaemon(t *testing.T, config string) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "reattach-e2e") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &daemon{t: t, dir: dir, client: httpapi.NewClient(filepath.Join(dir, "sock"))}
	d.configure(config)
	return d
}

// configure replaces the configuration's file.
func (d *daemon) configure(config string) {
	d.t.Helper()
	path := filepath.Join(d.dir, "reattach.hcl")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(config, "DIR", d.dir)), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// start starts it and waits until it answers; it ends with the test.
func (d *daemon) start() {
	d.t.Helper()
	d.cmd = exec.Command(binary(), "run", "--config", filepath.Join(d.dir, "reattach.hcl"), "--log-format", "json", "--log-level", "debug")
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
	d.t.Cleanup(d.kill)
	eventually(d.t, 15*time.Second, "the daemon answers", func() bool {
		select {
		case <-d.exited:
			d.t.Fatalf("the daemon ended at once:\n%s", d.logs())
		default:
		}
		_, err := d.client.Status(d.t.Context(), "")
		return err == nil
	}, d.logs)
}

// kill ends it by SIGKILL.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.exited
}

// terminate ends it by SIGTERM, as a supervisor does, and returns its exit code.
func (d *daemon) terminate() int {
	d.t.Helper()
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.exited:
	case <-time.After(10 * time.Second):
		d.t.Errorf("the daemon does not end within 10 s of SIGTERM:\n%s", d.logs())
		d.kill()
	}
	return d.cmd.ProcessState.ExitCode()
}

// status is one resource as the daemon sees it.
func (d *daemon) status(resource string) failover.ResourceStatus {
	d.t.Helper()
	raw, err := d.client.Status(context.Background(), resource)
	if err != nil {
		d.t.Fatalf("status: %v\n%s", err, d.logs())
	}
	s, err := httpapi.ParseStatus(raw)
	if err != nil || len(s.Resources) != 1 {
		d.t.Fatalf("status: %v, %d resources", err, len(s.Resources))
	}
	return s.Resources[0]
}

// blind is why the daemon cannot judge, "" while it can.
func (d *daemon) blind() string {
	d.t.Helper()
	raw, err := d.client.Status(context.Background(), "")
	if err != nil {
		d.t.Fatalf("status: %v\n%s", err, d.logs())
	}
	s, err := httpapi.ParseStatus(raw)
	if err != nil {
		d.t.Fatal(err)
	}
	return s.Blind
}

// protected waits until the resource is attached to its first endpoint, and a
// failure of that would be answered.
func (d *daemon) protected(resource string) {
	d.t.Helper()
	eventually(d.t, 20*time.Second, resource+" is steady and protected", func() bool {
		s := d.status(resource)
		return s.Activity == "steady" && s.Protected && s.Attached == s.Endpoints[0].Name
	}, func() string { return d.explain(resource) }, d.logs)
}

// attachedTo waits until the resource's attached endpoint is this one.
func (d *daemon) attachedTo(resource, endpoint string, limit time.Duration) {
	d.t.Helper()
	eventually(d.t, limit, resource+" is attached to "+endpoint, func() bool {
		return d.status(resource).Attached == endpoint
	}, func() string { return d.explain(resource) }, d.logs)
}

// command runs a reattach command against the daemon and returns its output.
func (d *daemon) command(args ...string) (string, error) {
	args = append(args, "--socket", filepath.Join(d.dir, "sock"))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary(), args...).CombinedOutput()
	return string(out), err
}

// explain is what a person reads of a resource.
func (d *daemon) explain(resource string) string {
	out, err := d.command("explain", resource)
	if err != nil {
		return fmt.Sprintf("explain: %v: %s", err, out)
	}
	return out
}

// resource is a resource's block: two endpoints, a and b.
type resource struct {
	name    string
	handle  string
	handles string // further ones, as HCL
	a, b    string // their URLs
	policy  string // settings of its policy
}

// fast are the thresholds of tests that are not about thresholds.
const fast = `
    interval         = "200ms"
    fresh_interval   = "500ms"
    timeout          = "1s"
    suspect_interval = "100ms"
    sustain          = "1s"`

func (r resource) hcl() string {
	more := ""
	if r.handles != "" {
		more = "\n  handles = {\n" + r.handles + "\n  }"
	}
	return fmt.Sprintf(`
resource %q {
  handle = %q%s
  endpoint "a" { url = %q }
  endpoint "b" { url = %q }
  policy {%s
  }
}
`, r.name, r.handle, more, r.a, r.b, r.policy)
}

// onConsul is a whole configuration with Consul for its store.
func onConsul(token string, resources ...resource) string {
	return configuration(fmt.Sprintf("store \"consul\" {\n  address = %q\n  token   = %q\n}\n", consul().URL(), token), "", resources)
}

// embeddedStore is one with the store in a file, and the address of its open door.
func embeddedStore(t *testing.T, resources ...resource) (text, door string) {
	t.Helper()
	door = freeAddress(t)
	return configuration("store \"embedded\" {\n  path = \"DIR/store.db\"\n}\n", door, resources), door
}

func configuration(store, door string, resources []resource) string {
	text := fmt.Sprintf("observer {\n  name      = \"e2e\"\n  state_dir = \"DIR/state\"\n}\n%slisten {\n  http   = %q\n  socket = \"DIR/sock\"\n}\n", store, door)
	for _, r := range resources {
		text += r.hcl()
	}
	return text
}

// entry is one key of Consul's KV, nil if it is absent.
func entry(t *testing.T, key string) *api.KVPair {
	t.Helper()
	pair, _, err := consul().Client("").KV().Get(key, nil)
	if err != nil {
		t.Fatalf("consul: %s: %v", key, err)
	}
	return pair
}

// put writes a handle as a person does.
func put(t *testing.T, key, value string) {
	t.Helper()
	if _, err := consul().Client("").KV().Put(&api.KVPair{Key: key, Value: []byte(value), Flags: 42}, nil); err != nil {
		t.Fatalf("consul: %s: %v", key, err)
	}
}

// records are a resource's switches as Consul holds them, the oldest first.
func records(t *testing.T, resource string) []failover.Record {
	t.Helper()
	pairs, _, err := consul().Client("").KV().List("reattach/history/"+resource+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	list := make([]failover.Record, len(pairs))
	for i, pair := range pairs {
		if err := json.Unmarshal(pair.Value, &list[i]); err != nil {
			t.Fatalf("%s: %v", pair.Key, err)
		}
	}
	return list
}

// noBallot fails the test if a ballot of the resource is open.
func noBallot(t *testing.T, resource string) {
	t.Helper()
	keys, _, err := consul().Client("").KV().Keys("reattach/ballot/"+resource+"/", "", nil)
	if err != nil || len(keys) > 0 {
		t.Errorf("ballots: %v, %v", keys, err)
	}
}

// changes counts how often a key's value changes until the test, or stop, ends it.
func changes(t *testing.T, key string) (count func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	kv := consul().Client("").KV()
	first := entry(t, key)
	if first == nil {
		t.Fatalf("no key %s", key)
	}
	var mu sync.Mutex
	n, index := 0, first.ModifyIndex
	go func() {
		for ctx.Err() == nil {
			pair, meta, err := kv.Get(key, (&api.QueryOptions{WaitIndex: index, WaitTime: 5 * time.Second}).WithContext(ctx))
			if err != nil || pair == nil {
				if errors.Is(err, context.Canceled) {
					return
				}
				continue
			}
			mu.Lock()
			if meta.LastIndex > index {
				n++
			}
			index = meta.LastIndex
			mu.Unlock()
		}
	}()
	return func() int { mu.Lock(); defer mu.Unlock(); return n }
}
