package failover_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/storetest"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestDaemonSwitches: a server dies, and everything that should know of it does.
func TestDaemonSwitches(t *testing.T) {
	dir := t.TempDir()
	run(t, dir, func(r *running) {
		if s := r.status(); s.Attached != "primary" || !s.Protected || s.Activity != "steady" {
			t.Fatalf("before: %+v", s)
		}
		if err := r.d.Ready(r.ctx); err != nil {
			t.Fatalf("not ready: %v", err)
		}
		r.servers.set(hostPrimary, probe.Refused)
		began := time.Now()
		for r.status().Attached != "standby" {
			if r.after(10 * time.Millisecond); time.Since(began) > 10*time.Second {
				t.Fatalf("no switch: %+v", r.status())
			}
		}
		// The session's ping comes within an interval; then sustain is 1 s.
		if took := time.Since(began); took > 2400*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		history, err := r.d.History(r.ctx, "")
		if err != nil || len(history) != 2 || history[0].To != "standby" || history[0].Kind != policy.Failover {
			t.Errorf("history: %v, %+v", err, history)
		}
		if only, err := r.d.History(r.ctx, "orders-db"); err != nil || len(only) != 2 {
			t.Errorf("history of one: %v, %+v", err, only)
		}
		for _, after := range []struct {
			run  failover.AfterRun
			says string
		}{
			{failover.AfterRun{}, failover.StepDue},
			{failover.AfterRun{Claim: "c", Runner: "mon-b"}, failover.StepRunning},
			{failover.AfterRun{Claim: "c", End: &failover.StepEnd{Step: policy.After, Outcome: failover.StepFailed}}, failover.StepFailed},
		} {
			value, _ := json.Marshal(after.run)
			if _, err := r.model.Txn(r.ctx, []failover.Op{{Verb: failover.Set, Key: "reattach/after/orders-db/0000000002", Value: value}}); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"", "orders-db"} {
				all, err := r.d.History(r.ctx, name)
				if err != nil || len(all) != 2 || len(all[0].Steps) != 1 || all[0].Steps[0].Outcome != after.says || len(all[1].Steps) != 0 {
					t.Errorf("history of %q with an after step that is %s: %v, %+v", name, after.says, err, all)
				}
			}
		}
		x, err := r.d.Explain(r.ctx, "orders-db")
		if err != nil || x.Target != "standby" || len(x.History) != 2 || x.Vote == nil || len(x.IfDown.Gates) == 0 {
			t.Errorf("explained: %v, %+v", err, x)
		}
		for _, want := range []string{"msg=switched", "kind=failover", "level=ERROR"} {
			if !strings.Contains(r.log.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, r.log)
			}
		}
		if strings.Contains(r.log.String(), "secret") {
			t.Error("the log holds a secret")
		}
	})
	seen, err := failover.ReadSeen(filepath.Join(dir, "seen.json"))
	if err != nil || seen["orders-db"].Epoch != 2 {
		t.Errorf("seen last: %v, %+v", err, seen)
	}
}

// TestDaemonKeepsWhatItSawLast, even what it saw in its last moment.
func TestDaemonKeepsWhatItSawLast(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		dir := t.TempDir()
		d, err := failover.NewDaemon(failover.Options{StateDir: dir, Store: storetest.NewModel(100)})
		if err != nil {
			t.Fatal(err)
		}
		failover.Keep(d, map[string]failover.Seen{"orders-db": {Epoch: 2}})
		if err := d.Run(ended); err != nil {
			t.Fatal(err)
		}
		if seen, err := failover.ReadSeen(filepath.Join(dir, "seen.json")); err != nil || seen["orders-db"].Epoch != 2 {
			t.Fatalf("%v, %+v", err, seen)
		}
	}
}

