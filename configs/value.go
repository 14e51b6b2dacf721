package configs

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/reattach/reattach/probe"
)

// read evaluates a setting and checks its type. Afterwards its value is a
// string (Text, URL), probe.Secret, time.Duration, int, bool, []string or
// []probe.Secret; nil after a mistake. Maps are left to their readers, pair by
// pair. It returns false for a null, which is as if nothing had been written.
func (l *loader) read(a *attr) bool {
	if a.spec.kind == Templates || a.spec.kind == URLs {
		return true
	}
	v, ok := l.eval(a.expr, a.ctx)
	if !ok {
		return true
	}
	if v.IsNull() {
		return false
	}
	switch a.spec.kind {
	case Text:
		a.value = l.word(a, v)
	case URL:
		if s, ok := l.text(a, v); ok {
			l.urlSecret(a.expr, s)
			a.value = s
		}
	case SecretTxt:
		if s, ok := l.text(a, v); ok {
			a.value = l.secretValue(a, a.expr, s)
		}
	case Duration:
		a.value = l.duration(a, v)
	case Count:
		a.value = l.number(a, v)
	case Bool:
		if v.Type() == cty.Bool {
			a.value = v.True()
			break
		}
		l.errorf(a.expr.Range(), "", "%s is true or false, without quotes", a.spec.name)
	case Texts, Secrets:
		a.value = l.list(a, v)
	}
	return true
}

// eval evaluates an expression. It names variables that are not there itself,
// without repeating them: a word without quotes may be a secret.
func (l *loader) eval(expr hcl.Expression, ctx *hcl.EvalContext) (cty.Value, bool) {
	sound := true
	for _, t := range expr.Variables() {
		sound = l.variable(t, ctx) && sound
	}
	if !sound {
		return cty.NilVal, false
	}
	v, diags := expr.Value(ctx)
	l.hclDiags(diags)
	return v, !diags.HasErrors() && v.IsWhollyKnown()
}

// variable checks one reference: there is none but endpoint, and that only in
// handles.
func (l *loader) variable(t hcl.Traversal, ctx *hcl.EvalContext) bool {
	endpoint, has := ctx.Variables["endpoint"]
	if t.RootName() != "endpoint" {
		switch {
		case len(t) == 1:
			l.errorf(t.SourceRange(), "", "a word without quotes: text stands in quotes")
		case has:
			l.errorf(t.SourceRange(), didYouMean(t.RootName(), []string{"endpoint"}), "the only variable here is endpoint")
		default:
			l.errorf(t.SourceRange(), `env("NAME") reads the environment, file("PATH") a file; a $ before { that means itself is written $$`, "there are no variables here")
		}
		return false
	}
	if !has {
		l.errorf(t.SourceRange(), "", "endpoint is known in handles only")
		return false
	}
	if len(t) < 2 {
		l.errorf(t.SourceRange(), "one of endpoint."+strings.Join(endpointFields, ", endpoint."), "say which part of the endpoint is meant")
		return false
	}
	if field, ok := t[1].(hcl.TraverseAttr); ok && !endpoint.Type().HasAttribute(field.Name) {
		hint := didYouMean(field.Name, endpointFields)
		if hint == "" {
			hint = "one of endpoint." + strings.Join(endpointFields, ", endpoint.")
		}
		l.errorf(field.SrcRange, hint, "an endpoint has no %s", field.Name)
		return false
	}
	return true
}

// text returns a value that must be text.
func (l *loader) text(a *attr, v cty.Value) (string, bool) {
	if v.Type() != cty.String {
		if v.Type().IsPrimitiveType() {
			l.errorf(a.expr.Range(), "", "%s is a text: write it in quotes", a.spec.name)
		} else {
			l.errorf(a.expr.Range(), a.spec.name+` = "…"`, "%s is one text, not a list or map", a.spec.name)
		}
		return "", false
	}
	return v.AsString(), true
}

// word returns a text, checked against the list of what may be written.
func (l *loader) word(a *attr, v cty.Value) any {
	s, ok := l.text(a, v)
	if !ok {
		return nil
	}
	if len(a.spec.oneOf) > 0 && !slices.Contains(a.spec.oneOf, s) {
		l.notOneOf(a.expr, a.spec, s)
		return nil
	}
	return s
}

// notOneOf reports a word that is not on the list. A computed one is not
// repeated: nobody knows where it came from.
func (l *loader) notOneOf(expr hcl.Expression, spec *setting, s string) {
	if !literal(expr) {
		l.errorf(expr.Range(), "one of "+strings.Join(spec.oneOf, ", "), "%s knows no such word", spec.name)
		return
	}
	l.errorf(expr.Range(), guess(s, spec.oneOf), "%s knows no %q", spec.name, s)
}

