package main

// glance is what one looks at first: is anything wrong?
func glance(g *grid) {
	g.row("At a glance")
	g.add(3, 4, stat("Not protected", "Resources whose failover would not happen, or not succeed, were their attached endpoint to die now.", field{Thresholds: from("green", 1, "orange")},
		now("sum(1 - reattach_protected{"+both+"})", "")))
	g.add(3, 4, stat("Outages", "Resources whose attached endpoint is down, or whose failover is held.", field{Thresholds: from("green", 1, "red")},
		now("count(reattach_outage_start_timestamp_seconds{"+both+"}) or vector(0)", "")))
	g.add(3, 4, stat("Held", "Switches that a gate keeps back. The gate is below.", field{Thresholds: from("green", 1, "red")},
		now("count(reattach_hold{"+both+"}) or vector(0)", "")))
	g.add(3, 4, stat("Failovers", "In the time that is looked at.", field{Decimals: ptr(0), Thresholds: from("green", 1, "orange")},
		now(`sum(increase(reattach_switches_total{kind="failover", `+both+"}[$__range]))", "")))
	g.add(3, 4, stat("Urgent notices", "Told as critical, and acknowledged by nobody.", field{Thresholds: from("green", 1, "red")},
		now(`sum(reattach_notices_active{severity="critical", instance=~"$observer", resource=~"$resource|"}) or vector(0)`, "")))
	g.add(3, 4, stat("Observers", "Daemons whose engine answers.", field{Thresholds: from("red", 1, "green")},
		now("sum(reattach_engine_up{"+observer+"})", "")))
	g.add(3, 4, stat("Store", "Whether every observer's last transaction was answered.", field{Mappings: words("lost", "red", "answers", "green"), Thresholds: from("red", 1, "green")},
		now("min(reattach_store_up{"+observer+"})", "")))
	g.add(3, 4, stat("Next certificate ends in", "The earliest of all endpoints that are spoken to by TLS.", field{Unit: "s", NoValue: "no TLS", Thresholds: from("red", 86400, "orange", 21*86400, "green")},
		now("min(reattach_endpoint_tls_expiry_timestamp_seconds{"+both+"} - time())", "")))
}

// resources: what is protected, where each is attached, in which epoch.
func resources(g *grid) {
	g.row("Resources")
	g.add(12, 8, bands("Protected", "Would a failover happen, and succeed, were the attached endpoint to die?", words("not protected", "orange", "protected", "green"),
		over("reattach_protected{"+both+"}", "{{resource}}")))
	g.add(12, 8, bands("Attached", "The endpoint that the resource's handles name.", words("standby", "text", "attached", "blue"),
		over("reattach_attached{"+both+"}", "{{resource}} {{endpoint}}")))
	g.add(12, 8, bands("Endpoints", "What the observer believes of each.", words("unknown", "text", "up", "green", "suspect", "yellow", "down", "red"),
		over(`reattach_endpoint_state{state="up", `+both+`} + ignoring (state) 2 * reattach_endpoint_state{state="suspect", `+both+
			`} + ignoring (state) 3 * reattach_endpoint_state{state="down", `+both+"}", "{{resource}} {{endpoint}}")))
	g.add(12, 8, table("Where each resource is", "", "no resource", []column{{"resource", "Resource", ""}, {"endpoint", "Attached to", ""}, {"Value #A", "Epoch", "none"}, {"Value #B", "Since", "dateTimeAsIso"}, {"instance", "Observer", ""}},
		rows("reattach_epoch{"+both+"} * on (job, instance, resource) group_right () (reattach_attached{"+both+"} == 1)"),
		rows("1000 * reattach_last_switch_timestamp_seconds{"+both+"} * on (job, instance, resource) group_right () (reattach_attached{"+both+"} == 1)")))
}

// probes: what the conversations yield, by phase and class.
func probes(g *grid) {
	g.row("Probes")
	g.add(12, 8, byClass(stacked(lines("Conversations by class", "What their outcomes are evidence of. Red ones speak against an endpoint; the others never cause a failover.", "ops",
		over("sum by (class) (rate(reattach_probes_total{"+both+"}[$__rate_interval]))", "{{class}}")))))
	g.add(12, 8, lines("Not ok", "By endpoint and class.", "ops",
		over(`sum by (resource, endpoint, class) (rate(reattach_probes_total{class!="ok", `+both+"}[$__rate_interval])) > 0", "{{resource}} {{endpoint}}: {{class}}")))
	g.add(12, 8, lines("Phases", "The 99th percentile of each phase of a conversation, of all endpoints of a protocol.", "s",
		over("histogram_quantile(0.99, sum by (protocol, phase, le) (rate(reattach_probe_phase_seconds_bucket{"+observer+"}[$__rate_interval])))", "{{protocol}} {{phase}}")))
	g.add(12, 8, lines("Latency", "Of the last whole conversation with each endpoint.", "s",
		over("reattach_endpoint_latency_seconds{"+both+"}", "{{resource}} {{endpoint}}")))
}

// switches: what was done, and how long it took.
func switches(g *grid) {
	g.row("Switches")
	g.add(12, 8, table("Switches in this time", "Those that these observers committed. reattach history tells why each was made. They are also marked in all panels.", "none",
		[]column{{"resource", "Resource", ""}, {"kind", "Kind", ""}, {"Value", "Switches", "none"}, {"instance", "Observer", ""}},
		rows("ceil(increase(reattach_switches_total{"+both+"}[$__range])) > 0")))
	g.add(12, 8, lines("How long failovers took", "On average since the daemon started, from the first bad observation to the commit, and its parts.", "s",
		over("sum by (stage) (reattach_switch_stage_seconds_sum{"+observer+"}) / sum by (stage) (reattach_switch_stage_seconds_count{"+observer+"} > 0)", "{{stage}}")))
}

