package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

var (
	storeOfData = probe.Protocol{Name: "mysql", Holds: true, Traits: probe.Traits{StoreOfData: true, Taints: true,
		FenceCommand: func(u probe.URL) string { return "set read_only on " + u.Host }}, Schemes: []probe.Scheme{{Name: "mysql", Port: "3306"}}}
	cache  = probe.Protocol{Name: "memcached", Holds: true, Traits: probe.Traits{Taints: true, RestartClears: true}, Schemes: storeOfData.Schemes}
	relay  = probe.Protocol{Name: "smtp", Traits: probe.Traits{LeftWork: true, LeftWorkCommand: func(probe.URL) string { return "mailq" }}, Schemes: storeOfData.Schemes}
	broker = probe.Protocol{Name: "amqp", Holds: true, Traits: relay.Traits, Schemes: storeOfData.Schemes}
)

// draw makes up the fleet, what it watches, and what befalls it.
func (w *world) draw() {
	w.names = []string{"mon-a", "mon-b", "mon-c", "mon-d", "mon-e"}[:w.chance(3, 50, 1, 26, 2, 9, 5, 15)]
	for i, name := range []string{"mon-a", "mon-b", "mon-c", "mon-d", "mon-e"} {
		w.zones[name] = fmt.Sprintf("az-%d", i%3+1)
	}
	if w.rnd.IntN(10) == 0 { // who forgot to say so
		clear(w.zones)
	}
	resources := w.chance(1, 46, 2, 28, 3, 12, 4, 7, 5, 7)
	if len(w.names) == 5 || w.racing() {
		resources = min(resources, 2)
	}
	storm := len(w.names) == 1 && w.one(25) && !w.racing()
	if storm {
		resources = policy.PaceLimit + 6
	}
	for i := range resources {
		r := w.drawResource(fmt.Sprintf("r%d", i))
		if storm { // of many, one after another fails: a pace is kept, and no mass failure is held
			r.Protocol, r.MassFailure, r.Mode, r.Steps, r.Require, r.Judge.Expect, r.Judge.Sustain = relay, policy.MassProceed, policy.Act, policy.Steps{}, nil, nil, time.Second
		}
		if w.racing() {
			w.racingResource(r)
		}
		w.defs = append(w.defs, r)
	}
	w.drawServers()
	w.drawHandles()
	for _, name := range w.names {
		w.newNode(name, w.config(name, slices.Clone(w.names), w.defs))
	}
	w.drawPlan()
	if w.racing() {
		w.drawRaces()
	}
	if resources >= 4 && !storm && w.one(2) { // else there is none
		if w.one(2) {
			clear(w.zones)
		}
		w.plan = append(w.plan, fault{w.between(3*time.Second, 8*time.Second), w.places["mass failure"], w.rnd.Uint64(), false})
	}
	if storm {
		w.plan = append(w.plan[:min(1, len(w.plan))], fault{4 * time.Second, w.places["storm"], w.rnd.Uint64(), false})
	}
	w.drawTangle(storm)
}

// chance draws one of the values, each followed by its weight.
func (w *world) chance(pairs ...int) int {
	sum := 0
	for i := 1; i < len(pairs); i += 2 {
		sum += pairs[i]
	}
	n := w.rnd.IntN(sum)
	for i := 0; ; i += 2 {
		if n -= pairs[i+1]; n < 0 {
			return pairs[i]
		}
	}
}

func (w *world) one(in int) bool { return w.rnd.IntN(in) == 0 }

