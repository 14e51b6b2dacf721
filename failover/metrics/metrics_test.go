package metrics_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/metrics"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// source answers with a fixed status.
type source struct {
	status failover.Status
	err    error
}

func (s source) Status(context.Context) (failover.Status, error) { return s.status, s.err }

func config(resources ...string) failover.Config {
	var conf failover.Config
	for _, name := range resources {
		conf.Resources = append(conf.Resources, &policy.Resource{
			Name: name, Protocol: probe.Protocol{Name: "mysql"},
			Endpoints: []policy.Endpoint{{Name: "primary"}, {Name: "standby"}},
		})
	}
	return conf
}

func status() failover.Status {
	since := noon.Add(-time.Hour)
	return failover.Status{Observer: "mon-a", Zone: "az-1", AsOf: noon, Observers: []failover.ObserverStatus{{Name: "mon-a", Self: true, Answers: true}, {Name: "mon-b", Answers: true}, {Name: "mon-c"}}, Notices: []failover.Notice{
		{Event: "held", Resource: "orders", Urgent: true}, {Event: "certificate", Resource: "orders"}, {Event: "certificate", Resource: "orders"}, {Event: "blind"},
	}, Notifiers: []failover.NotifierStatus{
		{Name: "chat", Kind: "slack", Pending: 3, Oldest: noon.Add(-time.Minute), Sent: 12, Dead: 1, LastOK: noon.Add(-time.Hour), Error: "429"},
		{Name: "page", Kind: "pagerduty"},
	}, Resources: []failover.ResourceStatus{{
		Name: "orders", Protocol: "mysql", Mode: "act", Activity: "hold", Condition: "ours", Attached: "primary", Epoch: 7, Since: &since,
		Hold: &failover.Hold{Kind: policy.Failover, Gate: "candidate"}, Outage: &failover.Outage{Since: since},
		Endpoints: []failover.EndpointStatus{
			{Name: "primary", Attached: true, State: policy.Down, Class: probe.Refused, LastSeen: noon},
			{Name: "standby", State: policy.Up, Tainted: "left 3 h ago", Drained: "by ana@ops", LatencyS: .002,
				Facts: probe.Facts{"tls_expiry": "2026-06-01T00:00:00Z", "writable": true}},
		},
	}}}
}

func start(t *testing.T, conf failover.Config, s metrics.Source) (*metrics.Metrics, *prometheus.Registry) {
	t.Helper()
	m, reg := metrics.New(conf, "v1.2.3"), prometheus.NewPedanticRegistry()
	if err := m.Register(reg, s); err != nil {
		t.Fatal(err)
	}
	return m, reg
}

func observed(resource string, class probe.Class) failover.Observed {
	r := probe.Result{Kind: probe.Fresh, Class: class, Began: noon.Add(-time.Second), Ended: noon.Add(-20 * time.Millisecond)}
	r.Timings[probe.PhaseConnect], r.Timings[probe.PhaseAuth] = 300*time.Microsecond, 2*time.Millisecond
	return failover.Observed{Resource: resource, Endpoint: "primary", Result: r}
}

// busy lets one of everything pass through m.
func busy(m *metrics.Metrics) {
	m.Saw(noon, observed("orders", probe.OK), nil)
	m.Saw(noon, observed("orders", probe.Refused), []failover.Effect{failover.Transact{ID: 4, Purpose: failover.PurposeCommit}})
	m.Saw(noon, failover.Answered{ID: 4, Reply: failover.Reply{OK: true}, Sent: noon.Add(-3 * time.Millisecond)}, []failover.Effect{
		failover.Switched{Record: failover.Record{Resource: "orders", Kind: policy.Failover, Times: failover.Times{Detect: 10, Read: .01, Open: .02, Vote: .03, Total: 10.06}}},
		failover.Tell{Notice: failover.Notice{Event: "failover"}}, failover.RunStep{ID: 5, Resource: "orders", Step: policy.After},
	})
	m.Saw(noon, failover.StepEnded{ID: 5, Resource: "orders", Outcome: failover.StepOutcome{OK: true, Took: time.Second}}, nil)
}

