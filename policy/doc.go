// Package policy is the rule book: it folds observations into verdicts
// ([Judge]) and weighs, gate by gate, whether a switch may be made ([Decide]).
//
// It is pure. It reads no clock, no network and no file, starts nothing, and
// draws no chance: the same arguments give the same answer, for ever. Time is
// an argument. Whatever it decides, it says why, in a sentence for each gate,
// because a switch that nobody can explain is as bad as one that nobody wanted.
//
// What it does not do: it does not know of stores, ballots in flight or
// people's sockets. The engine in package failover asks it, and acts.
package policy