func (w *world) drawResource(name string) *policy.Resource {
	second := func(n int) time.Duration { return time.Duration(n) * time.Second }
	r := &policy.Resource{Name: name, Veto: !w.one(12), FailbackAfter: second(w.chance(10, 1, 20, 1)),
		Protocol: []probe.Protocol{storeOfData, cache, relay, broker}[w.chance(0, 55, 1, 20, 2, 10, 3, 15)],
		Pace: probe.Pace{Interval: time.Second, FreshInterval: second(w.chance(5, 1, 10, 1)),
			SuspectInterval: time.Duration(w.chance(50, 1, 100, 3)) * time.Millisecond},
		Judge: policy.Thresholds{Bad: 3, Of: w.chance(3, 4, 5, 1), Rise: 2, Sustain: time.Duration(w.chance(50, 1, 1000, 5, 3000, 2)) * time.Millisecond}}
	timeout := second(w.chance(1, 3, 2, 1))
	for _, ep := range []string{"a", "b", "c", "d"}[:w.chance(2, 3, 3, 5, 4, 1)] {
		u, err := probe.ParseURL(fmt.Sprintf("mysql://app:secret@%s-%s.internal:3306/orders", name, ep))
		if err != nil {
			panic(err)
		}
		r.Endpoints = append(r.Endpoints, policy.Endpoint{Name: ep, Target: probe.Target{URL: u, Timeout: timeout}})
	}
	for i := range w.chance(1, 4, 2, 1) {
		h := policy.Handle{Key: fmt.Sprintf("app/%s/URL%d", name, i)}
		for _, ep := range r.Endpoints {
			h.Values = append(h.Values, probe.Secret(ep.Target.URL.Reveal()))
		}
		r.Handles = append(r.Handles, h)
	}
	w.drawSettings(r)
	return r
}

// drawSettings adds what only some resources have.
func (w *world) drawSettings(r *policy.Resource) {
	r.Bootstrap = w.one(3)
	if w.one(8) {
		r.Failback = policy.FailbackAuto
	}
	if w.one(10) {
		r.Mode = policy.Observe
	}
	if w.one(10) {
		r.MassFailure = policy.MassProceed
	}
	if w.one(10) {
		r.Judge.AlsoEvidence, r.Judge.AlsoSustain = []probe.Class{probe.Auth}, 5*time.Second
	}
	if r.Protocol.Name != "mysql" {
		return
	}
	switch w.rnd.IntN(8) {
	case 0: // all take writes, and one has to
		r.Require = []policy.Requirement{requirement("writable")}
	case 1:
		r.Judge.Expect = []policy.Requirement{requirement("writable")}
		r.Require = r.Judge.Expect
	case 2, 3, 4:
		w.drawSteps(r)
	}
}

func (w *world) drawSteps(r *policy.Resource) {
	step := func(name string) policy.Step {
		return policy.Step{Command: []string{"/etc/reattach/" + name}, Timeout: time.Duration(w.chance(2, 1, 5, 2)) * time.Second}
	}
	r.Bootstrap = false
	which := w.rnd.IntN(4)
	if which != 0 {
		r.Steps.Fence = step(policy.Fence)
		r.Steps.Proceed = w.one(6)
	}
	if which != 1 {
		r.Steps.Promote = step(policy.Promote)
		r.Require = []policy.Requirement{requirement("writable")}
		if w.one(3) {
			r.Steps.Require = []policy.Requirement{requirement("applied")}
		}
		if !w.one(6) {
			r.Steps.Abort = step(policy.Abort)
		}
	}
	if w.one(2) {
		r.Steps.After = step(policy.After)
	}
}

func requirement(text string) policy.Requirement {
	q, err := policy.ParseRequirement(text, []probe.Fact{{Name: "writable", Type: "bool"}, {Name: "applied", Type: "bool"}})
	if err != nil {
		panic(err)
	}
	return q
}

// drawServers has all servers well. Where a promotion makes one writable, the
// standbys are not, until then.
func (w *world) drawServers() {
	for _, r := range w.defs {
		for i, ep := range r.Endpoints {
			s := &server{name: r.Name + "/" + ep.Name, host: ep.Target.URL.Host + ":3306", class: probe.OK, alive: true, booted: -time.Hour}
			if r.Protocol.Traits.StoreOfData {
				s.facts = probe.Facts{"writable": i == 0 || !r.Steps.Has(policy.Promote), "applied": true}
			}
			w.servers[s.name] = s
		}
	}
}

// drawHandles has most handles there already, and written by somebody else.
func (w *world) drawHandles() {
	for _, r := range w.defs {
		if r.Bootstrap && w.one(2) {
			continue
		}
		for _, h := range r.Handles {
			op := failover.Op{Verb: failover.Set, Key: h.Key, Value: []byte(h.Values[0].Reveal()), Flags: uint64(w.rnd.IntN(3))}
			if _, err := w.store.Apply([]failover.Op{op}); err != nil {
				panic(err)
			}
		}
	}
}
