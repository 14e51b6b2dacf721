package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// verdict is what a run has left, seen from outside, and what is wrong with it.
type verdict struct {
	run
	deaths  int
	entries map[string]failover.Entry
	state   failover.State
	history []failover.Record // by their keys: oldest first
	steps   []stepLine
	heard   []heard
	found   []string
}

// stepLine is a line of what the steps themselves have written down.
type stepLine struct {
	End            bool
	Step, Op       string
	Epoch, Attempt int
	To             string
	PID            int
}

func (v *verdict) violates(invariant int, format string, args ...any) {
	v.found = append(v.found, fmt.Sprintf("invariant %d: ", invariant)+fmt.Sprintf(format, args...))
}

// judge reads what is there at the end, and holds it against the invariants, whose
// numbers the design has.
func (r run) judge(ctx context.Context, deaths int) ([]string, error) {
	v := &verdict{run: r, deaths: deaths, entries: map[string]failover.Entry{}}
	if err := v.read(ctx); err != nil {
		return nil, err
	}
	v.records()
	v.handles()
	v.votes()
	v.taints()
	v.leftovers()
	v.stepsRan()
	v.aborts()
	v.afters()
	v.telling()
	v.answers()
	if ends := stories[r.Story].ends; ends != nil {
		ends(v)
	}
	return v.found, nil
}

func (v *verdict) read(ctx context.Context) error {
	store, closeStore, err := v.open()
	if err != nil {
		return err
	}
	for _, tree := range []string{"app/", failover.Prefix} {
		reply, err := insist(ctx, store, []failover.Op{{Verb: failover.GetTree, Key: tree}})
		if err != nil {
			return errors.Join(err, closeStore())
		}
		for _, e := range reply.Entries {
			v.entries[e.Key] = e
			var rec failover.Record
			if strings.HasPrefix(e.Key, failover.Prefix+"history/") && json.Unmarshal(e.Value, &rec) == nil {
				v.history = append(v.history, rec)
			}
		}
	}
	_ = json.Unmarshal(v.entries[stateKey].Value, &v.state)
	b, _ := os.ReadFile(v.World.file("steps"))
	for text := range strings.Lines(string(b)) {
		f := strings.Fields(text)
		if len(f) != 7 {
			v.found = append(v.found, "a step wrote "+text)
			continue
		}
		epoch, _ := strconv.Atoi(f[3])
		attempt, _ := strconv.Atoi(f[4])
		pid, _ := strconv.Atoi(f[6])
		v.steps = append(v.steps, stepLine{End: f[0] == "end", Step: f[1], Op: f[2], Epoch: epoch, Attempt: attempt, To: f[5], PID: pid})
	}
	v.receiver.mu.Lock()
	v.heard = slices.Clone(v.receiver.heard[v.Webhook[len(v.receiver.URL):]])
	v.receiver.mu.Unlock()
	return closeStore()
}

// records: one switch, one record, one epoch.
func (v *verdict) records() {
	ops := map[string]bool{}
	for i, rec := range v.history {
		if rec.Epoch != uint64(i+1) {
			v.violates(1, "record %d is of epoch %d", i+1, rec.Epoch)
		}
		if ops[rec.Op] {
			v.violates(12, "the operation %s has two records", rec.Op)
		}
		ops[rec.Op] = true
	}
	if len(v.history) == 0 || v.state.Epoch != uint64(len(v.history)) {
		v.violates(1, "the epoch is %d, and there are %d records", v.state.Epoch, len(v.history))
		return
	}
	last := v.history[len(v.history)-1]
	if v.state.Op != last.Op || v.state.Attached != last.To {
		v.violates(1, "state has operation %s to %s, the last record %s to %s", v.state.Op, v.state.Attached, last.Op, last.To)
	}
	for _, sw := range v.state.Recent {
		if i := int(sw.Epoch) - 1; i >= len(v.history) || v.history[i].Op != sw.Op || v.history[i].To != sw.To {
			v.violates(12, "state remembers a switch %s of epoch %d that has no such record", sw.Op, sw.Epoch)
		}
	}
}

// handles: they lead where state says, and are ours.
func (v *verdict) handles() {
	shape := stories[v.Story].shape(v.World)
	for _, key := range []string{handleURL, handleDSN} {
		e, own := v.entries[key], v.state.Handles[key]
		if own == 0 {
			own = v.entries[stateKey].ModifyIndex
		}
		if e.ModifyIndex != own {
			v.violates(1, "%s is at index %d, ours would be %d", key, e.ModifyIndex, own)
		}
		want, former := v.World.value(shape, key, v.state.Attached), v.World.value(plain(v.World), key, v.state.Attached)
		if string(e.Value) != want && (v.Story != "reload" || string(e.Value) != former) {
			v.violates(1, "%s is %q, and %s is attached", key, e.Value, v.state.Attached)
		}
		if e.Flags == 0 && !stories[v.Story].empty && v.Story != "restore" {
			v.violates(9, "%s lost its flags", key)
		}
	}
}

// moving are the kinds of switch that need a quorum for their target.
var moving = []policy.Kind{policy.Failover, policy.FailbackTo, policy.Switchover, policy.Bootstrap}

