package failover

import (
	"maps"
	"time"

	"github.com/reattach/reattach/probe"
)

// canariesMissed is after how many canaries that did not come as far what the last
// one learnt is no longer known.
const canariesMissed = 3

// took keeps what a conversation came to that was no mere ping. What only a canary
// learns stands until the next one, until a conversation fails, or until it is old.
func (ep *endpoint) took(now time.Time, res probe.Result, p probe.Protocol) {
	ep.last = res
	switch {
	case res.Kind == probe.Write:
		ep.deep, ep.deepened = p.Deep(res.Facts), res.Began
	case res.Failed(), res.Began.Sub(ep.deepened) > canariesMissed*p.Defaults.CanaryInterval:
		ep.deep = nil
	}
	if len(res.Facts) > 0 {
		ep.facts, ep.learnt = res.Facts, res.Began
	}
	if len(ep.deep) > 0 && res.Kind != probe.Write {
		ep.facts = maps.Clone(ep.deep)
		maps.Copy(ep.facts, res.Facts)
	}
	switch {
	case res.Class != probe.Local:
		ep.localAt = time.Time{}
	case ep.localAt.IsZero():
		ep.localAt = now
	}
}

// expected holds a conversation with what is attached to what is expected of it,
// if it began after the switch that led there: before, it was a standby.
func (r *resource) expected(i int, res probe.Result) probe.Result {
	if i != r.attached || !res.Began.After(r.switchAt[r.state.Op]) {
		return res
	}
	return r.def.Judge.Expected(res)
}
