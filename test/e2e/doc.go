// Package e2e holds the end-to-end tests: the real binary with real
// configuration files, real servers, a real Consul with ACLs on and the least
// policy of deployments/consul, consul-template, and the clients that
// applications use. Nothing here looks into the daemon's memory; what it says of
// itself is asked as a person asks, over its socket.
//
// Servers and Consul are shared by all tests of a run and started when the first
// one asks. Each test has its own resource, handles and token, and mends what it
// breaks.
package e2e