func TestDaemonCommands(t *testing.T) {
	run(t, "", func(r *running) {
		if a := r.do(failover.Command{Verb: "switchover"}); !a.Done || a.Record == nil || a.Record.To != "standby" {
			t.Errorf("switchover: %+v", a)
		}
		if a := r.do(failover.Command{Verb: "pause"}); !a.Done {
			t.Errorf("pause: %+v", a)
		}
		if a := r.do(failover.Command{Verb: "nonsense"}); !a.Invalid {
			t.Errorf("nonsense: %+v", a)
		}
		if _, err := r.d.Explain(r.ctx, "nobody"); !errors.Is(err, failover.ErrNoResource) {
			t.Errorf("explain nobody: %v", err)
		}
		gone, cancel := context.WithCancel(r.ctx)
		cancel()
		if _, err := r.d.Do(gone, failover.Command{Verb: "resume", Resource: "orders-db"}); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("of who has gone: %v", err)
		}
		r.stop()
		if _, err := r.d.Do(r.ctx, failover.Command{}); !errors.Is(err, failover.ErrStopped) {
			t.Errorf("do after the end: %v", err)
		}
		if _, err := r.d.Status(r.ctx); !errors.Is(err, failover.ErrStopped) {
			t.Errorf("status after the end: %v", err)
		}
		if err := r.d.Healthy(r.ctx); !errors.Is(err, failover.ErrStopped) {
			t.Errorf("healthy after the end: %v", err)
		}
	})
}

// TestDaemonReload: loops of what is new begin, of what is gone end, and the
// others go on as they are.
func TestDaemonReload(t *testing.T) {
	run(t, "", func(r *running) {
		before, held := r.servers.conversations(hostPrimary)
		a, err := r.d.Reload(r.ctx, r.config("primary", "reserve"))
		if err != nil || !a.Done {
			t.Fatalf("%v, %+v", err, a)
		}
		r.after(1500 * time.Millisecond)
		if now, still := r.servers.conversations(hostPrimary); now != before || still != 1 || held != 1 {
			t.Errorf("primary: %d conversations and %d sessions, then %d and %d", before, held, now, still)
		}
		if _, held := r.servers.conversations(hostStandby); held != 0 {
			t.Error("the session with what is gone is held on")
		}
		if _, held := r.servers.conversations("orders-db-reserve.internal"); held != 1 {
			t.Error("what is new is not watched")
		}
		if s := r.status(); !s.Protected || s.Target != "reserve" {
			t.Errorf("%+v", s)
		}
		if a, err = r.d.Reload(r.ctx, r.config("reserve")); err != nil || a.Done {
			t.Errorf("a reload that drops what is attached: %v, %+v", err, a)
		}
		r.after(1500 * time.Millisecond)
		if _, held := r.servers.conversations(hostPrimary); held != 1 {
			t.Error("a refused reload ended a loop")
		}
		slower := r.config("primary", "reserve")
		slower.Resources[0].Pace.Interval = 5 * time.Second
		if a, err = r.d.Reload(r.ctx, slower); err != nil || !a.Done {
			t.Fatalf("%v, %+v", err, a)
		}
		r.after(time.Second)
		if now, held := r.servers.conversations(hostPrimary); now == before || held != 1 {
			t.Errorf("another pace: %d conversations, %d sessions", now, held)
		}
	})
}

// TestDaemonSilentStore: a store that answers nothing holds up nobody else.
func TestDaemonSilentStore(t *testing.T) {
	run(t, "", func(r *running) {
		r.store.hook(silent)
		r.servers.set(hostPrimary, probe.Refused)
		r.after(10 * time.Second)
		asked := time.Now()
		s, err := r.d.Status(r.ctx)
		if err != nil || s.Blind == "" || s.Resources[0].Attached != "primary" || s.Resources[0].Endpoints[0].State == policy.Up {
			t.Errorf("%v, %+v", err, s)
		}
		if r.d.Healthy(r.ctx) != nil || r.d.Ready(r.ctx) == nil {
			t.Error("it is healthy, and not ready")
		}
		if a := r.do(failover.Command{Verb: "failover"}); a.Done || !a.Unsure {
			t.Errorf("%+v", a)
		}
		if time.Since(asked) != 0 {
			t.Errorf("the answers took %v", time.Since(asked))
		}
		if x, err := r.d.Explain(r.ctx, "orders-db"); err != nil || x.Blind == "" || len(x.History) != 0 {
			t.Errorf("%v, %+v", err, x)
		}
		if _, err := r.d.History(r.ctx, ""); !errors.Is(err, failover.ErrUnknown) {
			t.Errorf("history: %v", err)
		}
		began := time.Now()
		r.stop()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v to end", took)
		}
		if got := r.keys("reattach/ballot/orders-db/"); len(got) != 0 {
			t.Errorf("left are %v", got)
		}
	})
}

