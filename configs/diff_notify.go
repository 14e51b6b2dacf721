package configs

import (
	"slices"
)

// Notices are what a reload would do about the telling of notices. All of it
// can be done while the daemon runs.
type Notices struct {
	Added, Removed []string // names of notifiers
	Changed        []Change // notifiers that are in both, in the new order
	// Routes names the resources of which other notifiers are told now, not
	// counting those that were added or removed; "" is what concerns no
	// resource.
	Routes []string
	// Runbook says that notices link to another page.
	Runbook bool
}

// Empty reports whether nothing is different.
func (n Notices) Empty() bool {
	return len(n.Added)+len(n.Removed)+len(n.Changed)+len(n.Routes) == 0 && !n.Runbook
}

// Notifier returns the notifier of that name, or nil.
func (c *Config) Notifier(name string) *Notifier {
	i := slices.IndexFunc(c.Notifiers, func(n Notifier) bool { return n.Name == name })
	if i < 0 {
		return nil
	}
	return &c.Notifiers[i]
}

// notices compares who is told of what.
func notices(old, next *Config) Notices {
	out := Notices{Runbook: old.Runbook != next.Runbook}
	for i := range next.Notifiers {
		n := &next.Notifiers[i]
		before := old.Notifier(n.Name)
		if before == nil {
			out.Added = append(out.Added, n.Name)
			continue
		}
		if what := retold(before, n); len(what) > 0 {
			out.Changed = append(out.Changed, Change{Name: n.Name, What: what})
		}
	}
	for _, n := range old.Notifiers {
		if next.Notifier(n.Name) == nil {
			out.Removed = append(out.Removed, n.Name)
		}
	}
	in := func(other *Config, names []string) []string {
		both := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return other.Notifier(name) == nil })
		slices.Sort(both)
		return both
	}
	for _, name := range append([]string{""}, resourceNames(next)...) {
		was, known := old.Routes[name]
		if known && !slices.Equal(in(next, was), in(old, next.Routes[name])) {
			out.Routes = append(out.Routes, name)
		}
	}
	return out
}

func resourceNames(c *Config) []string {
	var out []string
	for _, r := range c.Resources {
		out = append(out, r.Name)
	}
	return out
}

// retold names the settings of a notifier that are different.
func retold(old, next *Notifier) []string {
	address := "url"
	if next.Kind == "slack" {
		address = "webhook_url"
	}
	return differ(
		field{"kind", old.Kind, next.Kind},
		field{"events", old.Events, next.Events},
		field{"severity", old.Severity, next.Severity},
		field{"resolve", old.Resolve, next.Resolve},
		field{"timeout", old.Timeout, next.Timeout},
		field{"command", old.Command, next.Command},
		field{address, old.URL, next.URL},
		field{"urls", old.URLs, next.URLs},
		field{"secret", old.Secret, next.Secret},
		field{"body", old.Body, next.Body},
		field{"routing_key", old.RoutingKey, next.RoutingKey},
		field{"token", old.Token, next.Token},
		field{"smtp", old.SMTP, next.SMTP},
		field{"from", old.From, next.From},
		field{"to", old.To, next.To},
		field{"username", old.Username, next.Username},
		field{"password", old.Password, next.Password},
		field{"tls", old.TLS, next.TLS},
	)
}
