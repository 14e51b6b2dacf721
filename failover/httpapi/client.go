package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/probe"
)

// ErrUnreachable means that no daemon answers on the socket.
var ErrUnreachable = errors.New("the daemon cannot be reached")

// Refusal is an answer of the daemon that is an error.
type Refusal struct {
	Code int    // HTTP status code
	Text string // one sentence
	Hint string // what to do; may be empty
}

// Error returns the sentence.
func (r *Refusal) Error() string { return r.Text }

// Client asks a daemon over its unix socket.
type Client struct{ http http.Client }

// answerLimit bounds what a client reads, in bytes.
const answerLimit = 64 << 20

// NewClient returns a client of the daemon that listens on the unix socket at
// path. It connects for each question.
func NewClient(path string) *Client {
	return &Client{http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}}
}

// Status asks for the status of one resource, or of all of them if it is "".
// Like all questions it returns the answer as it came; it fails with an error
// that wraps [ErrUnreachable], or a [*Refusal].
func (c *Client) Status(ctx context.Context, resource string) (json.RawMessage, error) {
	if resource != "" {
		resource = "?resource=" + url.QueryEscape(resource)
	}
	return c.get(ctx, "/v1/status"+resource)
}

// Explain asks why a resource was or was not switched.
func (c *Client) Explain(ctx context.Context, resource string) (json.RawMessage, error) {
	return c.get(ctx, "/v1/explain/"+url.PathEscape(resource))
}

// History asks for the switches of one resource, or of all of them if it is "".
func (c *Client) History(ctx context.Context, resource string) (json.RawMessage, error) {
	if resource != "" {
		resource = "/" + url.PathEscape(resource)
	}
	return c.get(ctx, "/v1/history"+resource)
}

// Events asks for notices about one resource, or about anything if it is "",
// with a number greater than after, oldest first, at most limit; with after 0,
// for the newest ones. If there is none yet, it waits so long for the first.
func (c *Client) Events(ctx context.Context, after uint64, resource string, limit int, wait time.Duration) (json.RawMessage, error) {
	q := url.Values{"after": {strconv.FormatUint(after, 10)}, "limit": {strconv.Itoa(limit)}}
	if resource != "" {
		q.Set("resource", resource)
	}
	if wait > 0 {
		q.Set("wait", wait.String())
	}
	return c.get(ctx, "/v1/events?"+q.Encode())
}

// Test has the daemon send a test notice to a notifier.
func (c *Client) Test(ctx context.Context, notifier string) (failover.Answer, error) {
	return c.post(ctx, "/v1/notify/"+url.PathEscape(notifier), nil)
}

// Do sends a command and waits for its answer.
func (c *Client) Do(ctx context.Context, command failover.Command) (failover.Answer, error) {
	body, err := json.Marshal(command)
	if err != nil {
		return failover.Answer{}, err
	}
	return c.post(ctx, "/v1/command", body)
}

func (c *Client) post(ctx context.Context, path string, body []byte) (failover.Answer, error) {
	code, raw, err := c.ask(ctx, http.MethodPost, path, body)
	if err != nil {
		return failover.Answer{}, err
	}
	// An answer that is no error has a text, whatever its code.
	var answer failover.Answer
	if json.Unmarshal(raw, &answer) == nil && answer.Text != "" {
		return answer, nil
	}
	return failover.Answer{}, refusal(code, raw)
}

func (c *Client) get(ctx context.Context, path string) (json.RawMessage, error) {
	code, raw, err := c.ask(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	if code != http.StatusOK {
		return nil, refusal(code, raw)
	}
	return raw, nil
}

func (c *Client) ask(ctx context.Context, method, path string, body []byte) (code int, raw []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://reattach"+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var e *url.Error
		if errors.As(err, &e) {
			err = e.Err // without the URL, which names a host that there is not
		}
		return 0, nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer resp.Body.Close()
	raw, err = io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return resp.StatusCode, raw, nil
}

func refusal(code int, raw []byte) *Refusal {
	var p problem
	if json.Unmarshal(raw, &p) != nil || p.Error == "" {
		p.Error = fmt.Sprintf("the daemon answered %d %s", code, http.StatusText(code))
		p.Hint = "are reattach and its daemon of the same version?"
	}
	return &Refusal{code, p.Error, p.Hint}
}

// ParseStatus reads the answer of [Client.Status]. The URLs in it are masked,
// and good for eyes only.
func ParseStatus(raw []byte) (failover.Status, error) {
	var in struct {
		failover.Status
		Resources []wireResource `json:"resources"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return failover.Status{}, fmt.Errorf("not a status: %w", err)
	}
	for _, r := range in.Resources {
		in.Status.Resources = append(in.Status.Resources, r.plain())
	}
	return in.Status, nil
}

// ParseExplanation reads the answer of [Client.Explain], like [ParseStatus].
func ParseExplanation(raw []byte) (failover.Explanation, error) {
	var in struct {
		failover.Explanation
		Status wireResource `json:"status"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return failover.Explanation{}, fmt.Errorf("not an explanation: %w", err)
	}
	in.Explanation.Status = in.Status.plain()
	return in.Explanation, nil
}

// ParseHistory reads the answer of [Client.History].
func ParseHistory(raw []byte) ([]failover.Record, error) {
	var in []failover.Record
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("not a history: %w", err)
	}
	return in, nil
}

// ParseEvents reads the answer of [Client.Events].
func ParseEvents(raw []byte) ([]failover.Told, error) {
	var in []failover.Told
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("not a list of notices: %w", err)
	}
	return in, nil
}

// A URL that came over the wire is masked. Only here may it become a URL again,
// so that nobody elsewhere takes a mask for a password.
type (
	wireResource struct {
		failover.ResourceStatus
		Endpoints []wireEndpoint `json:"endpoints"`
	}
	wireEndpoint struct {
		failover.EndpointStatus
		URL string `json:"url"`
	}
)

func (w wireResource) plain() failover.ResourceStatus {
	for _, e := range w.Endpoints {
		// One that cannot be read is shown as none: it is there for eyes only.
		e.EndpointStatus.URL, _ = probe.ParseURL(e.URL)
		w.ResourceStatus.Endpoints = append(w.ResourceStatus.Endpoints, e.EndpointStatus)
	}
	return w.ResourceStatus
}
