package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
)

// observerPath is where an observer says how he is.
const observerPath = "/v1/observer"

const healthLimit = 1 << 20 // bytes of that

// Peers asks other observers how they are, over their listen.http.
type Peers struct{ http http.Client }

// NewPeers returns a client for them. It keeps a connection to each.
func NewPeers() *Peers {
	return &Peers{http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, Proxy: nil,
			DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Ask asks the observer of that name at the URL of his API, within ctx's time. An
// answer of another observer's is an error. Errors are in a few words, for people.
func (p *Peers) Ask(ctx context.Context, name, at string) (h failover.Health, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(at, "/")+observerPath, nil)
	if err != nil {
		return h, err
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return h, brief(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, healthLimit))
	switch {
	case err != nil:
		return h, brief(err)
	case resp.StatusCode != http.StatusOK:
		return h, fmt.Errorf("it answers %s", resp.Status)
	}
	if err := json.Unmarshal(body, &h); err != nil {
		return h, errors.New("what answers there is no observer")
	}
	if h.Observer != name {
		return failover.Health{}, fmt.Errorf("what answers there calls itself %q", h.Observer)
	}
	return h, nil
}

// brief leaves out what people know: the request.
func brief(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		if u.Timeout() {
			return errors.New("timeout")
		}
		err = u.Err
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	return errors.New(strings.TrimPrefix(err.Error(), "connect: "))
}
