package notify

import (
	"context"
	"errors"
	"time"

	"github.com/reattach/reattach/failover"
)

// Message is what one destination is handed at once: one notice or, in a storm,
// several.
type Message struct {
	// Matter is what the destination should know it by; its end has the same.
	Matter string
	// Notices are oldest first; never empty.
	Notices []failover.Notice
	// Over says that the matter is over: every notice in it ends something.
	Over bool
	// Runbook is where the runbook is; the notice's event is its anchor.
	Runbook string
}

// Sender hands messages to one destination.
type Sender interface {
	// Send returns once the destination has taken the message. An error that is
	// not [Permanent] is tried again. No error text holds a secret.
	Send(ctx context.Context, m Message) error
}

// Batcher is a Sender whose destination takes many matters at once: it is handed
// what waits, unmerged, as one Message each.
type Batcher interface {
	SendAll(ctx context.Context, ms []Message) error
}

// Resender is a Sender whose destination forgets what is not repeated, as
// Alertmanager does: it is handed what lasts again after each Every.
type Resender interface {
	Batcher
	Every() time.Duration
}

// permanent is an error that no later attempt will mend.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent marks an error that trying again does not mend: a request that was
// understood and refused.
func Permanent(err error) error { return permanent{err} }

// IsPermanent reports whether an error was marked by [Permanent].
func IsPermanent(err error) bool {
	var p permanent
	return errors.As(err, &p)
}