// secretValue remembers a secret for masking, and warns of one that stands in
// the configuration itself.
func (l *loader) secretValue(a *attr, expr hcl.Expression, s string) probe.Secret {
	l.secret(s)
	if strings.TrimSpace(s) != "" && literal(expr) {
		name := a.spec.name
		if a.spec.kind == Secrets {
			name = strings.TrimSuffix(name, "s") // of several, each is warned of
		}
		l.clear(expr.Range(), name)
	}
	return probe.Secret(s)
}

// clear warns of a secret that anyone can read who can read the file.
func (l *loader) clear(at hcl.Range, name string) {
	l.warnf(at, `take it from a file or the environment: file("/run/secrets/…"), env("…"), and urlencode(…) inside of a URL`,
		"%s stands in the configuration in clear, where copies and version control keep it", article(name))
}

// literal reports whether an expression is plain text.
func literal(expr hcl.Expression) bool {
	_, diags := expr.Value(&hcl.EvalContext{})
	return !diags.HasErrors()
}

// urlSecret remembers the password of a URL for masking.
func (l *loader) urlSecret(expr hcl.Expression, s string) {
	u, err := probe.ParseURL(strings.TrimSpace(s))
	switch {
	case err != nil && expr != nil && literal(expr): // the quoted line is masked by its tokens
		return
	case err != nil:
		l.secret(s) // nothing of it can be told apart
		return
	}
	l.secret(u.Password.Reveal())
	l.secret(urlencode(u.Password.Reveal()))
}

func (l *loader) duration(a *attr, v cty.Value) any {
	const hint = `a number with its unit, in quotes: "500ms", "10s", "2m", "1h"`
	if v.Type() != cty.String {
		l.errorf(a.expr.Range(), hint, "%s is a duration", a.spec.name)
		return nil
	}
	d, err := time.ParseDuration(strings.TrimSpace(v.AsString()))
	switch {
	case err != nil:
		l.errorf(a.expr.Range(), hint, "%s is no duration", a.spec.name)
	case d < a.spec.min:
		l.errorf(a.expr.Range(), "", "%s is at least %s", a.spec.name, short(a.spec.min))
	case d > a.spec.max:
		l.errorf(a.expr.Range(), "", "%s is at most %s", a.spec.name, short(a.spec.max))
	default:
		return d
	}
	return nil
}

// mostCount bounds every number of the configuration that has no bound of its
// own.
const mostCount = 1000

func (l *loader) number(a *attr, v cty.Value) any {
	if v.Type() != cty.Number {
		l.errorf(a.expr.Range(), "", "%s is a number, without quotes", a.spec.name)
		return nil
	}
	n, accuracy := v.AsBigFloat().Int64()
	if most := a.spec.greatest(); accuracy != 0 || n < int64(a.spec.least) || n > int64(most) {
		l.errorf(a.expr.Range(), "", "%s is a whole number from %d to %d", a.spec.name, a.spec.least, most)
		return nil
	}
	return int(n)
}

// list returns []string or []probe.Secret, or nil.
func (l *loader) list(a *attr, v cty.Value) any {
	if !v.Type().IsTupleType() && !v.Type().IsListType() {
		l.errorf(a.expr.Range(), fmt.Sprintf("%s = [\"…\"]", a.spec.name), "%s is a list of texts", a.spec.name)
		return nil
	}
	exprs, _ := hcl.ExprList(a.expr) // none for a list that is computed
	var texts []string
	var secrets []probe.Secret
	for i, item := range v.AsValueSlice() {
		expr := a.expr
		if i < len(exprs) {
			expr = exprs[i]
		}
		if item.IsNull() || item.Type() != cty.String {
			l.errorf(expr.Range(), "", "%s is a list of texts: write each in quotes", a.spec.name)
			return nil
		}
		s := item.AsString()
		if a.spec.kind == Secrets {
			secrets = append(secrets, l.secretValue(a, expr, s))
			continue
		}
		if len(a.spec.oneOf) > 0 && !slices.Contains(a.spec.oneOf, s) {
			l.notOneOf(expr, a.spec, s)
			continue
		}
		texts = append(texts, s)
	}
	if a.spec.kind == Secrets {
		return secrets
	}
	return texts
}

func base64encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// errBase64 does not repeat the text, as the standard library's error might.
var errBase64 = errors.New("it is not base64")

func base64decode(s string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s))
	if err != nil {
		return "", errBase64
	}
	return string(b), nil
}
