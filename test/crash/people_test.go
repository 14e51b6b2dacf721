package crash

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// asked is one question of a person's, and answered what came back.
type (
	asked struct {
		Name   string
		Try    int
		Verb   string
		Reason string
	}
	answered struct {
		Reason string
		failover.Answer
	}
)

// asks has a person ask for something. Who got no answer, because the observer was
// killed, looks whether it was done, and asks again only if it was not.
func (o *observer) asks(name string, c failover.Command) error {
	c.Resource, c.By = resourceName, "alice"
	for {
		if err := o.until(func() bool { s, err := o.status(); return err == nil && o.calm(s) }); err != nil {
			return err
		}
		if o.wasDone(name, c) {
			return nil
		}
		c.Reason = fmt.Sprintf("%s, asked %d", name, 1+len(readAsked(o.World, name)))
		if err := o.World.note("asked", "%s", line(asked{Name: name, Verb: c.Verb, Reason: c.Reason})); err != nil {
			return err
		}
		o.points.pass("order " + c.Verb + ", to be given")
		a, err := o.daemon.Do(o.ctx, c)
		o.points.pass("order " + c.Verb + ", answered")
		if err != nil {
			return err
		}
		if err := o.World.note("answers", "%s", line(answered{c.Reason, a})); err != nil {
			return err
		}
		o.points.pass("order " + c.Verb + ", known")
		switch {
		case a.Done:
			return nil
		case a.Invalid:
			return errors.New(a.Text)
		}
		o.nap(300 * time.Millisecond)
	}
}

// nap lets time pass before somebody asks again.
func (o *observer) nap(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-o.ctx.Done():
	}
}

// wasDone is what a person finds who looks whether an order was carried out.
func (o *observer) wasDone(name string, c failover.Command) bool {
	before := readAsked(o.World, name)
	if len(before) == 0 {
		return false // never asked
	}
	s, err := o.status()
	if err != nil {
		return false
	}
	has := func(endpoint string) (tainted, drained bool) {
		for _, ep := range s.Endpoints {
			if ep.Name == endpoint {
				return ep.Tainted != "", ep.Drained != ""
			}
		}
		return false, false
	}
	tainted, drained := has(c.Endpoint)
	switch c.Verb {
	case "pause":
		return s.Paused != ""
	case "resume":
		return s.Paused == ""
	case "drain":
		return drained
	case "undrain":
		return !drained
	case "clear":
		return !tainted
	case "ack":
		var state failover.State
		for _, e := range o.tree(stateKey) {
			_ = json.Unmarshal(e.Value, &state)
		}
		return state.TwoWritable == "" && state.Acked >= state.Epoch
	}
	for _, e := range o.tree(failover.Prefix + "history/") {
		var rec failover.Record
		if json.Unmarshal(e.Value, &rec) == nil && strings.HasPrefix(rec.Reason, name+", ") {
			return true
		}
	}
	return false
}

func line(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain data
	}
	return string(b)
}

func readLines[T any](w world, log string) (all []T) {
	b, _ := os.ReadFile(w.file(log))
	for text := range strings.Lines(string(b)) {
		var v T
		if json.Unmarshal([]byte(text), &v) == nil {
			all = append(all, v)
		}
	}
	return all
}

func readAsked(w world, name string) (all []asked) {
	for _, a := range readLines[asked](w, "asked") {
		if a.Name == name {
			all = append(all, a)
		}
	}
	return all
}

func (w world) unmark(name string) error {
	err := os.Remove(w.file("marks", name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// write writes as somebody else does, past the observer.
func (o *observer) write(ops ...failover.Op) error {
	reply, err := insist(o.ctx, o.raw, ops)
	if err == nil && !reply.OK {
		err = fmt.Errorf("%v", reply.Failed)
	}
	return err
}

// edit is somebody who leads the handles elsewhere by hand. What he has written
// already he does not write again, which would change nothing.
func edit(name, endpoint string) act {
	due := func(o *observer, s failover.ResourceStatus) bool { return protected(o, s) || s.Attached == endpoint }
	return act{name, due, func(o *observer) error {
		shape := o.story.shape(o.World)
		return o.write(
			failover.Op{Verb: failover.Set, Key: handleURL, Value: []byte(o.World.value(shape, handleURL, endpoint)), Flags: 7},
			failover.Op{Verb: failover.Set, Key: handleDSN, Value: []byte(o.World.value(shape, handleDSN, endpoint)), Flags: 7})
	}}
}

// asEdited: an adopt writes no handle. By their flags they are as the hand left them.
func asEdited(v *verdict) {
	for _, key := range []string{handleURL, handleDSN} {
		if e := v.entries[key]; e.Flags != 7 || e.ModifyIndex >= v.entries[stateKey].ModifyIndex {
			v.violates(9, "%s has flags %d and index %d, state %d: the hand's value was written over", key, e.Flags, e.ModifyIndex, v.entries[stateKey].ModifyIndex)
		}
	}
}

// reload has the configuration changed on disk, and the observer told.
func reload(name string, when func(*observer, failover.ResourceStatus) bool) act {
	return act{name, when, func(o *observer) error {
		if err := o.World.mark(name); err != nil {
			return err
		}
		o.points.pass("reload, to be asked for")
		a, err := o.daemon.Reload(o.ctx, o.config())
		o.points.pass("reload, answered")
		if err == nil && !a.Done {
			err = errors.New(a.Text)
		}
		return err
	}}
}

func (o *observer) resources(s shape) []*policy.Resource {
	return []*policy.Resource{o.World.resource(s)}
}