// TestDaemonTellsSilence: why the store is silent is logged once each time. One
// lost transaction is not worth a line.
func TestDaemonTellsSilence(t *testing.T) {
	run(t, "", func(r *running) {
		told := func() int { return strings.Count(r.log.String(), "the store does not answer") }
		for times := range 2 {
			r.store.hook(silent)
			r.after(1500 * time.Millisecond)
			r.store.hook(nil)
			r.after(3 * time.Second)
			if told() != times {
				t.Errorf("a single lost answer is told:\n%s", r.log)
			}
			r.store.hook(silent)
			r.after(20 * time.Second)
			r.store.hook(nil)
			r.after(3 * time.Second)
			if told() != times+1 {
				t.Errorf("after 20 s of silence:\n%s", r.log)
			}
		}
	})
}

// TestDaemonOverflow: more transactions than there is room for are as if the
// store had not answered; the loop never waits for room.
func TestDaemonOverflow(t *testing.T) {
	run(t, "", func(r *running) {
		r.store.hook(silent)
		const many = failover.TxnWorkers + failover.EventBuffer + 50
		var group sync.WaitGroup
		var mu sync.Mutex
		early := 0
		began := time.Now()
		for range many {
			group.Go(func() {
				a, err := r.d.Do(r.ctx, failover.Command{Verb: "pause", Resource: "orders-db", Reason: "a test"})
				if err != nil || a.Done || !a.Unsure {
					t.Errorf("%v, %+v", err, a)
				}
				mu.Lock()
				defer mu.Unlock()
				if time.Since(began) == 0 {
					early++
				}
			})
		}
		group.Wait()
		if early == 0 {
			t.Error("nothing overflowed: the test proves nothing")
		}
	})
}

// TestDaemonLeaves: who ends while his commit is on its way closes his ballot
// first; what lands afterwards changes nothing.
func TestDaemonLeaves(t *testing.T) {
	run(t, "", func(r *running) {
		waits, release := make(chan struct{}), make(chan struct{})
		r.store.hook(func(_ context.Context, ops []failover.Op) error {
			if commits(ops) {
				close(waits)
				<-release
			}
			return nil
		})
		go func() {
			_, _ = r.d.Do(r.ctx, failover.Command{Verb: "switchover", Resource: "orders-db", Reason: "a test"})
		}()
		<-waits
		if got := r.keys("reattach/ballot/orders-db/"); len(got) != 1 {
			t.Fatalf("open are %v", got)
		}
		go r.stop()
		r.after(time.Second)
		if got := r.keys("reattach/ballot/orders-db/"); len(got) != 0 {
			t.Errorf("it ends, and leaves %v", got)
		}
		close(release)
		r.stop()
		if got := r.keys("reattach/history/"); len(got) != 1 {
			t.Errorf("the commit landed after all: %v", got)
		}
	})
}

// TestDaemonLeavesWhileItOpens: who ends while his ballot's opening is on its
// way waits for the answer, and closes what it opened.
func TestDaemonLeavesWhileItOpens(t *testing.T) {
	run(t, "", func(r *running) {
		waits, release := make(chan struct{}), make(chan struct{})
		r.store.hook(func(_ context.Context, ops []failover.Op) error {
			if slices.ContainsFunc(ops, func(op failover.Op) bool { return op.Verb.Writes() && op.Key == "reattach/ballot/orders-db/_" }) {
				r.store.hook(nil)
				close(waits)
				<-release
			}
			return nil
		})
		go func() {
			_, _ = r.d.Do(r.ctx, failover.Command{Verb: "switchover", Resource: "orders-db", Reason: "a test"})
		}()
		<-waits
		go r.stop()
		r.after(time.Second)
		close(release)
		r.stop()
		if got := r.keys("reattach/ballot/orders-db/"); len(got) != 0 {
			t.Errorf("it ended, and left %v", got)
		}
		if got := r.keys("reattach/history/"); len(got) != 1 {
			t.Errorf("it went on to commit: %v", got)
		}
	})
}

