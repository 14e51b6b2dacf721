package failover

import (
	"time"

	"github.com/reattach/reattach/policy"
)

func (e *Engine) voidAll(now time.Time, why Rule) {
	for _, name := range e.order {
		e.voidOne(now, e.res[name], why)
	}
}

// voidOne throws away what speaks against the endpoints of r, as a rule wants it.
func (e *Engine) voidOne(now time.Time, r *resource, why Rule) {
	if !e.holds(why) {
		return
	}
	for i := range r.endpoints {
		if ep := &r.endpoints[i]; ep.verdict.State != policy.Up {
			ep.verdict = ep.verdict.Void(now)
		}
	}
	if r.voting != nil {
		r.voting.void(now)
	}
	r.wish, r.evidence, r.voided = nil, r.evidence+1, now
	r.goodSince, r.badSince = time.Time{}, time.Time{}
}

// void throws away what a vote would rest on, but for what was well.
func (v *voting) void(now time.Time) {
	for i := range v.fresh {
		if v.fresh[i].State != policy.Up {
			v.fresh[i] = v.fresh[i].Void(now)
		}
	}
}
