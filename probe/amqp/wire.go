package amqp

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/reattach/reattach/probe"
)

// The kinds of frame, and the octet that ends each.
const (
	frameMethod    = 1
	frameHeader    = 2
	frameBody      = 3
	frameHeartbeat = 8
	frameEnd       = 0xCE
)

const (
	headerSize = 7   // type, channel, size
	shortLimit = 255 // bytes in a short string
	// startLimit and heldLimit bound a frame's size while the conversation
	// begins, when servers tell all about themselves, and on a held session.
	startLimit = probe.ReadLimit - headerSize - 1
	heldLimit  = 1024
)

// method is a method's class and number in one: 10.50 is 10<<16 | 50.
type method uint32

// The methods that a probe says or hears.
const (
	connectionStart     method = 10<<16 | 10
	connectionStartOk   method = 10<<16 | 11
	connectionSecure    method = 10<<16 | 20
	connectionTune      method = 10<<16 | 30
	connectionTuneOk    method = 10<<16 | 31
	connectionOpen      method = 10<<16 | 40
	connectionOpenOk    method = 10<<16 | 41
	connectionClose     method = 10<<16 | 50
	connectionCloseOk   method = 10<<16 | 51
	connectionBlocked   method = 10<<16 | 60
	connectionUnblocked method = 10<<16 | 61
	channelOpen         method = 20<<16 | 10
	channelOpenOk       method = 20<<16 | 11
	channelClose        method = 20<<16 | 40
	channelCloseOk      method = 20<<16 | 41
	exchangeDeclare     method = 40<<16 | 10
	exchangeDeclareOk   method = 40<<16 | 11
	queueDeclare        method = 50<<16 | 10
	queueDeclareOk      method = 50<<16 | 11
	basicQos            method = 60<<16 | 10
	basicQosOk          method = 60<<16 | 11
	basicPublish        method = 60<<16 | 40
	basicReturn         method = 60<<16 | 50
	basicAck            method = 60<<16 | 80
	basicNack           method = 60<<16 | 120
	confirmSelect       method = 85<<16 | 10
	confirmSelectOk     method = 85<<16 | 11
)

// String returns class and method as the specification numbers them.
func (m method) String() string { return fmt.Sprintf("%d.%d", m>>16, m&0xffff) }

// frame is one frame as it came. Method and args are set for frameMethod.
type frame struct {
	kind    byte
	channel uint16
	method  method
	args    []byte
}

func garbled(format string, args ...any) error {
	return probe.Failure{Class: probe.Garbled, Text: fmt.Sprintf(format, args...)}
}

// readFrame reads one frame whole, whose arguments are at most limit bytes. A
// frame that fits r's buffer stays there: it is good until the next read, and
// after an error nothing has been consumed, so that a wait which ran out of
// time in the middle of a frame can be taken up again. For a larger one, memory
// grows as bytes come, never by what the length field promises.
func readFrame(r *bufio.Reader, limit int) (frame, error) {
	head, err := r.Peek(1)
	if err != nil {
		return frame{}, err
	}
	if strings.IndexByte(begins, head[0]) >= 0 { // else it is garbage, and more of it may never come
		head, err = r.Peek(headerSize)
	} else {
		head, err = r.Peek(min(headerSize, r.Buffered()))
	}
	if err := plausible(head, limit, err); err != nil {
		return frame{}, err
	}
	kind, channel, size := head[0], binary.BigEndian.Uint16(head[1:]), int(binary.BigEndian.Uint32(head[3:]))
	var body []byte
	if whole := headerSize + size + 1; whole <= r.Size() {
		all, err := r.Peek(whole)
		if err != nil {
			return frame{}, err
		}
		body = all[headerSize:]
		_, _ = r.Discard(whole)
	} else {
		_, _ = r.Discard(headerSize)
		body, err = io.ReadAll(io.LimitReader(r, int64(size)+1))
		if err == nil && len(body) <= size {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return frame{}, err
		}
	}
	if body[size] != frameEnd {
		return frame{}, garbled("a frame that does not end as frames do")
	}
	return newFrame(kind, channel, body[:size])
}

// begins holds the bytes that a frame, AMQP's header or a TLS record begins with.
const begins = "\x01\x02\x03\x08A\x15\x16"

// plausible refuses what cannot be the beginning of a frame: head is all that
// came before err, which may be nil. A server that answers with AMQP's own
// header speaks another version of it.
func plausible(head []byte, limit int, err error) error {
	switch head[0] {
	case frameMethod, frameHeader, frameBody, frameHeartbeat:
		if err != nil {
			return err
		}
		if size := binary.BigEndian.Uint32(head[3:]); uint64(size) > uint64(limit) {
			return garbled("a frame of %d bytes", size)
		}
		return nil
	}
	switch {
	case len(head) >= headerSize && string(head[:4]) == "AMQP":
		return probe.Failure{Class: probe.Misconfigured, Text: fmt.Sprintf("the server speaks AMQP %d.%d, not 0-9-1", head[5], head[6])}
	case len(head) >= 2 && (head[0] == 0x15 || head[0] == 0x16) && head[1] == 3:
		return probe.Failure{Class: probe.TLS, Text: "the server speaks TLS here: the scheme is amqps"}
	}
	return garbled("not AMQP: %q", head)
}

func newFrame(kind byte, channel uint16, body []byte) (frame, error) {
	f := frame{kind: kind, channel: channel}
	if kind != frameMethod {
		return f, nil
	}
	if len(body) < 4 {
		return f, garbled("a method of %d bytes", len(body))
	}
	f.method, f.args = method(binary.BigEndian.Uint32(body)), body[4:]
	return f, nil
}

// encoder builds frames.
type encoder struct {
	b     []byte
	start int
}

// begin starts a method frame; end finishes it.
func (e *encoder) begin(channel uint16, m method) *encoder {
	e.start = len(e.b)
	e.b = append(e.b, frameMethod)
	e.u16(channel).u32(0).u32(uint32(m))
	return e
}

func (e *encoder) end() *encoder {
	binary.BigEndian.PutUint32(e.b[e.start+3:], uint32(len(e.b)-e.start-headerSize))
	e.b = append(e.b, frameEnd)
	return e
}

func (e *encoder) u8(v byte) *encoder    { e.b = append(e.b, v); return e }
func (e *encoder) u16(v uint16) *encoder { e.b = binary.BigEndian.AppendUint16(e.b, v); return e }
func (e *encoder) u32(v uint32) *encoder { e.b = binary.BigEndian.AppendUint32(e.b, v); return e }

// short appends a short string, cut to the length that it may have.
func (e *encoder) short(s string) *encoder {
	s = s[:min(len(s), shortLimit)]
	e.b = append(append(e.b, byte(len(s))), s...)
	return e
}

// long appends a long string.
func (e *encoder) long(s string) *encoder {
	e.u32(uint32(len(s)))
	e.b = append(e.b, s...)
	return e
}

// table appends what fill writes as a field table.
func (e *encoder) table(fill func(*encoder)) *encoder {
	at := len(e.b)
	e.u32(0)
	fill(e)
	binary.BigEndian.PutUint32(e.b[at:], uint32(len(e.b)-at-4))
	return e
}

func (e *encoder) field(name, value string) { e.short(name).u8('S').long(value) }
func (e *encoder) flag(name string)         { e.short(name).u8('t').u8(1) }
