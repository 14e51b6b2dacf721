package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/embedded"
)

// writerEnv makes this test binary a process that writes to the store there until
// it is killed. See TestMain.
const (
	writerEnv = "REATTACH_TEST_WRITER"
	limitEnv  = "REATTACH_TEST_FILE_LIMIT" // bytes that its files may have
)

// write runs transactions of the kind that a switch is, each numbered, and says
// each number once the store has taken it. With a file limit it also writes more
// and more, and ends by saying the error.
func write(path string) error {
	limit, err := strconv.ParseUint(os.Getenv(limitEnv), 10, 64)
	limited := err == nil
	if limited {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			return err
		}
	}
	store, err := embedded.Open(path)
	if err != nil {
		return err
	}
	reply, err := store.Txn(context.Background(), []failover.Op{{Verb: failover.Get, Key: "state"}})
	if err != nil {
		return err
	}
	state := reply.Entries[0]
	n, _ := strconv.Atoi(string(state.Value))
	for {
		n++
		ops := numbered(n, state.ModifyIndex)
		if limited {
			ops = append(ops, failover.Op{Verb: failover.Set, Key: "more/" + strconv.Itoa(n), Value: make([]byte, 5000)})
		}
		reply, err := store.Txn(context.Background(), ops)
		if err != nil {
			fmt.Println("error", err)
			return nil
		}
		state = reply.Entry("state")
		fmt.Println(n)
	}
}

func numbered(n int, index uint64) []failover.Op {
	value := []byte(strconv.Itoa(n))
	long := make([]byte, rand.IntN(20000))
	return []failover.Op{
		{Verb: failover.DeleteTree, Key: "ballot/"},
		{Verb: failover.CAS, Key: "state", Value: value, Index: index},
		{Verb: failover.Set, Key: "handle/a", Value: value},
		{Verb: failover.Set, Key: "handle/b", Value: append(value, long...)},
		{Verb: failover.Set, Key: "ballot/" + strconv.Itoa(n), Value: value},
		{Verb: failover.Set, Key: "history/" + strconv.Itoa(n%50), Value: value},
		{Verb: failover.Delete, Key: "history/" + strconv.Itoa((n+25)%50)},
	}
}

// whole checks that the store is as some transaction left it, and not before the
// one numbered said; it returns that transaction's number.
func whole(t *testing.T, path string, said int) int {
	t.Helper()
	store, err := embedded.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	state := read(t, store, "state")
	n, _ := strconv.Atoi(string(state.Value))
	if n < said {
		t.Errorf("the store has %d, and had said %d", n, said)
	}
	if n == 0 {
		return 0
	}
	for _, key := range []string{"handle/a", "handle/b", "ballot/" + strconv.Itoa(n), "history/" + strconv.Itoa(n%50)} {
		e := read(t, store, key)
		if e.ModifyIndex != state.ModifyIndex || len(e.Value) < len(state.Value) || string(e.Value[:len(state.Value)]) != string(state.Value) {
			t.Errorf("state is %s at %d, %s at %d", state.Value, state.ModifyIndex, key, e.ModifyIndex)
		}
	}
	reply, err := store.Txn(t.Context(), []failover.Op{{Verb: failover.GetTree, Key: "ballot/"}, {Verb: failover.CheckNotExists, Key: "history/" + strconv.Itoa((n+25)%50)}})
	if err != nil || !reply.OK || len(reply.Entries) != 1 {
		t.Errorf("ballots and history of transaction %d: %+v, %v", n, reply, err)
	}
	if e := put(t, store, "opened", strconv.Itoa(rand.Int())); e.ModifyIndex <= state.ModifyIndex {
		t.Errorf("index %d after %d", e.ModifyIndex, state.ModifyIndex)
	}
	return n
}

// TestKill kills a writing process at any moment, again and again: while it makes
// or opens the file, and, however slow the machine is, some time after it has said
// its first transaction. The file opens, nothing is half done, and nothing is lost
// that the process had been told was done.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	const rounds, starting = 25, 5
	wrote := 0
	for round := range rounds {
		writer := startWriter(t, path)
		said := 0
		if round < starting {
			writer.killAfter(rand.N(6 * time.Millisecond))
		} else {
			patience := writer.killAfter(time.Minute)
			if said = writer.next(t); said <= wrote {
				t.Fatalf("round %d: the writer says %d, and there were %d: it does not write", round, said, wrote)
			}
			patience.Stop()
			writer.killAfter(rand.N(60 * time.Millisecond))
		}
		said = max(said, writer.read(t))
		n := whole(t, path, said)
		if n < wrote {
			t.Fatalf("round %d: %d transactions, there were %d", round, n, wrote)
		}
		wrote = n
	}
	t.Logf("%d kills, %d transactions", rounds, wrote)
}

// TestFull lets the disk refuse to take more: the writer is told, and the file is
// whole.
func TestFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	for _, limit := range []string{"70000", "140000", "300000"} {
		writer := startWriter(t, path, limitEnv+"="+limit)
		said := writer.read(t)
		if !writer.failed {
			t.Errorf("a file of at most %s bytes took everything", limit)
		}
		whole(t, path, said)
	}
}

type writer struct {
	cmd    *exec.Cmd
	out    *bufio.Scanner
	failed bool // it said that a transaction failed
}

func startWriter(t *testing.T, path string, env ...string) *writer {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), writerEnv+"="+path), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // of a test that failed
	return &writer{cmd: cmd, out: bufio.NewScanner(out)}
}

// killAfter kills the process that long from now, if it still lives.
func (w *writer) killAfter(life time.Duration) *time.Timer {
	return time.AfterFunc(life, func() { _ = w.cmd.Process.Kill() })
}

// next waits for the next number that is said; 0 says that there comes none.
func (w *writer) next(t *testing.T) int {
	t.Helper()
	for w.out.Scan() {
		if n, err := strconv.Atoi(w.out.Text()); err == nil {
			return n
		}
		w.failed = true
		t.Log(w.out.Text())
	}
	return 0
}

// read waits for the end, and returns the last number that was said.
func (w *writer) read(t *testing.T) (said int) {
	t.Helper()
	for n := w.next(t); n > 0; n = w.next(t) {
		said = n
	}
	_ = w.cmd.Wait()
	return said
}
