package failover_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/storetest"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// oracle holds the invariants, by their numbers, against what it sees itself:
// the observations that were delivered, the keys in the store before and after
// each transaction, and people's commands. It never asks the engine.
type oracle struct {
	w        *world
	seen     map[string][]probe.Result // by resource/endpoint, since they were last void
	wasOK    map[string]bool
	heard    time.Time                   // when the store last answered
	void     time.Time                   // what began before says nothing
	asked    map[uint64]asking           // people's commands that are not answered
	asks     []asking                    // all of them
	clears   map[string]bool             // resource/endpoint that a person asked to clear, ever
	ours     map[string]uint64           // the index at which a handle was last committed or adopted
	opened   map[string]question         // by nonce
	meant    map[string]*policy.Resource // what the configuration was when a commit was sent; by its operation
	faults   map[string][]string         // of a commit, found when it was sent; by its operation
	made     []failover.Record           // all that landed
	auto     map[string][]madeAt         // automatic switches of a resource
	acked    map[string]time.Time        // when a person's ack of a resource landed
	opens    map[string][]time.Time
	pauses   map[string]pausing
	byItself map[string]time.Time // when a ballot was opened that nobody asked for, in this life; by its nonce
	local    map[string]time.Time // until when a fault of our own suspends judgement on a resource
	begun    []failover.Notice    // what was told in this life, or went on from an earlier one
	claims   map[string]int       // how often Switched was said of an operation
	kinds    map[string]int
	back     bool // the store was rewound
	steps    stepsSeen
	lost     time.Time // what was begun before then, its observer may never learn: he died, or was reloaded
}

type asking struct {
	failover.Command
	at time.Time
}

type question struct {
	failover.Opening
	index    uint64
	entries  map[string]uint64
	takenAt  time.Time
	resource string
}

type madeAt struct {
	failover.Record
	at time.Time
}

// pausing is a pause that was in force long enough to be noticed.
type pausing struct {
	since, ended time.Time
	long         time.Duration // 0: until it is ended
	on           bool
}

func newOracle(w *world) *oracle {
	return &oracle{w: w, seen: map[string][]probe.Result{}, wasOK: map[string]bool{}, asked: map[uint64]asking{}, clears: map[string]bool{},
		ours: map[string]uint64{}, opened: map[string]question{}, faults: map[string][]string{}, meant: map[string]*policy.Resource{}, auto: map[string][]madeAt{},
		acked: map[string]time.Time{}, opens: map[string][]time.Time{}, pauses: map[string]pausing{}, byItself: map[string]time.Time{}, local: map[string]time.Time{},
		claims: map[string]int{}, kinds: map[string]int{}, heard: w.now}
}

func (o *oracle) breaks(invariant int, format string, args ...any) {
	o.w.t.Errorf("invariant %d: %s", invariant, fmt.Sprintf(format, args...))
}

// before keeps the store as it is before a transaction that writes.
func (o *oracle) before(f failover.Transact) *storetest.Model {
	if o == nil || !slices.ContainsFunc(f.Ops, func(op failover.Op) bool { return op.Verb.Writes() }) {
		return nil
	}
	return o.w.store.Clone()
}

// landed looks at what a transaction changed.
func (o *oracle) landed(f failover.Transact, before *storetest.Model, a failover.Answered) {
	if o == nil || before == nil || a.Err != nil || !a.Reply.OK {
		return
	}
	was, is := dump(o.w, before), dump(o.w, o.w.store)
	for key, e := range was {
		if !is[key].Exists() && !strings.HasPrefix(key, "reattach/ballot/") && !strings.HasPrefix(key, "reattach/history/") {
			o.breaks(9, "%s deleted %s (%q)", f.Purpose, key, e.Value)
		}
	}
	changed := map[string]bool{}
	for key, e := range is {
		if was[key].ModifyIndex != e.ModifyIndex {
			changed[key] = true
		}
	}
	o.othersBallot(f, was, is)
	o.ballotOpened(was, is, changed)
	o.controlWritten(was, is, changed)
	for _, r := range o.w.cfg.Resources {
		o.resourceWritten(f, r, was, is, changed)
	}
}

