// Package crash kills an observer at every boundary of its effects, starts it
// again, and looks from outside at what is in the store, what people were told and
// what steps were run. `make crashpoints` runs it whole, `go test` a part of it.
//
// An observer is a process of its own: this test binary, started again as a
// child, with the production daemon, a real store (bbolt, or a Consul server), the
// real outbox, the real seen.json and real commands as steps. Around each of them
// sits a counter: wherever an effect leaves, or its result comes back, a [place] is
// passed. A first run says which places a story has; then each is the end, by
// SIGKILL, of a life of its own, and the next life has to bring everything to rest.
// Places that only show up in such runs are taken up too. Nobody writes them down.
//
// Only the endpoints are played: a prober reads from a file what the server says.
// A probe has no effect that a kill could cut in two, its conversations are tested
// on real servers elsewhere, and what a server is must outlive the observer.
package crash
