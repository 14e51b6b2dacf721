package crash

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/hook"
	"github.com/reattach/reattach/failover/notify"
)

// below is a store whose keys all stand below a prefix of a run's own, so that
// many runs share one Consul. Indexes are Consul's.
type below struct {
	failover.Store
	prefix string
}

func (s below) Txn(ctx context.Context, ops []failover.Op) (failover.Reply, error) {
	own := slices.Clone(ops)
	for i := range own {
		own[i].Key = s.prefix + own[i].Key
	}
	reply, err := s.Store.Txn(ctx, own)
	s.strip(reply.Entries)
	return reply, err
}

func (s below) Watch(ctx context.Context, prefix string, index uint64) ([]failover.Entry, uint64, error) {
	entries, next, err := s.Store.Watch(ctx, s.prefix+prefix, index)
	s.strip(entries)
	return entries, next, err
}

func (s below) strip(entries []failover.Entry) {
	for i := range entries {
		entries[i].Key = strings.TrimPrefix(entries[i].Key, s.prefix)
	}
}

// counted is a store whose transactions are places: before each is sent, and after
// it was applied, before its answer is taken in. What only reads is one where it
// brings something new.
type counted struct {
	failover.Store
	points *points
	mu     sync.Mutex
	read   map[string]uint64
}

func (s *counted) Txn(ctx context.Context, ops []failover.Op) (failover.Reply, error) {
	what := describe(ops)
	if what != "" {
		s.points.pass(what + ", to be sent")
	}
	reply, err := s.Store.Txn(ctx, ops)
	switch {
	case what != "":
		s.points.pass(what + ", answered")
	case err == nil && s.news(reply.Entries):
		s.points.pass("read, with news")
	}
	return reply, err
}

func (s *counted) news(entries []failover.Entry) (found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		if at, ok := s.read[e.Key]; !ok || at != e.ModifyIndex {
			s.read[e.Key], found = e.ModifyIndex, true
		}
	}
	return found
}

// describe says what a transaction writes, by the kinds of its keys, and where an
// operation with steps stands after it; empty if it only reads.
func describe(ops []failover.Op) string {
	var words []string
	for _, op := range ops {
		if !op.Verb.Writes() {
			continue
		}
		kind := "handle"
		if own, ok := strings.CutPrefix(op.Key, failover.Prefix); ok {
			kind, _, _ = strings.Cut(own, "/")
			if strings.HasSuffix(own, "/_sentinel") {
				kind += "'s sentinel"
			}
		}
		if kind == "state" {
			var s failover.State
			if json.Unmarshal(op.Value, &s) == nil && s.Operation != nil {
				kind += " (" + strings.TrimSpace(s.Operation.Step+" "+s.Operation.Ended) + ")"
			}
		}
		if word := op.Verb.String() + " " + kind; !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return strings.Join(words, " + ")
}

// journal is a journal whose writes are places.
type journal struct {
	failover.Journal
	points *points
}

func (j journal) Keep(notices []failover.Notice) error {
	j.points.pass("notices, to be kept")
	err := j.Journal.Keep(notices)
	j.points.pass("notices, kept")
	return err
}

// disk is the disk of seen.json; both of its writes are places.
type disk struct {
	failover.OSDisk
	points *points
}

func (d disk) WriteFile(name string, content []byte) error {
	d.points.pass("seen.json, to be written")
	err := d.OSDisk.WriteFile(name, content)
	d.points.pass("seen.json, written beside it")
	return err
}

func (d disk) Rename(from, to string) error {
	err := d.OSDisk.Rename(from, to)
	d.points.pass("seen.json, in its place")
	return err
}

// sender is a destination; each telling is two places.
type sender struct {
	notify.Sender
	points *points
}

func (s sender) Send(ctx context.Context, m notify.Message) error {
	s.points.pass("telling, to be sent")
	err := s.Sender.Send(ctx, m)
	s.points.pass("telling, taken")
	return err
}

// runStep runs a step as the daemon's own program does; its start and its end are
// places, and so is what the step itself says of its life.
func (p *points) runStep(ctx context.Context, s failover.RunStep) failover.StepOutcome {
	p.pass("step " + s.Step + ", to be started")
	o := hook.Run(ctx, hook.Command{Argv: s.Argv, Env: s.Env}, s.Deadline)
	p.pass("step " + s.Step + ", ended")
	return failover.StepOutcome{OK: o.OK, Why: o.Why, Took: o.Took, Late: o.Late}
}
