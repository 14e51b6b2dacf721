package notify

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"
	"unicode/utf16"
)

// rule is what a published API allows of one value: a small schema, without
// anything that is not named in it.
type rule struct {
	kind     string // object, array, string, bool, or text: a string that is not empty
	required []string
	props    map[string]rule
	free     bool            // object: any names, whose values keep to items
	items    *rule           // array, free object
	byType   map[string]rule // object: chosen by its "type"
	enum     []string
	max      int // characters (UTF-16 units) or elements; 0: any number
	exact    int
	format   string // url, date-time
}

// check returns what is wrong with a value, each with its place.
func (r rule) check(at string, v any) []string {
	if r.byType != nil {
		object, _ := v.(map[string]any)
		kind, _ := object["type"].(string)
		chosen, ok := r.byType[kind]
		if !ok {
			return []string{fmt.Sprintf("%s: no type %q here", at, kind)}
		}
		return chosen.check(at, v)
	}
	switch v := v.(type) {
	case map[string]any:
		return r.object(at, v)
	case []any:
		if r.kind != "array" || len(v) == 0 || r.max > 0 && len(v) > r.max {
			return []string{fmt.Sprintf("%s: a list of %d", at, len(v))}
		}
		var wrong []string
		for i, item := range v {
			wrong = append(wrong, r.items.check(fmt.Sprintf("%s[%d]", at, i), item)...)
		}
		return wrong
	case string:
		return r.text(at, v)
	case bool:
		if r.kind == "bool" {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s: %T instead of %s", at, v, r.kind)}
}

func (r rule) object(at string, v map[string]any) (wrong []string) {
	if r.kind != "object" {
		return []string{at + ": an object"}
	}
	for _, name := range r.required {
		if _, ok := v[name]; !ok {
			wrong = append(wrong, at+": no "+name)
		}
	}
	for name, value := range v {
		prop, ok := r.props[name]
		switch {
		case ok:
			wrong = append(wrong, prop.check(at+"."+name, value)...)
		case r.free:
			wrong = append(wrong, r.items.check(at+"."+name, value)...)
		default:
			wrong = append(wrong, at+": unknown field "+name)
		}
	}
	slices.Sort(wrong)
	return wrong
}

func (r rule) text(at, v string) []string {
	length := len(utf16.Encode([]rune(v)))
	switch {
	case r.kind != "string" && r.kind != "text":
		return []string{at + ": a string"}
	case r.kind == "text" && v == "":
		return []string{at + ": empty"}
	case r.max > 0 && length > r.max, r.exact > 0 && length != r.exact:
		return []string{fmt.Sprintf("%s: %d characters", at, length)}
	case r.enum != nil && !slices.Contains(r.enum, v):
		return []string{fmt.Sprintf("%s: %q is none of %v", at, v, r.enum)}
	}
	switch r.format {
	case "url":
		if u, err := url.Parse(v); err != nil || u.Host == "" {
			return []string{at + ": no URL"}
		}
	case "date-time":
		if _, err := time.Parse(time.RFC3339, v); err != nil {
			return []string{at + ": no time"}
		}
	}
	return nil
}

// TestSchemaBites: the checker finds what it is there for.
func TestSchemaBites(t *testing.T) {
	r := rule{kind: "object", required: []string{"a"}, props: map[string]rule{
		"a": {kind: "text", max: 3}, "b": {kind: "array", max: 1, items: &rule{kind: "string", enum: []string{"x"}}},
		"c": {byType: map[string]rule{"k": {kind: "object", props: map[string]rule{"type": {kind: "text"}}}}},
		"d": {kind: "object", free: true, items: &rule{kind: "string"}}, "u": {kind: "text", format: "url"}, "t": {kind: "text", format: "date-time"},
	}}
	good := map[string]any{"a": "äöü", "b": []any{"x"}, "c": map[string]any{"type": "k"}, "d": map[string]any{"any": ""}, "u": "https://a/b", "t": "2026-01-02T03:04:05.000Z"}
	if wrong := r.check("", good); wrong != nil {
		t.Error(wrong)
	}
	for _, bad := range []map[string]any{
		{}, {"a": ""}, {"a": "long"}, {"a": "\U0001F600\U0001F600"}, {"a": 1.0}, {"a": "b", "z": "?"}, {"a": "b", "b": []any{}}, {"a": "b", "b": []any{"x", "x"}},
		{"a": "b", "b": []any{"y"}}, {"a": "b", "c": map[string]any{"type": "?"}}, {"a": "b", "d": map[string]any{"any": 1.0}}, {"a": "b", "u": "no"}, {"a": "b", "t": "today"},
	} {
		if wrong := r.check("", bad); len(wrong) != 1 {
			t.Errorf("%v: %v", bad, wrong)
		}
	}
}
