// Package boltfile opens a bbolt file so that a damaged one is an error: bbolt
// itself meets some damage with a panic, and a file that was cut short with a
// read beyond its end, which ends the process.
package boltfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Errors of Open. Test with errors.Is.
var (
	// ErrLocked means that another process has the file open.
	ErrLocked = errors.New("in use by another process")
	// ErrDamaged means that the file is none of bbolt's, or damaged.
	ErrDamaged = errors.New("damaged, or another kind of file")
)

const (
	lockWait = time.Second // for a predecessor that is just ending
	fileMode = 0o600       // for its owner only: what we keep names hosts and people, and may hold passwords
)

// Open opens the file for writing, or begins an empty one. It waits up to a second
// for another process to let go of it, and then returns ErrLocked.
func Open(path string) (*bbolt.DB, error) {
	if err := whole(path); err != nil {
		return nil, err
	}
	return open(path, false)
}

// Guard makes ErrDamaged of a panic in f, which works on a file.
func Guard(f func() error) (err error) {
	defer func() {
		if damage := recover(); damage != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, damage)
		}
	}()
	return f()
}

// SyncDir has the names in a folder on the disk when it returns nil.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func open(path string, readOnly bool) (db *bbolt.DB, err error) {
	err = Guard(func() error {
		db, err = bbolt.Open(path, fileMode, &bbolt.Options{Timeout: lockWait, ReadOnly: readOnly})
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, ErrLocked
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	case err != nil:
		return nil, err
	}
	return db, nil
}

// whole refuses a file that was cut short.
func whole(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	db, err := open(path, true)
	if err != nil {
		return err
	}
	err = Guard(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			if info, err := os.Stat(path); err != nil || info.Size() < tx.Size() {
				return errors.Join(fmt.Errorf("%w: cut short, it had %d bytes", ErrDamaged, tx.Size()), err)
			}
			return nil
		})
	})
	return errors.Join(err, db.Close())
}
