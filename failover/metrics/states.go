package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/reattach/reattach/failover"
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
	descs  map[*Metric]*prometheus.Desc
}

func newStates(source Source) *states {
	s := &states{source: source, descs: map[*Metric]*prometheus.Desc{}}
	for _, m := range stateMetrics {
		s.descs[m] = m.desc()
	}
	return s
}

// Describe sends what Collect may send.
func (s *states) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range stateMetrics {
		ch <- s.descs[m]
	}
}

// Collect reads the status. When it cannot, it says so by engine_up alone:
// states that are not known are absent, not zero.
func (s *states) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	status, err := s.source.Status(ctx)
	show := shower{s.descs, ch}
	show.truth(engineUp, err == nil)
	if err != nil {
		return
	}
	show.gauge(observerInfo, 1, status.Observer, status.Zone)
	show.truth(blindNow, status.Blind != "")
	show.observers(status.Observers)
	for i := range status.Resources {
		show.resource(&status.Resources[i], status.Paused != "")
	}
	show.notices(status.Notices)
	for i := range status.Notifiers {
		show.notifier(&status.Notifiers[i])
	}
}

// shower sends values of one scrape.
type shower struct {
	descs map[*Metric]*prometheus.Desc
	ch    chan<- prometheus.Metric
}

func (s shower) gauge(m *Metric, v float64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(s.descs[m], prometheus.GaugeValue, v, labels...)
}

func (s shower) truth(m *Metric, b bool, labels ...string) {
	v := 0.0
	if b {
		v = 1
	}
	s.gauge(m, v, labels...)
}

// stamp shows a time, and nothing for none.
func (s shower) stamp(m *Metric, t time.Time, labels ...string) {
	if !t.IsZero() {
		s.gauge(m, float64(t.UnixMilli())/1000, labels...)
	}
}

// observers shows who could vote; nothing where there is one.
func (s shower) observers(all []failover.ObserverStatus) {
	if len(all) == 0 {
		return
	}
	could := 0
	for _, o := range all {
		up := o.Answers && o.Blind == ""
		if s.truth(peerUp, up, o.Name); up {
			could++
		}
	}
	s.gauge(quorumSpare, float64(could-len(all)/2-1))
}

func (s shower) resource(r *failover.ResourceStatus, allPaused bool) {
	s.gauge(resourceInfo, 1, r.Name, r.Protocol, r.Mode)
	s.truth(protectedNow, r.Protected, r.Name)
	s.truth(pausedNow, allPaused || r.Paused != "", r.Name)
	s.gauge(activityNow, 1, r.Name, r.Activity)
	s.gauge(conditionNow, 1, r.Name, r.Condition)
	s.gauge(epochNow, float64(r.Epoch), r.Name)
	if r.Hold != nil {
		s.gauge(holdNow, 1, r.Name, r.Hold.Kind.String(), r.Hold.Gate)
	}
	if r.Outage != nil {
		s.stamp(outageStart, r.Outage.Since, r.Name)
	}
	if r.Since != nil {
		s.stamp(lastSwitch, *r.Since, r.Name)
	}
	for i := range r.Endpoints {
		s.endpoint(r.Name, &r.Endpoints[i])
	}
}

func (s shower) endpoint(resource string, e *failover.EndpointStatus) {
	for _, state := range states4 {
		s.truth(endpointState, e.State == state, resource, e.Name, state.String())
	}
	s.truth(attachedNow, e.Attached, resource, e.Name)
	s.truth(endpointTainted, e.Tainted != "", resource, e.Name)
	s.truth(endpointDrained, e.Drained != "", resource, e.Name)
	s.stamp(endpointSeen, e.LastSeen, resource, e.Name)
	if writable, known := e.Facts["writable"].(bool); known {
		s.truth(endpointWritable, writable, resource, e.Name)
	}
	if e.LatencyS > 0 {
		s.gauge(endpointLatency, e.LatencyS, resource, e.Name)
	}
	text, _ := e.Facts["tls_expiry"].(string)
	if expiry, err := time.Parse(time.RFC3339, text); err == nil {
		s.stamp(endpointExpiry, expiry, resource, e.Name)
	}
}

// notices counts those of a kind, resource and severity together.
func (s shower) notices(active []failover.Notice) {
	type kind struct{ event, resource, severity string }
	counts := map[kind]int{}
	for _, n := range active {
		counts[kind{n.Event, n.Resource, n.Severity().String()}]++
	}
	for k, n := range counts {
		s.gauge(noticesActive, float64(n), k.event, k.resource, k.severity)
	}
}

func (s shower) notifier(n *failover.NotifierStatus) {
	s.gauge(notifierInfo, 1, n.Name, n.Kind)
	s.gauge(notifierPending, float64(n.Pending), n.Name)
	s.gauge(notifierDead, float64(n.Dead), n.Name)
	s.truth(notifierFailing, n.Error != "", n.Name)
	s.stamp(notifierOldest, n.Oldest, n.Name)
	s.stamp(notifierLastOK, n.LastOK, n.Name)
	s.ch <- prometheus.MustNewConstMetric(s.descs[notifierSent], prometheus.CounterValue, float64(n.Sent), n.Name)
}
