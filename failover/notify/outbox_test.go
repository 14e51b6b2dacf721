package notify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reattach/reattach/failover"
)

// inbox is a destination within the test. It answers with what answer returns.
type inbox struct {
	mu     sync.Mutex
	got    []Message
	at     []time.Time
	answer func(Message) error
}

func (i *inbox) Send(ctx context.Context, m Message) error {
	i.mu.Lock()
	i.at = append(i.at, time.Now())
	answer := i.answer
	i.mu.Unlock()
	if answer != nil {
		if err := answer(m); err != nil {
			return err
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.got = append(i.got, m)
	return nil
}

func (i *inbox) answers(f func(Message) error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = f
}

// taken returns what was taken, one line each: the matter, "over" if it is, and
// the keys.
func (i *inbox) taken() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	var lines []string
	for _, m := range i.got {
		line := m.Matter
		if m.Over {
			line += " over"
		}
		for _, n := range m.Notices {
			line += " " + n.Key
			if n.Over {
				line += "!"
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// messages returns what was taken.
func (i *inbox) messages() []Message {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.got)
}

func (i *inbox) tries() []time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.at)
}

// hang accepts and never answers.
type hang struct{}

func (hang) Send(ctx context.Context, _ Message) error { <-ctx.Done(); return ctx.Err() }

func box(t testing.TB, path string) *Outbox {
	t.Helper()
	o, err := Open(path, Options{Observer: "a"})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// running opens an outbox and runs it until stop is called, or the test ends.
func running(t testing.TB, path string, r Routing) (o *Outbox, stop func()) {
	t.Helper()
	o = box(t, path)
	o.Configure(r)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ended, o.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return o, stop
}

func file(t testing.TB) string { return filepath.Join(t.TempDir(), "notices.db") }

// to routes everything about the resources r0 … r99, and about none, to destinations.
func to(ds ...Destination) Routing {
	r := Routing{Destinations: ds, Routes: map[string][]string{}, Runbook: "https://example.test/runbook"}
	var names []string
	for _, d := range ds {
		names = append(names, d.Name)
	}
	r.Routes[""] = names
	for i := range 100 {
		r.Routes[fmt.Sprintf("r%d", i)] = names
	}
	return r
}

func dest(name string, s Sender) Destination {
	return Destination{Name: name, Kind: "exec", Sender: s, Resolve: true, Timeout: 5 * time.Second}
}

// held is a notice of a switch of a resource that is held back, in its outage.
func held(resource string) failover.Notice {
	return failover.Notice{Key: resource + "/1.1.held.damping", Event: "held", Urgent: true, Resource: resource, Outage: resource + "/1.1", Lasts: true,
		Text: resource + ": failover is held.", At: time.Now()}
}

// recovered ends the outage that held tells of.
func recovered(resource string) failover.Notice {
	return failover.Notice{Key: resource + "/1.1.recovered", Event: "recovered", Resource: resource, Outage: resource + "/1.1", Over: true,
		Text: resource + ": protected again.", At: time.Now()}
}

func moved(resource string, epoch int) failover.Notice {
	return failover.Notice{Key: fmt.Sprintf("%s/%d.switchover", resource, epoch), Event: "switchover", Resource: resource, Text: resource + ": moved.", At: time.Now()}
}

func keep(t testing.TB, o *Outbox, notices ...failover.Notice) {
	t.Helper()
	if err := o.Keep(notices); err != nil {
		t.Error(err)
	}
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (- wanted, + got)\n%s", what, d)
	}
}

// states are the states of all deliveries, by notice.
func states(t *testing.T, o *Outbox) (all []string) {
	t.Helper()
	told, err := o.Events(0, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range told {
		line := fmt.Sprintf("%d %s", n.Seq, n.Key)
		for _, d := range n.Deliveries {
			line += " " + d.Notifier + ":" + d.State
			if d.Error != "" {
				line += "(" + d.Error + ")"
			}
		}
		all = append(all, line)
	}
	return all
}

// matters is how many are known.
func matters(o *Outbox) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.matters)
}

// TestTold: the first notice of a quiet time goes at once, its end too, and both
// are found again.
func TestTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{}
		o, _ := running(t, file(t), to(dest("ops", in)))
		synctest.Wait()
		start := time.Now()
		keep(t, o, held("r1"))
		synctest.Wait()
		diff(t, "taken", []string{"r1/1.1 r1/1.1.held.damping"}, in.taken())
		if took := time.Since(start); took != 0 {
			t.Errorf("it went after %v", took)
		}
		diff(t, "active", 1, len(o.Active()))
		time.Sleep(time.Minute)
		keep(t, o, recovered("r1"))
		synctest.Wait()
		diff(t, "taken", []string{"r1/1.1 r1/1.1.held.damping", "r1/1.1 over r1/1.1.recovered!"}, in.taken())
		diff(t, "states", []string{"1 r1/1.1.held.damping ops:sent", "2 r1/1.1.recovered ops:sent"}, states(t, o))
		diff(t, "active", 0, len(o.Active()))
		diff(t, "matters", 0, matters(o))
		s := o.Notifiers()[0]
		if s.Sent != 2 || s.Pending != 0 || s.Dead != 0 || s.LastOK.IsZero() || s.Error != "" || s.Kind != "exec" {
			t.Errorf("%+v", s)
		}
	})
}

