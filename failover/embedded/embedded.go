// Package embedded keeps handles and states in one bbolt file, for one observer
// on one machine, with the keys, transactions and index rules of Consul's KV
// store. [Handler] answers Consul's KV read calls from it, so that
// consul-template and Consul's client read their handles unchanged.
//
// A transaction that returned OK is on the disk, and survives the process being
// killed at any moment and the machine losing its power, as far as the disk
// keeps what it said it had written. There is no replication: the file is as
// safe as its disk. One process has the file at a time.
//
// The package starts no goroutine.
package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/boltfile"
)

// Errors of Open and of a Store. Test with errors.Is.
var (
	// ErrLocked means that another process has the file open.
	ErrLocked = fmt.Errorf("the store is %w", boltfile.ErrLocked)
	// ErrForeign means that the file is not a store of ours, or damaged.
	ErrForeign = errors.New("not a reattach store")
	// ErrClosed means that the store was closed.
	ErrClosed = errors.New("the store is closed")
)

const format = "reattach store 1"

var (
	metaBucket = []byte("meta")
	kvBucket   = []byte("kv")
	formatKey  = []byte("format")
	indexKey   = []byte("index")
)

// Store is a [failover.Store] in a file. Its methods may be called concurrently.
type Store struct {
	db      *bbolt.DB
	writing chan struct{} // held by the one transaction that writes
	closed  chan struct{}
	close   sync.Once

	mu      sync.RWMutex
	changes changes
}

// Open opens the store at path, or creates one, readable by its owner only. The
// folder must exist. A new store's indexes start at the Unix time in
// milliseconds, so that readers of an earlier file at the same place do not take
// the new one for an older version of what they have.
//
// It waits up to a second for another process to let go of the file, and then
// returns ErrLocked.
func Open(path string) (*Store, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("create store %s: %w", path, err)
		}
	}
	db, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	s := &Store{db: db, writing: make(chan struct{}, 1), closed: make(chan struct{})}
	if err := s.db.View(s.startChanges); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// Close lets go of the file, once the transactions under way have ended, and
// ends all watches. Closing again does nothing.
func (s *Store) Close() error {
	var err error
	s.close.Do(func() {
		close(s.closed)
		err = s.db.Close()
	})
	return err
}

// create makes a whole store beside path and then gives it its name, so that
// there is never half a store at path, even if we are killed.
func create(path string) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(file.Name())) }()
	if err := file.Close(); err != nil {
		return err
	}
	db, err := open(file.Name())
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return boltfile.SyncDir(filepath.Dir(path))
}

// open opens the bbolt file at path and makes sure that it is a store; an empty
// file becomes one.
func open(path string) (*bbolt.DB, error) {
	db, err := boltfile.Open(path)
	if err == nil {
		if err = boltfile.Guard(func() error { return prepare(db) }); err != nil {
			err = errors.Join(err, db.Close())
		}
	}
	switch {
	case errors.Is(err, boltfile.ErrLocked):
		return nil, ErrLocked
	case errors.Is(err, boltfile.ErrDamaged):
		return nil, fmt.Errorf("%w: %w", ErrForeign, err)
	case err != nil:
		return nil, err
	}
	return db, nil
}

// prepare makes the buckets of a new store, and looks at those of an old one.
func prepare(db *bbolt.DB) error {
	fresh := false
	err := db.View(func(tx *bbolt.Tx) error {
		if name, _ := tx.Cursor().First(); name == nil {
			fresh = true
			return nil
		}
		meta := tx.Bucket(metaBucket)
		if meta == nil || string(meta.Get(formatKey)) != format || len(meta.Get(indexKey)) != 8 || tx.Bucket(kvBucket) == nil {
			return ErrForeign
		}
		return nil
	})
	if err != nil || !fresh {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucket(metaBucket)
		if err != nil {
			return err
		}
		if _, err := tx.CreateBucket(kvBucket); err != nil {
			return err
		}
		start := uint64(max(time.Now().UnixMilli(), 1))
		return errors.Join(meta.Put(formatKey, []byte(format)), putIndex(meta, start))
	})
}

func putIndex(meta *bbolt.Bucket, index uint64) error {
	return meta.Put(indexKey, binary.BigEndian.AppendUint64(nil, index))
}

func getIndex(tx *bbolt.Tx) uint64 {
	return binary.BigEndian.Uint64(tx.Bucket(metaBucket).Get(indexKey))
}

// unknown wraps err, after which nobody can tell whether it was done.
func unknown(err error) error {
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		err = ErrClosed
	}
	return fmt.Errorf("%w: %w", failover.ErrUnknown, err)
}

// Txn implements [failover.Store]. A transaction that changes something returns
// after it is on the disk; that wait does not obey ctx, only the wait for its
// turn does. An error of the disk is ErrUnknown.
func (s *Store) Txn(ctx context.Context, ops []failover.Op) (failover.Reply, error) {
	if err := failover.CheckOps(ops); err != nil {
		return failover.Reply{}, err
	}
	if err := ctx.Err(); err != nil {
		return failover.Reply{}, unknown(err)
	}
	for _, op := range ops {
		if op.Verb.Writes() {
			return s.write(ctx, ops)
		}
	}
	var reply failover.Reply
	err := s.db.View(func(tx *bbolt.Tx) error {
		w := newWork(tx)
		err := w.run(ops)
		reply = w.reply
		return err
	})
	if err != nil {
		return failover.Reply{}, unknown(err)
	}
	return reply, nil
}

// errNothing ends a transaction that changes nothing without writing it.
var errNothing = errors.New("nothing to write")

func (s *Store) write(ctx context.Context, ops []failover.Op) (failover.Reply, error) {
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
		return failover.Reply{}, unknown(ctx.Err())
	case <-s.closed:
		return failover.Reply{}, unknown(ErrClosed)
	}
	var w *work
	err := s.db.Update(func(tx *bbolt.Tx) error {
		w = newWork(tx)
		if err := w.run(ops); err != nil {
			return err
		}
		if !w.reply.OK || !w.dirty {
			return errNothing
		}
		return putIndex(tx.Bucket(metaBucket), w.index)
	})
	if errors.Is(err, errNothing) {
		return w.reply, nil
	}
	if w != nil {
		s.tell(w.index, w.gone) // after an error, too: it may be done
	}
	if err != nil {
		return failover.Reply{}, unknown(err)
	}
	return w.reply, nil
}
