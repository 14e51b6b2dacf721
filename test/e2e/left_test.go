package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// TestLeftWork: what a switch of a broker and of a relay leaves is told, with where
// it is, and the command that is told lists it there.
func TestLeftWork(t *testing.T) {
	need(t)
	brokers, mail := queues(), relays()
	queue := daemon.Resource{Name: unique("left-queue"), A: brokers.Active.URL("app"), B: brokers.Standby.URL("app"), Policy: daemon.Fast, More: `  require = ["queue(orders)"]`}
	relay := daemon.Resource{Name: unique("left-relay"), A: mail.Active.URL(""), B: mail.Standby.URL(""), Policy: daemon.Fast}
	queue.Handle, relay.Handle = queue.Name+"/AMQP_URL", relay.Name+"/SMTP_URL"
	put(t, queue.Handle, queue.A)
	put(t, relay.Handle, relay.A)
	d := daemon.New(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, queue.Handle, relay.Handle)), queue, relay))
	d.Start()
	for _, left := range []struct {
		daemon.Resource
		server *lab.Server
		env    string
		lists  string // what the command shows there
	}{
		{queue, brokers.Active, "HOME=/var/lib/rabbitmq RABBITMQ_NODENAME=rabbit@localhost", "orders"},
		{relay, mail.Active, "", "queue is empty"},
	} {
		d.Protected(left.Name)
		if out, err := d.Command("switchover", left.Name, "--to", "b", "--reason", "to leave work"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		d.Told("left_work", left.server.IP(), 10*time.Second)
		n := lastTold(t, d, "left_work", left.Name)
		if n.Next == "" || !strings.HasSuffix(n.Text, n.Next) {
			t.Errorf("no command is told: %+v", n)
		}
		if out := left.server.MustExec("sh", "-c", left.env+" "+n.Next); !strings.Contains(out, left.lists) {
			t.Errorf("%s shows no %q:\n%s", n.Next, left.lists, out)
		}
	}
	if n := lastTold(t, d, "left_work", queue.Name); !strings.Contains(n.Text, "known queues: orders") {
		t.Errorf("the queue is not named: %s", n.Text)
	}
}

// lastTold is the last notice of a kind about a resource.
func lastTold(t *testing.T, d *daemon.Daemon, event, resource string) (last failover.Notice) {
	t.Helper()
	out, err := d.Command("events", resource, "--json")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range strings.Lines(out) {
		var n failover.Notice
		if json.Unmarshal([]byte(line), &n) == nil && n.Event == event {
			last = n
		}
	}
	return last
}
