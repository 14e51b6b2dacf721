package failover

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// changed takes over what a watched prefix holds.
func (e *Engine) changed(now time.Time, ev Changed) {
	switch {
	case errors.Is(ev.Err, ErrDenied):
		e.prefixDenied(now, ev.Prefix, "The store denies reading below "+ev.Prefix+": people's orders and ballots cannot be seen, and nothing is switched.")
	case ev.Err != nil:
	default:
		e.over(now, "denied/"+ev.Prefix, "The store lets us read below "+ev.Prefix+" again.")
		e.prefixChanged(now, ev)
	}
}

func (e *Engine) prefixChanged(now time.Time, ev Changed) {
	switch ev.Prefix {
	case controlPrefix:
		e.controlsChanged(now, ev.Entries)
	case ballotPrefix:
		e.ballotsChanged(now, ev.Entries)
	}
}

func (e *Engine) controlsChanged(now time.Time, entries []Entry) {
	fresh := make(map[string]Entry, len(entries))
	for _, entry := range entries {
		fresh[entry.Key] = entry
		var c Control
		if decode(entry, &c) == nil {
			for _, o := range c.orders() {
				e.noteOrder(now, entry.Key, o)
			}
		}
	}
	changed := func(key string) bool { return fresh[key].ModifyIndex != e.controls[key].ModifyIndex }
	old, all := e.controlsOK, changed(controlAll)
	for _, name := range e.order {
		if r := e.res[name]; all || changed(controlKey(name)) {
			r.evidence++
			r.wake = now
		}
	}
	e.controls, e.controlsOK = fresh, true
	if fresh[controlSentinel].Exists() {
		e.over(now, "denied/"+Prefix, "The store has what we write below "+Prefix+" again.")
	}
	if !old || !fresh[controlSentinel].Exists() {
		e.keepSentinel(controlSentinel, fresh)
	}
	e.tick(now)
}

// keepSentinel sees to it that a watched prefix is never empty.
func (e *Engine) keepSentinel(key string, have map[string]Entry) {
	if !have[key].Exists() {
		e.transact(&request{purpose: PurposeControl}, sentinelOps(key), storeTimeout, time.Time{})
	}
}

// noteOrder dates a person's order by when it was first seen here.
func (e *Engine) noteOrder(now time.Time, key string, o Order) {
	id := orderID(key, o)
	if _, ok := e.orderSeen[id]; ok {
		return
	}
	e.orderSeen[id] = e.dated(now, o.At, !e.controlsOK)
}

func orderID(key string, o Order) string {
	return key + "|" + o.Endpoint + "|" + o.At.UTC().Format(time.RFC3339Nano)
}

func (c Control) orders() []Order {
	all := slices.Clone(c.Drained)
	if c.Pause != nil {
		all = append(all, *c.Pause)
	}
	return all
}

// standing reports whether an order is in force, and describes it.
func (e *Engine) standing(now time.Time, key string, o Order) (bool, string) {
	text := fmt.Sprintf("by %s: %s", o.By, o.Reason)
	if o.For == 0 {
		return true, text
	}
	seen, ok := e.orderSeen[orderID(key, o)]
	if !ok {
		seen = now
	}
	left := seen.Add(o.For).Sub(now)
	return left > 0, fmt.Sprintf("%s (for another %v)", text, roundly(left))
}

// roundly is a duration as people say it.
func roundly(d time.Duration) time.Duration {
	if d > 10*time.Minute {
		return d.Round(time.Minute)
	}
	return d.Round(time.Second)
}

// paused says by whom and why r is paused; empty if it is not.
func (e *Engine) paused(now time.Time, r *resource) string {
	for _, key := range [...]string{controlAll, controlKey(r.def.Name)} {
		if !e.controls[key].Exists() {
			continue
		}
		var c Control
		if err := decode(e.controls[key], &c); err != nil {
			return "because its control cannot be read: " + err.Error()
		}
		if c.Pause == nil {
			continue
		}
		if on, text := e.standing(now, key, *c.Pause); on {
			return text
		}
	}
	return ""
}

// drained says by whom and why an endpoint is drained; empty if it is not.
func (e *Engine) drained(now time.Time, r *resource, endpoint string) string {
	key := controlKey(r.def.Name)
	if !e.controls[key].Exists() {
		return ""
	}
	var c Control
	if decode(e.controls[key], &c) != nil {
		return ""
	}
	for _, o := range c.Drained {
		if o.Endpoint == endpoint {
			if on, text := e.standing(now, key, o); on {
				return text
			}
		}
	}
	return ""
}
