package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Bounds of a conversation by HTTP.
const (
	answerRead  = 8 << 10 // bytes of an answer that are read at most
	answerShown = 200     // runes of it that an error shows
	masked      = "***"
)

// newClient returns a client for one destination. It follows no redirect: what
// it sends holds secrets, and a destination that moved is to be configured.
func newClient(conf *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSClientConfig:        conf,
			TLSHandshakeTimeout:    10 * time.Second,
			DisableKeepAlives:      true, // notices are rare, and nothing is to stay behind
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answerError is an HTTP answer that is not success.
type answerError struct {
	status int
	text   string        // what the destination said, in short, without secrets
	after  time.Duration // that it asks to wait; 0: it does not say
}

func (e *answerError) Error() string {
	s := fmt.Sprintf("it answered %d %s", e.status, http.StatusText(e.status))
	if e.text != "" {
		s += ": " + e.text
	}
	return s
}

// RetryAfter is how long the destination asks to be left alone; 0: it does not say.
func (e *answerError) RetryAfter() time.Duration { return e.after }

// post sends a request and reads the answer. It returns nil for 2xx. 408, 425,
// 429 and 5xx are worth another try, as is no answer at all; anything else is
// [Permanent]. No error holds the URL, a header, or one of the secrets, even where
// the destination repeats them.
func post(ctx context.Context, client *http.Client, req *http.Request, secrets ...string) error {
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("it did not answer in time: %w", ctx.Err())
	}
	if err != nil {
		var named *url.Error
		if errors.As(err, &named) {
			err = named.Err // without the URL
		}
		return errors.New(scrub(err.Error(), append(secrets, hidden(req)...)))
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, answerRead))
	if resp.StatusCode/100 == 2 {
		return nil
	}
	e := &answerError{status: resp.StatusCode, after: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
		text: scrub(string(bytes.ToValidUTF8(body, nil)), append(secrets, hidden(req)...))}
	switch {
	case e.status/100 == 3:
		e.text = "redirects are not followed: configure the address that it moved to"
	case e.status == http.StatusRequestTimeout, e.status == http.StatusTooEarly, e.status == http.StatusTooManyRequests, e.status >= 500:
		return e
	}
	return Permanent(e)
}

// retryAfter reads the header of that name: seconds, or a date. What cannot be
// read, or lies behind, is 0.
func retryAfter(value string, now time.Time) time.Duration {
	if s, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// hidden is what a request holds that no error may show: its address, long parts
// of that, and what it authenticates with.
func hidden(req *http.Request) []string {
	all := []string{req.URL.String(), req.URL.RequestURI(), req.URL.Path}
	for _, part := range strings.FieldsFunc(req.URL.RequestURI(), func(r rune) bool { return strings.ContainsRune("/?&=", r) }) {
		if len(part) >= 6 {
			all = append(all, part)
			if plain, err := url.QueryUnescape(part); err == nil {
				all = append(all, plain)
			}
		}
	}
	if password, ok := req.URL.User.Password(); ok {
		all = append(all, password)
	}
	_, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	return append(all, token)
}

// scrub makes one short line of a text, without the secrets.
func scrub(text string, secrets []string) string {
	for _, s := range secrets {
		if len(s) > 1 { // "/" is no secret
			text = strings.ReplaceAll(text, s, masked)
		}
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if runes := []rune(text); len(runes) > answerShown {
		text = string(runes[:answerShown]) + "…"
	}
	return text
}
