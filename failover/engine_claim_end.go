package failover

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// ending is the end of what was told. Who told its beginning tells it, and another
// one if he is gone.
type ending struct {
	notice Notice
	names  []string  // of the claims that it ends
	teller string    // of its beginning; empty: this observer, or nobody yet
	mine   bool      // this one told it
	free   bool      // and, as far as he knows, without a claim
	since  time.Time // when it ended
	at     time.Time
	flying bool
	told   bool // by this observer
	kept   bool // in the journal: the claims may go
}

// endPause is how long to wait for who told the beginning, look by look.
const endPause = 5 * time.Second

// handEnd sees to it that an end is told, if its beginning was.
func (e *Engine) handEnd(n Notice) {
	g := &ending{notice: n, since: n.At, at: n.At}
	var ended []*duty
	for _, d := range e.telling.duties {
		if d.notice.Resource == n.Resource && n.Ends(d.notice) {
			ended = append(ended, d)
		}
	}
	if len(ended) == 0 && n.Outage == "" { // nothing is known of it here, but another may have told it
		g.names = []string{claimName(n)}
	}
	for _, d := range ended {
		g.names = append(g.names, d.name)
		switch {
		case !d.told:
		case d.notice.Teller != "":
			g.teller = d.notice.Teller
		default:
			g.mine = true
			g.free = g.free || d.free
		}
		if !d.due() && (!n.Acked || !d.told) { // else the end comes after it
			d.passed = true
			e.forget(d)
		}
	}
	if n.Outage != "" {
		g.names = append(g.names, outageName(n))
	}
	if !g.mine { // those before us first, and before all of them who told it
		g.at = n.At.Add(time.Duration(e.rank(claimResource(n))+1) * rankEvery)
	}
	e.telling.endings = append(e.telling.endings, g)
	e.endDue(n.At, g)
}

// due reports whether a notice is still to be told, and that known, although what
// it tells of has passed: that a switch was made is true for ever.
func (d *duty) due() bool {
	return madeBySomebody(d.notice) && !d.passed && (!d.told || d.claim.ID != "")
}

// awaitsDuty reports whether an end comes after something that is still to be told.
func (e *Engine) awaitsDuty(g *ending) bool {
	return slices.ContainsFunc(e.telling.duties, func(d *duty) bool { return d.due() && g.covers(d) })
}

// saidAfter notes on the ends that waited for a switch to be told who told it.
func (e *Engine) saidAfter(d *duty) {
	for _, g := range e.telling.endings {
		switch {
		case g.told || !d.notice.Lasts || !madeBySomebody(d.notice) || !g.covers(d):
		case d.notice.Teller != "":
			g.teller = d.notice.Teller
		default:
			g.mine, g.free, g.at = true, g.free || d.free, g.since
		}
	}
}

// covers reports whether an ending is of the claim with that name.
func (g *ending) covers(d *duty) bool {
	return claimResource(g.notice) == claimResource(d.notice) && slices.Contains(g.names, d.name)
}

// clearing reports whether the claims of what d says anew are about to go.
func (e *Engine) clearing(d *duty) bool {
	return slices.ContainsFunc(e.telling.endings, func(g *ending) bool { return g.told && !g.notice.Acked && g.covers(d) })
}

// revive leaves what begins again before its end was told to who told it.
func (e *Engine) revive(d *duty) {
	e.telling.endings = slices.DeleteFunc(e.telling.endings, func(g *ending) bool {
		if g.told || g.flying || g.notice.Acked || g.teller == "" || !g.covers(d) {
			return false
		}
		d.told, d.notice.Teller = true, g.teller
		e.wasTold(d)
		return true
	})
}

func (e *Engine) endDue(now time.Time, g *ending) {
	switch {
	case g.flying || now.Before(g.at) || g.told && !g.kept || e.awaitsDuty(g):
	case g.told:
		g.flying = true
		e.askClaims(g.notice, func(now time.Time, ev Answered) { e.clearClaims(now, g, ev) })
	case e.blind(now, nil) == "":
		g.flying = true
		e.askClaims(g.notice, func(now time.Time, ev Answered) { e.endRead(now, g, ev) })
	case g.mine:
		e.tellEnd(g)
	default:
		g.at = now.Add(retryAfter)
	}
}

