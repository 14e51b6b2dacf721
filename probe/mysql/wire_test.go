package mysql

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

// packet frames a payload.
func packet(seq byte, payload string) string {
	n := len(payload)
	return string([]byte{byte(n), byte(n >> 8), byte(n >> 16), seq}) + payload
}

// hello is the greeting of a server of that version, with those capabilities
// and that method.
func hello(version string, caps uint32, plugin string) string {
	var b strings.Builder
	b.WriteByte(10)
	b.WriteString(version + "\x00\x01\x00\x00\x00" + "seedseed" + "\x00")
	_ = binary.Write(&b, binary.LittleEndian, uint16(caps))
	b.WriteString("\x2d\x02\x00")
	_ = binary.Write(&b, binary.LittleEndian, uint16(caps>>16))
	b.WriteString("\x15" + strings.Repeat("\x00", 10) + "seedseedseed\x00" + plugin + "\x00")
	return packet(0, b.String())
}

const (
	capsAll   = capOurs
	okPayload = "\x00\x00\x00\x02\x00\x00\x00"
)

// mariaHello greets as MariaDB 11.8 does, without TLS.
var mariaHello = hello("11.8.9-MariaDB", capsAll, pluginNative)

func errPayload(code uint16, text string) string {
	return string([]byte{0xff, byte(code), byte(code >> 8)}) + "#HY000" + text
}

// scripted is a server on loopback that speaks a script: each step is said after
// the client has sent something, the first at once. After the last it keeps
// silent; at hangUp it closes, and a step that ends in it closes once said.
func scripted(t testing.TB, script ...string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			play(c, script)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return netip.MustParseAddrPort(l.Addr().String())
}

const hangUp = "\x00hang up"

func play(c net.Conn, script []string) {
	heard := make([]byte, 4096)
	for i, say := range script {
		if i > 0 {
			if _, err := c.Read(heard); err != nil {
				return
			}
		}
		if say == hangUp {
			return
		}
		say, closes := strings.CutSuffix(say, hangUp)
		if _, err := io.WriteString(c, say); err != nil || closes {
			return
		}
	}
	_, _ = io.Copy(io.Discard, c)
}

// aim is a target for a scripted server.
func aim(t testing.TB, addr netip.AddrPort) probe.Target {
	t.Helper()
	u, err := probe.ParseURL("mysql://app:s3cret@" + addr.String() + "/orders")
	if err != nil {
		t.Fatal(err)
	}
	return probe.Target{URL: u, Timeout: time.Second, Client: "reattach test"}
}

// resultOf is a packet stream of one row with those values.
func resultOf(values ...string) string { return tableOf(make([]string, len(values)), values) }

// noRows is one of a column without rows.
func noRows(name string) string { return tableOf([]string{name}) }

// tableOf is one of several rows.
func tableOf(names []string, rows ...[]string) string {
	var b strings.Builder
	b.WriteString(packet(1, string([]byte{byte(len(names))})))
	for i, name := range names {
		definition := []byte("\x03def\x00\x00\x00")
		b.WriteString(packet(byte(2+i), string(appendValue(definition, name))))
	}
	b.WriteString(packet(9, "\xfe\x00\x00\x02\x00"))
	for _, values := range rows {
		var row []byte
		for _, v := range values {
			row = appendValue(row, v)
		}
		b.WriteString(packet(10, string(row)))
	}
	b.WriteString(packet(11, "\xfe\x00\x00\x02\x00"))
	return b.String()
}

