package lab

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
)

// Response codes of a name server (RFC 1035, section 4.1.1).
const (
	DNSServerFailure = 2
	DNSNameError     = 3
)

// DNS is a name server on loopback, the only one that this process asks until the
// test's end: names can be made, moved and spoilt. It knows addresses of version 4,
// and says that they may be kept for no time at all.
type DNS struct {
	t      T
	server net.PacketConn

	mu     sync.Mutex
	names  map[string][]netip.Addr
	code   int
	silent bool
}

// NewDNS starts a name server that knows no name. Nothing else in this process may
// look up a name meanwhile: it would be asked, too.
func NewDNS(t T) *DNS {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("lab: name server: %v", err)
	}
	d := &DNS{t: t, server: server, names: map[string][]netip.Addr{}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.serve()
	}()
	old := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = old
		_ = server.Close()
		<-ended
	})
	return d
}

// Point gives a name these addresses, in this order, instead of those it had.
func (d *DNS) Point(name string, addrs ...string) {
	d.t.Helper()
	var list []netip.Addr
	for _, a := range addrs {
		addr, err := netip.ParseAddr(a)
		if err != nil || !addr.Is4() {
			d.t.Fatalf("lab: name server: %q is no address of version 4", a)
		}
		list = append(list, addr)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names[name+"."] = list
}

// Fail has it answer every question with that code.
func (d *DNS) Fail(code int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.code = code
}

// Silence has it answer nothing.
func (d *DNS) Silence() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.silent = true
}

func (d *DNS) serve() {
	query := make([]byte, 512)
	for {
		n, from, err := d.server.ReadFrom(query)
		if err != nil {
			return
		}
		if reply := d.reply(query[:n]); reply != nil {
			_, _ = d.server.WriteTo(reply, from)
		}
	}
}

// reply answers one question; nil is silence. A query is its 12 bytes of header,
// the labels of the name, type and class, and perhaps more.
func (d *DNS) reply(query []byte) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	var name strings.Builder
	end := 12
	for end < len(query) && query[end] != 0 {
		next := end + 1 + int(query[end])
		if next >= len(query) {
			return nil
		}
		name.Write(query[end+1 : next])
		name.WriteByte('.')
		end = next
	}
	if end += 5; d.silent || end > len(query) {
		return nil
	}
	addrs, known := d.names[name.String()]
	code := d.code
	if code == 0 && !known {
		code = DNSNameError
	}
	if isA := query[end-3] == 1; !isA || code != 0 {
		addrs = nil
	}
	out := append([]byte{query[0], query[1], 0x81, 0x80 | byte(code), 0, 1, 0, byte(len(addrs)), 0, 0, 0, 0}, query[12:end]...)
	for _, a := range addrs {
		ip := a.As4()
		out = append(append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4), ip[:]...)
	}
	return out
}
