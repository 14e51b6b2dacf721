package failover

import (
	"context"
	"time"
)

// runStep runs a person's command, beside everything else, and hands back how it
// ended. One that is under way when the daemon ends is killed, and its end is not
// recorded: the next life takes the step over once its time is over.
func (d *Daemon) runStep(ctx context.Context, s RunStep) {
	outcome := StepOutcome{Why: "this program runs no commands"}
	if d.opt.RunStep != nil {
		outcome = d.opt.RunStep(ctx, s)
	}
	d.send(ctx, StepEnded{ID: s.ID, Resource: s.Resource, Outcome: outcome})
}

// Rehearse returns a step to be run as a dry run; see [Engine.Rehearse].
func (d *Daemon) Rehearse(ctx context.Context, resource, step, to string) (s RunStep, err error) {
	var refused error
	err = d.call(ctx, func(e *Engine, now time.Time) { s, refused = e.Rehearse(now, resource, step, to) })
	if err == nil {
		err = refused
	}
	return s, err
}
