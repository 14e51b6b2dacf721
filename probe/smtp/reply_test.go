package smtp

import (
	"bufio"
	"errors"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

func parse(text string) (reply, error) {
	return readReply(bufio.NewReaderSize(strings.NewReader(text), 2048))
}

func TestReply(t *testing.T) {
	for text, want := range map[string]reply{
		"250 ok\r\n":                            {250, "", []string{"ok"}},
		"250\r\n":                               {250, "", []string{""}},
		"250 ok\n":                              {250, "", []string{"ok"}},
		"250-a\r\n250-b\r\n250 c\r\n250 next":   {250, "", []string{"a", "b", "c"}},
		"421 4.7.0 too many\r\n":                {421, "4.7.0", []string{"too many"}},
		"535-5.7.8 no\r\n535 5.7.8 never\r\n":   {535, "5.7.8", []string{"no", "never"}},
		"250 2.1000.0 no status\r\n":            {250, "", []string{"2.1000.0 no status"}},
		"250 5.1.1 of another class\r\n":        {250, "", []string{"5.1.1 of another class"}},
		"220 1.2.3.4 ESMTP\r\n":                 {220, "", []string{"1.2.3.4 ESMTP"}},
		"220 2.2.2.2 ESMTP\r\n":                 {220, "", []string{"2.2.2.2 ESMTP"}},
		"550-5.1.1\r\n550 5.1.1 over there\r\n": {550, "5.1.1", []string{"", "over there"}},
	} {
		got, err := parse(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v (%v), want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"25 ok\r\n", "2500 ok\r\n", "150 ok\r\n", "650 ok\r\n", "250_ok\r\n", "\r\n", "2x0 ok\r\n", "+OK\r\n", "250-a\r\n251 b\r\n"} {
		var f probe.Failure
		if got, err := parse(text); !errors.As(err, &f) || f.Class != probe.Garbled {
			t.Errorf("%q: %+v (%v)", text, got, err)
		}
	}
}

func TestLongLine(t *testing.T) {
	var f probe.Failure
	if _, err := parse("220 " + strings.Repeat("x", 3000) + "\r\n"); !errors.As(err, &f) || f.Class != probe.Garbled {
		t.Errorf("a line without end: %v", err)
	}
}

func TestClasses(t *testing.T) {
	for _, c := range []struct {
		verb      verb
		text      string
		encrypted bool
		want      probe.Class
	}{
		{greeting, "421 4.3.2 shutting down", false, probe.Overloaded},
		{greeting, "554 5.7.1 no", false, probe.Misconfigured},
		{greeting, "450 4.3.2 later", false, probe.Degraded},
		{starttls, "454 4.7.0 no certificate", false, probe.TLS},
		{starttls, "501 what", false, probe.TLS},
		{login, "454 4.7.0 out of order", true, probe.Degraded},
		{login, "535 5.7.8 no", true, probe.Auth},
		{login, "534 5.7.9 too weak", true, probe.Auth},
		{login, "538 5.7.11 encrypt", false, probe.Auth},
		{login, "530 5.7.0 must", true, probe.Auth},
		{login, "432 4.7.12 change it", true, probe.Auth},
		{login, "504 5.5.4 unknown", true, probe.Misconfigured},
		{mail, "452 4.3.1 full", true, probe.Overloaded},
		{mail, "451 4.3.0 oops", true, probe.Degraded},
		{mail, "530 5.7.0 STARTTLS first", false, probe.TLS},
		{mail, "530 5.7.0 log in first", true, probe.Auth},
		{mail, "550 5.1.0 no", true, probe.Misconfigured},
		{noop, "354 go on", true, probe.Garbled},
	} {
		r, err := parse(c.text + "\r\n")
		if err != nil {
			t.Fatal(err)
		}
		var f probe.Failure
		if !errors.As(refusal(c.verb, r, c.encrypted), &f) || f.Class != c.want {
			t.Errorf("%s to %s: %v, want %v", c.text, c.verb, f.Class, c.want)
		}
		if r.code >= 400 && f.Class.Evidence() {
			t.Errorf("%s: an answer became evidence of failure", c.text)
		}
	}
}

// FuzzReply: no bytes hurt the reader of replies.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{"250 ok\r\n", "220-a\r\n220 b\r\n", "421 4.7.0 x\n", "250-\r\n250\r\n", "SSH-2.0\r\n", "\x15\x03\x01", "2", "250-a\r\n251 b\r\n", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parse(text)
		if err != nil {
			return
		}
		total := 0
		for _, line := range r.lines {
			total += len(line)
			if strings.ContainsAny(line, "\n") {
				t.Errorf("a line with a line's end: %q", line)
			}
		}
		if r.code < 200 || r.code > 599 || len(r.lines) == 0 || total > len(text) || !strings.Contains(text, r.status()[:3]) {
			t.Errorf("%q came to %+v", text, r)
		}
		var got probe.Failure
		if !errors.As(refusal(noop, r, true), &got) || got.Class == probe.OK || got.Class == probe.None {
			t.Errorf("%+v is a refusal of class %v", r, got.Class)
		}
	})
}

// FuzzOffer: no offer hurts its reader.
func FuzzOffer(f *testing.F) {
	for _, seed := range []string{"mail\nSIZE 1000\nSTARTTLS\nAUTH PLAIN LOGIN\nAUTH=LOGIN", "mail\nSIZE", "", "mail\n\nSIZE -1\nSIZE 99999999999999999999", "mail\nAUTH="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o := parseOffer(strings.Split(text, "\n"))
		if len(o.names) > strings.Count(text, "\n")+1 || len(o.auth) > len(text) || o.limit > 0 && !o.size {
			t.Errorf("%q came to %+v", text, o)
		}
	})
}

// FuzzConversation: a server that says anything at all costs no more than the time,
// and no panic, and what it says back of a password is not repeated.
func FuzzConversation(f *testing.F) {
	f.Add("220 mail.test\r\n250-mail.test\r\n250-SIZE 1000\r\n250 AUTH PLAIN\r\n334 \r\n235 ok\r\n250 ok\r\n250 ok\r\n221 bye\r\n")
	f.Add("220-mail.test\r\n220 mail.test\r\n250-mail.test\r\n250 AUTH LOGIN\r\n334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n535 5.7.8 czNjcmV0 s3cret\r\n")
	f.Add("220 mail.test\r\n250 mail.test\r\n452 4.3.1 Insufficient system storage\r\n")
	f.Add("421 4.7.0 too many\r\n")
	f.Fuzz(func(t *testing.T, say string) {
		tg, _ := serve(t, "smtp", func(f *fake) {
			_, _ = io.WriteString(f.c, say)
			_ = f.c.(*net.TCPConn).CloseWrite() // or the kernel might take back what was said
			_, _ = io.Copy(io.Discard, f.c)
		})
		tg.Depth, tg.TLS.Mode = probe.PhaseRead, probe.TLSOff
		tg.Username, tg.Passwords = "app", []probe.Secret{"s3cret", "older"}
		began := time.Now()
		r := probe.Once(t.Context(), Protocol, tg)
		if r.Class == probe.None || r.Class == probe.Local || time.Since(began) > tg.Timeout+2*time.Second {
			t.Fatalf("%+v", r)
		}
		if strings.ContainsAny(r.Err, "\n\r\x1b\x00") || strings.Contains(r.Err, "s3cret") {
			t.Fatalf("%q", r.Err)
		}
	})
}
