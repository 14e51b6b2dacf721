package failover

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/policy"
)

// ordered takes a person's command.
func (e *Engine) ordered(now time.Time, ev Ordered) {
	c := ev.Command
	if a := e.refuse(c); a != nil {
		e.answer(ev.ID, *a)
		return
	}
	if why := e.blind(now, nil); why != "" {
		e.answer(ev.ID, Answer{Unsure: true, Text: "Not now: " + why + ".", Hint: "nothing is queued; ask again when the store answers"})
		return
	}
	switch c.Verb {
	case "pause", "resume", "drain", "undrain":
		e.control(now, ev)
	case "ack", "clear":
		e.orderState(now, ev)
	default:
		e.orderSwitch(now, ev)
	}
}

// refuse finds what is wrong with a command itself; nil if nothing is.
func (e *Engine) refuse(c Command) *Answer {
	bad := func(hint, format string, args ...any) *Answer {
		return &Answer{Invalid: true, Text: fmt.Sprintf(format, args...), Hint: hint}
	}
	if !slices.Contains(Verbs(), c.Verb) {
		return bad("one of "+strings.Join(Verbs(), ", "), "There is no command %q.", c.Verb)
	}
	all := c.All && (c.Verb == "pause" || c.Verb == "resume" || c.Verb == "ack")
	if c.All && !all {
		return bad("all at once can be: pause, resume, ack", "%s is for one resource at a time.", c.Verb)
	}
	r := e.res[c.Resource]
	if r == nil && !all {
		return bad("configured are: "+strings.Join(e.order, ", "), "There is no resource %q.", c.Resource)
	}
	if c.Reason == "" && c.Verb != "resume" && c.Verb != "undrain" {
		return bad(`add --reason "…": whoever reads the history will want it`, "A reason is missing.")
	}
	for _, f := range c.Force {
		if !slices.Contains(policy.Waivable(), f) {
			return bad("can be forced: "+strings.Join(policy.Waivable(), ", "), "The gate %q cannot be forced.", f)
		}
	}
	if r == nil {
		return nil
	}
	needs := slices.Contains([]string{"restore", "drain", "undrain", "clear"}, c.Verb)
	if c.Endpoint == "" && needs {
		return bad("it has "+strings.Join(endpointNames(r), ", "), "%s wants an endpoint of %s.", c.Verb, c.Resource)
	}
	if c.Endpoint != "" && r.def.Endpoint(c.Endpoint) < 0 {
		return bad("it has "+strings.Join(endpointNames(r), ", "), "%s has no endpoint %q.", c.Resource, c.Endpoint)
	}
	return nil
}

func endpointNames(r *resource) []string {
	var names []string
	for _, ep := range r.def.Endpoints {
		names = append(names, ep.Name)
	}
	return names
}

// orderSwitch takes a command that leads to a switch.
func (e *Engine) orderSwitch(now time.Time, ev Ordered) {
	c, r := ev.Command, e.res[ev.Command.Resource]
	w := &wish{target: r.def.Endpoint(c.Endpoint), since: now, began: now, order: ev.ID, person: c.By, reason: c.Reason, forced: c.Force,
		deadline: now.Add(ballotTime(r) + time.Second)}
	switch c.Verb {
	case "switchover":
		w.kind = policy.Switchover
	case "failover":
		w.kind = policy.Failover
	case "failback":
		w.kind = policy.FailbackTo
		if w.target < 0 {
			w.target = 0
		}
	case "restore":
		w.kind = policy.Restore
	case "refresh":
		w.kind, w.target = policy.Refresh, r.attached
	case "adopt":
		e.orderAdopt(now, r, ev, w)
		return
	}
	if a := e.pointless(r, w); a != nil {
		e.answer(ev.ID, *a)
		return
	}
	r.want, r.nextTry = w, now // a person does not wait for a ballot's turn
	e.consider(now, r)
}

// pointless answers a command that would change nothing, or comes in the way of another.
func (e *Engine) pointless(r *resource, w *wish) *Answer {
	switch {
	case r.reading == nil || !e.controlsOK:
		return &Answer{Unsure: true, Text: "The store has not been read yet; ask again in a moment."}
	case e.keepsBack(r.state.Operation, w):
		return &Answer{Text: "Not now: " + r.state.Operation.describe() + ".", Hint: "see reattach status " + r.def.Name}
	case r.want != nil || r.adopting != nil:
		return &Answer{Text: "Another command is under way for " + r.def.Name + "."}
	case w.kind == policy.Refresh && r.cond == policy.Ours:
		return &Answer{Done: true, Text: "The handles are spelled as the configuration says already."}
	case (w.kind == policy.Switchover || w.kind == policy.FailbackTo) && w.target >= 0 && w.target == r.attached:
		return &Answer{Done: true, Text: r.def.Endpoints[w.target].Name + " is attached already."}
	}
	return nil
}

