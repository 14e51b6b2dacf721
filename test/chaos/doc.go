// Package chaos breaks a whole installation: three observers (the binary as it is
// shipped, each in a container of its own), a Consul of three servers, and a pair
// of MariaDB. Single paths are cut, processes killed and stopped in the middle of a
// ballot, handles edited and pauses written by hand.
//
// All the time somebody outside watches Consul, and holds what was written there
// against the invariants that can be seen from outside: see watcher.
//
//	go test ./test/chaos                              short
//	make chaos MINUTES=20 SEED=7                      faults at random for so long
package chaos
