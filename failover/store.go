package failover

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Store keeps handles, states, controls, ballots and history. Its measure is
// Consul's transaction, and no higher: everything about safety is said once,
// in lists of operations (see [Op]), and every store carries them out alike.
type Store interface {
	// Txn carries out ops in their order, all or none, at one moment. All
	// writes of one transaction get the same ModifyIndex. At most 128
	// operations and 512 KiB.
	//
	// A Reply that is not OK means that nothing was done, because an operation
	// found another state than it named; Failed says which. Errors wrap
	// ErrDenied or ErrInvalid when nothing was done and nothing will be;
	// ErrUnknown when nobody can tell: it may have happened, or happen yet.
	// ctx should carry a deadline. What [CheckOps] refuses is ErrInvalid.
	Txn(ctx context.Context, ops []Op) (Reply, error)

	// Watch blocks until something below prefix changed after index, or some
	// minutes have passed; it may return unchanged. It returns all entries
	// below prefix, in the order of their keys, and the index to watch from
	// next; index 0 returns at once. An index lower than the one given means
	// only: start again from 0.
	Watch(ctx context.Context, prefix string, index uint64) ([]Entry, uint64, error)
}

// Errors of a Store. Test with errors.Is.
var (
	// ErrDenied means that the store refuses this to us: nothing was done.
	ErrDenied = errors.New("permission denied by the store")
	// ErrInvalid means that the store can never do this: nothing was done.
	ErrInvalid = errors.New("the store cannot carry this out")
	// ErrUnknown means that no answer came: it may have been done or not.
	ErrUnknown = errors.New("no answer from the store")
	// ErrLate means that the time for it was over before it was sent: nothing was done.
	ErrLate = errors.New("too late to be sent")
)

// Verb is what an operation does.
type Verb uint8

// The verbs. Those that check fail the whole transaction.
const (
	Get            Verb = iota // reads a key; an absent one yields an Entry with ModifyIndex 0
	GetTree                    // reads all keys below a prefix; none is no failure
	Set                        // writes, whatever is there
	CAS                        // writes if the key's ModifyIndex is Index; 0: if there is none
	CheckIndex                 // fails unless the key is there with ModifyIndex Index
	CheckNotExists             // fails if the key is there
	Delete                     // deletes; an absent key is no failure
	DeleteTree                 // deletes all below a prefix; none is no failure
	DeleteCAS                  // deletes if the ModifyIndex is Index; an absent key is no failure
)

var verbs = [...]string{"get", "get-tree", "set", "cas", "check-index", "check-not-exists", "delete", "delete-tree", "delete-cas"}

// String returns Consul's word for the verb.
func (v Verb) String() string {
	if int(v) >= len(verbs) {
		return fmt.Sprintf("verb(%d)", v)
	}
	return verbs[v]
}

// Writes reports whether the verb may change the store. A transaction without
// any such verb is safe to repeat.
func (v Verb) Writes() bool {
	switch v {
	case Set, CAS, Delete, DeleteTree, DeleteCAS:
		return true
	}
	return false
}

// Op is one operation of a transaction. A write that changes nothing (same
// value, same flags) leaves the ModifyIndex as it is.
type Op struct {
	Verb  Verb
	Key   string // or a prefix, for the trees
	Value []byte
	Flags uint64
	Index uint64
}

// String shows the operation without its value, which may be secret.
func (o Op) String() string {
	switch o.Verb {
	case CAS, CheckIndex, DeleteCAS:
		return fmt.Sprintf("%s %s @%d", o.Verb, o.Key, o.Index)
	}
	return fmt.Sprintf("%s %s", o.Verb, o.Key)
}

// Entry is a key with its value as the store keeps it.
type Entry struct {
	Key         string
	Value       []byte
	Flags       uint64
	CreateIndex uint64
	ModifyIndex uint64 // 0: there is no such key
}

// Exists reports whether the key was there.
func (e Entry) Exists() bool { return e.ModifyIndex != 0 }

// same reports whether two entries of a key hold the same, written at the same time.
func (e Entry) same(o Entry) bool {
	return e.ModifyIndex == o.ModifyIndex && bytes.Equal(e.Value, o.Value)
}

// Limits of one transaction. Consul's own default is 512 KiB of request body;
// TxnBytes counts that body a little too high, the same for every store.
const (
	TxnOps   = 128       // operations
	TxnBytes = 512 << 10 // bytes: per operation its key, its value in base64, and 256
	KeyBytes = 4096      // bytes of one key
)

// CheckOps says, wrapped in ErrInvalid, what no store can carry out: too many
// operations or bytes, an unknown verb, a key or prefix that is empty, too long,
// or not valid UTF-8 without NUL. (On Consul an empty prefix would be everything.)
func CheckOps(ops []Op) error {
	if len(ops) > TxnOps {
		return fmt.Errorf("%w: %d operations in one transaction, at most %d", ErrInvalid, len(ops), TxnOps)
	}
	size := 0
	for i, op := range ops {
		if int(op.Verb) >= len(verbs) {
			return fmt.Errorf("%w: operation %d has the unknown verb %d", ErrInvalid, i, op.Verb)
		}
		if err := CheckKey(op.Key); err != nil {
			return fmt.Errorf("operation %d (%s): %w", i, op.Verb, err)
		}
		size += 256 + len(op.Key) + base64.StdEncoding.EncodedLen(len(op.Value))
	}
	if size > TxnBytes {
		return fmt.Errorf("%w: %d bytes in one transaction, at most %d", ErrInvalid, size, TxnBytes)
	}
	return nil
}

// CheckKey says, wrapped in ErrInvalid, why no store can keep key (or a prefix).
func CheckKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: an empty key", ErrInvalid)
	case len(key) > KeyBytes:
		return fmt.Errorf("%w: a key of %d bytes, at most %d", ErrInvalid, len(key), KeyBytes)
	case !utf8.ValidString(key) || strings.ContainsRune(key, 0):
		return fmt.Errorf("%w: the key %q is not UTF-8, or has a NUL", ErrInvalid, key)
	}
	return nil
}

// Reply is the answer to a transaction.
type Reply struct {
	OK bool
	// Entries are those that the operations read (with value), checked by their
	// index or wrote (both without it), in the order of the operations. Deletions
	// and CheckNotExists yield none. An empty value is nil.
	Entries []Entry
	// Failed says, when not OK, which operations did not find what they named.
	Failed []FailedOp
}

// FailedOp is an operation that did not find what it named.
type FailedOp struct {
	Op   int // its place in the list
	What string
}

// Entry returns the reply's entry for key; one with ModifyIndex 0 if there is none.
func (r Reply) Entry(key string) Entry {
	for _, e := range r.Entries {
		if e.Key == key {
			return e
		}
	}
	return Entry{Key: key}
}
