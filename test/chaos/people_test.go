package chaos

import (
	"fmt"
	"testing"
	"time"

	"github.com/reattach/reattach/test/daemon"
)

// TestPausedInMidBallot: whoever pauses while a ballot is open is obeyed, on any
// observer, and by Consul's own key. What was wanted meanwhile is not made up for:
// afterwards fresh evidence decides, and switches once.
func TestPausedInMidBallot(t *testing.T) {
	need(t)
	ways := []struct {
		name          string
		pause, resume func(*fleet, *observer)
	}{
		{"on another observer", func(f *fleet, by *observer) {
			f.do(by, "pause", f.resource.name, "--reason", "wait")
		}, func(f *fleet, by *observer) { f.do(by, "resume", f.resource.name, "--reason", "go on") }},
		{"by Consul's own key", func(f *fleet, _ *observer) {
			order := fmt.Sprintf(`{"pause":{"by":"bob","reason":"wait","at":%q}}`, time.Now().UTC().Format(time.RFC3339))
			consulCommand(f.t, "kv", "put", "reattach/control/"+f.resource.name, order)
		}, func(f *fleet, _ *observer) {
			consulCommand(f.t, "kv", "put", "reattach/control/"+f.resource.name, "{}")
		}},
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			f := newFleet(t, newResource(t))
			opener, opened, _ := f.strike()
			by := f.others(opener)[0]
			way.pause(f, by)
			f.midBallot(opened)
			f.unswitched(2*ballotTime, "it is paused")
			for _, o := range f.observers {
				f.says(o, "paused")
			}
			for _, o := range f.observers {
				o.mend()
			}
			f.unswitched(ballotTime/2, "it is still paused")
			resumed := time.Now()
			way.resume(f, by)
			f.switched(2 * ballotTime)
			f.fresh(f.once(time.Second), resumed)
		})
	}
}

// do has a person's command done on an observer.
func (f *fleet) do(o *observer, args ...string) {
	f.t.Helper()
	if out, err := o.command(args...); err != nil {
		f.t.Fatalf("%s: %v: %v: %s", o.name, args, err, out)
	}
}

// TestEditedInMidBallot: somebody writes the handle with Consul's own command line
// while a ballot is open, to a value that no endpoint has. It stays.
func TestEditedInMidBallot(t *testing.T) {
	need(t)
	f := newFleet(t, newResource(t))
	_, opened, _ := f.strike()
	f.midBallot(opened)
	f.edit("mysql://app:app-secret@192.0.2.1:3306/orders")
	index := entry(t, f.resource.handle).ModifyIndex
	for _, o := range f.observers {
		o.mend()
	}
	for _, o := range f.observers {
		daemon.Eventually(t, 2*ballotTime, o.name+" sees what it is", func() bool {
			s, err := o.status(f.resource.name)
			return err == nil && s.Condition == "foreign"
		})
		f.heldBy(o, "ours")
	}
	f.unswitched(2*ballotTime, "nobody knows what it means")
	if now := entry(t, f.resource.handle).ModifyIndex; now != index {
		t.Errorf("the handle was written: its index went from %d to %d", index, now)
	}
}

// edit writes the first resource's handle as a person does.
func (f *fleet) edit(value string) {
	f.t.Helper()
	consulCommand(f.t, "kv", "put", f.resource.handle, value)
	pair := entry(f.t, f.resource.handle)
	if string(pair.Value) != value {
		f.t.Errorf("the handle does not hold what a person wrote a moment ago")
		return
	}
	f.watch.wrote(pair)
}