// TestScripts plays what no well server says, and what few do.
func TestScripts(t *testing.T) {
	ok := packet(2, okPayload)
	role := resultOf("11.8.9-MariaDB", "0", "0", "uid")
	uptime := resultOf("Uptime", "77")
	alone := noRows("Master_Host")
	gtid := resultOf("0-1-7", "0-1-7", "1")
	denied := packet(1, errPayload(1227, "x"))
	follows := tableOf([]string{"Master_Host", "Master_Port", "Slave_IO_Running", "Slave_SQL_Running", "Seconds_Behind_Master", "Using_Gtid", "Gtid_IO_Pos"},
		[]string{"db1", "3306", "Yes", "Yes", "3", "Slave_Pos", "0-1-7"})
	for _, c := range []struct {
		name   string
		script []string
		class  probe.Class
		phase  probe.Phase
		code   string
	}{
		{"well", []string{mariaHello, ok, ok, ok, role, uptime, gtid, alone}, probe.OK, probe.PhaseRole, ""},
		{"silent", nil, probe.Timeout, probe.PhaseGreet, ""},
		{"closes at once", []string{hangUp}, probe.Reset, probe.PhaseGreet, ""},
		{"blocked host", []string{packet(0, "\xff\x69\x04Host 'x' is blocked"), hangUp}, probe.Misconfigured, probe.PhaseGreet, "1129"},
		{"full before the greeting", []string{packet(0, "\xff\x10\x04Too many connections"), hangUp}, probe.Overloaded, probe.PhaseGreet, "1040"},
		{"host not allowed", []string{packet(0, "\xff\x6a\x04Host 'x' is not allowed"), hangUp}, probe.Auth, probe.PhaseGreet, "1130"},
		{"no packet", []string{"HTTP/1.1 400 Bad Request\r\n\r\n"}, probe.Garbled, probe.PhaseGreet, ""},
		{"an empty packet", []string{packet(0, "")}, probe.Garbled, probe.PhaseGreet, ""},
		{"a packet of 16 MiB", []string{"\xff\xff\xff\x00"}, probe.Garbled, probe.PhaseGreet, ""},
		{"half a greeting", []string{mariaHello[:30]}, probe.Timeout, probe.PhaseGreet, ""},
		{"a short greeting", []string{packet(0, mariaHello[4:30])}, probe.Garbled, probe.PhaseGreet, ""},
		{"protocol 9", []string{packet(0, "\x093.20\x00")}, probe.Garbled, probe.PhaseGreet, ""},
		{"too old", []string{hello("4.0", 0, "")}, probe.Garbled, probe.PhaseGreet, ""},
		{"an error without a code", []string{packet(0, "\xff")}, probe.Garbled, probe.PhaseGreet, ""},
		{"silent in the login", []string{mariaHello}, probe.Timeout, probe.PhaseAuth, ""},
		{"closes in the login", []string{mariaHello, hangUp}, probe.Reset, probe.PhaseAuth, ""},
		{"rejected", []string{mariaHello, packet(2, errPayload(1045, "no"))}, probe.Auth, probe.PhaseAuth, "1045"},
		{"a login without an end", append([]string{mariaHello}, repeat(packet(2, "\xfemysql_native_password\x00seedseedseedseedseed\x00"), 20)...), probe.Garbled, probe.PhaseAuth, ""},
		{"a wish without a name", []string{mariaHello, packet(2, "\xfe\x00"), packet(4, errPayload(1045, "no"))}, probe.Garbled, probe.PhaseAuth, ""},
		{"old passwords", []string{mariaHello, packet(2, "\xfe"), packet(4, errPayload(1045, "no"))}, probe.Auth, probe.PhaseAuth, ""},
		{"an unknown method", []string{mariaHello, packet(2, "\xfeauth_gssapi_client\x00x"), packet(4, errPayload(1045, "no"))}, probe.Auth, probe.PhaseAuth, ""},
		{"clear text without TLS", []string{mariaHello, packet(2, "\xfemysql_clear_password\x00"), packet(4, okPayload)}, probe.Auth, probe.PhaseAuth, ""},
		{"nonsense in the login", []string{mariaHello, packet(2, "\x77"), packet(4, okPayload)}, probe.Garbled, probe.PhaseAuth, ""},
		{"more of native", []string{mariaHello, packet(2, "\x01\x03"), packet(4, okPayload)}, probe.Garbled, probe.PhaseAuth, ""},
		{"state 9 of caching_sha2", []string{hello("9.7", capsAll, pluginCaching), packet(2, "\x01\x09"), packet(4, errPayload(1045, "no"))}, probe.Garbled, probe.PhaseAuth, ""},
		{"no key", []string{hello("9.7", capsAll, pluginCaching), packet(2, "\x01\x04"), packet(4, "\x01nonsense"), packet(6, errPayload(1045, "no"))}, probe.Garbled, probe.PhaseAuth, ""},
		{"no database", []string{mariaHello, ok, packet(1, errPayload(1049, "no"))}, probe.Misconfigured, probe.PhaseAuth, "1049"},
		{"an unknown error", []string{mariaHello, packet(2, errPayload(9001, "no backend"))}, probe.Degraded, probe.PhaseAuth, "9001"},
		{"no answer to the ping", []string{mariaHello, ok, ok}, probe.Timeout, probe.PhasePing, ""},
		{"nonsense for the ping", []string{mariaHello, ok, ok, packet(1, "\x42")}, probe.Garbled, probe.PhasePing, ""},
		{"shutting down", []string{mariaHello, ok, ok, packet(1, errPayload(1053, "x"))}, probe.Degraded, probe.PhasePing, "1053"},
		{"Galera not ready", []string{mariaHello, ok, ok, ok, packet(1, errPayload(1047, "x"))}, probe.Degraded, probe.PhaseRole, "1047"},
		{"an old server", []string{mariaHello, ok, ok, ok, packet(1, errPayload(1193, "x")), resultOf("5.1", "0"), uptime, packet(1, errPayload(1193, "x")), packet(1, errPayload(1064, "x")), alone}, probe.OK, probe.PhaseRole, ""},
		{"no uptime", []string{mariaHello, ok, ok, ok, role, denied, gtid, alone}, probe.OK, probe.PhaseRole, ""},
		{"no privilege for replication", []string{mariaHello, ok, ok, ok, role, uptime, gtid, denied}, probe.OK, probe.PhaseRole, ""},
		{"a replica", []string{mariaHello, ok, ok, ok, role, uptime, gtid, follows, resultOf("0-1-7")}, probe.OK, probe.PhaseRole, ""},
		{"a replica that is being stopped", []string{mariaHello, ok, ok, ok, role, uptime, gtid}, probe.OK, probe.PhaseRole, ""},
		{"dies while it is asked for its replication", []string{mariaHello, ok, ok, ok, role, uptime, gtid, hangUp}, probe.Reset, probe.PhaseRole, ""},
		{"positions too long to be asked for", []string{mariaHello, ok, ok, ok, role, uptime, resultOf("long", "long", "1"), hangUp}, probe.OK, probe.PhaseRole, ""},
		{"more sources than are read", []string{mariaHello, ok, ok, ok, role, uptime, gtid, tableOf([]string{"Master_Host"}, repeatRow("db1", 33)...)}, probe.OK, probe.PhaseRole, ""},
		{"sources longer than is read", []string{mariaHello, ok, ok, ok, role, uptime, gtid, tableOf([]string{"Master_Host"}, []string{strings.Repeat("x", 40_000)}, []string{strings.Repeat("x", 40_000)})}, probe.OK, probe.PhaseRole, ""},
		{"positions of another shape", []string{mariaHello, ok, ok, ok, role, uptime, resultOf("0-1-7", "")}, probe.Garbled, probe.PhaseRole, ""},
		{"LOCAL INFILE", []string{mariaHello, ok, ok, ok, packet(1, "\xfb/etc/passwd")}, probe.Garbled, probe.PhaseRole, ""},
		{"too many columns", []string{mariaHello, ok, ok, ok, packet(1, "\xfc\xff\xff")}, probe.Garbled, probe.PhaseRole, ""},
		{"no columns", []string{mariaHello, ok, ok, ok, packet(1, okPayload)}, probe.Garbled, probe.PhaseRole, ""},
		{"a broken row", []string{mariaHello, ok, ok, ok, packet(1, "\x01") + packet(2, "x") + packet(3, "\xfe") + packet(4, "\xfe\xff\xff\xff\xff\xff\xff\xff\xff")}, probe.Garbled, probe.PhaseRole, ""},
		{"no rows", []string{mariaHello, ok, ok, ok, packet(1, "\x01") + packet(2, "x") + packet(3, "\xfe") + packet(4, "\xfe")}, probe.Garbled, probe.PhaseRole, ""},
		{"rows without an end", []string{mariaHello, ok, ok, ok, packet(1, "\x01") + packet(2, "x") + packet(3, "\xfe") + strings.Repeat(packet(4, "\x01x"), 1000)}, probe.Garbled, probe.PhaseRole, ""},
		{"an error among the rows", []string{mariaHello, ok, ok, ok, packet(1, "\x01") + packet(2, "x") + packet(3, "\xfe") + packet(4, errPayload(1317, "x"))}, probe.Degraded, probe.PhaseRole, "1317"},
		{"a flood", []string{mariaHello, ok, ok, ok, packet(1, "\x20") + strings.Repeat(packet(2, strings.Repeat("x", 10_000)), 20)}, probe.Garbled, probe.PhaseRole, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tg := aim(t, scripted(t, c.script...))
			began := time.Now()
			r := probe.Once(t.Context(), Protocol, tg)
			if r.Class != c.class || r.Phase != c.phase || r.Code != c.code || (r.Err == "") != (r.Class == probe.OK) {
				t.Errorf("%v in %v, code %q: %s; want %v in %v, code %q", r.Class, r.Phase, r.Code, r.Err, c.class, c.phase, c.code)
			}
			if took := time.Since(began); took > tg.Timeout+farewell+500*time.Millisecond {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func repeat(s string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s
	}
	return out
}

func repeatRow(value string, n int) [][]string {
	out := make([][]string, n)
	for i := range out {
		out[i] = []string{value}
	}
	return out
}

// TestLastWords: what a server says on a held session is heard, waiting or not.
func TestLastWords(t *testing.T) {
	ok := packet(2, okPayload)
	words := packet(0, errPayload(4031, "idle for too long"))
	for name, run := range map[string]func(context.Context, probe.Held) probe.Result{
		"waiting": func(ctx context.Context, h probe.Held) probe.Result { return h.Wait(ctx) },
		"pinging": func(ctx context.Context, h probe.Held) probe.Result { return h.Ping(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			tg := aim(t, scripted(t, mariaHello, ok, ok, ok+words, hangUp))
			tg.Depth, tg.Timeout = probe.PhasePing, 2*time.Second
			held, r := probe.Open(t.Context(), Protocol, tg)
			if held == nil {
				t.Fatalf("%+v", r)
			}
			defer held.Close(t.Context())
			r = run(t.Context(), held)
			if !r.Hint || r.Kind != probe.Session || r.Class != probe.Degraded || r.Code != "4031" || r.Err != "idle for too long" {
				t.Errorf("%+v", r)
			}
			if r := held.Ping(t.Context()); !r.Hint || r.Class == probe.OK {
				t.Errorf("a ping after the end: %+v", r)
			}
		})
	}
}

// TestClearTextStaysHome: no script of a server without TLS brings the password
// over the wire.
func TestClearTextStaysHome(t *testing.T) {
	for _, plugin := range []string{pluginClear, pluginSHA256, pluginCaching, "dialog", "mysql_old_password", "x"} {
		for _, more := range []string{"\x01\x04", "\x01\x02", "\x01", "\x02Password: ", "\xfe" + plugin + "\x00seedseedseedseedseed\x00"} {
			heard := make(chan string, 1)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				c, err := l.Accept()
				if err != nil {
					heard <- ""
					return
				}
				_ = c.SetDeadline(time.Now().Add(5 * time.Second))
				var all strings.Builder
				b := make([]byte, 4096)
				for _, say := range []string{mariaHello, packet(2, "\xfe"+plugin+"\x00seedseedseedseedseed\x00"), packet(4, more), packet(6, more), packet(8, errPayload(1045, "no"))} {
					_, _ = io.WriteString(c, say)
					n, _ := c.Read(b)
					all.Write(b[:n])
				}
				_ = c.Close()
				heard <- all.String()
			}()
			tg := aim(t, netip.MustParseAddrPort(l.Addr().String()))
			tg.Timeout = time.Second
			if r := probe.Once(t.Context(), Protocol, tg); r.Class == probe.OK || strings.Contains(r.Err, "s3cret") {
				t.Errorf("%s %q: %+v", plugin, more, r)
			}
			if got := <-heard; strings.Contains(got, "s3cret") || !strings.Contains(got, "app") {
				t.Errorf("%s %q: the server heard %q", plugin, more, got)
			}
			_ = l.Close()
		}
	}
}

// TestWordsBeforeAFailedWrite: the server has said why and has closed; the
// write of the ping fails, and what was said is heard all the same.
func TestWordsBeforeAFailedWrite(t *testing.T) {
	ok := packet(2, okPayload)
	tg := aim(t, scripted(t, mariaHello, ok, ok, ok+packet(0, errPayload(4031, "idle"))+hangUp))
	tg.Depth, tg.Timeout = probe.PhasePing, 2*time.Second
	held, r := probe.Open(t.Context(), Protocol, tg)
	if held == nil {
		t.Fatalf("%+v", r)
	}
	defer held.Close(t.Context())
	s := held.(*session)
	s.w.c.Begin(t.Context(), probe.PhasePing)
	for err := error(nil); err == nil; { // until the kernel has heard of the close
		_, err = s.w.c.Write([]byte{0})
	}
	if r := held.Ping(t.Context()); !r.Hint || r.Code != "4031" {
		t.Errorf("%+v", r)
	}
}
