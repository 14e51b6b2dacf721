// Package metrics shows an observer at work to Prometheus.
//
// [Metrics] is a [failover.Tap]: it counts what passes through the engine, on
// the engine's own goroutine, with every counter looked up once and kept. What
// is a state rather than an event (verdicts, what is attached, what is
// protected) is read from the daemon's status at the moment of a scrape, so it
// can never disagree with what people see by `reattach status`.
//
// Labels are bounded by the configuration: resources, endpoints, and words of
// the program. No label ever holds an address, an error text or a URL. Series
// of what a reload removed are removed.
package metrics
