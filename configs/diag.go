package configs

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/reattach/reattach/probe"
)

// Severity says whether a configuration can be used in spite of a finding.
type Severity uint8

// The severities.
const (
	// Error means that the configuration cannot be used.
	Error Severity = iota
	// Warning means that it can, and that its author probably wants to know.
	Warning
)

// String returns "error" or "warning".
func (s Severity) String() string { return [...]string{"error", "warning"}[s] }

// MarshalText encodes s by its name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Diagnostic is one finding. None of its texts holds a secret.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	// File is the path as it was given, or found below the directory given.
	File string `json:"file"`
	// Line and Column count from 1; both are 0 when no place can be named.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Message says what is wrong, Hint what to do about it; Hint may be empty.
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Source is the line with its secrets masked and without its comment, and
	// Caret the line to print below it, which underlines the finding.
	Source string `json:"source,omitempty"`
	Caret  string `json:"-"`
}

// String returns the finding as it is printed, with its line ends.
func (d Diagnostic) String() string {
	var b strings.Builder
	b.WriteString(d.File)
	if d.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", d.Line, d.Column)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	fmt.Fprintf(&b, "%s: %s\n", d.Severity, d.Message)
	if d.Source != "" {
		fmt.Fprintf(&b, "%5d | %s\n      | %s\n", d.Line, d.Source, d.Caret)
	}
	if d.Hint != "" {
		fmt.Fprintf(&b, "      hint: %s\n", d.Hint)
	}
	return b.String()
}

// Diagnostics are all findings of one load, in the order of files and lines.
type Diagnostics []Diagnostic

// HasErrors reports whether any of them is an error.
func (ds Diagnostics) HasErrors() bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Severity == Error })
}

// Count returns how many errors and how many warnings there are.
func (ds Diagnostics) Count() (errors, warnings int) {
	for _, d := range ds {
		if d.Severity == Error {
			errors++
		} else {
			warnings++
		}
	}
	return errors, warnings
}

// Denied reports whether an account that may not read some file is why an error was
// found: another account, such as root, would not find it.
func (ds Diagnostics) Denied() bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Severity == Error && d.Hint == deniedHint })
}

// String returns all findings as they are printed, one after the other.
func (ds Diagnostics) String() string {
	var b strings.Builder
	for _, d := range ds {
		b.WriteString(d.String())
	}
	return b.String()
}

// report collects findings while a configuration is read.
type report struct {
	sources map[string]*source
	order   map[string]int // of the files
	found   []finding
	secrets map[string]bool // texts that no report may hold
	longest []string        // the same, longest first
	masks   *strings.Replacer
}

// finding is a diagnostic before it is rendered.
type finding struct {
	severity      Severity
	at            hcl.Range
	message, hint string
}

func (r *report) errorf(at hcl.Range, hint, format string, args ...any) {
	r.found = append(r.found, finding{Error, at, fmt.Sprintf(format, args...), hint})
}

func (r *report) warnf(at hcl.Range, hint, format string, args ...any) {
	r.found = append(r.found, finding{Warning, at, fmt.Sprintf(format, args...), hint})
}

// leastSecret is the length from which on a secret is looked for in reports:
// a shorter one would mask half of every word.
const leastSecret = 4

// secret remembers a text that no report may hold.
func (r *report) secret(s string) {
	s = strings.TrimSpace(s)
	if len(s) < leastSecret {
		return
	}
	if r.secrets == nil {
		r.secrets = map[string]bool{}
	}
	r.secrets[s] = true
}

// say returns a text to be quoted in a message, if it stands on the lines of
// the finding and so is no news to anybody. A computed one may be a secret.
func (r *report) say(at hcl.Range, text string) string {
	s := r.sources[at.Filename]
	if s == nil || text == "" {
		return "…"
	}
	start, end := s.line(at.Start.Byte)
	if at.End.Byte > end {
		_, end = s.line(at.End.Byte)
	}
	if !strings.Contains(string(s.bytes[start:end]), text) {
		return "…"
	}
	return text
}

