package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

func webhook(t *testing.T, opt WebhookOptions) *Webhook {
	t.Helper()
	w, err := NewWebhook(opt)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestWebhook: a receiver can read the body, check who sent it, and tell doubles.
func TestWebhook(t *testing.T) {
	keys := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var doc Document
		if err := json.Unmarshal(body, &doc); err != nil || doc.Version != 1 || doc.Notices[0].Resource != "orders-db" || doc.Severity != "critical" {
			t.Errorf("%v: %s", err, body)
		}
		var at, sign string
		if _, err := fmt.Sscanf(strings.Replace(r.Header.Get("X-Reattach-Signature"), ",", " ", 1), "t=%s v1=%s", &at, &sign); err != nil {
			t.Error(err)
		}
		mac := hmac.New(sha256.New, []byte("s3cret"))
		mac.Write([]byte(at + "." + string(body)))
		if hex.EncodeToString(mac.Sum(nil)) != sign {
			t.Errorf("%s signs another body", sign)
		}
		if r.Header.Get("Authorization") != "Bearer t0ken" || r.Header.Get("Content-Type") != "application/json" || r.Method != http.MethodPost {
			t.Errorf("%s %v", r.Method, r.Header)
		}
		keys[r.Header.Get("Idempotency-Key")] = true
	}))
	defer server.Close()
	w := webhook(t, WebhookOptions{URL: probe.Secret(server.URL + "/hook"), Secret: "s3cret", Token: "t0ken"})
	m := failoverMessage()
	for range 2 {
		if err := w.Send(t.Context(), m); err != nil {
			t.Error(err)
		}
	}
	m.Over = true
	if err := w.Send(t.Context(), m); err != nil || len(keys) != 2 || keys[""] {
		t.Errorf("%v, keys %v", err, keys)
	}
}

func TestWebhookBody(t *testing.T) {
	var got, kind string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got, kind = string(body), r.Header.Get("Content-Type")
	}))
	defer server.Close()
	for _, tt := range []struct{ template, want, kind string }{
		{`{"text": {{json .Title}}}`, `{"text": "CRITICAL orders-db: failed over from primary to standby"}`, "application/json"},
		{`{{range .Notices}}{{.Resource | upper}} {{.Severity}} {{.Event}}; {{end}}`, "ORDERS-DB critical failover; ", "text/plain; charset=utf-8"},
	} {
		w := webhook(t, WebhookOptions{URL: probe.Secret(server.URL), Body: tt.template})
		if err := w.Send(t.Context(), failoverMessage()); err != nil {
			t.Error(err)
		}
		diff(t, tt.template, tt.want+"|"+tt.kind, got+"|"+kind)
	}
}

func TestWebhookRefused(t *testing.T) {
	for name, body := range map[string]string{
		"no such field":   `{{.Titel}}`,
		"not closed":      `{{.Title`,
		"no such func":    `{{shout .Title}}`,
		"second notice":   `{{(index .Notices 1).Key}}`,
		"empty":           `{{if false}}x{{end}}`,
		"field of notice": `{{range .Notices}}{{.Nothing}}{{end}}`,
	} {
		if _, err := ParseBody(body); err == nil || !strings.HasPrefix(err.Error(), "body: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, url := range []string{"", "x", "ftp://host/x", "https:///x", "http://user:p%zz@host/"} {
		if _, err := NewWebhook(WebhookOptions{URL: probe.Secret(url)}); err == nil || url != "" && strings.Contains(err.Error(), url) && len(url) > 1 {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// TestPost: which answers are tried again, after how long, and what an error shows.
func TestPost(t *testing.T) {
	for _, tt := range []struct {
		status    int
		header    string // of Retry-After
		want      string
		permanent bool
		after     time.Duration
	}{
		{200, "", "", false, 0}, {202, "", "", false, 0}, {204, "", "", false, 0},
		{301, "", "it answered 301 Moved Permanently: redirects are not followed", true, 0},
		{307, "", "it answered 307 Temporary Redirect: redirects are not followed", true, 0},
		{400, "", "it answered 400 Bad Request: *** says *** ***", true, 0},
		{403, "", "it answered 403 Forbidden", true, 0},
		{404, "", "it answered 404 Not Found", true, 0},
		{408, "", "it answered 408 Request Timeout", false, 0},
		{425, "", "it answered 425 Too Early", false, 0},
		{429, "30", "it answered 429 Too Many Requests", false, 30 * time.Second},
		{500, "", "it answered 500 Internal Server Error", false, 0},
		{503, "x", "it answered 503 Service Unavailable", false, 0},
	} {
		t.Run(fmt.Sprint(tt.status), func(t *testing.T) {
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				w.Header().Set("Location", "/elsewhere/T0SECRET")
				w.Header().Set("Retry-After", tt.header)
				w.WriteHeader(tt.status)
				if tt.status != 204 && tt.status != 304 {
					_, _ = fmt.Fprintf(w, "%s says\n%s \x1b%s%s", r.URL.Path, "hush-hush", "T0SECRET", strings.Repeat("x", 100000))
				}
			}))
			defer server.Close()
			w := webhook(t, WebhookOptions{URL: probe.Secret(server.URL + "/services/T0SECRET?key=T0SECRET"), Token: "hush-hush"})
			err := w.Send(t.Context(), failoverMessage())
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || IsPermanent(err) != tt.permanent || asked != 1 {
				t.Fatalf("%v, permanent %v, asked %d times", err, IsPermanent(err), asked)
			}
			if s := err.Error(); strings.Contains(s, "T0SECRET") || strings.Contains(s, "hush") || len(s) > 600 {
				t.Errorf("it shows %s", s)
			}
			o := &Outbox{}
			if wait := o.patience((&Outbox{queues: map[string]*queue{}}).queue("x"), err); tt.after > 0 && wait != tt.after {
				t.Errorf("the next try is after %v", wait)
			}
		})
	}
}

func TestRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"120": 2 * time.Minute, "": 0, "-5": 0, "soon": 0, "99999999999999": 0,
		"Sun, 01 Mar 2026 12:01:00 GMT": time.Minute, "Sun, 01 Mar 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}

// TestPostNobody: no answer is no secret, either, and worth another try.
func TestPostNobody(t *testing.T) {
	stuck := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stuck }))
	defer server.Close()
	defer close(stuck)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := webhook(t, WebhookOptions{URL: probe.Secret(server.URL + "/T0SECRET")}).Send(ctx, failoverMessage())
	if err == nil || IsPermanent(err) || err.Error() != "it did not answer in time: context deadline exceeded" {
		t.Error(err)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	err = webhook(t, WebhookOptions{URL: probe.Secret(gone.URL + "/T0SECRET")}).Send(t.Context(), failoverMessage())
	if err == nil || IsPermanent(err) || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "SECRET") {
		t.Error(err)
	}
}

// TestWebhookTLS: the receiver is verified, whatever else is asked for.
func TestWebhookTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := webhook(t, WebhookOptions{URL: probe.Secret(server.URL), TLS: probe.TLSConfig{CAFile: ca}}).Send(t.Context(), failoverMessage()); err != nil {
		t.Error(err)
	}
	if err := webhook(t, WebhookOptions{URL: probe.Secret(server.URL)}).Send(t.Context(), failoverMessage()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown certificate: %v", err)
	}
}
