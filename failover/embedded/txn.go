package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/reattach/reattach/failover"
)

// work carries out the operations of one transaction, in their order, within tx.
// Those after a failed one are carried out too, as Consul does: the reply names
// all that failed, and the caller takes everything back.
type work struct {
	kv    *bbolt.Bucket
	index uint64   // that the writes of this transaction get
	dirty bool     // something changed
	gone  []string // keys that were deleted
	reply failover.Reply
}

func newWork(tx *bbolt.Tx) *work {
	return &work{kv: tx.Bucket(kvBucket), index: getIndex(tx) + 1}
}

// run returns an error only for what is none of the caller's doing.
func (w *work) run(ops []failover.Op) error {
	for i, op := range ops {
		err := w.do(op)
		var failed mismatch
		switch {
		case errors.As(err, &failed):
			w.reply.Failed = append(w.reply.Failed, failover.FailedOp{Op: i, What: failed.Error()})
		case err != nil:
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	w.reply.OK = len(w.reply.Failed) == 0
	if !w.reply.OK {
		w.reply.Entries = nil
	}
	return nil
}

// mismatch is an operation that found another state than it named.
type mismatch struct {
	op  failover.Op
	now failover.Entry
}

func (m mismatch) Error() string {
	if !m.now.Exists() {
		return fmt.Sprintf("%s: there is no such key", m.op)
	}
	return fmt.Sprintf("%s: the key's index is %d", m.op, m.now.ModifyIndex)
}

func (w *work) do(op failover.Op) error {
	if op.Verb == failover.GetTree || op.Verb == failover.DeleteTree {
		return w.tree(op)
	}
	now, err := get(w.kv, op.Key)
	if err != nil {
		return err
	}
	stale := now.ModifyIndex != op.Index
	switch op.Verb {
	case failover.Get:
		w.reply.Entries = append(w.reply.Entries, now)
		return nil
	case failover.Set:
		return w.set(now, op)
	case failover.Delete:
		return w.delete(now)
	}
	switch op.Verb {
	case failover.CAS:
		if !stale {
			return w.set(now, op)
		}
	case failover.CheckIndex:
		if now.Exists() && !stale {
			w.answer(now)
			return nil
		}
	case failover.CheckNotExists:
		if !now.Exists() {
			return nil
		}
	case failover.DeleteCAS:
		if !now.Exists() || !stale {
			return w.delete(now)
		}
	}
	return mismatch{op, now}
}

func (w *work) tree(op failover.Op) error {
	found, err := below(w.kv, op.Key)
	if err != nil {
		return err
	}
	if op.Verb == failover.GetTree {
		w.reply.Entries = append(w.reply.Entries, found...)
		return nil
	}
	for _, e := range found {
		if err := w.delete(e); err != nil {
			return err
		}
	}
	return nil
}

// answer adds e to the reply, without its value.
func (w *work) answer(e failover.Entry) {
	e.Value = nil
	w.reply.Entries = append(w.reply.Entries, e)
}

func (w *work) set(now failover.Entry, op failover.Op) error {
	if now.Exists() && now.Flags == op.Flags && bytes.Equal(now.Value, op.Value) {
		w.answer(now) // an identical write leaves the index
		return nil
	}
	if !now.Exists() {
		now.CreateIndex = w.index
	}
	now.ModifyIndex, now.Flags, now.Value = w.index, op.Flags, op.Value
	w.answer(now)
	w.dirty = true
	return w.kv.Put([]byte(now.Key), encode(now))
}

func (w *work) delete(now failover.Entry) error {
	if !now.Exists() {
		return nil
	}
	w.dirty = true
	w.gone = append(w.gone, now.Key)
	return w.kv.Delete([]byte(now.Key))
}

func get(kv *bbolt.Bucket, key string) (failover.Entry, error) {
	stored := kv.Get([]byte(key))
	if stored == nil {
		return failover.Entry{Key: key}, nil
	}
	return decode(key, stored)
}

// below returns the entries whose keys begin with prefix, in their order.
func below(kv *bbolt.Bucket, prefix string) ([]failover.Entry, error) {
	var found []failover.Entry
	c := kv.Cursor()
	for k, v := c.Seek([]byte(prefix)); k != nil && strings.HasPrefix(string(k), prefix); k, v = c.Next() {
		e, err := decode(string(k), v)
		if err != nil {
			return nil, err
		}
		found = append(found, e)
	}
	return found, nil
}

// An entry is stored as CreateIndex, ModifyIndex and Flags, eight bytes each,
// big-endian, and the value.
const head = 24

func encode(e failover.Entry) []byte {
	b := make([]byte, 0, head+len(e.Value))
	b = binary.BigEndian.AppendUint64(b, e.CreateIndex)
	b = binary.BigEndian.AppendUint64(b, e.ModifyIndex)
	b = binary.BigEndian.AppendUint64(b, e.Flags)
	return append(b, e.Value...)
}

// decode copies: what bbolt hands out is gone after its transaction.
func decode(key string, b []byte) (failover.Entry, error) {
	if len(b) < head {
		return failover.Entry{}, fmt.Errorf("%w: key %q has %d bytes", ErrForeign, key, len(b))
	}
	e := failover.Entry{
		Key:         key,
		CreateIndex: binary.BigEndian.Uint64(b),
		ModifyIndex: binary.BigEndian.Uint64(b[8:]),
		Flags:       binary.BigEndian.Uint64(b[16:]),
	}
	if e.ModifyIndex == 0 {
		return failover.Entry{}, fmt.Errorf("%w: key %q has no index", ErrForeign, key)
	}
	if len(b) > head {
		e.Value = slices.Clone(b[head:])
	}
	return e, nil
}
