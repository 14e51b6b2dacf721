package failover_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// stepped takes in what the engine was told, and judges what it sets out to do.
func (o *oracle) stepped(ev failover.Event, effects []failover.Effect) {
	if o == nil {
		return
	}
	switch ev := ev.(type) {
	case failover.Observed:
		o.observed(ev)
	case failover.Answered:
		if ev.Err == nil || errors.Is(ev.Err, failover.ErrDenied) {
			if o.w.now.Sub(o.heard) > 2200*time.Millisecond {
				o.voidBad(o.w.now) // blindness was noticed, and is over
			}
			o.heard = o.w.now
		}
	case failover.Stood:
		o.heard = o.w.now
		o.void = o.w.now
		o.voidBad(o.w.now)
	case failover.Ordered:
		o.asked[ev.ID] = asking{ev.Command, o.w.now}
		o.asks = append(o.asks, o.asked[ev.ID])
		if ev.Command.Verb == "clear" {
			o.clears[ev.Command.Resource+"/"+ev.Command.Endpoint] = true
		}
	}
	for i, effect := range effects {
		switch f := effect.(type) {
		case failover.Remember:
			if i < len(effects)-1 { // who dies after it must have told what comes before it
				o.breaks(15, "what was seen last is to be remembered before %T", effects[i+1])
			}
		case failover.Transact:
			o.sends(f)
		case failover.Respond:
			delete(o.asked, f.ID)
		case failover.Tell:
			o.tells(f.Notice)
		case failover.RunStep:
			o.ran(f)
		case failover.Switched:
			o.claims[f.Record.Op]++
			if !slices.ContainsFunc(o.made, func(m failover.Record) bool { return m.Op == f.Record.Op }) {
				o.breaks(12, "%s of %s is told as made, and was not", f.Record.Kind, f.Record.Resource)
			}
		}
	}
}

func (o *oracle) observed(ev failover.Observed) {
	name := ev.Resource + "/" + ev.Endpoint
	if ev.Result.Began.Before(o.void) {
		return
	}
	o.wasOK[name] = o.wasOK[name] || ev.Result.Class == probe.OK
	if o.seen[name] = append(o.seen[name], ev.Result); ev.Result.Class == probe.Local {
		o.local[ev.Resource] = o.w.now.Add(2 * time.Second)
	}
	if n := len(o.seen[name]); n > 400 {
		o.seen[name] = slices.Clone(o.seen[name][n-300:])
	}
}

// voidBad forgets what spoke against endpoints.
func (o *oracle) voidBad(time.Time) {
	for name, all := range o.seen {
		o.seen[name] = slices.DeleteFunc(slices.Clone(all), func(r probe.Result) bool { return r.Class != probe.OK })
	}
}

// reloaded forgets what was seen under another URL, but for its password.
func (o *oracle) reloaded(was failover.Config) {
	for _, r := range o.w.cfg.Resources {
		for _, ep := range r.Endpoints {
			same := slices.ContainsFunc(was.Resources, func(old *policy.Resource) bool {
				i := old.Endpoint(ep.Name)
				return old.Name == r.Name && i >= 0 && old.Endpoints[i].Target.URL.String() == ep.Target.URL.String()
			})
			if !same {
				delete(o.seen, r.Name+"/"+ep.Name)
			}
		}
	}
}

// restarted forgets what only the process knew.
func (o *oracle) restarted() {
	clear(o.seen)
	clear(o.wasOK)
	clear(o.asked)
	clear(o.opens)
	o.begun = slices.Clone(o.w.cfg.Active)
	clear(o.pauses)
	clear(o.local)
	clear(o.byItself)
	clear(o.steps.running)
	o.heard, o.void, o.lost = o.w.now, time.Time{}, o.w.now
}

