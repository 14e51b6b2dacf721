package metrics

// What is counted as it passes through the engine.
var (
	buildInfo = define(Metric{Name: "build_info", Type: "gauge", Unit: unitMark,
		Help:   "Always 1; the labels say what is running.",
		Labels: []Label{{Name: "version", Meaning: "of reattach"}, {Name: "goversion", Meaning: "of the Go that built it"}}})
	loopLag = define(Metric{Name: "loop_lag_seconds", Type: "histogram", Unit: unitSeconds,
		Help:    "Time from the end of a conversation until the engine took its result in.",
		Example: "histogram_quantile(0.99, sum by (instance, le) (rate(reattach_loop_lag_seconds_bucket[5m])))",
		buckets: []float64{.00005, .0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5}})
	standstillsTotal = define(Metric{Name: "standstills_total", Type: "counter", Unit: unitCount,
		Help:    "Times that this process, or its clock, stood still or jumped. Evidence from before is void each time.",
		Example: "increase(reattach_standstills_total[1d])"})
	reloadsTotal = define(Metric{Name: "reloads_total", Type: "counter", Unit: unitCount,
		Help:   "Configurations that were read while running, by whether they were taken. One that was not leaves the running one in force.",
		Labels: []Label{labelTaken}})
	reloadSuccessful = define(Metric{Name: "config_last_reload_successful", Type: "gauge", Unit: unitState,
		Help: "1 if the configuration that was read last is in force, 0 if it was not taken."})
	reloadTimestamp = define(Metric{Name: "config_last_reload_success_timestamp_seconds", Type: "gauge", Unit: unitStamp,
		Help:    "When the configuration that is in force was read.",
		Example: "time() - reattach_config_last_reload_success_timestamp_seconds"})
	storeUpNow = define(Metric{Name: "store_up", Type: "gauge", Unit: unitState,
		Help: "1 if the store carried out, or refused for a reason of its own, the last transaction; 0 if it gave no answer or denied us."})
	storeTxnsTotal = define(Metric{Name: "store_txns_total", Type: "counter", Unit: unitCount,
		Help:    "Transactions by purpose and outcome: ok, conflict (the store was in another state), denied, invalid, unknown (no answer), late (never sent).",
		Labels:  []Label{labelPurpose, labelOutcome},
		Example: `sum by (instance, purpose, outcome) (rate(reattach_store_txns_total[5m]))`})
	storeTxnSeconds = define(Metric{Name: "store_txn_seconds", Type: "histogram", Unit: unitSeconds,
		Help:    "Time from sending a transaction to its answer, or to giving up.",
		Labels:  []Label{labelPurpose},
		Example: "histogram_quantile(0.99, sum by (purpose, le) (rate(reattach_store_txn_seconds_bucket[5m])))",
		buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}})
	probesTotal = define(Metric{Name: "probes_total", Type: "counter", Unit: unitCount,
		Help:    "Conversations that ended, by what their outcome is evidence of. A session's hints are counted by the class they came with.",
		Labels:  []Label{labelResource, labelEndpoint, labelProbe, labelClass},
		Example: `sum by (resource, endpoint, class) (rate(reattach_probes_total{class!="ok"}[5m]))`})
	phaseSeconds = define(Metric{Name: "probe_phase_seconds", Type: "histogram", Unit: unitSeconds,
		Help:    "Time that each phase of a conversation took, the phase that it stopped in included.",
		Labels:  []Label{labelProtocol, labelPhase},
		Example: "histogram_quantile(0.99, sum by (protocol, phase, le) (rate(reattach_probe_phase_seconds_bucket[5m])))",
		buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15}})
	switchesTotal = define(Metric{Name: "switches_total", Type: "counter", Unit: unitCount,
		Help:    "Switches that this observer committed.",
		Labels:  []Label{labelResource, labelSwitch},
		Example: `increase(reattach_switches_total{kind="failover"}[1d])`})
	stageSeconds = define(Metric{Name: "switch_stage_seconds", Type: "histogram", Unit: unitSeconds,
		Help:    "Time that each stage of a failover took: detect, read, open and vote follow one another; total is from the first bad observation to the commit.",
		Labels:  []Label{labelStage},
		Example: `histogram_quantile(0.5, sum by (le) (rate(reattach_switch_stage_seconds_bucket{stage="total"}[30d])))`,
		buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30, 60, 120}})
	stepsTotal = define(Metric{Name: "steps_total", Type: "counter", Unit: unitCount,
		Help:    "Commands around a switch that this observer ran, by how they ended. One that was killed because its time was over failed; one that ended with the daemon is not counted.",
		Labels:  []Label{labelResource, labelStep, labelResult},
		Example: `sum by (resource, step, result) (increase(reattach_steps_total[1d]))`})
	stepSeconds = define(Metric{Name: "step_seconds", Type: "histogram", Unit: unitSeconds,
		Help:    "Time that a command around a switch took, whatever became of it.",
		Labels:  []Label{labelStep},
		Example: "histogram_quantile(0.9, sum by (step, le) (rate(reattach_step_seconds_bucket[30d])))",
		buckets: []float64{.01, .05, .1, .5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300}})
	noticesTotal = define(Metric{Name: "notices_total", Type: "counter", Unit: unitCount,
		Help:   "Notices to people, by what they tell. The ends of matters are not counted.",
		Labels: []Label{labelEvent}, Example: `sum by (event) (increase(reattach_notices_total[1d])) > 0`})
)

