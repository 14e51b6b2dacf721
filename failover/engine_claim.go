package failover

import (
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/reattach/reattach/policy"
)

// Times of telling, where several observers watch.
const (
	rankEvery  = 5 * time.Second  // each waits so much longer than the one before him
	claimWait  = 5 * time.Second  // for who claimed it, and has not told it yet
	claimStale = 10 * time.Minute // a claim that is older than its matter by so much is of another one
)

// telling is what is to be told over all observers: each schedules it, one claims
// it, and all know of it then.
type telling struct {
	duties  []*duty   // what begins, or happens, and has not passed
	endings []*ending // what ended
	made    bool      // what is told now is of this observer's own making: he knows it best
}

// duty is a notice that one of the observers has to tell.
type duty struct {
	notice Notice
	name   string    // of its claim
	at     time.Time // when its turn is
	flying bool      // the store is asked
	told   bool      // it is known who told it: the notice's teller, or this observer
	free   bool      // by this one, and without a claim
	again  bool      // it was told before, and goes on
	passed bool      // before it was told
	unkept bool      // it is not in the journal yet
	heir   bool      // an earlier life told it, or heard of it: its claim is looked at once
	claim  Claim
	read   Entry // in whose place it was claimed

	other      uint64 // a claim of another's that is not told
	otherSince time.Time
}

// several reports whether other observers watch, too.
func (e *Engine) several() bool { return len(e.cfg.Observers) > 1 }

// shared reports whether a notice is told once over all observers. What a host
// sees of itself is its own matter, and so are a single suspicion and what one
// observer did: nobody else tells of that.
func shared(n Notice) bool {
	switch n.Event {
	case "suspect", "denied", "order", "cleared", "test":
		return false
	case "step_failed":
		return n.Lasts || n.Over
	}
	return n.Resource != "" || n.Event == quorumMargin || n.Event == quorumLost
}

// hand hands a notice on: at once where it is this observer's alone, else once
// over all of them.
func (e *Engine) hand(n Notice) {
	n.Observer = e.cfg.Observer
	switch {
	case !e.several() || !shared(n) || e.cfg.Errand:
		e.emit(Tell{n})
	case n.Over:
		e.handEnd(n)
	default:
		e.handBegin(n)
	}
}

// rank is this observer's place among all to tell of a resource. Another resource
// has another order, so that no observer tells of everything.
func (e *Engine) rank(resource string) (n int) {
	place := func(observer string) string {
		sum := sha256.Sum256([]byte(resource + "\x00" + observer))
		return string(sum[:])
	}
	own := place(e.cfg.Observer)
	for _, o := range e.cfg.Observers {
		if place(o) < own {
			n++
		}
	}
	return n
}

// turn is how long this observer leaves a notice to those before him. Who made a
// switch tells of it first.
func (e *Engine) turn(n Notice) time.Duration {
	rank := e.rank(claimResource(n))
	switch made := e.telling.made; {
	case made:
		rank = 0
	case madeBySomebody(n):
		rank = max(rank, 1)
	}
	return time.Duration(rank) * rankEvery
}

// switchEvents are the kinds of notice that tell of a switch, or of what came of one.
var switchEvents = []string{policy.Failover.String(), policy.Switchover.String(), policy.FailbackTo.String(), policy.Bootstrap.String(),
	policy.Refresh.String(), policy.Restore.String(), "adopted", "left_work"}

// madeBySomebody reports whether a notice tells of a switch, or of what came of one.
func madeBySomebody(n Notice) bool { return slices.Contains(switchEvents, n.Event) }

// handBegin schedules a notice.
func (e *Engine) handBegin(n Notice) {
	name := claimName(n)
	for _, d := range e.telling.duties {
		if d.name != name || claimResource(d.notice) != claimResource(n) {
			continue
		}
		if d.told { // it goes on, and is told again, by who told it before
			n.Teller = d.notice.Teller
			d.notice, d.told, d.again, d.at = n, false, true, n.At
		}
		return
	}
	if n.carriesOn() { // what was not told of its outage yet is a part of it
		for _, d := range slices.Clone(e.telling.duties) {
			if d.notice.Outage == n.Outage && !d.told {
				d.passed = true
				e.forget(d)
			}
		}
	}
	d := &duty{notice: n, name: name, at: n.At.Add(e.turn(n))}
	e.telling.duties = append(e.telling.duties, d)
	e.revive(d)
	if !d.told {
		e.tellDue(n.At, d)
	}
}

// inherited makes a duty of what an earlier life told, or heard of.
func (e *Engine) inherited() {
	for _, n := range e.notices {
		if shared(n) {
			e.telling.duties = append(e.telling.duties, &duty{notice: n, name: claimName(n), told: true, free: n.Teller == "", heir: true})
		}
	}
}