// TestWhoIsTold: by resource, severity and kind; and the end goes to those, and
// only those, who were told of the beginning.
func TestWhoIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, urgent, some, silent, other, suspects := &inbox{}, &inbox{}, &inbox{}, &inbox{}, &inbox{}, &inbox{}
		r := to(dest("all", all), dest("urgent", urgent), dest("some", some), dest("silent", silent), dest("other", other), dest("suspects", suspects))
		r.Destinations[1].Severity = failover.Critical
		r.Destinations[2].Events = []string{"switchover"}
		r.Destinations[3].Resolve = false
		r.Destinations[5].Events = []string{"suspect"}
		for i := range 100 {
			name := fmt.Sprintf("r%d", i)
			r.Routes[name] = slices.DeleteFunc(slices.Clone(r.Routes[name]), func(d string) bool { return d == "other" })
		}
		o, _ := running(t, file(t), r)
		calm := held("r2")
		calm.Urgent = false
		suspect := failover.Notice{Key: "r1/1.suspect", Event: "suspect", Resource: "r1", At: time.Now()}
		lost := failover.Notice{Key: "store_lost", Event: "store_lost", At: time.Now(), Lasts: true}
		unrouted := held("nobody")
		for _, n := range []failover.Notice{suspect, held("r1"), calm, moved("r3", 2), lost, unrouted} {
			keep(t, o, n)
			time.Sleep(time.Second)
		}
		lost.Over = true
		keep(t, o, recovered("r1"), recovered("r2"), recovered("nobody"), lost)
		time.Sleep(time.Minute)
		h1, h2, s3, l := "r1/1.1 r1/1.1.held.damping", "r2/1.1 r2/1.1.held.damping", "r3/2.switchover r3/2.switchover", "store_lost store_lost"
		e1, e2, el := "r1/1.1 over r1/1.1.recovered!", "r2/1.1 over r2/1.1.recovered!", "store_lost over store_lost!"
		diff(t, "all", []string{h1, h2, s3, l, e1, e2, el}, all.taken())
		diff(t, "urgent", []string{h1, l, e1, el}, urgent.taken())
		diff(t, "some", []string{s3}, some.taken())
		diff(t, "silent", []string{h1, h2, s3, l}, silent.taken())
		diff(t, "other", []string{l, el}, other.taken())
		diff(t, "suspects", []string{"r1/1.suspect r1/1.suspect"}, suspects.taken())
		diff(t, "matters", 0, matters(o))
	})
}

