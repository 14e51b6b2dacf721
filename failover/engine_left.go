package failover

import (
	"fmt"
	"strings"
	"time"
)

// leftWork tells what a switch of a queue or a relay leaves behind: where it is,
// the queues that are known there, and the command that lists it.
func (e *Engine) leftWork(now time.Time, r *resource, n Notice) {
	i := r.def.Endpoint(n.From)
	if i < 0 {
		return // it is not configured any more
	}
	u := r.def.Endpoints[i].Target.URL
	command := r.def.Protocol.Traits.LeftWorkCommand(u)
	e.pass(Notice{Key: strings.TrimSuffix(n.Key, n.Event) + "left_work", Event: "left_work", Resource: r.def.Name, Outage: n.Outage, At: now,
		From: n.From, To: n.To, Why: fmt.Sprintf("it was left by the %s to %s", n.Event, n.To), Next: command,
		Text: fmt.Sprintf("%s: what is queued at %s (%s%s) stays there, and perhaps nobody fetches it now%s. To list it, on that host: %s", r.def.Name, n.From, u.Host, u.Path, r.queues(i), command)})
}

// queues names the queues that an endpoint was last seen to have, for a sentence;
// empty where none is asked for.
func (r *resource) queues(i int) string {
	var names []string
	for _, fact := range r.def.Endpoints[i].Target.Wanted {
		name, is := strings.CutPrefix(fact, "queue(")
		if is && r.endpoints[i].facts[fact] == true {
			names = append(names, strings.TrimSuffix(name, ")"))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "; known queues: " + strings.Join(names, ", ")
}

// cold says of a cache that is attached now what to be prepared for.
func (r *resource) cold(to string) string {
	i := r.def.Endpoint(to)
	if !r.def.Protocol.Traits.RestartClears || i < 0 {
		return ""
	}
	holds := ""
	if items, ok := r.endpoints[i].facts["curr_items"].(int64); ok {
		holds = fmt.Sprintf(" (%d items)", items)
	}
	return fmt.Sprintf(" %s is a cold cache%s: until it is warm, what is behind it takes the load.", to, holds)
}
