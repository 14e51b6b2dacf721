package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
)

// asking is a person's command on its way.
type asking struct {
	failover.Command
	n      *node
	id     uint64
	life   int
	at     time.Duration
	taken  time.Duration    // when the daemon took it
	reload *failover.Config // it is no command, but a reload
	answer *failover.Answer
}

// people are all that was ever asked.
type people struct{ asks []*asking }

// ask has a person type a command on a machine.
func (n *node) ask(c failover.Command) *asking {
	c.By, c.Reason = "ada", fmt.Sprintf("reason %d", len(n.w.people.asks))
	n.orders++
	a := &asking{Command: c, n: n, id: n.orders, life: n.life, at: n.w.now}
	n.w.people.asks = append(n.w.people.asks, a)
	n.asked[a.id] = a
	n.w.say("ada", "types on %s: %s", n.name, strings.Join(words(c), " "))
	n.after(0, func() { n.step(failover.Ordered{ID: a.id, Command: c}) })
	return a
}

func words(c failover.Command) []string {
	all := []string{c.Verb, c.Resource}
	if c.All {
		all[1] = "--all"
	}
	if c.Endpoint != "" {
		all = append(all, "--to "+c.Endpoint)
	}
	if len(c.Force) > 0 {
		all = append(all, "--force "+strings.Join(c.Force, ","))
	}
	if c.For > 0 {
		all = append(all, "--for "+c.For.String())
	}
	return all
}

// responds takes an answer to who asked.
func (n *node) responds(f failover.Respond) {
	a := n.asked[f.ID]
	if a == nil {
		return
	}
	delete(n.asked, f.ID)
	answer := f.Answer
	a.answer = &answer
	if a.reload != nil {
		n.w.say(n.name, "reload: %s", answer.Text)
		if answer.Done {
			cfg := *a.reload
			n.cfg = cfg
			n.w.later(0, func() {
				if n.alive && !n.leaving {
					n.startLoops()
				}
			})
		}
		return
	}
	n.w.say(n.name, "answers: done=%v %s", answer.Done, answer.Text)
	n.w.oracle.replied(n, a)
}