// gates: what keeps a switch back.
func gates(g *grid) {
	g.row("Gates that hold")
	g.add(12, 7, bands("Held", "A wanted switch, and the first closed gate. Empty while nothing is held.", words("no", "text", "held", "red"),
		over("reattach_hold{"+both+"}", "{{resource}}, {{kind}}: {{gate}}")))
	g.add(6, 7, table("Held now", "", "nothing is held", []column{{"resource", "Resource", ""}, {"kind", "Kind", ""}, {"gate", "Gate", ""}, {"instance", "Observer", ""}},
		rows("reattach_hold{"+both+"}")))
	g.add(6, 7, table("Paused, drained, tainted", "What people have taken out, and what may have missed writes. Empty endpoint: the whole resource is paused.", "nothing",
		[]column{{"resource", "Resource", ""}, {"endpoint", "Endpoint", ""}, {"Value #A", "Paused", ""}, {"Value #B", "Drained", ""}, {"Value #C", "Tainted", ""}},
		rows("reattach_paused{"+both+"} == 1"), rows("reattach_endpoint_drained{"+both+"} == 1"), rows("reattach_endpoint_tainted{"+both+"} == 1")))
}

// notices: what people were told, and whether it arrived.
func notices(g *grid) {
	g.row("Notices and notifiers")
	g.add(12, 8, table("Active notices", "What lasts and nobody has acknowledged. The event is the entry in the runbook.", "none",
		[]column{{"severity", "Severity", ""}, {"event", "Event", ""}, {"resource", "Resource", ""}, {"Value", "Notices", "none"}, {"instance", "Observer", ""}},
		rows(`reattach_notices_active{instance=~"$observer", resource=~"$resource|"}`)))
	g.add(12, 8, stacked(lines("Told", "Notices by what they tell.", "none",
		over("sum by (event) (increase(reattach_notices_total{"+observer+"}[$__rate_interval])) > 0", "{{event}}"))))
	g.add(12, 7, lines("Waiting to be delivered", "By notifier. They wait on disk.", "none",
		over("reattach_notifier_pending{"+observer+"}", "{{notifier}}")))
	g.add(12, 7, table("Notifiers", "Failing: the last attempt failed. Given up: dead letters in the journal.", "no notifier is configured",
		[]column{{"notifier", "Notifier", ""}, {"Value #A", "Delivered", "none"}, {"Value #B", "Waiting", "none"}, {"Value #C", "Failing", "bool_yes_no"}, {"Value #D", "Given up", "none"}, {"instance", "Observer", ""}},
		rows("reattach_notifier_sent_total{"+observer+"}"), rows("reattach_notifier_pending{"+observer+"}"), rows("reattach_notifier_failing{"+observer+"}"),
		rows("reattach_notifier_dead_letters{"+observer+"}")))
}

// daemon: whether the one who watches is well.
func daemon(g *grid) {
	g.row("The daemon itself")
	g.add(8, 7, lines("Lag of the loop", "From the end of a conversation until the engine took its result in.", "s",
		over("histogram_quantile(0.5, sum by (instance, le) (rate(reattach_loop_lag_seconds_bucket{"+observer+"}[$__rate_interval])))", "{{instance}} median"),
		over("histogram_quantile(0.99, sum by (instance, le) (rate(reattach_loop_lag_seconds_bucket{"+observer+"}[$__rate_interval])))", "{{instance}} 99 %")))
	g.add(8, 7, lines("The store's answers", "The 99th percentile, by purpose. The sweep is the pulse.", "s",
		over("histogram_quantile(0.99, sum by (purpose, le) (rate(reattach_store_txn_seconds_bucket{"+observer+"}[$__rate_interval])))", "{{purpose}}")))
	g.add(8, 7, stacked(lines("Transactions", "By outcome. Conflicts are as they should be where several write; denied and unknown are not.", "ops",
		over("sum by (outcome) (rate(reattach_store_txns_total{"+observer+"}[$__rate_interval]))", "{{outcome}}"))))
	g.add(6, 7, lines("CPU", "Cores.", "none", over("rate(process_cpu_seconds_total{"+process+"}[$__rate_interval])", "{{instance}}")))
	g.add(6, 7, lines("Memory", "", "bytes", over("process_resident_memory_bytes{"+process+"}", "{{instance}}"), over("go_memstats_heap_inuse_bytes{"+process+"}", "{{instance}} heap")))
	g.add(6, 7, lines("Goroutines and descriptors", "", "none", over("go_goroutines{"+process+"}", "{{instance}} goroutines"), over("process_open_fds{"+process+"}", "{{instance}} descriptors")))
	g.add(6, 7, bands("Well", "Blind: it cannot judge. Reloaded: the configuration that was read last is in force.", words("no", "text", "yes", "blue"),
		over("reattach_blind{"+observer+"}", "{{instance}} blind"), over("reattach_config_last_reload_successful{"+observer+"}", "{{instance}} reloaded")))
	g.add(12, 5, table("What runs", "", "no daemon", []column{{"instance", "Target", ""}, {"observer", "Observer", ""}, {"zone", "Zone", ""}, {"Value", "Configuration read", "dateTimeAsIso"}},
		rows("1000 * reattach_config_last_reload_success_timestamp_seconds{"+observer+"} * on (job, instance) group_right () reattach_observer_info{"+observer+"}")))
	g.add(12, 5, table("Versions", "", "no daemon", []column{{"instance", "Target", ""}, {"version", "Version", ""}, {"goversion", "Go", ""}},
		rows("reattach_build_info{"+observer+"}")))
}
