package mysql

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

// sane checks what an error of a parser may be: a failure with a class, in one
// line of bounded length.
func sane(t *testing.T, err error) {
	t.Helper()
	var f probe.Failure
	if !errors.As(err, &f) || f.Class == probe.None || f.Class == probe.OK {
		t.Fatalf("%#v has no class", err)
	}
	if text := f.Error(); len(text) > 2000 || strings.ContainsAny(text, "\n\r\x1b\x00") {
		t.Fatalf("%q is no line", text)
	}
}

// FuzzGreeting: what passes is whole.
func FuzzGreeting(f *testing.F) {
	f.Add([]byte(mariaHello[4:]))
	f.Add([]byte(hello("9.7.4", capsAll|capTLS, pluginCaching)[4:]))
	f.Add([]byte(errPayload(1040, "Too many connections")))
	f.Add([]byte("\xff\x69\x04Host is blocked"))
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) == 0 {
			return // the frame refuses it
		}
		g, err := parseGreeting(p)
		if err != nil {
			sane(t, err)
			return
		}
		if len(g.seed) != 20 || g.plugin == "" || g.caps&capNeeded != capNeeded || p[0] != 10 {
			t.Fatalf("%+v", g)
		}
	})
}

// FuzzError: a code is the packet's own, and has a class that is never evidence.
func FuzzError(f *testing.F) {
	f.Add([]byte(errPayload(1045, "Access denied")))
	f.Add([]byte("\xff\x10\x04Too many connections"))
	f.Add([]byte("\xff\x10\x04#"))
	f.Fuzz(func(t *testing.T, p []byte) {
		err := parseError(p)
		sane(t, err)
		e, ok := errors.AsType[serverError](err)
		if !ok {
			return
		}
		fail := e.failure()
		if fail.Class.Evidence() || fail.Code != strconv.Itoa(int(p[1])|int(p[2])<<8) {
			t.Fatalf("%+v of %q", fail, p)
		}
	})
}

// FuzzRow: a row that passes has as many columns as it should, from its bytes.
func FuzzRow(f *testing.F) {
	f.Add([]byte("\x03one\xfb\x00"), 3)
	f.Add([]byte("\xfc\x01\x00x"), 1)
	f.Add([]byte("\xfd\x01\x00\x00x"), 1)
	f.Add([]byte("\xfe\x01\x00\x00\x00\x00\x00\x00\x00x"), 1)
	f.Add([]byte("\xfe\xff\xff\xff\xff\xff\xff\xff\xff"), 1)
	f.Fuzz(func(t *testing.T, p []byte, columns int) {
		if columns < 1 || columns > maxColumns {
			return
		}
		row, err := parseRow(p, columns)
		if err != nil {
			sane(t, err)
			return
		}
		total := 0
		for _, v := range row {
			total += len(v)
		}
		if len(row) != columns || total > len(p) {
			t.Fatalf("%q from %q", row, p)
		}
	})
}

// FuzzColumns: the head of a result is within bounds.
func FuzzColumns(f *testing.F) {
	f.Add([]byte("\x05"))
	f.Add([]byte("\xfc\xff\xff"))
	f.Add([]byte(errPayload(1193, "x")))
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) == 0 {
			return
		}
		n, err := parseColumns(p)
		if err != nil {
			sane(t, err)
		} else if n < 1 || n > maxColumns {
			t.Fatalf("%d columns", n)
		}
	})
}

// FuzzLogin: whatever a server asks for in the middle of a login in clear text,
// the password is not in the answer.
func FuzzLogin(f *testing.F) {
	for _, plugin := range []string{pluginNative, pluginCaching, pluginSHA256, pluginEd25519, pluginParsec, pluginClear} {
		f.Add([]byte("\xfe"+plugin+"\x00seedseedseedseedseed\x00"), plugin)
		f.Add([]byte("\x01\x04"), plugin)
		f.Add([]byte("\x01P\x00salted salted salt"), plugin)
	}
	f.Fuzz(func(t *testing.T, p []byte, plugin string) {
		if len(p) == 0 {
			return
		}
		l := login{w: &wire{c: &probe.Conn{}}, user: "app", password: "s3cret", plugin: plugin, seed: seed}
		answer, _, err := l.answer(p)
		if err != nil {
			sane(t, err)
		}
		if strings.Contains(string(answer), "s3cret") {
			t.Fatalf("%q of %s was answered by %q", p, plugin, answer)
		}
	})
}

