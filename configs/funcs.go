package configs

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// functions names what expressions can call.
var functions = map[string]bool{
	"env": true, "file": true, "urlencode": true, "trimspace": true, "lower": true, "upper": true, "replace": true,
	"join": true, "split": true, "coalesce": true, "jsonencode": true, "jsondecode": true,
	"base64encode": true, "base64decode": true,
}

// functionNames returns the names in their order.
func functionNames() []string {
	var names []string
	for name := range functions {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// callError is what a function says when it fails, with what to do about it.
type callError struct {
	format string // with one %s for what it was given
	given  string // which may be a secret that it should not have been given
	hint   string
}

func (e callError) Error() string { return fmt.Sprintf(e.format, "…") }

// context returns what expressions of a file can use. Relative paths of file()
// are relative to the configuration file.
func (l *loader) context(name string) *hcl.EvalContext {
	return &hcl.EvalContext{Functions: map[string]function.Function{
		"env":          text("name", l.env),
		"file":         text("path", func(path string) (string, error) { return l.file(filepath.Dir(name), path) }),
		"urlencode":    text("text", func(s string) (string, error) { return urlencode(s), nil }),
		"trimspace":    stdlib.TrimSpaceFunc,
		"lower":        stdlib.LowerFunc,
		"upper":        stdlib.UpperFunc,
		"replace":      stdlib.ReplaceFunc,
		"join":         stdlib.JoinFunc,
		"split":        stdlib.SplitFunc,
		"coalesce":     stdlib.CoalesceFunc,
		"jsonencode":   stdlib.JSONEncodeFunc,
		"jsondecode":   stdlib.JSONDecodeFunc,
		"base64encode": text("text", func(s string) (string, error) { return base64encode(s), nil }),
		"base64decode": text("text", base64decode),
	}}
}

// text makes a function of one text to another.
func text(param string, f func(string) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: param, Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			s, err := f(args[0].AsString())
			return cty.StringVal(s), err
		},
	})
}

func (l *loader) env(name string) (string, error) {
	if l.opts.Env != nil {
		if value, ok := l.opts.Env(name); ok {
			return value, nil
		}
	}
	return "", callError{"the environment variable %s is not set", name, "set it where reattach is started, or read the value from a file with file()"}
}

// file reads a file and remembers it, so that a change of it can be noticed.
func (l *loader) file(dir, path string) (string, error) {
	given := path
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	b, err := l.opts.ReadFile(path)
	if err != nil {
		return "", callError{"cannot read %s: " + strings.ReplaceAll(reason(err), "%", "%%"), given, cmp.Or(readHint(err), beside(given))}
	}
	l.watch(path, b)
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
}

// beside explains a relative path.
func beside(path string) string {
	if filepath.IsAbs(path) {
		return ""
	}
	return "a relative path is relative to the configuration file"
}

// urlencode makes a text fit for every part of a URL.
func urlencode(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// evalFailure translates what the HCL library says of an expression that could
// not be evaluated, where it says so by type.
func (r *report) evalFailure(d *hcl.Diagnostic, at hcl.Range) (message, hint string, ok bool) {
	if x, is := hcl.DiagnosticExtra[hclsyntax.FunctionCallUnknownDiagExtra](d); is {
		name := x.CalledFunctionName()
		return fmt.Sprintf("there is no function %s()", name), guess(name, functionNames()), true
	}
	if x, is := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d); is && x.FunctionCallError() != nil {
		var e callError
		if errors.As(x.FunctionCallError(), &e) {
			return fmt.Sprintf(e.format, r.say(at, e.given)), e.hint, true
		}
		return fmt.Sprintf("%s() cannot work with that: %s", x.CalledFunctionName(), x.FunctionCallError()), "", true
	}
	return "", "", false
}
