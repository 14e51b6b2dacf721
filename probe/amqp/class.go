package amqp

import (
	"strconv"
	"strings"

	"github.com/reattach/reattach/probe"
)

// rule says what a reply code means, where text must occur in the reply. The
// protocol has one code, 530, for a missing vhost, a missing right and a limit:
// only its words tell them apart.
type rule struct {
	code  uint16
	text  string
	class probe.Class
}

// rules are tried in order. A broker that says any of this is alive and speaks
// the protocol, so none of them is evidence of failure.
var rules = []rule{
	{320, "", probe.Degraded},      // connection-forced: maintenance, shutdown, or a person closed it
	{402, "", probe.Misconfigured}, // invalid-path: no such vhost, on old brokers
	{403, "", probe.Auth},          // access-refused
	{404, "", probe.Misconfigured}, // not-found
	{405, "", probe.Degraded},      // resource-locked
	{406, "", probe.Misconfigured}, // precondition-failed
	{501, "", probe.Misconfigured}, // frame-error, and the next four: it does
	{502, "", probe.Misconfigured}, // not understand what a probe says, or
	{503, "", probe.Misconfigured}, // something between us changes it
	{504, "", probe.Misconfigured},
	{505, "", probe.Misconfigured},
	{506, "", probe.Overloaded},                 // resource-error
	{530, ") is reached", probe.Overloaded},     // connection limit of a vhost, a user or the node
	{530, " has reached the", probe.Overloaded}, // its channel limit
	{530, " not found", probe.Misconfigured},    // no such vhost
	{530, " refused for user ", probe.Auth},     // no right on the vhost
	{530, "", probe.Misconfigured},              // not-allowed, for another reason
	{540, "", probe.Misconfigured},              // not-implemented
	{541, "", probe.Degraded},                   // internal-error: the vhost is down, others may serve
}

// classOf returns the class of a reply code; a code that nobody knows is still
// an answer.
func classOf(code uint16, text string) probe.Class {
	for _, r := range rules {
		if r.code == code && strings.Contains(text, r.text) {
			return r.class
		}
	}
	return probe.Degraded
}

// failure reads the arguments of connection.close or channel.close.
func failure(args []byte) error {
	d := decoder{b: args}
	code, text := d.u16(), d.short()
	if d.bad {
		return garbled("a close that cannot be read")
	}
	return probe.Failure{Class: classOf(code, text), Code: strconv.Itoa(int(code)), Text: text}
}

// blocked reads the arguments of connection.blocked.
func blocked(args []byte) *probe.Failure {
	d := decoder{b: args}
	return &probe.Failure{Class: probe.Degraded, Code: "blocked", Text: "the broker blocks publishers: " + d.short()}
}