func expect(t *testing.T, reg *prometheus.Registry, want string, names ...string) {
	t.Helper()
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

func TestLint(t *testing.T) {
	m, reg := start(t, config("orders"), source{status: status()})
	busy(m)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestEvents(t *testing.T) {
	m, reg := start(t, config("orders"), source{status: status()})
	busy(m)
	expect(t, reg, `
# HELP reattach_probes_total Conversations that ended, by what their outcome is evidence of. A session's hints are counted by the class they came with.
# TYPE reattach_probes_total counter
reattach_probes_total{class="ok",endpoint="primary",kind="fresh",resource="orders"} 1
reattach_probes_total{class="refused",endpoint="primary",kind="fresh",resource="orders"} 1
# HELP reattach_switches_total Switches that this observer committed.
# TYPE reattach_switches_total counter
reattach_switches_total{kind="failover",resource="orders"} 1
reattach_switches_total{kind="switchover",resource="orders"} 0
# HELP reattach_store_up 1 if the store carried out, or refused for a reason of its own, the last transaction; 0 if it gave no answer or denied us.
# TYPE reattach_store_up gauge
reattach_store_up 1
# HELP reattach_store_txns_total Transactions by purpose and outcome: ok, conflict (the store was in another state), denied, invalid, unknown (no answer), late (never sent).
# TYPE reattach_store_txns_total counter
reattach_store_txns_total{outcome="ok",purpose="commit"} 1
`, "reattach_probes_total", "reattach_switches_total", "reattach_store_up", "reattach_store_txns_total")
	for event, want := range map[string]float64{"failover": 1, "held": 0} { // shown before it happens
		if got, ok := value(t, reg, "reattach_notices_total", event); !ok || got != want {
			t.Errorf("notices of %s: %v, %v; want %v", event, got, ok, want)
		}
	}
	for name, want := range map[string]struct {
		count uint64
		sum   float64
	}{
		"reattach_loop_lag_seconds":     {2, .04},
		"reattach_probe_phase_seconds":  {4, 2*.0003 + 2*.002},
		"reattach_store_txn_seconds":    {1, .003},
		"reattach_switch_stage_seconds": {5, 10 + .01 + .02 + .03 + 10.06},
	} {
		if count, sum := histogram(t, reg, name); count != want.count || sum < want.sum*.999 || sum > want.sum*1.001 {
			t.Errorf("%s: %d observations, sum %v; want %d, %v", name, count, sum, want.count, want.sum)
		}
	}
}

// histogram returns count and sum over all children.
func histogram(t *testing.T, reg *prometheus.Registry, name string) (count uint64, sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			count += m.GetHistogram().GetSampleCount()
			sum += m.GetHistogram().GetSampleSum()
		}
	}
	return count, sum
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		reply failover.Reply
		err   error
		word  string
		up    string
	}{
		{failover.Reply{OK: true}, nil, "ok", "1"},
		{failover.Reply{}, nil, "conflict", "1"},
		{failover.Reply{}, failover.ErrDenied, "denied", "0"},
		{failover.Reply{}, failover.ErrInvalid, "invalid", "1"}, // it says nothing about the store
		{failover.Reply{}, failover.ErrLate, "late", "1"},
		{failover.Reply{}, failover.ErrUnknown, "unknown", "0"},
		{failover.Reply{}, errors.New("connection refused"), "unknown", "0"},
	} {
		m, reg := start(t, config("orders"), source{})
		for id := range uint64(2) { // the first answer brings the store up
			m.Saw(noon, failover.Tick{}, []failover.Effect{failover.Transact{ID: id, Purpose: failover.PurposeSweep}})
		}
		m.Saw(noon, failover.Answered{ID: 0, Reply: failover.Reply{OK: true}}, nil)
		m.Saw(noon, failover.Answered{ID: 1, Reply: c.reply, Err: c.err}, nil)
		want := `
# HELP reattach_store_up 1 if the store carried out, or refused for a reason of its own, the last transaction; 0 if it gave no answer or denied us.
# TYPE reattach_store_up gauge
reattach_store_up ` + c.up + "\n"
		expect(t, reg, want, "reattach_store_up")
		if n := labelled(t, reg, "reattach_store_txns_total", c.word); n == 0 {
			t.Errorf("%v: not counted as %s", c.err, c.word)
		}
	}
}

// labelled counts the series of a family that have a label with that value.
func labelled(t *testing.T, reg *prometheus.Registry, name, value string) (n int) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetValue() == value {
					n++
				}
			}
		}
	}
	return n
}

