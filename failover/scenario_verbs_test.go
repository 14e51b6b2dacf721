package failover_test

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// do is one line of a story, without its time:
//
//	end                                nothing; time passes
//	RESOURCE/ENDPOINT CLASS            what conversations with it come to from now on
//	clock TIME                         of the observer is ahead by so much; he starts anew
//	reboot RESOURCE/ENDPOINT           its server is started anew: its uptime begins
//	store down|up                      the store does not answer
//	deny PURPOSE… / allow              the store denies such transactions
//	shut KEY / allow                   the store denies all that touches the key
//	lose PURPOSE                       the next such transaction is carried out, its reply lost
//	lose-slowly PURPOSE                the same, noticed only when its time is over
//	drop PURPOSE                       it never arrives, noticed when its time is over
//	slow PURPOSE TIME                  it is carried out, its reply comes so much later
//	lose PURPOSE:N                     the same for the N-th one; so for the others, too
//	late PURPOSE [TIMES]               its time is over before it can be sent
//	stall PURPOSE TIME                 it waits so long in its observer before it is sent
//	when PURPOSE LINE                  LINE happens just before the next one arrives
//	mend                               all of these are over
//	write KEY ENDPOINT|foreign         somebody else's hand
//	delete KEY
//	alien RESOURCE OBSERVER            there is a ballot that this observer opened
//	order VERB [RESOURCE] [--all] [to=…] [force=…] [for=…]
//	status                             as it is shown in the end
//	explain RESOURCE                   as a person would ask
//	reload RESOURCE ENDPOINT…          its configuration from now on
//	reread RESOURCE ENDPOINT…          the same, because files that it names say something else
//	drop-resource RESOURCE             a reload without it
//	restart [RESOURCE ENDPOINT…]       of the observer, perhaps with another configuration
//	stand-still TIME                   of the observer
//	snapshot / rewind                  the store is put back to what it was
//	stray PURPOSE TIME                 no answer comes; it arrives so much after that was noticed
//	kill                               a restart; what was sent arrives all the same
//	lag TIME                           watches are behind by so much
//	fact RESOURCE/ENDPOINT NAME=VALUE… what conversations with it teach from now on
//	misread [WHY…]                     a new configuration was not taken; without WHY, one was
//	step RESOURCE NAME ok|fail TIME    what such commands come to from now on, and after how long
//	details                            every notice with all it rests on, from now on
//	active                             what was told and goes on
func (w *world) do(words []string, line string) {
	w.say("— %s", strings.Join(words, " "))
	switch words[0] {
	case "end":
	case "store":
		w.down = words[1] == "down"
	case "mend":
		w.down = false
		clear(w.fate)
		clear(w.denied)
		clear(w.shut)
	case "restart":
		if len(words) > 1 {
			w.cfg = w.reconfigured(words[1], words[2:])
		}
		w.ends(false)
		w.boot()
	case "stand-still":
		d, _ := time.ParseDuration(words[1])
		w.now = w.now.Add(d)
		w.step(failover.Stood{From: w.now.Add(-d)})
	case "write":
		w.write(words[1], words[2])
	case "delete":
		w.put(failover.Op{Verb: failover.Delete, Key: words[1]})
	case "alien":
		value, _ := json.Marshal(failover.Opening{Nonce: "1234", Opener: words[2]})
		w.put(failover.Op{Verb: failover.Set, Key: "reattach/ballot/" + words[1] + "/_", Value: value})
		if key := "reattach/ballot/" + words[1] + "/_"; words[2] != w.cfg.Observer {
			w.wreck.opened(key, alien{w.now, w.get(key).ModifyIndex})
		}
	case "order":
		w.order(words[1:])
	case "status":
		w.status()
	case "explain":
		if x, err := w.engine.Explain(w.at(w.now), words[1]); err != nil {
			w.t.Fatal(err)
		} else {
			w.say("%s is attached to %s; last wanted was a switch to %q", words[1], x.Status.Attached, x.Target)
		}
	case "reload":
		w.reload(words[1], words[2:])
	case "reread":
		w.take(failover.Reloaded{Config: w.reconfigured(words[1], words[2:]), Reread: true})
	case "drop-resource":
		next := w.cfg
		next.Resources = slices.DeleteFunc(slices.Clone(next.Resources), func(r *policy.Resource) bool { return r.Name == words[1] })
		w.reloadTo(next)
	case "clock":
		w.clock, _ = time.ParseDuration(words[1])
		w.ends(false)
		w.boot()
	case "reboot":
		w.booted[words[1]] = w.now
	default:
		if w.stepBy(words) || w.meddle(words) || w.wreckBy(words) || w.informBy(words) {
			return
		}
		var c probe.Class
		if err := c.UnmarshalText([]byte(words[1])); err != nil {
			w.t.Fatalf("%q: %v", line, err)
		}
		w.truth[words[0]] = c
	}
}