// pursueOrder carries out what a person asked for, as soon as fresh evidence
// lets it, or says why not.
func (e *Engine) pursueOrder(now time.Time, r *resource, w *wish) {
	if w.kind == policy.Failover && r.attached >= 0 {
		if t := r.endpoints[r.attached].verdict.FirstBad(); !t.IsZero() {
			w.began, w.since = t, t
		}
	}
	s := e.situation(now, r, w)
	d := policy.Decide(e.gates, s)
	r.decision, w.decided = &d, &d
	shut := e.shut(s, d)
	late := !now.Before(w.deadline) && e.holds(RuleQueue)
	switch {
	case r.refusal != nil && r.refused == w: // the others have spoken
		d, r.refusal, r.want = *r.refusal, nil, nil
		e.answer(w.order, refusal(r, w, d, d.Closed()))
		e.consider(now, r)
	case w.denied:
		r.want = nil
		e.answer(w.order, Answer{Text: "The store denies it.", Hint: "see the ACL policy that ships with reattach", Decision: &d})
		e.consider(now, r)
	case shut.Gate == "" && d.Target >= 0 && e.observes(r, w):
		r.want = nil
		e.answer(w.order, Answer{Text: fmt.Sprintf("Nothing is written: the mode of %s is observe. The %s would go to %s; all gates are open.", r.def.Name, w.kind, d.To),
			Hint: "--force observe writes the handle all the same", Decision: &d})
		e.consider(now, r)
	case shut.Gate == "" && !late && d.Target >= 0:
		if now.Before(r.nextTry) && r.evidence == r.tried {
			if r.wake = r.nextTry; r.wake.After(w.deadline) {
				r.wake = w.deadline
			}
			return
		}
		e.begin(now, r, w)
	case !late && w.patient(r, d, shut.Gate):
		r.wake = now.Add(50 * time.Millisecond)
	default:
		r.want = nil
		e.answer(w.order, refusal(r, w, d, shut))
		e.consider(now, r)
	}
}

// patient reports whether fresh evidence may open a gate in a moment.
func (w *wish) patient(r *resource, d policy.Decision, gate string) bool {
	switch gate {
	case "class", "quorum":
		return w.kind != policy.Failover || r.attached < 0 || !r.endpoints[r.attached].verdict.SeenOK(w.since)
	case "candidate":
		return slices.ContainsFunc(d.Candidates, func(c policy.Candidacy) bool {
			return c.Reason == policy.Unknown.String() || c.Reason == policy.Suspect.String()
		})
	}
	return false
}

func refusal(r *resource, w *wish, d policy.Decision, shut policy.Passage) Answer {
	a := Answer{Text: fmt.Sprintf("No %s of %s: ", w.kind, r.def.Name), Decision: &d}
	if shut.Gate == "" {
		a.Text += "the store or its keys changed in between, or did not answer in time."
		a.Unsure = true
		return a
	}
	a.Text += fmt.Sprintf("the gate %s is closed: %s.", shut.Gate, shut.Why)
	name := shut.Gate
	if name == "candidate" {
		name = "" // who is down is no target, and nobody is to be led there
		for _, c := range d.Candidates {
			if slices.Contains([]string{"taint", "drained", "requirement"}, c.Reason) {
				name = c.Reason
			}
		}
	}
	if shut.Gate == "step" && r.state.TwoWritable != "" {
		a.Hint = "first see to it, then say so: " + nextFor(r, "step")
	}
	if slices.Contains(policy.Waivable(), name) {
		a.Hint = "if you know better, --force " + name
	}
	if i := slices.IndexFunc(d.Candidates, func(c policy.Candidacy) bool { return c.Reason == "taint" }); i >= 0 && name == "taint" {
		a.Hint = fmt.Sprintf("once %s has every write: reattach clear %s %s --reason …; %s", d.Candidates[i].Endpoint, r.def.Name, d.Candidates[i].Endpoint, a.Hint)
	}
	return a
}

// control writes a person's standing order.
func (e *Engine) control(now time.Time, ev Ordered) {
	c := ev.Command
	key := controlAll
	if !c.All {
		key = controlKey(c.Resource)
	}
	read := e.controls[key]
	read.Key = key
	var ctl Control
	if err := decode(read, &ctl); err != nil {
		e.answer(ev.ID, Answer{Text: "The control cannot be read: " + err.Error()})
		return
	}
	text, hint := e.amend(now, &ctl, c)
	if text == "" { // what is asked for is so already, but where it cannot be
		e.answer(ev.ID, Answer{Done: c.Verb != "drain", Text: hint})
		return
	}
	q := &request{purpose: PurposeControl, order: ev.ID, text: text, command: &c}
	e.transact(q, controlOps(read, ctl), storeTimeout, time.Time{})
}

