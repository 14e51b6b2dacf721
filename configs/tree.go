package configs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// section is a block as it was written, with its values read and their types
// checked by the table.
type section struct {
	spec   *block
	labels []label
	header hcl.Range
	attrs  map[string]*attr
	inner  []*section
}

// label is the name behind a block's type.
type label struct {
	text string
	at   hcl.Range
}

// attr is a setting as it was written.
type attr struct {
	spec  *setting
	at    hcl.Range // of the name
	expr  hcl.Expression
	ctx   *hcl.EvalContext
	value any // nil where it could not be read; see value.go for its type
}

// get sets dst to the value of a setting, if it was written and is sound.
func get[T any](s *section, name string, dst *T) bool {
	if s == nil || s.attrs[name] == nil {
		return false
	}
	v, ok := s.attrs[name].value.(T)
	if ok {
		*dst = v
	}
	return ok
}

// has reports whether a setting was written, sound or not.
func (s *section) has(name string) bool { return s != nil && s.attrs[name] != nil }

// place returns where the value of a setting stands, or else the block.
func (s *section) place(name string) hcl.Range {
	if s.has(name) {
		return s.attrs[name].expr.Range()
	}
	return s.header
}

// find returns the inner block of that type, or nil.
func (s *section) find(name string) *section {
	if s == nil {
		return nil
	}
	for _, in := range s.inner {
		if in.spec.name == name {
			return in
		}
	}
	return nil
}

// every returns all inner blocks of that type.
func (s *section) every(name string) []*section {
	var out []*section
	for _, in := range s.inner {
		if in.spec.name == name {
			out = append(out, in)
		}
	}
	return out
}

// fill reads a body into s, as far as the table knows what stands there.
func (l *loader) fill(s *section, body hcl.Body, ctx *hcl.EvalContext) {
	if native, ok := body.(*hclsyntax.Body); ok {
		l.native(s, native, ctx)
	} else {
		l.json(s, body, ctx)
	}
	if s.spec == root {
		return
	}
	for _, want := range s.spec.settings {
		if want.required && !s.has(want.name) {
			l.errorf(s.header, "", "%s needs %s: %s", s.spec.title(), want.name, want.meaning)
		}
	}
}

func (l *loader) native(s *section, body *hclsyntax.Body, ctx *hcl.EvalContext) {
	for _, name := range slices.Sorted(maps.Keys(body.Attributes)) {
		l.attr(s, name, body.Attributes[name].NameRange, body.Attributes[name].Expr, ctx)
	}
	for _, b := range body.Blocks {
		var labels []label
		for i, text := range b.Labels {
			labels = append(labels, label{text, b.LabelRanges[i]})
		}
		l.block(s, b.Type, b.TypeRange, labels, b.Body, ctx)
	}
}

// json asks for what the table knows, because JSON does not tell a block from
// a setting by itself, and then for the rest.
func (l *loader) json(s *section, body hcl.Body, ctx *hcl.EvalContext) {
	schema := &hcl.BodySchema{}
	for _, a := range s.spec.settings {
		schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: a.name})
	}
	for _, b := range s.spec.blocks {
		schema.Blocks = append(schema.Blocks, hcl.BlockHeaderSchema{Type: b.name, LabelNames: b.labels})
	}
	content, rest, diags := body.PartialContent(schema)
	l.hclDiags(diags)
	l.settings(s, content.Attributes, ctx)
	for _, b := range content.Blocks {
		var labels []label
		for i, text := range b.Labels {
			labels = append(labels, label{text, b.LabelRanges[i]})
		}
		l.block(s, b.Type, b.TypeRange, labels, b.Body, ctx)
	}
	unknown, _ := rest.JustAttributes() // what is no object was reported above
	l.settings(s, unknown, ctx)
}

// settings reads settings in the order of their names, so that no report
// depends on the order of a map.
func (l *loader) settings(s *section, attrs hcl.Attributes, ctx *hcl.EvalContext) {
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		l.attr(s, name, attrs[name].NameRange, attrs[name].Expr, ctx)
	}
}

// attr reads one setting into s, or reports that there is none of that name.
func (l *loader) attr(s *section, name string, at hcl.Range, expr hcl.Expression, ctx *hcl.EvalContext) {
	spec := s.spec.setting(name)
	switch {
	case spec == nil && s.spec.block(name) != nil:
		l.errorf(at, "", "%s is a block: write %s { … }, without an equals sign", name, strings.Join(append([]string{name}, s.spec.block(name).example()...), " "))
		return
	case spec == nil:
		l.unknown(s.spec, name, at, "setting")
		return
	}
	a := &attr{spec: spec, at: at, expr: expr, ctx: ctx}
	if l.read(a) {
		if s.attrs == nil {
			s.attrs = map[string]*attr{}
		}
		s.attrs[name] = a
	}
	if spec.later != "" && s.spec.later == "" {
		l.errorf(at, "", "%s is not supported by this version", spec.later)
	}
}

