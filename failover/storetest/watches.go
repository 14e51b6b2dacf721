package storetest

import (
	"context"
	"strconv"
	"time"

	"github.com/reattach/reattach/failover"
)

// watch calls Watch once, and checks what holds of every answer.
func (f *fixture) watch(index uint64) ([]failover.Entry, uint64) {
	f.Helper()
	entries, next, err := f.store.Watch(f.ctx, f.prefix, index)
	if err != nil {
		f.Fatalf("watch from %d: %v", index, err)
	}
	if next == 0 {
		f.Fatalf("watch from %d: next index is 0, which would not wait", index)
	}
	return entries, next
}

// until watches from index until the keys are want. A watch may return
// unchanged; so it may be called more often than there are changes.
func (f *fixture) until(index uint64, want ...string) uint64 {
	f.Helper()
	for {
		entries, next := f.watch(index)
		got := make([]string, 0, len(entries))
		for _, e := range entries {
			got = append(got, e.Key[len(f.prefix):]+"="+string(e.Value))
		}
		if len(got) == len(want) {
			same := true
			for i := range got {
				same = same && got[i] == want[i]
			}
			if same {
				return next
			}
		}
		if next < index {
			next = 0
		}
		index = next
	}
}

func watchAtOnce(f *fixture) {
	entries, _ := f.watch(0)
	f.equal("entries", 0, len(entries))
	f.set("a", "one")
	entries, next := f.watch(0)
	f.equal("entries", []string{f.key("a")}, keys(entries))
	if next < entries[0].ModifyIndex {
		f.Errorf("next index %d is below the entry's %d", next, entries[0].ModifyIndex)
	}
}

func watchBelow(f *fixture) {
	for _, name := range []string{"b", "a/z", "a", "ä"} {
		f.set(name, "v-"+name)
	}
	entries, _ := f.watch(0)
	f.equal("what watch returns and get-tree", f.tree(), entries)
}

func watchChanges(f *fixture) {
	f.set("keep", "k")
	index := f.until(0, "keep=k")
	step := func(want []string, ops ...failover.Op) {
		f.Helper()
		done := make(chan struct{})
		go func() {
			defer close(done)
			index = f.until(index, want...)
		}()
		f.txn(ops...)
		select {
		case <-done:
		case <-f.ctx.Done():
			<-done
			f.Fatalf("watch did not see %v", ops)
		}
	}
	step([]string{"a=1", "keep=k"}, failover.Op{Verb: failover.Set, Key: "a", Value: []byte("1")})
	step([]string{"a=2", "keep=k"}, failover.Op{Verb: failover.Set, Key: "a", Value: []byte("2")})
	step([]string{"keep=k"}, failover.Op{Verb: failover.Delete, Key: "a"})
	step([]string{"keep=k", "t/x=", "t/y="}, failover.Op{Verb: failover.Set, Key: "t/x"}, failover.Op{Verb: failover.Set, Key: "t/y"})
	step([]string{"keep=k"}, failover.Op{Verb: failover.DeleteTree, Key: "t/"})
	step(nil, failover.Op{Verb: failover.DeleteTree})
	step([]string{"again="}, failover.Op{Verb: failover.Set, Key: "again"})
}

func watchAll(f *fixture) {
	f.set("keep", "k")
	index := f.until(0, "keep=k")
	seen := make(chan struct{})
	go func() {
		defer close(seen)
		f.together(10, func(int) { f.until(index, "a=1", "keep=k") })
	}()
	f.set("a", "1")
	<-seen
}

// watchBetween: what happens while nobody watches is seen by the next watch,
// although other keys changed in between and since.
func watchBetween(f *fixture) {
	f.set("keep", "k")
	index := f.until(0, "keep=k")
	for i := range 5 {
		other := f.prefix[:len(f.prefix)-1] + "-other/x"
		if _, err := f.store.Txn(f.ctx, []failover.Op{{Verb: failover.Set, Key: other, Value: []byte(strconv.Itoa(i))}}); err != nil {
			f.Fatal(err)
		}
		f.set("a", strconv.Itoa(i))
		if _, err := f.store.Txn(f.ctx, []failover.Op{{Verb: failover.Delete, Key: other}}); err != nil {
			f.Fatal(err)
		}
		index = f.until(index, "a="+strconv.Itoa(i), "keep=k")
		f.txn(failover.Op{Verb: failover.Delete, Key: "a"})
		index = f.until(index, "keep=k")
	}
}

func watchContext(f *fixture) {
	f.set("keep", "k")
	index := f.until(0, "keep=k")
	ctx, cancel := context.WithCancel(f.ctx)
	ended := make(chan error)
	go func() {
		for {
			_, next, err := f.store.Watch(ctx, f.prefix, index)
			if err != nil {
				ended <- err
				return
			}
			index = next
		}
	}()
	started := time.Now()
	cancel()
	err := <-ended
	f.is(err, failover.ErrUnknown)
	f.is(err, context.Canceled)
	if took := time.Since(started); took > patience/4 {
		f.Errorf("it took %v to end", took)
	}
}

func watchInvalid(f *fixture) {
	_, _, err := f.store.Watch(f.ctx, "", 0)
	f.is(err, failover.ErrInvalid)
}
