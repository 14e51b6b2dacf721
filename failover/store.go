package failover

import (
	"context"
	"errors"
	"fmt"
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
	// ctx should carry a deadline.
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
func (v Verb) String() string { return verbs[v] }

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

// Reply is the answer to a transaction.
type Reply struct {
	OK bool
	// Entries are those that the operations read (with value) or wrote (without
	// it), in the order of the operations.
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
