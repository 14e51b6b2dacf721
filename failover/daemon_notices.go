package failover

import (
	"context"
	"errors"
	"time"
)

// ErrNoJournal means that the daemon keeps no notices: it was given no journal.
var ErrNoJournal = errors.New("notices are not kept")

// Events returns notices about a resource ("": any) with a number greater than
// after, oldest first, at most limit; with after 0, the newest ones. The error
// wraps ErrNoJournal where none are kept.
func (d *Daemon) Events(_ context.Context, after uint64, resource string, limit int) ([]Told, error) {
	if d.opt.Journal == nil {
		return nil, ErrNoJournal
	}
	return d.opt.Journal.Events(after, resource, limit)
}

// Misread says that a new configuration could not be used, and why; an empty
// why, that the one in force is the one that stands there. What to type next may be
// left out: then it is what shows the mistakes.
func (d *Daemon) Misread(ctx context.Context, why, next string) error {
	return d.turnWith(ctx, func(ctx context.Context, now time.Time) { d.step(ctx, now, Misread{Why: why, Next: next}) })
}
