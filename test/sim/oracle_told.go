package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// tells holds what is true of every notice: it is whole, and what is ended was begun.
func (o *oracle) tells(n *node, notice failover.Notice) {
	k := &n.known
	if notice.Over {
		if notice.Teller == "" && !slices.ContainsFunc(k.begun, notice.Ends) && !slices.ContainsFunc(o.begun, notice.Ends) {
			o.breaks("15", "%s tells the end of %s, and not its beginning", n.name, notice.Key)
		}
		if !notice.Acked {
			k.begun = slices.DeleteFunc(k.begun, notice.Ends)
		}
		return
	}
	if notice.Text == "" || notice.Next == "" || notice.At.IsZero() || notice.Observer != n.name {
		o.breaks("15", "%s tells half a notice: %+v", n.name, notice)
	}
	if notice.Event == "held" && notice.Why == "" {
		o.breaks("15", "%s tells of a hold without a reason: %s", n.name, notice.Key)
	}
	if notice.Event == "rewound" && !o.back {
		o.breaks("15", "%s pages that the store went back in time, and it has not: %s", n.name, notice.Why)
	}
	o.dampedFor(n, notice)
	k.begun = append(k.begun, notice)
	if len(o.w.names) > 1 {
		o.begun = append(o.begun, notice)
	}
}

// kept notes that notices are on their way to people.
func (o *oracle) kept(n *node, all []failover.Notice) {
	for _, notice := range all {
		if notice.Teller == "" && !notice.Over {
			o.told[notice.Key] = append(o.told[notice.Key], o.w.now)
		}
	}
}

// replied holds that an answer to a person is true.
func (o *oracle) replied(n *node, a *asking) {
	if a.answer.Done && a.answer.Record != nil && a.answer.Record.Reason == a.Reason {
		if m := o.made[a.answer.Record.Op]; m == nil {
			o.breaks("12", "%s answers that the %s of %s was made, and it was not", n.name, a.Verb, a.Resource)
		}
	}
	o.blames(n, a)
	if a.answer.Done || a.answer.Unsure || a.Verb == "ack" {
		return
	}
	for _, m := range o.order {
		if m.Reason == a.Reason && m.Resource == a.Resource && !m.forgot {
			o.breaks("12", "%s answers that the %s of %s was not made, and it was: %s", n.name, a.Verb, a.Resource, a.answer.Text)
		}
	}
}

// learnt holds, once all is quiet, that who made a switch and lived on has said so,
// and that each hold was told.
func (o *oracle) learnt() {
	for _, m := range o.order {
		lives := m.by.alive && m.by.life == m.life
		if lives && m.told == 0 && !m.reloaded && !m.forgot && !o.back {
			o.breaks("12", "the %s of %s to %s was made by %s, who never learnt it", m.Kind, m.Resource, m.To, m.by.name)
		}
	}
	for _, a := range o.w.people.asks {
		if a.answer == nil && a.n.alive && a.n.life == a.life && !a.n.frozen && o.w.now-a.at > 30*time.Second {
			o.breaks("12", "%s never answered: %s", a.n.name, strings.Join(words(a.Command), " "))
		}
		for _, m := range o.order {
			done := a.answer != nil && !a.answer.Done && !a.answer.Unsure
			if done && a.Verb != "ack" && m.Reason == a.Reason && m.Resource == a.Resource && !m.forgot {
				o.breaks("12", "%s answered that the %s of %s was not made, and it was", a.n.name, a.Verb, a.Resource)
			}
		}
	}
}

// holds are held to their reasons, and to having been told.
func (o *oracle) holds(n *node) {
	s := n.engine.Status(n.clock())
	for _, r := range s.Resources {
		h := r.Hold
		if h == nil || h.Gate == "ballot" {
			continue
		}
		if h.Why == "" || h.Gate == "" {
			o.breaks("15", "%s holds %s without a reason", n.name, r.Name)
		}
		if n.clock().Sub(h.Since) < 5*time.Second || h.Gate == "observe" || h.Gate == "blind" || h.Gate == "rewound" {
			continue
		}
		about := func(m failover.Notice) bool { return m.Resource == r.Name }
		if !slices.ContainsFunc(n.known.begun, about) && !slices.ContainsFunc(n.cfg.Active, about) && !o.ackedBefore(r.Name) {
			o.breaks("15", "%s holds %s (%s: %s) and never told", n.name, r.Name, h.Gate, h.Why)
		}
	}
	if b := s.Blind; b == "" {
		return
	}
}

func (o *oracle) ackedBefore(resource string) bool {
	return slices.ContainsFunc(o.w.people.asks, func(a *asking) bool { return a.Verb == "ack" && (a.All || a.Resource == resource) })
}

// switchKey is the key under which a switch is told.
func switchKey(m *landing) string {
	if m.Kind == policy.Adopt {
		return fmt.Sprintf("%s/%d.adopted", m.Resource, m.Epoch)
	}
	return fmt.Sprintf("%s/%d.%s", m.Resource, m.Epoch, m.Kind)
}

// switchesTold holds that every switch was told by somebody, whatever became of
// its observer, once every one of the others has had his turn, and waited for who had
// claimed it.
func (o *oracle) switchesTold() {
	o.w.runUntil(time.Duration(len(o.w.names)+1)*5*time.Second, func() bool { return o.untold() == nil })
	if m := o.untold(); m != nil {
		o.breaks("15", "the %s of %s to %s was made, and nobody ever told: no %s", m.Kind, m.Resource, m.To, switchKey(m))
	}
}

// untold is a switch that nobody has told yet; nil if there is none.
func (o *oracle) untold() *landing {
	for _, m := range o.order {
		if m.forgot || o.back || m.Kind == policy.Adopt && (m.From == "" || m.From == m.To) {
			continue
		}
		if len(o.told[switchKey(m)]) == 0 {
			return m
		}
	}
	return nil
}
