package embedded_test

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/embedded"
)

func put(t testing.TB, store *embedded.Store, key, value string) failover.Entry {
	t.Helper()
	reply, err := store.Txn(t.Context(), []failover.Op{{Verb: failover.Set, Key: key, Value: []byte(value)}})
	if err != nil || !reply.OK {
		t.Fatalf("set %s: %+v, %v", key, reply, err)
	}
	return reply.Entries[0]
}

func remove(t testing.TB, store *embedded.Store, key string) {
	t.Helper()
	reply, err := store.Txn(t.Context(), []failover.Op{{Verb: failover.Delete, Key: key}})
	if err != nil || !reply.OK {
		t.Fatalf("delete %s: %+v, %v", key, reply, err)
	}
}

func read(t testing.TB, store *embedded.Store, key string) failover.Entry {
	t.Helper()
	reply, err := store.Txn(t.Context(), []failover.Op{{Verb: failover.Get, Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	return reply.Entries[0]
}

func TestOpenNew(t *testing.T) {
	before := uint64(time.Now().UnixMilli())
	path := filepath.Join(t.TempDir(), "store.db")
	store := openAt(t, path)
	e := put(t, store, "a", "one")
	if after := uint64(time.Now().UnixMilli()); e.ModifyIndex <= before || e.ModifyIndex > after+1 {
		t.Errorf("first index %d is not the time, %d to %d", e.ModifyIndex, before, after)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("beside the store: %v, %v", files, err)
	}
}

func TestOpenAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	store, err := embedded.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	want := put(t, store, "a", "one")
	if err := errors.Join(store.Close(), store.Close()); err != nil {
		t.Fatal(err)
	}
	store = openAt(t, path)
	if got := read(t, store, "a"); string(got.Value) != "one" || got.ModifyIndex != want.ModifyIndex {
		t.Errorf("was %+v, is %+v", want, got)
	}
	if next := put(t, store, "b", ""); next.ModifyIndex != want.ModifyIndex+1 {
		t.Errorf("index %d after %d", next.ModifyIndex, want.ModifyIndex)
	}
}

func TestOpenLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	openAt(t, path)
	_, err := embedded.Open(path)
	if !errors.Is(err, embedded.ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Errorf("opened twice: %v", err)
	}
}

func TestOpenForeign(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("short", []byte("no store"))
	write("long", []byte(strings.Repeat("no store ", 10000)))
	store := openAt(t, filepath.Join(dir, "whole"))
	for i := range 40 {
		put(t, store, strings.Repeat("k", i+1), strings.Repeat("v", 2000))
	}
	whole, err := os.ReadFile(filepath.Join(dir, "whole"))
	if err != nil {
		t.Fatal(err)
	}
	write("cut", whole[:16<<10])
	other, err := bbolt.Open(filepath.Join(dir, "other"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = other.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("other"))
		return err
	})
	if err := errors.Join(err, other.Close()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"short", "long", "cut", "other"} {
		if store, err := embedded.Open(filepath.Join(dir, name)); !errors.Is(err, embedded.ErrForeign) {
			t.Errorf("%s: %v, %v", name, store, err)
		}
	}
}

func TestOpenNowhere(t *testing.T) {
	if _, err := embedded.Open(filepath.Join(t.TempDir(), "missing", "store.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
	if _, err := embedded.Open(t.TempDir()); err == nil {
		t.Error("a folder was opened as a store")
	}
}

func TestOpenEmptyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, openAt(t, path), "a", "one")
}

func TestClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := embedded.Open(filepath.Join(t.TempDir(), "store.db"))
		if err != nil {
			t.Fatal(err)
		}
		put(t, store, "a/b", "one")
		_, index, err := store.Watch(t.Context(), "a/", 0)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() {
			_, _, err := store.Watch(context.Background(), "a/", index)
			ended <- err
		}()
		synctest.Wait()
		started := time.Now()
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		calls := map[string]error{"a waiting watch": <-ended}
		if took := time.Since(started); took != 0 {
			t.Errorf("a waiting watch ended %v after Close", took)
		}
		_, _, calls["a watch"] = store.Watch(t.Context(), "a/", 0)
		_, calls["a read"] = store.Txn(t.Context(), []failover.Op{{Verb: failover.Get, Key: "a"}})
		_, calls["a write"] = store.Txn(t.Context(), []failover.Op{{Verb: failover.Set, Key: "a"}})
		for name, err := range calls {
			if !errors.Is(err, embedded.ErrClosed) || !errors.Is(err, failover.ErrUnknown) {
				t.Errorf("%s after Close: %v", name, err)
			}
		}
	})
}

