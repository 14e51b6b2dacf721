package sim

import (
	"slices"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// staysFenced holds that a resource does not stay attached to what was fenced, for
// the only reason that it answers again: it takes no writes any more.
func (o *oracle) staysFenced(r *policy.Resource) {
	const long = 8 * time.Second
	since, was := o.watching.over[r.Name]
	if !was {
		return
	}
	s := o.w.stateOf(r.Name)
	if s.Fenced == 0 || s.Fenced != s.Epoch || s.Operation != nil || o.w.now-since < long || o.back || !o.onlyAttached(r, s, since) {
		return
	}
	for _, ep := range r.Endpoints {
		if ep.Name != s.Attached && o.takesOver(r, s, ep.Name, since) {
			o.w.breaks("liveness", "%s has been attached to %s for %v since that was fenced, and %s could take over", r.Name, s.Attached, o.w.now-since, ep.Name)
		}
	}
}

// onlyAttached reports whether nothing but what is attached keeps a failover of r back.
func (o *oracle) onlyAttached(r *policy.Resource, s failover.State, since time.Duration) bool {
	from := o.w.servers[r.Name+"/"+s.Attached]
	switch {
	case from == nil || from.class != probe.OK || r.Mode == policy.Observe || s.TwoWritable != "" || len(s.Recent) > 2 || len(o.w.defs) > 3:
		return false // it may be damped, or wait for a mass failure
	case o.ordersChange(r.Name, since) || len(o.w.living()) != len(o.w.names):
		return false
	}
	for _, k := range []string{controlAll, controlKey(r.Name)} {
		if c := o.control[k]; c != nil && (c.Pause != nil || len(c.Drained) > 0) {
			return false
		}
	}
	if slices.ContainsFunc(handleKeys(r), func(h string) bool { return o.w.store.Peek(h).ModifyIndex != o.ours[h] }) {
		return false
	}
	for _, n := range o.w.living() {
		if !o.untroubled(n, since) || n.known.voided > since || n.known.local[r.Name] > since || n.has(r.Name) == nil {
			return false
		}
		if _, failed := o.claims.failed[vetoKey{r.Name, n}]; failed {
			return false
		}
	}
	return true
}

// takesOver reports whether everybody has found an endpoint well, and fit, since then.
func (o *oracle) takesOver(r *policy.Resource, s failover.State, endpoint string, since time.Duration) bool {
	to := o.w.servers[r.Name+"/"+endpoint]
	required := r.Require
	if r.Steps.Has(policy.Promote) {
		required = r.Steps.Require
	}
	tainted := slices.ContainsFunc(s.Taints, func(t failover.Taint) bool { return t.Endpoint == endpoint })
	if to == nil || to.class != probe.OK || to.id != "" || tainted || len(policy.Unmet(required, to.facts)) > 0 {
		return false
	}
	for _, n := range o.w.living() {
		p := n.known.seen[r.Name+"/"+endpoint]
		if p == nil {
			return false
		}
		recent := p.since(n, since)
		if len(recent) == 0 || slices.ContainsFunc(recent, func(res probe.Result) bool { return res.Class != probe.OK }) {
			return false
		}
	}
	return true
}