// amend changes a control as a command asks. An empty text means that it does not.
func (e *Engine) amend(now time.Time, ctl *Control, c Command) (text, why string) {
	o := Order{Endpoint: c.Endpoint, By: c.By, Reason: c.Reason, At: now, For: c.For}
	whom := c.Resource
	if c.All {
		whom = "every resource"
	}
	until := "until somebody resumes it"
	if c.For > 0 {
		until = "for " + c.For.String()
	}
	without := slices.DeleteFunc(slices.Clone(ctl.Drained), func(d Order) bool { return d.Endpoint == c.Endpoint })
	switch c.Verb {
	case "pause":
		ctl.Pause = &o
		return fmt.Sprintf("Paused %s %s. Probing goes on; nothing is switched.", whom, until), ""
	case "resume":
		if ctl.Pause == nil {
			return "", whom + " is not paused."
		}
		ctl.Pause = nil
		return "Resumed " + whom + ".", ""
	case "drain":
		if r := e.res[c.Resource]; r.attached == r.def.Endpoint(c.Endpoint) {
			return "", fmt.Sprintf("%s is attached: first lead %s away from it with reattach switchover.", c.Endpoint, c.Resource)
		}
		ctl.Drained = append(without, o)
		return fmt.Sprintf("Drained %s of %s %s: it is no candidate.", c.Endpoint, c.Resource, strings.Replace(until, "resumes", "undrains", 1)), ""
	}
	if len(without) == len(ctl.Drained) {
		return "", c.Endpoint + " is not drained."
	}
	ctl.Drained = without
	return fmt.Sprintf("%s of %s may be a candidate again.", c.Endpoint, c.Resource), ""
}

func (e *Engine) controlled(now time.Time, q *request, ev Answered) {
	switch {
	case ev.Err == nil && ev.Reply.OK:
		e.over(now, "denied/"+Prefix, "The store lets us write below "+Prefix+" again.")
		e.takeControls(now, q.ops, ev.Reply)
		e.carriedOut(now, q)
		e.answer(q.order, Answer{Done: true, Text: q.text})
	case errors.Is(ev.Err, ErrDenied) && q.order == 0:
		e.prefixDenied(now, Prefix, "The store denies writing below "+Prefix+": no switch can be made.")
	default:
		e.answer(q.order, failedWrite(ev))
	}
}

// carriedOut records what a person has done, by whom and why.
func (e *Engine) carriedOut(now time.Time, q *request) {
	c := q.command
	if c == nil {
		return
	}
	text := fmt.Sprintf("%s By %s", q.text, c.By)
	if c.Reason != "" {
		text += ": " + c.Reason
	}
	name := cmp.Or(q.resource, c.Resource) // of ack --all, each resource's own
	e.pass(Notice{Key: fmt.Sprintf("%s/%s.%s.%d", name, c.Verb, c.Endpoint, now.UnixMilli()), Event: "order", Resource: name, At: now, Why: c.Reason,
		Text: strings.TrimSuffix(text, ".") + ".", Next: strings.TrimSpace("reattach status " + name)})
}

// takeControls takes a control that was just written, before the watch shows it.
func (e *Engine) takeControls(now time.Time, ops []Op, reply Reply) {
	for _, op := range ops {
		entry := Entry{Key: op.Key, Value: op.Value, Flags: op.Flags, ModifyIndex: reply.Entry(op.Key).ModifyIndex}
		if op.Key == controlSentinel || op.Key == ballotSentinel {
			continue
		}
		e.controls[op.Key] = entry
		var c Control
		if decode(entry, &c) == nil {
			for _, o := range c.orders() {
				e.noteOrder(now, op.Key, o)
			}
		}
	}
	for _, name := range e.order {
		e.res[name].evidence++
		e.consider(now, e.res[name])
	}
}

func failedWrite(ev Answered) Answer {
	switch {
	case errors.Is(ev.Err, ErrDenied):
		return Answer{Text: "The store denies it.", Hint: "the token may not write below " + Prefix}
	case ev.Err != nil:
		return Answer{Unsure: true, Text: "The store did not answer: it may have happened or not.", Hint: "look with reattach status, and ask again"}
	}
	return Answer{Text: "Somebody else changed it at the same moment.", Hint: "look again, and ask again"}
}
