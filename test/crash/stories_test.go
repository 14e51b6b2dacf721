package crash

import (
	"os"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// story is what happens in the world around an observer, whoever is killed.
type story struct {
	// begin is before the first life. By default the handles name the primary, and
	// every server is well.
	begin func(w world) error
	empty bool // there are no handles at first
	shape func(w world) shape
	acts  []act
	goal  func(o *observer, s failover.ResourceStatus) bool
	// ends is what is to be so in the store at the end, besides what always is.
	ends func(v *verdict)
	// cleared are the taints that a person took away.
	cleared []string
}

// act is something that somebody does once, when the time has come. Who is killed
// meanwhile does it in his next life: to do it twice must do no harm.
type act struct {
	name string
	when func(o *observer, s failover.ResourceStatus) bool
	do   func(o *observer) error
}

// play has everything happen that has not happened yet.
func (s story) play(o *observer) error {
	for _, a := range s.acts {
		if o.World.is(a.name) {
			continue
		}
		err := o.until(func() bool {
			s, err := o.status()
			return err == nil && a.when(o, s)
		})
		if err == nil {
			err = a.do(o)
		}
		if err == nil {
			err = o.World.mark(a.name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func plain(world) shape { return shape{Password: "first", Some: 2, Sustain: 100 * time.Millisecond} }

func stepped(w world) shape {
	s := plain(w)
	s.Steps = true
	return s
}

// rotated is plain, and from the reload on everybody has another password, and a
// third server.
func rotated(w world) shape {
	s := plain(w)
	if w.is("the files are changed") {
		s.Password, s.Some = "second", 3
	}
	return s
}

func protected(_ *observer, s failover.ResourceStatus) bool { return s.Protected }

func quiet(o *observer, s failover.ResourceStatus) bool { return o.calm(s) && s.Epoch > 0 }

// whenAttached waits for an endpoint, in peace.
func whenAttached(endpoint string) func(*observer, failover.ResourceStatus) bool {
	return func(o *observer, s failover.ResourceStatus) bool { return quiet(o, s) && s.Attached == endpoint }
}

func dies(endpoint string) act {
	dead := func(o *observer, s failover.ResourceStatus) bool {
		b, err := os.ReadFile(o.World.file("servers", endpoint))
		return err == nil && string(b) == "dead" || protected(o, s)
	}
	return act{endpoint + " dies", dead, func(o *observer) error { return o.World.serve(endpoint, "dead") }}
}

func order(name string, when func(*observer, failover.ResourceStatus) bool, c failover.Command) act {
	begun := func(o *observer, s failover.ResourceStatus) bool {
		return len(readAsked(o.World, name)) > 0 || when(o, s)
	}
	return act{name, begun, func(o *observer) error { return o.asks(name, c) }}
}

// attached is the goal that an endpoint is attached, with handles that are ours.
func attached(endpoint string) func(*observer, failover.ResourceStatus) bool {
	return func(_ *observer, s failover.ResourceStatus) bool {
		return s.Attached == endpoint && s.Condition == policy.Ours.String() && s.Hold == nil
	}
}

// spelledEither is the goal that an endpoint is attached, in a spelling that was in
// force: who commits before the changed files reach him writes the former one.
func spelledEither(endpoint string) func(*observer, failover.ResourceStatus) bool {
	return func(_ *observer, s failover.ResourceStatus) bool {
		ours := s.Condition == policy.Ours.String() || s.Condition == policy.Outdated.String()
		return s.Attached == endpoint && ours && s.Hold == nil
	}
}

// heldByStep is the goal that a person has to look at what may be two that take writes.
func heldByStep(_ *observer, s failover.ResourceStatus) bool {
	return s.Hold != nil && s.Hold.Gate == "step"
}

func isDeleted(_ *observer, s failover.ResourceStatus) bool {
	return s.Condition == policy.Deleted.String()
}

// attachedOrHeld is the goal that the standby is attached, or, where a promotion was
// killed twice or was too slow for its time on this machine, that a person has to look.
func attachedOrHeld(o *observer, s failover.ResourceStatus) bool {
	spent := slices.ContainsFunc([]string{"nobody knows how promote ended", "its time was over"}, func(why string) bool {
		return heldByStep(o, s) && strings.Contains(s.Hold.Why, why)
	})
	return attached("standby")(o, s) || spent
}

// attachedOrTold is the goal that the standby is attached, or that what was fenced
// answers, and people know that its fence may be in force.
func attachedOrTold(o *observer, s failover.ResourceStatus) bool {
	if attached("standby")(o, s) {
		return true
	}
	told, err := o.outbox.Events(0, resourceName, 100)
	return err == nil && s.Attached == "primary" && slices.ContainsFunc(told, func(n failover.Told) bool {
		return n.Event == "step_failed" && n.Key == resourceName+"/fence_lost"
	})
}

// standing has servers that take writes as they should before steps.
func standing(marks ...string) func(w world) error {
	return func(w world) error {
		for _, m := range marks {
			if err := w.mark(m); err != nil {
				return err
			}
		}
		return w.serve("primary", "ok writable")
	}
}

// stories are the lives of observers that are to be cut short.
var stories = map[string]story{
	"failover": {shape: plain, acts: []act{dies("primary")}, goal: attached("standby")},
	"switchover": {shape: plain, goal: attached("standby"),
		acts: []act{order("to standby", protected, failover.Command{Verb: "switchover", Endpoint: "standby"})}},
	"there-and-back": {shape: plain, goal: attached("primary"), cleared: []string{"primary"}, acts: []act{
		order("to standby", protected, failover.Command{Verb: "switchover", Endpoint: "standby"}),
		order("primary is rebuilt", whenAttached("standby"), failover.Command{Verb: "clear", Endpoint: "primary"}),
		order("home", whenAttached("standby"), failover.Command{Verb: "failback"})}},
	"bootstrap": {shape: func(w world) shape { s := plain(w); s.Boot = true; return s }, empty: true, goal: attached("primary")},
	"adopt":     {shape: plain, acts: []act{edit("by hand", "standby")}, goal: attached("standby"), ends: asEdited},
	"restore": {shape: plain, goal: attached("primary"), acts: []act{
		{"a handle is gone", func(o *observer, s failover.ResourceStatus) bool { return isDeleted(o, s) || protected(o, s) }, func(o *observer) error { return o.write(failover.Op{Verb: failover.Delete, Key: handleDSN}) }},
		order("it is written anew", isDeleted,
			failover.Command{Verb: "restore", Endpoint: "primary"})}},
	"refresh": {shape: rotated, goal: attached("primary"), acts: []act{
		reload("the files are changed", protected),
		order("spelt anew", func(o *observer, s failover.ResourceStatus) bool { return quiet(o, s) && len(s.Endpoints) == 3 },
			failover.Command{Verb: "refresh"})}},
	"reload": {shape: rotated, goal: spelledEither("standby"), acts: []act{
		dies("primary"),
		reload("the files are changed", func(_ *observer, s failover.ResourceStatus) bool { return s.Activity != failover.Steady.String() })}},
	"orders": {shape: plain, cleared: []string{"primary"}, acts: []act{
		order("rest", protected, failover.Command{Verb: "pause"}),
		order("no rest", quiet, failover.Command{Verb: "resume"}),
		order("standby is emptied", quiet, failover.Command{Verb: "drain", Endpoint: "standby", For: time.Hour}),
		order("standby is back", quiet, failover.Command{Verb: "undrain", Endpoint: "standby"}),
		order("to standby", protected, failover.Command{Verb: "switchover", Endpoint: "standby"}),
		order("primary is rebuilt", whenAttached("standby"), failover.Command{Verb: "clear", Endpoint: "primary"}),
		order("seen", quiet, failover.Command{Verb: "ack"})},
		goal: func(o *observer, s failover.ResourceStatus) bool {
			return attached("standby")(o, s) && s.Paused == "" && s.Protected
		}},
	"steps": {begin: standing(), shape: stepped, acts: []act{dies("primary")}, goal: attachedOrHeld},
	"steps-switchover": {begin: standing(), shape: stepped, goal: attachedOrHeld,
		acts: []act{order("to standby", protected, failover.Command{Verb: "switchover", Endpoint: "standby"})}},
	// What is fenced answers again, and takes no writes: if nobody knows that it was
	// the fence, it is not switched, and somebody has to be told.
	"fenced-alive":     {begin: standing("fence-revives"), shape: stepped, acts: []act{dies("primary")}, goal: attachedOrTold},
	"promotion-fails":  {begin: standing("promote-fails"), shape: stepped, acts: []act{dies("primary")}, goal: heldByStep},
	"promoted-in-vain": {begin: standing("promote-does-nothing"), shape: stepped, acts: []act{dies("primary")}, goal: heldByStep},
	"acknowledged": {begin: standing("promote-fails"), shape: stepped, goal: attachedOrHeld, acts: []act{
		dies("primary"),
		{"it is repaired", heldByStep, func(o *observer) error { return o.World.unmark("promote-fails") }},
		order("seen to", heldByStep, failover.Command{Verb: "ack"})}},
}
