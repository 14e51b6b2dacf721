package httpapi

import (
	"errors"
	"net"
	"testing"
)

// One connection too many waits until another is closed, or the door is.
func TestConnectionsAreBounded(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &limited{Listener: ln, room: make(chan struct{}, 1), closed: make(chan struct{})}
	defer l.Close()
	accepted := make(chan net.Conn)
	ended := make(chan error, 1)
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- nc
		}
	}()
	dial := func() {
		nc, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { _ = nc.Close() })
	}
	dial()
	dial()
	first := <-accepted
	if len(l.room) != 1 {
		t.Errorf("%d of 1 places taken", len(l.room))
	}
	select {
	case <-accepted:
		t.Fatal("a second connection was let in")
	default:
	}
	_ = first.Close()
	_ = first.Close() // gives its place back once only
	second := <-accepted
	defer second.Close()
	_ = l.Close() // while Accept waits for room
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, want net.ErrClosed", err)
	}
}
