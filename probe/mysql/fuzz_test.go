package mysql

import (
	"errors"
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

// FuzzConversation: a server that says anything at all costs no more than the
// time, and no panic.
func FuzzConversation(f *testing.F) {
	ok := packet(2, okPayload)
	f.Add(mariaHello + ok + ok + ok + resultOf("1", "0", "0", "id") + resultOf("Uptime", "7"))
	f.Add(mariaHello + packet(2, "\xfe"+pluginEd25519+"\x00seedseedseedseedseedseedseedseed"))
	f.Add(hello("9.7", capsAll, pluginCaching) + packet(2, "\x01\x04") + packet(4, "\x01-----BEGIN PUBLIC KEY-----"))
	f.Add(hello("9.7", capsAll|capTLS, pluginCaching) + "\x16\x03\x01")
	f.Add(packet(0, errPayload(1040, "x")))
	f.Fuzz(func(t *testing.T, say string) {
		addr := scripted(t, say, hangUp)
		tg := aim(t, addr)
		tg.TLS.Mode, tg.Timeout = probe.TLSPrefer, time.Second
		began := time.Now()
		r := probe.Once(t.Context(), Protocol, tg)
		if r.Class == probe.None || r.Class == probe.Local || time.Since(began) > 3*time.Second {
			t.Fatalf("%+v", r)
		}
		if strings.ContainsAny(r.Err, "\n\r\x1b\x00") || strings.Contains(r.Err, "s3cret") {
			t.Fatalf("%q", r.Err)
		}
	})
}