// scrub masks every known secret in a text.
func (r *report) scrub(s string) string { return r.masks.Replace(s) }

// mostFindings bounds a report; more than that nobody reads.
const mostFindings = 200

// diagnostics renders what was found: sorted, each once, masked.
func (r *report) diagnostics() Diagnostics {
	for _, s := range r.sources {
		for _, text := range s.maskedTexts() {
			r.secret(text)
		}
	}
	// A secret that is part of another goes last, or it would leave the rest.
	r.longest = slices.SortedFunc(maps.Keys(r.secrets), func(a, b string) int {
		return cmp.Or(len(b)-len(a), strings.Compare(a, b))
	})
	var pairs []string
	for _, s := range r.longest {
		pairs = append(pairs, s, probe.Mask)
	}
	r.masks = strings.NewReplacer(pairs...)
	slices.SortStableFunc(r.found, r.compare)
	r.found = slices.Compact(r.found)
	var out Diagnostics
	for i, f := range r.found {
		if i == mostFindings {
			rest := r.found[i:]
			worst := slices.MinFunc(rest, func(a, b finding) int { return int(a.severity) - int(b.severity) }).severity
			return append(out, Diagnostic{Severity: worst, File: f.at.Filename, Message: fmt.Sprintf("%d more findings are not shown", len(rest))})
		}
		out = append(out, r.render(f))
	}
	return out
}

func (r *report) compare(a, b finding) int {
	if d := r.order[a.at.Filename] - r.order[b.at.Filename]; d != 0 {
		return d
	}
	if d := strings.Compare(a.at.Filename, b.at.Filename); d != 0 {
		return d
	}
	if d := a.at.Start.Line - b.at.Start.Line; d != 0 {
		return d
	}
	if d := a.at.Start.Column - b.at.Start.Column; d != 0 {
		return d
	}
	if d := int(a.severity) - int(b.severity); d != 0 {
		return d
	}
	return strings.Compare(a.message, b.message)
}

func (r *report) render(f finding) Diagnostic {
	d := Diagnostic{
		Severity: f.severity, File: f.at.Filename, Line: f.at.Start.Line, Column: f.at.Start.Column,
		Message: r.scrub(oneLine(f.message)), Hint: r.scrub(oneLine(f.hint)),
	}
	if src := r.sources[f.at.Filename]; src != nil && d.Line > 0 {
		d.Source, d.Caret = src.quote(f.at, r.longest)
	}
	return d
}

// oneLine keeps a text from breaking the report's lines.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// hclDiags takes over what the HCL library found, in our words and order.
func (r *report) hclDiags(diags hcl.Diagnostics) {
	for _, d := range diags {
		at := hcl.Range{}
		if d.Subject != nil {
			at = *d.Subject
		}
		f := finding{Error, at, lowerFirst(d.Summary), redact(strings.TrimSuffix(d.Detail, "."))}
		if d.Severity == hcl.DiagWarning {
			f.severity = Warning
		}
		if message, hint, ok := r.evalFailure(d, at); ok {
			f.message, f.hint = message, hint
		}
		r.found = append(r.found, f)
	}
}

var quotation = regexp.MustCompile(`"[^"]*"`)

// redact leaves out what the HCL library quotes of the source, but for words
// that are our own: it may be part of a secret.
func redact(detail string) string {
	return quotation.ReplaceAllStringFunc(detail, func(q string) string {
		word := strings.Trim(q, `"`)
		if len(word) <= 1 || knownName(word) || functions[word] || slices.Contains([]string{"name", "kind", "text", "path", "heredoc"}, word) {
			return q
		}
		return `"…"`
	})
}

func lowerFirst(s string) string {
	if s == "" || (len(s) > 1 && s[1] >= 'A' && s[1] <= 'Z') {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}