// votes: an automatic failover had a quorum that what it left is down, and every
// target was up for one.
func (v *verdict) votes() {
	majority := max(1, len(v.Observers))/2 + 1
	for _, rec := range v.history {
		down, up := map[string]bool{}, map[string]bool{}
		for _, vote := range rec.Votes {
			for _, saw := range vote.Saw {
				if saw.Endpoint == rec.From && saw.State == policy.Down {
					down[vote.Observer] = true
				}
				if saw.Endpoint == rec.To && saw.State == policy.Up {
					up[vote.Observer] = true
				}
			}
		}
		if rec.Kind == policy.Failover && len(down) < majority {
			v.violates(2, "the failover of epoch %d rests on %d votes that %s is down", rec.Epoch, len(down), rec.From)
		}
		if slices.Contains(moving, rec.Kind) {
			if len(up) < majority {
				v.violates(4, "the %s of epoch %d rests on %d votes that %s is up", rec.Kind, rec.Epoch, len(up), rec.To)
			}
			if rec.From == rec.To {
				v.violates(4, "the %s of epoch %d leads from %s to itself", rec.Kind, rec.Epoch, rec.From)
			}
		}
	}
}

// taints: every departure from a store of data leaves one.
func (v *verdict) taints() {
	want := map[string]bool{}
	for _, rec := range v.history {
		if rec.From != "" && rec.From != rec.To {
			want[rec.From] = true
		}
		delete(want, rec.To)
	}
	for _, name := range stories[v.Story].cleared {
		delete(want, name)
	}
	for name := range want {
		if !slices.ContainsFunc(v.state.Taints, func(t failover.Taint) bool { return t.Endpoint == name }) {
			v.violates(19, "%s was left, and is not tainted", name)
		}
	}
}

// leftovers: nothing is open, and nothing under way.
func (v *verdict) leftovers() {
	for key := range v.entries {
		if strings.HasPrefix(key, failover.Prefix+"ballot/") && !strings.HasSuffix(key, "/_sentinel") {
			v.violates(20, "%s is open", key)
		}
	}
	if op := v.state.Operation; op != nil {
		v.violates(20, "the operation %s stands at step %s", op.ID, op.Step)
	}
}

// stepsRan: in their order, none twice at a time, and what is committed is what was
// promoted. The lines stand in the order in which they were written.
func (v *verdict) stepsRan() {
	rank := map[string]int{policy.Fence: 1, policy.Promote: 2, policy.Abort: 3, policy.After: 4}
	at, running, begun := map[string]int{}, map[string]stepLine{}, map[string]bool{}
	for _, s := range v.steps {
		if s.End {
			if running[s.Op].PID == s.PID {
				delete(running, s.Op)
			}
			continue
		}
		if other, ok := running[s.Op]; ok && alive(other.PID) {
			v.violates(7, "%s of %s began while %s ran", s.Step, s.Op, other.Step)
		}
		if other, ok := running[s.Op]; ok && other.Step == s.Step && other.Attempt >= s.Attempt {
			v.violates(7, "%s of %s ran twice as attempt %d", s.Step, s.Op, s.Attempt)
		}
		if rank[s.Step] < at[s.Op] {
			v.violates(7, "%s of %s began after a later step", s.Step, s.Op)
		}
		once := fmt.Sprint(s.Step, s.Op, s.Epoch, s.Attempt)
		if begun[once] {
			v.violates(7, "attempt %d of %s of %s began twice", s.Attempt, s.Step, s.Op)
		}
		at[s.Op], running[s.Op], begun[once] = rank[s.Step], s, true
	}
	for _, rec := range v.history {
		if rec.Kind != policy.Failover && rec.Kind != policy.Switchover || !stories[v.Story].shape(v.World).Steps {
			continue
		}
		for _, name := range []string{policy.Fence, policy.Promote} {
			if !v.ended(name, rec.Op, rec.To) {
				v.violates(7, "epoch %d was committed, and %s of %s never ended", rec.Epoch, name, rec.To)
			}
		}
	}
}

// alive is for steps: a zombie's place is gone with its parent.
func alive(pid int) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	return err == nil
}

func (v *verdict) ended(step, op, to string) bool {
	return slices.ContainsFunc(v.steps, func(s stepLine) bool { return s.End && s.Step == step && s.Op == op && s.To == to })
}

func (v *verdict) count(step, op string, end bool) (n int) {
	for _, s := range v.steps {
		if s.Step == step && s.Op == op && s.End == end {
			n++
		}
	}
	return n
}

