package configs

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/probe"
)

// Type says what may be written as the value of a setting.
type Type string

// The types of values.
const (
	Text      Type = "text"
	SecretTxt Type = "secret"    // text that is never printed
	URL       Type = "url"       // text that is never printed unmasked
	Duration  Type = "duration"  // text with a unit: "10s", "500ms", "2m"
	Count     Type = "number"    // a whole number
	Bool      Type = "bool"      // true or false
	Texts     Type = "texts"     // a list of texts
	Secrets   Type = "secrets"   // a list of secrets
	Templates Type = "templates" // a map of keys to texts, which may speak of endpoint
	URLs      Type = "urls"      // a map of names to URLs
)

// Setting documents one setting of the configuration.
type Setting struct {
	// Path names blocks and setting: "resource.policy.sustain".
	Path string `json:"path"`
	Type Type   `json:"type"`
	// Default is what holds where the setting is left out, as it would be
	// written, or a sentence in brackets.
	Default string `json:"default"`
	Meaning string `json:"meaning"`
	// Required says that its block cannot do without it.
	Required bool `json:"required,omitempty"`
	// OneOf lists the words that may be written, if they are but few.
	OneOf []string `json:"one_of,omitempty"`
	// Min and Max bound a duration or number, as they would be written; empty
	// where there is no bound.
	Min string `json:"min,omitempty"`
	Max string `json:"max,omitempty"`
	// Unsupported says that this version reads the setting only to refuse it.
	Unsupported bool `json:"unsupported,omitempty"`
	// Later says what it is that this version does not support; else empty.
	Later string `json:"later,omitempty"`
}

// Block documents one block of the configuration.
type Block struct {
	// Path names the blocks around it and itself: "resource.policy". A kind
	// stands behind its block: `notifier."slack"`.
	Path    string   `json:"path"`
	Meaning string   `json:"meaning"`
	Labels  []string `json:"labels,omitempty"` // what stands behind its type: kind, name
	Many    bool     `json:"many,omitempty"`   // it may stand more than once
	// Unsupported and Later are as those of [Setting].
	Unsupported bool      `json:"unsupported,omitempty"`
	Later       string    `json:"later,omitempty"`
	Settings    []Setting `json:"settings,omitempty"` // its own, without those of inner blocks
}

// Blocks lists all blocks in the order of a complete configuration. It is the
// table that Load reads by.
func Blocks() []Block {
	var out []Block
	var walk func(b *block, path, later string)
	walk = func(b *block, path, later string) {
		if b != root {
			later = cmp.Or(later, b.later)
			out = append(out, b.document(path, later))
			path += "."
		}
		for _, kind := range b.kinds {
			walk(kind, path+fmt.Sprintf("%q", kind.name), later)
		}
		for _, inner := range b.blocks {
			walk(inner, path+inner.name, later)
		}
	}
	walk(root, "", "")
	return out
}

// Schema lists all settings in the order of Blocks.
func Schema() []Setting {
	var out []Setting
	for _, b := range Blocks() {
		out = append(out, b.Settings...)
	}
	return out
}

// document describes a block that stands at path.
func (b *block) document(path, later string) Block {
	out := Block{Path: path, Meaning: b.meaning, Labels: b.labels, Many: b.many, Unsupported: later != "", Later: later}
	for _, s := range b.settings {
		later := cmp.Or(later, s.later)
		doc := Setting{
			Path: path + "." + s.name, Type: s.kind, Default: s.def, Meaning: s.meaning, Required: s.required, OneOf: s.oneOf,
			Unsupported: later != "", Later: later,
		}
		switch {
		case s.kind == Count:
			doc.Min, doc.Max = fmt.Sprint(s.least), fmt.Sprint(s.greatest())
		case s.kind == Duration:
			doc.Max = short(s.max)
			if s.min > 0 {
				doc.Min = short(s.min)
			}
		}
		out.Settings = append(out.Settings, doc)
	}
	return out
}

// block is what the table knows of a block.
type block struct {
	name     string
	meaning  string
	labels   []string // what its labels are: "name"
	many     bool     // it may stand more than once
	later    string   // what this version does not support, if it is that
	kinds    []*block // by its first label: different settings for each
	kind     string   // its first label, if it is one of those
	settings []setting
	blocks   []*block
}

// setting is what the table knows of a setting.
type setting struct {
	name     string
	kind     Type
	def      string
	meaning  string
	required bool
	oneOf    []string
	min, max time.Duration // of a duration
	least    int           // of a number
	most     int           // of a number; 0: mostCount
	later    string
}

// greatest is the largest number that may be written.
func (s *setting) greatest() int { return cmp.Or(s.most, mostCount) }

// setting returns the setting of that name, or nil.
func (b *block) setting(name string) *setting {
	for i := range b.settings {
		if b.settings[i].name == name {
			return &b.settings[i]
		}
	}
	return nil
}

// block returns the inner block of that name, or nil.
func (b *block) block(name string) *block {
	for _, inner := range b.blocks {
		if inner.name == name {
			return inner
		}
	}
	return nil
}

// names returns what may stand in the block.
func (b *block) names() []string {
	var out []string
	for _, s := range b.settings {
		out = append(out, s.name)
	}
	for _, inner := range b.blocks {
		out = append(out, inner.name)
	}
	return out
}

// all visits a block and those inside of it.
func (b *block) all(visit func(*block)) {
	visit(b)
	for _, inner := range slices.Concat(b.kinds, b.blocks) {
		inner.all(visit)
	}
}

// known and secretKnown hold the names of all settings and blocks, and of
// those settings that hold secrets.
var known, secretKnown = vocabulary()

func vocabulary() (all, secret map[string]bool) {
	all, secret = map[string]bool{}, map[string]bool{}
	root.all(func(b *block) {
		for _, name := range b.names() {
			all[name] = true
		}
		for _, s := range b.settings {
			if s.kind == SecretTxt || s.kind == Secrets {
				secret[s.name] = true
			}
		}
	})
	return all, secret
}

// knownNames is the vocabulary in its order.
var knownNames = slices.Sorted(maps.Keys(known))

// secretNames are those of it that hold secrets.
var secretNames = slices.Sorted(maps.Keys(secretKnown))

func knownName(name string) bool     { return known[name] }
func secretSetting(name string) bool { return secretKnown[name] }

// home returns the blocks in which a setting or block of that name may stand.
func home(name string) []string {
	var out []string
	add := func(b *block, title string) {
		if b.later == "" && (b.setting(name) != nil || b.block(name) != nil) && !slices.Contains(out, title) {
			out = append(out, title)
		}
	}
	root.all(func(b *block) {
		for _, inner := range b.blocks {
			add(inner, inner.name)
		}
		for _, kind := range b.kinds {
			add(kind, fmt.Sprintf("%s %q", b.name, kind.name))
		}
	})
	return out
}

// words returns the names of a range of enumerated values.
func words[T interface{ String() string }](values ...T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = v.String()
	}
	return out
}

// quoted writes a duration or text as a configuration would.
func quoted(v any) string { return fmt.Sprintf("%q", fmt.Sprint(v)) }

// evidence lists the classes that also_evidence may name.
func evidence() []probe.Class {
	var out []probe.Class
	for _, c := range probe.Classes() {
		if g := c.Group(); g == probe.GroupPressed || g == probe.GroupOurs {
			out = append(out, c)
		}
	}
	return out
}

// short writes a duration without its empty units: 10m, not 10m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
