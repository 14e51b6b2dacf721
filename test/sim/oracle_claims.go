package sim

import (
	"slices"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// claimsSeen is what is known of the claims of steps.
type claimsSeen struct {
	sent   map[string]bool           // by claim: it was decided on
	landed map[string]time.Duration  // by claim
	begun  map[string]int            // by operation and step: how often it was started
	bad    map[string]*node          // by operation and step: who ran it when it failed
	failed map[vetoKey]time.Duration // when one ended an operation of a resource because its fence had failed
	lives  map[vetoKey]int           // and in which life
}

func newClaims() claimsSeen {
	return claimsSeen{map[string]bool{}, map[string]time.Duration{}, map[string]int{}, map[string]*node{}, map[vetoKey]time.Duration{}, map[vetoKey]int{}}
}

// claimSent judges a further claim of fence or promote when it is decided on.
func (o *oracle) claimSent(n *node, t failover.Transact) {
	var s failover.State
	resource := ""
	for _, op := range t.Ops {
		if role(op.Key) == "state" {
			resource = resourceOf(op.Key)
			decode(written(op), &s)
		}
	}
	op := s.Operation
	if op == nil {
		o.endSent(n, resource)
		return
	}
	if op.Ended != "" || o.claims.sent[op.Claim] {
		return // the end of a step; or it is sent again, unchanged
	}
	o.claims.sent[op.Claim] = true
	if silent := o.w.now - n.known.heard; silent > 2200*time.Millisecond && op.Step != policy.Abort {
		o.breaks("6", "%s claims %s of %s although the store has been silent for %v", n.name, op.Step, resource, silent)
	}
	if op.Step == policy.Abort {
		return
	}
	o.notRewound(n, "claim of "+op.Step, resource)
	o.notPaused(n, t.Purpose, resource, op.Forced)
	r := n.has(resource)
	if r == nil {
		return
	}
	if hash := r.Hash(n.cfg.Observers); hash != op.Hash {
		o.breaks("7", "%s claims %s of %s for an operation that was begun under another configuration", n.name, op.Step, resource)
	}
	if s.Epoch != op.Epoch {
		o.breaks("7", "%s claims %s of %s for an operation of epoch %d, and it is epoch %d", n.name, op.Step, resource, op.Epoch, s.Epoch)
	}
	if why := o.inVain(n, r, s); why != "" {
		o.breaks("7", "%s claims %s of %s in vain: %s", n.name, op.Step, resource, why)
	}
}

// endSent judges the end of an operation when it is decided on: nobody gives up what
// another one runs, or ran, as long as he does not see how it stands.
func (o *oracle) endSent(n *node, resource string) {
	u := o.w.stateOf(resource).Operation
	if u == nil || o.claims.sent["over "+u.Claim+n.name] {
		return
	}
	o.claims.sent["over "+u.Claim+n.name] = true
	if u.Runner == n.name && u.Ended == "" && o.claims.landed[u.Claim] >= n.known.began {
		return // it is his own step that ended so
	}
	if silent := o.w.now - n.known.heard; silent > 2200*time.Millisecond {
		o.breaks("6", "%s gives up the %s of %s to %s although the store has been silent for %v", n.name, u.Kind, resource, u.To, silent)
	}
	o.notRewound(n, "end of "+u.Step, resource)
}

// inVain says why a further step is begun for a switch that would be refused:
// what is attached was not fenced, and answers.
func (o *oracle) inVain(n *node, r *policy.Resource, s failover.State) string {
	op := s.Operation
	p := n.known.seen[r.Name+"/"+op.From]
	if op.Kind != policy.Failover || slices.Contains(op.Forced, "class") || s.Fenced != 0 && s.Fenced == s.Epoch || p == nil {
		return ""
	}
	good := 0
	for _, res := range p.all {
		if good++; r.Judge.Expected(res).Class != probe.OK {
			good = 0
		}
	}
	if good > r.Judge.Rise+1 {
		return op.From + ", which was not fenced, has answered " + n.name + " again"
	}
	return ""
}

// claimWritten holds what is true of every write of an operation that goes on.
func (o *oracle) claimWritten(c *change) {
	op, was := c.now.Operation, c.old.Operation
	o.stood(c.r.Name, op)
	key := vetoKey{c.r.Name, c.n}
	if op == nil {
		if was != nil && c.t.Purpose == failover.PurposeStep {
			o.givenUp(c, key)
		}
		return
	}
	fresh := was == nil || was.Claim != op.Claim
	switch {
	case fresh:
		o.claims.landed[op.Claim] = o.w.now
		o.fires(&o.w.atClaim, c.n, op)
	case was.Ended != op.Ended:
		o.fires(&o.w.atEnd, c.n, op)
	}
	if was == nil {
		o.tooSoon(c, key)
		return
	}
	if !fresh || op.Step == policy.Abort || o.back {
		return
	}
	for _, k := range []string{controlAll, controlKey(c.r.Name)} {
		if s := o.control[k]; s != nil && s.Pause != nil && s.Pause.For == 0 && !slices.Contains(op.Forced, "paused") {
			o.breaks("6", "%s claims %s of %s under the pause in %s", c.n.name, op.Step, c.r.Name, k)
		}
	}
	for _, h := range handleKeys(c.r) {
		if e := o.w.store.Peek(h); e.ModifyIndex != o.ours[h] {
			o.breaks("9", "%s claims %s of %s, whose %s somebody else has written", c.n.name, op.Step, c.r.Name, h)
		}
	}
}

// fires has happen what waits for a step to be claimed, or to end.
func (o *oracle) fires(waiting *[]stepMoment, n *node, op *failover.Operation) {
	now := *waiting
	*waiting = nil
	for _, m := range now {
		if !m(n, op) {
			*waiting = append(*waiting, m)
		}
	}
}

// stepMoment is what waits for a moment of an operation; it reports whether this was it.
type stepMoment func(n *node, op *failover.Operation) bool

// givenUp notes that an operation ended because its fence failed.
func (o *oracle) givenUp(c *change, key vetoKey) {
	was := c.old.Operation
	if was.Step == policy.Fence && o.claims.bad[was.ID+policy.Fence] == c.n {
		o.claims.failed[key], o.claims.lives[key] = o.w.now, c.n.life
	}
}

// tooSoon holds that who has just seen a step fail does not begin the same switch
// again by himself.
func (o *oracle) tooSoon(c *change, key vetoKey) {
	at, failed := o.claims.failed[key]
	if failed && c.now.Operation.Automatic && o.claims.lives[key] == c.n.life && c.n.known.reloaded < at && o.w.now-at < 29*time.Second {
		o.breaks("21", "%s begins the %s of %s again %v after a step of it had failed", c.n.name, c.now.Operation.Kind, c.r.Name, o.w.now-at)
	}
}

// begunRightly holds what is true of each command by its claim, when it is started.
func (o *oracle) begunRightly(n *node, c *command) {
	f := c.run
	if o.back || f.Step == policy.After {
		return
	}
	u := o.w.stateOf(f.Resource).Operation
	if u == nil || u.ID != f.Env["OP"] || u.Step != f.Step {
		return
	}
	if at, ok := o.claims.landed[u.Claim]; ok && at > n.known.frozen {
		if over := f.Deadline.Sub(n.clock()) - (at + u.Timeout - o.w.now); over > time.Second {
			o.breaks("7", "%s lets %s of %s run %v beyond its time, which counts from its claim: others take it over then", n.name, f.Step, f.Resource, over)
		}
	}
	if f.Step == policy.Abort {
		return
	}
	const tries = 2
	key := f.Env["OP"] + "/" + f.Step
	if o.claims.begun[key]++; o.claims.begun[key] > tries {
		o.breaks("7", "%s runs %s of %s for the %dth time", n.name, f.Step, f.Resource, o.claims.begun[key])
	}
}

// committedRightly holds what is true of a commit that carries an operation on.
func (o *oracle) committedRightly(c *change) {
	op, rec := c.old.Operation, c.rec
	if op == nil || op.ID != rec.Op || o.back {
		return
	}
	if op.Epoch != c.old.Epoch {
		o.breaks("7", "%s of %s for an operation of epoch %d, and it was epoch %d", rec.Kind, c.r.Name, op.Epoch, c.old.Epoch)
	}
	failed := func(step string) bool {
		ok, ran := false, false
		for _, s := range op.Steps {
			ran, ok = ran || s.Step == step, ok || s.Step == step && s.Outcome == failover.StepOK
		}
		return ran && !ok && !slices.Contains(rec.Forced, step)
	}
	if failed(policy.Promote) {
		o.breaks("7", "%s of %s to %s, whose promotion failed", rec.Kind, c.r.Name, rec.To)
	}
}
