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
	steps      *prometheus.CounterVec
	stepTime   *prometheus.HistogramVec
	txns       *prometheus.CounterVec
	txnSeconds *prometheus.HistogramVec
	notices    *prometheus.CounterVec
	reloads    *prometheus.CounterVec
	reloadOK   prometheus.Gauge
	reloadedAt prometheus.Gauge
	stood      prometheus.Counter
	storeUp    prometheus.Gauge
	lag        prometheus.Histogram
	build      *prometheus.GaugeVec
	config     configNames
	endpoints  map[endpointID]*endpointCounters
	timers     map[string]*phaseTimers
	outcomes   map[outcome]prometheus.Counter
	purposes   map[failover.Purpose]prometheus.Observer
	inFlight   map[uint64]failover.Purpose
	reloading  map[uint64]failover.Config
	running    map[uint64]string // the step of each command under way
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
		probes: probesTotal.counterVec(), phases: phaseSeconds.histogramVec(), switches: switchesTotal.counterVec(),
		stages: stageSeconds.histogramVec(), steps: stepsTotal.counterVec(), stepTime: stepSeconds.histogramVec(), txns: storeTxnsTotal.counterVec(), txnSeconds: storeTxnSeconds.histogramVec(),
		notices: noticesTotal.counterVec(), reloads: reloadsTotal.counterVec(), reloadOK: reloadSuccessful.gauge(),
		reloadedAt: reloadTimestamp.gauge(), stood: standstillsTotal.counter(), storeUp: storeUpNow.gauge(), lag: loopLag.histogram(),
		build:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: buildInfo.Name, Help: buildInfo.Help}, buildInfo.labels()),
		endpoints: map[endpointID]*endpointCounters{}, timers: map[string]*phaseTimers{},
		outcomes: map[outcome]prometheus.Counter{}, purposes: map[failover.Purpose]prometheus.Observer{},
		inFlight: map[uint64]failover.Purpose{}, reloading: map[uint64]failover.Config{}, running: map[uint64]string{},
	}
	m.build.WithLabelValues(version, runtime.Version()).Set(1)
	m.inForce()
	m.preset()
	m.configure(conf)
	return m
}

// preset shows counters whose first increase matters as 0 before it: to
// Prometheus, a series that begins at 1 has not increased.
func (m *Metrics) preset() {
	for _, taken := range labelTaken.Values {
		m.reloads.WithLabelValues(taken)
	}
	for _, event := range labelEvent.Values {
		m.notices.WithLabelValues(event)
	}
}

// Register registers everything with reg. States are read from source at each
// scrape, which must answer within a second.
func (m *Metrics) Register(reg prometheus.Registerer, source Source) error {
	for _, c := range []prometheus.Collector{m.probes, m.phases, m.switches, m.stages, m.steps, m.stepTime, m.txns, m.txnSeconds,
		m.notices, m.reloads, m.reloadOK, m.reloadedAt, m.stood, m.storeUp, m.lag, m.build, newStates(source)} {
		if err := reg.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// configure learns the names of a configuration, shows failovers, switchovers
// and steps as 0 before the first, and removes the series of what the last
// configuration had more.
func (m *Metrics) configure(conf failover.Config) {
	names := configNames{protocol: map[string]string{}, endpoints: map[endpointID]bool{}}
	for _, r := range conf.Resources {
		names.protocol[r.Name] = r.Protocol.Name
		for _, e := range r.Endpoints {
			names.endpoints[endpointID{r.Name, e.Name}] = true
		}
		m.switches.WithLabelValues(r.Name, policy.Failover.String())
		m.switches.WithLabelValues(r.Name, policy.Switchover.String())
		for _, step := range labelStep.Values {
			if !r.Steps.Has(step) {
				m.steps.DeletePartialMatch(prometheus.Labels{"resource": r.Name, "step": step})
				continue
			}
			for _, result := range labelResult.Values {
				m.steps.WithLabelValues(r.Name, step, result)
			}
		}
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
			m.steps.DeletePartialMatch(prometheus.Labels{"resource": resource})
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
	case failover.StepEnded:
		m.stepEnded(e)
	case failover.Stood:
		m.stood.Inc()
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
		if !e.Notice.Over && e.Notice.Teller == "" { // else another observer counts it
			m.notices.WithLabelValues(e.Notice.Event).Inc()
		}
	case failover.RunStep:
		m.running[e.ID] = e.Step
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

// stepEnded counts a command around a switch that this process ran.
func (m *Metrics) stepEnded(e failover.StepEnded) {
	step, ok := m.running[e.ID]
	delete(m.running, e.ID)
	if _, known := m.config.protocol[e.Resource]; !ok || !known {
		return // what a reload removed
	}
	result := failover.StepFailed
	if e.Outcome.OK {
		result = failover.StepOK
	}
	m.steps.WithLabelValues(e.Resource, step, result).Inc()
	m.stepTime.WithLabelValues(step).Observe(e.Outcome.Took.Seconds())
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
func (m *Metrics) Reloaded(taken bool) {
	m.reloads.WithLabelValues(strconv.FormatBool(taken)).Inc()
	if taken {
		m.inForce()
		return
	}
	m.reloadOK.Set(0)
}

// inForce notes that a configuration has just been put in force.
func (m *Metrics) inForce() {
	m.reloadOK.Set(1)
	m.reloadedAt.SetToCurrentTime()
}
