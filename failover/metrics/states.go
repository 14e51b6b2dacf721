package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// Source tells how things stand now.
type Source interface {
	Status(ctx context.Context) (failover.Status, error)
}

// scrapeTime bounds how long a scrape waits for the status.
const scrapeTime = time.Second

// states reads the status at each scrape.
type states struct {
	source Source
	up, blind, state, attached, protected, hold, paused, tainted, drained,
	condition, epoch, since, outage, latency, expiry *prometheus.Desc
}

func newStates(source Source) *states {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	return &states{
		source:    source,
		up:        desc("engine_up", "1 if the engine told its status to this scrape."),
		blind:     desc("blind", "1 while this observer cannot judge: its store, or it itself, is unwell."),
		state:     desc("endpoint_state", "1 for the state that this observer believes the endpoint to be in, 0 for the others.", "resource", "endpoint", "state"),
		attached:  desc("attached", "1 for the endpoint that the resource's handles name, 0 for its standbys.", "resource", "endpoint"),
		protected: desc("protected", "1 if a failover would happen, and succeed, were the attached endpoint to die now.", "resource"),
		hold:      desc("hold", "1 while the gate keeps a wanted switch of the resource back.", "resource", "gate"),
		paused:    desc("paused", "1 while a person has paused the resource, or all.", "resource"),
		tainted:   desc("endpoint_tainted", "1 while the endpoint may have missed writes.", "resource", "endpoint"),
		drained:   desc("endpoint_drained", "1 while a person has taken the endpoint out.", "resource", "endpoint"),
		condition: desc("handles_condition", "1 for the condition that the resource's handles are in.", "resource", "condition"),
		epoch:     desc("epoch", "Number of the resource's last switch.", "resource"),
		since:     desc("last_switch_timestamp_seconds", "When the resource's last switch was made, by the clock of who made it.", "resource"),
		outage:    desc("outage_start_timestamp_seconds", "When the resource's current outage began. Absent while there is none.", "resource"),
		latency:   desc("endpoint_latency_seconds", "Duration of the last whole conversation with the endpoint.", "resource", "endpoint"),
		expiry:    desc("endpoint_tls_expiry_timestamp_seconds", "When the earliest certificate of the endpoint's chain ends.", "resource", "endpoint"),
	}
}

// Describe sends what Collect may send.
func (s *states) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.up, s.blind, s.state, s.attached, s.protected, s.hold, s.paused, s.tainted, s.drained,
		s.condition, s.epoch, s.since, s.outage, s.latency, s.expiry} {
		ch <- d
	}
}

// Collect reads the status. When it cannot, it says so by engine_up alone:
// states that are not known are absent, not zero.
func (s *states) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	status, err := s.source.Status(ctx)
	ch <- gauge(s.up, truth(err == nil))
	if err != nil {
		return
	}
	ch <- gauge(s.blind, truth(status.Blind != ""))
	for i := range status.Resources {
		s.resource(ch, &status.Resources[i], status.Paused != "")
	}
}

func (s *states) resource(ch chan<- prometheus.Metric, r *failover.ResourceStatus, allPaused bool) {
	ch <- gauge(s.protected, truth(r.Protected), r.Name)
	ch <- gauge(s.paused, truth(allPaused || r.Paused != ""), r.Name)
	ch <- gauge(s.condition, 1, r.Name, r.Condition)
	ch <- gauge(s.epoch, float64(r.Epoch), r.Name)
	if r.Hold != nil {
		ch <- gauge(s.hold, 1, r.Name, r.Hold.Gate)
	}
	if r.Outage != nil {
		ch <- gauge(s.outage, seconds(r.Outage.Since), r.Name)
	}
	if r.Since != nil {
		ch <- gauge(s.since, seconds(*r.Since), r.Name)
	}
	for i := range r.Endpoints {
		s.endpoint(ch, r.Name, &r.Endpoints[i])
	}
}

func (s *states) endpoint(ch chan<- prometheus.Metric, resource string, e *failover.EndpointStatus) {
	for _, state := range []policy.State{policy.Unknown, policy.Up, policy.Suspect, policy.Down} {
		ch <- gauge(s.state, truth(e.State == state), resource, e.Name, state.String())
	}
	ch <- gauge(s.attached, truth(e.Attached), resource, e.Name)
	ch <- gauge(s.tainted, truth(e.Tainted != ""), resource, e.Name)
	ch <- gauge(s.drained, truth(e.Drained != ""), resource, e.Name)
	if e.LatencyS > 0 {
		ch <- gauge(s.latency, e.LatencyS, resource, e.Name)
	}
	text, _ := e.Facts["tls_expiry"].(string)
	if expiry, err := time.Parse(time.RFC3339, text); err == nil {
		ch <- gauge(s.expiry, seconds(expiry), resource, e.Name)
	}
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
