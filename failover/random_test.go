package failover_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// TestRandomStories plays stories that nobody would write: servers, the store,
// people and the observer itself fail in any order. What must hold at each
// transaction is checked at each; at the end everything is mended, and what must
// hold in the end is checked.
func TestRandomStories(t *testing.T) {
	switches := map[policy.Kind]int{}
	rapid.Check(t, func(t *rapid.T) {
		var story strings.Builder
		story.WriteString("resource a p s r sustain=1s\nresource b p s sustain=2s cache=1 failback=auto\n")
		story.WriteString("+0s write app/a/URL0 p\n+0s write app/b/URL0 p\n+3s end\n")
		for range rapid.IntRange(1, 25).Draw(t, "lines") {
			fmt.Fprintf(&story, "+%dms %s\n", rapid.SampledFrom([]int{0, 1, 2, 100, 1000, 3001, 10000}).Draw(t, "after"), drawLine(t))
		}
		for _, mend := range []string{"mend", "order resume --all", "order resume a", "order resume b", "a/p ok", "a/s ok", "a/r ok", "b/p ok", "b/s ok", "end"} {
			fmt.Fprintf(&story, "+3s %s\n", mend)
		}
		story.WriteString("+60s end\n")
		w := &random{TB: t, story: story.String()}
		play(w, story.String())
		for _, k := range w.kinds {
			switches[k]++
		}
	})
	for _, k := range []policy.Kind{policy.Failover, policy.Switchover, policy.Restore} {
		if switches[k] == 0 {
			t.Errorf("no story ever came to a %s: they prove nothing of it", k)
		}
	}
}

// random is a draw that tells its story when it fails.
type random struct {
	rapid.TB
	story string
	kinds []policy.Kind
}

func (r *random) Errorf(format string, args ...any) { r.Fatalf(format, args...) }

func (r *random) Fatalf(format string, args ...any) {
	r.Helper()
	r.TB.Fatalf("%s\n%s", fmt.Sprintf(format, args...), r.story)
}

// noted keeps the kinds of what was switched.
func (r *random) noted(k policy.Kind) { r.kinds = append(r.kinds, k) }

// drawLine draws what happens next.
func drawLine(t *rapid.T) string {
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	resource := pick("resource", "a", "a", "b")
	endpoint := pick("endpoint", "p", "s")
	if resource == "a" {
		endpoint = pick("endpoint of a", "p", "s", "r")
	}
	purpose := pick("purpose", "read", "open", "commit", "commit", "close", "resolve", "confirm", "adopt", "state", "control", "sweep")
	switch pick("what", "server", "server", "server", "transaction", "transaction", "order", "order", "hand", "store", "observer") {
	case "server":
		return resource + "/" + endpoint + " " + pick("class", "refused", "refused", "timeout", "ok", "ok", "auth", "overloaded", "tls", "local", "reset")
	case "transaction":
		return pick("fate", "lose", "lose-slowly", "drop", "late", "deny") + " " + purpose
	case "order":
		verb := pick("verb", "switchover", "failover", "failback", "restore", "refresh", "pause", "resume", "ack", "drain", "undrain", "clear", "adopt")
		line := "order " + verb + " " + resource
		if verb != "adopt" && (verb == "restore" || verb == "drain" || verb == "undrain" || verb == "clear" || pick("to", "", "to") != "") {
			line += " to=" + endpoint
		}
		if pick("force", "", "", "force") != "" {
			line += " force=" + pick("gate", "taint", "paused", "class,quorum", "drained", "damping", "candidate,quorum")
		}
		if verb == "pause" || verb == "drain" {
			line += pick("for", "", " for=5s")
		}
		return line
	case "hand":
		return pick("hand", "write app/"+resource+"/URL0 "+endpoint, "write app/"+resource+"/URL0 foreign", "delete app/"+resource+"/URL0",
			"alien "+resource+" mon-b", "alien "+resource+" mon-a")
	case "store":
		return pick("store", "store down", "store up", "store up", "allow", "allow")
	}
	if again := pick("observer", "restart", "stand-still 3s", "reload", "slow"); again == "reload" {
		return "reload a " + pick("reload", "p s r sustain=1s", "p s r sustain=3s", "p r s", "p:new s:new r:new", "q@p s r")
	} else if again == "slow" {
		return "slow " + purpose + " 700ms"
	} else {
		return again
	}
}