func TestStates(t *testing.T) {
	_, reg := start(t, config("orders"), source{status: status()})
	expect(t, reg, `
# HELP reattach_attached 1 for the endpoint that the resource's handles name, 0 for its standbys.
# TYPE reattach_attached gauge
reattach_attached{endpoint="primary",resource="orders"} 1
reattach_attached{endpoint="standby",resource="orders"} 0
# HELP reattach_endpoint_state 1 for the state that this observer believes the endpoint to be in, 0 for the others.
# TYPE reattach_endpoint_state gauge
reattach_endpoint_state{endpoint="primary",resource="orders",state="down"} 1
reattach_endpoint_state{endpoint="primary",resource="orders",state="suspect"} 0
reattach_endpoint_state{endpoint="primary",resource="orders",state="unknown"} 0
reattach_endpoint_state{endpoint="primary",resource="orders",state="up"} 0
reattach_endpoint_state{endpoint="standby",resource="orders",state="down"} 0
reattach_endpoint_state{endpoint="standby",resource="orders",state="suspect"} 0
reattach_endpoint_state{endpoint="standby",resource="orders",state="unknown"} 0
reattach_endpoint_state{endpoint="standby",resource="orders",state="up"} 1
# HELP reattach_endpoint_tls_expiry_timestamp_seconds When the earliest certificate of the endpoint's chain ends. Only where the conversation uses TLS.
# TYPE reattach_endpoint_tls_expiry_timestamp_seconds gauge
reattach_endpoint_tls_expiry_timestamp_seconds{endpoint="standby",resource="orders"} 1.7802720e+09
# HELP reattach_engine_up 1 if the engine told its status to this scrape. Where it is 0, all metrics of resources, endpoints and notifiers are absent.
# TYPE reattach_engine_up gauge
reattach_engine_up 1
# HELP reattach_activity 1 for what is being done about the resource.
# TYPE reattach_activity gauge
reattach_activity{activity="hold",resource="orders"} 1
# HELP reattach_endpoint_drained 1 while a person has taken the endpoint out.
# TYPE reattach_endpoint_drained gauge
reattach_endpoint_drained{endpoint="primary",resource="orders"} 0
reattach_endpoint_drained{endpoint="standby",resource="orders"} 1
# HELP reattach_endpoint_last_seen_timestamp_seconds When the last conversation with the endpoint ended, whatever its outcome.
# TYPE reattach_endpoint_last_seen_timestamp_seconds gauge
reattach_endpoint_last_seen_timestamp_seconds{endpoint="primary",resource="orders"} 1.7723664e+09
# HELP reattach_endpoint_tainted 1 while the endpoint may have missed writes.
# TYPE reattach_endpoint_tainted gauge
reattach_endpoint_tainted{endpoint="primary",resource="orders"} 0
reattach_endpoint_tainted{endpoint="standby",resource="orders"} 1
# HELP reattach_endpoint_writable 1 if the endpoint took writes when it was asked last, 0 if it is read-only. Only where the protocol tells.
# TYPE reattach_endpoint_writable gauge
reattach_endpoint_writable{endpoint="standby",resource="orders"} 1
# HELP reattach_observer_info Always 1; the labels say which observer this is.
# TYPE reattach_observer_info gauge
reattach_observer_info{observer="mon-a",zone="az-1"} 1
# HELP reattach_outage_start_timestamp_seconds When the resource's current outage began. Absent while there is none.
# TYPE reattach_outage_start_timestamp_seconds gauge
reattach_outage_start_timestamp_seconds{resource="orders"} 1.7723628e+09
# HELP reattach_paused 1 while a person has paused the resource, or all.
# TYPE reattach_paused gauge
reattach_paused{resource="orders"} 0
# HELP reattach_resource_info Always 1; the labels say what the resource is.
# TYPE reattach_resource_info gauge
reattach_resource_info{mode="act",protocol="mysql",resource="orders"} 1
# HELP reattach_handles_condition 1 for the condition that the resource's handles are in.
# TYPE reattach_handles_condition gauge
reattach_handles_condition{condition="ours",resource="orders"} 1
# HELP reattach_hold 1 while the gate keeps a wanted switch of the resource back. Absent while nothing is held.
# TYPE reattach_hold gauge
reattach_hold{gate="candidate",kind="failover",resource="orders"} 1
# HELP reattach_protected 1 if a failover would happen, and succeed, were the attached endpoint to die now.
# TYPE reattach_protected gauge
reattach_protected{resource="orders"} 0
`, "reattach_attached", "reattach_endpoint_state", "reattach_endpoint_tls_expiry_timestamp_seconds", "reattach_engine_up",
		"reattach_handles_condition", "reattach_hold", "reattach_protected", "reattach_activity", "reattach_endpoint_drained",
		"reattach_endpoint_last_seen_timestamp_seconds", "reattach_endpoint_tainted", "reattach_endpoint_writable", "reattach_observer_info",
		"reattach_outage_start_timestamp_seconds", "reattach_paused", "reattach_resource_info")
}

