package metrics

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// Metric describes one metric that a daemon shows.
type Metric struct {
	Name    string // in full
	Type    string // counter, gauge or histogram
	Unit    string // of its value; for a state: what 1 and 0 mean
	Help    string
	Labels  []Label
	Example string // a query that people ask of it; may be empty
	buckets []float64
}

// Label is a label of a [Metric].
type Label struct {
	Name string
	// Values are all that it can have. Where it is empty, the configuration or
	// the build bounds them, as Meaning says.
	Values  []string
	Meaning string
}

// Reference lists every metric of [Metrics], in the order of the page for people.
func Reference() (all []Metric) {
	for _, m := range slices.Concat(eventMetrics, stateMetrics) {
		all = append(all, *m)
	}
	return all
}

// Units of the values.
const (
	unitCount   = "count"
	unitSeconds = "seconds"
	unitStamp   = "seconds since 1970"
	unitState   = "1: it is so, 0: it is not"
	unitMark    = "always 1"
)

func define(m Metric) *Metric {
	m.Name = namespace + "_" + m.Name
	return &m
}

func (m *Metric) labels() []string {
	names := make([]string, len(m.Labels))
	for i, l := range m.Labels {
		names[i] = l.Name
	}
	return names
}

func (m *Metric) counterVec() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.labels())
}

func (m *Metric) counter() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: m.Name, Help: m.Help})
}

func (m *Metric) gauge() prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: m.Name, Help: m.Help})
}

func (m *Metric) histogram() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: m.buckets})
}

func (m *Metric) histogramVec() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: m.buckets}, m.labels())
}

func (m *Metric) desc() *prometheus.Desc {
	return prometheus.NewDesc(m.Name, m.Help, m.labels(), nil)
}

// The labels.
var (
	labelResource = Label{Name: "resource", Meaning: "a resource of the configuration"}
	labelEndpoint = Label{Name: "endpoint", Meaning: "one of the resource's endpoints"}
	labelProtocol = Label{Name: "protocol", Meaning: "the endpoints' protocol: mysql, amqp, smtp, memcached"}
	labelPeer     = Label{Name: "peer", Meaning: "an observer of the configuration"}
	labelNotifier = Label{Name: "notifier", Meaning: "a notifier of the configuration"}
	labelClass    = Label{Name: "class", Values: names(probe.Classes()...), Meaning: "what the outcome is evidence of"}
	labelPhase    = Label{Name: "phase", Values: names(probe.Phases()...), Meaning: "part of a conversation"}
	labelProbe    = Label{Name: "kind", Values: names(probe.Session, probe.Fresh, probe.Write), Meaning: "a ping on a held session, a fresh conversation, a write"}
	labelState    = Label{Name: "state", Values: names(states4...), Meaning: "what this observer believes"}
	labelSwitch   = Label{Name: "kind", Values: names(switchKinds()...), Meaning: "kind of switch"}
	labelStage    = Label{Name: "stage", Values: strings.Fields("detect read open vote total"), Meaning: "part of a failover"}
	labelStep     = Label{Name: "step", Values: []string{policy.Fence, policy.Promote, policy.Abort, policy.After}, Meaning: "what was run"}
	labelResult   = Label{Name: "result", Values: []string{failover.StepOK, failover.StepFailed}, Meaning: "how it ended"}
	labelGate     = Label{Name: "gate", Values: gateNames(), Meaning: "the first closed gate; observe: the mode keeps it from being done"}
	labelEvent    = Label{Name: "event", Values: eventNames(), Meaning: "kind of notice, and its entry in the runbook"}
	labelActivity = Label{Name: "activity", Values: names(activities()...), Meaning: "what is being done about the resource"}
	labelHandles  = Label{Name: "condition", Values: names(conditions()...), Meaning: "what the handles are"}
	labelPurpose  = Label{Name: "purpose", Values: purposes(), Meaning: "what the transaction is for"}
	labelOutcome  = Label{Name: "outcome", Values: strings.Fields("ok conflict denied invalid unknown late"), Meaning: "what became of it"}
	labelSeverity = Label{Name: "severity", Values: names(failover.Info, failover.Warning, failover.Critical), Meaning: "how much it wants of a person"}
	labelMode     = Label{Name: "mode", Values: names(policy.Act, policy.Observe), Meaning: "whether it switches, or only says that it would"}
	labelTaken    = Label{Name: "taken", Values: []string{"true", "false"}, Meaning: "whether it is in force"}
)

// states4 are the states that an endpoint can be in.
var states4 = []policy.State{policy.Unknown, policy.Up, policy.Suspect, policy.Down}

func names[T interface{ String() string }](values ...T) []string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = v.String()
	}
	return words
}

func switchKinds() (all []policy.Kind) {
	for k := policy.Failover; k <= policy.Adopt; k++ {
		all = append(all, k)
	}
	return all
}

func activities() (all []failover.Activity) {
	for a := failover.Init; a <= failover.Holding; a++ {
		all = append(all, a)
	}
	return all
}

func conditions() (all []policy.Condition) {
	for c := policy.Unread; c <= policy.Deleted; c++ {
		all = append(all, c)
	}
	return all
}

func gateNames() (all []string) {
	for _, g := range policy.Gates() {
		all = append(all, g.Name)
	}
	return append(all, policy.Fence, policy.Promote, policy.Observe.String())
}

func eventNames() (all []string) {
	for _, k := range failover.EventKinds() {
		all = append(all, k.Name)
	}
	return all
}

func purposes() (all []string) {
	for _, p := range []failover.Purpose{failover.PurposeSweep, failover.PurposeRead, failover.PurposeOpen, failover.PurposeCommit, failover.PurposeClose,
		failover.PurposeResolve, failover.PurposeConfirm, failover.PurposeAdopt, failover.PurposeState, failover.PurposeControl,
		failover.PurposeClaim, failover.PurposeStep, failover.PurposeAfter} {
		all = append(all, string(p))
	}
	return all
}