// endRead tells an end, or leaves it to whoever has the claim.
func (e *Engine) endRead(now time.Time, g *ending, ev Answered) {
	g.flying = false
	switch {
	case errors.Is(ev.Err, ErrDenied) && g.mine:
		e.tellEnd(g)
		return
	case ev.Err != nil:
		g.at = now.Add(retryAfter)
		return
	}
	all := claimsOf(claimResource(g.notice), ev.Reply.Entries)
	entry, c := g.claim(all)
	switch {
	case g.notice.Acked && e.endsAnyhow(g): // people hear of the end itself
		e.endingDone(g)
	case !entry.Exists() && g.mine && g.free:
		e.tellEnd(g)
	case !entry.Exists(), g.notice.Acked && c.Acked, c.ended():
		e.endedBy(g, c.By)
	case c.By == e.cfg.Observer && !g.mine && c.Outage != g.notice.Outage: // of a later outage, which we told
		e.endedBy(g, "")
	case c.By == e.cfg.Observer && !g.mine && !all.toldBy(c.By, g): // claimed by us, and passed before it was told
		g.told, g.kept = true, true
	case c.By == e.cfg.Observer:
		e.tellEnd(g)
	case !e.gone(now, c.By, now.Sub(g.since)):
		e.knownAs(g, c)
		g.teller = c.By
		g.at = now.Add(endPause)
	default:
		e.inherit(g, entry, c)
	}
}

// endsAnyhow reports whether the outage that a person acknowledged has ended, too.
func (e *Engine) endsAnyhow(g *ending) bool {
	return g.notice.Outage != "" && slices.ContainsFunc(e.telling.endings, func(o *ending) bool { return !o.notice.Acked && o.notice.Outage == g.notice.Outage })
}

// claim returns the claim of who is to tell the end.
func (g *ending) claim(all claims) (entry Entry, c Claim) {
	if g.notice.Outage != "" {
		if entry, c = all.named(outageName(g.notice)); entry.Exists() {
			return entry, c
		}
	}
	for _, name := range g.names {
		if entry, c = all.named(name); entry.Exists() {
			return entry, c
		}
	}
	return Entry{}, Claim{}
}

// knownAs gives an end the key that another observer gave the outage, unless this
// one told its beginning, too: people know no other.
func (e *Engine) knownAs(g *ending, c Claim) {
	if !g.mine && g.notice.Outage != "" && c.Outage != "" && c.Outage != g.notice.Outage {
		e.sameOutage(g.notice.Resource, g.notice.Outage, c.Outage)
	}
}

// inherit takes over to tell an end from an observer who is gone.
func (e *Engine) inherit(g *ending, entry Entry, c Claim) {
	e.knownAs(g, c)
	c.By, c.ID, c.Told = e.cfg.Observer, e.id(), true
	g.flying = true
	e.transact(&request{purpose: PurposeNotice, then: func(now time.Time, ev Answered) {
		if g.flying = false; ev.Err == nil && ev.Reply.OK {
			if from := g.notice.Outage; from != "" && c.Outage != "" && c.Outage != from { // its beginning was told under that key
				e.sameOutage(g.notice.Resource, from, c.Outage)
			}
			e.tellEnd(g)
			return
		}
		g.at = now.Add(retryAfter)
	}}, []Op{writeClaim(entry, c)}, storeTimeout, time.Time{})
}

func (e *Engine) tellEnd(g *ending) {
	g.told = true
	e.leaveTo(g, "")
	e.emit(Tell{g.notice})
}

// endedBy notes that an end was told by another one, if its beginning was.
func (e *Engine) endedBy(g *ending, by string) {
	if by == "" {
		by = g.teller
	}
	if g.mine && by == "" {
		by = "another observer"
	}
	if by != "" && by != e.cfg.Observer {
		e.leaveTo(g, by)
		e.emit(Tell{g.notice})
	}
	e.endingDone(g)
}

func (e *Engine) endingDone(g *ending) {
	e.telling.endings = slices.DeleteFunc(e.telling.endings, func(o *ending) bool { return o == g })
}

// leaveTo notes who tells an end. What goes on although a person acknowledged it is
// his from then on.
func (e *Engine) leaveTo(g *ending, teller string) {
	g.notice.Teller = teller
	for _, d := range slices.Clone(e.telling.duties) { // some of them are forgotten on the way
		if d.told && g.covers(d) {
			d.notice.Teller = teller
			e.wasTold(d)
		}
	}
}

