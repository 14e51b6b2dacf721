package policy_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// ready is a situation in which a switch of that kind is made: every gate that
// guards it is open. There are one observer, an endpoint "primary", attached,
// and a standby, up and fresh.
func ready(kind policy.Kind) *policy.Situation {
	s := &policy.Situation{Now: start, Kind: kind, Automatic: kind == policy.Failover || kind == policy.Bootstrap || kind == policy.FailbackTo,
		Resource: &policy.Resource{Name: "orders-db", Veto: true, Judge: policy.Thresholds{Bad: 3, Of: 3, Rise: 2, Sustain: 10 * time.Second}},
		Attached: 0, Target: -1, Condition: policy.Ours,
		Endpoints: []policy.Standing{
			{Name: "primary", Verdict: policy.Verdict{State: policy.Up, WasOK: true}, Fresh: true},
			{Name: "standby", Verdict: policy.Verdict{State: policy.Up, WasOK: true}, Fresh: true},
		},
		Mass:  policy.Mass{Addresses: 1, Failed: 1},
		Tally: policy.Tally{Observers: 1, Down: 0, Zones: 1, Up: []int{1, 1}},
	}
	switch kind {
	case policy.Failover:
		s.Endpoints[0].Verdict = policy.Verdict{State: policy.Down, Class: probe.Refused, WasOK: true}
		s.Endpoints[0].Fresh = false
		s.Tally.Down, s.Tally.Up[0] = 1, 0
	case policy.FailbackTo:
		s.Attached = 1
	case policy.Bootstrap:
		s.Attached, s.Condition = -1, policy.Empty
	case policy.Refresh:
		s.Condition = policy.Outdated
	case policy.Restore:
		s.Condition, s.Target = policy.Foreign, 1
	}
	return s
}

// describe changes s as one line of a story says.
func describe(t *testing.T, s *policy.Situation, words []string) {
	t.Helper()
	rest := strings.Join(words[1:], " ")
	number := func() int {
		n, err := strconv.Atoi(words[1])
		if err != nil {
			t.Fatalf("%q: %v", words, err)
		}
		return n
	}
	switch words[0] {
	case "person":
		s.Automatic = false
	case "automatic":
		s.Automatic = true
	case "forced":
		s.Forced = words[1:]
	case "attached":
		s.Attached = number()
	case "target":
		s.Target = number()
	case "endpoint":
		describeEndpoint(t, s, words[1], words[2:])
	case "paused":
		s.Paused = rest
	case "blind":
		s.Blind = rest
	case "rewound":
		s.Rewound = rest
	case "handles":
		s.Condition, s.Detail = condition(t, words[1]), strings.Join(words[2:], " ")
	case "switches":
		s.Switches = number()
	case "fleet":
		s.Fleet = number()
	case "acknowledged": // acknowledged [today]
		s.Acked, s.MassAcked = true, rest == "today"
	case "step":
		s.Step = rest
	case "require":
		s.Resource.Require = append(s.Resource.Require, require(t, rest))
	case "expect":
		s.Resource.Judge.Expect = append(s.Resource.Judge.Expect, require(t, rest))
	default:
		describeVotes(t, s, words, rest)
	}
}

// describeVotes changes what a ballot has come to, and what fails elsewhere.
func describeVotes(t *testing.T, s *policy.Situation, words []string, rest string) {
	t.Helper()
	switch words[0] {
	case "mass": // mass FAILED of ADDRESSES
		s.Mass.Failed, _ = strconv.Atoi(words[1])
		s.Mass.Addresses, _ = strconv.Atoi(words[3])
	case "mass_failure":
		s.Resource.MassFailure = policy.MassProceed
	case "also":
		s.Resource.Judge.AlsoEvidence = append(s.Resource.Judge.AlsoEvidence, class(t, words[1]))
	case "veto":
		s.Tally.Veto = rest
	case "no-veto":
		s.Resource.Veto = false
	case "votes": // votes [observers=3] [down=2] [zones=2] [up=0,2]
		for _, word := range words[1:] {
			name, value := option(word)
			n, _ := strconv.Atoi(value)
			switch name {
			case "observers":
				s.Tally.Observers = n
			case "down":
				s.Tally.Down = n
			case "zones":
				s.Tally.Zones = n
			case "up":
				for i, v := range strings.Split(value, ",") {
					s.Tally.Up[i], _ = strconv.Atoi(v)
				}
			}
		}
	default:
		t.Fatalf("unknown line %q", words)
	}
}

// describeEndpoint changes an endpoint, or adds it:
//
//	endpoint NAME [STATE] [CLASS] [stale] [tried] [was-ok=false] [tainted=WHY] [drained=WHY] [server=ID] [shows=WHY] [fact:NAME=VALUE]
func describeEndpoint(t *testing.T, s *policy.Situation, name string, words []string) {
	t.Helper()
	i := 0
	for i < len(s.Endpoints) && s.Endpoints[i].Name != name {
		i++
	}
	if i == len(s.Endpoints) {
		s.Endpoints = append(s.Endpoints, policy.Standing{Name: name, Verdict: policy.Verdict{State: policy.Up, WasOK: true}, Fresh: true})
		s.Tally.Up = append(s.Tally.Up, 1)
	}
	e := &s.Endpoints[i]
	for _, word := range words {
		key, value := option(word)
		switch {
		case word == "stale":
			e.Fresh = false
		case word == "tried":
			e.Tried = true
		case key == "was-ok":
			e.Verdict.WasOK = value == "true"
		case key == "tainted":
			e.Tainted = strings.ReplaceAll(value, "_", " ")
		case key == "drained":
			e.Drained = strings.ReplaceAll(value, "_", " ")
		case key == "shows": // what expect does not say
			e.Verdict.Class, e.Verdict.Err = probe.Role, strings.ReplaceAll(value, "_", " ")
		case key == "server":
			e.ServerID = value
		case strings.HasPrefix(key, "fact:"):
			if e.Facts == nil {
				e.Facts = probe.Facts{}
			}
			e.Facts[strings.TrimPrefix(key, "fact:")] = fact(value)
		case e.Verdict.State.UnmarshalText([]byte(word)) == nil:
			e.Verdict.Class = probe.None
			if e.Verdict.State == policy.Unknown {
				e.Verdict.WasOK = false
			}
		default:
			e.Verdict.Class = class(t, word)
		}
	}
}

// fact is true, false or a number.
func fact(value string) any {
	if n, err := strconv.ParseInt(value, 10, 64); err == nil {
		return n
	}
	return value == "true"
}

// require is a requirement on the facts that stories know.
func require(t *testing.T, text string) policy.Requirement {
	t.Helper()
	r, err := policy.ParseRequirement(text, []probe.Fact{{Name: "writable", Type: "bool"}, {Name: "lag", Type: "int64"}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func condition(t *testing.T, name string) policy.Condition {
	t.Helper()
	for c := policy.Unread; c <= policy.Deleted; c++ {
		if c.String() == name {
			return c
		}
	}
	t.Fatalf("unknown condition %q", name)
	return policy.Unread
}
