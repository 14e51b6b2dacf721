package main

import (
	"log/slog"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
)

// TestStepRunnerIsLate: a step that never ran, because its time was over, is no
// step that failed: an abort has to be claimed again.
func TestStepRunnerIsLate(t *testing.T) {
	run := stepRunner(slog.New(slog.DiscardHandler))
	s := failover.RunStep{Resource: "orders-db", Step: "abort", Argv: []string{"true"}, Deadline: time.Now().Add(-time.Millisecond)}
	if o := run(t.Context(), s); o.OK || !o.Late {
		t.Errorf("late: %+v", o)
	}
	s.Argv, s.Deadline = []string{"/nowhere/abort"}, time.Now().Add(time.Minute)
	if o := run(t.Context(), s); o.OK || o.Late {
		t.Errorf("not there: %+v", o)
	}
}
