package configs

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/reattach/reattach/policy"
)

// stepTimeout is how long a command around a switch may take where nothing else
// is written.
const stepTimeout = 60 * time.Second

// steps reads the commands around a resource's switches.
func (l *loader) steps(r *policy.Resource, s *section) {
	l.step(s.find(policy.Fence), &r.Steps.Fence)
	l.step(s.find(policy.Promote), &r.Steps.Promote)
	l.step(s.find(policy.Abort), &r.Steps.Abort)
	l.step(s.find(policy.After), &r.Steps.After)
	var word string
	if get(s.find(policy.Fence), "on_failure", &word) {
		r.Steps.Proceed = word == "proceed"
	}
	l.namedServers(r, s)
	promote := s.find(policy.Promote)
	if promote == nil {
		if abort := s.find(policy.Abort); abort != nil {
			l.warnf(abort.header, "", "abort runs only after a promotion that was not followed by its switch, and there is no promote")
		}
		return
	}
	r.Steps.Require = l.requirements(r, promote, require)
	if r.Protocol.Traits.StoreOfData && s.find(policy.Fence) == nil {
		l.warnf(promote.header, "add a fence that makes the old one harmless",
			"promote without fence: if the old %s comes back, or was only cut off from here, two of them take writes", r.Protocol.Name)
	}
}

// namedServers warns of a step that names a server: its part is another one after
// the next switch.
func (l *loader) namedServers(r *policy.Resource, s *section) {
	for _, name := range []string{policy.Fence, policy.Promote, policy.Abort} {
		for _, word := range r.Steps.Of(name).Command {
			for _, ep := range r.Endpoints {
				if word == ep.Name || word == ep.Target.URL.Host {
					l.warnf(s.find(name).place("command"), "let it read REATTACH_FROM_HOST and REATTACH_TO_HOST",
						"%s names %s: after a switch, the same words mean another part", name, l.say(s.find(name).place("command"), word))
				}
			}
		}
	}
}

// step reads one of them.
func (l *loader) step(in *section, step *policy.Step) {
	if in == nil {
		return
	}
	step.Timeout = stepTimeout
	get(in, "timeout", &step.Timeout)
	if !get(in, "command", &step.Command) {
		return
	}
	where := in.place("command")
	switch {
	case len(step.Command) == 0 || strings.TrimSpace(step.Command[0]) == "":
		l.errorf(where, `command = ["/etc/reattach/`+in.spec.name+`"]`, "command names no program")
		step.Command = nil
	case !filepath.IsAbs(step.Command[0]):
		l.errorf(where, "write its whole path, from / on", "a step is run by its absolute path, whatever the daemon's PATH is")
	}
	for _, word := range step.Command {
		if strings.ContainsRune(word, 0) {
			l.errorf(where, "", "a command cannot hold a NUL")
		}
	}
}
