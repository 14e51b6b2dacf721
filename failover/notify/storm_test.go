package notify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reattach/reattach/failover"
)

// all returns what make makes of the resources r<from> … r<to-1>.
func all(from, to int, make func(string) failover.Notice) (ns []failover.Notice) {
	for i := from; i < to; i++ {
		ns = append(ns, make(fmt.Sprintf("r%d", i)))
	}
	return ns
}

// short is taken, with how many notices there are instead of which.
func short(lines []string) (all []string) {
	for _, l := range lines {
		words := strings.Fields(l)
		n := len(words) - 1
		if n > 0 && words[1] == "over" {
			words[0], n = words[0]+" over", n-1
		}
		all = append(all, fmt.Sprintf("%s ×%d", words[0], n))
	}
	return all
}

// TestStorm: more than five matters at once are one message; its end comes when
// the last of them is over, and is one.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{}
		o, _ := running(t, file(t), to(dest("ops", in)))
		keep(t, o, all(0, 40, held)...)
		synctest.Wait()
		diff(t, "taken", []string{"storm/r0/1.1 ×40"}, short(in.taken()))
		keep(t, o, all(0, 39, recovered)...)
		time.Sleep(time.Hour)
		diff(t, "before all are over", 1, len(in.taken()))
		diff(t, "pending", 0, o.Notifiers()[0].Pending)
		diff(t, "state", "waiting", func() string { e, _ := o.Events(0, "r7", 1); return e[0].Deliveries[0].State }())
		keep(t, o, recovered("r39"))
		synctest.Wait()
		diff(t, "taken", []string{"storm/r0/1.1 ×40", "storm/r0/1.1 over ×40"}, short(in.taken()))
		diff(t, "matters", 0, matters(o))
		for _, s := range states(t, o) {
			if !strings.HasSuffix(s, "ops:sent") {
				t.Error(s)
			}
		}
		keep(t, o, held("r0")) // afterwards it is told by itself
		time.Sleep(time.Second)
		diff(t, "taken anew", "r0/1.1 ×1", short(in.taken())[2])
	})
}

// TestGather: the first goes at once; what follows within half a second goes
// together with more.
func TestGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{}
		o, _ := running(t, file(t), to(dest("ops", in)))
		synctest.Wait()
		start := time.Now()
		for i := range 10 {
			keep(t, o, held(fmt.Sprintf("r%d", i)))
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(time.Second)
		diff(t, "taken", []string{"r0/1.1 ×1", "storm/r1/1.1 ×9"}, short(in.taken()))
		tries := in.tries()
		diff(t, "first after", time.Duration(0), tries[0].Sub(start))
		diff(t, "second after", 520*time.Millisecond, tries[1].Sub(start))
		keep(t, o, all(0, 10, recovered)...)
		time.Sleep(time.Second)
		diff(t, "ends", []string{"r0/1.1 over ×1", "storm/r1/1.1 over ×9"}, short(in.taken())[2:])
	})
}

// TestFive: as many as five are told one by one; six are a storm.
func TestFive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{}
		o, _ := running(t, file(t), to(dest("ops", in)))
		keep(t, o, all(0, 5, held)...)
		time.Sleep(time.Second)
		diff(t, "taken", []string{"r0/1.1 ×1", "r1/1.1 ×1", "r2/1.1 ×1", "r3/1.1 ×1", "r4/1.1 ×1"}, short(in.taken()))
		time.Sleep(time.Second)
		keep(t, o, all(5, 11, held)...)
		time.Sleep(time.Second)
		diff(t, "six", []string{"storm/r5/1.1 ×6"}, short(in.taken())[5:])
	})
}

