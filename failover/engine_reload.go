package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/policy"
)

// reloaded takes another configuration, whole or not at all.
func (e *Engine) reloaded(now time.Time, ev Reloaded) {
	if why := e.unreloadable(ev.Config); len(why) > 0 {
		e.answer(ev.ID, Answer{Text: "The running configuration stays: " + strings.Join(why, "; ") + "."})
		return
	}
	seed, seen := e.cfg.Seed, e.cfg.Seen
	e.cfg = ev.Config
	e.cfg.Seed, e.cfg.Seen = seed, seen
	old := e.res
	e.res, e.order, e.cursor = make(map[string]*resource, len(ev.Config.Resources)), nil, 0
	for _, def := range ev.Config.Resources {
		e.add(def)
		if was := old[def.Name]; was != nil {
			e.res[def.Name].inherit(was, now)
		}
	}
	e.notices = slices.DeleteFunc(e.notices, func(n Notice) bool { return n.Resource != "" && e.res[n.Resource] == nil })
	e.abandon(old)
	e.sweeping = false
	e.sweep(now)
	e.answer(ev.ID, Answer{Done: true, Text: "The new configuration is in force."})
}

// unreloadable says what the new configuration would break: it must still have
// each endpoint that is attached.
func (e *Engine) unreloadable(cfg Config) (why []string) {
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
// definition. Verdicts stay for endpoints whose URL stayed; of the others, what
// was begun under the old one says nothing. What was read is read anew, because
// handles may have come or gone.
func (r *resource) inherit(was *resource, now time.Time) {
	r.known, r.knownAt, r.rewound = was.known, was.knownAt, was.rewound
	r.switchAt, r.adopts, r.ballots, r.outages = was.switchAt, was.adopts, was.ballots, was.outages
	r.evidence = was.evidence + 1
	r.hold, r.outage, r.decision, r.vote = was.hold, was.outage, was.decision, was.vote
	r.observed, r.paused, r.local, r.ackAt, r.alien = was.observed, was.paused, was.local, was.ackAt, was.alien
	r.state = was.state
	if was.attached >= 0 {
		r.attached = sameEndpoint(r.def, was.def.Endpoints[was.attached])
	}
	for i, ep := range r.def.Endpoints {
		j := was.def.Endpoint(ep.Name)
		if j >= 0 && was.def.Endpoints[j].Target.URL == ep.Target.URL {
			r.endpoints[i] = was.endpoints[j]
			r.endpoints[i].examining = false
			continue
		}
		r.endpoints[i].born = now
	}
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