// clearClaims removes the claims of what has ended, or has them say that it was
// acknowledged.
func (e *Engine) clearClaims(now time.Time, g *ending, ev Answered) {
	if g.flying = false; errors.Is(ev.Err, ErrUnknown) {
		g.at = now.Add(retryAfter)
		return
	}
	all := claimsOf(claimResource(g.notice), ev.Reply.Entries)
	ops := all.end(all.of(g.notice.Outage, g.names...))
	if g.notice.Acked {
		ops = nil
		if entry, c := g.claim(all); entry.Exists() && !c.Acked {
			c.Acked = true
			ops = []Op{writeClaim(entry, c)}
		}
	}
	if ev.Err != nil || len(ops) == 0 {
		e.endingDone(g)
		return
	}
	g.flying = true
	e.transact(&request{purpose: PurposeNotice, then: func(now time.Time, ev Answered) {
		if g.flying = false; ev.Err != nil || !ev.Reply.OK { // look again what there is
			g.at = now.Add(retryAfter)
			return
		}
		e.endingDone(g)
	}}, ops, storeTimeout, time.Time{})
}

// acknowledgedBy ends what a person acknowledged, here or on another observer: as
// state says it.
func (e *Engine) acknowledgedBy(now time.Time, r *resource, before *Acknowledgement, first bool) {
	a := r.state.Ack
	if a == nil || before != nil && *before == *a {
		return
	}
	if !first {
		r.ackAt = now
	}
	who := " by " + a.By + ": " + a.Reason
	e.acknowledgedIf(now, r, who, func(n Notice) bool { return !first || n.At.Before(a.At) })
}

// toBeHeard reports whether other observers go on telling of something that a
// person acknowledges here.
func (e *Engine) toBeHeard(r *resource) bool {
	return e.several() && slices.ContainsFunc(e.notices, func(n Notice) bool { return n.Resource == r.def.Name && !n.Acked })
}

// renameOutage gives a notice's outage another key.
func (n *Notice) renameOutage(from, to string) {
	if n.Outage != from {
		return
	}
	n.Outage = to
	if rest, part := strings.CutPrefix(n.Key, from+"."); part {
		n.Key = to + "." + rest
	}
}

// regroup follows a configuration that has more observers than this one, or no
// other any more.
func (e *Engine) regroup(before bool) {
	switch {
	case e.several() && !before:
		e.inherited()
	case before && !e.several():
		e.leftAlone()
	}
}

// leftAlone has this observer tell what others would have told, when he is the last
// one configured.
func (e *Engine) leftAlone() {
	var resources []string
	for _, d := range e.telling.duties {
		if resources = append(resources, claimResource(d.notice)); !d.told {
			e.toldByUs(d)
		}
		d.passed = true
	}
	for _, g := range e.telling.endings {
		if resources = append(resources, claimResource(g.notice)); !g.told && (g.mine || g.teller != "") {
			e.tellEnd(g)
		}
	}
	e.telling = telling{}
	for i := range e.notices {
		e.notices[i].Teller = ""
	}
	slices.Sort(resources)
	for _, resource := range slices.Compact(resources) {
		e.askClaims(Notice{Resource: resource}, func(_ time.Time, ev Answered) {
			if all := claimsOf(resource, ev.Reply.Entries); len(all.entries) > 0 {
				e.transact(&request{purpose: PurposeNotice, then: func(time.Time, Answered) {}}, dropOps(all.entries), storeTimeout, time.Time{})
			}
		})
	}
}

// sameOutage gives an outage the key that another observer has given it.
func (e *Engine) sameOutage(resource, from, to string) {
	if r := e.res[resource]; r != nil {
		for _, o := range []*Outage{r.outage, r.left} {
			if o != nil && o.Key == from {
				o.Key = to
			}
		}
		if r.ended == from {
			r.ended = to
		}
	}
	for i := range e.notices {
		e.notices[i].renameOutage(from, to)
	}
	for _, d := range e.telling.duties {
		d.notice.renameOutage(from, to)
	}
	for _, g := range e.telling.endings {
		g.notice.renameOutage(from, to)
	}
}
