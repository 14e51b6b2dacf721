package failover

import (
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// Every transaction is a pure list of operations, made here and nowhere else.

// maxOps is how many operations a transaction of the store may have.
const maxOps = 128

// historyKept is how many records of a resource history keeps.
const historyKept = 200

// Reading is a resource's keys as they were at one moment.
type Reading struct {
	State    Entry
	Handles  []Entry // in the order of the resource's handles
	Controls []Entry // _all, then the resource's own; empty in a sweep
	Ballot   Entry   // only where it was asked for
	Sent     time.Time
}

// same reports whether two readings found the same state and handles.
func (rd *Reading) same(o *Reading) bool {
	return rd.State.same(o.State) && slices.EqualFunc(rd.Handles, o.Handles, Entry.same)
}

// readSweep reads states and handles of several resources.
func readSweep(rs []*policy.Resource) []Op {
	var ops []Op
	for _, r := range rs {
		ops = append(ops, readKeys(r)...)
	}
	return ops
}

func readKeys(r *policy.Resource) []Op {
	ops := []Op{{Verb: Get, Key: stateKey(r.Name)}}
	for _, h := range r.Handles {
		ops = append(ops, Op{Verb: Get, Key: h.Key})
	}
	return ops
}

// readOne reads all that a decision on one resource rests on.
func readOne(r *policy.Resource) []Op {
	return append(readKeys(r),
		Op{Verb: Get, Key: controlAll}, Op{Verb: Get, Key: controlKey(r.Name)}, Op{Verb: Get, Key: ballotKey(r.Name)})
}

// readingOf takes a resource's keys out of a reply.
func readingOf(r *policy.Resource, reply Reply, sent time.Time) *Reading {
	rd := &Reading{State: reply.Entry(stateKey(r.Name)), Ballot: reply.Entry(ballotKey(r.Name)), Sent: sent}
	for _, h := range r.Handles {
		rd.Handles = append(rd.Handles, reply.Entry(h.Key))
	}
	rd.Controls = []Entry{reply.Entry(controlAll), reply.Entry(controlKey(r.Name))}
	return rd
}

// unchanged is the guard that e is as it was read.
func unchanged(e Entry) Op {
	if e.Exists() {
		return Op{Verb: CheckIndex, Key: e.Key, Index: e.ModifyIndex}
	}
	return Op{Verb: CheckNotExists, Key: e.Key}
}

func allUnchanged(entries ...Entry) []Op {
	ops := make([]Op, 0, len(entries))
	for _, e := range entries {
		ops = append(ops, unchanged(e))
	}
	return ops
}

// openOps opens a ballot on what was read: nothing may have changed since, and
// no other ballot may be open.
func openOps(o Opening, resource string, rd *Reading) []Op {
	ops := []Op{{Verb: CAS, Key: ballotKey(resource), Value: encode(o), Index: 0}}
	ops = append(ops, unchanged(rd.State))
	ops = append(ops, allUnchanged(rd.Handles...)...)
	return append(ops, allUnchanged(rd.Controls...)...)
}

// closeOps closes the ballot that has index, and no other one.
func closeOps(resource string, index uint64) []Op {
	return []Op{
		{Verb: CheckIndex, Key: ballotKey(resource), Index: index},
		{Verb: DeleteTree, Key: ballotTree(resource)},
	}
}

// voteOps casts a vote on the ballot that has index. What may be left of an earlier
// vote of this observer's gives way.
func voteOps(resource string, index uint64, v Vote) []Op {
	return []Op{
		{Verb: CheckIndex, Key: ballotKey(resource), Index: index},
		{Verb: Set, Key: voteKey(resource, v.Observer), Value: encode(v)},
	}
}

// vetoOps closes the ballot that has index, and leaves the vote that closed it
// for the opener to read and to remove.
func vetoOps(resource string, index uint64, v Vote) []Op {
	return append(closeOps(resource, index), Op{Verb: Set, Key: voteKey(resource, v.Observer), Value: encode(v)})
}

// sweepOps removes what is left of a ballot that was closed.
func sweepOps(resource string) []Op {
	return []Op{
		{Verb: CheckNotExists, Key: ballotKey(resource)},
		{Verb: DeleteTree, Key: ballotTree(resource)},
	}
}

// resolveOps makes sure that the ballot with index is closed, whatever became
// of a commit that named it. It succeeds if the ballot is gone already.
func resolveOps(resource string, index uint64) []Op {
	return []Op{
		{Verb: DeleteCAS, Key: ballotKey(resource), Index: index},
		{Verb: DeleteTree, Key: ballotTree(resource)},
	}
}

// commitOps switches: the ballot is still the one that was opened, people asked
// for nothing else, and state and handles are as the opening read them.
func commitOps(r *policy.Resource, rd *Reading, ballot uint64, s State, rec Record, target int) []Op {
	ops := closeOps(r.Name, ballot)
	ops = append(ops, allUnchanged(rd.Controls...)...)
	ops = append(ops, writeState(r.Name, s, rd.State))
	for i, h := range r.Handles {
		ops = append(ops, writeHandle(h, rd.Handles[i], target))
	}
	return append(append(ops, recordOps(rec)...), afterDue(r, rec)...)
}

// adoptOps records what the handles are, and writes none. Where it records that none
// is ours, it does not matter what they hold by now.
func adoptOps(r *policy.Resource, rd *Reading, s State, rec Record) []Op {
	var ops []Op
	if len(s.Handles) > 0 {
		ops = allUnchanged(rd.Handles...)
	}
	ops = append(ops, writeState(r.Name, s, rd.State))
	return append(ops, recordOps(rec)...)
}

func writeState(resource string, s State, read Entry) Op {
	return Op{Verb: CAS, Key: stateKey(resource), Value: encode(s), Flags: read.Flags, Index: read.ModifyIndex}
}

// writeHandle gives a handle the target's value, with its flags kept. A handle
// that has it already is only checked, for writing it would not change its index.
func writeHandle(h policy.Handle, read Entry, target int) Op {
	value := h.Values[target].Reveal()
	if sameValue(read, value) {
		return unchanged(read)
	}
	return Op{Verb: CAS, Key: h.Key, Value: []byte(value), Flags: read.Flags, Index: read.ModifyIndex}
}

func sameValue(read Entry, value string) bool {
	return read.Exists() && string(read.Value) == value
}

// recordOps adds a record to history and drops the one that falls out.
func recordOps(rec Record) []Op {
	ops := []Op{{Verb: CAS, Key: historyKey(rec.Resource, rec.Epoch), Value: encode(rec), Index: 0}}
	if rec.Epoch > historyKept {
		ops = append(ops, Op{Verb: Delete, Key: historyKey(rec.Resource, rec.Epoch-historyKept)})
	}
	return ops
}

// controlOps writes a person's order over the control that was read.
func controlOps(read Entry, c Control) []Op {
	return []Op{{Verb: CAS, Key: read.Key, Value: encode(c), Flags: read.Flags, Index: read.ModifyIndex}}
}

// stateOps writes state alone.
func stateOps(resource string, s State, read Entry) []Op {
	return []Op{writeState(resource, s, read)}
}

// sentinelOps writes a watched prefix's sentinel. All write the same, and who writes
// what is there changes nothing.
func sentinelOps(key string) []Op {
	return []Op{{Verb: Set, Key: key, Value: []byte("This key keeps watches of its prefix quiet. Leave it.")}}
}

// ownIndexes returns what State.Handles shall be after a commit to target: 0
// where the commit writes the handle, else the index that it has.
func ownIndexes(r *policy.Resource, rd *Reading, target int) map[string]uint64 {
	own := make(map[string]uint64, len(r.Handles))
	for i, h := range r.Handles {
		own[h.Key] = 0
		if sameValue(rd.Handles[i], h.Values[target].Reveal()) {
			own[h.Key] = rd.Handles[i].ModifyIndex
		}
	}
	return own
}

// readIndexes returns what State.Handles shall be where no handle is written.
func readIndexes(rd *Reading) map[string]uint64 {
	own := make(map[string]uint64, len(rd.Handles))
	for _, e := range rd.Handles {
		own[e.Key] = e.ModifyIndex
	}
	return own
}

// pinned returns s for a write of state alone: what was written together with
// state before now has state's former index.
func pinned(s State, read Entry) State {
	own := make(map[string]uint64, len(s.Handles))
	for k, v := range s.Handles {
		if v == 0 {
			v = read.ModifyIndex
		}
		own[k] = v
	}
	s.Handles = own
	return s
}

// isOurs reports whether a handle is unchanged since our last switch.
func isOurs(s State, state, handle Entry) bool {
	own, ok := s.Handles[handle.Key]
	if !ok || !handle.Exists() {
		return false
	}
	if own == 0 {
		own = state.ModifyIndex
	}
	return own == handle.ModifyIndex
}

// conditionOf says what a resource's handles are, which endpoint they name (-1:
// none), and in a few words what is odd about them.
func conditionOf(r *policy.Resource, s State, rd *Reading) (c policy.Condition, endpoint int, detail string) {
	named, exact, strange := namedBy(r, s, rd)
	var missing []string
	for _, e := range rd.Handles {
		if !e.Exists() {
			missing = append(missing, e.Key)
		}
	}
	if !rd.State.Exists() {
		return conditionWithoutState(named, len(r.Handles), missing, strange)
	}
	if len(missing) > 0 {
		return policy.Deleted, r.Endpoint(s.Attached), strings.Join(missing, ", ") + " is gone"
	}
	for _, e := range rd.Handles {
		if !isOurs(s, rd.State, e) {
			if strange != "" {
				return policy.Foreign, -1, strange
			}
			return policy.Moved, named, "somebody else wrote " + r.Endpoints[named].Name + " into them"
		}
	}
	return conditionOfOurs(r, s, named, exact, strange)
}

// namedBy returns the endpoint that all handles name, and whether they are
// spelled as they would be now; -1 if there is none, and then why. Of several,
// it is the recorded one.
func namedBy(r *policy.Resource, s State, rd *Reading) (endpoint int, exact bool, strange string) {
	endpoint = -1
	for i, ep := range r.Endpoints {
		all, same := true, true
		for j, h := range r.Handles {
			if e := rd.Handles[j]; e.Exists() {
				names, spelt := h.Names(string(e.Value), i)
				all, same = all && names, same && spelt
			}
		}
		if all && (endpoint < 0 || same && !exact || same == exact && ep.Name == s.Attached) {
			endpoint, exact = i, same
		}
	}
	if endpoint >= 0 {
		return endpoint, exact, ""
	}
	for j, h := range r.Handles {
		if e := rd.Handles[j]; e.Exists() {
			if at, _ := h.Named(string(e.Value)); at < 0 {
				return -1, false, h.Key + " holds a value that no endpoint has"
			}
		}
	}
	return -1, false, "they name different endpoints"
}

func conditionWithoutState(named, handles int, missing []string, strange string) (policy.Condition, int, string) {
	switch {
	case len(missing) == handles:
		return policy.Empty, -1, "there is no handle yet"
	case strange != "":
		return policy.Foreign, -1, strange
	case len(missing) > 0:
		return policy.Foreign, -1, strings.Join(missing, ", ") + " is missing"
	}
	return policy.Unmanaged, named, "nothing is recorded yet"
}

// conditionOfOurs tells ours from outdated. What is attached is what the handles
// lead to, whatever its name was when they were written.
func conditionOfOurs(r *policy.Resource, s State, named int, exact bool, strange string) (policy.Condition, int, string) {
	attached := r.Endpoint(s.Attached)
	if named >= 0 {
		attached = named
	}
	switch {
	case attached < 0:
		return policy.Foreign, -1, "the configuration no longer has the endpoint " + s.Attached
	case strange != "" || !exact:
		return policy.Outdated, attached, "the configuration spells " + r.Endpoints[attached].Name + " otherwise now"
	}
	return policy.Ours, attached, ""
}

// withSwitch returns the state after a switch, and the taint that it leaves.
func withSwitch(s State, sw Switch, r *policy.Resource, why string) State {
	s.Epoch, s.Attached, s.Op, s.Fenced, s.FenceLost = sw.Epoch, sw.To, sw.Op, 0, ""
	s.Recent = append(append([]Switch(nil), s.Recent...), sw)
	if n := len(s.Recent); n > recentSwitches {
		s.Recent = s.Recent[n-recentSwitches:]
	}
	if sw.From == "" || sw.From == sw.To {
		return s
	}
	s.Taints = withoutTaint(s.Taints, r, sw.From)
	if r.Protocol.Traits.Taints {
		s.Taints = append(s.Taints, Taint{Endpoint: sw.From, Place: placeOf(r, sw.From), Epoch: sw.Epoch, Why: why, At: sw.At})
	}
	// What is attached now is what the others are measured by.
	s.Taints = withoutTaint(s.Taints, r, sw.To)
	return s
}

// placeOf is the host and port of an endpoint; empty if there is none of that name.
func placeOf(r *policy.Resource, endpoint string) string {
	i := r.Endpoint(endpoint)
	if i < 0 {
		return ""
	}
	u := r.Endpoints[i].Target.URL
	scheme, _ := r.Protocol.Scheme(u.Scheme)
	return u.HostPort(scheme.Port)
}

// marks reports whether t taints the endpoint: by its name, or because it is
// the same server under another name.
func (t Taint) marks(r *policy.Resource, endpoint string) bool {
	return t.Endpoint == endpoint || t.Place != "" && t.Place == placeOf(r, endpoint)
}

func withoutTaint(taints []Taint, r *policy.Resource, endpoint string) []Taint {
	var kept []Taint
	for _, t := range taints {
		if !t.marks(r, endpoint) {
			kept = append(kept, t)
		}
	}
	return kept
}

// voteOf is what this observer saw, as a vote.
func voteOf(cfg Config, hash, nonce string, all []policy.Standing) Vote {
	v := Vote{Nonce: nonce, Observer: cfg.Observer, Zone: cfg.Zone, Hash: hash}
	for _, e := range all {
		class := e.Verdict.Class
		if e.Verdict.State == policy.Up {
			class = probe.OK
		}
		v.Saw = append(v.Saw, EndpointVote{e.Name, e.Verdict.State, class, e.Verdict.Code, e.Fresh})
	}
	return v
}