// sends judges an opening or a commit at the moment when it is decided on.
func (o *oracle) sends(f failover.Transact) {
	if f.Purpose == failover.PurposeClaim {
		o.claimsOn(f)
	}
	if f.Purpose != failover.PurposeOpen && f.Purpose != failover.PurposeCommit {
		return
	}
	var rec failover.Record
	for _, op := range f.Ops {
		if op.Verb == failover.CAS && strings.HasPrefix(op.Key, "reattach/history/") {
			_ = json.Unmarshal(op.Value, &rec)
		}
	}
	if silent := o.w.now.Sub(o.heard); silent > 2200*time.Millisecond {
		o.breaks(6, "%s is sent although the store has been silent for %v", f.Purpose, silent)
	}
	if resource := strings.Split(f.Ops[0].Key, "/")[2]; o.w.now.Before(o.local[resource]) {
		o.breaks(6, "%s of %s is sent right after a fault of this host's own", f.Purpose, resource)
	}
	if f.Purpose != failover.PurposeCommit {
		var b failover.Opening
		_ = json.Unmarshal(f.Ops[0].Value, &b)
		resource := strings.Split(f.Ops[0].Key, "/")[2]
		_, asked := o.oldest(resource)
		if !asked {
			o.byItself[b.Nonce] = o.w.now
		}
		return
	}
	i := slices.IndexFunc(o.w.cfg.Resources, func(r *policy.Resource) bool { return r.Name == rec.Resource })
	if i < 0 {
		o.breaks(1, "a commit without a record: %v", f.Ops)
		return
	}
	r := o.w.cfg.Resources[i]
	fault := func(number int, format string, args ...any) {
		o.faults[rec.Op] = append(o.faults[rec.Op], fmt.Sprintf("invariant %d: ", number)+fmt.Sprintf(format, args...))
	}
	o.faults[rec.Op], o.meant[rec.Op] = nil, r
	forced := func(gate string) bool { return slices.Contains(rec.Forced, gate) }
	if r.Mode == policy.Observe && rec.Automatic {
		fault(1, "%s of %s, which is only observed", rec.Kind, r.Name)
	}
	var s failover.State
	_ = json.Unmarshal(o.w.get("reattach/state/"+r.Name).Value, &s)
	fenced := s.Fenced != 0 && s.Fenced == s.Epoch
	if rec.Kind == policy.Failover && !fenced && !(forced("class") && forced("quorum")) {
		if why := o.notDown(r, rec); why != "" {
			fault(2, "failover of %s from %s: %s", r.Name, rec.From, why)
		}
	}
	if slices.Contains([]policy.Kind{policy.Failover, policy.Switchover, policy.FailbackTo, policy.Bootstrap}, rec.Kind) && !forced("candidate") {
		if why := o.notUp(r, rec); why != "" {
			fault(4, "%s of %s to %s: %s", rec.Kind, r.Name, rec.To, why)
		}
		if rec.To == rec.From {
			fault(4, "%s of %s to what was attached", rec.Kind, r.Name)
		}
	}
	if rec.Automatic {
		o.paces(r, rec, fault)
	}
	o.asksFor(r, rec, fault)
}

// asksFor holds that what is done by command is what was asked.
func (o *oracle) asksFor(r *policy.Resource, rec failover.Record, fault func(int, string, ...any)) {
	if rec.Automatic {
		if len(rec.Forced) > 0 || rec.Person != "" || rec.Kind == policy.Restore || rec.Kind == policy.Refresh || rec.Kind == policy.Switchover {
			fault(18, "a %s of %s by itself, forced %v", rec.Kind, r.Name, rec.Forced)
		}
		return
	}
	verbs := map[policy.Kind]string{policy.Failover: "failover", policy.Switchover: "switchover", policy.FailbackTo: "failback",
		policy.Restore: "restore", policy.Refresh: "refresh"}
	asks := slices.Collect(maps.Values(o.asked))
	if len(rec.Steps) > 0 { // who asked may have seen an earlier life end
		asks = o.asks
	}
	for _, a := range asks {
		if a.Resource == r.Name && a.Verb == verbs[rec.Kind] && slices.Equal(a.Force, rec.Forced) && (a.Endpoint == "" || a.Endpoint == rec.To || rec.Kind == policy.Refresh) {
			return
		}
	}
	fault(18, "nobody asked for the %s of %s to %s, forcing %v", rec.Kind, r.Name, rec.To, rec.Forced)
}

