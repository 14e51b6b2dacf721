// Package consul is the [failover.Store] on Consul's KV store.
//
// Every call has a deadline: the caller's, and never later than a limit of our
// own. Reads are consistent (a leader that proves it is one answers), and are
// repeated after an error as long as there is time. A transaction that may write
// is sent once: what became of it when no answer came, only a later read can
// tell ([failover.ErrUnknown]).
//
// A tree below a prefix that the token may not list looks empty in a
// transaction, as Consul answers it; Watch and Get tell ([failover.ErrDenied]).
//
// The package starts no goroutine.
package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/hashicorp/consul/api"

	"github.com/reattach/reattach/failover"
)

const (
	callLimit   = 5 * time.Second  // a transaction, and a watch that does not wait
	defaultWait = 5 * time.Second  // a watch that nothing wakes
	margin      = 3 * time.Second  // what a watch's answer may take beyond its wait
	maxWait     = 10 * time.Minute // Consul's own limit
	maxAnswer   = 256 << 20        // bytes of one answer
)

// Config says where Consul is and who asks.
type Config struct {
	// Address is "http://host:port", "https://host:port" (with a path before /v1
	// if need be) or "unix:///path"; "" is http://127.0.0.1:8500.
	Address string
	// Token returns the ACL token, and is asked before each call, so that a file
	// may change; nil or "" is none. An error fails the call: ErrDenied.
	Token func() (string, error)
	// TLS is for https.
	TLS TLS
	// Datacenter is the agent's own where it is "".
	Datacenter string
	// Namespace and Partition are of Consul Enterprise; "" is the default one.
	Namespace, Partition string
	// Wait is how long a watch waits at most; 0 is five seconds. A follower hands a
	// watch on to the leader: if that one hangs or is cut off, it hears nothing until
	// this time and a margin are over, though another leads by then.
	Wait time.Duration
}

// TLS says whom to trust, and with what to be trusted. The files are read again
// for each connection.
type TLS struct {
	CAFile            string // "": the machine's authorities
	CertFile, KeyFile string // both or neither
	ServerName        string // "": the address's host
}

// Store is a [failover.Store] on Consul. Its methods may be called concurrently.
type Store struct {
	client *api.Client
	http   *http.Client
	config Config
}

// New returns a store that has not asked Consul yet. Errors are of the
// configuration. Of the environment nothing is taken but proxies.
func New(config Config) (*Store, error) {
	if config.Wait == 0 {
		config.Wait = defaultWait
	}
	if config.Wait < time.Second || config.Wait > maxWait {
		return nil, fmt.Errorf("consul: wait %v is not between 1s and %v", config.Wait, maxWait)
	}
	base, transport, err := dial(config)
	if err != nil {
		return nil, fmt.Errorf("consul: %w", err)
	}
	httpClient := &http.Client{Transport: &answers{next: transport, config: config}}
	client, err := api.NewClient(&api.Config{
		Address: base.Host, Scheme: base.Scheme, PathPrefix: base.Path, HttpClient: httpClient,
		Datacenter: config.Datacenter, Namespace: config.Namespace, Partition: config.Partition,
		Token: "replaced by answers", // or consul/api would take one from the environment
	})
	if err != nil {
		return nil, fmt.Errorf("consul: %w", err)
	}
	return &Store{client: client, http: httpClient, config: config}, nil
}

// Close closes the connections that are not in use.
func (s *Store) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// Txn implements [failover.Store].
func (s *Store) Txn(ctx context.Context, ops []failover.Op) (failover.Reply, error) {
	if err := failover.CheckOps(ops); err != nil {
		return failover.Reply{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	for _, op := range ops {
		if op.Verb.Writes() {
			return s.txn(ctx, ops)
		}
	}
	return repeat(ctx, func() (failover.Reply, error) { return s.txn(ctx, ops) })
}

func (s *Store) txn(ctx context.Context, ops []failover.Op) (failover.Reply, error) {
	options := (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx)
	ok, answer, _, err := s.client.Txn().Txn(s.toConsul(ops), options)
	if err != nil {
		return failover.Reply{}, classify(err)
	}
	if !ok {
		return refused(answer)
	}
	return granted(ops, answer)
}

// Watch implements [failover.Store], by one blocking query. Without a change it
// returns after Config.Wait.
func (s *Store) Watch(ctx context.Context, prefix string, index uint64) ([]failover.Entry, uint64, error) {
	if err := failover.CheckKey(prefix); err != nil {
		return nil, 0, err
	}
	limit := callLimit
	if index != 0 {
		limit = s.config.Wait + s.config.Wait/16 + margin // Consul adds up to a sixteenth
	}
	type answer struct {
		entries []failover.Entry
		next    uint64
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	got, err := repeat(ctx, func() (answer, error) {
		entries, next, err := s.list(ctx, prefix, index)
		return answer{entries, next}, err
	})
	return got.entries, got.next, err
}

func (s *Store) list(ctx context.Context, prefix string, index uint64) ([]failover.Entry, uint64, error) {
	options := (&api.QueryOptions{WaitIndex: index, WaitTime: s.config.Wait}).WithContext(ctx)
	pairs, meta, err := s.client.KV().List(prefix, options)
	switch {
	case err != nil:
		return nil, 0, classify(err)
	case meta.ResultsFilteredByACLs:
		return nil, 0, fmt.Errorf("%w: some keys below %q may not be read", failover.ErrDenied, prefix)
	case meta.LastIndex == 0:
		return nil, 0, fmt.Errorf("%w: the answer has no X-Consul-Index", failover.ErrUnknown)
	}
	entries := make([]failover.Entry, len(pairs))
	for i, pair := range pairs {
		entries[i] = fromConsul(pair)
	}
	return entries, meta.LastIndex, nil
}

// Repeating reads: from 50 ms, half as long again each time, up to a second, for
// as long as the context lasts, but no longer than callLimit.
const (
	repeatFirst = 50 * time.Millisecond
	repeatMost  = time.Second
)

// repeat calls a read until it is answered. It is not for what may write.
func repeat[T any](ctx context.Context, read func() (T, error)) (T, error) {
	waits := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(repeatFirst),
		backoff.WithMaxInterval(repeatMost),
		backoff.WithMaxElapsedTime(callLimit))
	var last error
	got, err := backoff.RetryWithData(func() (T, error) {
		got, err := read()
		if err != nil && !errors.Is(err, failover.ErrUnknown) {
			return got, backoff.Permanent(err)
		}
		last = err
		return got, err
	}, backoff.WithContext(waits, ctx))
	if err != nil && !errors.Is(err, failover.ErrUnknown) && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", failover.ErrUnknown, errors.Join(err, last))
	}
	return got, err
}