// heirRead has a claim of an earlier life's say that it was told, and learns whether
// another observer has taken it over.
func (e *Engine) heirRead(now time.Time, d *duty, ev Answered) {
	if d.flying = false; ev.Err != nil {
		d.at = now.Add(retryAfter)
		return
	}
	d.heir = false
	entry, c := claimsOf(claimResource(d.notice), ev.Reply.Entries).named(d.name)
	switch {
	case !entry.Exists() || d.passed:
	case c.By != e.cfg.Observer:
		d.free, d.notice.Teller = false, c.By
		e.wasTold(d)
	case c.Told:
		d.free = false
	default:
		d.free, d.claim, d.read = false, c, entry
		e.markTold(now, d)
	}
}

// tellAll does what is due of what there is to tell.
func (e *Engine) tellAll(now time.Time) {
	for _, d := range slices.Clone(e.telling.duties) {
		e.tellDue(now, d)
	}
	for _, g := range slices.Clone(e.telling.endings) {
		e.endDue(now, g)
	}
}

func (e *Engine) tellDue(now time.Time, d *duty) {
	switch {
	case d.flying || d.passed || now.Before(d.at) || d.told && d.claim.ID == "" && !d.heir || e.clearing(d):
	case d.heir:
		if e.blind(now, nil) == "" {
			d.flying = true
			e.askClaims(d.notice, func(now time.Time, ev Answered) { e.heirRead(now, d, ev) })
		}
	case d.told && !d.unkept: // it is kept, and the claim does not say so yet
		e.markTold(now, d)
	case d.told:
	case e.blind(now, nil) != "": // nobody can be asked: each tells
		d.free = true
		e.toldByUs(d)
	default:
		d.flying = true
		e.askClaims(d.notice, func(now time.Time, ev Answered) { e.claimsRead(now, d, ev) })
	}
}

// askClaims reads the claims on what a notice is about.
func (e *Engine) askClaims(n Notice, then func(time.Time, Answered)) {
	e.transact(&request{purpose: PurposeNotice, then: then}, readClaims(claimResource(n)), storeTimeout, time.Time{})
}

// claimsRead claims a notice, or leaves it to who did.
func (e *Engine) claimsRead(now time.Time, d *duty, ev Answered) {
	d.flying = false
	if d.passed {
		return
	}
	if ev.Err != nil {
		e.tellLater(now, d, ev.Err)
		return
	}
	all := claimsOf(claimResource(d.notice), ev.Reply.Entries)
	entry, c := all.named(d.name)
	stale := c.At.Add(claimStale).Before(d.notice.since())
	switch {
	case !entry.Exists(), c.By == "":
	case c.By == e.cfg.Observer && c.Told && (!d.notice.Lasts || madeBySomebody(d.notice) && c.ended()):
		e.toldEarlier(d) // by an earlier life
		return
	case c.By == e.cfg.Observer: // not told yet, or the end of a former matter was told, and the claim left
	case c.Told && e.gone(now, c.By, now.Sub(d.at)) && (stale || d.again):
	case c.Told:
		e.toldBy(d, c)
		return
	case d.other != entry.ModifyIndex:
		d.other, d.otherSince = entry.ModifyIndex, now
		d.at = now.Add(claimWait)
		return
	}
	e.writeClaim(now, d, all, entry)
}

// tellLater tries again in a moment. Whom the store denies its keys tells at once.
func (e *Engine) tellLater(now time.Time, d *duty, err error) {
	if errors.Is(err, ErrDenied) {
		d.free = true
		e.toldByUs(d)
		return
	}
	d.at = now.Add(retryAfter)
}

func (e *Engine) writeClaim(now time.Time, d *duty, all claims, entry Entry) {
	n, own := &d.notice, e.cfg.Observer
	var whole Claim
	var outage Entry
	var needless []Entry
	if n.Outage != "" {
		var before Claim
		if outage, before = all.named(outageName(*n)); before.Key != "" && before.Key != n.Outage {
			e.sameOutage(n.Resource, n.Outage, before.Key)
		}
		whole = Claim{By: own, ID: e.id(), Key: n.Outage, Outage: n.Outage, Lasts: true, Told: true, At: now}
		switch {
		case n.carriesOn(): // what was told of the outage before is a part of it now
			needless = slices.DeleteFunc(all.of(n.Outage), func(e Entry) bool { return e.Key == outage.Key || e.Key == entry.Key })
		case before.By != "" && !e.gone(now, before.By, 0):
			whole.By = before.By
		}
	}
	if r := e.res[n.Resource]; r != nil && madeBySomebody(*n) {
		needless = append(needless, all.outdated(r.state.Epoch)...)
	}
	d.claim = Claim{By: own, ID: e.id(), Key: n.Key, Outage: n.Outage, Lasts: n.Lasts, At: now}
	d.read, d.flying = entry, true
	e.transact(&request{purpose: PurposeNotice, then: func(now time.Time, ev Answered) { e.claimed(now, d, outage, ev) }},
		tellOps(entry, d.claim, outage, whole, needless), storeTimeout, time.Time{})
}