// checkCommit holds what is true of each switch at the moment when it lands: it
// is called before the store has it, and only if the store would take it.
func (w *world) checkCommit(f failover.Transact) {
	if f.Purpose != failover.PurposeCommit {
		return
	}
	if reply, err := w.store.Clone().Apply(f.Ops); err != nil || !reply.OK {
		return
	}
	var rec failover.Record
	var next, was failover.State
	for _, op := range f.Ops {
		switch {
		case op.Verb == failover.CAS && strings.HasPrefix(op.Key, "reattach/history/"):
			w.decode(failover.Entry{Key: op.Key, Value: op.Value, ModifyIndex: 1}, &rec)
		case op.Verb == failover.CAS && strings.HasPrefix(op.Key, "reattach/state/"):
			w.decode(failover.Entry{Key: op.Key, Value: op.Value, ModifyIndex: 1}, &next)
			if entry := w.get(op.Key); entry.Exists() {
				w.decode(entry, &was)
			}
		case op.Verb == failover.CAS && strings.HasPrefix(op.Key, "app/") && rec.Kind != policy.Restore:
			if strings.Contains(string(w.get(op.Key).Value), "elsewhere") && was.Handles[op.Key] != w.get(op.Key).ModifyIndex {
				w.kept = append(w.kept, op.Key)
			}
		}
	}
	forced := func(gate string) bool { return slices.Contains(rec.Forced, gate) }
	if len(w.kept) > 0 && rec.Kind != policy.Restore {
		w.t.Errorf("a foreign value is overwritten by a %s: %v", rec.Kind, w.kept)
	}
	w.kept = nil
	if next.Epoch <= was.Epoch {
		w.t.Errorf("from epoch %d to %d", was.Epoch, next.Epoch)
	}
	for _, mark := range was.Taints {
		if mark.Endpoint == rec.To && !forced("taint") && rec.Kind != policy.Refresh {
			w.t.Errorf("%s to %s, which is tainted: %s", rec.Kind, rec.To, mark.Why)
		}
	}
	w.checkPeople(rec, forced)
	if rec.Kind == policy.Failover && !forced("class") && was.Fenced != was.Epoch {
		w.checkVotes(rec)
	}
	if r, ok := w.t.(*random); ok {
		r.noted(rec.Kind)
	}
}

// checkPeople holds that nothing is switched against a standing order.
func (w *world) checkPeople(rec failover.Record, forced func(string) bool) {
	for _, key := range []string{pauses, "reattach/control/" + rec.Resource} {
		entry := w.get(key)
		if !entry.Exists() {
			continue
		}
		var c failover.Control
		w.decode(entry, &c)
		if c.Pause != nil && c.Pause.For == 0 && !forced("paused") {
			w.t.Errorf("%s of %s under a pause", rec.Kind, rec.Resource)
		}
		for _, o := range c.Drained {
			if o.Endpoint == rec.To && o.For == 0 && !forced("drained") && rec.Kind != policy.Refresh {
				w.t.Errorf("%s to %s, which is drained", rec.Kind, rec.To)
			}
		}
	}
}

// checkVotes holds that a failover rests on evidence.
func (w *world) checkVotes(rec failover.Record) {
	i := slices.IndexFunc(w.cfg.Resources, func(r *policy.Resource) bool { return r.Name == rec.Resource })
	also := slices.Clone(w.cfg.Resources[i].Judge.AlsoEvidence)
	if w.cfg.Resources[i].Judge.Expect != nil {
		also = append(also, probe.Role)
	}
	for _, saw := range rec.Votes[0].Saw {
		down := saw.State == policy.Down || !rec.Automatic && saw.State == policy.Suspect
		if saw.Endpoint == rec.From && (!down || !saw.Class.Evidence() && !slices.Contains(also, saw.Class)) {
			w.t.Errorf("failover from %s, which was %s (%s)", rec.From, saw.State, saw.Class)
		}
		if saw.Endpoint == rec.To && (saw.State != policy.Up || saw.Class != probe.OK || !saw.Fresh) && !slices.Contains(rec.Forced, "candidate") {
			w.t.Errorf("failover to %s, which was %s (%s), fresh=%v", rec.To, saw.State, saw.Class, saw.Fresh)
		}
	}
}

func (w *world) get(key string) failover.Entry {
	reply, err := w.store.Txn(context.Background(), []failover.Op{{Verb: failover.Get, Key: key}})
	if err != nil {
		w.t.Fatal(err)
	}
	return reply.Entries[0]
}

// checkMended holds what is true once everything is well again for a minute.
func (w *world) checkMended() {
	s := w.engine.Status(w.now)
	if s.Blind != "" {
		w.t.Errorf("it is still blind: %s", s.Blind)
	}
	for _, r := range s.Resources {
		if r.Activity != "steady" && r.Activity != "hold" {
			w.t.Errorf("%s is still in %s", r.Name, r.Activity)
		}
		if r.Activity == "hold" && r.Hold.Gate != "ours" {
			w.t.Errorf("%s is held by %s: %s", r.Name, r.Hold.Gate, r.Hold.Why)
		}
		for _, ep := range r.Endpoints {
			if ep.State != policy.Up {
				w.t.Errorf("%s/%s is still %s", r.Name, ep.Name, ep.State)
			}
		}
	}
	if b, err := json.Marshal(s); err != nil || strings.Contains(string(b), "secret") {
		w.t.Errorf("a status that cannot be shown: %v", err)
	}
	for name, p := range w.probing {
		if p.quick {
			w.t.Errorf("%s is still examined", name)
		}
	}
}
