package configs

import (
	"slices"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// newConfig returns the configuration of an empty file. Every default that is
// not a resource's own stands here.
func newConfig(hostname string) *Config {
	return &Config{
		Observer: Observer{Name: hostname, StateDir: "/var/lib/reattach"},
		Store: Store{
			Kind:     Consul,
			Consul:   ConsulStore{Address: "http://127.0.0.1:8500"},
			Embedded: EmbeddedStore{Path: "/var/lib/reattach/store.db"},
		},
		Listen:  Listen{HTTP: "127.0.0.1:9778", Socket: "/run/reattach/control.sock"},
		Runbook: "https://github.com/reattach/reattach/blob/main/deployments/docs/runbook.md",
	}
}

// pagerDutyURL is where PagerDuty takes events (Events API v2).
const pagerDutyURL = "https://events.pagerduty.com/v2/enqueue"

// newNotifier returns a destination about which nothing is said but its kind
// and name. A pager wakes people, so it is not told what is only good to know.
func newNotifier(kind, name string) Notifier {
	n := Notifier{Kind: kind, Name: name, Severity: severities[0], Resolve: true, Timeout: 10 * time.Second}
	if kind == "pagerduty" {
		n.Severity, n.URL = severities[1], pagerDutyURL
	}
	return n
}

// newResource returns a resource about which nothing is said but its name and
// protocol. Every default of a resource stands here, or in its protocol.
func newResource(name string, p probe.Protocol) policy.Resource {
	d := p.Defaults
	return policy.Resource{
		Name:     name,
		Protocol: p,
		Pace:     probe.Pace{Interval: d.Interval, FreshInterval: d.FreshInterval, SuspectInterval: d.SuspectInterval},
		Judge: policy.Thresholds{
			Bad: 3, Of: 3, Rise: 2, Sustain: d.Sustain,
			AlsoSustain: time.Minute,
		},
		Mode:          policy.Act,
		Failback:      policy.FailbackManual,
		FailbackAfter: 10 * time.Minute,
		MassFailure:   policy.MassHold,
		Veto:          true,
		Bootstrap:     !p.Traits.StoreOfData,
	}
}

// Times of writes to a table, where there are any.
const (
	writeInterval = 10 * time.Second
	writeSustain  = 30 * time.Second
)

// profiles are names for sets of thresholds, relative to a protocol's own.
var profiles = []struct {
	name  string
	apply func(*policy.Resource)
}{
	{"fast", func(r *policy.Resource) {
		r.Judge.Sustain = 50 * time.Millisecond
		r.Pace.SuspectInterval = 10 * time.Millisecond
	}},
	{"cautious", func(r *policy.Resource) {
		r.Judge.Sustain = 3 * r.Protocol.Defaults.Sustain
		r.Judge.Bad, r.Judge.Of = 5, 5
	}},
}

func profileNames() []string {
	var out []string
	for _, p := range profiles {
		out = append(out, p.name)
	}
	return out
}

// applyProfile sets what the profile of that name stands for: sustain,
// suspect_interval and fail_after, whatever was said of them before.
func applyProfile(r *policy.Resource, name string) {
	plain := newResource(r.Name, r.Protocol)
	r.Pace.SuspectInterval = plain.Pace.SuspectInterval
	r.Judge.Sustain, r.Judge.Bad, r.Judge.Of = plain.Judge.Sustain, plain.Judge.Bad, plain.Judge.Of
	if i := slices.Index(profileNames(), name); i >= 0 {
		profiles[i].apply(r)
	}
}

// idle returns how long a held session may be silent: ten pings may fail to
// come before the server forgets it, and no fewer than ten seconds pass.
func idle(interval time.Duration) time.Duration { return max(10*interval, 10*time.Second) }
