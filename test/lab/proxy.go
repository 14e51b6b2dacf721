package lab

import (
	"io"
	"net"
	"sync"
	"time"
)

// Behaviour is what a [Proxy] does with connections.
type Behaviour struct {
	// Delay is waited before each piece is passed on, in both directions.
	Delay time.Duration
	// Pace passes bytes from the server on one at a time, that far apart.
	Pace time.Duration
	// Greeting is sent to the client, and the server is never asked: garbage.
	Greeting []byte
	// Reset closes by RST as soon as a connection is accepted.
	Reset bool
	// Close closes by FIN as soon as a connection is accepted, after the Greeting.
	Close bool
	// Silent accepts, reads, and never answers.
	Silent bool
	// CutAfter closes by RST once that many bytes came from the server; 0: never.
	CutAfter int64
	// HalfOpen stops passing anything on, in either direction, and closes nothing:
	// what a NAT that forgot the connection does. New connections hang, too.
	HalfOpen bool
}

// Proxy is a TCP proxy on loopback that spoils conversations on request. Its
// behaviour holds for new connections; Delay and HalfOpen for open ones, too.
type Proxy struct {
	t        T
	target   string
	listener net.Listener
	group    sync.WaitGroup

	mu        sync.Mutex
	behaviour Behaviour
	changed   chan struct{}
	conns     map[net.Conn]struct{}
	accepted  int
	closed    chan struct{}
}

// NewProxy listens on a free port of 127.0.0.1 and passes connections on to
// target (host:port), which may be "" where the behaviour never asks the server.
// It ends with t, and its goroutines with it.
func NewProxy(t T, target string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("lab: proxy: %v", err)
	}
	p := &Proxy{
		t: t, target: target, listener: listener,
		changed: make(chan struct{}), closed: make(chan struct{}), conns: map[net.Conn]struct{}{},
	}
	p.group.Go(p.accept)
	t.Cleanup(p.Close)
	return p
}

// Addr is where the proxy listens, host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set changes what the proxy does from now on.
func (p *Proxy) Set(b Behaviour) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.behaviour = b
	close(p.changed)
	p.changed = make(chan struct{})
}

// Accepted counts the connections so far.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// CutAll closes every open connection by RST.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		reset(conn)
	}
}

// Close ends the proxy; calling it again does nothing.
func (p *Proxy) Close() {
	p.mu.Lock()
	select {
	case <-p.closed:
		p.mu.Unlock()
		return
	default:
	}
	close(p.closed)
	_ = p.listener.Close()
	for conn := range p.conns {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.group.Wait()
}

func (p *Proxy) current() (Behaviour, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.behaviour, p.changed
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		if !p.track(conn) {
			return
		}
		p.group.Go(func() { p.serve(conn) })
	}
}

// track remembers a connection for Close; false when the proxy is closed already.
func (p *Proxy) track(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.closed:
		_ = conn.Close()
		return false
	default:
	}
	p.conns[conn] = struct{}{}
	return true
}

func (p *Proxy) forget(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
	_ = conn.Close()
}

func (p *Proxy) serve(client net.Conn) {
	defer p.forget(client)
	p.mu.Lock()
	p.accepted++
	p.mu.Unlock()
	b, _ := p.current()
	if b.Reset {
		reset(client)
		return
	}
	if len(b.Greeting) > 0 {
		p.drip(client, b.Greeting, b)
	}
	if b.Close {
		return
	}
	if b.Silent || len(b.Greeting) > 0 {
		_, _ = io.Copy(io.Discard, client)
		return
	}
	if !p.pass(b) {
		return
	}
	server, err := net.DialTimeout("tcp", p.target, 10*time.Second)
	if err != nil || !p.track(server) {
		reset(client)
		return
	}
	defer p.forget(server)
	var both sync.WaitGroup
	both.Go(func() { p.copy(server, client, false) })
	both.Go(func() { p.copy(client, server, true) })
	both.Wait()
}

// copy passes bytes on until either side ends; fromServer is the direction that
// Pace and CutAfter are about.
func (p *Proxy) copy(to, from net.Conn, fromServer bool) {
	defer func() {
		if tcp, ok := to.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	}()
	buffer := make([]byte, 32<<10)
	var passed int64
	for {
		n, err := from.Read(buffer)
		b, _ := p.current()
		if !p.pass(b) {
			return
		}
		if n > 0 {
			if fromServer && b.CutAfter > 0 && passed+int64(n) > b.CutAfter {
				_, _ = to.Write(buffer[:b.CutAfter-passed])
				reset(to)
				reset(from)
				return
			}
			passed += int64(n)
			if !fromServer {
				b.Pace = 0
			}
			if !p.drip(to, buffer[:n], b) {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits out a half-open spell and the delay; false when the proxy closed.
func (p *Proxy) pass(b Behaviour) bool {
	for b.HalfOpen {
		var changed <-chan struct{}
		if b, changed = p.current(); !b.HalfOpen {
			break
		}
		select {
		case <-changed:
		case <-p.closed:
			return false
		}
	}
	return p.sleep(b.Delay)
}

// drip writes data, byte by byte when there is a pace; false when that failed.
func (p *Proxy) drip(to net.Conn, data []byte, b Behaviour) bool {
	if b.Pace == 0 {
		_, err := to.Write(data)
		return err == nil
	}
	for i := range data {
		if _, err := to.Write(data[i : i+1]); err != nil || !p.sleep(b.Pace) {
			return false
		}
	}
	return true
}

func (p *Proxy) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.closed:
		return false
	}
}

// reset closes a connection so that its peer sees RST, not FIN.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