// notDown says why a failover does not rest on evidence.
func (o *oracle) notDown(r *policy.Resource, rec failover.Record) string {
	name := r.Name + "/" + rec.From
	t, all := r.Judge, o.counted(r, name)
	if len(all) == 0 || !o.evidence(r, name, all[len(all)-1].Class) {
		return fmt.Sprintf("the last thing seen is no evidence: %v", tail(all))
	}
	if !rec.Automatic {
		return ""
	}
	all = slices.DeleteFunc(all, func(res probe.Result) bool { // neither for nor against
		return !res.Class.Answered() && !o.evidence(r, name, res.Class)
	})
	if len(all) < t.Of {
		return fmt.Sprintf("only %d observations", len(all))
	}
	for _, res := range all[len(all)-t.Of:] {
		if !o.evidence(r, name, res.Class) {
			return fmt.Sprintf("not %d bad ones: %v", t.Bad, tail(all))
		}
	}
	lasted := all[len(all)-1].Ended.Sub(o.firstBad(r, name, all))
	if lasted < t.Sustain {
		return fmt.Sprintf("it lasted %v only: %v", lasted, tail(all))
	}
	soft := slices.ContainsFunc(all[len(all)-t.Of:], func(res probe.Result) bool { return !res.Class.Evidence() && res.Class != probe.Role })
	if soft && lasted < t.AlsoSustain {
		return fmt.Sprintf("it lasted %v only, for a class that is evidence by configuration: %v", lasted, tail(all))
	}
	return ""
}

func tail(all []probe.Result) (last []string) {
	for _, res := range all[max(0, len(all)-6):] {
		last = append(last, res.Class.String())
	}
	return last
}

func (o *oracle) evidence(r *policy.Resource, name string, c probe.Class) bool {
	return slices.Contains(r.Judge.AlsoEvidence, c) || c.Evidence() && (c != probe.Garbled || o.wasOK[name]) || c == probe.Role && r.Judge.Expect != nil
}

// counted are the observations that say anything, but for those that were
// delivered before a pause ended.
func (o *oracle) counted(r *policy.Resource, name string) (all []probe.Result) {
	ended := o.local[r.Name]
	for _, key := range []string{"reattach/control/_all", "reattach/control/" + r.Name} {
		if at := o.pauses[key].ended; at.After(ended) {
			ended = at
		}
	}
	for _, res := range o.seen[name] {
		if res.Class == probe.OK && r.Judge.Expect != nil && res.Facts["writable"] == false { // all that stories expect
			res.Class = probe.Role
		}
		if res.Class != probe.Local && !(res.Class != probe.OK && res.Ended.Before(ended)) {
			all = append(all, res)
		}
	}
	return all
}

// firstBad is when the run began that all ends with: after the last two good ones in a row.
func (o *oracle) firstBad(r *policy.Resource, name string, all []probe.Result) time.Time {
	from, good := 0, 0
	for i, res := range all {
		if good++; res.Class != probe.OK {
			good = 0
		}
		if good >= r.Judge.Rise {
			from = i + 1
		}
	}
	for _, res := range all[from:] {
		if o.evidence(r, name, res.Class) {
			return res.Began
		}
	}
	return o.w.now
}

