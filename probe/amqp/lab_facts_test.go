package amqp_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/test/lab"
)

// wanting is a probe of a server that is asked for facts.
func wanting(t testing.TB, s *lab.Server, depth probe.Phase, facts ...string) probe.Target {
	t.Helper()
	tg := target(t, s.URL("probe"))
	tg.Depth, tg.Wanted = depth, facts
	return tg
}

// have checks the wanted facts of a result; those that are not in want must be unknown.
func have(t *testing.T, r probe.Result, wanted []string, want probe.Facts) {
	t.Helper()
	got := maps.Clone(r.Facts)
	maps.DeleteFunc(got, func(name string, _ any) bool { return !slices.Contains(wanted, name) })
	if !maps.Equal(got, want) {
		t.Errorf("learnt %v, want %v", got, want)
	}
}

// testFacts: which queues and exchanges there are, by an account without any right
// to them. Nothing is declared, nothing is left open, and nothing is logged of
// those that exist.
func testFacts(t *testing.T, b broker) {
	there := []string{"queue(orders)", "exchange(amq.topic)", "version"}
	gone := []string{"queue(nowhere)", "exchange(nowhere)", "queue(" + strings.Repeat("x", 256) + ")"}
	all := slices.Concat(there[:2], gone)
	before := len(b.Logs())

	r := once(t, wanting(t, b.Server, probe.PhaseNone))
	want(t, r, probe.OK, probe.PhasePing, "")
	have(t, r, all, probe.Facts{})
	r = once(t, wanting(t, b.Server, probe.PhaseNone, there...))
	want(t, r, probe.OK, probe.PhaseRole, "")
	have(t, r, all, probe.Facts{"queue(orders)": true, "exchange(amq.topic)": true})
	held := hold(t, wanting(t, b.Server, probe.PhaseNone, there...))
	ping := held.Ping(t.Context())
	want(t, ping, probe.OK, probe.PhasePing, "")
	have(t, ping, all, probe.Facts{}) // they held when the session was opened
	for _, line := range loud(b.Logs()[before:]) {
		t.Errorf("the broker logs: %s", line)
	}

	r = once(t, wanting(t, b.Server, probe.PhaseNone, all...))
	want(t, r, probe.OK, probe.PhaseRole, "")
	have(t, r, all, probe.Facts{"queue(orders)": true, "exchange(amq.topic)": true, "queue(nowhere)": false, "exchange(nowhere)": false})
	eventually(t, func() bool { return strings.Count(strings.Join(loud(b.Logs()[before:]), ""), "not_found") == 2 })
	missing := hold(t, wanting(t, b.Server, probe.PhaseNone, gone...))
	want(t, missing.Ping(t.Context()), probe.OK, probe.PhasePing, "")
	want(t, held.Ping(t.Context()), probe.OK, probe.PhasePing, "")
	eventually(t, func() bool { return len(strings.Fields(b.ctl("list_channels", "number", "--no-table-headers"))) == 2 }) // one for each session
	if queues := strings.Fields(b.ctl("list_queues", "--vhost", "orders", "name", "--no-table-headers")); !slices.Equal(queues, []string{"orders"}) {
		t.Errorf("the queues are %q", queues)
	}
}

// testOwnQueue: the canary writes to no queue but the one that was made for it,
// and to that only if it is asked to.
func testOwnQueue(t *testing.T, b broker) {
	const own = "reattach.canary"
	holds := func(messages int) {
		t.Helper()
		if n, others := b.Messages(own), b.Messages("orders"); n != messages || others != 0 {
			t.Errorf("%d messages in the probe's own queue, want %d; %d in another", n, messages, others)
		}
	}
	confirms := wanting(t, b.Server, probe.PhaseWrite, "confirms")
	r := once(t, confirms)
	want(t, r, probe.OK, probe.PhaseWrite, "")
	have(t, r, confirms.Wanted, probe.Facts{})

	b.Queue(own, map[string]any{"x-queue-type": "quorum", "x-max-length": 1})
	defer b.ctl("delete_queue", "--vhost", "orders", own)
	want(t, once(t, wanting(t, b.Server, probe.PhaseWrite)), probe.OK, probe.PhaseWrite, "")
	for range 3 {
		r = once(t, wanting(t, b.Server, probe.PhaseNone, "confirms")) // the canary's, not every conversation's
		want(t, r, probe.OK, probe.PhasePing, "")
		have(t, r, confirms.Wanted, probe.Facts{})
	}
	holds(0)
	for range 3 {
		r = once(t, confirms)
		want(t, r, probe.OK, probe.PhaseWrite, "")
		have(t, r, confirms.Wanted, probe.Facts{"confirms": true})
	}
	holds(1)
}

