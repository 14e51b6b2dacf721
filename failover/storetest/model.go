package storetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/reattach/reattach/failover"
)

// Model is a [failover.Store] in memory, written to be obviously right and not to
// be fast: each transaction works on a copy of everything, and keeps it if all
// went well. The real stores are held against it, and simulations run on it.
//
// It starts no goroutine and reads no clock. The same calls in the same order
// give the same answers.
type Model struct {
	mu      sync.Mutex
	state   modelState
	changed chan struct{} // closed and replaced by each change
}

type modelState struct {
	first   uint64 // the index of a store that nothing was written to
	index   uint64
	entries map[string]failover.Entry
	deleted map[string]uint64 // when a key was last deleted
}

// NewModel returns an empty store whose first write gets the ModifyIndex
// index + 1. An index of 0 counts as 1, as Consul has it.
func NewModel(index uint64) *Model {
	index = max(index, 1)
	return &Model{
		state: modelState{
			first: index, index: index,
			entries: map[string]failover.Entry{}, deleted: map[string]uint64{},
		},
		changed: make(chan struct{}),
	}
}

// Clone returns a store with the same content that changes on its own: a
// snapshot to rewind to.
func (m *Model) Clone() *Model {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Model{state: m.state.clone(), changed: make(chan struct{})}
}

// Restore puts the content of snapshot in place of m's, indexes included, as a
// restored Consul snapshot does. It wakes all watchers.
func (m *Model) Restore(snapshot *Model) {
	state := snapshot.Clone().state
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep(state)
}

// Txn implements [failover.Store].
func (m *Model) Txn(ctx context.Context, ops []failover.Op) (failover.Reply, error) {
	if err := ctx.Err(); err != nil {
		return failover.Reply{}, fmt.Errorf("%w: %w", failover.ErrUnknown, err)
	}
	return m.Apply(ops)
}

// Apply is Txn without a context: it is done when it returns. Errors wrap
// [failover.ErrInvalid].
func (m *Model) Apply(ops []failover.Op) (failover.Reply, error) {
	if err := failover.CheckOps(ops); err != nil {
		return failover.Reply{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	next, writes := m.state, slices.ContainsFunc(ops, func(op failover.Op) bool { return op.Verb.Writes() })
	if writes {
		next = m.state.clone()
	}
	next.index++
	var reply failover.Reply
	for i, op := range ops {
		entries, what := next.do(op)
		reply.Entries = append(reply.Entries, entries...)
		if what != "" {
			reply.Failed = append(reply.Failed, failover.FailedOp{Op: i, What: what})
		}
	}
	if len(reply.Failed) > 0 {
		return failover.Reply{Failed: reply.Failed}, nil
	}
	reply.OK = true
	if writes && next.wrote(next.index) {
		m.keep(next)
	}
	return reply, nil
}

// Peek returns the entry of key as it is now, and one with ModifyIndex 0 if there
// is none. Its value is the model's own: it is only to be read.
func (m *Model) Peek(key string) failover.Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, there := m.state.entries[key]; there {
		return e
	}
	return failover.Entry{Key: key}
}

// Index is what a query of prefix would say was the last change below it.
func (m *Model) Index(prefix string) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.indexOf(prefix)
}

// Reap forgets when keys were deleted, as Consul does after a quarter of an hour:
// the index of a prefix may fall by that, though nothing was written. It wakes
// nobody.
func (m *Model) Reap() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.deleted = map[string]uint64{}
}

// Skip lets at least index be given out already, as after other writes.
func (m *Model) Skip(index uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.index = max(m.state.index, index)
}

// Last is the index of the last change anywhere.
func (m *Model) Last() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.index
}

// Watch implements [failover.Store]. It waits until the change, without limit.
func (m *Model) Watch(ctx context.Context, prefix string, index uint64) ([]failover.Entry, uint64, error) {
	if err := failover.CheckKey(prefix); err != nil {
		return nil, 0, err
	}
	for {
		m.mu.Lock()
		entries, now, changed := m.state.below(prefix), m.state.indexOf(prefix), m.changed
		m.mu.Unlock()
		if index == 0 || now != index {
			return entries, now, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, 0, fmt.Errorf("%w: %w", failover.ErrUnknown, ctx.Err())
		}
	}
}

func (m *Model) keep(state modelState) {
	m.state = state
	close(m.changed)
	m.changed = make(chan struct{})
}

func (s modelState) clone() modelState {
	s.entries, s.deleted = maps.Clone(s.entries), maps.Clone(s.deleted)
	return s
}

// wrote reports whether anything in s was changed at index.
func (s modelState) wrote(index uint64) bool {
	for _, e := range s.entries {
		if e.ModifyIndex == index {
			return true
		}
	}
	for _, at := range s.deleted {
		if at == index {
			return true
		}
	}
	return false
}

// do carries out one operation; what says why it failed.
func (s modelState) do(op failover.Op) (read []failover.Entry, what string) {
	e, there := s.entries[op.Key]
	switch op.Verb {
	case failover.Get:
		return []failover.Entry{s.copy(op.Key)}, ""
	case failover.GetTree:
		return s.below(op.Key), ""
	case failover.Set:
		return s.set(op), ""
	case failover.CAS:
		if e.ModifyIndex != op.Index {
			return nil, "the index is another"
		}
		return s.set(op), ""
	case failover.CheckIndex:
		if !there || e.ModifyIndex != op.Index {
			return nil, "the index is another"
		}
		e.Value = nil
		return []failover.Entry{e}, ""
	case failover.CheckNotExists:
		if there {
			return nil, "the key exists"
		}
	case failover.Delete:
		s.delete(op.Key)
	case failover.DeleteTree:
		for _, e := range s.below(op.Key) {
			s.delete(e.Key)
		}
	case failover.DeleteCAS:
		if there && e.ModifyIndex != op.Index {
			return nil, "the index is another"
		}
		s.delete(op.Key)
	}
	return nil, ""
}

func (s modelState) set(op failover.Op) []failover.Entry {
	e, there := s.entries[op.Key]
	if !there {
		e = failover.Entry{Key: op.Key, CreateIndex: s.index}
	}
	if !there || e.Flags != op.Flags || string(e.Value) != string(op.Value) {
		e.ModifyIndex, e.Flags, e.Value = s.index, op.Flags, clone(op.Value)
		s.entries[op.Key] = e
	}
	e.Value = nil
	return []failover.Entry{e}
}

func (s modelState) delete(key string) {
	if _, there := s.entries[key]; there {
		delete(s.entries, key)
		s.deleted[key] = s.index
	}
}

// copy returns the entry of key with a value of its own.
func (s modelState) copy(key string) failover.Entry {
	e, there := s.entries[key]
	if !there {
		return failover.Entry{Key: key}
	}
	e.Value = clone(e.Value)
	return e
}

func (s modelState) below(prefix string) []failover.Entry {
	var found []failover.Entry
	for key := range s.entries {
		if strings.HasPrefix(key, prefix) {
			found = append(found, s.copy(key))
		}
	}
	slices.SortFunc(found, func(a, b failover.Entry) int { return strings.Compare(a.Key, b.Key) })
	return found
}

// indexOf is the index of the last change below prefix.
func (s modelState) indexOf(prefix string) uint64 {
	last := min(s.first, s.index)
	for key, e := range s.entries {
		if strings.HasPrefix(key, prefix) {
			last = max(last, e.ModifyIndex)
		}
	}
	for key, at := range s.deleted {
		if strings.HasPrefix(key, prefix) {
			last = max(last, at)
		}
	}
	return last
}

// clone returns a copy of b; nil when it is empty.
func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return slices.Clone(b)
}