// TestStormGoesOn: what is told later of its members goes by the storm's name, a
// member that begins anew joins it again, and what lasts not needs no end.
func TestStormGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{}
		o, _ := running(t, file(t), to(dest("ops", in)))
		keep(t, o, append(all(0, 6, held), moved("r9", 1))...)
		time.Sleep(time.Second)
		switched := func(r string) failover.Notice {
			n := held(r)
			n.Key, n.Event = r+"/2.failover", "failover"
			return n
		}
		keep(t, o, all(0, 3, switched)...)
		time.Sleep(time.Second)
		keep(t, o, all(0, 5, recovered)...)
		time.Sleep(time.Second)
		anew := held("r0")
		keep(t, o, anew)
		time.Sleep(time.Second)
		keep(t, o, recovered("r5"))
		time.Sleep(time.Second)
		keep(t, o, recovered("r0"))
		time.Sleep(time.Second)
		diff(t, "taken", []string{"storm/r0/1.1 ×7", "storm/r0/1.1 ×3", "storm/r0/1.1 ×1", "storm/r0/1.1 over ×7"}, short(in.taken()))
		keep(t, o, all(20, 27, func(r string) failover.Notice { return moved(r, 1) })...)
		time.Sleep(time.Second)
		diff(t, "of what does not last", "storm/r20/1.switchover ×7", short(in.taken())[4])
		o.mu.Lock()
		defer o.mu.Unlock()
		if q := o.queue("ops"); len(q.storms) != 0 || len(o.matters) != 0 || len(o.live) != 0 {
			t.Errorf("left: %d storms, %d matters, %d records", len(q.storms), len(o.matters), len(o.live))
		}
	})
}

// TestStormWhileDown: a destination that was down while forty began and half of
// them ended is told in a few messages, also after a restart; and who is killed
// in between tells by the same names.
func TestStormWhileDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := file(t)
		var mu sync.Mutex
		var names []string
		o, stop := running(t, path, to(dest("ops", &inbox{answer: func(m Message) error {
			mu.Lock()
			defer mu.Unlock()
			if !slices.Contains(names, m.Matter) {
				names = append(names, m.Matter)
			}
			return errors.New("down")
		}})))
		keep(t, o, held("r0"))
		time.Sleep(time.Second)
		keep(t, o, all(1, 40, held)...)
		keep(t, o, all(0, 20, recovered)...)
		time.Sleep(time.Hour)
		stop()
		diff(t, "names", []string{"r0/1.1", "storm/r1/1.1"}, names)
		in := &inbox{}
		o, _ = running(t, path, to(dest("ops", in)))
		time.Sleep(time.Minute)
		diff(t, "taken", []string{"r0/1.1 ×1", "storm/r1/1.1 ×39", "r0/1.1 over ×1"}, short(in.taken()))
		keep(t, o, all(20, 40, recovered)...)
		time.Sleep(time.Minute)
		diff(t, "end", []string{"storm/r1/1.1 over ×39"}, short(in.taken())[3:])
	})
}

// TestStormAcrossRestart: a storm's end is one after a restart, too.
func TestStormAcrossRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path, in := file(t), &inbox{}
		o, stop := running(t, path, to(dest("ops", in)))
		keep(t, o, all(0, 8, held)...)
		time.Sleep(time.Second)
		keep(t, o, all(0, 4, recovered)...)
		time.Sleep(time.Second)
		stop()
		o, _ = running(t, path, to(dest("ops", in)))
		keep(t, o, all(4, 8, recovered)...)
		time.Sleep(time.Second)
		diff(t, "taken", []string{"storm/r0/1.1 ×8", "storm/r0/1.1 over ×8"}, short(in.taken()))
		diff(t, "matters", 0, matters(o))
	})
}

// TestStormWithoutEnd: who is not told of ends leaves no storm behind.
func TestStormWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{}
		d := dest("ops", in)
		d.Resolve = false
		o, _ := running(t, file(t), to(d))
		keep(t, o, all(0, 8, held)...)
		time.Sleep(time.Second)
		keep(t, o, all(0, 8, recovered)...)
		time.Sleep(time.Second)
		diff(t, "taken", []string{"storm/r0/1.1 ×8"}, short(in.taken()))
		o.mu.Lock()
		defer o.mu.Unlock()
		if q := o.queue("ops"); len(q.storms) != 0 || len(o.matters) != 0 {
			t.Errorf("left: %d storms, %d matters", len(q.storms), len(o.matters))
		}
	})
}

// keeper is a destination that takes many at once, and forgets.
type keeper struct {
	inbox
	mu      sync.Mutex
	batches []int
}

