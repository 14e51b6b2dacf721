package failover

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/reattach/reattach/policy"
)

func contains(all []string, one string) bool { return slices.Contains(all, one) }

// claimFurther claims a step without a ballot.
func (e *Engine) claimFurther(now time.Time, r *resource, op Operation, step string, attempt int) {
	e.claims(r, &op, step, attempt)
	rd := e.asWatched(r)
	s := e.pinned(r.state, rd.State)
	s.Operation = &op
	ops := furtherOps(r.def, rd, s)
	if step == policy.Abort || !e.holds(RuleChecks) {
		ops = stateOps(r.def.Name, s, rd.State)
	}
	e.writeStep(now, r, ops, &request{step: &op, starts: true})
}

// writeStep sends what concerns an operation; it is sent again, unchanged, until
// it is answered.
func (e *Engine) writeStep(now time.Time, r *resource, ops []Op, q *request) {
	q.purpose, q.resource, q.reading, q.rewound, q.sentAt = PurposeStep, r.def.Name, r.reading, r.rewound, now
	r.claim, r.claimAt = q, time.Time{}
	e.transact(q, ops, storeTimeout, time.Time{})
}

// stepAgain sends again what was not answered.
func (e *Engine) stepAgain(now time.Time, r *resource) {
	q := r.claim
	switch {
	case r.claimAt.IsZero() || now.Before(r.claimAt):
	case q.confirms || !e.resends(r, q):
		e.confirmStep(r, q)
	default:
		r.claimAt = time.Time{}
		e.transact(q, q.ops, storeTimeout, time.Time{})
	}
}

// confirmStep reads what became of it.
func (e *Engine) confirmStep(r *resource, q *request) {
	asked := *q
	asked.confirms = true
	r.claim, r.claimAt = &asked, time.Time{}
	e.transact(&asked, readOne(r.def), storeTimeout, time.Time{})
}

func (e *Engine) stepWritten(now time.Time, r *resource, q *request, ev Answered) {
	if r.claim != q {
		return // the configuration was reloaded meanwhile: a sweep tells
	}
	switch {
	case errors.Is(ev.Err, ErrDenied):
		r.claim, r.stepPause = nil, now.Add(holdRetry)
		e.denied(now, r)
	case ev.Err != nil && (q.confirms || errors.Is(ev.Err, ErrUnknown)):
		r.claimAt = now.Add(retryAfter)
	case q.confirms:
		e.stepConfirmed(now, r, q, ev)
	case ev.Err != nil || !ev.Reply.OK:
		e.confirmStep(r, q) // perhaps our own, sent before, is what stands there
	default:
		r.claim = nil
		if after := written(q.reading, q.ops, ev.Reply, now); after.State.ModifyIndex >= r.reading.State.ModifyIndex {
			e.ingest(now, r, after)
		}
		e.stepLanded(now, r, q)
	}
	e.consider(now, r)
}

// stepConfirmed learns whether it happened.
func (e *Engine) stepConfirmed(now time.Time, r *resource, q *request, ev Answered) {
	r.claim = nil
	rd := readingOf(r.def, ev.Reply, ev.Sent)
	e.ingest(now, r, rd)
	e.takeRead(rd)
	op := r.state.Operation
	switch {
	case r.rewound != "":
	case q.over && op == nil, !q.over && op != nil && op.Claim == q.step.Claim && op.Ended == q.step.Ended:
		e.stepLanded(now, r, q)
	}
}

// stepLanded goes on with what the store has taken.
func (e *Engine) stepLanded(now time.Time, r *resource, q *request) {
	if op := r.state.Operation; q.starts && op != nil && op.Claim == q.step.Claim {
		if last := q.step.last(); last.Outcome == StepLost && last.Step == q.step.Step {
			e.tellStep(now, r, *q.step)
		}
		e.start(now, r, *q.step, q.sentAt)
		return
	}
	if q.ended {
		r.task = nil
		e.tellStep(now, r, *q.step)
	}
	if q.over {
		e.operationOver(now, r, *q.step)
	}
}

