package monitoring

// alertCase is a story for one alert: series under which it fires, and others,
// each apart, under which it does not. The first of the labels in on are the
// alert's own; job and instance are added to all series.
type alertCase struct {
	alert  string
	on     string // labels of the alert beside severity, job and instance
	fires  []string
	at     string   // when it fires
	before string   // when it does not yet; "": it fires at once
	quiet  []string // sets of series, divided by lines, under which it stays quiet
	bare   bool     // the alert has neither job nor instance
}

// Series last for as long as any of the tests looks.
const (
	always0 = " 0x600"
	always1 = " 1x600"
)

const orders = `resource="orders"`

var alertCases = []alertCase{
	{
		alert: "ReattachFailover", on: orders, at: "1m", before: "0s",
		fires: []string{`reattach_switches_total{resource="orders",kind="failover"} 0 0 1x200`},
		quiet: []string{
			`reattach_switches_total{resource="orders",kind="failover"} 3x600`,
			`reattach_switches_total{resource="orders",kind="switchover"} 0 0 1x600`,
			`reattach_notices_active{event="held",resource="orders",severity="critical"}` + always1,
		},
	}, {
		alert: "ReattachFailover", on: orders, at: "1h", // long after it, until somebody has answered it
		fires: []string{
			`reattach_switches_total{resource="orders",kind="failover"} 0 0 1x600`,
			`reattach_notices_active{event="failover",resource="orders",severity="critical"}` + always1,
		},
		quiet: []string{`reattach_switches_total{resource="orders",kind="failover"} 0 0 1x600`},
	}, {
		alert: "ReattachFailoverHeld", on: `resource="orders",kind="failover",gate="candidate"`, at: "30s", before: "0s",
		fires: []string{`reattach_hold{resource="orders",kind="failover",gate="candidate"}` + always1},
		quiet: []string{
			`reattach_hold{resource="orders",kind="failover",gate="paused"}` + always1,
			`reattach_hold{resource="orders",kind="failover",gate="observe"}` + always1,
			`reattach_hold{resource="orders",kind="switchover",gate="candidate"}` + always1,
		},
	}, {
		alert: "ReattachSwitchHeld", on: `resource="orders",kind="failover",gate="paused"`, at: "6m", before: "4m",
		fires: []string{`reattach_hold{resource="orders",kind="failover",gate="paused"}` + always1},
		quiet: []string{`reattach_hold{resource="orders",kind="failover",gate="class"}` + always1, `reattach_hold{resource="orders",kind="bootstrap",gate="observe"}` + always1},
	}, {
		alert: "ReattachSwitchHeld", on: `resource="orders",kind="switchover",gate="candidate"`, at: "6m", before: "4m",
		fires: []string{`reattach_hold{resource="orders",kind="switchover",gate="candidate"}` + always1},
	}, {
		alert: "ReattachWouldFailOver", on: `resource="orders",kind="failover",gate="observe"`, at: "15s",
		fires: []string{`reattach_hold{resource="orders",kind="failover",gate="observe"}` + always1},
		quiet: []string{`reattach_hold{resource="orders",kind="failover",gate="candidate"}` + always1},
	}, {
		alert: "ReattachNotProtected", on: orders, at: "3m", before: "1m",
		fires: []string{
			`reattach_protected{resource="orders"}` + always0, `reattach_paused{resource="orders"}` + always0, "reattach_blind" + always0,
			`reattach_resource_info{resource="orders",protocol="mysql",mode="act"}` + always1,
		},
		quiet: []string{
			`reattach_protected{resource="orders"}` + always1,
			`reattach_protected{resource="orders"} 0 0 0 0 1x600`,
			`reattach_protected{resource="orders"}` + always0 + "\n" + `reattach_paused{resource="orders"}` + always1,
			`reattach_protected{resource="orders"}` + always0 + "\n" + `reattach_resource_info{resource="orders",protocol="mysql",mode="observe"}` + always1,
			`reattach_protected{resource="orders"}` + always0 + "\nreattach_blind" + always1,
			`reattach_protected{resource="orders"}` + always0 + "\nreattach_quorum_spare -1+0x600",
		},
	}, {
		alert: "ReattachNotProtected", on: orders, at: "3m", before: "1m", // the mode is observe, and a gate would be closed besides
		fires: []string{
			`reattach_protected{resource="orders"}` + always0, `reattach_resource_info{resource="orders",protocol="mysql",mode="observe"}` + always1,
			`reattach_notices_active{event="not_protected",resource="orders",severity="warning"}` + always1,
		},
	}, {
		alert: "ReattachPausedForADay", on: orders, at: "24h20m", before: "23h",
		fires: []string{`reattach_paused{resource="orders"}` + always1},
		quiet: []string{`reattach_paused{resource="orders"}` + always0},
	}, {
		alert: "ReattachOldPrimaryWritable", on: `resource="orders",endpoint="db1"`, at: "30s", before: "0s",
		fires: oldPrimary("1", "1", "0", "1"),
		quiet: []string{
			lines(oldPrimary("0", "1", "0", "1")), // read-only
			lines(oldPrimary("1", "0", "0", "1")), // cleared
			lines(oldPrimary("1", "1", "1", "1")), // attached again
			lines(oldPrimary("1", "1", "0", "0")), // still down
		},
	}, {
		alert: "ReattachLeftWork", on: `resource="queue"`, at: "2m", before: "0s",
		fires: []string{
			`reattach_switches_total{resource="queue",kind="failover"} 0 0 1x600`,
			`reattach_resource_info{resource="queue",protocol="amqp",mode="act"}` + always1,
		},
		quiet: []string{
			`reattach_switches_total{resource="queue",kind="failover"} 0 0 1x600` + "\n" + `reattach_resource_info{resource="queue",protocol="mysql",mode="act"}` + always1,
			`reattach_switches_total{resource="queue",kind="failover"}` + always1 + "\n" + `reattach_resource_info{resource="queue",protocol="amqp",mode="act"}` + always1,
		},
	},
	active("ReattachSplitWrites", "split_writes"),
	active("ReattachTwoWritable", "step_failed"),
	active("ReattachAnotherWriter", "another_writer"),
	active("ReattachStoreDenies", "denied"),
	active("ReattachStoreRewound", "rewound"),
	{
		alert: "ReattachCertificateExpiresSoon", on: `resource="orders",endpoint="db1"`, at: "1m",
		fires: []string{`reattach_endpoint_tls_expiry_timestamp_seconds{resource="orders",endpoint="db1"} 1728000x600`}, // 20 days after the story's beginning
		quiet: []string{
			`reattach_endpoint_tls_expiry_timestamp_seconds{resource="orders",endpoint="db1"} 1900000x600`,
			`reattach_endpoint_tls_expiry_timestamp_seconds{resource="orders",endpoint="db1"} 8600x600`,
		},
	}, {
		alert: "ReattachCertificateExpires", on: `resource="orders",endpoint="db1"`, at: "1m",
		fires: []string{`reattach_endpoint_tls_expiry_timestamp_seconds{resource="orders",endpoint="db1"} 8600x600`},
		quiet: []string{`reattach_endpoint_tls_expiry_timestamp_seconds{resource="orders",endpoint="db1"} 1728000x600`},
	}, {
		alert: "ReattachDown", at: "2m", before: "30s",
		fires: []string{"up" + always0},
		quiet: []string{"up" + always1, "up 0 0 1x600"},
	}, {
		alert: "ReattachAbsent", on: `job="reattach"`, bare: true, at: "11m", before: "9m",
		fires: []string{`unrelated` + always1},
		quiet: []string{"up" + always1, "up" + always0},
	}, {
		alert: "ReattachEngineStuck", at: "2m", before: "30s",
		fires: []string{"reattach_engine_up" + always0},
		quiet: []string{"reattach_engine_up" + always1},
	}, {
		alert: "ReattachStoreLost", at: "30s", before: "0s",
		fires: []string{"reattach_store_up" + always0},
		quiet: []string{
			"reattach_store_up" + always1, "reattach_store_up 0 1x600",
			"reattach_store_up" + always0 + "\n" + `reattach_notices_active{event="denied",resource="orders",severity="critical"}` + always1,
		},
	}, {
		alert: "ReattachQuorumMargin", at: "2m", before: "45s",
		fires: []string{"reattach_quorum_spare" + always0, `reattach_peer_up{peer="mon-b"}` + always1, `reattach_peer_up{peer="mon-c"}` + always0},
		quiet: []string{
			"reattach_quorum_spare" + always1 + "\n" + `reattach_peer_up{peer="mon-c"}` + always0,
			"reattach_quorum_spare" + always0 + "\n" + `reattach_peer_up{peer="mon-b"}` + always1,
		},
	}, {
		alert: "ReattachQuorumLost", at: "1m", before: "15s",
		fires: []string{"reattach_quorum_spare -1+0x600"},
		quiet: []string{"reattach_quorum_spare" + always0, "reattach_quorum_spare -1+0x600\nreattach_blind" + always1},
	}, {
		alert: "ReattachBlind", at: "1m", before: "15s",
		fires: []string{"reattach_blind" + always1, "reattach_store_up" + always1},
		quiet: []string{"reattach_blind" + always0 + "\nreattach_store_up" + always1, "reattach_blind" + always1 + "\nreattach_store_up" + always0},
	}, {
		alert: "ReattachConfigNotReloaded", at: "2m", before: "30s",
		fires: []string{"reattach_config_last_reload_successful" + always0},
		quiet: []string{"reattach_config_last_reload_successful" + always1},
	}, {
		alert: "ReattachNotifierFailing", on: `notifier="chat"`, at: "6m", before: "4m",
		fires: []string{`reattach_notifier_failing{notifier="chat"}` + always1},
		quiet: []string{`reattach_notifier_failing{notifier="chat"}` + always0, `reattach_notifier_failing{notifier="chat"} 1 1 0x600`},
	}, {
		alert: "ReattachNotifierFailing", on: `notifier="chat"`, at: "16m", before: "14m", // it accepts, and never answers
		fires: []string{`reattach_notifier_oldest_pending_timestamp_seconds{notifier="chat"}` + always0},
		quiet: []string{`reattach_notifier_oldest_pending_timestamp_seconds{notifier="chat"} 800x600`},
	}, {
		alert: "ReattachDeadLetters", on: `notifier="chat"`, at: "2m", before: "0s",
		fires: []string{`reattach_notifier_dead_letters{notifier="chat"} 4 4 5x600`},
		quiet: []string{`reattach_notifier_dead_letters{notifier="chat"} 4x600`, `reattach_notifier_dead_letters{notifier="chat"} 4 4 3x600`},
	}, {
		alert: "ReattachLoopLag", at: "8m", before: "4m",
		fires: []string{`reattach_loop_lag_seconds_bucket{le="0.5"} 0+5x600`, `reattach_loop_lag_seconds_bucket{le="1"} 0+10x600`, `reattach_loop_lag_seconds_bucket{le="+Inf"} 0+10x600`},
		quiet: []string{`reattach_loop_lag_seconds_bucket{le="0.5"} 0+10x600` + "\n" + `reattach_loop_lag_seconds_bucket{le="1"} 0+10x600` + "\n" + `reattach_loop_lag_seconds_bucket{le="+Inf"} 0+10x600`},
	}, {
		alert: "ReattachProbesStale", on: `resource="orders",endpoint="db1"`, at: "12m", before: "10m",
		fires: []string{`reattach_endpoint_last_seen_timestamp_seconds{resource="orders",endpoint="db1"}` + always0},
		quiet: []string{`reattach_endpoint_last_seen_timestamp_seconds{resource="orders",endpoint="db1"} 0+15x600`},
	},
}

// active is the story of an alert on a notice that lasts.
func active(alert, event string) alertCase {
	return alertCase{
		alert: alert, on: orders, at: "15s",
		fires: []string{`reattach_notices_active{event="` + event + `",resource="orders",severity="critical"}` + always1},
		quiet: []string{`reattach_notices_active{event="not_protected",resource="orders",severity="warning"}` + always1},
	}
}

// oldPrimary is what a daemon shows of an endpoint that may have been left.
func oldPrimary(writable, tainted, attached, up string) []string {
	of := `{resource="orders",endpoint="db1"`
	return []string{
		"reattach_endpoint_writable" + of + "} " + writable + "x600", "reattach_endpoint_tainted" + of + "} " + tainted + "x600",
		"reattach_attached" + of + "} " + attached + "x600", "reattach_endpoint_state" + of + `,state="up"} ` + up + "x600",
	}
}
