// Package amqp probes RabbitMQ and other brokers of AMQP 0-9-1.
//
// A conversation is header, start, start-ok, tune, tune-ok, open and open-ok,
// then a channel with one basic.qos as its round trip, then close and close-ok.
// All of it together costs the broker a few info lines in its log. Held open,
// the session repeats basic.qos as its ping and keeps the heartbeat going.
//
// A memory or disk alarm is told only to those who publish while it is on. So
// there is a canary: at a slow pace, a throwaway conversation publishes one empty
// message that no queue can receive, and is told. An account that may not write
// to the default exchange cannot see alarms; that is a fact, and no failure.
//
// What an application needs of its vhost is learnt only where it is wanted: the
// facts queue(NAME) and exchange(NAME) by passive declares, each on a channel of
// its own beside the conversation's, and confirms by a message of the canary to a
// queue that a person made for it. None of them changes the class of a result.
//
// What leaves a trace: a name that is missing, which the broker logs as an error
// of its channel each time; stopping before the vhost is open (depth greeting), a
// broker that falls silent in the middle, and a conversation that an alarm
// blocked, which the broker drops when its next heartbeat fails, after some 10
// seconds. Each is a warning or an error in its log, which the protocol gives no
// way to avoid.
package amqp

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/reattach/reattach/probe"
)

// Protocol is AMQP 0-9-1 as the rest of the program knows it.
var Protocol = probe.Protocol{
	Name: "amqp",
	Schemes: []probe.Scheme{
		{Name: "amqp", Port: "5672", TLS: probe.TLSOff},
		{Name: "amqps", Port: "5671", TLS: probe.TLSVerify},
	},
	Prober: prober{},
	Holds:  true,
	Canary: probe.PhaseWrite,
	Depths: []probe.Phase{probe.PhaseWrite},
	Defaults: probe.Defaults{
		Interval: time.Second, FreshInterval: 30 * time.Second, Timeout: 5 * time.Second,
		SuspectInterval: 200 * time.Millisecond, Sustain: 15 * time.Second,
		// A wrong password may be answered by seconds of silence.
		TimeoutFloor: 5 * time.Second, RestartTime: 10 * time.Second, CanaryInterval: 30 * time.Second,
	},
	Traits: probe.Traits{LeftWork: true, LeftWorkCommand: listQueues},
	Facts: []probe.Fact{
		{Name: "product", Type: "string", Meaning: "what the broker calls itself: RabbitMQ", Phase: probe.PhaseGreet},
		{Name: "version", Type: "string", Meaning: "the broker's version: 4.0.5", Phase: probe.PhaseGreet},
		{Name: "cluster_name", Type: "string", Meaning: "the cluster's name; every node of it has the same, so it is no server id", Phase: probe.PhaseGreet},
		{Name: queue + "(NAME)", Type: "bool", Meaning: "the vhost has a queue of that name, and it answers; that says nothing of a quorum queue's majority", Privileged: true},
		{Name: exchange + "(NAME)", Type: "bool", Meaning: "the vhost has an exchange of that name", Privileged: true},
		{Name: confirms, Type: "bool", Meaning: "the queue reattach.canary, made for this, confirms a message: as a quorum queue, it has a majority", Phase: probe.PhaseWrite, Privileged: true},
		{Name: "missing_privilege", Type: "string", Meaning: "what the account lacks to see alarms and what is required: write on amq.default", Phase: probe.PhaseWrite},
		{Name: "tls_version", Type: "string", Meaning: "the version of TLS spoken: TLS 1.3", Phase: probe.PhaseTLS},
		{Name: "tls_expiry", Type: "string", Meaning: "when the first certificate of the broker's chain ends, RFC 3339", Phase: probe.PhaseTLS},
	},
	Grant: grant,
	Check: func(u probe.URL) error {
		_, err := vhost(u)
		return err
	},
}

var errVhost = errors.New(`the path "/" names the vhost "" for some clients and "/" for others: leave it out, or write /%2F, for the vhost "/"`)

// listQueues is what lists the messages that were left in a vhost.
func listQueues(u probe.URL) string {
	name, err := vhost(u)
	if err != nil {
		name = "/"
	}
	return "rabbitmqctl list_queues --vhost " + name + " name messages"
}

// vhost returns the vhost that a URL names.
func vhost(u probe.URL) (string, error) {
	switch u.Path {
	case "":
		return "/", nil
	case "/":
		return "", errVhost
	}
	name, err := url.PathUnescape(u.Path[1:])
	if err != nil {
		return "", errors.New("an escape in the vhost is broken: write % as %25")
	}
	if len(name) > shortLimit {
		return "", fmt.Errorf("the vhost has %d bytes; the protocol takes %d", len(name), shortLimit)
	}
	return name, nil
}
