package failover

import (
	"errors"
	"fmt"
	"time"

	"github.com/reattach/reattach/policy"
)

// afters is what is known of a resource's after steps.
type afters struct {
	read   bool // they were read since the last switch
	next   time.Time
	flying bool
	todo   []Entry // not ended
	task   *task
	entry  Entry    // of the task, as claimed
	run    AfterRun // the same
	seen   map[string]time.Time
}

// runAfters sees to it that the after step of each committed switch runs at
// least once, whoever committed it.
func (e *Engine) runAfters(now time.Time, r *resource) {
	a := &r.after
	if e.cfg.Errand || a.flying || now.Before(a.next) || !e.sound(now, r, RuleStepSound) || !r.def.Steps.Has(policy.After) && a.task == nil {
		return
	}
	switch t := a.task; {
	case t != nil && t.outcome == nil:
	case t != nil:
		run := a.run
		end := e.endOf(now, t)
		run.End = &end
		e.writeAfter(r, a.entry, run)
	case !a.read:
		a.flying = true
		e.transact(&request{purpose: PurposeAfter, resource: r.def.Name}, readAfters(r.def.Name), storeTimeout, time.Time{})
	default:
		e.claimAfter(now, r)
	}
}

// claimAfter claims the oldest one that nobody runs.
func (e *Engine) claimAfter(now time.Time, r *resource) {
	a := &r.after
	for _, entry := range a.todo {
		var run AfterRun
		if decode(entry, &run) != nil {
			continue
		}
		if run.Claim != "" {
			if a.seen == nil {
				a.seen = map[string]time.Time{}
			}
			since, ok := a.seen[run.Claim]
			if !ok {
				since, a.seen[run.Claim] = now, now
			}
			if now.Before(e.overdue(since, run.Timeout)) {
				continue // an earlier life of ours may have left it running a moment ago
			}
		}
		run.Claim, run.Runner, run.Attempt, run.Timeout = e.id(), e.cfg.Observer, run.Attempt+1, r.def.Steps.After.Timeout
		e.writeAfter(r, entry, run)
		return
	}
}

func (e *Engine) writeAfter(r *resource, read Entry, run AfterRun) {
	r.after.flying = true
	e.transact(&request{purpose: PurposeAfter, resource: r.def.Name, after: &run, afterRead: read}, afterOps(read, run), storeTimeout, time.Time{})
}

func (e *Engine) afterAnswered(now time.Time, r *resource, q *request, ev Answered) {
	a := &r.after
	a.flying = false
	switch {
	case errors.Is(ev.Err, ErrDenied):
		a.next = now.Add(holdRetry)
		e.denied(now, r)
	case ev.Err != nil:
		a.next = now.Add(retryAfter)
		a.read = a.read && a.task != nil // a claim that may have landed is read, and taken over in its time
	case q.after == nil:
		a.read, a.todo = true, nil
		for _, entry := range ev.Reply.Entries {
			var run AfterRun
			if decode(entry, &run) == nil && run.End == nil {
				a.todo = append(a.todo, entry)
			}
		}
	case !ev.Reply.OK: // perhaps by our own write, whose answer was lost
		a.read, a.task = false, nil
		if q.after.End != nil {
			e.tellAfter(now, r, *q.after)
		}
	case q.after.End != nil:
		a.task, a.read = nil, false
		e.tellAfter(now, r, *q.after)
	default:
		e.startAfter(now, r, q, ev)
	}
	e.consider(now, r)
}

func (e *Engine) startAfter(now time.Time, r *resource, q *request, ev Answered) {
	a, run := &r.after, *q.after
	e.nextID++
	a.run, a.entry = run, Entry{Key: q.afterRead.Key, Flags: q.afterRead.Flags, ModifyIndex: ev.Reply.Entry(q.afterRead.Key).ModifyIndex}
	a.task = &task{id: e.nextID, claim: run.Claim, step: policy.After, attempt: run.Attempt, began: now, epoch: run.Epoch}
	deadline := e.until(now, ev.Sent, run.Timeout)
	if !now.Before(deadline) {
		a.task, a.read = nil, false // it is claimed again, in its time
		return
	}
	e.emit(RunStep{ID: a.task.id, Resource: r.def.Name, Step: policy.After, Argv: r.def.Steps.After.Command, Deadline: deadline,
		Env: e.stepEnv(r, policy.After, run.Kind, run.From, run.To, run.Op, run.Epoch, run.Attempt, run.Timeout)})
}

func (e *Engine) tellAfter(now time.Time, r *resource, run AfterRun) {
	if run.End.Outcome == StepOK {
		return
	}
	e.pass(Notice{Key: fmt.Sprintf("%s/%d.after", r.def.Name, run.Epoch), Event: "step_failed", Resource: r.def.Name, At: now, From: run.From, To: run.To,
		Why: run.End.Why, Next: "reattach history " + r.def.Name,
		Text: fmt.Sprintf("%s: the step after of the %s to %s failed: %s. The switch stands.", r.def.Name, run.Kind, run.To, run.End.Why)})
}
