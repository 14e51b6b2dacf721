package failover_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// taken is an event, and when and by which observer it was taken in.
type taken struct {
	who int
	now time.Time
	ev  failover.Event
}

// BenchmarkBallotOfThree is all that three engines do for one failover, from the
// primary's death until each knows that it was switched: examining, opening, voting,
// committing, telling. The events are those of a fleet's story, taken down once and
// then played to engines alone: the same events give the same effects, so neither
// the store nor the world is in it. (Most of them are ticks: where several worlds
// share one clock, it ticks every 5 ms, and a daemon's every 100 ms.)
func BenchmarkBallotOfThree(b *testing.B) {
	f := newFleet(b, "observers mon-a/az-1 mon-b/az-2 mon-c/az-3\nresource orders-db primary standby sustain=1s\n")
	var events []taken
	for i, w := range f.worlds {
		w.saw = func(now time.Time, ev failover.Event) { events = append(events, taken{i, now, ev}) }
	}
	configs := []failover.Config{f.worlds[0].cfg, f.worlds[1].cfg, f.worlds[2].cfg}
	f.play(b, "+0s store: write app/orders-db/URL0 primary\n+10s end\n")
	before := len(events)
	f.play(b, "+0s orders-db/primary refused\n+3s end\n")
	after := len(events)
	if s := f.worlds[2].engine.Status(f.now).Resources[0]; s.Attached != "standby" || s.Epoch != 2 {
		b.Fatalf("it is attached to %s at epoch %d: nothing is measured", s.Attached, s.Epoch)
	}
	replay := func(engines []*failover.Engine, part []taken) {
		for _, t := range part {
			engines[t.who].Step(t.now, t.ev)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		var engines []*failover.Engine
		for _, cfg := range configs {
			engines = append(engines, failover.NewEngine(cfg))
		}
		replay(engines, events[:before])
		b.StartTimer()
		replay(engines, events[before:after])
		b.StopTimer()
		if s := engines[2].Status(f.now).Resources[0]; s.Attached != "standby" {
			b.Fatal("the same events led elsewhere")
		}
		b.StartTimer()
	}
	ticks := 0
	for _, t := range events[before:after] {
		if _, ok := t.ev.(failover.Tick); ok {
			ticks++
		}
	}
	b.ReportMetric(float64(after-before-ticks), "events/op")
	b.ReportMetric(float64(ticks), "ticks/op")
}

// BenchmarkManyBallots is one look at the ballots of 200 resources, each with three
// votes beside it, of which one is new: what an observer takes in for each vote that
// anybody casts in a storm.
func BenchmarkManyBallots(b *testing.B) {
	const resources = 200
	cfg := failover.Config{Observer: "mon-a", Observers: []string{"mon-a", "mon-b", "mon-c", "mon-d"}}
	var entries []failover.Entry
	for i := range resources {
		r := defineResource(b, fmt.Sprintf("r%03d", i), []string{"primary", "standby"})
		cfg.Resources = append(cfg.Resources, r)
		vote := failover.Vote{Nonce: fmt.Sprint("nonce", i), Observer: "mon-d", Hash: r.Hash(cfg.Observers), Saw: []failover.EndpointVote{
			{Endpoint: "primary", State: policy.Down, Class: probe.Refused}, {Endpoint: "standby", State: policy.Up, Class: probe.OK, Fresh: true}}}
		o := failover.Opening{Nonce: vote.Nonce, Op: "op", Kind: policy.Failover, Opener: "mon-d", Hash: vote.Hash, Epoch: 1, Attached: "primary", Vote: vote}
		tree := "reattach/ballot/" + r.Name + "/"
		entries = append(entries, failover.Entry{Key: tree + "_", ModifyIndex: uint64(10 + i), Value: encode(b, o)})
		for _, observer := range cfg.Observers[:3] {
			vote.Observer = observer
			entries = append(entries, failover.Entry{Key: tree + observer, ModifyIndex: uint64(1000 + i), Value: encode(b, vote)})
		}
	}
	e, index := failover.NewEngine(cfg), uint64(5000)
	e.Step(start, failover.Tick{})
	e.Step(start, failover.Changed{Prefix: "reattach/ballot/", Entries: entries})
	b.ReportAllocs()
	for b.Loop() {
		index++
		entries[1].ModifyIndex = index
		e.Step(start, failover.Changed{Prefix: "reattach/ballot/", Entries: entries})
	}
}
