package notify

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	netmail "net/mail"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/probe"
)

// emailTimeout bounds a conversation whose context has no deadline.
const emailTimeout = 30 * time.Second

// EmailOptions are what an [Email] is made of.
type EmailOptions struct {
	SMTP     string   // smtp://host:port or smtps://host:port, without credentials
	From     string   // an address, with or without a name
	To       []string // addresses; at least one
	Username string   // empty: no login
	Password probe.Secret
	TLS      probe.TLSConfig
	Log      *slog.Logger // told of a recipient who was refused while others were not; may be nil
}

// Email sends messages by SMTP, as plain text.
//
// smtps:// is TLS from the first byte, with a verified certificate. smtp:// uses
// STARTTLS: with a login, or where TLS files are given, it is demanded and the
// certificate verified; otherwise it is used where it is offered, and nothing is
// verified, as between mail servers.
//
// What the server says to the message itself counts: 4xx is tried again, 5xx is
// [Permanent]. Whatever hinders the way there (the greeting, TLS, the login) is
// tried again, for a person can mend it. A recipient who is refused does not keep
// the others from getting the mail.
//
// The Message-ID is the same at each attempt, so most servers and readers drop
// doubles. All mails of a matter refer to the same one, which was never sent:
// readers show them as one thread.
type Email struct {
	opt  EmailOptions
	url  *url.URL
	from *netmail.Address
	to   []string

	mu      sync.Mutex
	partial map[string]bool // recipients who have the mail with the id below
	id      string
}

// NewEmail checks the options. Nothing is dialled.
func NewEmail(opt EmailOptions) (*Email, error) {
	target, err := url.Parse(opt.SMTP)
	if err != nil || target.Scheme != "smtp" && target.Scheme != "smtps" || target.Hostname() == "" || target.User != nil {
		return nil, errors.New("email: smtp: it is to be smtp://host:port or smtps://host:port, without credentials")
	}
	e := &Email{opt: opt, url: target}
	if e.from, err = netmail.ParseAddress(opt.From); err != nil {
		return nil, fmt.Errorf("email: from %q: %w", opt.From, err)
	}
	if len(opt.To) == 0 {
		return nil, errors.New("email: to: no recipient")
	}
	for _, to := range opt.To {
		address, err := netmail.ParseAddress(to)
		if err != nil {
			return nil, fmt.Errorf("email: to %q: %w", to, err)
		}
		e.to = append(e.to, address.Address)
	}
	return e, nil
}

// Send hands the message to the mail server for all recipients.
func (e *Email) Send(ctx context.Context, m Message) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	msg, err := e.compose(m)
	if err != nil {
		return Permanent(fmt.Errorf("email: %w", err))
	}
	if id := msg.GetMessageID(); e.id != id {
		e.id, e.partial = id, map[string]bool{}
	}
	client, hangUp, err := e.dial(ctx)
	if err != nil {
		return e.fail("no way to the mail server", err)
	}
	defer hangUp()
	return e.deliver(client, msg, m)
}

// deliver sends one mail to all recipients who do not have it yet.
func (e *Email) deliver(client *smtp.Client, msg *mail.Msg, m Message) error {
	if err := client.Mail("<" + e.from.Address + ">"); err != nil {
		return verdict(err, e.fail("the sender is refused", err))
	}
	var taken []string
	var again, never []error
	for _, to := range e.to {
		if e.partial[to] {
			continue
		}
		switch err := client.Rcpt("<" + to + ">"); {
		case err == nil:
			taken = append(taken, to)
		case code(err)/100 == 5:
			never = append(never, e.fail("recipient "+to+" is refused", err))
		default:
			again = append(again, e.fail("recipient "+to+" is not taken now", err))
		}
	}
	if len(taken) > 0 {
		if err := transmit(client, msg); err != nil {
			return verdict(err, e.fail("the mail is refused", err))
		}
		for _, to := range taken {
			e.partial[to] = true
		}
		_ = client.Quit() // the mail is theirs already
	}
	if len(again) > 0 {
		return joined(append(again, never...))
	}
	e.id = "" // this one is done with
	switch has := len(e.partial) > 0; {
	case len(never) > 0 && (!has || m.Notices[0].Event == "test"):
		return Permanent(joined(never))
	case len(never) > 0 && e.opt.Log != nil:
		e.opt.Log.Warn("a recipient of notices is refused", "err", joined(never), "others", slices.Sorted(maps.Keys(e.partial)))
	}
	return nil
}

func transmit(client *smtp.Client, msg *mail.Msg) error {
	w, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := msg.WriteTo(w); err != nil {
		return err // the connection ends without the final dot: nothing was sent
	}
	return w.Close()
}

