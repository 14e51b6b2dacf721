package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"github.com/reattach/reattach/failover/boltfile"
)

const format = "reattach outbox 1"

// The buckets, and what each holds.
const (
	inMeta    = "meta"    // format, and the number up to which all may have been given
	inNotices = "notices" // number → record
	inActive  = "active"  // key → the notice that lasts
	inMatters = "matters" // matter → who knows it, and by what
	inStorms  = "storms"  // destination, NUL, storm → its members
)

var buckets = []string{inMeta, inNotices, inActive, inMatters, inStorms}

// place is where a value stands in the file.
type place struct{ bucket, key string }

// disk is the file, and what it is still to take. What it did not take stays
// here and is tried again with the next write, so that memory is never behind it.
type disk struct {
	path    string
	writing sync.Mutex // held while the file is written

	mu    sync.Mutex
	db    *bbolt.DB        // nil while there is no room even to begin it
	wants map[place][]byte // to be written; nil: to be deleted
	takes map[place][]byte // being written
}

func (d *disk) put(bucket, key string, value any) {
	var text []byte
	switch v := value.(type) {
	case nil:
	case []byte:
		text = v
	default:
		text, _ = json.Marshal(v) // plain data: it cannot fail
	}
	d.mu.Lock()
	d.wants[place{bucket, key}] = text
	d.mu.Unlock()
}

// get returns what stands, or is to stand, at a place; nil: nothing.
func (d *disk) get(bucket, key string) (value []byte) {
	d.mu.Lock()
	at := place{bucket, key}
	for _, changes := range []map[place][]byte{d.wants, d.takes} {
		if v, ok := changes[at]; ok {
			d.mu.Unlock()
			return v
		}
	}
	d.mu.Unlock()
	_ = d.view(func(tx *bbolt.Tx) error {
		if tx != nil {
			value = append(value, tx.Bucket([]byte(bucket)).Get([]byte(key))...)
		}
		return nil
	})
	return value
}

// view reads the file; tx is nil while there is none.
func (d *disk) view(read func(tx *bbolt.Tx) error) error {
	d.mu.Lock()
	db := d.db
	d.mu.Unlock()
	if db == nil {
		return read(nil)
	}
	return boltfile.Guard(func() error { return db.View(read) })
}

func (d *disk) close() error {
	if d.db == nil {
		return nil
	}
	return d.db.Close()
}

// unwritten returns the changes that the file has not taken.
func (d *disk) unwritten(bucket string) map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := map[string][]byte{}
	for _, changes := range []map[place][]byte{d.takes, d.wants} {
		for at, v := range changes {
			if at.bucket == bucket {
				found[at.key] = v
			}
		}
	}
	return found
}

// flush writes all that waits in one transaction, which is on the disk when it
// returns nil. After an error all of it waits on.
func (d *disk) flush() error {
	d.writing.Lock()
	defer d.writing.Unlock()
	d.mu.Lock()
	d.wants, d.takes = map[place][]byte{}, d.wants
	db := d.db
	d.mu.Unlock()
	var err error
	if db == nil {
		db, err = openFile(d.path)
	}
	if err == nil && len(d.takes) > 0 {
		err = boltfile.Guard(func() error { return db.Update(d.write) })
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.db = db
	if err != nil {
		for at, v := range d.takes {
			if _, newer := d.wants[at]; !newer {
				d.wants[at] = v
			}
		}
	}
	d.takes = nil
	return err
}

func (d *disk) write(tx *bbolt.Tx) error {
	for at, v := range d.takes {
		b := tx.Bucket([]byte(at.bucket))
		var err error
		if v == nil {
			err = b.Delete([]byte(at.key))
		} else {
			err = b.Put([]byte(at.key), v)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", at.bucket, err)
		}
	}
	return nil
}

// openDisk opens the file, or begins one. load is called with what it holds; a
// file that is damaged, by bbolt's own word or by load's, is set aside. Where there
// is no room to begin one, memory stands in until there is.
func openDisk(path string, log *slog.Logger, load func(*bbolt.Tx) error) (*disk, error) {
	d := &disk{path: path, wants: map[place][]byte{}}
	var err error
	d.db, err = openFile(path)
	if err == nil {
		err = d.view(load)
	}
	if errors.Is(err, boltfile.ErrDamaged) {
		aside := fmt.Sprintf("%s.damaged-%s", path, time.Now().UTC().Format("20060102T150405.000Z"))
		if moved := errors.Join(d.close(), os.Rename(path, aside)); moved != nil {
			return nil, errors.Join(err, moved)
		}
		log.Error("the outbox is damaged and was set aside; a new one is begun: what it held is not handed on any more, and what lasts may be told again",
			"file", path, "aside", aside, "error", err)
		d.db, err = openFile(path)
		// An earlier number must not come again. No outbox gave one a second.
		d.put(inMeta, "seq", []byte(seqKey(uint64(time.Now().Unix()))))
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return d, nil
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// openFile opens the file, or begins one.
func openFile(path string) (*bbolt.DB, error) {
	db, err := boltfile.Open(path)
	if err != nil {
		return nil, err
	}
	if err := boltfile.Guard(func() error { return prepare(db) }); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, boltfile.SyncDir(filepath.Dir(path))
}

// prepare makes the buckets of a new file and looks at those of an old one, which
// it does not write: the disk may be full.
func prepare(db *bbolt.DB) error {
	fresh := false
	err := db.View(func(tx *bbolt.Tx) error {
		if name, _ := tx.Cursor().First(); name == nil {
			fresh = true
			return nil
		}
		for _, name := range buckets {
			if tx.Bucket([]byte(name)) == nil {
				return boltfile.ErrDamaged
			}
		}
		if string(tx.Bucket([]byte(inMeta)).Get([]byte("format"))) != format {
			return boltfile.ErrDamaged
		}
		return nil
	})
	if err != nil || !fresh {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return tx.Bucket([]byte(inMeta)).Put([]byte("format"), []byte(format))
	})
}
