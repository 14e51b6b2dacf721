package failover_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// TestOldReadAfterTheWatch: the answer to a read arrives after the watch has shown a
// pause that was written since. The watch will not show it again: the pause stands.
func TestOldReadAfterTheWatch(t *testing.T) {
	def := defineResource(t, "ra", []string{"primary", "standby"})
	e := failover.NewEngine(failover.Config{Observer: "mon-a", Observers: []string{"mon-a"}, Resources: []*policy.Resource{def}})
	now, sent := start, map[failover.Purpose]failover.Transact{}
	step := func(ev failover.Event) {
		now = now.Add(10 * time.Millisecond)
		for _, f := range e.Step(now, ev) {
			if f, ok := f.(failover.Transact); ok {
				sent[f.Purpose] = f
			}
		}
	}
	value := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	key := def.Handles[0].Key
	state := failover.Entry{Key: "reattach/state/ra", ModifyIndex: 10, Value: value(failover.State{Epoch: 1, Op: "op", Attached: "primary", Handles: map[string]uint64{key: 0}})}
	handle := failover.Entry{Key: key, ModifyIndex: 10, Value: []byte(def.Handles[0].Values[0].Reveal())}
	control := failover.Entry{Key: "reattach/control/ra", ModifyIndex: 20, Value: []byte("{}")}
	answer := func(p failover.Purpose, entries ...failover.Entry) {
		t.Helper()
		tx, ok := sent[p]
		if !ok {
			t.Fatalf("no %s was sent", p)
		}
		step(failover.Answered{ID: tx.ID, Sent: now, Reply: failover.Reply{OK: true, Entries: entries}})
	}
	step(failover.Tick{})
	step(failover.Changed{Prefix: "reattach/control/", Entries: []failover.Entry{control}})
	step(failover.Changed{Prefix: "reattach/ballot/"})
	answer(failover.PurposeSweep, state, handle)
	step(failover.Ordered{ID: 1, Command: failover.Command{Verb: "restore", Resource: "ra", Endpoint: "standby", By: "ada", Reason: "test"}})

	paused := control
	paused.ModifyIndex, paused.Value = 30, value(failover.Control{Pause: &failover.Order{By: "ada", Reason: "test", At: now}})
	step(failover.Changed{Prefix: "reattach/control/", Entries: []failover.Entry{paused}})
	answer(failover.PurposeRead, state, handle, control)
	if _, opens := sent[failover.PurposeOpen]; opens {
		t.Error("a ballot is opened under a pause that was shown")
	}
	for _, r := range e.Status(now).Resources {
		if r.Paused == "" {
			t.Errorf("the pause is forgotten: %+v", r)
		}
	}
}