// TestDown: a destination that was down is told of what began and ended
// meanwhile, in order, and soon after it is back.
func TestDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{answer: func(Message) error { return errors.New("down") }}
		well := &inbox{}
		o, _ := running(t, file(t), to(dest("ops", in), dest("well", well), dest("hung", hang{})))
		keep(t, o, held("r1"))
		synctest.Wait()
		keep(t, o, recovered("r1"))
		time.Sleep(20 * time.Minute)
		diff(t, "taken by the other", 2, len(well.taken()))
		diff(t, "states", []string{
			"1 r1/1.1.held.damping ops:pending(down) well:sent hung:pending(context deadline exceeded)",
			"2 r1/1.1.recovered hung:pending ops:pending well:sent",
		}, states(t, o))
		tries := in.tries()
		for i := range tries[1:] {
			gap := tries[i+1].Sub(tries[i])
			if i == 0 && gap > 2*time.Second || gap > 5*time.Minute {
				t.Errorf("try %d came after %v", i+1, gap)
			}
		}
		if len(tries) < 8 || len(tries) > 14 {
			t.Errorf("%d tries in 20 minutes", len(tries))
		}
		s := o.Notifiers()[1]
		if s.Name != "ops" || s.Pending != 2 || s.Error != "down" || time.Since(s.Oldest) != 20*time.Minute {
			t.Errorf("%+v", s)
		}
		in.answers(nil)
		time.Sleep(5 * time.Minute)
		diff(t, "taken", []string{"r1/1.1 r1/1.1.held.damping", "r1/1.1 over r1/1.1.recovered!"}, in.taken())
	})
}

// TestConfigureTriesNow: who mends a destination and reloads does not wait.
func TestConfigureTriesNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{}
		o, _ := running(t, file(t), to(dest("ops", &inbox{answer: func(Message) error { return errors.New("down") }})))
		keep(t, o, held("r1"))
		time.Sleep(time.Hour + time.Second)
		o.Configure(to(dest("ops", in)))
		synctest.Wait()
		diff(t, "taken", 1, len(in.taken()))
	})
}

// TestGivenUp: what is refused is dead at once, with its error; what cannot be
// delivered for a day, then. Neither keeps back what follows.
func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		picky := &inbox{answer: func(m Message) error {
			if strings.HasPrefix(m.Matter, "r1/") {
				return Permanent(errors.New("no such thing"))
			}
			return nil
		}}
		poisoned := &inbox{answer: func(m Message) error {
			if strings.HasPrefix(m.Matter, "r1/") {
				return errors.New("oh")
			}
			return nil
		}}
		broken := &inbox{answer: func(m Message) error { panic("nil map") }}
		o, stop := running(t, file(t), to(dest("picky", picky), dest("poisoned", poisoned), dest("broken", broken)))
		keep(t, o, held("r1"), held("r2"))
		time.Sleep(5 * time.Second)
		diff(t, "picky", []string{"r2/1.1 r2/1.1.held.damping"}, picky.taken())
		diff(t, "poisoned", []string{"r2/1.1 r2/1.1.held.damping"}, poisoned.taken())
		time.Sleep(23 * time.Hour)
		keep(t, o, held("r3")) // which goes on
		keep(t, o, recovered("r1"))
		time.Sleep(time.Hour + 10*time.Minute)
		want := []string{
			"1 r1/1.1.held.damping picky:dead(no such thing) poisoned:dead(oh) broken:dead(the notifier broke: nil map)",
			"2 r2/1.1.held.damping picky:sent poisoned:sent broken:dead(the notifier broke: nil map)",
			"3 r3/1.1.held.damping picky:sent poisoned:sent broken:dead(the notifier broke: nil map)",
			"4 r1/1.1.recovered poisoned:dead(its beginning was given up)", // the others knew already
		}
		diff(t, "states", want, states(t, o))
		stop()
		o = box(t, o.disk.path)
		defer func() { _ = o.Close() }()
		o.Configure(to(dest("picky", picky)))
		diff(t, "states after a restart", want, states(t, o))
		diff(t, "dead after a restart", 1, o.Notifiers()[0].Dead)
		diff(t, "pending", 0, o.Notifiers()[0].Pending)
	})
}

