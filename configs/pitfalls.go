package configs

import (
	"slices"

	"github.com/reattach/reattach/policy"
)

// pitfalls warns of what is allowed, and will surprise.
func (l *loader) pitfalls(r *policy.Resource, s *section) {
	if r.Protocol.Traits.StoreOfData && r.Bootstrap {
		l.warnf(s.place("bootstrap"), "leave it out, and say reattach restore when a handle is to be created",
			"with bootstrap an empty %s is attached as soon as it is up, even where its handle was lost by mistake", r.Protocol.Name)
	}
	required := func(q policy.Requirement) bool {
		return slices.ContainsFunc(r.Require, func(p policy.Requirement) bool { return spelt(p.Text) == spelt(q.Text) })
	}
	if i := slices.IndexFunc(r.Judge.Expect, func(q policy.Requirement) bool { return !required(q) }); i >= 0 {
		l.warnf(s.place(expect), "add it to require", "%q is expected of what is attached, and not required of a standby: one that shows something else would be attached, and left again", r.Judge.Expect[i].Text)
	}
	users := map[string]bool{}
	for _, e := range r.Endpoints {
		users[e.Target.URL.Path] = true
	}
	if len(users) > 1 {
		l.warnf(s.labels[0].at, "", "the endpoints of resource %q differ in the path of their URLs: an application would find another database or vhost after a switch", r.Name)
	}
}
