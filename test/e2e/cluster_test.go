package e2e

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// cluster is three nodes of one RabbitMQ, with a quorum queue of the application
// and, as the documents have it, one of the probe's own.
var cluster = sync.OnceValue(func() []*lab.Server {
	nodes := network().RabbitMQCluster(lab.WithoutTLS())
	nodes[0].Queue("invoices", map[string]any{"x-queue-type": "quorum"})
	page, err := os.ReadFile("../../deployments/docs/rabbitmq.md")
	_, rest, _ := strings.Cut(string(page), "```json\n")
	definitions, _, found := strings.Cut(rest, "```")
	if err != nil || !found {
		run.Fatalf("no definitions in the page on RabbitMQ: %v", err)
	}
	nodes[0].MustExec("sh", "-c", `printf '%s' "$1" > /tmp/canary.json`, "sh", definitions)
	nodes[0].Rabbit("rabbitmqctl", "-q", "import_definitions", "/tmp/canary.json")
	return nodes
})

// slow is the time for what waits for a canary, or for nodes that join again.
const slow = 90 * time.Second

// queued is a resource of two brokers, with what more says.
func queued(t *testing.T, name, more string, a, b *lab.Server) *demanding {
	t.Helper()
	name = unique(name)
	r := daemon.Resource{Name: name, Handle: name + "/AMQP_URL", A: a.URL("app"), B: b.URL("app"), More: more,
		Policy: strings.Replace(daemon.Fast, `sustain          = "1s"`, `sustain          = "15s"`, 1)}
	put(t, r.Handle, r.A)
	x := &demanding{t: t, r: r, d: daemon.New(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, r.Handle)), r))}
	x.switches = changes(t, r.Handle)
	return x
}

// becomes waits until the resource's status is so.
func (x *demanding) becomes(what string, is func() bool) {
	x.t.Helper()
	daemon.Eventually(x.t, slow, what, is, func() string { return x.d.Explain(x.r.Name) }, x.d.Logs)
}

// heldBy waits until a gate keeps a switch back.
func (x *demanding) heldBy(gate string) {
	x.t.Helper()
	x.becomes("held by the gate "+gate, func() bool {
		h := x.d.Status(x.r.Name).Hold
		return h != nil && h.Gate == gate
	})
}

// TestRequireMajority: a broker that lacks a queue, or whose cluster has lost its
// majority, is no standby. People are told before anything breaks; a majority that
// is lost together with the attached endpoint is seen in time; and once it is
// back, the failover that waited goes.
func TestRequireMajority(t *testing.T) {
	need(t)
	nodes, active := cluster(), queues().Active
	x := queued(t, "majority", `  require = ["queue(invoices)", "queue(late)", "confirms"]`, active, nodes[0])
	t.Cleanup(func() { lab.StartNodes(nodes[1:]...) })
	for _, node := range nodes[1:] {
		node.KillProcess()
	}
	x.d.Start()
	x.becomes("not protected, for two reasons", func() bool {
		s := x.d.Status(x.r.Name)
		return !s.Protected && strings.Contains(s.Why, "queue(late) is false") && strings.Contains(s.Why, "confirms is false")
	})
	x.d.Says("confirms is false", "status", x.r.Name)
	x.d.Says("queue(late) is false", "explain", x.r.Name)
	if !testing.Short() {
		x.d.Told("not_protected", "confirms is false", 2*time.Minute) // which takes a minute
	}
	lab.StartNodes(nodes[1:]...)
	t.Cleanup(func() { nodes[0].Rabbit("rabbitmqctl", "-q", "delete_queue", "--vhost", "orders", "late") })
	nodes[0].Queue("late", map[string]any{"x-queue-type": "quorum"})
	x.becomes("protected", func() bool { return x.d.Status(x.r.Name).Protected })

	t.Cleanup(active.StartProcess)
	for _, node := range append(nodes[1:len(nodes):len(nodes)], active) {
		node.KillProcess()
	}
	x.heldBy("candidate")
	x.d.Says("confirms is false", "explain", x.r.Name)
	x.d.Told("held", "confirms is false", slow)
	if n := x.switches(); n != 0 {
		t.Errorf("the handle was written %d times", n)
	}
	lab.StartNodes(nodes[1:]...)
	x.d.AttachedTo(x.r.Name, "b", slow)
}

