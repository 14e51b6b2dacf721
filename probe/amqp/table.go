package amqp

import (
	"encoding/binary"
)

// The bounds of a field table. A broker's own has about ten fields, two deep.
const (
	tableDepth  = 4
	tableFields = 256
)

// decoder reads arguments. After the first thing that does not fit, bad is set
// and every further read gives the zero value.
type decoder struct {
	b      []byte
	bad    bool
	fields int // seen so far, in all tables
}

func (d *decoder) take(n int) []byte {
	if d.bad || n < 0 || n > len(d.b) {
		d.bad = true
		return nil
	}
	part := d.b[:n]
	d.b = d.b[n:]
	return part
}

func (d *decoder) u8() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) u16() uint16 {
	if p := d.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (d *decoder) u32() uint32 {
	if p := d.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

// long returns the bytes of a long string, which lie in the frame.
func (d *decoder) long() []byte {
	n := d.u32()
	if uint64(n) > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	return d.take(int(n))
}

func (d *decoder) short() string { return string(d.take(int(d.u8()))) }

// table reads a field table and keeps strings, truth values and tables; all
// else is skipped, because no probe asks for it.
func (d *decoder) table(depth int) map[string]any {
	in := decoder{b: d.long(), fields: d.fields, bad: d.bad}
	if depth > tableDepth {
		in.bad = true
	}
	out := map[string]any{}
	for len(in.b) > 0 && !in.bad {
		name := in.short()
		if value := in.value(depth); value != nil && !in.bad {
			out[name] = value
		}
	}
	d.bad, d.fields = in.bad, in.fields
	return out
}

// array reads a field array and keeps nothing of it.
func (d *decoder) array(depth int) {
	in := decoder{b: d.long(), fields: d.fields, bad: d.bad}
	if depth > tableDepth {
		in.bad = true
	}
	for len(in.b) > 0 && !in.bad {
		in.value(depth)
	}
	d.bad, d.fields = in.bad, in.fields
}

// sizes of the field types that have a fixed one, as RabbitMQ writes them.
var sizes = [256]int8{
	'b': 1, 'B': 1, 's': 2, 'u': 2, 'I': 4, 'i': 4, 'l': 8, 'L': 8, 'f': 4, 'd': 8, 'D': 5, 'T': 8,
}

func (d *decoder) value(depth int) any {
	if d.fields++; d.fields > tableFields {
		d.bad = true
		return nil
	}
	switch kind := d.u8(); kind {
	case 't':
		return d.u8() != 0
	case 'S':
		return string(d.long())
	case 'x':
		d.long()
	case 'F':
		return d.table(depth + 1)
	case 'A':
		d.array(depth + 1)
	case 'V':
	default:
		if sizes[kind] == 0 {
			d.bad = true
			return nil
		}
		d.take(int(sizes[kind]))
	}
	return nil
}

// start is what a broker says of itself.
type start struct {
	facts       map[string]string
	mechanisms  string
	saysRefused bool // it answers a wrong password, if the client can hear it
}

// parseStart reads the arguments of connection.start.
func parseStart(args []byte) (start, error) {
	d := decoder{b: args}
	d.u16() // the version, which the header has settled
	properties, mechanisms := d.table(0), d.long()
	if d.bad {
		return start{}, garbled("a connection.start that cannot be read")
	}
	s := start{facts: map[string]string{}, mechanisms: string(mechanisms)}
	for _, name := range []string{"product", "version", "cluster_name"} {
		if text, ok := properties[name].(string); ok && text != "" {
			s.facts[name] = text
		}
	}
	capabilities, _ := properties["capabilities"].(map[string]any)
	s.saysRefused = capabilities["authentication_failure_close"] == true
	return s, nil
}

// tune is what a broker proposes: channels and the size of frames in bytes,
// which are its own limits, and the heartbeat in seconds.
type tune struct {
	channels  uint16
	frame     uint32
	heartbeat uint16
}

// parseTune reads the arguments of connection.tune.
func parseTune(args []byte) (tune, error) {
	d := decoder{b: args}
	t := tune{d.u16(), d.u32(), d.u16()}
	if d.bad {
		return t, garbled("a connection.tune that cannot be read")
	}
	return t, nil
}
