package steps

import (
	"context"
	"fmt"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// commands are those of the page about steps in the block that holds a word, with
// what stands there for a site's own names replaced.
func commands(t *testing.T, word string, own ...string) []string {
	t.Helper()
	for _, m := range shell.FindAllStringSubmatch(page(t), -1) {
		if !strings.Contains(m[1], word) {
			continue
		}
		var all []string
		for line := range strings.Lines(strings.NewReplacer(own...).Replace(m[1])) {
			command, _, _ := strings.Cut(line, "  #")
			all = append(all, strings.TrimSpace(command))
		}
		return all
	}
	t.Fatalf("the page has no commands with %s", word)
	return nil
}

// TestQueueIsMoved: what was left in a broker's queue gets to another one by the
// commands of the page, all of it.
func TestQueueIsMoved(t *testing.T) {
	lab.Need(t)
	t.Parallel()
	l := lab.New(t)
	left, next := l.RabbitMQ(), l.RabbitMQ()
	const messages = 50
	channel, other := channelTo(t, left), channelTo(t, next)
	if err := channel.Confirm(false); err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		m := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: fmt.Append(nil, i)}
		confirm, err := channel.PublishWithDeferredConfirm("", "orders", true, false, m)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := confirm.WaitContext(context.Background()); !ok || err != nil {
			t.Fatalf("message %d: %v, %v", i, ok, err)
		}
	}
	for i, command := range commands(t, "rabbitmq_shovel", "mq2.internal", next.Addr(), "…", lab.Password("app")) {
		out := left.MustExec("env", "HOME=/var/lib/rabbitmq", "RABBITMQ_NODENAME=rabbit@localhost", "sh", "-c", command)
		t.Logf("%s\n%s", command, out)
		if i == 0 && !strings.Contains(out, fmt.Sprintf("orders\t%d\n", messages)) {
			t.Error("it does not list what is left")
		}
	}
	daemon.Eventually(t, patience, "all is moved", func() bool {
		return waiting(t, channel) == 0 && waiting(t, other) == messages
	}, left.Logs)
}

// channelTo is an application's channel to a broker, until the test ends.
func channelTo(t *testing.T, s *lab.Server) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(s.URL("app"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	channel, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return channel
}

// waiting counts the messages that wait in the queue.
func waiting(t *testing.T, channel *amqp.Channel) int {
	t.Helper()
	queue, err := channel.QueueDeclarePassive("orders", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return queue.Messages
}

// TestMailIsMoved: what a relay could not pass on goes out by another one, by the
// commands of the page.
func TestMailIsMoved(t *testing.T) {
	lab.Need(t)
	t.Parallel()
	l := lab.New(t)
	next := l.Postfix()
	left := l.Postfix(lab.Args("myhostname=mail1.lab.test", "mydestination=localhost", "default_transport=smtp", "relayhost=[127.0.0.1]:9"))
	left.MustExec("sh", "-c", "printf 'Subject: an order\n\nfor the mailbox\n' | sendmail orders@lab.test")
	daemon.Eventually(t, patience, "it waits in the queue", func() bool {
		return strings.Contains(left.MustExec("sh", "-c", "postqueue -p"), "Connection refused")
	}, left.Logs)
	for _, command := range commands(t, "relayhost", "mail2.internal", next.IP()) {
		t.Logf("%s\n%s", command, left.MustExec("sh", "-c", command))
	}
	daemon.Eventually(t, patience, "it is delivered", func() bool {
		out, _ := next.Exec("cat", "/var/mail/orders")
		return strings.Contains(out, "for the mailbox")
	}, left.Logs, next.Logs)
	daemon.Eventually(t, patience, "nothing is left", func() bool {
		return strings.Contains(left.MustExec("postqueue", "-p"), "Mail queue is empty")
	}, left.Logs)
}
