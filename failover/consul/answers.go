package consul

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/reattach/reattach/failover"
)

// answers adds the token to each request and makes errors of the answers that
// are none, redirects too: consul/api keeps the status of a failed transaction to
// itself.
type answers struct {
	next   http.RoundTripper
	config Config
}

// statusError is an answer that carries none.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("Consul answered %d: %s", e.status, e.text)
}

// errToken is why the token could not be had; nothing was sent.
var errToken = errors.New("no ACL token")

// RoundTrip implements http.RoundTripper.
func (a *answers) RoundTrip(sent *http.Request) (*http.Response, error) {
	request := sent.Clone(sent.Context())
	if err := a.setToken(request); err != nil {
		return nil, errors.Join(err, closeBody(sent.Body))
	}
	a.forgetEnvironment(request)
	response, err := a.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	switch status := response.StatusCode; {
	case status == http.StatusOK,
		status == http.StatusNotFound && request.Method == http.MethodGet,
		status == http.StatusConflict && request.Method == http.MethodPut:
		response.Body = http.MaxBytesReader(nil, response.Body, maxAnswer)
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1024))
	return nil, &statusError{status: response.StatusCode, text: strings.TrimSpace(string(text))}
}

// CloseIdleConnections is what http.Client looks for.
func (a *answers) CloseIdleConnections() {
	if next, ok := a.next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}

func (a *answers) setToken(request *http.Request) error {
	const header = "X-Consul-Token"
	request.Header.Del(header)
	if a.config.Token == nil {
		return nil
	}
	token, err := a.config.Token()
	if err != nil {
		return fmt.Errorf("%w: %w", errToken, err)
	}
	if token = strings.TrimSpace(token); token != "" {
		request.Header.Set(header, token)
	}
	return nil
}

// forgetEnvironment takes out what consul/api took from the environment because
// the configuration says nothing about it.
func (a *answers) forgetEnvironment(request *http.Request) {
	query := request.URL.Query()
	for name, configured := range map[string]string{"ns": a.config.Namespace, "partition": a.config.Partition} {
		if configured == "" {
			query.Del(name)
		}
	}
	request.URL.RawQuery = query.Encode()
}

func closeBody(body io.Closer) error {
	if body == nil {
		return nil
	}
	return body.Close()
}

// classify wraps an error of consul/api in what it means for what was asked.
func classify(err error) error {
	var answer *statusError
	if errors.As(err, &answer) {
		switch answer.status {
		case http.StatusUnauthorized, http.StatusForbidden:
			return fmt.Errorf("%w: %w", failover.ErrDenied, answer)
		case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed,
			http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong:
			return fmt.Errorf("%w: %w", failover.ErrInvalid, answer)
		}
	}
	if errors.Is(err, errToken) {
		return fmt.Errorf("%w: %w", failover.ErrDenied, err)
	}
	return fmt.Errorf("%w: %w", failover.ErrUnknown, err)
}

// denied is how Consul begins the refusal of one operation; it has no other mark.
const denied = "Permission denied"

// refused reads the answer to a transaction that was not carried out.
func refused(answer *api.TxnResponse) (failover.Reply, error) {
	if len(answer.Errors) == 0 {
		return failover.Reply{}, fmt.Errorf("%w: a refusal without a reason", failover.ErrUnknown)
	}
	var reply failover.Reply
	for _, e := range answer.Errors {
		if strings.HasPrefix(e.What, denied) {
			return failover.Reply{}, fmt.Errorf("%w: operation %d: %s", failover.ErrDenied, e.OpIndex, e.What)
		}
		reply.Failed = append(reply.Failed, failover.FailedOp{Op: e.OpIndex, What: e.What})
	}
	return reply, nil
}

// granted reads the answer to a transaction that was carried out. Consul leaves
// out the keys that we may not read; taken for absent they would be lies.
func granted(ops []failover.Op, answer *api.TxnResponse) (failover.Reply, error) {
	reply := failover.Reply{OK: true}
	answered := map[string]bool{}
	for _, result := range answer.Results {
		if result.KV == nil {
			continue
		}
		answered[result.KV.Key] = true
		reply.Entries = append(reply.Entries, fromConsul(result.KV))
	}
	for i, op := range ops {
		if op.Verb == failover.Get && !answered[op.Key] {
			return failover.Reply{}, fmt.Errorf("%w: operation %d: %s may not be read", failover.ErrDenied, i, op.Key)
		}
	}
	return reply, nil
}

var toVerb = map[failover.Verb]api.KVOp{
	failover.Get:            api.KVGetOrEmpty,
	failover.GetTree:        api.KVGetTree,
	failover.Set:            api.KVSet,
	failover.CAS:            api.KVCAS,
	failover.CheckIndex:     api.KVCheckIndex,
	failover.CheckNotExists: api.KVCheckNotExists,
	failover.Delete:         api.KVDelete,
	failover.DeleteTree:     api.KVDeleteTree,
	failover.DeleteCAS:      api.KVDeleteCAS,
}

func (s *Store) toConsul(ops []failover.Op) api.TxnOps {
	list := make(api.TxnOps, len(ops))
	for i, op := range ops {
		kv := &api.KVTxnOp{Verb: toVerb[op.Verb], Key: op.Key, Namespace: s.config.Namespace, Partition: s.config.Partition}
		switch op.Verb {
		case failover.Set, failover.CAS:
			kv.Value, kv.Flags = op.Value, op.Flags
		}
		switch op.Verb {
		case failover.CAS, failover.CheckIndex, failover.DeleteCAS:
			kv.Index = op.Index
		}
		list[i] = &api.TxnOp{KV: kv}
	}
	return list
}

func fromConsul(pair *api.KVPair) failover.Entry {
	e := failover.Entry{Key: pair.Key, Flags: pair.Flags, CreateIndex: pair.CreateIndex, ModifyIndex: pair.ModifyIndex}
	if len(pair.Value) > 0 {
		e.Value = pair.Value
	}
	return e
}
