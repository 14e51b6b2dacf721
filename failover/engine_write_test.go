package failover_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// writing is an engine with one resource whose attached endpoint is written to.
type writing struct {
	t     *testing.T
	def   *policy.Resource
	e     *failover.Engine
	now   time.Time
	sweep uint64
	said  []string // which writes began and ended
}

func newWriting(t *testing.T) *writing {
	w := &writing{t: t, now: start, def: defineResource(t, "ra", []string{"primary", "standby"})}
	w.def.Pace.WriteInterval, w.def.Judge.WriteSustain = 10*time.Second, 30*time.Second
	w.e = failover.NewEngine(w.config())
	w.step(failover.Tick{})
	w.step(failover.Changed{Prefix: "reattach/control/"})
	return w
}

func (w *writing) config() failover.Config {
	return failover.Config{Observer: "mon-a", Observers: []string{"mon-a"}, Resources: []*policy.Resource{w.def}}
}

func (w *writing) step(ev failover.Event) {
	for _, f := range w.e.Step(w.now, ev) {
		switch f := f.(type) {
		case failover.Write:
			w.said = append(w.said, fmt.Sprint(f.Endpoint, " ", f.On))
		case failover.Transact:
			if f.Purpose == failover.PurposeSweep {
				w.sweep = f.ID
			}
		}
	}
}

// stored has the store answer that this endpoint is attached, with that handle.
func (w *writing) stored(epoch uint64, attached, value string) {
	w.t.Helper()
	w.now = w.now.Add(2 * time.Second)
	w.step(failover.Tick{})
	key, index := w.def.Handles[0].Key, 10*epoch
	own := index
	if value != w.def.Handles[0].Values[w.def.Endpoint(attached)].Reveal() { // somebody else wrote it
		own++
	}
	s := failover.State{Epoch: epoch, Op: fmt.Sprint("op", epoch), Attached: attached, Handles: map[string]uint64{key: 0}}
	w.step(failover.Answered{ID: w.sweep, Sent: w.now, Reply: failover.Reply{OK: true, Entries: []failover.Entry{
		{Key: "reattach/state/ra", ModifyIndex: index, Value: encode(w.t, s)}, {Key: key, ModifyIndex: own, Value: []byte(value)}}}})
}

// saw has a conversation of that kind with an endpoint come to c.
func (w *writing) saw(endpoint string, k probe.Kind, c probe.Class) {
	w.step(failover.Observed{Resource: "ra", Endpoint: endpoint, Result: probe.Result{Kind: k, Class: c, Began: w.now, Ended: w.now}})
}

func (w *writing) expect(what, said string) {
	w.t.Helper()
	if got := strings.Join(w.said, ", "); got != said {
		w.t.Errorf("%s: %q; want %q", what, got, said)
	}
	w.said = nil
}

// TestWritesFollowWhatIsAttached: only what is attached for certain is written to,
// and what the writes came to goes with them.
func TestWritesFollowWhatIsAttached(t *testing.T) {
	w := newWriting(t)
	a, b := w.def.Handles[0].Values[0].Reveal(), w.def.Handles[0].Values[1].Reveal()
	w.expect("before the store was read", "")
	w.stored(1, "primary", a)
	w.expect("attached", "primary true")
	w.stored(1, "primary", a)
	w.expect("still attached", "")

	for _, name := range []string{"primary", "standby"} {
		w.saw(name, probe.Fresh, probe.OK)
	}
	w.saw("standby", probe.Write, probe.Timeout) // of a time when it was attached
	w.saw("primary", probe.Write, probe.Timeout)
	if p, s := stateOf(w.e, w.now, "primary"), stateOf(w.e, w.now, "standby"); p != policy.Suspect || s != policy.Up {
		t.Errorf("a write hangs: the primary is %s, the standby %s", p, s)
	}
	w.stored(2, "standby", b)
	w.expect("switched", "primary false, standby true")
	if s := stateOf(w.e, w.now, "primary"); s != policy.Up {
		t.Errorf("it was left, and no write will ever clear it: %s", s)
	}

	w.now = w.now.Add(time.Minute)
	w.step(failover.Tick{})
	w.expect("the store is silent", "standby false")
	w.stored(2, "standby", b)
	w.expect("it answers again", "standby true")
	w.stored(2, "standby", a)
	w.expect("a handle that names another endpoint, and nobody has adopted it", "standby false")
	w.stored(2, "standby", b)
	w.expect("it is undone", "standby true")
	w.stored(2, "standby", "mysql://elsewhere/db")
	w.expect("a foreign handle", "standby false")
	w.stored(2, "standby", b)
	w.expect("it is mended", "standby true")
	w.stored(1, "primary", a)
	w.expect("a store that went back in time", "standby false")
}

// TestWritesAfterAReload: loops that were started anew are told, and who does not
// want writes any more is not judged by them.
func TestWritesAfterAReload(t *testing.T) {
	w := newWriting(t)
	a := w.def.Handles[0].Values[0].Reveal()
	w.stored(1, "primary", a)
	w.saw("primary", probe.Fresh, probe.OK)
	w.saw("primary", probe.Write, probe.Timeout)
	w.said = nil
	w.step(failover.Reloaded{ID: 1, Config: w.config()})
	w.expect("within the reload, when the new loops do not run yet", "")
	w.step(failover.Tick{})
	w.stored(1, "primary", a)
	w.expect("after a reload", "primary true")
	if s := stateOf(w.e, w.now, "primary"); s != policy.Suspect {
		t.Errorf("a reload makes a server whose writes hang %s", s)
	}
	w.def = defineResource(t, "ra", []string{"primary", "standby"})
	w.step(failover.Reloaded{ID: 2, Config: w.config()})
	w.stored(1, "primary", a)
	w.expect("without writes", "")
	if s := stateOf(w.e, w.now, "primary"); s != policy.Up {
		t.Errorf("without writes it is %s still", s)
	}
}