// TestClusterAlarm: an alarm on a third node blocks the publishers of both
// endpoints, which are its siblings. That is told, and nothing is switched: they
// answer. A node that is dead is another matter: its sibling is attached.
func TestClusterAlarm(t *testing.T) {
	need(t)
	nodes := cluster()
	x := queued(t, "alarm", "", nodes[0], nodes[1])
	memory := func(limit ...string) {
		nodes[2].Rabbit(append([]string{"rabbitmqctl", "-q", "set_vm_memory_high_watermark"}, limit...)...)
	}
	t.Cleanup(func() { memory("0.6") })
	memory("absolute", "1MB")
	x.d.Start()
	x.heldBy("class")
	x.becomes("both are suspect", func() bool {
		for _, e := range x.d.Status(x.r.Name).Endpoints {
			if e.State != policy.Suspect || e.Facts["cluster_name"] != "lab" {
				return false
			}
		}
		return true
	})
	for _, text := range []string{"because of the gate class", "degraded", "blocked"} {
		x.d.Says(text, "explain", x.r.Name)
	}
	x.d.Told("held", "degraded", slow)
	daemon.Throughout(t, 3*time.Second, "nothing is switched", func() bool { return x.switches() == 0 },
		func() string { return x.d.Explain(x.r.Name) })
	memory("0.6")
	x.becomes("protected", func() bool { return x.d.Status(x.r.Name).Protected })

	t.Cleanup(func() { lab.StartNodes(nodes[0]) })
	killed := nodes[0].KillProcess()
	x.d.AttachedTo(x.r.Name, "b", slow)
	t.Logf("attached to the sibling after %v, with sustain 15s", time.Since(killed).Round(time.Millisecond))
}

// TestCheckLiveQueues: check --live shows what a standby lacks, and the statement
// that it prints for a right that is missing gives it.
func TestCheckLiveQueues(t *testing.T) {
	need(t)
	pair := queues()
	name := unique("live-queues")
	r := daemon.Resource{Name: name, Handle: name + "/AMQP_URL", A: pair.Active.URL("app"), B: pair.Standby.URL("app"), Policy: daemon.Fast,
		More: `  require = ["queue(orders)", "queue(late)", "exchange(amq.topic)", "confirms"]
  probe {
    username = "probe"
    password = "` + lab.Password("probe") + `"
  }`}
	put(t, r.Handle, r.A)
	check := live(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, r.Handle)), r))
	rabbit := func(command string) { pair.Standby.Rabbit("sh", "-c", command) }
	mend := `rabbitmqctl set_permissions --vhost orders probe '' 'amq\.default' '^(orders|late|amq\.topic)$'`
	t.Cleanup(func() { rabbit(`rabbitmqctl set_permissions --vhost orders probe '' 'amq\.default' ''`) })
	rabbit("rabbitmqctl set_permissions --vhost orders probe '' '' ''")
	lines := func(code int, want ...string) string {
		t.Helper()
		out := check(code)
		for _, line := range want {
			if !hasLine(out, line) {
				t.Errorf("no line %q in:\n%s", line, out)
			}
		}
		return out
	}
	out := lines(1, "require b ✓ queue(orders) yes", "require b ✗ queue(late) no", "require b ✓ exchange(amq.topic) yes", "require b ✗ confirms unknown",
		"missing b error write on amq.default, which the account lacks to see alarms and what is required; what is required needs it: confirms")
	if got := advice(t, out); got != mend {
		t.Fatalf("advised: %s", got)
	}
	rabbit(mend)
	for _, queue := range []string{"late", "reattach.canary"} {
		pair.Standby.Queue(queue, map[string]any{"x-queue-type": "quorum", "x-max-length": 1})
		t.Cleanup(func() { rabbit("rabbitmqctl -q delete_queue --vhost orders " + queue) })
	}
	if out = lines(0, "require b ✓ queue(late) yes", "require b ✓ confirms yes"); strings.Contains(out, "missing") {
		t.Errorf("still missing:\n%s", out)
	}
}
