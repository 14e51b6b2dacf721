package hostile

import (
	"slices"
	"strings"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/amqp"
	"github.com/reattach/reattach/probe/memcached"
	"github.com/reattach/reattach/probe/mysql"
	"github.com/reattach/reattach/probe/smtp"
)

// What servers say to a conversation that goes deeper than a ping.
var (
	done  = packet(1, "\x00\x00\x00\x02\x00\x00\x00")
	facts = []string{
		hello(0), packet(2, "\x00\x00\x00\x02\x00\x00\x00"), done, done,
		table(row("version", "read_only", "innodb_read_only", "server_uid"), row("11.8.9-MariaDB", "0", "0", "uid")),
		table(row("name", "value"), row("Uptime", "77")),
		table(row("gtid", "state", "server"), row("0-1-7", "0-1-7", "1")),
	}
	replica = table(row("Master_Host", "Slave_IO_Running", "Slave_SQL_Running", "Using_Gtid", "Gtid_IO_Pos"), row("db1", "Yes", "Yes", "Slave_Pos", "0-1-7"))
	alone   = table(row("Master_Host"))
	seed    = strings.Repeat("s", 32)
	salt    = packet(4, "\x01P\x03"+strings.Repeat("s", 18))
	pinged  = rooms[slices.IndexFunc(rooms, func(r room) bool { return r.name == "amqp" })].script
)

