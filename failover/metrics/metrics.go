package metrics

import (
	"errors"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

const namespace = "reattach"

// Metrics counts what passes through an engine. Saw belongs to the engine's
// goroutine; scrapes may happen at any time.
type Metrics struct {
	probes     *prometheus.CounterVec
	phases     *prometheus.HistogramVec
	switches   *prometheus.CounterVec
	stages     *prometheus.HistogramVec
	txns       *prometheus.CounterVec
	txnSeconds *prometheus.HistogramVec
	notices    *prometheus.CounterVec
	reloads    *prometheus.CounterVec
	storeUp    prometheus.Gauge
	lag        prometheus.Histogram
	build      prometheus.Gauge
	config     configNames
	endpoints  map[endpointID]*endpointCounters
	timers     map[string]*phaseTimers
	outcomes   map[outcome]prometheus.Counter
	purposes   map[failover.Purpose]prometheus.Observer
	inFlight   map[uint64]failover.Purpose
	reloading  map[uint64]failover.Config
}

type endpointID struct{ resource, endpoint string }

// endpointCounters are the children of probes for one endpoint, made when first needed.
type endpointCounters [probe.KindCount][probe.Local + 1]prometheus.Counter

// phaseTimers are the children of phases for one protocol, made when first needed.
type phaseTimers [probe.PhaseWrite + 1]prometheus.Observer

type outcome struct {
	purpose failover.Purpose
	word    string
}

// configNames says what the configuration holds: the bound of all labels.
type configNames struct {
	protocol  map[string]string // of each resource
	endpoints map[endpointID]bool
}

// New returns the metrics of an engine that starts with conf. It registers
// nothing; see [Metrics.Register].
func New(conf failover.Config, version string) *Metrics {
	m := &Metrics{
		endpoints: map[endpointID]*endpointCounters{}, timers: map[string]*phaseTimers{},
		outcomes: map[outcome]prometheus.Counter{}, purposes: map[failover.Purpose]prometheus.Observer{},
		inFlight: map[uint64]failover.Purpose{}, reloading: map[uint64]failover.Config{},
	}
	m.makeProbes()
	m.makeSwitches()
	m.makeStore()
	m.build = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	m.build.Set(1)
	m.configure(conf)
	return m
}

func (m *Metrics) makeProbes() {
	m.probes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Name: "probes_total",
		Help: "Conversations that ended, by what their outcome is evidence of. A session's hints are counted by the class they came with.",
	}, []string{"resource", "endpoint", "kind", "class"})
	m.phases = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: "probe_phase_seconds",
		Help:    "Time that each phase of a conversation took, the phase that it stopped in included.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15},
	}, []string{"protocol", "phase"})
	m.lag = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: namespace, Name: "loop_lag_seconds",
		Help:    "Time from the end of a conversation until the engine took its result in.",
		Buckets: []float64{.00005, .0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5},
	})
	m.notices = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Name: "notices_total", Help: "Notices to people, by what they tell.",
	}, []string{"event"})
}

func (m *Metrics) makeSwitches() {
	m.switches = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Name: "switches_total", Help: "Switches that this observer committed.",
	}, []string{"resource", "kind"})
	m.stages = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: "switch_stage_seconds",
		Help:    "Time that each stage of a failover took: detect, read, open and vote follow one another; total is from the first bad observation to the commit.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30, 60, 120},
	}, []string{"stage"})
	m.reloads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Name: "reloads_total", Help: "Configurations that were read while running, by whether they were taken. One that was not leaves the running one in force.",
	}, []string{"taken"})
	m.reloads.WithLabelValues("true")
	m.reloads.WithLabelValues("false")
}

func (m *Metrics) makeStore() {
	m.storeUp = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "store_up", Help: "1 if the store carried out, or refused for a reason of its own, the last transaction; 0 if it gave no answer or denied us.",
	})
	m.txns = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Name: "store_txns_total",
		Help: "Transactions by purpose and outcome: ok, conflict (the store was in another state), denied, invalid, unknown (no answer), late (never sent).",
	}, []string{"purpose", "outcome"})
	m.txnSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: "store_txn_seconds", Help: "Time from sending a transaction to its answer, or to giving up.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"purpose"})
}

