package notify

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"mime"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/test/lab"
)

func newEmail(t *testing.T, opt EmailOptions) *Email {
	t.Helper()
	if opt.From == "" {
		opt.From = "reattach <reattach@lab.test>"
	}
	if opt.To == nil {
		opt.To = []string{"orders@lab.test"}
	}
	e, err := NewEmail(opt)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// written is a mail as it is sent.
func written(t *testing.T, e *Email, m Message) string {
	t.Helper()
	msg, err := e.compose(m)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := msg.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestEmailStory shows the mails of one outage, as they are sent.
func TestEmailStory(t *testing.T) {
	e := newEmail(t, EmailOptions{SMTP: "smtp://mail.test"})
	for i, name := range []string{"held", "failover", "recovered"} {
		mail := written(t, e, message(outage()[i]))
		golden(t, "email/"+name+".eml", strings.ReplaceAll(mail, "\r\n", "\n"))
		if mail != written(t, e, message(outage()[i])) {
			t.Errorf("%s: another attempt is another mail", name)
		}
	}
	golden(t, "email/storm.eml", strings.ReplaceAll(written(t, e, manyOutages(12)), "\r\n", "\n"))
}

// TestEmailThread: each mail of an outage has its own id, and all have one root.
func TestEmailThread(t *testing.T) {
	e := newEmail(t, EmailOptions{SMTP: "smtp://mail.test"})
	ids, roots := map[string]bool{}, map[string]bool{}
	again := outage()[0]
	again.At = again.At.Add(24 * time.Hour) // a reminder
	for _, n := range append(outage(), again) {
		mail := read(t, written(t, e, message(n)))
		ids[mail.Header.Get("Message-ID")], roots[mail.Header.Get("References")] = true, true
		if mail.Header.Get("In-Reply-To") != mail.Header.Get("References") {
			t.Error("it answers another mail than it refers to")
		}
	}
	if len(ids) != 4 || len(roots) != 1 {
		t.Errorf("%d ids, %d threads", len(ids), len(roots))
	}
}

// TestEmailOdd: no text becomes a header of its own, and each can be read back.
func TestEmailOdd(t *testing.T) {
	e := newEmail(t, EmailOptions{SMTP: "smtp://mail.test"})
	for name, m := range odd() {
		mail := read(t, written(t, e, m))
		if mail.Header.Get("Bcc") != "" || mail.Header.Get("To") != "<orders@lab.test>" {
			t.Errorf("%s: headers: %v", name, mail.Header)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(mail.Body))
		if want := strings.ReplaceAll(strings.ToValidUTF8(Text(m), "\uFFFD"), "\r\n", "\n"); err != nil || name != "controls" && name != "not UTF-8" && strings.ReplaceAll(string(body), "\r\n", "\n") != want {
			t.Errorf("%s: the text is another one (%d and %d bytes, %v)", name, len(body), len(want), err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(mail.Header.Get("Subject"))
		if err != nil || subject != header(Title(m)) || len(subject) > 2000 || strings.ContainsAny(subject, "\r\n") {
			t.Errorf("%s: the subject is %q, %v", name, subject, err)
		}
	}
}

func read(t *testing.T, text string) *netmail.Message {
	t.Helper()
	mail, err := netmail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return mail
}

func TestEmailOptions(t *testing.T) {
	good := EmailOptions{SMTP: "smtp://mail.test:25", From: "a@lab.test", To: []string{"b@lab.test"}}
	for name, change := range map[string]func(*EmailOptions){
		"no server": func(o *EmailOptions) { o.SMTP = "" }, "http": func(o *EmailOptions) { o.SMTP = "http://mail.test" },
		"credentials": func(o *EmailOptions) { o.SMTP = "smtp://u:passpasspass@mail.test" }, "no host": func(o *EmailOptions) { o.SMTP = "smtp://:25" },
		"no sender": func(o *EmailOptions) { o.From = "" }, "two lines": func(o *EmailOptions) { o.From = "a@lab.test\r\nBcc: c@lab.test" },
		"nobody": func(o *EmailOptions) { o.To = nil }, "no address": func(o *EmailOptions) { o.To = []string{"b"} },
	} {
		opt := good
		change(&opt)
		_, err := NewEmail(opt)
		if err == nil {
			t.Errorf("%s: taken", name)
		}
		noSecret(t, err, "passpasspass")
	}
	if _, err := NewEmail(good); err != nil {
		t.Error(err)
	}
}

// mailbox is what the lab's Postfix delivered to orders@lab.test, once it holds
// n mails.
func mailbox(t *testing.T, s *lab.Server, n int) (mails []*netmail.Message) {
	t.Helper()
	eventually(t, "the mail is in its box", func() bool {
		text, _ := s.Exec("cat", "/var/mail/orders")
		mails = nil
		for _, part := range strings.Split("\n"+text, "\nFrom ")[1:] {
			_, mail, _ := strings.Cut(part, "\n")
			mails = append(mails, read(t, mail))
		}
		return len(mails) >= n
	})
	if len(mails) > n {
		t.Errorf("%d mails instead of %d", len(mails), n)
	}
	return mails
}

// TestLabEmail: a real Postfix takes the mails of an outage by each of its three
// doors, and they can be read in their box.
func TestLabEmail(t *testing.T) {
	lab.Need(t)
	l := lab.New(t)
	s := l.Postfix()
	ca := l.CAFile()
	pass := probe.Secret(lab.Password("app"))
	for i, opt := range []EmailOptions{
		{SMTP: "smtp://" + s.Addr(25)}, // encrypted, not verified: its certificate is unknown here
		{SMTP: "smtp://" + s.Addr(587), Username: "app@lab.test", Password: pass, TLS: probe.TLSConfig{CAFile: ca}},
		{SMTP: "smtps://" + s.Addr(465), Username: "app@lab.test", Password: pass, TLS: probe.TLSConfig{CAFile: ca}},
	} {
		n := outage()[i]
		mustSend(t, newEmail(t, opt), message(n))
		mail := mailbox(t, s, i+1)[i]
		subject, err := new(mime.WordDecoder).DecodeHeader(mail.Header.Get("Subject"))
		if err != nil || subject != Title(message(n)) || mail.Header.Get("Auto-Submitted") != "auto-generated" || mail.Header.Get("X-Reattach-Event") != n.Event {
			t.Errorf("%s: %q, %v, %v", n.Event, subject, err, mail.Header)
		}
		if by := mail.Header.Get("Received"); !strings.Contains(by, "ESMTPS") {
			t.Errorf("%s: not encrypted: %s", n.Event, by)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(mail.Body))
		if err != nil || strings.TrimSpace(string(body)) != strings.TrimSpace(Text(message(n))) {
			t.Errorf("%s: %v: %s", n.Event, err, body)
		}
		if i == 1 {
			t.Logf("Subject: %s\n\n%s", subject, body)
		}
	}
	if root := mailbox(t, s, 3); root[0].Header.Get("References") != root[2].Header.Get("References") {
		t.Error("two threads")
	}
}

// TestLabEmailRefused: what a real Postfix refuses, and what is tried again.
func TestLabEmailRefused(t *testing.T) {
	lab.Need(t)
	l := lab.New(t)
	s := l.Postfix(lab.Args("smtpd_delay_reject=no", "smtpd_recipient_restrictions=check_recipient_access inline:{ {later@lab.test=450 not now} {never@lab.test=550 no such box} }, permit",
		"smtpd_sender_restrictions=check_sender_access inline:{ {busy@lab.test=451 busy} {evil@lab.test=554 no} }"))
	secured := probe.TLSConfig{CAFile: l.CAFile()}
	plain := "smtp://" + s.Addr(25)
	const wrong = "wrongwrongwrong"
	for _, c := range []struct {
		name      string
		opt       EmailOptions
		permanent bool
		says      string
	}{
		{"sender refused", EmailOptions{SMTP: plain, From: "evil@lab.test"}, true, "554"},
		{"sender later", EmailOptions{SMTP: plain, From: "busy@lab.test"}, false, "451"},
		{"recipient refused", EmailOptions{SMTP: plain, To: []string{"never@lab.test"}}, true, "550"},
		{"recipient later", EmailOptions{SMTP: plain, To: []string{"later@lab.test", "never@lab.test"}}, false, "450"},
		{"wrong password", EmailOptions{SMTP: "smtp://" + s.Addr(587), Username: "app@lab.test", Password: wrong, TLS: secured}, false, "535"},
		{"unknown authority", EmailOptions{SMTP: "smtp://" + s.Addr(587), Username: "app@lab.test", Password: wrong}, false, "certificate"},
		{"unknown authority, TLS at once", EmailOptions{SMTP: "smtps://" + s.Addr(465)}, false, "certificate"},
		{"no login in clear text", EmailOptions{SMTP: "smtp://" + s.Addr(9), Username: "app@lab.test", Password: wrong}, false, "refused"},
	} {
		err := send(t, newEmail(t, c.opt), message(outage()[1]))
		if err == nil || IsPermanent(err) != c.permanent || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
		noSecret(t, err, wrong, "d3Jvbmd3cm9uZ3dyb25n")
	}

	// One box that is refused, or not open now, keeps the others from nothing.
	var log bytes.Buffer
	e := newEmail(t, EmailOptions{SMTP: plain, To: []string{"never@lab.test", "orders@lab.test"}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	mustSend(t, e, message(outage()[1]))
	if !strings.Contains(log.String(), "never@lab.test is refused") {
		t.Error(log.String())
	}
	trial := message(outage()[1])
	trial.Notices[0].Event = "test"
	if err := send(t, e, trial); !IsPermanent(err) {
		t.Errorf("a trial hides who is refused: %v", err)
	}
	e = newEmail(t, EmailOptions{SMTP: plain, To: []string{"later@lab.test", "orders@lab.test"}})
	for range 3 {
		if err := send(t, e, message(outage()[0])); err == nil || IsPermanent(err) {
			t.Errorf("later: %v", err)
		}
	}
	mailbox(t, s, 3)
}

// TestLabEmailStandstill: a server that accepts and says nothing costs one
// timeout, and leaves nothing behind; one without TLS gets no password.
func TestLabEmailStandstill(t *testing.T) {
	lab.Need(t)
	l := lab.New(t)
	s := l.Postfix(lab.WithoutTLS())
	err := send(t, newEmail(t, EmailOptions{SMTP: "smtp://" + s.Addr(25), Username: "app@lab.test", Password: "wrongwrongwrong"}), message(outage()[1]))
	if err == nil || IsPermanent(err) || !strings.Contains(err.Error(), "TLS") {
		t.Errorf("a login without TLS: %v", err)
	}
	mustSend(t, newEmail(t, EmailOptions{SMTP: "smtp://" + s.Addr(25)}), message(outage()[1]))
	s.Freeze()
	defer s.Thaw()
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err = newEmail(t, EmailOptions{SMTP: "smtp://" + s.Addr(25)}).Send(ctx, message(outage()[2]))
	if took := time.Since(start); err == nil || IsPermanent(err) || took > 5*time.Second {
		t.Errorf("after %v: %v", took, err)
	}
}

// TestEmailSilence: a server that accepts and never answers, or stops in the
// middle, costs one timeout, and leaves neither goroutine nor connection behind.
func TestEmailSilence(t *testing.T) {
	for _, says := range []string{"", "220 mail.test\r\n", "220 mail.test\r\n250 mail.test\r\n", "421 busy\r\n", "554 go away\r\n"} {
		before := goleak.IgnoreCurrent()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			conn, err := listener.Accept()
			if err == nil {
				_, _ = io.WriteString(conn, says)
				_, err = io.Copy(io.Discard, conn) // until they hang up
				_ = conn.Close()
			}
			ended <- err
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		start := time.Now()
		err = newEmail(t, EmailOptions{SMTP: "smtp://" + listener.Addr().String()}).Send(ctx, message(outage()[1]))
		if took := time.Since(start); err == nil || IsPermanent(err) || took > 3*time.Second {
			t.Errorf("%q: after %v: %v", says, took, err)
		}
		cancel()
		<-ended // the connection is closed
		_ = listener.Close()
		goleak.VerifyNone(t, before)
	}
}

// TestEmailCancelled: the end of a context without a deadline is heard at once.
func TestEmailCancelled(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if conn, err := listener.Accept(); err == nil {
			_, _ = io.WriteString(conn, "220 mail.test\r\n")
			_, _ = conn.Read(make([]byte, 100)) // EHLO: they are connected
			cancel()
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}()
	start := time.Now()
	err = newEmail(t, EmailOptions{SMTP: "smtp://" + listener.Addr().String()}).Send(ctx, message(outage()[1]))
	if took := time.Since(start); err == nil || IsPermanent(err) || took > 10*time.Second {
		t.Errorf("after %v: %v", took, err)
	}
	_ = listener.Close()
	<-ended
}
