package configs

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// loader reads one configuration.
type loader struct {
	*report
	opts      Options
	config    *Config
	places    []placed // of each resource, in the order of config.Resources
	protocols []probe.Protocol
	here      hcl.Range // the resource that is being read
	unread    []string  // names of blocks of a kind that there is not
}

// placed is where a resource was written.
type placed struct {
	section, defaults *section
	handles           []hcl.Range // where each handle's key stands
	endpoints         []*section
}

// load reads sources as one configuration.
func load(sources []*source, r *report, opts Options) (*Config, Diagnostics) {
	if opts.ReadFile == nil {
		opts.ReadFile = readBounded
	}
	l := &loader{report: r, opts: opts, config: newConfig(opts.Hostname), protocols: opts.Protocols}
	l.config.sources = sources
	r.sources, r.order = map[string]*source{}, map[string]int{}
	top := &section{spec: root}
	unreadable := len(r.found) > 0
	for i, s := range sources {
		r.sources[s.name], r.order[s.name] = s, i
		before := len(r.found)
		body := r.parse(s)
		unreadable = unreadable || len(r.found) > before
		if body != nil {
			l.fill(top, body, l.context(s.name))
		}
	}
	if !unreadable { // else what is missing may only be what could not be read
		l.build(top)
	}
	diags := r.diagnostics()
	if diags.HasErrors() {
		return nil, diags
	}
	return l.config, diags
}

// build makes the configuration of what was written.
func (l *loader) build(top *section) {
	l.observer(top.find("observer"))
	l.store(top.find("store"))
	l.listen(top.find("listen"), top.find("store"))
	l.fleet(top.find("observer"), top.find("store"), top.find("listen"))
	defaults := top.find("defaults")
	sections := top.every("resource")
	for _, s := range sections {
		l.resource(s, defaults)
	}
	l.across()
	l.notifiers(top.every("notifier"), defaults)
	if len(sections) == 0 && len(l.found) == 0 {
		where := hcl.Range{}
		if len(l.order) > 0 {
			for name, i := range l.order {
				if i == 0 {
					where = at(name)
				}
			}
		}
		l.warnf(where, `resource "orders-db" { … }`, "there is no resource: nothing is watched")
	}
}

// watch remembers a file and what it said.
func (l *loader) watch(path string, content []byte) {
	if !slices.ContainsFunc(l.config.Files, func(f File) bool { return f.Path == path }) {
		l.config.Files = append(l.config.Files, File{path, sha256.Sum256(content), blank(content)})
	}
}

// longest is the length of the longest name, in bytes. Names stand in keys of
// the store and in labels of metrics.
const longest = 64

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// name checks the name of a resource, endpoint or observer. A name with "/"
// would be a path in the store, and one that begins with "_" may be a key of
// our own there.
func (l *loader) name(what, name string, at hcl.Range) bool {
	switch {
	case name == "":
		l.errorf(at, "", "the name of %s is empty", article(what))
	case len(name) > longest:
		l.errorf(at, "", "the name of %s is longer than %d bytes", article(what), longest)
	case strings.Contains(name, "/"):
		l.errorf(at, l.otherName(at, name), `the name of %s cannot contain "/"`, article(what))
	case !namePattern.MatchString(name):
		l.errorf(at, "letters, digits, dots, dashes and underscores, with a letter or digit first", "the name of %s cannot be %q", article(what), l.say(at, name))
	default:
		return true
	}
	return false
}

// otherName proposes a name without slashes.
func (l *loader) otherName(at hcl.Range, name string) string {
	if l.say(at, name) != name {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", strings.Trim(strings.ReplaceAll(name, "/", "-"), "-_."))
}

// schemes returns the names of all URL schemes, in the protocols' order.
func (l *loader) schemes() []string {
	var out []string
	for _, p := range l.protocols {
		for _, s := range p.Schemes {
			out = append(out, s.Name)
		}
	}
	return out
}

// protocol returns the protocol that speaks a scheme.
func (l *loader) protocol(scheme string) (probe.Protocol, bool) {
	for _, p := range l.protocols {
		if _, ok := p.Scheme(scheme); ok {
			return p, true
		}
	}
	return probe.Protocol{}, false
}

// across checks what no resource can know by itself.
func (l *loader) across() {
	names := map[string]hcl.Range{}
	keys := map[string]hcl.Range{}
	for i := range l.config.Resources {
		r, p := &l.config.Resources[i], l.places[i]
		here := p.section.labels[0].at
		if first, twice := names[r.Name]; twice {
			l.errorf(here, "", "a second resource %q: there is one at %s already", r.Name, position(first))
			continue // its handles are most likely the same, and the first mistake is this one
		}
		names[r.Name] = here
		l.handleKeys(r, p, keys)
	}
}

// handleKeys refuses two resources on one handle.
func (l *loader) handleKeys(r *policy.Resource, p placed, keys map[string]hcl.Range) {
	for i, h := range r.Handles {
		first, taken := keys[h.Key]
		if !taken {
			keys[h.Key] = p.handles[i]
			continue
		}
		l.errorf(p.handles[i], "", "the handle %s is taken: it is written at %s already, and one handle cannot follow two resources", l.say(p.handles[i], h.Key), position(first))
	}
}
