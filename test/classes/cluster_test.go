package classes

import (
	"testing"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/amqp"
	"github.com/reattach/reattach/test/lab"
)

// rabbitmqCluster is a RabbitMQ of three nodes. The first is asked, and the other
// two are what is done to it.
func rabbitmqCluster() service {
	var others []*lab.Server
	said := func(c probe.Class, p probe.Phase, code string) outcome { return outcome{c, p, code} }
	kill := func() {
		for _, node := range others {
			node.KillProcess()
		}
	}
	join := func() { lab.StartNodes(others...) }
	return service{name: "RabbitMQ, one of three", rows: []row{
		{done: "a memory alarm on another node, seen by the canary", outcome: said(probe.Degraded, probe.PhaseWrite, "blocked"), does: func(t *testing.T, b *bench) probe.Result {
			limit := func(words ...string) {
				others[0].Rabbit(append([]string{"rabbitmqctl", "-q", "set_vm_memory_high_watermark"}, words...)...)
			}
			canary := func() probe.Result { return b.probe(t, b.url, depth(probe.PhaseWrite)) }
			limit("absolute", "1MB")
			var r probe.Result // a busy machine may let a canary fail otherwise
			eventually(t, "the alarm is known here, too", func() bool { r = canary(); return r.Class == probe.Degraded })
			limit("0.6")
			eventually(t, "the alarm ends", func() bool { return !canary().Failed() })
			return r
		}},
		{done: "it alone is alive: a minority", outcome: said(probe.OK, probe.PhasePing, ""), does: func(t *testing.T, b *bench) probe.Result {
			kill()
			defer join()
			return b.probe(t, b.url)
		}},
		{done: "it is cut off from both: a minority", outcome: said(probe.OK, probe.PhasePing, ""), does: func(t *testing.T, b *bench) probe.Result {
			b.Part(others...)
			defer b.Heal()
			return b.probe(t, b.url)
		}},
		{done: "a minority, under pause_minority", outcome: said(probe.Refused, probe.PhaseConnect, ""), does: func(t *testing.T, b *bench) probe.Result {
			b.Rabbit("rabbitmqctl", "-q", "eval", "application:set_env(rabbit, cluster_partition_handling, pause_minority).")
			kill()
			eventually(t, "it stops serving", func() bool { return b.probe(t, b.url).Class == probe.Refused })
			r := b.probe(t, b.url)
			join()
			b.WaitReady()
			return r
		}},
	}, start: func(t *testing.T) *bench {
		l := lab.New(t)
		nodes := l.RabbitMQCluster(lab.WithoutTLS())
		others = nodes[1:]
		return &bench{Server: nodes[0], lab: l, protocol: amqp.Protocol, url: nodes[0].URL("probe")}
	}}
}

func TestRabbitMQCluster(t *testing.T) { lab.Need(t); run(t, rabbitmqCluster()) }