// start runs a step that is claimed. Its time counts from before the claim was
// sent: whoever takes it over counts from later.
func (e *Engine) start(now time.Time, r *resource, op Operation, sent time.Time) {
	e.nextID++
	r.task = &task{id: e.nextID, claim: op.Claim, step: op.Step, attempt: op.Attempt, began: now}
	deadline := e.until(now, sent, op.Timeout)
	if !now.Before(deadline) {
		r.task.outcome = &StepOutcome{Why: "its time was over before it began", Late: true}
		e.consider(now, r)
		return
	}
	run := RunStep{ID: r.task.id, Resource: r.def.Name, Step: op.Step, Argv: r.def.Steps.Of(op.Step).Command, Deadline: deadline}
	run.Env = e.stepEnv(r, op.Step, op.Kind, op.From, op.To, op.ID, op.Epoch, op.Attempt, op.Timeout)
	run.Env["CLASS"] = op.Class
	e.emit(run)
}

// stepEnv is what a command is told; it holds no secret.
func (e *Engine) stepEnv(r *resource, step string, kind policy.Kind, from, to, op string, epoch uint64, attempt int, timeout time.Duration) map[string]string {
	env := map[string]string{"STEP": step, "RESOURCE": r.def.Name, "KIND": kind.String(), "FROM": from, "TO": to, "OP": op,
		"EPOCH": strconv.FormatUint(epoch, 10), "ATTEMPT": strconv.Itoa(attempt), "OBSERVER": e.cfg.Observer, "DRY_RUN": "false",
		"TIMEOUT_SECONDS": strconv.FormatFloat(timeout.Seconds(), 'f', -1, 64), "CLASS": ""}
	env["FROM_HOST"], env["FROM_PORT"] = reachOf(r.def, from)
	env["TO_HOST"], env["TO_PORT"] = reachOf(r.def, to)
	return env
}

// reachOf is the host and the port of an endpoint.
func reachOf(r *policy.Resource, endpoint string) (host, port string) {
	i := r.Endpoint(endpoint)
	if i < 0 {
		return "", ""
	}
	u := r.Endpoints[i].Target.URL
	if scheme, ok := r.Protocol.Scheme(u.Scheme); ok && u.Port == "" {
		return u.Host, scheme.Port
	}
	return u.Host, u.Port
}

// stepEnded takes in how a command ended.
func (e *Engine) stepEnded(now time.Time, ev StepEnded) {
	r := e.res[ev.Resource]
	if r == nil {
		return
	}
	for _, t := range []*task{r.task, r.after.task} {
		if t != nil && t.id == ev.ID && t.outcome == nil {
			outcome := ev.Outcome
			t.outcome = &outcome
		}
	}
	e.consider(now, r)
}

// endOf is the end of a task, for the record.
func (e *Engine) endOf(now time.Time, t *task) StepEnd {
	end := StepEnd{Step: t.step, Outcome: StepFailed, Why: t.outcome.Why, Attempt: t.attempt, By: e.cfg.Observer, At: now, Seconds: t.outcome.Took.Seconds()}
	if t.outcome.OK {
		end.Outcome = StepOK
	}
	return end
}

// endStep records how a step of our own ended. A fence that failed ends the
// operation, and so does abort, however it ended.
func (e *Engine) endStep(now time.Time, r *resource, op *Operation, t *task) {
	if t.step == policy.Abort && t.outcome.Late && e.holds(RuleLate) { // it never ran, and it has to
		r.task = nil
		e.claimFurther(now, r, *op, policy.Abort, op.Attempt+1)
		return
	}
	o := *op
	end := e.endOf(now, t)
	o.Steps, o.Ended = append(append([]StepEnd(nil), op.Steps...), end), end.Outcome
	s := e.pinned(r.state, r.reading.State)
	s.Operation = &o
	q := &request{step: &o, ended: true}
	switch {
	case t.step == policy.Fence && end.Outcome == StepOK && e.current(r, op):
		s.Fenced, s.FenceLost = s.Epoch, ""
	case t.step == policy.Fence && e.fatal(r, t.step, end.Outcome):
		o.Refused, q.over = "fence failed: "+end.Why, true
		s.over(&o, "")
	case t.step == policy.Abort:
		q.over = true
		how := "abort ended well"
		if end.Outcome != StepOK {
			how = "abort failed: " + end.Why
		}
		s.over(&o, how)
	}
	e.writeStep(now, r, stateOps(r.def.Name, s, r.reading.State), q)
}