// meddle decides what becomes of transactions to come.
func (w *world) meddle(words []string) bool {
	name, which, nth := strings.Cut(words[min(1, len(words)-1)], ":")
	purpose := failover.Purpose(name)
	if left, err := strconv.Atoi(which); nth && err == nil {
		defer w.skip(purpose, left)
	}
	after := func(f failover.Transact) time.Duration { return f.Timeout }
	switch words[0] {
	case "deny":
		for _, p := range words[1:] {
			w.denied[failover.Purpose(p)] = true
		}
	case "shut":
		w.shut[words[1]] = true
	case "allow":
		clear(w.denied)
		clear(w.shut)
	case "when":
		w.fate[purpose] = func(f failover.Transact, a *failover.Answered) time.Duration {
			w.do(words[2:], strings.Join(words, " "))
			w.carry(f, a)
			return storeDelay / 2
		}
	case "lose", "lose-slowly":
		if words[0] == "lose" {
			after = func(failover.Transact) time.Duration { return storeDelay / 2 }
		}
		w.fate[purpose] = func(f failover.Transact, a *failover.Answered) time.Duration {
			w.carry(f, a)
			w.say("the reply to %s is lost", f.Purpose)
			a.Reply, a.Err = failover.Reply{}, failover.ErrUnknown
			return after(f)
		}
	case "slow":
		w.fate[purpose] = func(f failover.Transact, a *failover.Answered) time.Duration {
			w.carry(f, a)
			d, _ := time.ParseDuration(words[2])
			return d
		}
	case "stall":
		d, err := time.ParseDuration(words[2])
		if err != nil {
			w.t.Fatal(err)
		}
		w.stalled = map[failover.Purpose]time.Duration{purpose: d}
	case "drop":
		w.fate[purpose] = func(f failover.Transact, a *failover.Answered) time.Duration {
			w.say("%s never arrives", f.Purpose)
			a.Err = failover.ErrUnknown
			return after(f)
		}
	case "late":
		times := 1
		if len(words) > 2 {
			times, _ = strconv.Atoi(words[2])
		}
		var late func(f failover.Transact, a *failover.Answered) time.Duration
		late = func(f failover.Transact, a *failover.Answered) time.Duration {
			w.say("%s would be too late", f.Purpose)
			a.Err = failover.ErrLate
			if times--; times > 0 {
				w.fate[purpose] = late
			}
			return storeDelay / 2
		}
		w.fate[purpose] = late
	default:
		return false
	}
	return true
}

// skip has befall the left-th transaction for a purpose what was to befall the next one.
func (w *world) skip(purpose failover.Purpose, left int) {
	fate := w.fate[purpose]
	var pass func(failover.Transact, *failover.Answered) time.Duration
	pass = func(f failover.Transact, a *failover.Answered) time.Duration {
		if left--; left > 0 {
			w.fate[purpose] = pass
			w.carry(f, a)
			return storeDelay / 2
		}
		return fate(f, a)
	}
	w.fate[purpose] = pass
}

func (w *world) put(op failover.Op) {
	if _, err := w.store.Txn(context.Background(), []failover.Op{op}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(key, endpoint string) {
	value := "mysql://somebody:else@elsewhere/"
	for _, r := range w.cfg.Resources {
		for _, h := range r.Handles {
			if i := r.Endpoint(endpoint); h.Key == key && i >= 0 {
				value = h.Values[i].Reveal()
			}
		}
	}
	w.put(failover.Op{Verb: failover.Set, Key: key, Value: []byte(value), Flags: 7})
}

func (w *world) order(words []string) {
	w.orders++
	c := failover.Command{Verb: words[0], By: "alice@desk", Reason: "the story wants it"}
	for _, word := range words[1:] {
		key, value, set := strings.Cut(word, "=")
		switch {
		case !set && word == "--all":
			c.All = true
		case !set:
			c.Resource = word
		case key == "to":
			c.Endpoint = value
		case key == "force":
			c.Force = strings.Split(value, ",")
		case key == "for":
			c.For, _ = time.ParseDuration(value)
		}
	}
	w.step(failover.Ordered{ID: w.orders, Command: c})
}

// reconfigured is the configuration with another definition of one resource.
func (w *world) reconfigured(name string, words []string) failover.Config {
	next := w.cfg
	next.Resources = slices.Clone(w.cfg.Resources)
	for i, r := range next.Resources {
		if r.Name == name {
			next.Resources[i] = defineResource(w.t, name, words)
		}
	}
	return next
}

func (w *world) reload(name string, words []string) {
	w.reloadTo(w.reconfigured(name, words))
}

func (w *world) reloadTo(next failover.Config) { w.take(failover.Reloaded{Config: next}) }

func (w *world) take(ev failover.Reloaded) {
	w.orders++
	ev.ID = w.orders
	before := w.out.Len()
	w.step(ev)
	if strings.Contains(w.out.String()[before:], "done=true") {
		w.cfg = ev.Config
		w.startProbing()
	}
}