// TestWatchUnchanged: a watch that nothing wakes returns after five minutes.
func TestWatchUnchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := open(t)
		put(t, store, "a/b", "one")
		_, index, err := store.Watch(t.Context(), "a/", 0)
		if err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		entries, next, err := store.Watch(t.Context(), "a/", index)
		if took := time.Since(started); took != 5*time.Minute || len(entries) != 1 || next != index || err != nil {
			t.Errorf("after %v: %v, index %d after %d, %v", took, entries, next, index, err)
		}
	})
}

// TestWatchForgotten: a deletion that nobody watched is seen even after so many
// others that it was forgotten.
func TestWatchForgotten(t *testing.T) {
	store := open(t)
	put(t, store, "a/b", "one")
	_, index, err := store.Watch(t.Context(), "a/", 0)
	if err != nil {
		t.Fatal(err)
	}
	remove(t, store, "a/b")
	for range 12 {
		var ops []failover.Op
		for range failover.TxnOps {
			ops = append(ops, failover.Op{Verb: failover.Set, Key: "other/" + rand.Text()})
		}
		if _, err := store.Txn(t.Context(), ops); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Txn(t.Context(), []failover.Op{{Verb: failover.DeleteTree, Key: "other/"}}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	entries, next, err := store.Watch(ctx, "a/", index)
	if err != nil || len(entries) != 0 || next <= index {
		t.Errorf("%v, index %d after %d, %v", entries, next, index, err)
	}
}

// TestWatchAfterMany deletes more keys than the store remembers: watchers still
// see each deletion, and indexes never fall.
func TestWatchAfterMany(t *testing.T) {
	store := open(t)
	last := uint64(0)
	for i := range 1200 {
		key := "w/" + string(rune('a'+i%26)) + strings.Repeat("x", i/26)
		put(t, store, key, "")
		_, index, err := store.Watch(t.Context(), "w/", last)
		if err != nil || index <= last {
			t.Fatalf("after set %d: index %d after %d, %v", i, index, last, err)
		}
		remove(t, store, key)
		entries, next, err := store.Watch(t.Context(), "w/", index)
		if err != nil || next <= index || len(entries) != 0 {
			t.Fatalf("after delete %d: %v, index %d after %d, %v", i, entries, next, index, err)
		}
		last = next
	}
}

// TestWatchAfterRestart: who watched before a restart sees what is now, even if
// nothing is left of the prefix.
func TestWatchAfterRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	store, err := embedded.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, store, "w/a", "")
	_, index, err := store.Watch(t.Context(), "w/", 0)
	if err != nil {
		t.Fatal(err)
	}
	remove(t, store, "w/a")
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = openAt(t, path)
	entries, next, err := store.Watch(t.Context(), "w/", index)
	if err != nil || len(entries) != 0 || next <= index {
		t.Errorf("%v, index %d after %d, %v", entries, next, index, err)
	}
}

// TestNothingWritten: what changes nothing does not touch the file.
func TestNothingWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	store := openAt(t, path)
	e := put(t, store, "a", "one")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, store, "a", "one")
	remove(t, store, "missing")
	if reply, err := store.Txn(t.Context(), []failover.Op{{Verb: failover.Set, Key: "b"}, {Verb: failover.CAS, Key: "a"}}); err != nil || reply.OK {
		t.Fatalf("%+v, %v", reply, err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("the file has changed")
	}
	if next := put(t, store, "b", ""); next.ModifyIndex != e.ModifyIndex+1 {
		t.Errorf("index %d after %d", next.ModifyIndex, e.ModifyIndex)
	}
}

func TestWriteWaitsForItsTurn(t *testing.T) {
	store := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	const writers = 16
	done := make(chan error, writers)
	for range writers {
		go func() {
			var err error
			for err == nil {
				_, err = store.Txn(ctx, []failover.Op{{Verb: failover.Set, Key: "a", Value: []byte(time.Now().String())}})
			}
			done <- err
		}()
	}
	cancel()
	for range writers {
		if err := <-done; !errors.Is(err, context.Canceled) || !errors.Is(err, failover.ErrUnknown) {
			t.Errorf("error is %v", err)
		}
	}
}