// dial returns a conversation that may send, and what ends it. It ends, too, when
// ctx does.
func (e *Email) dial(ctx context.Context) (*smtp.Client, func(), error) {
	timeout := emailTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = time.Until(deadline)
	}
	opts, err := e.dialOptions()
	if err != nil {
		return nil, nil, err
	}
	var conn net.Conn
	var stop func() bool
	opts = append(opts, mail.WithTimeout(max(timeout, time.Millisecond)),
		mail.WithDialContextFunc(func(dialing context.Context, network, address string) (net.Conn, error) {
			opened, err := e.connect(dialing, network, address)
			if err == nil {
				conn, stop = opened, context.AfterFunc(ctx, func() { _ = opened.Close() })
			}
			return opened, err
		}))
	client, err := mail.NewClient(e.url.Hostname(), opts...)
	if err != nil {
		return nil, nil, err
	}
	hangUp := func() {
		if conn != nil {
			stop()
			_ = conn.Close()
		}
	}
	c, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		hangUp() // the library leaves it open
		return nil, nil, err
	}
	return c, hangUp, nil
}

// connect opens the connection, encrypted from the first byte for smtps://.
func (e *Email) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if e.url.Scheme != "smtps" {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	conf, err := e.opt.TLS.Client(e.url.Hostname(), probe.TLSVerify)
	if err != nil {
		return nil, err
	}
	return (&tls.Dialer{Config: conf}).DialContext(ctx, network, address)
}

func (e *Email) dialOptions() ([]mail.Option, error) {
	port, policy, mode := 25, mail.TLSOpportunistic, probe.TLSPrefer
	switch {
	case e.url.Scheme == "smtps":
		port, policy, mode = 465, mail.NoTLS, probe.TLSVerify
	case e.opt.Username != "" || e.opt.TLS.CAFile+e.opt.TLS.CertFile+e.opt.TLS.ServerName != "":
		policy, mode = mail.TLSMandatory, probe.TLSVerify
	}
	if e.url.Port() != "" {
		port, _ = strconv.Atoi(e.url.Port())
	}
	conf, err := e.opt.TLS.Client(e.url.Hostname(), mode)
	if err != nil {
		return nil, err
	}
	opts := []mail.Option{mail.WithPort(port), mail.WithTLSPolicy(policy), mail.WithTLSConfig(conf)}
	if ascii(e.from.Address) && ascii(strings.Join(e.to, "")) {
		opts = append(opts, mail.WithoutSMTPUTF8()) // a relay further on may lack it
	}
	if e.opt.Username != "" {
		opts = append(opts, mail.WithUsername(e.opt.Username), mail.WithPassword(e.opt.Password.Reveal()),
			mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256PLUS, mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin))
	}
	return opts, nil
}

// compose writes the mail.
func (e *Email) compose(m Message) (*mail.Msg, error) {
	lead := leading(m)
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := msg.From(e.opt.From); err != nil {
		return nil, err
	}
	if err := msg.To(e.opt.To...); err != nil {
		return nil, err
	}
	_, domain, _ := strings.Cut(e.from.Address, "@")
	thread := messageID(domain, m.Matter)
	own := []string{m.Matter}
	for _, n := range m.Notices {
		own = append(own, n.Key, stamp(n.At), strconv.FormatBool(n.Over))
	}
	msg.SetMessageIDWithValue(messageID(domain, own...))
	msg.SetGenHeader(mail.HeaderInReplyTo, "<"+thread+">")
	msg.SetGenHeader(mail.HeaderReferences, "<"+thread+">")
	msg.SetDateWithValue(m.Notices[len(m.Notices)-1].At.UTC())
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("X-Reattach-Event", header(lead.Event))
	msg.SetGenHeader("X-Reattach-Severity", worst(m).String())
	msg.SetGenHeader("X-Reattach-Matter", header(m.Matter))
	if resource := oneResource(m); resource != "" {
		msg.SetGenHeader("X-Reattach-Resource", header(resource))
	}
	if worst(m) == failover.Critical && !m.Over {
		msg.SetImportance(mail.ImportanceHigh)
	}
	msg.Subject(header(Title(m)))
	msg.SetBodyString(mail.TypeTextPlain, Text(m))
	return msg, nil
}

// messageID is an id that is the same for the same parts.
func messageID(domain string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return "reattach." + hex.EncodeToString(sum[:12]) + "@" + domain
}

// header is a text for one header line: no line break can begin another.
func header(text string) string {
	return strings.Join(strings.Fields(clip(text, 500)), " ")
}

func ascii(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r > 126 }) < 0
}

// code is the server's reply code, or 0 if it is not its answer.
func code(err error) int {
	if reply := (*textproto.Error)(nil); errors.As(err, &reply) {
		return reply.Code
	}
	return 0
}

// verdict marks err as permanent if the server's reply is.
func verdict(reply, err error) error {
	if code(reply)/100 == 5 {
		return Permanent(err)
	}
	return err
}

// joined is several errors in one line.
func joined(errs []error) error {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return errors.New(strings.Join(texts, "; "))
}

// fail is an error without the login in any spelling that a server may repeat.
func (e *Email) fail(what string, err error) error {
	password := e.opt.Password.Reveal()
	base64 := base64.StdEncoding.EncodeToString
	secrets := []string{password, base64([]byte(password)), base64([]byte("\x00" + e.opt.Username + "\x00" + password))}
	return errors.New("email: " + what + ": " + scrub(err.Error(), secrets))
}