// claimed tells what was claimed.
func (e *Engine) claimed(now time.Time, d *duty, outage Entry, ev Answered) {
	d.flying = false
	done := ev.Err == nil && ev.Reply.OK
	if done {
		d.read.ModifyIndex = ev.Reply.Entry(d.read.Key).ModifyIndex
	}
	switch {
	case done && d.passed: // it was claimed in vain, and the outage with it
		vain := []Entry{d.read}
		if outage.ModifyIndex == 0 && d.claim.Outage != "" {
			vain = append(vain, ev.Reply.Entry(outage.Key))
		}
		e.transact(&request{purpose: PurposeNotice, then: func(time.Time, Answered) {}}, dropOps(vain), storeTimeout, time.Time{})
	case d.passed:
	case done && now.Sub(ev.Sent) < claimWait/2:
		e.toldByUs(d)
	case ev.Err != nil:
		d.claim = Claim{}
		e.tellLater(now, d, ev.Err)
	default: // somebody else was faster, or may have taken over what we were slow to tell: look
		d.claim = Claim{}
		d.at = now
	}
}

// toldByUs tells a notice. Its claim says so once the journal has it.
func (e *Engine) toldByUs(d *duty) {
	d.notice.Teller = ""
	d.told, d.unkept = true, !d.free
	e.saidAfter(d)
	e.emit(Tell{d.notice})
	e.wasTold(d)
}

// toldEarlier leaves a notice that an earlier life of this observer's has told.
func (e *Engine) toldEarlier(d *duty) {
	d.told = true
	e.wasTold(d)
}

// toldBy leaves a notice to the observer who told it, and notes that.
func (e *Engine) toldBy(d *duty, c Claim) {
	n := &d.notice
	if n.Outage != "" && c.Outage != "" && n.Outage != c.Outage {
		e.sameOutage(n.Resource, n.Outage, c.Outage)
	}
	again := d.again && n.Teller == c.By
	n.Teller = c.By
	d.told, d.again = true, false
	e.saidAfter(d)
	if !again {
		e.emit(Tell{*n})
	}
	e.wasTold(d)
}

// wasTold is called once it is known who told a notice. What needs no end is
// forgotten, and a switch that is told may be remembered.
func (e *Engine) wasTold(d *duty) {
	d.again = false
	i := slices.IndexFunc(e.notices, func(n Notice) bool { return n.Key == d.notice.Key })
	if i >= 0 {
		e.notices[i].Teller = d.notice.Teller
	} else if !d.unkept {
		e.forget(d)
	}
	if r := e.res[d.notice.Resource]; r != nil && r.owed == nil && r.kept != r.known && !e.owes(r) {
		r.kept, e.unkept = r.known, true
	}
}

func (e *Engine) forget(d *duty) {
	e.telling.duties = slices.DeleteFunc(e.telling.duties, func(o *duty) bool { return o == d })
}

// owes reports whether a switch of a resource is still to be told, by whomever.
func (e *Engine) owes(r *resource) bool {
	return slices.ContainsFunc(e.telling.duties, func(d *duty) bool {
		return d.notice.Resource == r.def.Name && !d.told && madeBySomebody(d.notice)
	})
}

// kept takes note of what the journal has: only then a claim may say that it was told.
func (e *Engine) kept(now time.Time, ev Kept) {
	for _, n := range ev.Notices {
		for _, d := range e.telling.duties {
			if d.unkept && d.notice.Key == n.Key && !n.Over {
				d.unkept, d.at = false, now
			}
		}
		for _, g := range e.telling.endings {
			if g.told && g.notice.Key == n.Key && n.Over {
				g.kept, g.at = true, now
			}
		}
	}
	e.tellAll(now)
}

// markTold has the claim say that its notice is on its way to people.
func (e *Engine) markTold(now time.Time, d *duty) {
	d.flying = true
	d.claim.Told = true
	e.transact(&request{purpose: PurposeNotice, then: func(now time.Time, ev Answered) {
		d.flying = false
		if errors.Is(ev.Err, ErrUnknown) { // if it was done, it is refused the next time
			d.at = now.Add(retryAfter)
			return
		}
		d.claim = Claim{}
		if !d.passed {
			e.wasTold(d)
		}
	}}, []Op{writeClaim(d.read, d.claim)}, storeTimeout, time.Time{})
}
