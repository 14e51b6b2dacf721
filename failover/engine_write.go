package failover

import (
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// writer says which endpoint of r may be written to: the attached one, while it
// is known for certain which that is; -1 for none.
func (e *Engine) writer(now time.Time, r *resource) int {
	known := r.cond == policy.Ours || r.cond == policy.Outdated
	if r.def.Pace.WriteInterval == 0 || !known || r.rewound != "" || e.blind(now, nil) != "" {
		return -1
	}
	return r.attached
}

// direct has writes follow what is attached. What they came to is forgotten with
// the last of them: nothing would ever clear it.
func (e *Engine) direct(now time.Time, r *resource) {
	to, was := e.writer(now, r), r.writing
	if to == was {
		return
	}
	if was >= 0 {
		r.endpoints[was].verdict = r.endpoints[was].verdict.Forget(probe.Write, now)
		r.evidence++
		e.emit(Write{r.def.Name, r.def.Endpoints[was].Name, false})
	}
	if to >= 0 {
		e.emit(Write{r.def.Name, r.def.Endpoints[to].Name, true})
	}
	r.writing = to
}

// stray reports whether a result is of a write that began while it was allowed,
// and is none of ours any more.
func (r *resource) stray(i int, res probe.Result) bool {
	return res.Kind == probe.Write && r.def.Pace.WriteInterval > 0 && i != r.writing
}