// TestPausedAll: what is paused for all is paused for each.
func TestPausedAll(t *testing.T) {
	s := status()
	s.Paused = "by ana@ops"
	_, reg := start(t, config("orders"), source{status: s})
	if v, _ := value(t, reg, "reattach_paused", "orders"); v != 1 {
		t.Errorf("paused: %v", v)
	}
}

// TestObservers: who could vote, and how many of them may fail; nothing of that where
// one observer watches.
func TestObservers(t *testing.T) {
	s := status()
	s.Observers = []failover.ObserverStatus{
		{Name: "mon-a", Self: true, Answers: true}, {Name: "mon-b", Answers: true, Blind: "the store does not answer"}, {Name: "mon-c", Error: "timeout"},
	}
	_, reg := start(t, config("orders"), source{status: s})
	expect(t, reg, `
# HELP reattach_peer_up 1 if that observer, this one included, could vote now: it answers its health check and can judge. Absent where one observer is configured.
# TYPE reattach_peer_up gauge
reattach_peer_up{peer="mon-a"} 1
reattach_peer_up{peer="mon-b"} 0
reattach_peer_up{peer="mon-c"} 0
# HELP reattach_quorum_spare How many more observers may fail before nothing is switched by itself: those that could vote, less the majority of all. Below 0 there is no quorum. Absent where one observer is configured.
# TYPE reattach_quorum_spare gauge
reattach_quorum_spare -1
`, "reattach_peer_up", "reattach_quorum_spare")
	s.Observers = nil
	_, reg = start(t, config("orders"), source{status: s})
	expect(t, reg, "", "reattach_peer_up", "reattach_quorum_spare")
}

// States that are not known are absent: a dashboard must not read "not
// protected" out of a daemon that does not answer.
func TestNoStatus(t *testing.T) {
	_, reg := start(t, config("orders"), source{err: context.DeadlineExceeded})
	expect(t, reg, `
# HELP reattach_engine_up 1 if the engine told its status to this scrape. Where it is 0, all metrics of resources, endpoints and notifiers are absent.
# TYPE reattach_engine_up gauge
reattach_engine_up 0
`, "reattach_engine_up", "reattach_protected", "reattach_blind")
}

func TestReload(t *testing.T) {
	m, reg := start(t, config("orders", "mail"), source{})
	for _, r := range []string{"orders", "mail"} {
		m.Saw(noon, observed(r, probe.OK), nil)
	}
	m.Saw(noon, failover.Reloaded{ID: 1, Config: config("orders")}, []failover.Effect{failover.Respond{ID: 1, Answer: failover.Answer{}}})
	if n := labelled(t, reg, "reattach_probes_total", "mail"); n != 1 {
		t.Errorf("after a refused reload: %d series of mail, want 1", n)
	}
	m.Saw(noon, failover.Reloaded{ID: 2, Config: config("orders")}, []failover.Effect{failover.Respond{ID: 2, Answer: failover.Answer{Done: true}}})
	m.Saw(noon, observed("mail", probe.OK), nil) // a last word
	for _, name := range []string{"reattach_probes_total", "reattach_switches_total"} {
		if n := labelled(t, reg, name, "mail"); n != 0 {
			t.Errorf("%s: %d series of a removed resource", name, n)
		}
		if n := labelled(t, reg, name, "orders"); n == 0 {
			t.Errorf("%s: the resource that stayed has none", name)
		}
	}
}

func TestReloaded(t *testing.T) {
	m, reg := start(t, config("orders"), source{})
	check := func(want string) {
		t.Helper()
		expect(t, reg, "# HELP reattach_config_last_reload_successful 1 if the configuration that was read last is in force, 0 if it was not taken.\n"+
			"# TYPE reattach_config_last_reload_successful gauge\nreattach_config_last_reload_successful "+want+"\n", "reattach_config_last_reload_successful")
	}
	check("1")
	at, _ := value(t, reg, "reattach_config_last_reload_success_timestamp_seconds", "")
	m.Reloaded(false)
	check("0")
	if then, _ := value(t, reg, "reattach_config_last_reload_success_timestamp_seconds", ""); then != at {
		t.Error("a configuration that was not taken counts as a good one")
	}
	m.Reloaded(false)
	m.Reloaded(true)
	check("1")
	if then, _ := value(t, reg, "reattach_config_last_reload_success_timestamp_seconds", ""); then <= at {
		t.Error("the time of the last good one stands still")
	}
	expect(t, reg, `
# HELP reattach_reloads_total Configurations that were read while running, by whether they were taken. One that was not leaves the running one in force.
# TYPE reattach_reloads_total counter
reattach_reloads_total{taken="false"} 2
reattach_reloads_total{taken="true"} 1
`, "reattach_reloads_total")
}