// after is an error that asks for patience.
type patience struct{ error }

func (patience) RetryAfter() time.Duration { return 7 * time.Minute }

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{answer: func(Message) error { return fmt.Errorf("no: %w", patience{errors.New("busy")}) }}
		o, _ := running(t, file(t), to(dest("ops", in)))
		keep(t, o, held("r1"))
		time.Sleep(8 * time.Minute)
		tries := in.tries()
		if len(tries) != 2 || tries[1].Sub(tries[0]) != 7*time.Minute {
			t.Errorf("tries at %v", tries)
		}
	})
}

// TestRestart: what was not delivered in one life is in the next, and what lasts
// is known there.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := file(t)
		o, stop := running(t, path, to(dest("ops", &inbox{answer: func(Message) error { return errors.New("down") }}), dest("gone", hang{})))
		keep(t, o, held("r1"), moved("r2", 3))
		time.Sleep(time.Minute)
		keep(t, o, recovered("r1"), held("r3"))
		before := o.Active()
		stop()
		in := &inbox{}
		o, _ = running(t, path, to(dest("ops", in)))
		if d := cmp.Diff(before, o.Active()); d != "" || len(before) != 1 {
			t.Errorf("%d were active, then %s", len(before), d)
		}
		time.Sleep(time.Second)
		diff(t, "taken", []string{"r1/1.1 r1/1.1.held.damping", "r2/3.switchover r2/3.switchover", "r1/1.1 over r1/1.1.recovered!", "r3/1.1 r3/1.1.held.damping"}, in.taken())
		time.Sleep(25 * time.Hour)
		diff(t, "of who is not configured any more", true, strings.HasSuffix(states(t, o)[0], "gone:dead(the notifier is not configured any more)"))
	})
}

// TestDoubles: the same again is told to nobody twice; a reminder, one that has
// become urgent, or one that begins anew is.
func TestDoubles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, late := &inbox{}, &inbox{}
		o, _ := running(t, file(t), to(dest("ops", in)))
		n := held("r1")
		n.Urgent = false
		again := func(hours int) {
			time.Sleep(time.Duration(hours) * time.Hour)
			n.At = time.Now()
			keep(t, o, n, moved("r2", 5))
			time.Sleep(time.Second)
		}
		again(0)
		again(1)
		again(10)
		h, s := "r1/1.1 r1/1.1.held.damping", "r2/5.switchover r2/5.switchover"
		diff(t, "taken", []string{h, s}, in.taken())
		again(2)
		diff(t, "with a reminder", []string{h, s, h}, in.taken())
		n.Urgent = true
		again(1)
		diff(t, "when urgent", []string{h, s, h, h}, in.taken())
		o.Configure(to(dest("ops", in), dest("late", late)))
		again(1)
		diff(t, "who came later", []string{h, s}, late.taken())
		diff(t, "who was there", 4, len(in.taken()))
		diff(t, "active", 1, len(o.Active()))
		keep(t, o, recovered("r1"))
		again(1)
		diff(t, "anew", []string{"r1/1.1 over r1/1.1.recovered!", h}, in.taken()[4:])
	})
}

// TestAcknowledged: people are told that it is over, and it is still known to last.
func TestAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{}
		path := file(t)
		o, stop := running(t, path, to(dest("ops", in)))
		n := held("r1")
		keep(t, o, n)
		time.Sleep(time.Second)
		acked := n
		acked.Key, acked.Over, acked.Acked, acked.Lasts = n.Outage+".acked", true, true, false
		keep(t, o, acked)
		time.Sleep(time.Second)
		want := []string{"r1/1.1 r1/1.1.held.damping", "r1/1.1 over r1/1.1.acked!"}
		diff(t, "taken", want, in.taken())
		stop()
		o, _ = running(t, path, to(dest("ops", in)))
		if a := o.Active(); len(a) != 1 || !a[0].Acked {
			t.Errorf("active: %+v", a)
		}
		n.At = time.Now()
		keep(t, o, n, recovered("r1"))
		time.Sleep(time.Second)
		diff(t, "taken", want, in.taken())
		diff(t, "active", 0, len(o.Active()))
	})
}

