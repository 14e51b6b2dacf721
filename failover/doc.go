// Package failover decides when to switch and carries it out.
//
// [Engine] is the pure heart: events and the time go in, effects come out, on
// one goroutine and without a clock, a lock or chance of its own. [Daemon] is
// the actor around it, which performs the effects: it probes, sends
// transactions, watches, and answers people. txn.go holds every transaction as
// a plain list of operations; [Store] carries them out, all or none.
//
// What is guaranteed: a handle changes in one transaction together with its
// record, only on a state that was read at one moment and has not changed
// since, only while the ballot that the transaction names is open, and never
// when a gate is closed that nobody forced. What is not: that a switch is made
// while the store cannot be reached. Nothing is queued for later.
package failover
