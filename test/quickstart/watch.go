package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/httpapi"
)

// event is a line that the daemon or the application logged.
type event struct {
	Time     time.Time `json:"time"`
	Msg      string    `json:"msg"`
	Service  string    `json:"service"`  // the application's: which
	Host     string    `json:"host"`     // and where it is attached
	Resource string    `json:"resource"` // the daemon's: which was switched
	To       string    `json:"to"`       // and where to
}

// journal collects events while they come in, and everything that was printed.
type journal struct {
	mu     sync.Mutex
	events []event
	text   []byte
	more   chan struct{} // closed at the next event
}

func newJournal() *journal { return &journal{more: make(chan struct{})} }

// add takes in one line; one that is no JSON object is kept as text only.
func (j *journal) add(line []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text = append(append(j.text, line...), '\n')
	var e event
	if json.Unmarshal(line, &e) != nil {
		return
	}
	j.events = append(j.events, e)
	close(j.more)
	j.more = make(chan struct{})
}

// lines is all that was printed.
func (j *journal) lines() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return string(j.text)
}

// await returns the first event since the given moment that match accepts, and
// waits for it at most for the limit.
func (j *journal) await(ctx context.Context, since time.Time, limit time.Duration, match func(event) bool) (event, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		j.mu.Lock()
		at := slices.IndexFunc(j.events, func(e event) bool { return !e.Time.Before(since) && match(e) })
		if at >= 0 {
			defer j.mu.Unlock()
			return j.events[at], nil
		}
		more := j.more
		j.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return event{}, ctx.Err()
		}
	}
}

// ask runs a reattach command in the daemon's container.
func ask(ctx context.Context, args ...string) (string, error) {
	return docker(ctx, append([]string{"exec", daemon, "reattach"}, args...)...)
}

func status(ctx context.Context) (failover.Status, error) {
	out, err := ask(ctx, "status", "--json")
	if err != nil {
		return failover.Status{}, err
	}
	return httpapi.ParseStatus([]byte(out))
}

func history(ctx context.Context, resource string) ([]failover.Record, error) {
	out, err := ask(ctx, "history", resource, "--json")
	if err != nil {
		return nil, err
	}
	return httpapi.ParseHistory([]byte(out))
}

// awaitStatus asks for the status until good accepts it.
func awaitStatus(ctx context.Context, limit time.Duration, good func(failover.Status) bool) (failover.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		s, err := status(ctx)
		if err == nil && good(s) {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, fmt.Errorf("the status is not as it should be within %v (%w)", limit, ctx.Err())
		case <-time.After(150 * time.Millisecond):
		}
	}
}

// of returns one resource of a status.
func of(s failover.Status, resource string) failover.ResourceStatus {
	for _, r := range s.Resources {
		if r.Name == resource {
			return r
		}
	}
	return failover.ResourceStatus{}
}