type keys map[string]failover.Entry

func dump(w *world, m *storetest.Model) keys {
	all := keys{}
	for _, prefix := range []string{"app/", "reattach/"} {
		reply, err := m.Apply([]failover.Op{{Verb: failover.GetTree, Key: prefix}})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range reply.Entries {
			all[e.Key] = e
		}
	}
	return all
}

func (k keys) into(key string, v any) bool {
	return k[key].Exists() && json.Unmarshal(k[key].Value, v) == nil
}

func (k keys) indexes(r *policy.Resource) map[string]uint64 {
	at := map[string]uint64{}
	for _, key := range append(handleKeys(r), "reattach/state/"+r.Name, "reattach/control/_all", "reattach/control/"+r.Name) {
		at[key] = k[key].ModifyIndex
	}
	return at
}

func handleKeys(r *policy.Resource) (all []string) {
	for _, h := range r.Handles {
		all = append(all, h.Key)
	}
	return all
}

// ballotOpened remembers what an opening rested on, and counts it.
func (o *oracle) ballotOpened(was, is keys, changed map[string]bool) {
	for _, r := range o.w.cfg.Resources {
		key := "reattach/ballot/" + r.Name + "/_"
		var b failover.Opening
		if !changed[key] || !is.into(key, &b) {
			continue
		}
		if was[key].Exists() {
			o.breaks(8, "the ballot of %s was rewritten", r.Name)
		}
		o.opened[b.Nonce] = question{b, is[key].ModifyIndex, was.indexes(r), o.w.now, r.Name}
		sent, byItself := o.byItself[b.Nonce]
		if !byItself || b.Confirms != "" {
			continue // a person does not wait, and a former life did not know
		}
		o.opens[r.Name] = append(o.opens[r.Name], sent)
		near := slices.DeleteFunc(slices.Clone(o.opens[r.Name]), func(t time.Time) bool { return sent.Sub(t).Abs() >= 59*time.Second })
		if len(near) > 2 {
			o.breaks(21, "%s has its third ballot within a minute", r.Name)
		}
	}
}

// controlWritten keeps when pauses began and ended.
func (o *oracle) controlWritten(was, is keys, changed map[string]bool) {
	for key := range changed {
		if !strings.HasPrefix(key, "reattach/control/") {
			continue
		}
		var old, now failover.Control
		was.into(key, &old)
		is.into(key, &now)
		o.ordersKept(key, old, now)
		switch p := o.pauses[key]; {
		case now.Pause != nil && !p.on:
			o.pauses[key] = pausing{since: o.w.now, ended: p.ended, on: true, long: now.Pause.For}
		case now.Pause != nil: // another one over it
			p.since, p.long = o.w.now, now.Pause.For
			o.pauses[key] = p
		case now.Pause == nil && p.on:
			end := o.w.now
			if p.long > 0 && p.since.Add(p.long).Before(end) {
				end = p.since.Add(p.long)
			}
			if p.on = false; end.Sub(p.since) > 2*time.Second && o.w.wreck.lag == 0 && o.w.now.Sub(o.heard) < 2*time.Second {
				p.ended = end
			}
			o.pauses[key] = p
		}
	}
}

// ordersKept holds that a standing order ends by a command only.
func (o *oracle) ordersKept(key string, old, now failover.Control) {
	said := func(verb, endpoint string) bool {
		return slices.ContainsFunc(o.asks, func(a asking) bool {
			return a.Verb == verb && a.Endpoint == endpoint && o.w.now.Sub(a.at) < 20*time.Second
		})
	}
	if old.Pause != nil && now.Pause == nil && !said("resume", "") {
		o.breaks(6, "the pause in %s ended, and nobody resumed it", key)
	}
	for _, d := range old.Drained {
		kept := slices.ContainsFunc(now.Drained, func(n failover.Order) bool { return n.Endpoint == d.Endpoint })
		if !kept && !said("undrain", d.Endpoint) {
			o.breaks(10, "in %s, %s is no longer drained, and nobody asked for it", key, d.Endpoint)
		}
	}
}