// TestCluster: what the nodes of a cluster answer while one of them is in alarm,
// dead, or in a minority. The order matters.
func TestCluster(t *testing.T) {
	lab.Need(t)
	nodes := lab.New(t).RabbitMQCluster(lab.WithoutTLS(), lab.Args("net_ticktime = 20"))
	nodes[0].Queue("invoices", map[string]any{"x-queue-type": "quorum"})
	nodes[0].Queue("reattach.canary", map[string]any{"x-queue-type": "quorum", "x-max-length": 1})
	nodes[1].Queue("local", nil)
	for _, part := range []struct {
		name string
		run  func(*testing.T, []*lab.Server)
	}{
		{"siblings", testSiblings},
		{"alarm", testClusterAlarm},
		{"dead node", testDeadNode},
		{"minority", testMinority},
		{"split network", testSplit},
		{"paused minority", testPausedMinority},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.run(t, nodes) }) {
			t.Fatal("the next parts want the cluster whole")
		}
	}
}

// becomes waits until a node's canary confirms, or does not.
func becomes(t *testing.T, node *lab.Server, confirms bool) probe.Result {
	t.Helper()
	tg := wanting(t, node, probe.PhaseWrite, "confirms", "queue(invoices)")
	var r probe.Result
	eventually(t, func() bool {
		r = once(t, tg)
		return r.Facts["confirms"] == confirms
	})
	want(t, r, probe.OK, probe.PhaseWrite, "")
	return r
}

func testSiblings(t *testing.T, nodes []*lab.Server) {
	for _, node := range nodes {
		r := becomes(t, node, true)
		if r.Facts["cluster_name"] != "lab" || r.Facts["server_id"] != nil || r.Facts["queue(invoices)"] != true {
			t.Errorf("%s: %v", node.Name(), r.Facts)
		}
		r = once(t, wanting(t, node, probe.PhaseNone, "queue(local)"))
		want(t, r, probe.OK, probe.PhaseRole, "")
		have(t, r, []string{"queue(local)"}, probe.Facts{"queue(local)": true}) // wherever it lives
	}
}

// testClusterAlarm: one node's alarm blocks the publishers of all, and no node is
// a standby for it. All of them answer whatever else they are asked.
func testClusterAlarm(t *testing.T, nodes []*lab.Server) {
	nodes[1].Rabbit("rabbitmqctl", "-q", "set_vm_memory_high_watermark", "absolute", "1MB")
	for _, node := range nodes {
		canary := wanting(t, node, probe.PhaseWrite, "confirms")
		var r probe.Result
		eventually(t, func() bool { r = once(t, canary); return r.Class == probe.Degraded })
		want(t, r, probe.Degraded, probe.PhaseWrite, "blocked")
		have(t, r, canary.Wanted, probe.Facts{})
		r = once(t, wanting(t, node, probe.PhaseNone, "queue(invoices)"))
		want(t, r, probe.OK, probe.PhaseRole, "")
		have(t, r, []string{"queue(invoices)"}, probe.Facts{"queue(invoices)": true})
	}
	nodes[1].Rabbit("rabbitmqctl", "-q", "set_vm_memory_high_watermark", "0.6")
	for _, node := range nodes {
		becomes(t, node, true)
	}
}

