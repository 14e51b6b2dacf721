package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/test/daemon"
)

// TestPeopleAndDaemon goes through what people do beside, and to, a daemon: with
// its commands, and behind its back with Consul's own.
func TestPeopleAndDaemon(t *testing.T) {
	need(t)
	j := newJob(t, "people")
	r, d := j.r, j.d
	d.Start()
	d.Protected(r.Name)
	ask := func(code int, want string, args ...string) {
		t.Helper()
		out, err := d.Command(args...)
		if got := exitCode(err); got != code || !strings.Contains(out, want) {
			t.Fatalf("reattach %s: exit code %d, want %d, and %q in:\n%s", strings.Join(args, " "), got, code, want, out)
		}
	}
	attached := func(endpoint, url string) {
		t.Helper()
		d.AttachedTo(r.Name, endpoint, 10*time.Second)
		if got := strings.TrimSpace(string(entry(t, r.Handle).Value)); got != url {
			t.Fatalf("the handle does not name %s", endpoint)
		}
	}
	condition := func(want policy.Condition) {
		t.Helper()
		daemon.Eventually(t, 10*time.Second, "the handles are "+want.String(), func() bool { return d.Status(r.Name).Condition == want.String() },
			func() string { return d.Explain(r.Name) }, d.Logs)
	}

	ask(2, "reason", "switchover", r.Name, "--to", "b")
	ask(2, "no endpoint", "switchover", r.Name, "--to", "c", "--reason", "a test")
	ask(0, "", "switchover", r.Name, "--to", "b", "--reason", "a test")
	attached("b", r.B)
	// a may have missed writes: it is no target until a person says so.
	ask(1, "taint", "failback", r.Name, "--reason", "a test")
	attached("b", r.B)
	ask(0, "", "clear", r.Name, "a", "--reason", "it replicates")
	ask(0, "", "failback", r.Name, "--reason", "a test")
	attached("a", r.A)
	ask(0, "", "clear", r.Name, "b", "--reason", "it replicates")
	d.Protected(r.Name)

	// Behind its back: to the other endpoint, to a stranger, and away.
	put(t, r.Handle, r.B)
	put(t, j.jdbc, strings.Replace("jdbc:mysql://HOST/orders", "HOST", databases().Standby.Addr(), 1))
	attached("b", r.B)
	condition(policy.Ours)
	put(t, r.Handle, "mysql://somebody.else/orders")
	condition(policy.Foreign)
	daemon.Throughout(t, 2*time.Second, "a stranger's value stays", func() bool {
		return string(entry(t, r.Handle).Value) == "mysql://somebody.else/orders"
	})
	ask(0, "", "restore", r.Name, "--to", "b", "--reason", "a test")
	attached("b", r.B)
	condition(policy.Ours)
	if _, err := kv().Delete(r.Handle, (*api.WriteOptions)(nil)); err != nil {
		t.Fatal(err)
	}
	condition(policy.Deleted)
	daemon.Throughout(t, 2*time.Second, "what was deleted is not made again", func() bool { return entry(t, r.Handle) == nil })
	ask(0, "", "restore", r.Name, "--to", "b", "--reason", "a test")
	attached("b", r.B)

	// Under a pause nothing is switched, and afterwards at once.
	ask(0, "", "clear", r.Name, "a", "--reason", "it replicates")
	ask(0, "", "pause", r.Name, "--for", "1h", "--reason", "a test")
	standby := databases().Standby
	t.Cleanup(standby.StartProcess)
	standby.KillProcess()
	daemon.Eventually(t, 10*time.Second, "b is down", func() bool { return d.Status(r.Name).Endpoints[1].State == policy.Down })
	daemon.Throughout(t, 2*time.Second, "nothing is switched", func() bool { return d.Status(r.Name).Attached == "b" })
	ask(0, "because of the gate paused", "explain", r.Name)
	ask(0, "", "resume", r.Name, "--reason", "a test")
	attached("a", r.A)

	var kinds []string
	for _, record := range records(t, r.Name) {
		kinds = append(kinds, record.Kind.String())
	}
	if got, want := strings.Join(kinds, " "), "adopt switchover failback adopt restore restore failover"; got != want {
		t.Errorf("history: %s\nwant:    %s", got, want)
	}
}