// aborts: one for each promotion that was started and not committed, and none for
// one that was. Who is killed over it does it again.
func (v *verdict) aborts() {
	promoted := map[string]bool{}
	for _, s := range v.steps {
		if s.Step == policy.Promote {
			promoted[s.Op] = true
		}
		if s.Step == policy.Abort && !s.End && v.count(policy.Promote, s.Op, false) == 0 && v.deaths == 0 {
			v.violates(13, "abort of %s, of which nothing was promoted", s.Op)
		}
	}
	for op := range promoted {
		committed := slices.ContainsFunc(v.history, func(r failover.Record) bool { return r.Op == op })
		began, ended := v.count(policy.Abort, op, false), v.count(policy.Abort, op, true)
		switch {
		case committed && began > 0:
			v.violates(13, "%s was committed, and aborted", op)
		case !committed && ended == 0 && !v.failed(op+".abort."):
			v.violates(13, "%s was promoted for and not committed, and abort never ended", op)
		case began > 1+v.deaths:
			v.violates(13, "abort of %s began %d times in %d lives", op, began, 1+v.deaths)
		}
		if again := v.count(policy.Promote, op, false); again > 1 && !v.failed(op+".promote.") {
			v.violates(7, "promote of %s ran %d times, and nobody was told", op, again)
		}
	}
}

// afters: each committed switch of a resource with such a step had it run.
func (v *verdict) afters() {
	if !stories[v.Story].shape(v.World).Steps {
		return
	}
	for _, rec := range v.history {
		if rec.Kind == policy.Adopt {
			continue
		}
		if v.count(policy.After, rec.Op, true) == 0 && !v.failed(fmt.Sprintf("/%d.after", rec.Epoch)) {
			v.violates(13, "after of epoch %d never ended", rec.Epoch)
		}
	}
	for _, s := range v.steps {
		if s.Step == policy.After && !slices.ContainsFunc(v.history, func(r failover.Record) bool { return r.Op == s.Op }) {
			v.violates(13, "after of %s ran, which was not committed", s.Op)
		}
	}
}

// failed reports whether people heard that a step failed: on a machine that stands
// still it may be killed for its time before it has written a word.
func (v *verdict) failed(key string) bool {
	return v.wasHeard(func(n heard) bool { return n.Event == "step_failed" && strings.Contains(n.Key, key) })
}

func (v *verdict) wasHeard(is func(heard) bool) bool { return slices.ContainsFunc(v.heard, is) }

// news are the keys by which people are to hear of the switches, and their kinds.
func (v *verdict) news() (keys, kinds map[string]bool) {
	keys, kinds = map[string]bool{}, map[string]bool{}
	for _, rec := range v.history {
		kind := rec.Kind.String()
		if rec.Kind == policy.Adopt {
			if kind = "adopted"; rec.From == "" || rec.From == rec.To {
				continue
			}
		}
		keys[fmt.Sprintf("%s/%d.%s", resourceName, rec.Epoch, kind)], kinds[kind] = true, true
	}
	return keys, kinds
}

// overdue is how long the last of three observers leaves a notice to the others, who
// may be dead, and more.
const overdue = 30 * time.Second

// awaitTold waits until people have heard of every switch, from whomever.
func (r run) awaitTold(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, overdue)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		v := &verdict{run: r, entries: map[string]failover.Entry{}}
		if err := v.read(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		keys, _ := v.news()
		for _, n := range v.heard {
			delete(keys, n.Key)
		}
		if len(keys) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil // the verdict says so
		}
	}
}

// telling: every switch was told, by its one key, in its one matter; an outage has
// one key.
func (v *verdict) telling() {
	keys, kinds := v.news()
	for key := range keys {
		if !v.wasHeard(func(n heard) bool { return n.Key == key }) {
			v.found = append(v.found, fmt.Sprintf("telling: nobody heard of %s", key))
		}
	}
	matters, outages := map[string]string{}, map[string]bool{}
	for _, n := range v.heard {
		if kinds[n.Event] && !n.Over && !keys[n.Key] {
			v.found = append(v.found, fmt.Sprintf("telling: %s was told, which no record has", n.Key))
		}
		if m, ok := matters[n.Key]; ok && m != n.Matter {
			v.found = append(v.found, fmt.Sprintf("telling: %s was told as %s and as %s", n.Key, m, n.Matter))
		}
		if matters[n.Key] = n.Matter; n.Outage != "" {
			outages[n.Outage] = true
		}
	}
	if len(outages) > 1 && len(v.Observers) == 1 { // no story has more than one
		v.violates(15, "one outage has the keys %v", outages)
	}
}

// answers: what a person was told is true, and what they asked for was done once
// or not at all.
func (v *verdict) answers() {
	made := map[string]int{}
	for _, rec := range v.history {
		made[rec.Reason]++
	}
	for _, a := range readLines[answered](v.World, "answers") {
		switch n := made[a.Reason]; {
		case a.Done && a.Record != nil && n != 1:
			v.violates(12, "%q was answered with a record, and has %d", a.Reason, n)
		case !a.Done && !a.Unsure && n > 0:
			v.violates(12, "%q was refused (%s), and was done", a.Reason, a.Text)
		}
	}
	names := map[string]int{}
	for _, a := range readLines[asked](v.World, "asked") {
		if made[a.Reason] > 1 {
			v.violates(12, "%q was done %d times", a.Reason, made[a.Reason])
		}
		names[a.Name] += made[a.Reason]
	}
	for name, n := range names {
		if n > 1 {
			v.violates(12, "%q was done %d times, though asked again only when it was not", name, n)
		}
	}
}