// What is read from the status at each scrape.
var (
	engineUp = define(Metric{Name: "engine_up", Type: "gauge", Unit: unitState,
		Help: "1 if the engine told its status to this scrape. Where it is 0, all metrics of resources, endpoints and notifiers are absent."})
	observerInfo = define(Metric{Name: "observer_info", Type: "gauge", Unit: unitMark,
		Help:   "Always 1; the labels say which observer this is.",
		Labels: []Label{{Name: "observer", Meaning: "its configured name"}, {Name: "zone", Meaning: "its configured zone; may be empty"}}})
	blindNow = define(Metric{Name: "blind", Type: "gauge", Unit: unitState,
		Help: "1 while this observer cannot judge: its store, or it itself, is unwell."})
	peerUp = define(Metric{Name: "peer_up", Type: "gauge", Unit: unitState,
		Help:    "1 if that observer, this one included, could vote now: it answers its health check and can judge. Absent where one observer is configured.",
		Labels:  []Label{labelPeer},
		Example: "reattach_peer_up == 0"})
	quorumSpare = define(Metric{Name: "quorum_spare", Type: "gauge", Unit: unitCount,
		Help:    "How many more observers may fail before nothing is switched by itself: those that could vote, less the majority of all. Below 0 there is no quorum. Absent where one observer is configured.",
		Example: "min(reattach_quorum_spare) < 1"})
	resourceInfo = define(Metric{Name: "resource_info", Type: "gauge", Unit: unitMark,
		Help: "Always 1; the labels say what the resource is.", Labels: []Label{labelResource, labelProtocol, labelMode},
		Example: `reattach_protected * on (instance, resource) group_left (protocol, mode) reattach_resource_info`})
	protectedNow = define(Metric{Name: "protected", Type: "gauge", Unit: unitState,
		Help: "1 if a failover would happen, and succeed, were the attached endpoint to die now.", Labels: []Label{labelResource},
		Example: "reattach_protected == 0"})
	activityNow = define(Metric{Name: "activity", Type: "gauge", Unit: unitMark,
		Help: "1 for what is being done about the resource.", Labels: []Label{labelResource, labelActivity}})
	holdNow = define(Metric{Name: "hold", Type: "gauge", Unit: unitMark,
		Help: "1 while the gate keeps a wanted switch of the resource back. Absent while nothing is held.", Labels: []Label{labelResource, labelSwitch, labelGate},
		Example: "count by (gate) (reattach_hold)"})
	pausedNow = define(Metric{Name: "paused", Type: "gauge", Unit: unitState,
		Help: "1 while a person has paused the resource, or all.", Labels: []Label{labelResource}})
	conditionNow = define(Metric{Name: "handles_condition", Type: "gauge", Unit: unitMark,
		Help: "1 for the condition that the resource's handles are in.", Labels: []Label{labelResource, labelHandles},
		Example: `reattach_handles_condition{condition!="ours"}`})
	epochNow = define(Metric{Name: "epoch", Type: "gauge", Unit: unitCount,
		Help: "Number of the resource's last switch.", Labels: []Label{labelResource}, Example: "changes(reattach_epoch[1d])"})
	lastSwitch = define(Metric{Name: "last_switch_timestamp_seconds", Type: "gauge", Unit: unitStamp,
		Help: "When the resource's last switch was made, by the clock of who made it.", Labels: []Label{labelResource},
		Example: "time() - reattach_last_switch_timestamp_seconds"})
	outageStart = define(Metric{Name: "outage_start_timestamp_seconds", Type: "gauge", Unit: unitStamp,
		Help: "When the resource's current outage began. Absent while there is none.", Labels: []Label{labelResource},
		Example: "time() - reattach_outage_start_timestamp_seconds"})
	attachedNow = define(Metric{Name: "attached", Type: "gauge", Unit: unitState,
		Help: "1 for the endpoint that the resource's handles name, 0 for its standbys.", Labels: []Label{labelResource, labelEndpoint},
		Example: "reattach_attached == 1"})
	endpointState = define(Metric{Name: "endpoint_state", Type: "gauge", Unit: unitState,
		Help:   "1 for the state that this observer believes the endpoint to be in, 0 for the others.",
		Labels: []Label{labelResource, labelEndpoint, labelState}, Example: `reattach_endpoint_state{state="up"} == 0`})
	endpointTainted = define(Metric{Name: "endpoint_tainted", Type: "gauge", Unit: unitState,
		Help: "1 while the endpoint may have missed writes.", Labels: []Label{labelResource, labelEndpoint}})
	endpointDrained = define(Metric{Name: "endpoint_drained", Type: "gauge", Unit: unitState,
		Help: "1 while a person has taken the endpoint out.", Labels: []Label{labelResource, labelEndpoint}})
	endpointWritable = define(Metric{Name: "endpoint_writable", Type: "gauge", Unit: unitState,
		Help: "1 if the endpoint took writes when it was asked last, 0 if it is read-only. Only where the protocol tells.", Labels: []Label{labelResource, labelEndpoint},
		Example: "reattach_endpoint_writable == 1 and reattach_endpoint_tainted == 1"})
	endpointLatency = define(Metric{Name: "endpoint_latency_seconds", Type: "gauge", Unit: unitSeconds,
		Help: "Duration of the last whole conversation with the endpoint.", Labels: []Label{labelResource, labelEndpoint}})
	endpointSeen = define(Metric{Name: "endpoint_last_seen_timestamp_seconds", Type: "gauge", Unit: unitStamp,
		Help: "When the last conversation with the endpoint ended, whatever its outcome.", Labels: []Label{labelResource, labelEndpoint},
		Example: "time() - reattach_endpoint_last_seen_timestamp_seconds"})
	endpointExpiry = define(Metric{Name: "endpoint_tls_expiry_timestamp_seconds", Type: "gauge", Unit: unitStamp,
		Help: "When the earliest certificate of the endpoint's chain ends. Only where the conversation uses TLS.", Labels: []Label{labelResource, labelEndpoint},
		Example: "(reattach_endpoint_tls_expiry_timestamp_seconds - time()) / 86400"})
	noticesActive = define(Metric{Name: "notices_active", Type: "gauge", Unit: unitCount,
		Help:   "Notices that last and that nobody has acknowledged. Absent where there is none; the resource is empty for those of the observer itself.",
		Labels: []Label{labelEvent, labelResource, labelSeverity}, Example: `reattach_notices_active{severity="critical"}`})
	notifierInfo = define(Metric{Name: "notifier_info", Type: "gauge", Unit: unitMark,
		Help: "Always 1; the labels say what the notifier is.", Labels: []Label{labelNotifier, {Name: "kind", Meaning: "exec, webhook, slack, pagerduty, alertmanager or email"}}})
	notifierPending = define(Metric{Name: "notifier_pending", Type: "gauge", Unit: unitCount,
		Help: "Notices that wait to be delivered.", Labels: []Label{labelNotifier}})
	notifierOldest = define(Metric{Name: "notifier_oldest_pending_timestamp_seconds", Type: "gauge", Unit: unitStamp,
		Help: "When the oldest notice that waits was told. Absent while none waits.", Labels: []Label{labelNotifier},
		Example: "time() - reattach_notifier_oldest_pending_timestamp_seconds"})
	notifierSent = define(Metric{Name: "notifier_sent_total", Type: "counter", Unit: unitCount,
		Help: "Notices that were delivered.", Labels: []Label{labelNotifier}})
	notifierDead = define(Metric{Name: "notifier_dead_letters", Type: "gauge", Unit: unitCount,
		Help: "Notices in the journal that were given up for this notifier.", Labels: []Label{labelNotifier}})
	notifierFailing = define(Metric{Name: "notifier_failing", Type: "gauge", Unit: unitState,
		Help: "1 if the last attempt to deliver failed.", Labels: []Label{labelNotifier}})
	notifierLastOK = define(Metric{Name: "notifier_last_success_timestamp_seconds", Type: "gauge", Unit: unitStamp,
		Help: "When something was delivered last. Absent before the first time.", Labels: []Label{labelNotifier}})
)

// The page's order.
var (
	eventMetrics = []*Metric{buildInfo, loopLag, standstillsTotal, reloadsTotal, reloadSuccessful, reloadTimestamp, storeUpNow, storeTxnsTotal,
		storeTxnSeconds, probesTotal, phaseSeconds, switchesTotal, stageSeconds, stepsTotal, stepSeconds, noticesTotal}
	stateMetrics = []*Metric{engineUp, observerInfo, blindNow, peerUp, quorumSpare, resourceInfo, protectedNow, activityNow, holdNow, pausedNow, conditionNow, epochNow,
		lastSwitch, outageStart, attachedNow, endpointState, endpointTainted, endpointDrained, endpointWritable, endpointLatency, endpointSeen, endpointExpiry,
		noticesActive, notifierInfo, notifierPending, notifierOldest, notifierSent, notifierDead, notifierFailing, notifierLastOK}
)
