package mysql

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/reattach/reattach/probe"
)

// maxPacket bounds one packet of the server, in bytes. A longer one is refused
// by its header, before a byte of it is read.
const maxPacket = probe.ReadLimit - 4

// wire frames packets on a connection.
type wire struct {
	c   *probe.Conn
	seq byte
	out []byte // the packet being built, header first; kept between packets
	big []byte // a packet longer than the connection's buffer
}

// begin starts a packet that answers the server's last one.
func (w *wire) begin() { w.out = append(w.out[:0], 0, 0, 0, w.seq) }

// command starts a packet that begins a new exchange.
func (w *wire) command(b byte) {
	w.seq = 0
	w.begin()
	w.out = append(w.out, b)
}

// send sends the packet that was built, and grants the reply its bytes.
func (w *wire) send() error {
	n := len(w.out) - 4
	w.out[0], w.out[1], w.out[2] = byte(n), byte(n>>8), byte(n>>16)
	w.seq++
	w.c.Grant(probe.ReadLimit)
	_, err := w.c.Write(w.out)
	return err
}

// read returns the payload of the next packet, which is never empty. It is
// valid until the next read.
func (w *wire) read() ([]byte, error) {
	in := w.c.Reader()
	head, err := in.Peek(4)
	if err != nil {
		return nil, err
	}
	n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	w.seq = head[3] + 1
	if n > maxPacket {
		return nil, errors.Join(errLong, garbled("a packet of %d bytes", n))
	}
	if n == 0 {
		return nil, garbled("a packet of no bytes")
	}
	_, _ = in.Discard(4) // they are in the buffer
	if n <= in.Size() {
		p, err := in.Peek(n)
		if err != nil {
			return nil, err
		}
		_, _ = in.Discard(n)
		return p, nil
	}
	return w.readBig(n)
}

// readBig reads a packet piece by piece, so that memory follows what came and
// not what the header says.
func (w *wire) readBig(n int) ([]byte, error) {
	in := w.c.Reader()
	w.big = w.big[:0]
	for len(w.big) < n {
		if _, err := in.Peek(1); err != nil {
			return nil, err
		}
		p, _ := in.Peek(min(in.Buffered(), n-len(w.big)))
		w.big = append(w.big, p...)
		_, _ = in.Discard(len(p))
	}
	return w.big, nil
}

// errLong marks what was refused for its length alone, which a server that is well
// may send where it has much to tell. See [tooLong].
var errLong = errors.New("too long")

// tooLong reports whether a reply was refused for its length alone.
func tooLong(err error) bool { return errors.Is(err, errLong) || errors.Is(err, probe.ErrFlood) }

func garbled(format string, args ...any) error {
	return probe.Failure{Class: probe.Garbled, Text: "not the MySQL protocol: " + fmt.Sprintf(format, args...)}
}

// cursor walks through a packet. Once it has run over the end, bad is true and
// all that it returns is zero.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if c.bad || n < 0 || n > len(c.b) {
		c.bad, c.b = true, nil
		return nil
	}
	p := c.b[:n]
	c.b = c.b[n:]
	return p
}

func (c *cursor) byte() byte {
	if p := c.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if p := c.take(2); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

// text takes bytes up to a zero, which it swallows.
func (c *cursor) text() []byte {
	for i, b := range c.b {
		if b == 0 {
			p := c.b[:i]
			c.b = c.b[i+1:]
			return p
		}
	}
	c.bad, c.b = true, nil
	return nil
}

// length takes a length-encoded integer. null is the mark of a NULL value.
func (c *cursor) length() (n uint64, null bool) {
	switch first := c.byte(); first {
	case 0xfb:
		return 0, true
	case 0xfc:
		return uint64(c.uint16()), false
	case 0xfd:
		p := c.take(3)
		if p == nil {
			return 0, false
		}
		return uint64(p[0]) | uint64(p[1])<<8 | uint64(p[2])<<16, false
	case 0xfe:
		p := c.take(8)
		if p == nil {
			return 0, false
		}
		return binary.LittleEndian.Uint64(p), false
	case 0xff:
		c.bad, c.b = true, nil
		return 0, false
	default:
		return uint64(first), false
	}
}

// value takes a length-encoded string.
func (c *cursor) value() (p []byte, null bool) {
	n, null := c.length()
	if null {
		return nil, true
	}
	if n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil, false
	}
	return c.take(int(n)), false
}

// appendValue appends a length-encoded string of less than 64 KiB.
func appendValue(b []byte, s string) []byte {
	if len(s) < 0xfb {
		b = append(b, byte(len(s)))
	} else {
		b = append(b, 0xfc, byte(len(s)), byte(len(s)>>8))
	}
	return append(b, s...)
}
