// Package classes does to real servers what the world does to them, and holds
// what a probe says of it, class, phase and the server's own code, against one
// table, which is also the page deployments/docs/classes.md.
//
// A row of the table carries its expectation and the function that brings it
// about, so no row can stand in the page that no test has seen. The page is made
// from the expectations alone: `go test ./test/classes -run Page -update` needs no
// server, and keeps the rows of a server that cannot be had here, as MySQL.
package classes
