package failover

import (
	"maps"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// Facts of a replica that change their meaning when its source dies.
const (
	factLag         = "lag"         // seconds, while both threads run; unknown once they do not
	factApplied     = "applied"     // all that it received; while its source is busy there is nearly always more
	factReplicating = "replicating" // both threads run
)

// appliedFor is how long ago a replica whose threads run may have been seen with
// everything applied, to be believed that it will be once nothing more arrives.
const appliedFor = time.Minute

// lastLag is the last lag that a replica showed.
type lastLag struct {
	seconds any       // nil: none that counts
	began   time.Time // the conversation that taught it
	gone    time.Time // when the first conversation ended that taught none any more; zero: it did until now
}

// replicates keeps what a conversation taught that counts on after it.
func (ep *endpoint) replicates(res probe.Result) {
	if res.Class != probe.OK || res.Kind == probe.Write || len(res.Facts) == 0 {
		return
	}
	if lag, known := res.Facts[factLag]; known {
		ep.lag = lastLag{seconds: lag, began: res.Began}
	} else if ep.lag.seconds != nil && ep.lag.gone.IsZero() {
		ep.lag.gone = res.Ended
	}
	if res.Facts[factApplied] == true {
		ep.applied = res.Began
	}
}

// lives forgets the lag of replicas that stand still although their source has
// answered since: it is their replication that failed.
func (r *resource) lives(res probe.Result) {
	if !res.Class.Answered() || res.Hint {
		return
	}
	for i := range r.endpoints {
		if lag := &r.endpoints[i].lag; !lag.gone.IsZero() && res.Began.After(lag.gone) {
			*lag = lastLag{}
		}
	}
}

// shown is what is known of a standby, to be judged by. Its lag is unknown as soon
// as its source is dead; then it is the last one before that, if it was seen no
// longer before than an endpoint may be silent and still be believed up.
func (r *resource) shown(now time.Time, i int) probe.Facts {
	ep := &r.endpoints[i]
	if _, known := ep.facts[factLag]; known || ep.lag.seconds == nil || i == r.attached {
		return ep.facts
	}
	failed := now
	if r.attached >= 0 {
		if bad := r.endpoints[r.attached].verdict.FirstBad(); !bad.IsZero() {
			failed = bad
		}
	}
	if failed.Sub(ep.lag.began) > r.silence(i) {
		return ep.facts
	}
	return with(ep.facts, factLag, ep.lag.seconds)
}

// keepsUp is the same, as it would be once nothing more arrives from the source: a
// replica whose threads run will have applied everything if it had a moment ago, or
// is no further behind than sustain, which passes before anything is switched.
func (r *resource) keepsUp(now time.Time, i int) probe.Facts {
	ep, facts := &r.endpoints[i], r.shown(now, i)
	if i == r.attached || facts[factApplied] != false || facts[factReplicating] != true {
		return facts
	}
	lag, known := facts[factLag].(int64)
	soon := known && time.Duration(lag)*time.Second <= r.def.Judge.Sustain
	lately := !ep.applied.IsZero() && now.Sub(ep.applied) <= max(appliedFor, r.silence(i))
	if soon || lately {
		return with(facts, factApplied, true)
	}
	return facts
}

// supposeQuiet has every standby judged as if nothing more arrived from its source.
// One whose facts are not fresh enough for s stays without.
func (e *Engine) supposeQuiet(now time.Time, r *resource, s *policy.Situation) {
	for i := range s.Endpoints {
		if s.Endpoints[i].Facts != nil {
			s.Endpoints[i].Facts = r.keepsUp(now, i)
		}
	}
}

// silence is how long an endpoint may be silent and still be believed up.
func (r *resource) silence(i int) time.Duration {
	return policy.Silence(r.def.Pace.FreshInterval, r.def.Endpoints[i].Target.Timeout)
}

func with(facts probe.Facts, name string, value any) probe.Facts {
	out := maps.Clone(facts)
	if out == nil {
		out = probe.Facts{}
	}
	out[name] = value
	return out
}
