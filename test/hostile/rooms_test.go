package hostile

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/amqp"
	"github.com/reattach/reattach/probe/memcached"
	"github.com/reattach/reattach/probe/mysql"
	"github.com/reattach/reattach/probe/smtp"
)

// room is a protocol with what its server says.
type room struct {
	name     string
	protocol probe.Protocol
	scheme   string
	// greets: the server speaks first.
	greets bool
	// script leads to the answer to a ping; each step follows something that
	// the client said.
	script []string
	// idle is how long a session asks to be let alone; MySQL's would ask first.
	idle time.Duration
	// depth is how deep the conversation goes, after a login as somebody if user
	// says so; table and wanted are what it relies on then.
	depth  probe.Phase
	user   bool
	table  string
	wanted []string
	// from is the first step that is attacked; at unsure and beyond, what is not
	// answered or too long stays unknown, which is no failure. 0: no step.
	from, unsure int
	// endless is a piece that may lawfully come again and again, after begin.
	begin, endless string
	// lies promise more than will ever come.
	lies []string
	// secure is the script until the client begins its TLS handshake, after a
	// request of so many bytes, and the scheme that asks for it.
	secure       []string
	request      int
	secureScheme string
}

var rooms = []room{
	{
		name: "mysql", protocol: mysql.Protocol, scheme: "mysql", greets: true,
		script:  []string{hello(0), packet(2, "\x00\x00\x00\x02\x00\x00\x00"), packet(1, "\x00\x00\x00\x02\x00\x00\x00"), packet(1, "\x00\x00\x00\x02\x00\x00\x00")},
		endless: packet(1, "\xfemysql_native_password\x00seedseedseedseedseed\x00"),
		lies:    []string{"\xff\xff\xff\x00", packet(1, "\xfe\xff\xff\xff\xff\xff\xff\xff\xff"), packet(1, "\xfe\xff\xff\xff\xff\x00\x00\x00\x00")},
		secure:  []string{hello(1 << 11)}, request: 36, secureScheme: "mysqls",
	},
	{
		name: "amqp", protocol: amqp.Protocol, scheme: "amqp", idle: time.Minute,
		script: []string{
			method(0, 10, 10, "\x00\x09\x00\x00\x00\x00"+long("PLAIN")+long("en_US")),
			method(0, 10, 30, "\x00\x64\x00\x02\x00\x00\x00\x3c"),
			method(0, 10, 41, "\x00"),
			method(1, 20, 11, "\x00\x00\x00\x00"),
			method(1, 60, 11, ""),
		},
		endless: "\x08\x00\x00\x00\x00\x00\x00\xce",
		lies: []string{"\x01\x00\x00\xff\xff\xff\xff\x00", "\x01\x00\x00\x00\x00\xf0\x00\x00", // 4 GiB, and the most that is taken
			method(0, 10, 10, "\x00\x09\xff\xff\xff\xff"), method(0, 10, 10, "\x00\x09\x00\x00\x00\x00\xff\xff\xff\xff")},
		secureScheme: "amqps",
	},
	{
		name: "smtp", protocol: smtp.Protocol, scheme: "smtp", greets: true,
		script:       []string{"220 mail.test ESMTP\r\n", "250-mail.test\r\n250 SIZE 1000\r\n", "250 ok\r\n"},
		endless:      "250-more\r\n",
		lies:         []string{"250-SIZE 18446744073709551616\r\n"},
		secureScheme: "smtps",
	},
	{
		name: "memcached", protocol: memcached.Protocol, scheme: "memcached",
		script:       []string{"VERSION 1.6.38\r\n"},
		endless:      "STAT more 1\r\n",
		lies:         []string{"VALUE reattach 0 4294967295\r\n"},
		secureScheme: "memcached",
	},
}

// packet is one of MySQL's.
func packet(seq byte, payload string) string {
	n := len(payload)
	return string([]byte{byte(n), byte(n >> 8), byte(n >> 16), seq}) + payload
}

// hello is MySQL's greeting, with further capabilities.
func hello(more uint32) string {
	caps := uint32(1|8|1<<9|1<<13|1<<15|1<<19|1<<21|1<<24) | more
	var b []byte
	b = append(b, "\x0a11.8.9-MariaDB\x00\x01\x00\x00\x00seedseed\x00"...)
	b = binary.LittleEndian.AppendUint16(b, uint16(caps))
	b = append(b, "\x2d\x02\x00"...)
	b = binary.LittleEndian.AppendUint16(b, uint16(caps>>16))
	b = append(b, "\x15"+strings.Repeat("\x00", 10)+"seedseedseed\x00mysql_native_password\x00"...)
	return packet(0, string(b))
}

// method is a method frame of AMQP's.
func method(channel, class, number uint16, args string) string {
	b := binary.BigEndian.AppendUint16([]byte{1}, channel)
	b = binary.BigEndian.AppendUint32(b, uint32(4+len(args)))
	b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, class), number)
	return string(b) + args + "\xce"
}

func long(text string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(text)))) + text
}