// othersBallot holds that nobody else's ballot is closed before its time.
func (o *oracle) othersBallot(f failover.Transact, was, is keys) {
	for _, r := range o.w.cfg.Resources {
		key := "reattach/ballot/" + r.Name + "/_"
		if a, ok := o.w.wreck.aliens[key]; ok && was[key].Exists() && !is[key].Exists() && was[key].ModifyIndex == a.index && o.w.now.Sub(a.at) < 2*time.Second {
			o.breaks(8, "%s closed a ballot of %s that mon-b opened %v before", f.Purpose, r.Name, o.w.now.Sub(a.at))
		}
	}
}

// resourceWritten holds what is true of every change of a resource's keys.
func (o *oracle) resourceWritten(f failover.Transact, r *policy.Resource, was, is keys, changed map[string]bool) {
	stateKey := "reattach/state/" + r.Name
	handles := slices.ContainsFunc(handleKeys(r), func(k string) bool { return changed[k] })
	if !changed[stateKey] {
		if handles {
			o.breaks(1, "%s changed a handle of %s without its state", f.Purpose, r.Name)
		}
		return
	}
	var old, now failover.State
	was.into(stateKey, &old)
	is.into(stateKey, &now)
	if now.Epoch == old.Epoch {
		o.stateAlone(r, old, now, was, is, handles)
		return
	}
	var rec failover.Record
	records := 0
	for key := range changed {
		if strings.HasPrefix(key, "reattach/history/"+r.Name+"/") {
			records++
			is.into(key, &rec)
		}
	}
	if records != 1 || rec.Epoch != now.Epoch || rec.Op != now.Op || rec.To != now.Attached || rec.Resource != r.Name {
		o.breaks(1, "%s of %s to epoch %d wrote %d records: %+v", f.Purpose, r.Name, now.Epoch, records, rec)
	}
	o.switched(r, rec, old, now, was, is, changed)
}

// stateAlone holds what is true of an ack and a clear: they move nothing.
func (o *oracle) stateAlone(r *policy.Resource, old, now failover.State, was, is keys, handles bool) {
	stateKey := "reattach/state/" + r.Name
	if seen := o.w.cfg.Seen[r.Name]; seen.Epoch == old.Epoch && (seen.Op != old.Op || seen.Index > was[stateKey].ModifyIndex) {
		o.breaks(1, "a write of state alone hides that the record of %s is an old one", r.Name)
	}
	if handles || old.Op != now.Op || old.Attached != now.Attached || len(old.Recent) != len(now.Recent) {
		o.breaks(1, "a write of state alone moved %s: %+v to %+v", r.Name, old, now)
	}
	for _, key := range handleKeys(r) {
		if ownedBy(old, was[stateKey], was[key]) != ownedBy(now, is[stateKey], is[key]) {
			o.breaks(1, "a write of state alone changed whose %s is", key)
		}
	}
	for _, mark := range old.Taints {
		kept := slices.ContainsFunc(now.Taints, func(t failover.Taint) bool { return t.Endpoint == mark.Endpoint })
		asked := slices.ContainsFunc(sortedKeys(o.clears), func(name string) bool {
			resource, endpoint, _ := strings.Cut(name, "/")
			return resource == r.Name && same(mark, r, endpoint)
		})
		if !kept && !asked && !o.rebooted(r, mark, old) {
			o.breaks(19, "the taint of %s/%s ended by itself", r.Name, mark.Endpoint)
		}
	}
	if now.Acked != old.Acked {
		o.acked[r.Name] = o.w.now
	}
}

// same reports whether a taint is on the endpoint: under this name or another.
func same(mark failover.Taint, r *policy.Resource, endpoint string) bool {
	i := r.Endpoint(endpoint)
	return mark.Endpoint == endpoint || i >= 0 && strings.HasPrefix(mark.Place, r.Endpoints[i].Target.URL.Host+":")
}