func (k *keeper) SendAll(ctx context.Context, ms []Message) error {
	k.mu.Lock()
	k.batches = append(k.batches, len(ms))
	k.mu.Unlock()
	for _, m := range ms {
		if err := k.Send(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (k *keeper) sizes() []int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.batches)
}

type reminder struct{ keeper }

func (*reminder) Every() time.Duration { return time.Minute }

// TestBatcher gets many matters at once, each under its own name; one that it
// refuses takes no other with it.
func TestBatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		k.answer = func(m Message) error {
			if m.Matter == "r7/1.1" {
				return Permanent(errors.New("not this one"))
			}
			return nil
		}
		o, _ := running(t, file(t), to(dest("am", k)))
		keep(t, o, all(0, 7, held)...)
		time.Sleep(time.Second)
		diff(t, "batches", []int{7}, k.sizes())
		diff(t, "taken", "r3/1.1 r3/1.1.held.damping", k.taken()[3])
		keep(t, o, all(7, 9, held)...)
		time.Sleep(time.Second)
		diff(t, "states", []string{"8 r7/1.1.held.damping am:dead(not this one)", "9 r8/1.1.held.damping am:sent"}, states(t, o)[7:])
		keep(t, o, all(0, 9, recovered)...)
		time.Sleep(time.Second)
		diff(t, "matters", 0, matters(o))
	})
}

// TestResender is handed what lasts each minute, also after a restart, and what
// is over or was acknowledged no more.
func TestResender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path, r, once := file(t), &reminder{}, &inbox{}
		routing := to(dest("am", r), dest("once", once))
		o, stop := running(t, path, routing)
		keep(t, o, held("r1"), held("r2"), held("r3"), moved("r4", 1))
		time.Sleep(30 * time.Second)
		diff(t, "batches", []int{4}, r.sizes())
		time.Sleep(2 * time.Minute)
		diff(t, "batches", []int{4, 3, 3}, r.sizes())
		acked := recovered("r2")
		acked.Acked = true
		keep(t, o, recovered("r1"), acked)
		time.Sleep(time.Minute)
		diff(t, "batches", []int{4, 3, 3, 2, 1}, r.sizes())
		more := held("r2") // of the outage that was acknowledged
		more.Key = "r2/1.1.would"
		keep(t, o, more)
		time.Sleep(time.Minute)
		diff(t, "taken", []string{"r2/1.1 r2/1.1.would", "r3/1.1 r3/1.1.held.damping", "r2/1.1 r2/1.1.would"}, r.taken()[13:])
		keep(t, o, recovered("r2"))
		time.Sleep(time.Second)
		stop()
		before := len(r.sizes())
		_, stop = running(t, path, routing)
		time.Sleep(time.Second)
		diff(t, "batches after a restart", []int{1}, r.sizes()[before:])
		diff(t, "taken", "r3/1.1 r3/1.1.held.damping", r.taken()[len(r.taken())-1])
		r.answers(func(Message) error { return errors.New("down") })
		time.Sleep(time.Minute)
		stop()
		diff(t, "who is told once", 4+2+2, len(once.taken()))
	})
}

// TestSameName: who is killed while he tells has written down by what name, so
// the next life does not tell the same by another one.
func TestSameName(t *testing.T) {
	for _, tt := range []struct {
		first int // matters that are being told when the kill comes; as many follow
		want  []string
	}{
		{1, []string{"r0/1.1 ×1", "storm/r1/1.1 ×8"}},
		{7, []string{"storm/r0/1.1 ×7", "storm/r7/1.1 ×8"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			path, killed := file(t), file(t)
			o, _ := running(t, path, to(dest("ops", hang{})))
			keep(t, o, all(0, tt.first, held)...)
			synctest.Wait()
			text, err := os.ReadFile(path) // what a kill would leave now
			if err := errors.Join(err, os.WriteFile(killed, text, 0o600)); err != nil {
				t.Fatal(err)
			}
			in := &inbox{}
			second := box(t, killed)
			second.Configure(to(dest("ops", in)))
			keep(t, second, all(tt.first, tt.first+8, held)...)
			if err := second.Close(); err != nil {
				t.Fatal(err)
			}
			running(t, killed, to(dest("ops", in)))
			time.Sleep(time.Second)
			diff(t, "taken", tt.want, short(in.taken()))
		})
	}
}
