package failover

import (
	"fmt"
	"time"

	"github.com/reattach/reattach/probe"
)

const splitWrites = "split_writes"

// lookSplit pages that a store of data which was left is written to: between two
// conversations that began since, its own log has advanced, or where it keeps
// none, its count of statements that write. It is called once for each
// conversation that found it writable.
func (e *Engine) lookSplit(now time.Time, r *resource, i int, mark Taint) {
	ep, name := &r.endpoints[i], r.def.Endpoints[i].Name
	what, comparable := advanced(ep.base, ep.facts)
	if !comparable {
		ep.base = ep.facts
		return
	}
	key := fmt.Sprintf("%s/%d.%s.%s", r.def.Name, mark.Epoch, splitWrites, name)
	if what == "" || e.active(key) {
		return
	}
	to := r.state.Attached
	ep.split = what
	e.say(Notice{Key: key, Event: splitWrites, Urgent: true, Lasts: true, Resource: r.def.Name, At: now, From: name, To: to, Why: what,
		Next: fenceCommand(r, i),
		Text: fmt.Sprintf("%s: %s is written to, but %s: %s%s. What is written there may be missing on %s. Fence it now: make it read-only, or stop it. Then bring over or discard what it has written since.",
			r.def.Name, name, mark.Why, what, stillOn(ep.facts), to)})
}

// advanced says what an endpoint has written between two conversations, by its
// own log, or by its counter where it keeps none and replicates from nobody: else
// what is replicated would count. It is empty if that is nothing. They cannot be
// compared across a restart, where counters begin anew and the data may have been
// rebuilt, nor where one of them taught less.
func advanced(was, is probe.Facts) (what string, comparable bool) {
	before, had := was["gtid_own"].(string)
	after, has := is["gtid_own"].(string)
	from, known := was["writes"].(int64)
	to, counted := is["writes"].(int64)
	began, _ := was["uptime"].(int64)
	uptime, _ := is["uptime"].(int64)
	switch {
	case uptime < began || had != has:
		return "", false
	case had && before != after:
		return fmt.Sprintf("its own log went from %s to %s", before, after), true
	case had:
		return "", true
	case !known || !counted || was["replica"] != false || is["replica"] != false:
		return "", false
	case to > from:
		return fmt.Sprintf("%d statements wrote", to-from), true
	}
	return "", true
}

// stillOn says for a sentence how many clients are connected; empty where none
// are, or nobody knows.
func stillOn(f probe.Facts) string {
	switch n, _ := f["clients"].(int64); {
	case n == 1:
		return ", and a client is connected to it"
	case n > 1:
		return fmt.Sprintf(", and %d clients are connected to it", n)
	}
	return ""
}
