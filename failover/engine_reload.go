package failover

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// reloaded takes another configuration, whole or not at all.
func (e *Engine) reloaded(now time.Time, ev Reloaded) {
	if why := e.unreloadable(ev.Config); len(why) > 0 {
		e.answer(ev.ID, Answer{Text: "The running configuration stays: " + strings.Join(why, "; ") + "."})
		return
	}
	several := e.several()
	seed, without, seen := e.cfg.Seed, e.cfg.Without, map[string]Seen{} // of those, too, that come back in a later reload
	maps.Copy(seen, e.cfg.Seen)
	maps.Copy(seen, e.seen())
	e.cfg = ev.Config
	e.cfg.Seed, e.cfg.Without, e.cfg.Seen = seed, without, seen
	old := e.res
	e.res, e.order, e.cursor = make(map[string]*resource, len(ev.Config.Resources)), nil, 0
	for _, def := range ev.Config.Resources {
		e.add(def)
		if was := old[def.Name]; was != nil {
			e.res[def.Name].inherit(was, now)
		}
	}
	e.regroup(several)
	e.endUnconfigured(now)
	if !ev.Reread { // which says nothing of a configuration that was refused
		e.misread(now, Misread{})
	}
	e.abandon(old)
	e.sweeping = false
	e.sweep(now)
	e.answer(ev.ID, Answer{Done: true, Text: "The new configuration is in force."})
}

// unreloadable says what the new configuration would break: it must still have
// each endpoint that is attached.
func (e *Engine) unreloadable(cfg Config) (why []string) {
	for _, name := range e.order {
		op := e.res[name].state.Operation
		i := slices.IndexFunc(cfg.Resources, func(def *policy.Resource) bool { return def.Name == name })
		if op != nil && (i < 0 || cfg.Resources[i].Endpoint(op.To) < 0) {
			why = append(why, fmt.Sprintf("%s is in the middle of %s", name, op.describe()))
		}
	}
	for _, def := range cfg.Resources {
		r := e.res[def.Name]
		if r == nil || r.attached < 0 {
			continue
		}
		if was := r.def.Endpoints[r.attached]; sameEndpoint(def, was) < 0 {
			why = append(why, fmt.Sprintf("%s no longer has its attached endpoint %s (switch over first)", def.Name, was.Name))
		}
	}
	return why
}

// sameEndpoint finds an endpoint of an earlier configuration in def: by its URL,
// for it may have another name now, else by its name; -1 if there is none.
func sameEndpoint(def *policy.Resource, was policy.Endpoint) int {
	url := was.Target.URL.Reveal()
	i := slices.IndexFunc(def.Endpoints, func(ep policy.Endpoint) bool { return ep.Target.URL.Reveal() == url })
	if i < 0 {
		i = def.Endpoint(was.Name)
	}
	return i
}

// inherit keeps what is known of a resource that goes on under another
// definition. Verdicts stay for endpoints whose URL stayed, but for the account
// and its password; of the others, what was begun under the old one says nothing. What was read is read anew, because
// handles may have come or gone.
func (r *resource) inherit(was *resource, now time.Time) {
	r.known, r.knownAt, r.rewound = was.known, was.knownAt, was.rewound
	r.kept, r.met, r.owed, r.left, r.ended, r.restored = was.kept, was.met, was.owed, was.left, was.ended, was.restored
	r.suspected, r.goodSince, r.badSince = was.suspected, was.goodSince, was.badSince
	r.switchAt, r.sawAt, r.adopts, r.ballots, r.outages = was.switchAt, was.sawAt, was.adopts, was.ballots, was.outages
	r.evidence = was.evidence + 1
	r.hold, r.outage, r.decision, r.vote = was.hold, was.outage, was.decision, was.vote
	r.observed, r.paused, r.local, r.ackAt, r.alien, r.litter = was.observed, was.paused, was.local, was.ackAt, was.alien, was.litter
	r.tree = was.tree // else votes that are swept away next would seem to be there still, and be swept for ever
	r.state, r.votedOn = was.state, was.votedOn
	r.task, r.opSeen, r.opSince, r.voided, r.stepPause = was.task, was.opSeen, was.opSince, was.voided, was.stepPause
	r.stepRetry, r.stepGate, r.stepWhy = was.stepRetry, was.stepGate, was.stepWhy
	r.after, r.gaveUp = was.after, was.gaveUp
	r.after.flying, r.after.read = false, false
	if was.attached >= 0 {
		r.attached = sameEndpoint(r.def, was.def.Endpoints[was.attached])
	}
	if was.writing >= 0 && r.def.Pace.WriteInterval == 0 {
		was.endpoints[was.writing].verdict = was.endpoints[was.writing].verdict.Forget(probe.Write, now)
	}
	for i, ep := range r.def.Endpoints {
		j := was.def.Endpoint(ep.Name)
		if j >= 0 && samePlace(was.def.Endpoints[j].Target.URL, ep.Target.URL) {
			r.endpoints[i] = was.endpoints[j]
			r.endpoints[i].examining = false
			continue
		}
		r.endpoints[i].born = now
	}
}

// samePlace reports whether two URLs lead to the same place on the same server,
// whoever asks: what was seen there is not of an account.
func samePlace(a, b probe.URL) bool {
	b.User, b.Password, b.HasPass = a.User, a.Password, a.HasPass
	return a == b
}

// abandon withdraws what was under way under the old configuration. A commit
// that was already sent may still happen; the sweep tells.
func (e *Engine) abandon(old map[string]*resource) {
	names := make([]string, 0, len(old))
	for name := range old {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		r := old[name]
		if r.want != nil {
			e.answer(r.want.order, Answer{Unsure: true, Text: "The configuration was reloaded meanwhile; look, and ask again."})
		}
		if r.adopting != nil {
			e.answer(r.adopting.order, Answer{Unsure: true, Text: "The configuration was reloaded meanwhile; look, and ask again."})
		}
		if r.ballot != nil {
			if at := max(r.ballot.index, r.ballot.seen); at != 0 {
				e.closeBallot(name, at)
			}
		}
		for i, ep := range r.endpoints {
			if ep.examining { // what goes on begins anew
				e.emit(Examine{name, r.def.Endpoints[i].Name, false})
			}
		}
	}
}