// operationOver notes that an operation ended without its switch.
func (e *Engine) operationOver(now time.Time, r *resource, op Operation) {
	r.confirm = nil
	r.gaveUp = &GivenUp{Kind: op.Kind, To: op.To, Why: op.Refused, At: now, Steps: op.Steps, epoch: op.Epoch}
	if last := op.last(); last.Outcome == StepFailed && e.holds(RuleRetry) {
		r.stepRetry, r.stepGate, r.stepWhy = now.Add(holdRetry), last.Step, op.Refused
	}
	if w := r.want; w != nil && w.claimed == op.ID {
		r.want = nil
		e.answer(w.order, Answer{Text: fmt.Sprintf("No %s of %s: %s.", op.Kind, r.def.Name, op.Refused), Hint: "see reattach explain " + r.def.Name, Decision: w.decided})
	}
	e.tellTwoWritable(now, r)
}

// forgetOperation answers who waits for an operation that is not there any more.
func (e *Engine) forgetOperation(now time.Time, r *resource) {
	r.opSeen, r.confirm = "", nil
	if t := r.task; t != nil && t.outcome != nil {
		r.task = nil // the store forgot it
	}
	if w := r.want; w != nil && w.claimed != "" {
		r.want = nil
		e.answer(w.order, Answer{Unsure: true, Text: "The operation is not in the store any more; look, and ask again."})
	}
}

// tellStep tells of a step that failed.
func (e *Engine) tellStep(now time.Time, r *resource, op Operation) {
	end := op.last()
	if end.Outcome == StepOK {
		return
	}
	n := Notice{Key: fmt.Sprintf("%s/%d.%s.%s.%d", r.def.Name, op.Epoch, op.ID, end.Step, end.Attempt), Event: "step_failed", Resource: r.def.Name, At: now,
		From: op.From, To: op.To, Why: end.Why, Next: "reattach explain " + r.def.Name,
		Text: fmt.Sprintf("%s: the step %s of the %s to %s failed: %s.", r.def.Name, end.Step, op.Kind, op.To, end.Why)}
	if end.Outcome == StepLost {
		n.Text = fmt.Sprintf("%s: nobody knows how the step %s of the %s to %s ended, because its runner ended first. It runs again.", r.def.Name, end.Step, op.Kind, op.To)
	}
	if r.outage != nil {
		n.Outage = r.outage.Key
	}
	if n.Outage == "" || e.several() { // whose claims on the outage outlive each of them
		e.pass(n)
		return
	}
	n.Lasts = true // as long as the outage: so a later life goes on with its key, and ends it
	e.say(n)
}

// tellFenceLost tells that what is attached may have been fenced. It rests on state,
// and not on having seen it come about: whoever did may have been killed right then.
func (e *Engine) tellFenceLost(now time.Time, r *resource) {
	key := r.def.Name + "/fence_lost"
	switch {
	case r.rewound != "", r.state.FenceLost == "" && len(e.notices) == 0:
	case r.state.FenceLost == "":
		e.over(now, key, r.def.Name+": it is settled whether "+r.state.Attached+" is fenced.")
	default:
		e.tell(Notice{Key: key, Event: "step_failed", Lasts: true, Resource: r.def.Name, At: now, From: r.state.Attached, Why: r.state.FenceLost,
			Text: fmt.Sprintf("%s: %s may take no writes: %s.", r.def.Name, r.state.Attached, r.state.FenceLost),
			Next: "reattach ack " + r.def.Name + " --reason …"})
	}
}

// tellTwoWritable pages that two endpoints may take writes, until a person
// acknowledges it. It may outlast an outage, so it is a matter of its own.
func (e *Engine) tellTwoWritable(now time.Time, r *resource) {
	key := r.def.Name + "/two_writable"
	if r.rewound != "" || r.state.TwoWritable == "" && len(e.notices) == 0 {
		return
	}
	if r.state.TwoWritable == "" {
		e.over(now, key, r.def.Name+": it was acknowledged that two endpoints may take writes.")
		return
	}
	e.tell(Notice{Key: key, Event: "step_failed", Urgent: true, Lasts: true, Resource: r.def.Name, At: now, From: r.state.Attached, Why: r.state.TwoWritable,
		Text: fmt.Sprintf("%s: two endpoints may take writes: %s. Nothing is switched until somebody says so.", r.def.Name, r.state.TwoWritable),
		Next: "reattach ack " + r.def.Name + " --reason …"})
}
