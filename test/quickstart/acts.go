package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// act is one way in which a server is lost, and what must come of it.
type act struct {
	title    string
	sentence string
	resource string
	handle   string
	from, to string
	fault    string // what is done to the server
	// strike does it and returns when.
	strike func(ctx context.Context, container string) (time.Time, error)
}

var acts = []act{
	{"MariaDB: its process is killed", "The host lives on, and refuses connections.",
		"orders-db", "DATABASE_URL", "mariadb-1", "mariadb-2", "killed", kill},
	{"RabbitMQ: it hangs", "The kernel still accepts connections; nobody answers on them.",
		"orders-queue", "AMQP_URL", "rabbitmq-1", "rabbitmq-2", "paused", by("pause")},
	{"Postfix: its host vanishes", "Nobody has the address any more.",
		"mail", "SMTP_URL", "postfix-1", "postfix-2", "gone", by("kill")},
	{"memcached: the network parts", "It runs, and its packets get lost.",
		"sessions", "CACHE_URL", "memcached-1", "memcached-2", "cut off", by("network", "disconnect", network)},
}

// kill ends the server's process, and leaves its container alive. The lab's own
// command says when it did.
func kill(ctx context.Context, container string) (time.Time, error) {
	out, err := docker(ctx, "exec", container, "lab-ctl", "kill")
	if err != nil {
		return time.Time{}, err
	}
	micros, err := strconv.ParseInt(strings.Replace(strings.TrimSpace(out), ".", "", 1), 10, 64)
	return time.UnixMicro(micros), err
}

// by is a fault that a docker command brings about.
func by(args ...string) func(context.Context, string) (time.Time, error) {
	return func(ctx context.Context, container string) (time.Time, error) {
		at := time.Now()
		_, err := docker(ctx, append(args[:len(args):len(args)], container)...)
		return at, err
	}
}

// play loses one server and tells what follows.
func (s *stage) play(ctx context.Context, n *narrator, a act) error {
	n.act(a.title, a.sentence)
	container := network + "-" + a.from
	at, err := a.strike(ctx, container)
	if err != nil {
		return err
	}
	n.moment(0, a.fault, a.from)
	written, err := s.daemonLog.await(ctx, at, 20*time.Second, func(e event) bool {
		return e.Msg == "switched" && e.Resource == a.resource
	})
	if err != nil {
		n.expect(false, a.resource+" is switched to "+a.to+" within 20 s")
		return s.show(ctx, n, a.resource)
	}
	records, err := history(ctx, a.resource)
	if err != nil {
		return err
	}
	last := records[0]
	s.tell(n, a, at, written, last)
	restarted, err := s.appLog.await(ctx, written.Time, 10*time.Second, func(e event) bool { return e.Msg == "started" })
	if err != nil {
		n.expect(false, "consul-template restarts the application within 10 s")
		return nil
	}
	n.moment(restarted.Time.Sub(at), "restarted", "consul-template rendered the file and restarted the application")
	attached, err := s.attached(ctx, written.Time, a.resource, a.to)
	if err != nil {
		n.expect(false, "the application writes to "+a.to+" within 15 s")
		return nil
	}
	n.moment(attached.Time.Sub(at), "re-attached", "the application wrote to "+n.in(bold, a.to))
	n.expect(written.To == a.to && last.Kind == policy.Failover && last.Automatic && len(records) == 2,
		fmt.Sprintf("one switch, %s to %s, one record in history", a.from, a.to))
	return nil
}

// tell says what was seen, decided and written.
func (s *stage) tell(n *narrator, a act, at time.Time, written event, r failover.Record) {
	seconds := func(f float64) time.Duration { return time.Duration(f * float64(time.Second)) }
	first := r.At.Add(-seconds(r.Times.Total))
	n.moment(first.Sub(at), "seen", seen(r, a.from))
	n.moment(first.Add(seconds(r.Times.Detect)).Sub(at), "decided", a.from+" is down, "+a.to+" is up, all gates are open")
	n.moment(written.Time.Sub(at), "written", "quickstart/"+a.handle+" names "+a.to+", in one transaction")
}

