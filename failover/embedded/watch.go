package embedded

import (
	"context"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/reattach/reattach/failover"
)

const (
	watchLimit   = 5 * time.Minute
	deletedLimit = 1024 // keys of which we remember when they were deleted
)

// changes is what watchers need besides the entries: when keys were deleted.
// That is kept in memory only, and not for ever: what it does not know counts as
// deleted at forgotten, which costs each idle watcher one look for nothing.
type changes struct {
	next      chan struct{} // closed by the next change
	deleted   map[string]uint64
	forgotten uint64
}

func (s *Store) startChanges(tx *bbolt.Tx) error {
	s.changes = changes{next: make(chan struct{}), deleted: map[string]uint64{}, forgotten: getIndex(tx)}
	return nil
}

// tell wakes the watchers: something was written at index, and gone was deleted.
func (s *Store) tell(index uint64, gone []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.changes
	if len(c.deleted)+len(gone) > deletedLimit {
		clear(c.deleted)
		c.forgotten = index
	}
	for _, key := range gone {
		c.deleted[key] = index
	}
	close(c.next)
	c.next = make(chan struct{})
}

// moment is the store as it is at one moment, for a reader that may wait.
type moment struct {
	kv      *bbolt.Bucket
	index   uint64 // of the last transaction
	changes *changes
}

// gone returns when a key that match accepts was last deleted, at the latest.
func (m *moment) gone(match func(key string) bool) uint64 {
	last := m.changes.forgotten
	for key, at := range m.changes.deleted {
		if at > last && match(key) {
			last = at
		}
	}
	return last
}

// await calls look until the index that it returns is not the one given, at most
// for the time limit, and at once if index is 0. An index higher than any that
// was given out is from another file: that does not wait, either.
func (s *Store) await(ctx context.Context, limit time.Duration, index uint64, look func(*moment) (uint64, error)) error {
	late := time.NewTimer(limit)
	defer late.Stop()
	for {
		next, done, err := s.look(index, look)
		if err != nil {
			return unknown(err)
		}
		if done {
			return nil
		}
		select {
		case <-next:
		case <-late.C:
			return nil
		case <-ctx.Done():
			return unknown(ctx.Err())
		case <-s.closed:
			return unknown(ErrClosed)
		}
	}
}

func (s *Store) look(index uint64, look func(*moment) (uint64, error)) (next <-chan struct{}, done bool, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	err = s.db.View(func(tx *bbolt.Tx) error {
		m := &moment{kv: tx.Bucket(kvBucket), index: getIndex(tx), changes: &s.changes}
		now, err := look(m)
		done = index == 0 || now > index || index > m.index
		return err
	})
	return s.changes.next, done, err
}

// Watch implements [failover.Store]. It returns unchanged after five minutes, and
// once to each watcher after a restart and after very many deletions.
func (s *Store) Watch(ctx context.Context, prefix string, index uint64) ([]failover.Entry, uint64, error) {
	if err := failover.CheckKey(prefix); err != nil {
		return nil, 0, err
	}
	var entries []failover.Entry
	var now uint64
	err := s.await(ctx, watchLimit, index, func(m *moment) (_ uint64, err error) {
		entries, err = below(m.kv, prefix)
		now = m.gone(func(key string) bool { return strings.HasPrefix(key, prefix) })
		for _, e := range entries {
			now = max(now, e.ModifyIndex)
		}
		return now, err
	})
	if err != nil {
		return nil, 0, err
	}
	return entries, now, nil
}