// TestDaemonStood: a loop that was held up voids its evidence.
func TestDaemonStood(t *testing.T) {
	run(t, "", func(r *running) {
		stood := func(ev failover.Event) bool { _, ok := ev.(failover.Stood); return ok }
		if r.tap.count(stood) != 0 {
			t.Fatal("it stood still at once")
		}
		r.tap.mu.Lock()
		r.tap.stall = func() { time.Sleep(3 * time.Second) } // in a bubble of synctest
		r.tap.mu.Unlock()
		r.after(5 * time.Second)
		if n := r.tap.count(stood); n != 1 {
			t.Errorf("it was noticed %d times", n)
		}
	})
}

// TestDaemonWatches: a watch that fails is begun anew after a second, and one
// whose index fell at once, both from 0.
func TestDaemonWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var asked []uint64
		var at []time.Duration
		store := &hookedStore{Store: storetest.NewModel(100), watch: func(prefix string, index uint64) (uint64, error) {
			if prefix != "reattach/control/" {
				return 0, nil
			}
			asked, at = append(asked, index), append(at, time.Since(start))
			switch len(asked) {
			case 1, 3:
				return 0, failover.ErrUnknown
			case 5:
				return 5, nil // tombstones were reaped
			}
			return 0, nil
		}}
		d, err := failover.NewDaemon(failover.Options{Store: store})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := d.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if len(asked) < 6 || asked[0] != 0 || asked[1] != 0 || asked[2] == 0 || asked[3] != 0 || asked[4] == 0 || asked[5] != 0 {
			t.Fatalf("asked from %v", asked)
		}
		if at[1]-at[0] != time.Second || at[3]-at[2] != time.Second || at[5] != at[4] {
			t.Errorf("asked at %v", at)
		}
	})
}

// TestDaemonNeverTooLate: what waited for its turn until its time was over is
// not sent any more.
func TestDaemonNeverTooLate(t *testing.T) {
	run(t, "", func(r *running) {
		var sent atomic.Bool
		r.store.hook(func(_ context.Context, ops []failover.Op) error {
			switch ops[0].Key {
			case "reattach/control/orders-db":
				time.Sleep(2500 * time.Millisecond) // in a bubble of synctest
			case "reattach/state/orders-db":
				if len(ops) > 2 { // a ballot's reading, not a sweep
					sent.Store(true)
				}
			}
			return nil
		})
		var group sync.WaitGroup
		for range failover.TxnWorkers {
			group.Go(func() {
				_, _ = r.d.Do(r.ctx, failover.Command{Verb: "pause", Resource: "orders-db", Reason: "a test"})
			})
		}
		synctest.Wait()
		if a := r.do(failover.Command{Verb: "switchover"}); a.Done || sent.Load() {
			t.Errorf("sent: %v; %+v", sent.Load(), a)
		}
		group.Wait()
	})
}

// TestDaemonUnderManyHands is for the race detector.
func TestDaemonUnderManyHands(t *testing.T) {
	run(t, t.TempDir(), func(r *running) {
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				for range 20 {
					_, _ = r.d.Status(r.ctx)
					_, _ = r.d.Explain(r.ctx, "orders-db")
					_, _ = r.d.History(r.ctx, "")
					_, _ = r.d.Do(r.ctx, failover.Command{Verb: []string{"pause", "resume", "switchover", "ack"}[i%4], Resource: "orders-db", Reason: "a test", Force: []string{"taint"}})
					if i == 0 {
						_, _ = r.d.Reload(r.ctx, r.config("primary", "standby"))
					}
				}
			})
		}
		group.Wait()
	})
}

func TestNewDaemonWantsWhatItSaw(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "seen.json")
	if seen, err := failover.ReadSeen(file); err != nil || seen != nil {
		t.Errorf("none yet: %v, %v", seen, err)
	}
	if err := os.WriteFile(file, []byte(`{"orders-db":{"epoch":`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := failover.NewDaemon(failover.Options{StateDir: dir})
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a broken file: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := failover.NewDaemon(failover.Options{StateDir: dir}); err == nil {
		t.Error("a directory in its place is no error")
	}
}

// TestDaemonWithoutItsDirectory: what cannot be kept is said, and no more.
func TestDaemonWithoutItsDirectory(t *testing.T) {
	run(t, filepath.Join(t.TempDir(), "gone"), func(r *running) {
		if !r.status().Protected {
			t.Error("it does not work")
		}
		if !strings.Contains(r.log.String(), "could not be kept") {
			t.Errorf("and nobody is told:\n%s", r.log)
		}
	})
}
