package main

import (
	"slices"
	"strings"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/amqp"
	"github.com/reattach/reattach/probe/memcached"
	"github.com/reattach/reattach/probe/mysql"
	"github.com/reattach/reattach/probe/smtp"
)

// protocols returns every protocol that endpoints may speak.
func protocols() []probe.Protocol {
	return []probe.Protocol{mysql.Protocol, amqp.Protocol, smtp.Protocol, memcached.Protocol}
}

// protocolOf returns the protocol that serves a scheme.
func protocolOf(scheme string) (probe.Protocol, bool) {
	for _, p := range protocols() {
		if _, ok := p.Scheme(scheme); ok {
			return p, true
		}
	}
	return probe.Protocol{}, false
}

// schemes lists every scheme, for messages.
func schemes() string {
	var all []string
	for _, p := range protocols() {
		for _, s := range p.Schemes {
			all = append(all, s.Name)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
