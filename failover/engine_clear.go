package failover

import (
	"fmt"
	"slices"
	"time"

	"github.com/reattach/reattach/policy"
)

// orderState carries out ack and clear, which write state alone.
func (e *Engine) orderState(now time.Time, ev Ordered) {
	c := ev.Command
	if c.All {
		e.ackAll(now, ev)
		return
	}
	r := e.res[c.Resource]
	if r.reading == nil {
		e.answer(ev.ID, Answer{Unsure: true, Text: "The store has not been read yet; ask again in a moment."})
		return
	}
	if c.Verb == "ack" {
		if r.rewound != "" {
			e.ackRewound(now, r, &wish{kind: policy.Adopt, order: ev.ID, person: c.By, reason: c.Reason})
			return
		}
		e.ack(now, r, ev.ID, c)
		return
	}
	if r.rewound != "" { // a write of state would hide that it is an old one
		e.answer(ev.ID, Answer{Text: "The store went back in time: " + r.rewound + ".", Hint: "first acknowledge that: " + nextFor(r, "rewound")})
		return
	}
	if r.taint(c.Endpoint) == "" {
		e.answer(ev.ID, Answer{Done: true, Text: c.Endpoint + " is not tainted."})
		return
	}
	if why := e.diverged(r, c.Endpoint); why != "" && !slices.Contains(c.Force, "taint") {
		e.answer(ev.ID, Answer{Text: fmt.Sprintf("%s of %s is not cleared: %s.", c.Endpoint, r.def.Name, why),
			Hint: "rebuild it as a replica of what is attached: then it clears itself; if nothing of either is missed, --force taint"})
		return
	}
	e.clearTaint(r, c.Endpoint, &request{order: ev.ID, text: fmt.Sprintf("%s of %s is no longer tainted.%s", c.Endpoint, r.def.Name, r.doubt(c.Endpoint)), command: &c})
}

// diverged says why an endpoint that was left has what the attached one has not:
// it was seen to be written to, in this life or, if that was told and has not
// ended, in an earlier one. Empty if it was not.
func (e *Engine) diverged(r *resource, endpoint string) string {
	why := ""
	if i := r.def.Endpoint(endpoint); i >= 0 {
		why = r.endpoints[i].split
	}
	for _, n := range e.notices {
		if why == "" && n.Event == splitWrites && n.Resource == r.def.Name && n.From == endpoint {
			why = n.Why
		}
	}
	if why == "" {
		return ""
	}
	return "it was written to since it was left (" + why + "), and what it has is nowhere else"
}

// doubt is what a person who clears an endpoint may not have seen.
func (r *resource) doubt(endpoint string) string {
	i := r.def.Endpoint(endpoint)
	if i < 0 || i == r.attached || !r.def.Protocol.Traits.StoreOfData {
		return ""
	}
	if f := r.endpoints[i].facts; f["writable"] == true && f["replicating"] != true {
		return " But it takes writes and replicates from nowhere: is all there that the attached one has?"
	}
	return ""
}

// clearTaint lets an endpoint be a target again.
func (e *Engine) clearTaint(r *resource, endpoint string, q *request) {
	s := e.pinned(r.state, r.reading.State)
	s.Taints = withoutTaint(s.Taints, r.def, endpoint)
	e.writeStateAlone(r, s, q)
}

func (e *Engine) ack(now time.Time, r *resource, order uint64, c Command) {
	r.ackAt = now
	who := fmt.Sprintf(" by %s: %s", c.By, c.Reason)
	already := r.state.Acked == r.state.Epoch && r.state.TwoWritable == "" && r.state.FenceLost == "" && (r.state.Fenced == 0 || r.state.Operation != nil)
	if r.reading == nil || !r.reading.State.Exists() || already && !e.toBeHeard(r) {
		e.acknowledged(now, r, who)
		e.answer(order, Answer{Done: true, Text: "Acknowledged " + r.def.Name + "."})
		return
	}
	s := e.pinned(r.state, r.reading.State)
	if s.Acked = s.Epoch; e.several() {
		s.Ack = &Acknowledgement{By: c.By, Reason: c.Reason, At: now}
	}
	if s.Operation == nil || !e.holds(RuleAckKeep) { // else its steps rest on it
		s.TwoWritable, s.FenceLost, s.Fenced = "", "", 0
	}
	e.writeStateAlone(r, s, &request{order: order, text: "Acknowledged " + r.def.Name + ".", acked: who, command: &c})
}

func (e *Engine) ackAll(now time.Time, ev Ordered) {
	for _, name := range e.order {
		if r := e.res[name]; r.rewound == "" {
			e.ack(now, r, 0, ev.Command)
		}
	}
	e.answer(ev.ID, Answer{Done: true, Text: "Acknowledged every resource. A rewound store is acknowledged resource by resource."})
}

func (e *Engine) writeStateAlone(r *resource, s State, q *request) {
	q.purpose, q.resource, q.reading = PurposeState, r.def.Name, r.reading
	e.transact(q, stateOps(r.def.Name, s, r.reading.State), storeTimeout, time.Time{})
}

func (e *Engine) stateWritten(now time.Time, r *resource, q *request, ev Answered) {
	if ev.Err != nil || !ev.Reply.OK {
		e.answer(q.order, failedWrite(ev))
		return
	}
	if r.reading != nil && q.reading.State.ModifyIndex == r.reading.State.ModifyIndex {
		e.ingest(now, r, written(r.reading, q.ops, ev.Reply, now))
	}
	if q.acked != "" && r.state.Acked == r.state.Epoch {
		e.acknowledged(now, r, q.acked)
	}
	r.evidence++
	e.carriedOut(now, q)
	if q.shown != "" {
		e.pass(Notice{Key: fmt.Sprintf("%s/%d.cleared.%d", r.def.Name, r.state.Epoch, now.UnixMilli()), Event: "cleared", Resource: r.def.Name, At: now, Text: q.shown,
			Why: "its own conversations showed it", Next: "reattach explain " + r.def.Name})
	}
	e.answer(q.order, Answer{Done: true, Text: q.text})
	e.consider(now, r)
}
