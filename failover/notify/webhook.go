package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// WebhookOptions are what a [Webhook] is made of.
type WebhookOptions struct {
	URL    probe.Secret
	Secret probe.Secret // signs the body; empty: it is not signed
	Token  probe.Secret // sent as a bearer token; may be empty
	Body   string       // a template, see [ParseBody]; empty: the JSON of a [Document]
	TLS    probe.TLSConfig
}

// Webhook posts messages to a program of the user's own.
//
// With a secret, the header X-Reattach-Signature is "t=<unix seconds>,v1=<hex>":
// the HMAC-SHA256, under the secret, of those seconds, a dot and the body. Who
// checks it refuses what is older than a few minutes. The header Idempotency-Key
// is the same in each attempt for the same message.
type Webhook struct {
	opt  WebhookOptions
	body *template.Template // nil: JSON
	host string
}

// NewWebhook checks the options, the template among them. Nothing is dialled.
func NewWebhook(opt WebhookOptions) (*Webhook, error) {
	u, err := url.Parse(opt.URL.Reveal())
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the url is not of the form https://host/path") // it may hold a secret
	}
	w := &Webhook{opt: opt, host: u.Hostname()}
	if opt.Body != "" {
		if w.body, err = ParseBody(opt.Body); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// Send posts one message.
func (w *Webhook) Send(ctx context.Context, m Message) error {
	body, err := w.render(m)
	if err != nil {
		return Permanent(err)
	}
	conf, err := w.opt.TLS.Client(w.host, probe.TLSVerify)
	if err != nil {
		return err // a file that somebody is about to put right
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.opt.URL.Reveal(), bytes.NewReader(body))
	if err != nil {
		return Permanent(errors.New("the url cannot be used"))
	}
	req.Header.Set("Content-Type", contentType(body))
	req.Header.Set("User-Agent", "reattach")
	req.Header.Set("Idempotency-Key", idempotencyKey(m))
	if w.opt.Token != "" {
		req.Header.Set("Authorization", "Bearer "+w.opt.Token.Reveal())
	}
	if w.opt.Secret != "" {
		req.Header.Set("X-Reattach-Signature", signature(w.opt.Secret.Reveal(), time.Now(), body))
	}
	return post(ctx, newClient(conf), req, w.opt.Token.Reveal(), w.opt.Secret.Reveal())
}

func (w *Webhook) render(m Message) ([]byte, error) {
	if w.body == nil {
		return json.Marshal(document(m))
	}
	var b bytes.Buffer
	if err := w.body.Execute(&b, document(m)); err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	return b.Bytes(), nil
}

func contentType(body []byte) string {
	if json.Valid(body) {
		return "application/json"
	}
	return "text/plain; charset=utf-8"
}

// signature is the value of X-Reattach-Signature.
func signature(secret string, now time.Time, body []byte) string {
	t := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// idempotencyKey is the same for the same message, and for no other.
func idempotencyKey(m Message) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %t", m.Matter, m.Over)
	for _, n := range m.Notices {
		fmt.Fprintf(h, " %q %d %t", n.Key, n.At.UnixNano(), n.Over)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// bodyFuncs are what a body's template may call besides the language's own.
var bodyFuncs = template.FuncMap{
	"json":  func(v any) (string, error) { b, err := json.Marshal(v); return string(b), err },
	"upper": strings.ToUpper,
	"lower": strings.ToLower,
	"join":  strings.Join,
}

// ParseBody reads a text/template for the body of a webhook. Its dot is a
// [Document]; "json" writes any value of it as JSON, quotes and all; "upper",
// "lower" and "join" are there, too. It is tried on a message of one notice, one
// of several and an end, so that mistakes are found when it is configured.
func ParseBody(text string) (*template.Template, error) {
	t, err := template.New("body").Funcs(bodyFuncs).Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	n := failover.Notice{Key: "key", Event: "failover", Resource: "orders-db", Outage: "outage", Text: "text", Next: "next", From: "primary", To: "standby",
		Why: "why", Class: "refused", Phase: "connect", Code: "1040", Gate: "pace", Gates: []policy.Passage{{Gate: "pace", Why: "why"}}, Observer: "a"}
	over := n
	over.Over = true
	for _, m := range []Message{{Matter: "m", Notices: []failover.Notice{n}}, {Matter: "m", Notices: []failover.Notice{n, n}}, {Matter: "m", Notices: []failover.Notice{over}, Over: true}} {
		var b bytes.Buffer
		if err := t.Execute(&b, document(m)); err != nil {
			return nil, fmt.Errorf("body: %w", err)
		}
		if b.Len() == 0 {
			return nil, errors.New("body: it is empty")
		}
	}
	return t, nil
}
