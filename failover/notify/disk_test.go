package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/boltfile"
)

// TestDamaged: a file that cannot be used is set aside, loudly, and telling goes
// on; no number comes again.
func TestDamaged(t *testing.T) {
	whole := file(t)
	o := box(t, whole)
	keep(t, o, all(0, 90, held)...)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	spoilt := bytes.Clone(text)
	for i := bytes.LastIndex(spoilt, []byte(`"seq":50`)); i >= 0; i = bytes.LastIndex(spoilt, []byte(`"seq":50`)) {
		copy(spoilt[i:], `"seq":xx`)
	}
	for name, content := range map[string][]byte{
		"short": []byte("no outbox"), "long": bytes.Repeat([]byte("no outbox "), 10000), "cut": text[:len(text)/2], "record": spoilt,
	} {
		t.Run(name, func(t *testing.T) {
			path, log := file(t), &bytes.Buffer{}
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			o, err := Open(path, Options{Log: slog.New(slog.NewTextHandler(log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = o.Close() }()
			keep(t, o, held("r1"))
			told, err := o.Events(0, "", 10)
			if err != nil || len(told) != 1 || told[0].Seq <= 90 || len(o.Active()) != 1 {
				t.Errorf("%+v, %v", told, err)
			}
			aside, _ := filepath.Glob(path + ".damaged-*")
			if len(aside) != 1 || !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), aside[0]) {
				t.Errorf("aside: %v; log: %s", aside, log)
			}
			if kept, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(kept, content) {
				t.Errorf("what was set aside is not what there was: %v", err)
			}
		})
	}
}

func TestLocked(t *testing.T) {
	path := file(t)
	o := box(t, path)
	defer func() { _ = o.Close() }()
	if _, err := Open(path, Options{}); !errors.Is(err, boltfile.ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
	if aside, _ := filepath.Glob(path + ".*"); len(aside) != 0 {
		t.Errorf("set aside: %v", aside)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none", "x.db"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestMode: only the daemon reads what is kept.
func TestMode(t *testing.T) {
	path := file(t)
	o := box(t, path)
	defer func() { _ = o.Close() }()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// small returns a real file system with room for little, which fill fills.
func small(t *testing.T) (dir string, fill func() (empty func())) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("this user may not mount a small file system (TestFull fills a file instead): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(dir, "filler")
	return dir, func() func() {
		if err := os.WriteFile(filler, make([]byte, 8<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		return func() {
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestFullDisk fills a real file system: what it does not take is shown and handed
// on, and written once there is room.
func TestFullDisk(t *testing.T) {
	dir, fill := small(t)
	path, in := filepath.Join(dir, "notices.db"), &inbox{}
	o, stop := running(t, path, to(dest("ops", in)))
	keep(t, o, held("r0"))
	empty := fill()
	want, failed := 1, 0
	for i := 1; i < 90; i++ {
		n := held(fmt.Sprintf("r%d", i))
		n.Text = strings.Repeat("long ", 400)
		if err := o.Keep([]failover.Notice{n}); errors.Is(err, ErrUnwritten) && errors.Is(err, syscall.ENOSPC) {
			failed++
		} else if err != nil {
			t.Fatal(err)
		}
		want++
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for o.Notifiers()[0].Pending > 0 {
		<-tick.C
	}
	events, err := o.Events(0, "", 1000)
	if err != nil || len(events) != want || failed == 0 {
		t.Errorf("%d of %d are shown, %d were refused: %v", len(events), want, failed, err)
	}
	empty()
	o.lookAround(time.Now())
	stop()
	o = box(t, path)
	defer func() { _ = o.Close() }()
	events, err = o.Events(0, "", 1000)
	if err != nil || len(events) != want || len(o.Active()) != want {
		t.Errorf("%d of %d were written, %d are active: %v", len(events), want, len(o.Active()), err)
	}
	for _, s := range states(t, o) {
		if !strings.HasSuffix(s, "ops:sent") {
			t.Error(s)
		}
	}
	t.Logf("%d notices were refused by the disk", failed)
}

// TestFullFromTheStart: a full disk keeps no daemon from starting, and nobody from
// being told.
func TestFullFromTheStart(t *testing.T) {
	dir, fill := small(t)
	old := filepath.Join(dir, "old.db")
	o := box(t, old)
	keep(t, o, held("r0"))
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	empty := fill()
	for before, path := range []string{filepath.Join(dir, "new.db"), old} {
		in := &inbox{}
		o, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "active", before, len(o.Active()))
		o.Configure(to(dest("ops", in)))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- o.Run(ctx) }()
		n := held("r1")
		n.Text = strings.Repeat("long ", 20000) // more than an old file has free
		if err := o.Keep([]failover.Notice{n}); !errors.Is(err, ErrUnwritten) {
			t.Error(err)
		}
		tick := time.NewTicker(5 * time.Millisecond)
		for o.Notifiers()[0].Sent == 0 {
			<-tick.C
		}
		tick.Stop()
		cancel()
		<-ended
		diff(t, "shown", before+1, len(states(t, o)))
		if before == 0 {
			_ = o.Close() // what it held is lost, as it says
			continue
		}
		empty()
		if err := o.Close(); err != nil {
			t.Error(err)
		}
		o = box(t, path)
		diff(t, "written", 2, len(o.Active()))
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestNumbers: no number comes twice, however the earlier life ended.
func TestNumbers(t *testing.T) {
	path := file(t)
	o := box(t, path)
	keep(t, o, held("r1"))
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	o = box(t, path)
	keep(t, o, held("r2"))
	if o.seq != 2 {
		t.Errorf("after a good end, the next number is %d", o.seq)
	}
	if err := o.disk.db.Close(); err != nil { // as a kill does
		t.Fatal(err)
	}
	o.seq += 300 // given, and lost with the memory
	lost := o.seq
	o = box(t, path)
	defer func() { _ = o.Close() }()
	keep(t, o, held("r3"))
	if o.seq <= lost {
		t.Errorf("%d was given before", o.seq)
	}
}

// TestTrim: the newest notices are kept, and what is on its way, however old.
func TestTrim(t *testing.T) {
	if testing.Short() {
		t.Skip("ten thousand notices")
	}
	path := file(t)
	o := box(t, path)
	down := to(dest("ops", &inbox{}))
	o.Configure(down)
	keep(t, o, held("r1"), held("r2"))
	o.Configure(Routing{})
	for i := range 52 {
		var ns []failover.Notice
		for j := range 200 {
			ns = append(ns, moved("r3", i*200+j))
		}
		keep(t, o, ns...)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	o = box(t, path)
	defer func() { _ = o.Close() }()
	o.Configure(down)
	told, err := o.Events(1, "", 100000)
	if err != nil {
		t.Fatal(err)
	}
	if len(told) < kept-1 || len(told) > kept+surplus || o.count != len(told)+1 {
		t.Errorf("%d are kept, %d are counted", len(told), o.count)
	}
	if told[0].Key != "r2/1.1.held.damping" || told[1].Seq < 200 || told[len(told)-1].Seq != 2+52*200 || o.Notifiers()[0].Pending != 2 {
		t.Errorf("the first are %v and %v, the last is %v", told[0], told[1].Seq, told[len(told)-1].Seq)
	}
	if len(o.keys) > kept+surplus {
		t.Errorf("%d keys", len(o.keys))
	}
}

// BenchmarkKeep is how long the daemon waits for its journal: it must be the same
// whether destinations hang or not.
func BenchmarkKeep(b *testing.B) {
	for _, bb := range []struct {
		name string
		to   []Destination
	}{
		{"nobody", nil},
		{"well", []Destination{dest("a", &inbox{}), dest("b", &inbox{}), dest("c", &inbox{})}},
		{"hanging", []Destination{dest("a", hang{}), dest("b", hang{}), dest("c", hang{})}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			o, stop := running(b, file(b), to(bb.to...))
			defer stop()
			i := 0
			for b.Loop() {
				keep(b, o, moved(fmt.Sprintf("r%d", i%100), i))
				i++
			}
		})
	}
}
