package sim

import (
	"maps"
	"slices"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// watching is what stands in the store, and for how long it may.
type watching struct {
	troubled time.Duration // when the way to the store was last not as it should be, for everybody
	denied   time.Duration // when something was last denied
	standing map[string]standingStep
	over     map[string]time.Duration // when a resource's operation was last over
	// stoodFrom is when each pause was first written, by its control and reason.
	stoodFrom map[string]time.Duration
}

// standingStep is an operation as it was last written.
type standingStep struct {
	failover.Operation
	since time.Duration
}

// watchEvery is how often it is looked at.
const watchEvery = 400 * time.Millisecond

// watch looks at what lies open, again and again: a ballot, or an operation, that
// nobody ends keeps every other switch back.
func (o *oracle) watch() {
	o.w.later(watchEvery, func() {
		o.troubles()
		for _, resource := range slices.Sorted(maps.Keys(o.open)) {
			o.liesOpen(o.open[resource])
		}
		for _, resource := range slices.Sorted(maps.Keys(o.watching.standing)) {
			o.stepStands(resource, o.watching.standing[resource])
		}
		for _, r := range o.w.defs {
			o.staysFenced(r)
		}
		o.watch()
	})
}

// troubles notes who does not reach the store as he should.
func (o *oracle) troubles() {
	s := o.w.store
	if s.down || s.slow > 0 || s.lag > 0 || len(s.denied) > 0 {
		o.watching.troubled = o.w.now
	}
	if len(s.denied) > 0 {
		o.watching.denied = o.w.now
	}
	for _, n := range o.w.nodes {
		if s.cut[n] || n.frozen || n.leaving {
			n.known.troubled = o.w.now
		}
	}
}

// befell notes that something befalls a transaction of n's.
func (o *oracle) befell(n *node, f *fate) {
	n.known.troubled = max(n.known.troubled, o.w.now+f.late+3*time.Second)
}

// untroubled reports whether a daemon has run, and reached the store, ever since.
func (o *oracle) untroubled(n *node, since time.Duration) bool {
	s, k := o.w.store, &n.known
	fine := n.alive && !n.frozen && !n.leaving && !n.twice && !n.retired && !s.cut[n] && !s.down && s.slow == 0 && s.lag == 0 && len(s.denied) == 0
	return fine && max(k.began, k.frozen, k.troubled, k.reloaded, o.watching.troubled, s.disturbed) <= since
}

// liesOpen holds that no ballot outlives its time, by whoever could close it: its
// opener at once, and everybody else when he has seen it for as long as it may last.
func (o *oracle) liesOpen(b *ballot) {
	const margin = 4 * time.Second
	lasts := ballotTime(o.w.def(b.resource))
	for _, n := range o.w.nodes {
		at, shown := b.shown[n]
		since := max(at, n.known.began, b.at, o.backAt)
		if n.has(b.resource) == nil || !o.untroubled(n, since) {
			continue
		}
		open := o.w.now - since
		if since == o.backAt { // first he has to learn that the store is there again
			open -= 2 * time.Second
		}
		switch mine := n.name == b.Opener; {
		case mine && n.life == b.life && n == b.by && open > lasts+margin:
			o.breaks("20", "%s has had its ballot of %s open for %v: nothing else is switched", n.name, b.resource, o.w.now-b.at)
		case mine && (n.life != b.life || n != b.by) && !o.sameNameTwice(n.name) && open > 1500*time.Millisecond:
			o.breaks("20", "%s left a ballot of %s open in an earlier life, and has not closed it %v after its start", n.name, b.resource, open)
		case !mine && shown && open > lasts+margin:
			o.breaks("20", "%s has seen the ballot of %s that %s opened for %v, and has not closed it", n.name, b.resource, b.Opener, open)
		}
	}
}

func (o *oracle) sameNameTwice(name string) bool {
	return slices.ContainsFunc(o.w.nodes, func(n *node) bool { return n.twice && n.name == name })
}

// stood notes how an operation was left by a write of state.
func (o *oracle) stood(resource string, op *failover.Operation) {
	if op == nil {
		if _, stood := o.watching.standing[resource]; stood {
			o.watching.over[resource] = o.w.now
		}
		delete(o.watching.standing, resource)
		return
	}
	if was, ok := o.watching.standing[resource]; ok && was.Claim == op.Claim && was.Ended == op.Ended {
		return
	}
	o.watching.standing[resource] = standingStep{*op, o.w.now}
}

// stepStands holds that an operation is carried on, or ended, as long as anybody lives
// who could: its runner's step is taken over when its time and a margin are over,
// and what comes between two steps is awaited for a ballot's time and some seconds.
func (o *oracle) stepStands(resource string, op standingStep) {
	r := o.w.def(resource)
	lasts := ballotTime(r) + 5*time.Second + 2*time.Second
	if op.Ended == "" {
		lasts += op.Timeout + 5*time.Second
	}
	if o.back || o.w.now-op.since < lasts+2*time.Second {
		return
	}
	for _, n := range o.w.nodes {
		if n.has(resource) != nil && o.untroubled(n, op.since) && n.known.voided <= op.since && o.w.now >= n.known.local[resource]+lasts {
			o.w.breaks("liveness", "%s of the %s of %s to %s has stood for %v (%s), and %s, who lives, neither carries it on nor ends it",
				op.Step, op.Kind, resource, op.To, o.w.now-op.since, ended(op.Ended), n.name)
		}
	}
}

func ended(how string) string {
	if how == "" {
		return "running, as far as is known"
	}
	return "ended: " + how
}

// crowded holds that nobody has more ballots open than are committed in time.
func (o *oracle) crowded(n *node) {
	const most = 16
	mine := 0
	for _, b := range o.open {
		if b.by == n && b.life == n.life {
			mine++
		}
	}
	if mine > most {
		o.w.breaks("liveness", "%s has %d ballots open at a time: most of them are over before it comes to commit them", n.name, mine)
	}
}

// opensAnew holds that a switch that was vetoed is not asked for again, by who
// opened that ballot, before half a minute is over or something has changed for him.
func (o *oracle) opensAnew(n *node, b *ballot) {
	const before = 3 * time.Second
	was := o.vetoes[vetoKey{b.resource, n}]
	if was == nil || was.life != n.life || b.Kind != policy.Failover || o.w.now-was.at > 28*time.Second || !o.untroubled(n, was.at-before) {
		return
	}
	for _, x := range o.ballots {
		if x.resource == b.resource && x.by != n && x.at > was.at {
			return // somebody else asked meanwhile, and that ballot may have been left open: it is news
		}
	}
	if slices.ContainsFunc(o.w.people.asks, func(a *asking) bool { return a.n == n && a.Resource == b.resource && a.at > was.at }) {
		return
	}
	if _, committed := o.sent[was.Op]; committed {
		return // the veto overtook his commit, and he looks once what that was
	}
	since := was.at - before
	if b.indexes[stateKey(b.resource)] != was.indexes[stateKey(b.resource)] || n.known.voided > since || n.known.local[b.resource] > since || o.ordersChange(b.resource, was.at) {
		return
	}
	for _, ep := range n.has(b.resource).Endpoints {
		p := n.known.seen[b.resource+"/"+ep.Name]
		if p == nil {
			return
		}
		from, class := since, probe.OK
		if ep.Name == b.Attached { // it was down then
			from, class = was.at, sawOf(was.Vote, b.Attached).Class
		}
		if n.known.upset[b.resource+"/"+ep.Name] > from {
			return
		}
		seen := p.since(n, from)
		if ep.Name != b.Attached { // what was not well before may have risen since
			seen = p.all[max(0, len(p.all)-len(seen)-n.has(b.resource).Judge.Rise):]
		}
		if slices.ContainsFunc(seen, func(res probe.Result) bool { return res.Class != class }) {
			return
		}
	}
	o.breaks("21", "%s opens another ballot of %s %v after %s had vetoed the last one, and nothing has changed", n.name, b.resource, o.w.now-was.at, was.vetoed)
}

// ordersChange reports whether people's standing orders changed after that moment,
// those of other resources too, or may have come to an end by themselves.
func (o *oracle) ordersChange(resource string, after time.Duration) bool {
	ends := func(d failover.Order) bool { return d.For > 0 }
	for key, c := range o.control {
		mine := key == controlAll || key == controlKey(resource)
		if c.landed > after || mine && (c.Pause != nil && ends(*c.Pause) || slices.ContainsFunc(c.Drained, ends)) {
			return true
		}
	}
	return false
}

// vetoKey is of whose ballot on which resource.
type vetoKey struct {
	resource string
	n        *node
}
