package configs

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// policy fills in the thresholds of a resource: its protocol's, then those of
// defaults, then its own. In each block the profile comes first.
func (l *loader) policy(r *policy.Resource, defaults, own *section) {
	timeout := r.Protocol.Defaults.Timeout
	for _, s := range []*section{defaults, own} {
		if s == nil {
			continue
		}
		var profile string
		if get(s, "profile", &profile) {
			applyProfile(r, profile)
		}
		l.thresholds(r, s)
		get(s, "interval", &r.Pace.Interval)
		get(s, "fresh_interval", &r.Pace.FreshInterval)
		get(s, "suspect_interval", &r.Pace.SuspectInterval)
		get(s, "timeout", &timeout)
		get(s, "failback_after", &r.FailbackAfter)
		get(s.find("quorum"), "veto", &r.Veto)
		choose(s, "mode", &r.Mode, policy.Act, policy.Observe)
		choose(s, "failback", &r.Failback, policy.FailbackManual, policy.FailbackAuto)
		choose(s, "mass_failure", &r.MassFailure, policy.MassHold, policy.MassProceed)
	}
	l.follow(&r.Pace, r.Protocol.Holds, defaults, own)
	for i := range r.Endpoints {
		r.Endpoints[i].Target.Timeout = timeout
		r.Endpoints[i].Target.Idle = idle(r.Pace.Interval)
	}
	l.times(r, timeout, defaults, own)
}

// follow lets the intervals that nobody wrote follow the one that somebody
// did, so that an interval can be changed alone.
func (l *loader) follow(p *probe.Pace, holds bool, defaults, own *section) {
	written := func(name string) bool { return own.has(name) || defaults.has(name) }
	if !written("fresh_interval") {
		p.FreshInterval = max(p.FreshInterval, p.Interval)
	}
	if !holds {
		p.FreshInterval = p.Interval
	}
	if !written("suspect_interval") {
		p.SuspectInterval = min(p.SuspectInterval, p.Interval)
	}
}

// choose sets dst to the value whose word was written.
func choose[T interface{ String() string }](s *section, name string, dst *T, values ...T) {
	var word string
	if !get(s, name, &word) {
		return
	}
	for _, v := range values {
		if v.String() == word {
			*dst = v
		}
	}
}

var failAfter = regexp.MustCompile(`^\s*(\d+)\s+of\s+(\d+)\s*$`)

// mostProbes is how many probes a verdict can look back on.
const mostProbes = 64

// thresholds reads how much evidence makes a verdict.
func (l *loader) thresholds(r *policy.Resource, s *section) {
	t := &r.Judge
	get(s, "sustain", &t.Sustain)
	get(s, "rise", &t.Rise)
	get(s, "also_sustain", &t.AlsoSustain)
	var classes []string
	if get(s, "also_evidence", &classes) {
		t.AlsoEvidence = nil
		for _, name := range classes {
			var c probe.Class
			if c.UnmarshalText([]byte(name)) == nil {
				t.AlsoEvidence = append(t.AlsoEvidence, c)
			}
		}
	}
	var text string
	if !get(s, "fail_after", &text) {
		return
	}
	where := s.place("fail_after")
	m := failAfter.FindStringSubmatch(text)
	if m == nil {
		l.errorf(where, `fail_after = "3 of 5"`, "fail_after says how many of the last probes must be bad")
		return
	}
	bad, _ := strconv.Atoi(m[1]) // too large a number comes out as the largest
	of, _ := strconv.Atoi(m[2])
	switch {
	case bad < 1 || of < 1:
		l.errorf(where, "", "fail_after wants at least one bad probe")
	case bad > of:
		l.errorf(where, fmt.Sprintf("did you mean \"%d of %d\"?", of, bad), "no more than %d of the last %d probes can be bad", of, of)
	case of > mostProbes:
		l.errorf(where, "", "fail_after looks back on at most %d probes", mostProbes)
	default:
		t.Bad, t.Of = bad, of
	}
}

// times warns of times that do not suit one another, or the protocol.
func (l *loader) times(r *policy.Resource, timeout time.Duration, defaults, own *section) {
	at := func(name string) hcl.Range { return l.said(name, defaults, own) }
	p, d := r.Protocol.Name, r.Protocol.Defaults
	if timeout < d.TimeoutFloor {
		l.warnf(at("timeout"), fmt.Sprintf("timeout = %q, or longer", short(d.TimeoutFloor)), "a healthy %s server may take longer than %s to answer", p, short(timeout))
	}
	if r.Judge.Sustain < d.RestartTime && r.Protocol.Traits.StoreOfData {
		l.warnf(at("sustain"), fmt.Sprintf("sustain = %q, or longer", short(d.Sustain)),
			"a plain restart of %s takes about %s: with sustain = %s it becomes a failover, and writes may be lost", p, short(d.RestartTime), short(r.Judge.Sustain))
	}
	if r.Pace.SuspectInterval > r.Pace.Interval {
		l.warnf(at("suspect_interval"), "", "a suspect endpoint would be probed less often (%s) than a healthy one (%s)", short(r.Pace.SuspectInterval), short(r.Pace.Interval))
	}
	switch {
	case !r.Protocol.Holds && own.has("fresh_interval"):
		l.warnf(at("fresh_interval"), "", "fresh_interval has no effect: no session is held with %s, and every conversation is a whole one", p)
	case r.Protocol.Holds && r.Pace.FreshInterval < r.Pace.Interval:
		l.warnf(at("fresh_interval"), "", "whole conversations (every %s) are dearer than pings (every %s), and should be rarer", short(r.Pace.FreshInterval), short(r.Pace.Interval))
	}
	if own.has("also_sustain") && len(r.Judge.AlsoEvidence) == 0 {
		l.warnf(at("also_sustain"), "", "also_sustain has no effect without also_evidence")
	}
	if len(r.Judge.AlsoEvidence) > 0 && r.Judge.AlsoSustain < r.Judge.Sustain {
		l.warnf(at("also_sustain"), "", "also_sustain (%s) is shorter than sustain (%s), though what it counts is weaker evidence", short(r.Judge.AlsoSustain), short(r.Judge.Sustain))
	}
	l.failback(r, at, own)
}

// failback checks what is said of the way home.
func (l *loader) failback(r *policy.Resource, at func(string) hcl.Range, own *section) {
	if r.Failback == policy.FailbackManual {
		if own.has("failback_after") {
			l.warnf(at("failback_after"), `failback = "auto"`, "failback_after has no effect: failback is manual")
		}
		return
	}
	switch {
	case r.Protocol.Traits.LeftWork:
		l.errorf(at("failback"), `failback = "manual"; switchover brings it home once the messages that were left are dealt with`,
			"there is no automatic failback for %s: messages may lie where it was left", r.Protocol.Name)
	case r.Protocol.Traits.StoreOfData:
		l.warnf(at("failback"), "", "a %s that was left may have missed writes: the way home opens only after someone cleared it", r.Protocol.Name)
	}
	if len(r.Endpoints) > 0 && r.FailbackAfter < r.Judge.Sustain {
		l.warnf(at("failback_after"), "", "failback_after (%s) is shorter than sustain (%s): the resource would swing", short(r.FailbackAfter), short(r.Judge.Sustain))
	}
}

// said returns where a setting was decided: by itself or by the profile, of
// the resource or of defaults; else the resource.
func (l *loader) said(name string, defaults, own *section) hcl.Range {
	for _, s := range []*section{own, defaults} {
		for _, n := range []string{name, "profile"} {
			if s.has(n) {
				return s.place(n)
			}
		}
	}
	return l.here
}