// Register registers everything with reg. States are read from source at each
// scrape, which must answer within a second.
func (m *Metrics) Register(reg prometheus.Registerer, source Source) error {
	for _, c := range []prometheus.Collector{m.probes, m.phases, m.switches, m.stages, m.txns, m.txnSeconds,
		m.notices, m.reloads, m.storeUp, m.lag, m.build, newStates(source)} {
		if err := reg.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// configure learns the names of a configuration, shows failovers as 0 before
// the first, and removes the series of what the last configuration had more.
func (m *Metrics) configure(conf failover.Config) {
	names := configNames{protocol: map[string]string{}, endpoints: map[endpointID]bool{}}
	for _, r := range conf.Resources {
		names.protocol[r.Name] = r.Protocol.Name
		for _, e := range r.Endpoints {
			names.endpoints[endpointID{r.Name, e.Name}] = true
		}
		m.switches.WithLabelValues(r.Name, policy.Failover.String())
	}
	for id := range m.config.endpoints {
		if !names.endpoints[id] {
			m.probes.DeletePartialMatch(prometheus.Labels{"resource": id.resource, "endpoint": id.endpoint})
			delete(m.endpoints, id)
		}
	}
	for resource := range m.config.protocol {
		if _, ok := names.protocol[resource]; !ok {
			m.switches.DeletePartialMatch(prometheus.Labels{"resource": resource})
		}
	}
	m.config = names
}

// Saw counts an event and what followed from it.
func (m *Metrics) Saw(now time.Time, event failover.Event, effects []failover.Effect) {
	switch e := event.(type) {
	case failover.Observed:
		m.observed(now, e)
	case failover.Answered:
		m.answered(now, e)
	case failover.Reloaded:
		m.reloading[e.ID] = e.Config
	}
	for _, effect := range effects {
		m.effect(effect)
	}
}

func (m *Metrics) effect(effect failover.Effect) {
	switch e := effect.(type) {
	case failover.Transact:
		m.inFlight[e.ID] = e.Purpose
	case failover.Tell:
		if !e.Notice.Over {
			m.notices.WithLabelValues(e.Notice.Event).Inc()
		}
	case failover.Switched:
		m.switched(e.Record)
	case failover.Respond:
		m.responded(e)
	}
}

func (m *Metrics) observed(now time.Time, o failover.Observed) {
	id := endpointID{o.Resource, o.Endpoint}
	if !m.config.endpoints[id] {
		return // a last word of what a reload removed
	}
	r := &o.Result
	m.probe(id, r.Kind, r.Class).Inc()
	if !r.Ended.IsZero() {
		m.lag.Observe(max(0, now.Sub(r.Ended)).Seconds())
	}
	timers := m.timers[m.config.protocol[o.Resource]]
	if timers == nil {
		timers = &phaseTimers{}
		m.timers[m.config.protocol[o.Resource]] = timers
	}
	for p := probe.PhaseResolve; int(p) < len(timers); p++ {
		if r.Timings[p] <= 0 {
			continue
		}
		if timers[p] == nil {
			timers[p] = m.phases.WithLabelValues(m.config.protocol[o.Resource], p.String())
		}
		timers[p].Observe(r.Timings[p].Seconds())
	}
}

func (m *Metrics) probe(id endpointID, kind probe.Kind, class probe.Class) prometheus.Counter {
	counters := m.endpoints[id]
	if counters == nil {
		counters = &endpointCounters{}
		m.endpoints[id] = counters
	}
	c := &counters[kind][class]
	if *c == nil {
		*c = m.probes.WithLabelValues(id.resource, id.endpoint, kind.String(), class.String())
	}
	return *c
}

func (m *Metrics) answered(now time.Time, a failover.Answered) {
	purpose, ok := m.inFlight[a.ID]
	if !ok {
		return
	}
	delete(m.inFlight, a.ID)
	o := outcome{purpose, outcomeOf(a)}
	counter := m.outcomes[o]
	if counter == nil {
		counter = m.txns.WithLabelValues(string(purpose), o.word)
		m.outcomes[o] = counter
	}
	counter.Inc()
	switch o.word {
	case "ok", "conflict":
		m.storeUp.Set(1)
	case "denied", "unknown":
		m.storeUp.Set(0)
	case "late":
		return // it was never sent
	}
	timer := m.purposes[purpose]
	if timer == nil {
		timer = m.txnSeconds.WithLabelValues(string(purpose))
		m.purposes[purpose] = timer
	}
	if !a.Sent.IsZero() {
		timer.Observe(max(0, now.Sub(a.Sent)).Seconds())
	}
}

func outcomeOf(a failover.Answered) string {
	switch {
	case errors.Is(a.Err, failover.ErrDenied):
		return "denied"
	case errors.Is(a.Err, failover.ErrInvalid):
		return "invalid"
	case errors.Is(a.Err, failover.ErrLate):
		return "late"
	case a.Err != nil:
		return "unknown"
	case !a.Reply.OK:
		return "conflict"
	}
	return "ok"
}

func (m *Metrics) switched(r failover.Record) {
	m.switches.WithLabelValues(r.Resource, r.Kind.String()).Inc()
	if r.Kind != policy.Failover || r.Times.Total <= 0 {
		return // only a failover begins with a bad observation
	}
	for _, s := range []struct {
		stage   string
		seconds float64
	}{{"detect", r.Times.Detect}, {"read", r.Times.Read}, {"open", r.Times.Open}, {"vote", r.Times.Vote}, {"total", r.Times.Total}} {
		m.stages.WithLabelValues(s.stage).Observe(s.seconds)
	}
}

// responded takes a configuration over once the engine has: a Respond with the
// reload's ID says so.
func (m *Metrics) responded(r failover.Respond) {
	conf, ok := m.reloading[r.ID]
	if !ok {
		return
	}
	delete(m.reloading, r.ID)
	if r.Answer.Done {
		m.configure(conf)
	}
}

// Reloaded counts a configuration that was read while running. It may be called
// from any goroutine.
func (m *Metrics) Reloaded(taken bool) { m.reloads.WithLabelValues(strconv.FormatBool(taken)).Inc() }
