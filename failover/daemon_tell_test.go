package failover_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/probe"
)

// memory is a journal in memory, whose disk is in the test's hands.
type memory struct {
	mu     sync.Mutex
	kept   []failover.Notice
	active []failover.Notice
	disk   func([]failover.Notice) error // before each batch; nil: it is well
}

func (m *memory) Keep(notices []failover.Notice) error {
	m.mu.Lock()
	disk := m.disk
	m.mu.Unlock()
	var err error
	if disk != nil {
		err = disk(notices)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = append(m.kept, notices...)
	return err
}

func (m *memory) hook(disk func([]failover.Notice) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disk = disk
}

func (m *memory) Active() []failover.Notice { return m.active }

func (m *memory) Events(after uint64, resource string, limit int) (all []failover.Told, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, n := range m.kept {
		if resource == "" || n.Resource == resource {
			all = append(all, failover.Told{Seq: uint64(i + 1), Notice: n})
		}
	}
	if after == 0 {
		all = all[max(0, len(all)-limit):]
	}
	return all, nil
}

func (m *memory) Notifiers() []failover.NotifierStatus {
	return []failover.NotifierStatus{{Name: "ops-chat", Kind: "slack", Pending: 2}}
}

// has returns the kinds of the notices that are kept, in their order.
func (m *memory) has() (events []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.kept {
		if n.Event != "suspect" {
			events = append(events, n.Event)
		}
	}
	return events
}

func seenEpoch(t *testing.T, dir string) uint64 {
	t.Helper()
	seen, err := failover.ReadSeen(filepath.Join(dir, "seen.json"))
	if err != nil {
		t.Fatal(err)
	}
	return seen["orders-db"].Epoch
}

// TestDaemonTells: what is told reaches the journal in its order, is handed out,
// and is logged by its severity.
func TestDaemonTells(t *testing.T) {
	j := &memory{}
	runWith(t, t.TempDir(), j, func(r *running) {
		r.servers.set(hostPrimary, probe.Refused)
		r.after(5 * time.Second)
		if a := r.do(failover.Command{Verb: "clear", Endpoint: "primary"}); !a.Done {
			t.Fatal(a)
		}
		r.servers.set(hostPrimary, probe.OK)
		r.after(10 * time.Second)
		if err := r.d.Misread(r.ctx, "line 3", "systemctl restart reattach"); err != nil {
			t.Fatal(err)
		}
		r.after(time.Second)
		if err := r.d.Misread(r.ctx, "", ""); err != nil {
			t.Fatal(err)
		}
		r.after(time.Second)
		if got, want := j.has(), []string{"failover", "recovered", "config_not_reloaded", "config_not_reloaded"}; !slices.Equal(got, want) {
			t.Fatalf("kept are %v, want %v", got, want)
		}
		told, err := r.d.Events(r.ctx, 0, "", 2)
		if err != nil || len(told) != 2 || told[0].Over || !told[1].Over || told[0].Next != "systemctl restart reattach" {
			t.Errorf("events: %v, %+v", err, told)
		}
		x, err := r.d.Explain(r.ctx, "orders-db")
		if err != nil || len(x.Told) != 3 || x.Told[0].Event != "recovered" || x.Told[0].Outage == "" || x.Told[0].Outage != x.Told[1].Outage {
			t.Errorf("explained, newest first: %v, %+v", err, x.Told)
		}
		s, err := r.d.Status(r.ctx)
		if err != nil || len(s.Notifiers) != 1 || len(s.Notices) != 0 {
			t.Errorf("status: %v, %+v", err, s)
		}
		for _, want := range []string{"level=ERROR msg=\"orders-db: failover", "level=INFO msg=\"orders-db is protected again",
			"level=WARN msg=\"A new configuration was not taken", "level=INFO msg=\"The configuration that stands there"} {
			if strings.Count(r.log.String(), want) != 1 {
				t.Errorf("the log wants one line with %s:\n%s", want, r.log)
			}
		}
	})
}

// TestDaemonWithoutJournal says so to who asks for events, and works.
func TestDaemonWithoutJournal(t *testing.T) {
	run(t, "", func(r *running) {
		if _, err := r.d.Events(r.ctx, 0, "", 1); !errors.Is(err, failover.ErrNoJournal) {
			t.Errorf("events: %v", err)
		}
		if x, err := r.d.Explain(r.ctx, "orders-db"); err != nil || x.Told != nil {
			t.Errorf("explained: %v, %+v", err, x.Told)
		}
	})
}

// TestDaemonHungDisk: a disk that takes nothing delays no failover, and what was
// seen last is never written ahead of what is told.
func TestDaemonHungDisk(t *testing.T) {
	dir, j := t.TempDir(), &memory{}
	runWith(t, dir, j, func(r *running) {
		if seenEpoch(t, dir) != 1 {
			t.Fatalf("before: epoch %d", seenEpoch(t, dir))
		}
		release := make(chan struct{})
		j.hook(func(notices []failover.Notice) error {
			<-release
			switched := func(n failover.Notice) bool { return n.Event == "failover" }
			if slices.ContainsFunc(notices, switched) && seenEpoch(t, dir) != 1 {
				t.Error("what was seen last is on disk before what is told of it")
			}
			return nil
		})
		r.servers.set(hostPrimary, probe.Refused)
		r.after(2500 * time.Millisecond)
		if s := r.status(); s.Attached != "standby" {
			t.Errorf("the disk held up the failover: %+v", s)
		}
		r.after(time.Minute)
		if got := seenEpoch(t, dir); got != 1 || len(j.has()) != 0 {
			t.Errorf("epoch %d is on disk, and told is %v", got, j.has())
		}
		close(release)
		r.after(time.Second)
		if got := seenEpoch(t, dir); got != 2 || !slices.Contains(j.has(), "failover") {
			t.Errorf("afterwards epoch %d is on disk, and told is %v", got, j.has())
		}
	})
}

// TestDaemonEndsWithAHungDisk: the end waits for it, and not for ever.
func TestDaemonEndsWithAHungDisk(t *testing.T) {
	for name, hangs := range map[string]time.Duration{"for a while": 5 * time.Second, "for long": time.Minute} {
		t.Run(name, func(t *testing.T) {
			dir, j := t.TempDir(), &memory{}
			runWith(t, dir, j, func(r *running) {
				j.hook(func([]failover.Notice) error { <-time.After(hangs); return nil })
				r.servers.set(hostPrimary, probe.Refused)
				r.after(2500 * time.Millisecond)
				began := time.Now()
				r.stop()
				took := time.Since(began)
				if told := strings.Contains(r.log.String(), "does not take what was told last"); told != (hangs > 10*time.Second) || took > 11*time.Second {
					t.Errorf("it took %v:\n%s", took, r.log)
				}
				if hangs < 10*time.Second && (seenEpoch(t, dir) != 2 || !slices.Contains(j.has(), "failover")) {
					t.Errorf("epoch %d is on disk, and told is %v", seenEpoch(t, dir), j.has())
				}
				r.after(2 * hangs)
			})
		})
	}
}

// TestDaemonFullDisk: what a journal cannot keep is said, and the daemon goes on.
func TestDaemonFullDisk(t *testing.T) {
	j := &memory{}
	runWith(t, t.TempDir(), j, func(r *running) {
		j.hook(func([]failover.Notice) error { return errors.New("no space left on device") })
		r.servers.set(hostPrimary, probe.Refused)
		r.after(5 * time.Second)
		if !strings.Contains(r.log.String(), "no space left on device") || !slices.Contains(j.has(), "failover") {
			t.Errorf("kept are %v:\n%s", j.has(), r.log)
		}
	})
}

// TestDaemonSeenIsNotAhead: what the journal has in memory only is not seen on
// disk either, until it is written: who is killed in between tells it again.
func TestDaemonSeenIsNotAhead(t *testing.T) {
	j, dir := &memory{}, t.TempDir()
	runWith(t, dir, j, func(r *running) {
		r.after(5 * time.Second)
		before := seenEpoch(t, dir)
		j.hook(func([]failover.Notice) error { return errors.New("no space left on device") })
		r.servers.set(hostPrimary, probe.Refused)
		r.after(5 * time.Second)
		if got := seenEpoch(t, dir); got != before || !slices.Contains(j.has(), "failover") {
			t.Errorf("seen is epoch %d, was %d; told are %v", got, before, j.has())
		}
		j.hook(nil)
		_ = r.d.Misread(r.ctx, "a mistake", "") // the next that is told
		r.after(5 * time.Second)
		if got := seenEpoch(t, dir); got != before+1 {
			t.Errorf("with room on the disk, seen is epoch %d; want %d", got, before+1)
		}
	})
}

// TestDaemonTooMuchToTell: memory has a bound, the newest are kept, and what is
// dropped is counted.
func TestDaemonTooMuchToTell(t *testing.T) {
	j := &memory{}
	runWith(t, t.TempDir(), j, func(r *running) {
		release := make(chan struct{})
		j.hook(func([]failover.Notice) error { <-release; return nil })
		const more = 5
		for i := range failover.OutgoingMost + more + 1 {
			if err := r.d.Misread(r.ctx, fmt.Sprintf("line %d", i), ""); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				r.after(time.Millisecond) // the first one hangs in the journal
			}
		}
		close(release)
		r.after(time.Second)
		if n := len(j.has()); n != failover.OutgoingMost+1 || !strings.Contains(r.log.String(), fmt.Sprintf("the oldest notices were dropped\" notices=%d", more)) {
			t.Errorf("kept are %d", n)
		}
		if last := j.kept[len(j.kept)-1].Why; last != fmt.Sprintf("line %d", failover.OutgoingMost+more) {
			t.Errorf("the last one is of %q", last)
		}
	})
}

// TestDaemonGoesOn with what an earlier life told: the outage has its key, its
// notice is not told again, and has one end.
func TestDaemonGoesOn(t *testing.T) {
	held := failover.Notice{Key: "orders-db/1.x.held.candidate", Event: "held", Resource: "orders-db", Outage: "orders-db/1.x", Lasts: true, At: time.Now()}
	misread := failover.Notice{Key: "config_not_reloaded", Event: "config_not_reloaded", Lasts: true, At: time.Now()}
	j := &memory{active: []failover.Notice{held, misread}}
	runWith(t, t.TempDir(), j, func(r *running) {
		r.after(5 * time.Second)
		if got := j.has(); !slices.Equal(got, []string{"config_not_reloaded", "recovered"}) || !j.kept[1].Ends(held) {
			t.Errorf("told is %v: %+v", got, j.kept)
		}
	})
}
