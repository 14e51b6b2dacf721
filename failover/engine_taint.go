package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// lookCaughtUp ends the taint of a store of data that has shown, in two
// conversations in a row since it was left, that it misses nothing: read-only,
// replicating from what is attached, and everything received is applied.
func (e *Engine) lookCaughtUp(now time.Time, r *resource) {
	if !r.def.Protocol.Traits.StoreOfData || r.attached < 0 {
		return
	}
	for i := range r.endpoints {
		ep := &r.endpoints[i]
		mark, tainted := r.mark(r.def.Endpoints[i].Name)
		switch {
		case i == r.attached || !tainted || ep.last.Class != probe.OK || !r.follows(i):
			ep.follows = 0
		case ep.learnt == ep.followed || !ep.learnt.After(r.leftAt(mark)): // nothing new, or from before it was left
		default:
			ep.follows++
		}
		ep.followed = ep.learnt
		if ep.follows >= 2 && ep.verdict.State == policy.Up && now.Sub(r.clearing) >= holdRetry && e.mayClear(now, r) {
			r.clearing = now
			e.clearTaint(r, mark.Endpoint, &request{shown: fmt.Sprintf("%s: %s is a standby again: it is read-only, replicates from %s, and has applied all that it received.", r.def.Name, mark.Endpoint, r.from())})
			return
		}
	}
}

// follows reports whether an endpoint is a replica of the attached one that has
// applied all that it received, and takes no writes of its own.
func (r *resource) follows(i int) bool {
	f := r.endpoints[i].facts
	source, _ := f["source"].(string)
	return f["writable"] == false && f["replicating"] == true && f["applied"] == true && r.attachedIs(source)
}

// attachedIs reports whether host:port is where the attached endpoint is, by its
// URL or by the address that it was last spoken to at.
func (r *resource) attachedIs(place string) bool {
	def, ep := &r.def.Endpoints[r.attached], &r.endpoints[r.attached]
	port := def.Target.URL.Port
	if scheme, ok := r.def.Protocol.Scheme(def.Target.URL.Scheme); port == "" && ok {
		port = scheme.Port
	}
	return place != "" && (strings.EqualFold(place, def.Target.URL.Host+":"+port) || place == ep.last.Addr)
}

// lookRestarted ends the taint of a cache that was restarted while it was away
// and so is empty: what it could have served too old is gone. How long it has been
// away counts from when that was seen here: who left it may have a slow clock.
func (e *Engine) lookRestarted(now time.Time, r *resource) {
	if !r.def.Protocol.Traits.RestartClears || now.Sub(r.clearing) < holdRetry || !e.mayClear(now, r) {
		return
	}
	for _, t := range r.state.Taints {
		i := r.def.Endpoint(t.Endpoint)
		at := slices.IndexFunc(r.state.Recent, func(s Switch) bool { return s.Epoch == t.Epoch })
		if i < 0 || at < 0 {
			continue
		}
		ep := &r.endpoints[i]
		uptime, ok := ep.facts["uptime"].(int64)
		away := ep.last.Began.Sub(r.sawAt[r.state.Recent[at].Op])
		if ok && ep.last.Class == probe.OK && time.Duration(uptime+2)*time.Second < away {
			r.clearing = now
			e.clearTaint(r, t.Endpoint, &request{shown: fmt.Sprintf("%s: %s is a standby again: it was restarted while it was away, and so is empty.", r.def.Name, t.Endpoint)})
			return
		}
	}
}
