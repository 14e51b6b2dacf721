package amqp

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

// frames are seeds: a whole frame of each kind, and broken ones.
func frames() [][]byte {
	var e encoder
	e.begin(0, connectionClose)
	closing(320, "CONNECTION_FORCED")(&e)
	return [][]byte{
		beat, qos, e.end().b, []byte(header), []byte("HTTP/1.1 400"), {0x15, 3, 1, 0, 2, 2, 70},
		{1, 0, 0, 255, 255, 255, 255}, {1, 0, 0, 0, 0, 240, 0, 1}, {1, 0, 0, 0, 0, 0, 0, frameEnd}, {}, {1},
	}
}

// FuzzFrame: no bytes hurt the reader of frames, and a frame is never more than
// what was sent, nor than was allowed.
func FuzzFrame(f *testing.F) {
	for _, seed := range frames() {
		f.Add(seed, true)
		f.Add(append(bytes.Clone(seed), seed...), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, held bool) {
		limit := startLimit
		if held {
			limit = heldLimit
		}
		r := bufio.NewReaderSize(bytes.NewReader(data), 2048)
		used := 0
		for {
			got, err := readFrame(r, limit)
			if err != nil {
				var failure probe.Failure
				if errors.As(err, &failure) && failure.Class == probe.OK {
					t.Fatalf("an error that is ok: %v", err)
				}
				return
			}
			used += headerSize + len(got.args) + 1
			if got.kind == frameMethod {
				used += 4
			}
			if len(got.args) > limit || used > len(data) {
				t.Fatalf("%d bytes of arguments out of %d", len(got.args), len(data))
			}
		}
	})
}

// TestFrameEnd: a frame that does not end as frames do is none, be it small
// enough for the buffer or not.
func TestFrameEnd(t *testing.T) {
	for _, size := range []int{0, 3000} {
		frame := append([]byte{frameHeartbeat, 0, 0, 0, 0, byte(size >> 8), byte(size)}, make([]byte, size+1)...)
		var f probe.Failure
		if _, err := readFrame(bufio.NewReaderSize(bytes.NewReader(frame), 2048), startLimit); !errors.As(err, &f) || f.Class != probe.Garbled {
			t.Errorf("%d bytes: %v", size, err)
		}
		frame[len(frame)-1] = frameEnd
		if _, err := readFrame(bufio.NewReaderSize(bytes.NewReader(frame), 2048), startLimit); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// FuzzStart: whatever a broker says of itself is bounded, however it is nested.
func FuzzStart(f *testing.F) {
	var e encoder
	e.u16(9).table(func(e *encoder) {
		e.field("product", "RabbitMQ")
		e.short("capabilities").u8('F').table(func(e *encoder) { e.flag("authentication_failure_close") })
		e.short("list").u8('A').table(func(e *encoder) { e.u8('I').u32(7) })
	}).long("PLAIN").long("en_US")
	f.Add(e.b)
	e = encoder{}
	nest(&e, 20)
	f.Add(append([]byte{0, 9}, e.b...))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseStart(data)
		if err != nil {
			return
		}
		total := len(s.mechanisms)
		for name, text := range s.facts {
			total += len(text)
			if text == "" {
				t.Errorf("%s is known and empty", name)
			}
		}
		if total > len(data) {
			t.Errorf("%d bytes were read out of %d", total, len(data))
		}
	})
}

// nest writes tables within tables.
func nest(e *encoder, depth int) {
	e.table(func(e *encoder) {
		if depth > 0 {
			e.short("t").u8('F')
			nest(e, depth-1)
		}
	})
}

func TestNesting(t *testing.T) {
	for depth, bad := range map[int]bool{0: false, tableDepth: false, tableDepth + 1: true, 5000: true} {
		var e encoder
		nest(&e, depth)
		d := decoder{b: e.b}
		if d.table(0); d.bad != bad {
			t.Errorf("tables %d deep: bad is %v", depth, d.bad)
		}
	}
	var e encoder
	e.table(func(e *encoder) {
		for range tableFields + 1 {
			e.flag("x")
		}
	})
	d := decoder{b: e.b}
	if d.table(0); !d.bad {
		t.Error("a table without end passed")
	}
}

// FuzzClose: last words and alarms.
func FuzzClose(f *testing.F) {
	var e encoder
	closing(530, "NOT_ALLOWED - vhost x not found")(&e)
	f.Add(e.b)
	f.Add([]byte{})
	f.Add([]byte{1, 64, 255, 'x'})
	f.Fuzz(func(t *testing.T, data []byte) {
		var got probe.Failure
		if err := failure(data); !errors.As(err, &got) || got.Class == probe.OK || got.Class == probe.None {
			t.Errorf("a close came to %v", err)
		}
		if b := blocked(data); b.Class != probe.Degraded || len(b.Text) > 300 {
			t.Errorf("an alarm came to %+v", b)
		}
		if _, err := parseTune(data); (err == nil) != (len(data) >= 8) {
			t.Errorf("%d bytes tune: %v", len(data), err)
		}
	})
}

// FuzzConversation: a broker that says anything at all costs no more than the time,
// and no panic, whatever it is asked for.
func FuzzConversation(f *testing.F) {
	var e encoder
	e.begin(0, connectionStart).u8(0).u8(9).table(func(e *encoder) { e.field("product", "Fake") }).long("PLAIN").long("en_US").end()
	e.begin(0, connectionTune).u16(4).u32(131072).u16(60).end()
	e.begin(0, connectionOpenOk).short("").end()
	f.Add(e.b)
	e.begin(1, channelOpenOk).long("").end()
	e.begin(1, basicQosOk).end()
	e.begin(2, channelOpenOk).long("").end()
	e.begin(3, channelOpenOk).long("").end()
	e.begin(2, queueDeclareOk).short("orders").u32(0).u32(0).end()
	e.begin(3, channelClose)
	closing(404, "NOT_FOUND")(&e)
	e.end()
	f.Add(bytes.Clone(e.b))
	e.begin(1, confirmSelectOk).end()
	f.Add(bytes.Clone(e.b))
	e.begin(0, connectionBlocked).short("low on memory").end()
	e.begin(1, basicAck).u32(0).u32(1).u8(0).end()
	e.begin(1, basicNack).u32(0).u32(1).u8(0).end()
	f.Add(e.b)
	f.Add([]byte("AMQP\x00\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, say []byte) {
		tg := serve(t, func(f *fake) {
			f.say(say)
			_ = f.c.(*net.TCPConn).CloseWrite() // or the kernel might take back what was said
			f.hang()
		})
		tg.Depth, tg.Wanted = probe.PhaseWrite, []string{"queue(orders)", "exchange(bills)", "confirms"}
		began := time.Now()
		r := probe.Once(t.Context(), Protocol, tg)
		if r.Class == probe.None || r.Class == probe.Local || time.Since(began) > tg.Timeout+2*time.Second {
			t.Fatalf("%+v", r)
		}
		if strings.ContainsAny(r.Err, "\n\r\x1b\x00") || strings.Contains(r.Err, "probe-secret") {
			t.Fatalf("%q", r.Err)
		}
	})
}