// value is that of the first counter or gauge of a family with such a label ("": any).
func value(t *testing.T, reg *prometheus.Registry, name, label string) (float64, bool) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			has := label == ""
			for _, l := range m.GetLabel() {
				has = has || l.GetValue() == label
			}
			if f.GetName() == name && has {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue(), true
			}
		}
	}
	return 0, false
}

func TestStood(t *testing.T) {
	m, reg := start(t, config("orders"), source{})
	m.Saw(noon, failover.Stood{From: noon.Add(-time.Minute)}, nil)
	if n, _ := value(t, reg, "reattach_standstills_total", ""); n != 1 {
		t.Errorf("%v standstills, want 1", n)
	}
}

// TestNotices: what people have to do, and how it reaches them.
func TestNotices(t *testing.T) {
	_, reg := start(t, config("orders"), source{status: status()})
	expect(t, reg, `
# HELP reattach_notices_active Notices that last and that nobody has acknowledged. Absent where there is none; the resource is empty for those of the observer itself.
# TYPE reattach_notices_active gauge
reattach_notices_active{event="blind",resource="",severity="warning"} 1
reattach_notices_active{event="certificate",resource="orders",severity="warning"} 2
reattach_notices_active{event="held",resource="orders",severity="critical"} 1
# HELP reattach_notifier_dead_letters Notices in the journal that were given up for this notifier.
# TYPE reattach_notifier_dead_letters gauge
reattach_notifier_dead_letters{notifier="chat"} 1
reattach_notifier_dead_letters{notifier="page"} 0
# HELP reattach_notifier_failing 1 if the last attempt to deliver failed.
# TYPE reattach_notifier_failing gauge
reattach_notifier_failing{notifier="chat"} 1
reattach_notifier_failing{notifier="page"} 0
# HELP reattach_notifier_info Always 1; the labels say what the notifier is.
# TYPE reattach_notifier_info gauge
reattach_notifier_info{kind="slack",notifier="chat"} 1
reattach_notifier_info{kind="pagerduty",notifier="page"} 1
# HELP reattach_notifier_last_success_timestamp_seconds When something was delivered last. Absent before the first time.
# TYPE reattach_notifier_last_success_timestamp_seconds gauge
reattach_notifier_last_success_timestamp_seconds{notifier="chat"} 1.7723628e+09
# HELP reattach_notifier_oldest_pending_timestamp_seconds When the oldest notice that waits was told. Absent while none waits.
# TYPE reattach_notifier_oldest_pending_timestamp_seconds gauge
reattach_notifier_oldest_pending_timestamp_seconds{notifier="chat"} 1.77236634e+09
# HELP reattach_notifier_pending Notices that wait to be delivered.
# TYPE reattach_notifier_pending gauge
reattach_notifier_pending{notifier="chat"} 3
reattach_notifier_pending{notifier="page"} 0
# HELP reattach_notifier_sent_total Notices that were delivered.
# TYPE reattach_notifier_sent_total counter
reattach_notifier_sent_total{notifier="chat"} 12
reattach_notifier_sent_total{notifier="page"} 0
`, "reattach_notices_active", "reattach_notifier_dead_letters", "reattach_notifier_failing", "reattach_notifier_info",
		"reattach_notifier_last_success_timestamp_seconds", "reattach_notifier_oldest_pending_timestamp_seconds", "reattach_notifier_pending",
		"reattach_notifier_sent_total")
}

func TestSawAllocatesNothing(t *testing.T) {
	m, _ := start(t, config("orders"), source{})
	var event failover.Event = observed("orders", probe.OK)
	m.Saw(noon, event, nil)
	if n := testing.AllocsPerRun(100, func() { m.Saw(noon, event, nil) }); n != 0 {
		t.Errorf("%v allocations for each observation, want none", n)
	}
}
