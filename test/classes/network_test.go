package classes

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/test/lab"
)

// short is a timeout for servers that will not answer.
const short = 700 * time.Millisecond

// nothing is done to a server that is well.
const nothing = "nothing, it is well"

// well is the row of a server to which nothing was done.
func well(deepest probe.Phase) row {
	return row{done: nothing, outcome: outcome{class: probe.OK, phase: deepest},
		does: func(t *testing.T, b *bench) probe.Result { return b.probe(t, b.url) }}
}

// network is what can be done to any server, and between it and us. first is
// the phase in which the protocol waits for the server's first words.
func network(first probe.Phase) []row {
	at := func(c probe.Class, p probe.Phase) outcome { return outcome{class: c, phase: p} }
	gone := at(probe.Timeout, probe.PhaseConnect)
	away := func(done string, o outcome, or *outcome, timeout time.Duration, begin, end func(*bench)) row {
		return row{done: done, outcome: o, or: or, does: func(t *testing.T, b *bench) probe.Result {
			begin(b)
			r := b.probe(t, b.url, within(timeout))
			end(b)
			eventually(t, "it serves again after: "+done, func() bool { return b.probe(t, b.url).Class == probe.OK })
			return r
		}}
	}
	rows := []row{
		away("its process killed (SIGKILL)", at(probe.Refused, probe.PhaseConnect), nil, short,
			func(b *bench) { b.KillProcess() }, (*bench).StartProcess),
		away("stopped in good order (SIGTERM)", at(probe.Refused, probe.PhaseConnect), nil, short, (*bench).stop, (*bench).StartProcess),
		away("its process frozen (SIGSTOP)", at(probe.Timeout, first), nil, short,
			func(b *bench) { b.Freeze() }, (*bench).Thaw),
		away("its container paused", at(probe.Timeout, first), nil, short,
			func(b *bench) { b.Pause() }, (*bench).Unpause),
		away("its host gone (container killed)", at(probe.Unreachable, probe.PhaseConnect), &gone, 5*time.Second,
			func(b *bench) { b.KillContainer() }, (*bench).StartContainer),
		away("cut off from the network, still running", at(probe.Unreachable, probe.PhaseConnect), &gone, 5*time.Second,
			func(b *bench) { b.Disconnect() }, (*bench).Connect),
		away("packets dropped by a firewall", gone, nil, short,
			func(b *bench) { b.Drop(0) }, (*bench).Heal),
	}
	for _, reject := range []struct {
		done, with string
		class      probe.Class
	}{
		{"rejected by a firewall with a TCP reset", "tcp-reset", probe.Refused},
		{"rejected by a firewall with ICMP port unreachable", "icmp-port-unreachable", probe.Refused},
		{"rejected by a firewall with ICMP host prohibited", "icmp-host-prohibited", probe.Unreachable},
		{"rejected by a router with ICMP net unreachable", "icmp-net-unreachable", probe.Local},
	} {
		rows = append(rows, away(reject.done, at(reject.class, probe.PhaseConnect), nil, short,
			func(b *bench) {
				b.MustExec("iptables", "-I", "INPUT", "-p", "tcp", "--dport", strconv.Itoa(b.Port()), "-j", "REJECT", "--reject-with", reject.with)
			}, (*bench).Heal))
	}
	return append(rows, proxied(first)...)
}

// stop ends the server's process and returns once nobody listens any more.
func (b *bench) stop() {
	const mark = "server gone" // what the container's init prints
	ended := strings.Count(b.Logs(), mark)
	b.Stop()
	listens := func() bool { // its children may hold the socket for a moment longer than itself
		conn, err := net.DialTimeout("tcp", b.Addr(), time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	for end := time.Now().Add(30 * time.Second); (strings.Count(b.Logs(), mark) == ended || listens()) && time.Now().Before(end); {
		<-time.After(50 * time.Millisecond)
	}
}

// proxied is what something between us and the server can do.
func proxied(first probe.Phase) (rows []row) {
	for _, spoil := range []struct {
		done      string
		behaviour lab.Behaviour
		class     probe.Class
	}{
		{"accepted and reset at once, as by a balancer without a backend", lab.Behaviour{Reset: true}, probe.Reset},
		{"accepted and closed at once", lab.Behaviour{Close: true}, probe.Reset},
		{"accepted, and never answered", lab.Behaviour{Silent: true}, probe.Timeout},
		{"forgotten by a NAT: nothing passes, nothing is closed", lab.Behaviour{HalfOpen: true}, probe.Timeout},
		{"cut in its first words", lab.Behaviour{CutAfter: 3}, probe.Reset},
		{"an HTTP proxy answers in its place (503)", lab.Behaviour{Greeting: []byte("HTTP/1.0 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")}, probe.Garbled},
		{"an SSH server answers in its place", lab.Behaviour{Greeting: []byte("SSH-2.0-OpenSSH_9.9\r\n")}, probe.Garbled},
		{"its words come a byte every 200 ms", lab.Behaviour{Pace: 200 * time.Millisecond}, probe.Timeout},
	} {
		row := row{done: spoil.done, outcome: outcome{class: spoil.class, phase: first}}
		if spoil.behaviour.Reset || spoil.behaviour.CutAfter > 0 { // the reset may be quicker than our first look
			row.or = &outcome{class: probe.Reset, phase: probe.PhaseConnect}
		}
		row.does = func(t *testing.T, b *bench) probe.Result {
			proxy := lab.NewProxy(t, b.Addr())
			proxy.Set(spoil.behaviour)
			defer proxy.Close()
			return b.probe(t, strings.Replace(b.url, b.Addr(), proxy.Addr(), 1), within(short))
		}
		rows = append(rows, row)
	}
	return rows
}

// certified are the rows about a server's certificate. secure is a URL that
// wants one; use has the server take another one, which must be valid
// still: MySQL takes no other.
func certified(deepest probe.Phase, secure func(*bench) string, use func(t *testing.T, b *bench, cert, key []byte)) []row {
	bad := outcome{class: probe.TLS, phase: probe.PhaseTLS}
	with := func(until time.Duration, hosts func(*bench) []string, o outcome, done string) row {
		return row{done: done, outcome: o, does: func(t *testing.T, b *bench) probe.Result {
			cert, key := b.lab.Certificate(time.Now().Add(until), hosts(b)...)
			use(t, b, cert, key)
			var r probe.Result
			trusting, verified := b.trusting(), mode(probe.TLSVerify)
			eventually(t, done, func() bool { r = b.probe(t, secure(b), trusting, verified); return r.Class == o.class })
			return r
		}}
	}
	own := func(b *bench) []string { return []string{b.Name(), b.IP(), "localhost"} }
	other := func(*bench) []string { return []string{"elsewhere.test"} }
	return []row{
		{done: "its certificate is of an authority that we do not trust", outcome: bad,
			does: func(t *testing.T, b *bench) probe.Result { return b.probe(t, secure(b), mode(probe.TLSVerify)) }},
		with(4*time.Second, own, bad, "its certificate has expired"),
		with(time.Hour, other, bad, "its certificate is of another name"),
		with(time.Hour, own, outcome{class: probe.OK, phase: deepest}, "its certificate renewed, and trusted"),
	}
}
