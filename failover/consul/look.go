package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
)

// ErrNoACLs means that Consul's ACLs are off: everybody may do everything.
var ErrNoACLs = errors.New("ACLs are off")

// Look is what Consul says of itself.
type Look struct {
	Version string        // "1.22.7"; "" where it may not be read
	Leader  string        // host:port of its RPC; "" while there is none
	Date    time.Time     // its clock when it answered, to the second; zero if it did not say
	Asked   time.Time     // our clock when it was asked
	Latency time.Duration // of the answer that has the date
}

// Look asks Consul for its leader, version and clock. It needs no rights.
func (s *Store) Look(ctx context.Context) (Look, error) {
	look := Look{Asked: time.Now()}
	header, err := s.ask(ctx, http.MethodGet, "/v1/status/leader", nil, &look.Leader)
	look.Latency = time.Since(look.Asked)
	if err != nil {
		return look, err
	}
	look.Date, _ = http.ParseTime(header.Get("Date")) // zero if it is none
	var version struct{ HumanVersion string }
	if _, err := s.ask(ctx, http.MethodGet, "/v1/agent/version", nil, &version); err == nil {
		look.Version = version.HumanVersion
	}
	return look, nil
}

// Right is one thing that a token may do: access "read", "write" or
// "write-prefix" on a key, or on all keys that begin with it.
type Right struct{ Key, Access string }

// Allowed asks Consul for each right whether the token has it, and changes
// nothing. Without ACLs the error is [ErrNoACLs].
func (s *Store) Allowed(ctx context.Context, rights []Right) ([]bool, error) {
	type authorization struct {
		Resource, Segment, Access string
		Allow                     bool `json:",omitempty"`
	}
	question := make([]authorization, len(rights))
	for i, r := range rights {
		question[i] = authorization{Resource: "key", Segment: r.Key, Access: r.Access}
	}
	body, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	var answer []authorization
	_, err = s.ask(ctx, http.MethodPost, "/v1/internal/acl/authorize", strings.NewReader(string(body)), &answer)
	var refusal *statusError
	switch {
	case errors.As(err, &refusal) && refusal.status == http.StatusUnauthorized:
		return nil, ErrNoACLs
	case err != nil:
		return nil, err
	case len(answer) != len(rights):
		return nil, fmt.Errorf("%w: %d answers to %d questions", failover.ErrUnknown, len(answer), len(rights))
	}
	allowed := make([]bool, len(rights))
	for i := range answer {
		allowed[i] = answer[i].Allow
	}
	return allowed, nil
}

// ask sends one request that consul/api has no method for.
func (s *Store) ask(ctx context.Context, method, path string, body io.Reader, into any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	base, _, err := dial(s.config)
	if err != nil {
		return nil, err
	}
	query := url.Values{}
	for name, value := range map[string]string{"dc": s.config.Datacenter, "ns": s.config.Namespace, "partition": s.config.Partition} {
		if value != "" {
			query.Set(name, value)
		}
	}
	target := url.URL{Scheme: base.Scheme, Host: base.Host, Path: base.Path + path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, err
	}
	response, err := s.http.Do(request)
	if err != nil {
		return nil, classify(err)
	}
	defer func() { _ = response.Body.Close() }()
	return response.Header, json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(into)
}
