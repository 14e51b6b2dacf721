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
			e.res[def.Name].inherit(was)
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
		if r == nil || r.attached < 0 || r.reading == nil {
			continue
		}
		was := r.def.Endpoints[r.attached]
		same := func(ep policy.Endpoint) bool {
			return ep.Name == was.Name || ep.Target.URL.Reveal() == was.Target.URL.Reveal()
		}
		if !slices.ContainsFunc(def.Endpoints, same) {
			why = append(why, fmt.Sprintf("%s no longer has its attached endpoint %s (switch over first)", def.Name, was.Name))
		}
	}
	return why
}

// inherit keeps what is known of a resource that goes on under another
// definition. Verdicts stay for endpoints whose URL stayed. What was read is
// read anew, because handles may have come or gone.
func (r *resource) inherit(was *resource) {
	r.known, r.knownAt, r.rewound = was.known, was.knownAt, was.rewound
	r.switchAt, r.adopts, r.ballots, r.outages = was.switchAt, was.adopts, was.ballots, was.outages
	r.evidence = was.evidence + 1
	r.hold, r.outage, r.decision, r.vote = was.hold, was.outage, was.decision, was.vote
	for i, ep := range r.def.Endpoints {
		j := was.def.Endpoint(ep.Name)
		if j >= 0 && was.def.Endpoints[j].Target.URL == ep.Target.URL {
			r.endpoints[i] = was.endpoints[j]
			r.endpoints[i].examining = false
		}
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
		if r.ballot != nil && r.ballot.index != 0 {
			e.transact(&request{purpose: PurposeClose, resource: name}, closeOps(name, r.ballot.index), storeTimeout, time.Time{})
		}
	}
}