// FuzzGtids: positions are compared as they stand, and a set that gets into a
// statement cannot leave its quotes.
func FuzzGtids(f *testing.F) {
	f.Add("0-1-21,5-2-9", "0-1-20,5-2-9", "1")
	f.Add("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7,\naa:tag:1", "", "3E11FA47-71ca-11e1-9e33-c80aa9429562")
	f.Add("0-1-99999999999999999999", "0--1", "")
	f.Fuzz(func(t *testing.T, a, b, self string) {
		if within, known := gtidWithin(a, a); known && !within {
			t.Errorf("%q is not within itself", a)
		}
		ab, known := gtidWithin(a, b)
		if ba, _ := gtidWithin(b, a); known && !ab && !ba && strings.Count(a, ",") == 0 && strings.Count(b, ",") == 0 && firstOf(a) == firstOf(b) {
			t.Errorf("neither of %q and %q is within the other", a, b)
		}
		line := strings.ReplaceAll(a, "\n", "")
		if len(a) > 4096 {
			return // what follows takes the square of its length
		}
		for own := range strings.SplitSeq(ownGtids(a, self), ",") {
			if !strings.Contains(line, own) {
				t.Errorf("%q of %q, which does not have it", own, a)
			}
		}
		if isGtidSet(a) && strings.ContainsAny(a, "'\"\\();\x00\n") {
			t.Errorf("%q would stand in a statement", a)
		}
	})
}

// firstOf is the domain of a position.
func firstOf(gtid string) string {
	domain, _, _ := strings.Cut(strings.TrimSpace(gtid), "-")
	return domain
}

// FuzzConversation: a server that says anything at all costs no more than the
// time, and no panic.
func FuzzConversation(f *testing.F) {
	ok := packet(2, okPayload)
	role, status, gtid := resultOf("11.8.9-MariaDB", "0", "0", "uid"), tableOf([]string{"name", "value"}, []string{"Uptime", "7"}, []string{"Slaves_connected", "1"}), resultOf("0-1-7", "0-1-7", "1")
	follows := tableOf([]string{"Master_Host", "Slave_IO_Running", "Slave_SQL_Running", "Using_Gtid", "Gtid_IO_Pos"}, []string{"db1", "Yes", "Yes", "Slave_Pos", "0-1-7"})
	f.Add(mariaHello + ok + ok + ok + resultOf("1", "0", "0", "id") + resultOf("Uptime", "7"))
	f.Add(mariaHello + ok + ok + ok + role + status + gtid + follows + resultOf("0-1-7") + ok + resultOf("1") + ok)
	f.Add(hello("9.7", capsAll, pluginCaching) + ok + ok + ok + resultOf("9.7", "0", "0", "id", "0") + status + resultOf("3", "1") + resultOf("id:1-7", "id:1-7", "id") +
		tableOf([]string{"Source_Host", "Retrieved_Gtid_Set"}, []string{"db1", "id:1-7"}) + resultOf("1"))
	f.Add(mariaHello + packet(2, "\xfe"+pluginEd25519+"\x00seedseedseedseedseedseedseedseed"))
	f.Add(mariaHello + packet(2, "\xfe"+pluginParsec+"\x00seedseedseedseedseedseedseedseed") + packet(4, "\x01P\x00salted salted salt"))
	f.Add(hello("9.7", capsAll, pluginCaching) + packet(2, "\x01\x04") + packet(4, "\x01-----BEGIN PUBLIC KEY-----"))
	f.Add(hello("9.7", capsAll|capTLS, pluginCaching) + "\x16\x03\x01")
	f.Add(packet(0, errPayload(1040, "x")))
	f.Fuzz(func(t *testing.T, say string) {
		tg := aim(t, reciting(t, say))
		tg.TLS.Mode, tg.Timeout, tg.Depth, tg.Table = probe.TLSPrefer, 3*time.Second, probe.PhaseWrite, "reattach.canary"
		began := time.Now()
		r := probe.Once(t.Context(), Protocol, tg)
		if r.Class == probe.None || r.Class == probe.Local || time.Since(began) > 5*time.Second {
			t.Fatalf("%+v", r)
		}
		if strings.ContainsAny(r.Err, "\n\r\x1b\x00") || strings.Contains(r.Err, "s3cret") {
			t.Fatalf("%q", r.Err)
		}
	})
}

// reciting is a server on loopback that says all it has to say at once, and no more.
func reciting(t testing.TB, say string) netip.AddrPort {
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
			_, _ = io.WriteString(c, say)
			_ = c.(*net.TCPConn).CloseWrite() // or the kernel might take back what was said
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return netip.MustParseAddrPort(l.Addr().String())
}