// testDeadNode: its siblings serve on, but for what lived on it alone. A queue that
// does not answer costs a probe half of its timeout, and no more.
func testDeadNode(t *testing.T, nodes []*lab.Server) {
	nodes[1].KillProcess()
	want(t, once(t, wanting(t, nodes[1], probe.PhaseNone)), probe.Refused, probe.PhaseConnect, "")
	for _, node := range []*lab.Server{nodes[0], nodes[2]} {
		becomes(t, node, true)
	}
	wanted := []string{"queue(local)", "queue(invoices)"}
	tg := wanting(t, nodes[0], probe.PhaseNone, wanted...)
	r := once(t, tg)
	want(t, r, probe.OK, probe.PhaseRole, "")
	have(t, r, wanted, probe.Facts{"queue(invoices)": true})
	held := hold(t, tg)
	want(t, held.Ping(t.Context()), probe.OK, probe.PhasePing, "")
}

// testMinority: a node alone serves on, and answers as ever to a passive declare of
// a queue that has lost its majority. Only a message that is to be confirmed tells.
func testMinority(t *testing.T, nodes []*lab.Server) {
	nodes[2].KillProcess()
	if r := becomes(t, nodes[0], false); r.Facts["queue(invoices)"] != true {
		t.Errorf("a passive declare tells of a lost majority, and the documents say otherwise: %v", r.Facts)
	}
	want(t, once(t, wanting(t, nodes[0], probe.PhaseNone)), probe.OK, probe.PhasePing, "")
	for _, node := range nodes[1:] {
		want(t, once(t, wanting(t, node, probe.PhaseNone)), probe.Refused, probe.PhaseConnect, "")
	}
	whole(t, nodes)
}

// whole starts the other nodes again, and waits until all are one cluster.
func whole(t *testing.T, nodes []*lab.Server) {
	t.Helper()
	lab.StartNodes(nodes[1:]...)
	for _, node := range nodes {
		becomes(t, node, true)
	}
}

// testSplit: of a network that is split, each side answers. The side with the
// majority confirms, the other does not. Here the one that is cut off led the
// queue: to the others it does so until they have noticed, which takes net_ticktime.
func testSplit(t *testing.T, nodes []*lab.Server) {
	lead(t, nodes[0], "reattach.canary")
	becomes(t, nodes[0], true)
	nodes[0].Part(nodes[1:]...)
	becomes(t, nodes[0], false)
	want(t, once(t, wanting(t, nodes[0], probe.PhaseNone)), probe.OK, probe.PhasePing, "")
	for _, node := range nodes[1:] {
		becomes(t, node, true)
	}
	nodes[0].Heal()
	nodes[0].KillProcess() // Mnesia wants it: a node that was given up is not taken back as it is
	lab.StartNodes(nodes[0])
	for _, node := range nodes {
		becomes(t, node, true)
	}
}

// lead makes a node the leader of a quorum queue.
func lead(t *testing.T, node *lab.Server, queue string) {
	t.Helper()
	out := node.Rabbit("rabbitmqctl", "-q", "eval", fmt.Sprintf(
		`{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"orders">>, queue, <<%q>>)), rabbit_quorum_queue:transfer_leadership(Q, node()).`, queue))
	if !strings.Contains(out, "{migrated,") && !strings.Contains(out, "already_leader") {
		t.Fatalf("%s does not lead: %s", node.Name(), out)
	}
}

// testPausedMinority: where the cluster says so, a node in a minority stops serving
// by itself, and is then like a dead one.
func testPausedMinority(t *testing.T, nodes []*lab.Server) {
	nodes[0].Rabbit("rabbitmqctl", "-q", "eval", "application:set_env(rabbit, cluster_partition_handling, pause_minority).")
	for _, node := range nodes[1:] {
		node.KillProcess()
	}
	var r probe.Result
	eventually(t, func() bool { r = once(t, wanting(t, nodes[0], probe.PhaseNone)); return r.Class == probe.Refused })
	want(t, r, probe.Refused, probe.PhaseConnect, "")
}