// block reads one block into s, or reports that there is none of that name.
func (l *loader) block(s *section, name string, at hcl.Range, labels []label, body hcl.Body, ctx *hcl.EvalContext) {
	spec := s.spec.block(name)
	switch {
	case spec == nil && s.spec.setting(name) != nil:
		l.errorf(at, "", "%s is a setting: write %s = …, with an equals sign", name, name)
		return
	case spec == nil:
		l.unknown(s.spec, name, at, "block")
		return
	case !l.labels(spec, at, labels):
		return
	}
	if spec.later != "" && s.spec.later == "" {
		l.errorf(at, "", "%s is not supported by this version", spec.later)
	}
	if first := s.find(name); first != nil && !spec.many {
		l.errorf(at, "", "a second %s block: there is one at %s already", name, position(first.header))
		return
	}
	in := &section{spec: spec, labels: labels, header: at}
	if len(spec.kinds) > 0 {
		if in.spec = l.kind(spec, labels[0]); in.spec == nil {
			l.unread = append(l.unread, labels[len(labels)-1].text)
			return
		}
		kind := *in.spec
		kind.name, kind.kind = spec.name, kind.name // it is found by the block's name
		in.spec = &kind
	}
	s.inner = append(s.inner, in)
	l.fill(in, body, ctx)
}

// labels checks the names behind a block's type.
func (l *loader) labels(spec *block, at hcl.Range, labels []label) bool {
	example := strings.Join(append([]string{spec.name}, spec.example()...), " ")
	switch {
	case len(labels) < len(spec.labels):
		l.errorf(at, "", "%s needs its %s behind it: %s { … }", spec.title(), strings.Join(spec.labels, " and "), example)
	case len(labels) > len(spec.labels):
		count := [...]string{"no name", "one name", "two names"}[len(spec.labels)]
		l.errorf(labels[len(spec.labels)].at, "write "+example+" { … }", "%s has %s", spec.title(), count)
	}
	return len(labels) == len(spec.labels)
}

// kind returns the settings of a block whose first label chooses among some.
func (l *loader) kind(spec *block, chosen label) *block {
	var names []string
	for _, k := range spec.kinds {
		if k.name == chosen.text {
			return k
		}
		names = append(names, k.name)
	}
	l.errorf(chosen.at, guess(chosen.text, names), "there is no kind of %s %q", spec.name, chosen.text)
	return nil
}

// unknown reports a name that the table does not know at this place.
func (l *loader) unknown(spec *block, name string, at hcl.Range, what string) {
	where := "here"
	if spec != root {
		where = "in " + spec.title()
	}
	hint := didYouMean(name, spec.names())
	if hint == "" && spec != root && root.block(name) != nil {
		hint = name + " stands at the top of a file: is there a closing brace missing above it?"
	}
	if homes := home(name); hint == "" && len(homes) > 0 && len(homes) < 4 {
		hint = fmt.Sprintf("%s stands in the %s block", name, strings.Join(homes, " or "))
	}
	if hint == "" {
		hint = "there are " + strings.Join(spec.names(), ", ")
	}
	l.errorf(at, hint, "there is no %s %s %s", what, name, where)
}

// title names a block in a sentence: "an endpoint block".
func (b *block) title() string {
	if b.kind != "" {
		return fmt.Sprintf("%s %q block", article(b.name), b.kind)
	}
	return article(b.name) + " block"
}

// example returns labels as they might be written.
func (b *block) example() []string {
	switch {
	case b.name == "notifier":
		return []string{`"slack"`, `"ops-chat"`}
	case len(b.kinds) > 0:
		return []string{fmt.Sprintf("%q", b.kinds[0].name)}
	case b.name == "endpoint":
		return []string{`"primary"`}
	case len(b.labels) > 0:
		return []string{`"orders-db"`}
	}
	return nil
}

func article(noun string) string {
	if strings.ContainsAny(noun[:1], "aeio") {
		return "an " + noun
	}
	return "a " + noun
}

// at is a place in a file that has no line.
func at(file string) hcl.Range { return hcl.Range{Filename: file} }

// position writes a place for a hint.
func position(r hcl.Range) string { return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line) }
