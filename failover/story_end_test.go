package failover_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// conclude mends everything, and holds what must come about then: no ballot
// is open, no command unanswered, nothing written at rest, and the next crash
// is switched in time.
func (w *world) conclude() {
	w.mendAll()
	w.run(w.now.Add(35 * time.Second))
	w.unhold()
	w.checkOpen()
	w.checkInvariants()
	w.learnt()
	w.checkRest()
	w.checkTold()
	w.checkSteps()
	w.crashAll()
	w.checkSteps()
	w.checkInvariants()
}

func (w *world) mendAll() {
	w.do([]string{"mend"}, "")
	w.wreck.lag = 0
	clear(w.steps)
	w.do([]string{"misread"}, "")
	for _, r := range w.cfg.Resources {
		for _, ep := range r.Endpoints {
			name := r.Name + "/" + ep.Name
			if w.truth[name] = probe.OK; w.facts[name] != nil {
				w.facts[name] = probe.Facts{"writable": r.Judge.Expect != nil, "tls_expiry": "2027-01-01T00:00:00Z"}
			}
		}
	}
}

// also is one more line of the story.
func (w *world) also(format string, args ...any) {
	w.happen(strings.Fields(fmt.Sprintf(format, args...)), "")
}

// unhold has a person end every standing order, and say of each resource what
// its handles shall be.
func (w *world) unhold() {
	w.also("order resume --all")
	w.run(w.now.Add(time.Second))
	for _, r := range w.cfg.Resources {
		w.also("order ack %s", r.Name)
		w.run(w.now.Add(2 * time.Second))
		w.also("order resume %s", r.Name)
		w.run(w.now.Add(time.Second))
		for _, ep := range r.Endpoints {
			w.also("order undrain %s to=%s", r.Name, ep.Name)
			w.run(w.now.Add(300 * time.Millisecond))
			w.also("order clear %s to=%s", r.Name, ep.Name)
			w.run(w.now.Add(300 * time.Millisecond))
		}
		w.also("order ack %s", r.Name) // of an operation that could be ended only now
		w.run(w.now.Add(time.Second))
		if c := w.statusOf(r.Name).Condition; c != "ours" {
			w.also("order restore %s to=%s force=taint,drained,observe", r.Name, r.Endpoints[0].Name)
			w.run(w.now.Add(5 * time.Second))
			for _, ep := range r.Endpoints {
				w.also("order clear %s to=%s", r.Name, ep.Name)
				w.run(w.now.Add(300 * time.Millisecond))
			}
		}
		w.also("order ack %s", r.Name)
		w.run(w.now.Add(2 * time.Second))
	}
	w.run(w.now.Add(35 * time.Second))
	for _, r := range w.engine.Status(w.now).Resources {
		if r.Condition != "ours" || r.Attached == "" || r.Hold != nil && r.Hold.Gate != "observe" || r.Outage != nil {
			w.t.Errorf("liveness: a minute after all was mended, %s is %s, its handles are %s (%s), hold %+v, outage %+v", r.Name, r.Activity, r.Condition, r.Detail, r.Hold, r.Outage)
		}
	}
}

func (w *world) statusOf(name string) failover.ResourceStatus {
	all := w.engine.Status(w.now).Resources
	i := slices.IndexFunc(all, func(r failover.ResourceStatus) bool { return r.Name == name })
	if i < 0 {
		w.t.Errorf("liveness: %s has no status", name)
	}
	return all[i]
}

// learnt holds that the observer learnt of each switch that he made.
func (w *world) learnt() {
	for _, rec := range w.oracle.made {
		if n := w.oracle.claims[rec.Op]; n == 0 && rec.At.After(w.oracle.lost) && !w.oracle.back {
			w.oracle.breaks(12, "the %s of %s to %s was made, and the observer never learnt it", rec.Kind, rec.Resource, rec.To)
		} else if n > 1 {
			w.oracle.breaks(12, "the %s of %s was told %d times", rec.Kind, rec.Resource, n)
		}
	}
}

func (w *world) checkRest() {
	was, from := dump(w, w.store), len(w.oracle.made)
	w.run(w.now.Add(12 * time.Second))
	if len(w.oracle.made) > from {
		return // a failback that was due
	}
	is := dump(w, w.store)
	for _, key := range sortedKeys(is) {
		if was[key].ModifyIndex != is[key].ModifyIndex {
			w.oracle.breaks(21, "%s was written at rest", key)
		}
	}
	for name, p := range w.probing {
		if p.quick {
			w.oracle.breaks(21, "%s is examined at rest", name)
		}
	}
}

// crashAll takes down what is attached, resource by resource.
func (w *world) crashAll() {
	for _, r := range w.cfg.Resources {
		var s failover.State
		_ = json.Unmarshal(w.get("reattach/state/"+r.Name).Value, &s)
		was := w.statusOf(r.Name)
		if len(s.Taints) > 0 || s.Acked != s.Epoch {
			continue // a gate may be closed, and rightly
		}
		if !was.Protected && r.Mode != policy.Observe {
			w.t.Errorf("liveness: %s is not protected: %s", r.Name, was.Why)
		}
		w.truth[r.Name+"/"+was.Attached] = probe.Refused
		w.run(w.now.Add(r.Pace.Interval + max(r.Judge.Sustain, 2*r.Pace.SuspectInterval) + 600*time.Millisecond + stepsTake(r)))
		is := w.statusOf(r.Name)
		if r.Mode == policy.Observe {
			if is.Hold == nil || is.Hold.Gate != "observe" {
				w.t.Errorf("liveness: the crash of %s/%s was not told: hold %+v", r.Name, was.Attached, is.Hold)
			}
		} else if is.Epoch != was.Epoch+1 || is.Attached == was.Attached {
			w.t.Errorf("liveness: the crash of %s/%s was not switched: %s, hold %+v", r.Name, was.Attached, is.Activity, is.Hold)
		}
		w.truth[r.Name+"/"+was.Attached] = probe.OK
		w.run(w.now.Add(4 * time.Second))
	}
}

// checkOpen holds that no ballot is open.
func (w *world) checkOpen() {
	reply, err := w.store.Txn(context.Background(), []failover.Op{{Verb: failover.GetTree, Key: "reattach/ballot/"}})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range reply.Entries {
		if strings.HasSuffix(e.Key, "/_") {
			w.oracle.breaks(20, "%s is open: %s", e.Key, e.Value)
		}
	}
}
