// Package bench measures, on real servers, what reattach promises in figures.
// `make bench` runs it; `make test` does not. The figures depend on the machine
// and on what else it does: each is printed with the settings it was taken with.
package bench