// rebooted reports whether a cache was started anew after it was left.
func (o *oracle) rebooted(r *policy.Resource, mark failover.Taint, s failover.State) bool {
	i := slices.IndexFunc(s.Recent, func(s failover.Switch) bool { return s.Epoch == mark.Epoch })
	return r.Protocol.Traits.RestartClears && i >= 0 && o.w.booted[r.Name+"/"+mark.Endpoint].After(s.Recent[i].At)
}

func ownedBy(s failover.State, state, handle failover.Entry) bool {
	own, ok := s.Handles[handle.Key]
	if own == 0 {
		own = state.ModifyIndex
	}
	return ok && handle.Exists() && own == handle.ModifyIndex
}

// switched holds what is true of every switch at the moment when it lands.
func (o *oracle) switched(r *policy.Resource, rec failover.Record, old, now failover.State, was, is keys, changed map[string]bool) {
	w, stateKey := o.w, "reattach/state/"+r.Name
	o.kinds[rec.Kind.String()]++
	seen := w.cfg.Seen[r.Name]
	forgot := seen.Epoch > old.Epoch || seen.Epoch == old.Epoch && (seen.Op != old.Op || seen.Index > was[stateKey].ModifyIndex)
	switch {
	case forgot && (rec.Kind != policy.Adopt || rec.Person == ""):
		o.breaks(1, "%s of %s on a store that went back from epoch %d to %d", rec.Kind, r.Name, seen.Epoch, old.Epoch)
	case forgot && now.Epoch <= seen.Epoch, !forgot && now.Epoch != old.Epoch+1 && !o.back, now.Epoch <= old.Epoch:
		o.breaks(1, "%s of %s leads from epoch %d (%d was seen) to %d", rec.Kind, r.Name, old.Epoch, seen.Epoch, now.Epoch)
	}
	if meant := o.meant[rec.Op]; meant != nil {
		r = meant
	}
	for i, h := range r.Handles {
		o.handleLeft(rec, r, i, was[h.Key], is[h.Key])
		owned := ownedBy(now, is[stateKey], is[h.Key])
		if is[h.Key].Exists() && !owned && !forgot {
			o.breaks(1, "after the %s, %s is not ours", rec.Kind, h.Key)
		}
		if o.ours[h.Key] = 0; owned {
			o.ours[h.Key] = is[h.Key].ModifyIndex
		}
	}
	for key := range changed {
		if !strings.HasPrefix(key, "reattach/history/"+r.Name+"/") && !strings.HasPrefix(key, "reattach/after/"+r.Name+"/") && key != stateKey && !slices.Contains(handleKeys(r), key) {
			o.breaks(1, "%s of %s changed %s", rec.Kind, r.Name, key)
		}
	}
	o.taintsLeft(r, rec, old, now)
	if slices.ContainsFunc(o.made, func(m failover.Record) bool { return m.Op == rec.Op }) && !o.back {
		o.breaks(12, "the operation %s landed twice", rec.Op)
	}
	o.made = append(o.made, rec)
	o.stepsBehind(r, rec, old)
	if rec.Kind != policy.Adopt {
		o.byBallot(r, rec, was, is)
	}
	for _, fault := range o.faults[rec.Op] {
		w.t.Errorf("%s", fault)
	}
	if rec.Automatic && rec.Kind != policy.Bootstrap {
		o.auto[r.Name] = append(o.auto[r.Name], madeAt{rec, w.now})
	}
	o.opens[r.Name] = nil
}

// rewound takes in that the store forgot what came after a snapshot.
func (o *oracle) rewound(ours map[string]uint64) {
	if o != nil {
		o.ours, o.back = maps.Clone(ours), true
		clear(o.auto)
	}
}

// oldest is the earliest command for a resource that is not answered.
func (o *oracle) oldest(resource string) (asking, bool) {
	var all []asking
	for _, a := range o.asked {
		if a.Resource == resource {
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		return asking{}, false
	}
	return slices.MinFunc(all, func(a, b asking) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) }), true
}
