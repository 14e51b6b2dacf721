// Package sim simulates fleets: the production engine of several observers over a
// model of the store, the network between them and to the servers that they
// watch, people, and processes that stop, die, restart and reload at different
// moments. One goroutine and one seeded source of chance make a run; the same seed
// gives the same run, effect by effect.
//
//	make sim SEEDS=10000 START=0        # its exit status is the verdict
//	make sim SEED=17                    # tells one seed's story
//	make sim START=1000000 SEEDS=1000   # races only
//
// What stands around the engine is failover.Daemon and probe.Loop in simulated
// time: the tick, the workers and their deadline by two clocks, the two watches,
// the journal before the memory, the farewell. An oracle holds the invariants of
// the design, by their numbers, at each transaction that the store takes, at each
// effect, and at the end, when all is mended and what must come about has to.
//
// Of ten seeds one is of a world of races, numbered from a million on: most of what
// befalls it is set off by a transaction on its way, so that something lands between
// what its observer read and its own landing. That is what guards are for.
//
// Most faults come by chance. Situations that take several things to come together,
// and that chance would bring about in one of thousands of worlds, are faults of their
// own (tangles, betweenSteps): without them a rule could be taken away unnoticed.
//
// [Search] is exhaustive in a small world of three observers and two standbys whose
// primary dies: any fault of eleven kinds, befalling any observer, at each landing of
// a transaction; runs with the same effects are gone on from once. With one fault
// that is 199 runs without steps and 397 with them, which a test does. Two faults are
// some ten thousand runs: bin/sim -search 2 -for 5m.
package sim
