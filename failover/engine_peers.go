package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The kinds of notice about the observers themselves; also their keys.
const (
	quorumMargin = "quorum_margin"
	quorumLost   = "quorum_lost"
)

// Times of looking at the other observers.
const (
	goneAfter    = 10 * time.Second // who has not answered for so long does not tell of anything any more
	goneUnasked  = time.Minute      // the same, where nobody asks how the others are
	marginAfter  = 30 * time.Second // a restart is no news
	quorumWithin = 10 * time.Second
)

// peers is how the other observers are, by what they answered last.
type peers struct {
	by      map[string]*peer
	marginT time.Time // since when just enough answer, or fewer; zero: they do not
	lostT   time.Time // since when fewer do
}

type peer struct {
	answers bool
	since   time.Time
	why     string // he does not answer
	health  Health // as he answered last
}

// polled takes over how another observer is.
func (e *Engine) polled(now time.Time, ev Polled) {
	if ev.Observer == e.cfg.Observer || !slices.Contains(e.cfg.Observers, ev.Observer) {
		return // the configuration was reloaded meanwhile
	}
	if e.peers.by == nil {
		e.peers.by = map[string]*peer{}
	}
	p, answers := e.peers.by[ev.Observer], ev.Err == ""
	if p == nil {
		p = &peer{answers: answers, since: now}
		e.peers.by[ev.Observer] = p
	}
	if p.answers != answers {
		p.answers, p.since = answers, now
	}
	if p.why = ev.Err; answers {
		p.health = ev.Health
	}
}

// gone reports whether an observer cannot be left to tell what he has claimed,
// for which he was waited for so long.
func (e *Engine) gone(now time.Time, observer string, waited time.Duration) bool {
	if observer == e.cfg.Observer {
		return false
	}
	if !slices.Contains(e.cfg.Observers, observer) {
		return true
	}
	p := e.peers.by[observer]
	if p == nil {
		return waited >= goneUnasked
	}
	return !p.answers && now.Sub(p.since) >= goneAfter
}

// couldVote says whether an observer's vote would count now, on r (nil: on
// anything), and why or why not.
func (e *Engine) couldVote(observer string, r *resource) (could bool, text string) {
	p := e.peers.by[observer]
	switch {
	case observer == e.cfg.Observer:
		return true, ""
	case p == nil:
		return true, observer + " was not asked yet"
	case !p.answers:
		return false, observer + " does not answer (" + p.why + ")"
	case p.health.Blind != "":
		return false, observer + " cannot judge: " + p.health.Blind
	case r != nil && p.health.Hashes[r.def.Name] != r.hash:
		return false, observer + " has another configuration"
	}
	return true, observer + " answers"
}

// answering counts the observers whose votes on r would count now, and says so of
// each other one. Where nobody asks them, all are taken to be well.
func (e *Engine) answering(r *resource) (n int, said []string) {
	if !e.several() || len(e.peers.by) == 0 {
		return max(1, len(e.cfg.Observers)), nil
	}
	for _, name := range e.cfg.Observers {
		could, text := e.couldVote(name, r)
		if could {
			n++
		}
		if text != "" {
			said = append(said, text)
		}
	}
	return n, said
}

// lookPeers tells that just enough observers answer for a quorum, or too few.
func (e *Engine) lookPeers(now time.Time) {
	n, said := e.answering(nil)
	all := len(e.cfg.Observers)
	need := all/2 + 1
	if e.blind(now, nil) != "" {
		return // whatever the others are like: that this one is blind is told
	}
	since := func(t *time.Time, is bool) time.Duration {
		switch {
		case !is:
			*t = time.Time{}
			return -1
		case t.IsZero():
			*t = now
		}
		return now.Sub(*t)
	}
	margin, lost := since(&e.peers.marginT, n <= need && n < all), since(&e.peers.lostT, n < need)
	who := strings.Join(slices.DeleteFunc(said, func(s string) bool { return strings.HasSuffix(s, " answers") }), ", ")
	short := Notice{Lasts: true, At: now, Why: who, Next: "reattach status"}
	if lost >= quorumWithin {
		short.Key, short.Event, short.Urgent, short.Since = quorumLost, quorumLost, true, e.peers.lostT
		short.Text = fmt.Sprintf("%d of %d observers can vote, and %d are needed: nothing is switched by itself. %s.", n, all, need, who)
		e.tell(short)
	} else if lost < 0 {
		e.over(now, quorumLost, e.canVote(fmt.Sprintf("%d of %d observers can vote again; %d are needed.", n, all, need)))
	}
	if margin >= marginAfter && lost < 0 {
		short.Key, short.Event, short.Urgent, short.Since = quorumMargin, quorumMargin, false, e.peers.marginT
		short.Text = fmt.Sprintf("%d of %d observers can vote, and %d are needed: if one more fails, nothing is switched by itself. %s.", n, all, need, who)
		e.tell(short)
	} else if margin < 0 {
		e.over(now, quorumMargin, e.canVote(fmt.Sprintf("%d of %d observers can vote again: one may fail.", n, all)))
	}
}

// canVote is the text of an end, also where this observer is the only one now.
func (e *Engine) canVote(text string) string {
	if !e.several() {
		return "This observer is the only one that is configured now."
	}
	return text
}

// observers is how every configured observer is; nil where there is one.
func (e *Engine) observers(now time.Time) (all []ObserverStatus) {
	if !e.several() {
		return nil
	}
	for _, name := range e.cfg.Observers {
		s := ObserverStatus{Name: name}
		p := e.peers.by[name]
		switch {
		case name == e.cfg.Observer:
			s.Self, s.Answers, s.Since, s.Zone, s.Blind = true, true, e.started, e.cfg.Zone, e.blind(now, nil)
		case p != nil:
			s.Answers, s.Since, s.Error = p.answers, p.since, p.why
			s.Zone, s.Version = p.health.Zone, p.health.Version
			if p.answers {
				s.Blind, s.Differs = p.health.Blind, e.differs(p)
			}
		}
		all = append(all, s)
	}
	return all
}

// differs names the resources of which another observer has another configuration.
func (e *Engine) differs(p *peer) (names []string) {
	for _, name := range e.order {
		if p.health.Hashes[name] != e.res[name].hash {
			names = append(names, name)
		}
	}
	return names
}

// Health is how this observer is, for the others.
func (e *Engine) Health(now time.Time) Health {
	h := Health{Observer: e.cfg.Observer, Zone: e.cfg.Zone, Blind: e.blind(now, nil), Hashes: make(map[string]string, len(e.order))}
	for _, name := range e.order {
		h.Hashes[name] = e.res[name].hash
	}
	return h
}
