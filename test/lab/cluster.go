package lab

import (
	"fmt"
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// members are the nodes of the cluster that the image holds the data of.
var members = []string{"mq1", "mq2", "mq3"}

// RabbitMQCluster starts the three nodes of one RabbitMQ cluster, mq1, mq2 and mq3,
// each with what [Lab.RabbitMQ] has, and returns once all of them are online. The
// queue orders is a classic one of the first node.
//
// They were joined when the image was built: see images/rabbitmq/form. One is
// started after the other: see [StartNodes].
func (l *Lab) RabbitMQCluster(opts ...Option) []*Server {
	l.t.Helper()
	all := []Option{Args("cluster_name = lab")}
	ips := make([]string, len(members))
	for i, name := range members {
		ips[i] = l.NewAddr()
		all = append(all, knowing(name, ips[i]))
	}
	var nodes []*Server
	for i, name := range members {
		own := []Option{Named(name), at(ips[i]), Env("RABBITMQ_NODENAME", name+"@"+name)}
		nodes = append(nodes, l.RabbitMQ(slices.Concat(all, own, opts)...))
	}
	nodes[0].AwaitNodes(len(nodes))
	return nodes
}

// StartNodes starts nodes of a RabbitMQ cluster again, and returns once all of them
// serve. Never two at the same time: before a node starts its Mnesia, RabbitMQ 4.0
// has an empty one speak to that of the others, and where another node joins them in
// that moment, they want its tables updated there, too, whereupon the node ends.
func StartNodes(nodes ...*Server) {
	for _, node := range nodes {
		node.StartProcess()
	}
}

// AwaitNodes waits, for at most 55 s, until n nodes of a RabbitMQ cluster are
// online, as the server sees it.
func (s *Server) AwaitNodes(n int) {
	s.lab.t.Helper()
	s.Rabbit("rabbitmqctl", "-q", "await_online_nodes", fmt.Sprint(n), "--timeout", "55")
}

// Rabbit runs one of RabbitMQ's own commands for the server's node, and returns
// what it printed.
func (s *Server) Rabbit(command ...string) string {
	s.lab.t.Helper()
	const run = `HOME=/var/lib/rabbitmq RABBITMQ_NODENAME=${RABBITMQ_NODENAME:-rabbit@localhost} exec "$@"`
	return s.MustExec(append([]string{"sh", "-c", run, "sh"}, command...)...)
}

// Queue declares a durable queue in the vhost orders of a RabbitMQ, as app does.
func (s *Server) Queue(name string, arguments map[string]any) {
	s.lab.t.Helper()
	s.onChannel("declare "+name, func(c *amqp.Channel) (amqp.Queue, error) {
		return c.QueueDeclare(name, true, false, false, false, arguments)
	})
}

// Messages is how many messages lie ready in a queue of the vhost orders, as its
// leader knows by now.
func (s *Server) Messages(name string) int {
	s.lab.t.Helper()
	return s.onChannel("look at "+name, func(c *amqp.Channel) (amqp.Queue, error) {
		return c.QueueDeclarePassive(name, true, false, false, false, nil)
	}).Messages
}

// onChannel does something on a channel of its own, as app.
func (s *Server) onChannel(what string, do func(*amqp.Channel) (amqp.Queue, error)) amqp.Queue {
	s.lab.t.Helper()
	conn, err := amqp.Dial(s.URL("app"))
	if err != nil {
		s.lab.t.Fatalf("lab: %s: %v", s.name, err)
	}
	defer func() { _ = conn.Close() }()
	channel, err := conn.Channel()
	var q amqp.Queue
	if err == nil {
		q, err = do(channel)
	}
	if err != nil {
		s.lab.t.Fatalf("lab: %s: %s: %v", s.name, what, err)
	}
	return q
}

// Part has all packets between the server and others vanish, both ways, while
// everybody else reaches them: a network that is split. [Server.Heal] ends it.
func (s *Server) Part(others ...*Server) {
	s.lab.t.Helper()
	var from []string
	for _, other := range others {
		from = append(from, other.ip)
	}
	s.MustExec("iptables", "-I", "INPUT", "-s", strings.Join(from, ","), "-j", "DROP")
	s.MustExec("iptables", "-I", "OUTPUT", "-d", strings.Join(from, ","), "-j", "DROP")
}