// seen is what the votes of a switch say of an endpoint, in words. A switch
// counts from the beginning of the first conversation that failed.
func seen(r failover.Record, endpoint string) string {
	for _, vote := range r.Votes {
		for _, saw := range vote.Saw {
			if saw.Endpoint != endpoint {
				continue
			}
			switch saw.Class {
			case probe.Refused:
				return endpoint + " refuses connections; the examination begins"
			case probe.Timeout:
				return "the first probe that gets no answer in time begins"
			case probe.Unreachable:
				return "the first probe that finds nobody at the address begins"
			}
			return endpoint + " fails (" + saw.Class.String() + ")"
		}
	}
	return endpoint + " fails"
}

// show prints what explain says.
func (s *stage) show(ctx context.Context, n *narrator, resource string) error {
	out, err := ask(ctx, "explain", resource)
	if err != nil {
		return err
	}
	n.quote("reattach explain "+resource, out)
	return nil
}

// wrongPassword changes the password under the daemon's feet, and back.
func (s *stage) wrongPassword(ctx context.Context, n *narrator) error {
	n.act("MariaDB: somebody changes the password", "A server that answers is alive: this must not become a failover.")
	const resource, server = "orders-db", "mariadb-1"
	before, err := status(ctx)
	if err != nil {
		return err
	}
	at := time.Now()
	if err := password(ctx, server, "another"); err != nil {
		return err
	}
	n.moment(0, "changed", "the account of application and probe, on "+server)
	rejected, err := awaitStatus(ctx, 15*time.Second, func(st failover.Status) bool {
		r := of(st, resource)
		return r.Hold != nil || r.Endpoints[0].Class.String() == "auth" && r.Endpoints[0].State != policy.Up
	})
	if err != nil {
		n.expect(false, "a conversation with the old password is rejected, and seen")
		return s.show(ctx, n, resource)
	}
	n.moment(rejected.AsOf.Sub(at), "seen", server+" rejects the credentials")
	// Twice what a failure would have to last.
	if err := pause(ctx, 2*time.Second); err != nil {
		return err
	}
	if err := s.show(ctx, n, resource); err != nil {
		return err
	}
	after, err := status(ctx)
	if err != nil {
		return err
	}
	n.expect(of(after, resource).Attached == server && of(after, resource).Epoch == of(before, resource).Epoch,
		fmt.Sprintf("no switch in %.1f s: %s stays attached", after.AsOf.Sub(rejected.AsOf).Seconds(), server))
	if err := password(ctx, server, secrets["APP_PASSWORD"]); err != nil {
		return err
	}
	_, err = awaitStatus(ctx, 15*time.Second, func(st failover.Status) bool {
		r := of(st, resource)
		return r.Endpoints[0].State == policy.Up && r.Protected
	})
	n.expect(err == nil, "with the password put back, "+server+" is up and protected again")
	return nil
}

// password sets the application's password on one server only.
func password(ctx context.Context, server, text string) error {
	_, err := docker(ctx, "exec", network+"-"+server, "mariadb", "-e",
		"SET sql_log_bin = 0; ALTER USER app@'%' IDENTIFIED BY '"+text+"'")
	return err
}

// epilogue holds the whole against what was promised.
func (s *stage) epilogue(ctx context.Context, n *narrator) error {
	n.title("In the end")
	st, err := status(ctx)
	if err != nil {
		return err
	}
	switched := true
	for _, a := range acts {
		r := of(st, a.resource)
		switched = switched && r.Attached == a.to && r.Epoch == 2 && r.Condition == policy.Ours.String()
	}
	n.expect(switched, "each of the four was switched once, and to its standby")
	out, err := docker(ctx, "exec", network+"-mariadb-2", "mariadb", "-N", "-e",
		"SELECT CONCAT(IFNULL(SUM(id%2=1),0), ' ', IFNULL(SUM(id%2=0),0)) FROM orders.orders")
	if err != nil {
		return err
	}
	var replicated, own int
	_, err = fmt.Sscan(out, &replicated, &own)
	n.expect(err == nil && replicated > 0 && own > 0,
		fmt.Sprintf("mariadb-2 holds the %d orders replicated from mariadb-1 and %d written since", replicated, own))
	clean := true
	for _, text := range []string{s.daemonLog.lines(), s.appLog.lines()} {
		for _, secret := range secrets {
			clean = clean && text != "" && !strings.Contains(text, secret)
		}
	}
	n.expect(clean, "no password or token in anything that was logged")
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