func TestTest(t *testing.T) {
	in := &inbox{}
	o := box(t, file(t))
	defer func() { _ = o.Close() }()
	o.Configure(to(dest("ops", in), dest("bad", &inbox{answer: func(Message) error { return os.ErrPermission }})))
	if err := o.Test(t.Context(), "ops"); err != nil {
		t.Error(err)
	}
	if err := o.Test(t.Context(), "bad"); !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
	if err := o.Test(t.Context(), "nobody"); !errors.Is(err, ErrUnknownName) {
		t.Error(err)
	}
	if m := in.got[0]; m.Notices[0].Event != "test" || m.Notices[0].Observer != "a" || m.Runbook == "" || m.Over {
		t.Errorf("%+v", m)
	}
	diff(t, "kept", 0, len(states(t, o)))
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := box(t, file(t))
		defer func() { _ = o.Close() }()
		done := make(chan error)
		go func() { done <- o.Wait(context.Background(), 1) }()
		keep(t, o, moved("r1", 1))
		synctest.Wait()
		select {
		case <-done:
			t.Error("it did not wait for a second one")
		default:
		}
		keep(t, o, moved("r1", 2))
		if err := <-done; err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := o.Wait(ctx, 2); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := o.Wait(ctx, 0); err != nil {
			t.Error(err)
		}
	})
}

func TestEvents(t *testing.T) {
	o := box(t, file(t))
	defer func() { _ = o.Close() }()
	for i := range 10 {
		keep(t, o, moved(fmt.Sprintf("r%d", i%2), i))
	}
	for _, tt := range []struct {
		after    uint64
		resource string
		limit    int
		want     []uint64
	}{
		{0, "", 3, []uint64{8, 9, 10}}, {0, "", 100, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}, {3, "", 2, []uint64{4, 5}}, {10, "", 2, nil},
		{0, "r0", 2, []uint64{7, 9}}, {2, "r1", 2, []uint64{4, 6}}, {0, "none", 5, nil}, {99, "", 5, nil},
	} {
		told, err := o.Events(tt.after, tt.resource, tt.limit)
		if err != nil {
			t.Error(err)
		}
		var got []uint64
		for _, n := range told {
			got = append(got, n.Seq)
		}
		diff(t, fmt.Sprintf("%+v", tt), tt.want, got)
	}
}

// TestEnd: Run ends soon, though a destination hangs and would for long.
func TestEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dest("ops", hang{})
		d.Timeout = time.Hour
		o, stop := running(t, file(t), to(d))
		keep(t, o, held("r1"))
		synctest.Wait()
		start := time.Now()
		stop()
		if took := time.Since(start); took > grace {
			t.Errorf("it took %v", took)
		}
	})
}

// TestEndsTwo: one notice may end two matters, each by its own name; it is sent
// when both were.
func TestEndsTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{}
		o, _ := running(t, file(t), to(dest("ops", in)))
		found := moved("r1", 2) // without its outage, which nobody remembered
		found.Lasts = true
		keep(t, o, held("r1"), found)
		time.Sleep(2 * time.Second)
		in.answers(func(m Message) error {
			if m.Matter == found.Key {
				return errors.New("down")
			}
			return nil
		})
		end := recovered("r1")
		end.Key = found.Key
		keep(t, o, end)
		time.Sleep(5 * time.Second)
		diff(t, "states", "3 r1/2.switchover ops:pending(down)", states(t, o)[2])
		in.answers(nil)
		time.Sleep(time.Minute)
		diff(t, "taken", []string{"r1/1.1 over r1/2.switchover!", "r1/2.switchover over r1/2.switchover!"}, in.taken()[2:])
		diff(t, "states", "3 r1/2.switchover ops:sent", states(t, o)[2])
		diff(t, "matters", 0, matters(o))
		diff(t, "active", 0, len(o.Active()))
	})
}
