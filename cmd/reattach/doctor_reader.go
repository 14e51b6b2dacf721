package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template/parse"

	"github.com/hashicorp/hcl"
	"github.com/hashicorp/hcl/hcl/parser"
)

// maxShown bounds what is read of a file that a person names.
const maxShown = 1 << 20

// reader is a file by which applications read handles, as far as it was
// understood.
type reader struct {
	path string
	kind string   // consul-template, envconsul, template, unit
	conf settings // of the first two
	text string   // of a template or a unit
}

const (
	kindTemplate  = "consul-template"
	kindEnvconsul = "envconsul"
	kindText      = "template"
	kindUnit      = "unit"
)

// settings is a block of HCL version 1, which is what both programs speak: a
// block that may stand several times is a list.
type settings map[string]any

// block returns the block of that name, its parts merged; nil if there is none.
func (s settings) block(name string) settings {
	var out settings
	for _, one := range s.blocks(name) {
		if out == nil {
			out = settings{}
		}
		for k, v := range one {
			out[k] = v
		}
	}
	return out
}

func (s settings) blocks(name string) (out []settings) {
	switch v := s[name].(type) {
	case []map[string]any:
		for _, one := range v {
			out = append(out, one)
		}
	case map[string]any:
		out = append(out, v)
	case []any: // JSON
		for _, one := range v {
			if m, ok := one.(map[string]any); ok {
				out = append(out, m)
			}
		}
	}
	return out
}

func (s settings) has(name string) bool { return s[name] != nil }

// text is a setting as it would be written; "" if it is not there.
func (s settings) text(name string) string {
	if s[name] == nil {
		return ""
	}
	return fmt.Sprint(s[name])
}

// readReader reads a file and says what it is. Its error is a sentence.
func readReader(path string) (*reader, error) {
	text, err := readShown(path)
	if err != nil {
		return nil, err
	}
	r := &reader{path: path, text: text}
	switch filepath.Ext(path) {
	case ".service":
		r.kind = kindUnit
		return r, nil
	case ".hcl", ".json", ".conf", ".cfg":
	default:
		r.kind = kindText
		return r, nil
	}
	var raw map[string]any
	if err := hcl.Unmarshal([]byte(text), &raw); err != nil {
		return nil, unreadable(err)
	}
	r.conf = raw
	switch {
	case r.conf.has("resource"):
		return nil, errors.New("it is a configuration of reattach: name it by --config")
	case r.conf.has("prefix") || r.conf.has("upcase") || r.conf.has("sanitize") || r.conf.has("pristine"):
		r.kind = kindEnvconsul
	case r.conf.has("template") || r.conf.has("consul"):
		r.kind = kindTemplate
	default:
		return nil, errors.New("it has neither a template nor a prefix block")
	}
	return r, nil
}

// unreadable says where a file cannot be read. The error's own text may quote
// what stands there, and that may be a token.
func unreadable(err error) error {
	var place *parser.PosError
	if errors.As(err, &place) {
		return fmt.Errorf("it is not HCL as consul-template reads it: line %d, column %d", place.Pos.Line, place.Pos.Column)
	}
	return errors.New("it is not HCL as consul-template reads it")
}

func readShown(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", cause(err)
	case !info.Mode().IsRegular():
		return "", errors.New("it is no file")
	case info.Size() > maxShown:
		return "", fmt.Errorf("it is larger than %d bytes", maxShown)
	}
	text, err := os.ReadFile(path)
	return string(text), cause(err)
}

// cause leaves out the path, which the finding names.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// use is one place where a template reads from Consul's KV.
type use struct {
	function string
	key      string // "" if it is put together when it is rendered
}

// kvFunctions are consul-template's own for Consul's KV, and whether they read
// all keys below one.
var kvFunctions = map[string]bool{
	"key": false, "keyOrDefault": false, "keyExists": false, "keyExistsGet": false,
	"ls": true, "safeLs": true, "tree": true, "safeTree": true,
}

// uses lists what a template reads. It is parsed as consul-template parses it,
// and not rendered.
func uses(text, left, right string) ([]use, error) {
	trees := map[string]*parse.Tree{}
	tree := parse.New("template")
	tree.Mode = parse.SkipFuncCheck
	if _, err := tree.Parse(text, left, right, trees); err != nil {
		return nil, lineOf(err)
	}
	var out []use
	for _, t := range trees {
		if t.Root != nil {
			walkTemplate(t.Root, &out)
		}
	}
	slices.SortFunc(out, func(a, b use) int { return strings.Compare(a.key+a.function, b.key+b.function) })
	return slices.Compact(out), nil
}

// lineOf is the line of an error of text/template, which begins with
// "template: template:LINE:". What follows quotes the template.
func lineOf(err error) error {
	if parts := strings.SplitN(err.Error(), ":", 4); len(parts) == 4 {
		return fmt.Errorf("it is no template that can be parsed, in line %s", parts[2])
	}
	return errors.New("it is no template that can be parsed")
}

// walkTemplate collects from a node and those below it.
func walkTemplate(node parse.Node, out *[]use) {
	branch := func(n *parse.BranchNode) {
		walkTemplate(n.Pipe, out)
		walkTemplate(n.List, out)
		if n.ElseList != nil {
			walkTemplate(n.ElseList, out)
		}
	}
	switch n := node.(type) {
	case *parse.ListNode:
		for _, inner := range n.Nodes {
			walkTemplate(inner, out)
		}
	case *parse.ActionNode:
		walkTemplate(n.Pipe, out)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	case *parse.TemplateNode:
		if n.Pipe != nil {
			walkTemplate(n.Pipe, out)
		}
	case *parse.PipeNode:
		for _, command := range n.Cmds {
			walkCommand(command, len(n.Cmds) > 1, out)
		}
	case *parse.CommandNode:
		walkCommand(n, false, out)
	}
}

func walkCommand(n *parse.CommandNode, piped bool, out *[]use) {
	for _, arg := range n.Args {
		walkTemplate(arg, out)
	}
	name, ok := n.Args[0].(*parse.IdentifierNode)
	if !ok {
		return
	}
	if _, known := kvFunctions[name.Ident]; !known || (len(n.Args) < 2 && !piped) {
		return
	}
	u := use{function: name.Ident}
	if len(n.Args) > 1 {
		if s, ok := n.Args[1].(*parse.StringNode); ok {
			u.key = bareKey(s.Text)
		}
	}
	*out = append(*out, u)
}

// bareKey is the key without datacentre, namespace and partition.
func bareKey(s string) string {
	s, _, _ = strings.Cut(s, "@")
	s, _, _ = strings.Cut(s, "?")
	return strings.TrimPrefix(s, "/")
}