// deeper are conversations that go beyond a ping, or log in by another way.
var deeper = []room{
	{
		name: "mysql facts", protocol: mysql.Protocol, scheme: "mysql", greets: true, depth: probe.PhaseRole, from: 4, unsure: 6,
		script: append(slices.Clone(facts), replica, table(row("gtid"), row("0-1-7"))),
		begin:  packet(1, "\x01") + column("a") + eof, endless: packet(1, "\x01x"),
		lies: []string{"\xff\xff\xff\x00", packet(1, "\x01") + column("a") + eof + packet(1, "\xfe\xff\xff\xff\xff\x00\x00\x00\x00")},
	},
	{
		name: "mysql write", protocol: mysql.Protocol, scheme: "mysql", greets: true, depth: probe.PhaseWrite, table: "reattach.canary", from: 8,
		script:  append(slices.Clone(facts), alone, done, table(row("turn"), row("1")), done),
		endless: column("a"), lies: []string{"\xff\xff\xff\x00", packet(1, "\xfe\xff\xff\xff\xff\x00\x00\x00\x00")},
	},
	{
		name: "mysql RSA key", protocol: mysql.Protocol, scheme: "mysql", greets: true, from: 2,
		script:  []string{hello(0), wish("caching_sha2_password", seed[:20]), packet(4, "\x01\x04"), packet(6, "\x01-----BEGIN PUBLIC KEY-----")},
		endless: packet(6, "\x01-----BEGIN PUBLIC KEY-----\n"+strings.Repeat("A", 1024)),
		lies:    []string{"\xff\xff\xff\x00", packet(6, "\x01-----BEGIN PUBLIC KEY-----\n")},
	},
	{
		name: "mysql ed25519", protocol: mysql.Protocol, scheme: "mysql", greets: true, from: 2,
		script: []string{hello(0), wish("client_ed25519", seed), done}, endless: wish("client_ed25519", seed), lies: []string{"\xff\xff\xff\x00"},
	},
	{
		name: "mysql parsec", protocol: mysql.Protocol, scheme: "mysql", greets: true, from: 2,
		script: []string{hello(0), wish("parsec", seed), salt, done}, endless: salt,
		lies: []string{"\xff\xff\xff\x00", packet(4, "\x01P\xff"+strings.Repeat("s", 18))},
	},
	{
		name: "amqp facts", protocol: amqp.Protocol, scheme: "amqp", depth: probe.PhaseRole, wanted: []string{"queue(orders)", "exchange(bills)"}, from: 5, unsure: 5,
		script:  append(slices.Clone(pinged), ""),
		endless: method(2, 20, 11, "\x00\x00\x00\x00"), lies: []string{"\x01\x00\x02\xff\xff\xff\xff\x00"},
	},
	{
		name: "amqp canary", protocol: amqp.Protocol, scheme: "amqp", depth: probe.PhaseWrite, wanted: []string{"confirms"}, from: 5, unsure: 7,
		script:  append(slices.Clone(pinged), method(1, 85, 11, ""), method(1, 60, 80, strings.Repeat("\x00", 9)), ""),
		endless: method(0, 10, 60, "\x03low"), lies: []string{"\x01\x00\x01\xff\xff\xff\xff\x00"},
	},
	{
		name: "smtp AUTH PLAIN", protocol: smtp.Protocol, scheme: "smtp", greets: true, user: true, from: 2,
		script:  []string{"220 mail.test\r\n", "250-mail.test\r\n250 AUTH PLAIN LOGIN\r\n", "334 \r\n", "235 2.7.0 ok\r\n"},
		endless: "334-more\r\n", lies: []string{"334-"},
	},
	{
		name: "smtp AUTH LOGIN", protocol: smtp.Protocol, scheme: "smtp", greets: true, user: true, from: 2,
		script:  []string{"220 mail.test\r\n", "250-mail.test\r\n250 AUTH LOGIN\r\n", "334 VXNlcm5hbWU6\r\n", "334 UGFzc3dvcmQ6\r\n", "235 2.7.0 ok\r\n"},
		endless: "334-more\r\n", lies: []string{"334-"},
	},
	{
		name: "smtp MAIL FROM", protocol: smtp.Protocol, scheme: "smtp", greets: true, depth: probe.PhaseRead, from: 2,
		script:  []string{"220 mail.test\r\n", "250-mail.test\r\n250 SIZE 1000\r\n", "250 2.1.0 ok\r\n", "250 ok\r\n"},
		endless: "250-more\r\n", lies: []string{"250-"},
	},
	{
		name: "memcached login", protocol: memcached.Protocol, scheme: "memcached", user: true, from: 1,
		script:  []string{"CLIENT_ERROR unauthenticated\r\n", "STORED\r\n", "VERSION 1.6.38\r\n"},
		endless: "STORED more\r\n", lies: []string{"STORED "},
	},
	{
		name: "memcached stats", protocol: memcached.Protocol, scheme: "memcached", depth: probe.PhaseRole, from: 1,
		script: []string{"VERSION 1.6.38\r\n", "END\r\n"}, endless: "STAT more 1\r\n", lies: []string{"STAT pid 99999999999999999999999\r\nSTAT "},
	},
	{
		name: "memcached canary", protocol: memcached.Protocol, scheme: "memcached", depth: probe.PhaseWrite, from: 2,
		script:  []string{"VERSION 1.6.38\r\n", "STAT pid 1\r\nEND\r\n", "END\r\n", "STORED\r\n", "END\r\n"},
		endless: "VALUE a 0 1\r\n", lies: []string{"VALUE reattach 0 4294967295\r\n"},
	},
}

// negotiated are the rooms, besides MySQL's, that ask for TLS in clear text.
var negotiated = []room{{
	name: "submission", protocol: smtp.Protocol, greets: true, secureScheme: "submission",
	secure: []string{"220 mail.test ESMTP\r\n", "250-mail.test\r\n250 STARTTLS\r\n", "220 ready\r\n"},
}}

// wish is MySQL's for another way to prove the password.
func wish(method, seed string) string { return packet(2, "\xfe"+method+"\x00"+seed+"\x00") }

// eof ends the columns and the rows of an answer of MySQL's.
const eof = "\x05\x00\x00\x01\xfe\x00\x00\x02\x00"

// column is one's definition.
func column(name string) string {
	return packet(1, "\x03def\x00\x00\x00"+string([]byte{byte(len(name))})+name)
}

func row(values ...string) []string { return values }

// table is MySQL's answer to a question: columns by name, and rows.
func table(names []string, rows ...[]string) string {
	out := packet(1, string([]byte{byte(len(names))}))
	for _, name := range names {
		out += column(name)
	}
	out += eof
	for _, values := range rows {
		text := ""
		for _, v := range values {
			text += string([]byte{byte(len(v))}) + v
		}
		out += packet(1, text)
	}
	return out + eof
}