// notUp says why a target was not up.
func (o *oracle) notUp(r *policy.Resource, rec failover.Record) string {
	var all []probe.Result
	for _, res := range o.seen[r.Name+"/"+rec.To] {
		if res.Class != probe.Local {
			all = append(all, res)
		}
	}
	if len(all) == 0 || all[len(all)-1].Class != probe.OK {
		return fmt.Sprintf("the last thing seen is not ok: %v", tail(all))
	}
	last, since := all[len(all)-1], o.w.now.Add(-time.Minute)
	if a, ok := o.oldest(r.Name); ok && !rec.Automatic {
		since = a.at
	}
	if from := r.Name + "/" + rec.From; rec.Kind == policy.Failover {
		if bad := o.firstBad(r, from, o.counted(r, from)); bad.Before(o.w.now) {
			since = bad
		}
	}
	if last.Began.Before(since) || o.w.now.Sub(last.Began) > time.Minute {
		return fmt.Sprintf("it was ok at %v only", last.Began.Sub(o.w.start))
	}
	return ""
}

// paces holds that automatic switches are damped.
func (o *oracle) paces(r *policy.Resource, rec failover.Record, fault func(int, string, ...any)) {
	if rec.Kind == policy.Bootstrap {
		return
	}
	fleet := 0
	for _, all := range o.auto {
		for _, m := range all {
			if o.w.now.Sub(m.at) < 58*time.Second {
				fleet++
			}
		}
	}
	if fleet > policy.PaceLimit+1 { // one may have been in flight
		fault(11, "%s of %s is the %dth within the minute", rec.Kind, r.Name, fleet+1)
	}
	recent, tried := 0, map[string]bool{}
	for _, m := range o.auto[r.Name] {
		if o.w.now.Sub(m.at) < time.Hour-2*time.Second {
			recent++
			tried[m.From], tried[m.To] = true, true
		}
	}
	var s failover.State
	w := o.w.get("reattach/state/" + r.Name)
	_ = json.Unmarshal(w.Value, &s)
	since := slices.ContainsFunc(s.Recent, func(sw failover.Switch) bool { return sw.Automatic && sw.Epoch > s.Acked })
	if recent >= policy.DampingLimit && (s.Acked == 0 || since) && tried[rec.To] {
		fault(11, "%s of %s to %s after %d within the hour", rec.Kind, r.Name, rec.To, recent)
	}
	o.notMass(r, rec, fault)
}

// notMass holds that a failure of half of everything is not acted on by one observer.
func (o *oracle) notMass(r *policy.Resource, rec failover.Record, fault func(int, string, ...any)) {
	if rec.Kind != policy.Failover || r.MassFailure == policy.MassProceed {
		return
	}
	attached := 0
	var bad []time.Time
	for _, other := range o.w.cfg.Resources {
		at := -1
		for i := range other.Endpoints {
			strange := func(h policy.Handle) bool { return string(o.w.get(h.Key).Value) != h.Values[i].Reveal() }
			if !slices.ContainsFunc(other.Handles, strange) {
				at = i
			}
		}
		var s failover.State
		_ = json.Unmarshal(o.w.get("reattach/state/"+other.Name).Value, &s)
		if at < 0 || s.Attached != other.Endpoints[at].Name {
			return // who knows, for a moment
		}
		attached++
		name := other.Name + "/" + other.Endpoints[at].Name
		all := o.counted(other, name)
		own := len(o.seen[name]) > 0 && o.seen[name][len(o.seen[name])-1].Class == probe.Local
		if !own && len(all) > 0 && o.evidence(other, name, all[len(all)-1].Class) {
			bad = append(bad, o.firstBad(other, name, all))
		}
	}
	slices.SortFunc(bad, time.Time.Compare)
	near := 0
	for i := range bad {
		in := 0
		for _, t := range bad[i:] {
			if t.Sub(bad[i]) <= 30*time.Second {
				in++
			}
		}
		near = max(near, in)
	}
	if attached >= 4 && 2*near >= attached && o.acked[r.Name].IsZero() {
		fault(11, "failover of %s while %d of %d failed at once", r.Name, near, attached)
	}
}
