package failover_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// diskDelay is how long the world's journal takes to have on disk what was told.
const diskDelay = 5 * time.Millisecond

// journal is the world's journal and its file of what was seen last: in the order
// of the effects, and some time behind them.
type journal struct {
	unkept  []unkept
	told    map[string]int // by key, how often it was told as begun
	lasting []failover.Notice
	seen    map[string]failover.Seen
}

type unkept struct {
	at     time.Time
	effect failover.Effect
}

// noted takes in what is to be kept.
func (l *journal) noted(now time.Time, effect failover.Effect) {
	l.keepUntil(now.Add(-diskDelay))
	l.unkept = append(l.unkept, unkept{now, effect})
}

// keepUntil has on disk what was told until then.
func (l *journal) keepUntil(then time.Time) {
	for len(l.unkept) > 0 && !l.unkept[0].at.After(then) {
		switch f := l.unkept[0].effect.(type) {
		case failover.Tell:
			if !f.Notice.Over && f.Notice.Teller == "" {
				if l.told == nil {
					l.told = map[string]int{}
				}
				l.told[f.Notice.Key]++
			}
			l.lasting = failover.Lasting(l.lasting, f.Notice)
		case failover.Remember:
			l.seen = maps.Clone(f.Seen)
		}
		l.unkept = l.unkept[1:]
	}
}

// informBy carries out a line of a story about what people are told; false: it
// is none of these.
func (w *world) informBy(words []string) bool {
	switch words[0] {
	case "fact":
		facts := probe.Facts{}
		for _, word := range words[2:] {
			name, value, _ := strings.Cut(word, "=")
			n, err := strconv.ParseInt(value, 10, 64)
			switch {
			case value == "true", value == "false":
				facts[name] = value == "true"
			case err == nil:
				facts[name] = n
			default:
				facts[name] = value
			}
		}
		if w.facts == nil {
			w.facts = map[string]probe.Facts{}
		}
		w.facts[words[1]] = facts
	case "misread":
		w.step(failover.Misread{Why: strings.Join(words[1:], " ")})
	case "details":
		w.details = true
	case "active":
		for _, n := range w.engine.Status(w.now).Notices {
			if n.Since.IsZero() {
				n.Since = n.At
			}
			w.say("goes on: %s since %.3f", n.Key, n.Since.Sub(w.start).Seconds())
		}
	default:
		return false
	}
	return true
}

// detail shows all that a notice rests on.
func (w *world) detail(n failover.Notice) {
	if !w.details {
		return
	}
	var parts []string
	for _, p := range [][2]string{{"severity", n.Severity().String()}, {"matter", n.Matter()}, {"from", n.From}, {"to", n.To}, {"why", n.Why},
		{"class", n.Class}, {"phase", n.Phase}, {"code", n.Code}, {"gate", n.Gate}, {"next", n.Next}, {"observer", n.Observer}} {
		if p[1] != "" {
			parts = append(parts, fmt.Sprintf("%s=%q", p[0], p[1]))
		}
	}
	if !n.Since.IsZero() {
		parts = append(parts, fmt.Sprintf("since=%.3f", n.Since.Sub(w.start).Seconds()))
	}
	for _, p := range n.Gates {
		if !p.Open {
			parts = append(parts, "closed="+p.Gate)
		}
	}
	fmt.Fprintf(w.out, "           %s gates=%d lasts=%v acked=%v\n", strings.Join(parts, " "), len(n.Gates), n.Lasts, n.Acked)
}

// ends is the end of a life: of one that is killed, what was not on disk is lost.
func (w *world) ends(killed bool) {
	if killed {
		w.journal.keepUntil(w.now.Add(-diskDelay))
		w.journal.unkept = nil
	} else {
		w.journal.keepUntil(w.now)
	}
	w.cfg.Seen, w.cfg.Active = maps.Clone(w.journal.seen), slices.Clone(w.journal.lasting)
}

// checkTold holds that every switch was told, whatever happened to its observer,
// and that what lasts was ended once all was well again.
func (w *world) checkTold() {
	w.journal.keepUntil(w.now)
	for _, rec := range w.oracle.made {
		key := fmt.Sprintf("%s/%d.%s", rec.Resource, rec.Epoch, rec.Kind)
		if rec.Kind == policy.Adopt {
			if key = fmt.Sprintf("%s/%d.adopted", rec.Resource, rec.Epoch); rec.From == "" || rec.From == rec.To {
				continue
			}
		}
		if w.journal.told[key] == 0 && !w.oracle.back {
			w.oracle.breaks(15, "the %s of %s to %s was made, and never told: no %s", rec.Kind, rec.Resource, rec.To, key)
		}
	}
	for _, n := range w.journal.lasting {
		if n.Event == "another_writer" || n.Event == "denied" {
			continue // these take their time, or a write
		}
		if n.Resource == "" || w.statusOf(n.Resource).Protected {
			w.oracle.breaks(15, "all is well, and %s goes on: %s", n.Key, n.Text)
		}
	}
}

// tells holds what is true of every notice: it is whole, told once, and part of the
// outage that goes on; and what is ended was begun.
func (o *oracle) tells(n failover.Notice) {
	if n.Over {
		if !slices.ContainsFunc(o.begun, n.Ends) {
			o.breaks(15, "the end of %s is told, and not its beginning", n.Key)
		}
		if !n.Acked {
			o.begun = slices.DeleteFunc(o.begun, n.Ends)
		}
		return
	}
	if n.Text == "" || n.Next == "" || n.At.IsZero() || n.Observer == "" {
		o.breaks(15, "half a notice: %+v", n)
	}
	switching := slices.Contains([]string{"failover", "switchover", "failback", "restore"}, n.Event)
	for _, other := range o.begun {
		again := n.Event == "not_protected" || n.Event == "certificate" || n.Event == "config_not_reloaded"
		if other.Key == n.Key && !again {
			o.breaks(15, "%s is told twice", n.Key)
		}
		goesOn := other.Outage != "" && other.Resource == n.Resource && (other.Event == "held" || other.Event == "would_fail_over")
		if goesOn && n.Outage != "" && n.Outage != other.Outage {
			o.breaks(15, "%s is told while the outage %s goes on", n.Key, other.Outage)
		}
		if goesOn && switching && n.Lasts && n.Outage == "" && n.From != n.To {
			o.breaks(15, "%s is told, and not that it ended the outage %s", n.Key, other.Outage)
		}
	}
	if switching && n.Outage != "" { // it carries the matter on
		o.begun = slices.DeleteFunc(o.begun, func(other failover.Notice) bool { return other.Outage == n.Outage })
	}
	o.begun = append(o.begun, n)
}
