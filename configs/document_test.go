package configs_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
)

// The reference for people is a text with tables in it that are made from the
// schema, so that neither can say what the other does not.
const (
	documentText = "testdata/configuration.md.tmpl"
	documentPath = "../deployments/docs/configuration.md"
)

// TestDocument writes the reference with -update, and holds it to the schema
// without.
func TestDocument(t *testing.T) {
	d := document{blocks: configs.Blocks(), shown: map[string]bool{}}
	got := d.write(t)
	for _, b := range d.blocks {
		if !d.shown[b.Path] {
			t.Errorf("%s is not in %s", b.Path, documentText)
		}
	}
	if *update {
		if err := os.WriteFile(documentPath, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(read(t, documentPath), got); diff != "" {
		t.Errorf("the reference is not what the schema says (-is +want); -update rewrites it:\n%s", diff)
	}
}

// document writes the reference.
type document struct {
	blocks []configs.Block
	shown  map[string]bool // paths of blocks that were written
}

func (d *document) write(t *testing.T) string {
	t.Helper()
	tmpl, err := template.New("").Funcs(template.FuncMap{
		"meaning": d.meaning, "settings": d.settings, "common": d.common, "own": d.own, "same": d.same, "refused": d.refused, "schemes": schemes, "events": events, "message": message,
		"contents": func() string { return "@contents@" },
	}).Parse(read(t, documentText))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, nil); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(b.String(), "@contents@", contents(b.String()), 1)
}

func (d *document) block(path string) (configs.Block, error) {
	i := slices.IndexFunc(d.blocks, func(b configs.Block) bool { return b.Path == path })
	if i < 0 {
		return configs.Block{}, fmt.Errorf("there is no block %s", path)
	}
	d.shown[path] = true
	return d.blocks[i], nil
}

// meaning is what a block is, as a sentence.
func (d *document) meaning(path string) (string, error) {
	b, err := d.block(path)
	if err != nil {
		return "", err
	}
	return strings.ToUpper(b.Meaning[:1]) + b.Meaning[1:] + ".", nil
}

// settings is the table of a block's own settings.
func (d *document) settings(path string) (string, error) {
	b, err := d.block(path)
	if err != nil {
		return "", err
	}
	return table(b.Settings), nil
}

// common is the table of the settings that all kinds of notifier have.
func (d *document) common() (string, error) {
	all := d.everyKind()
	if len(all) < 4 {
		return "", fmt.Errorf("only %d settings are common to all kinds of notifier", len(all))
	}
	return table(all), nil
}

// own is the table of the settings of one kind of notifier that are not
// common's, or differ from them.
func (d *document) own(path string) (string, error) {
	b, err := d.block(path)
	if err != nil {
		return "", err
	}
	shared := d.everyKind()
	return table(slices.DeleteFunc(slices.Clone(b.Settings), func(s configs.Setting) bool {
		i := slices.IndexFunc(shared, func(c configs.Setting) bool { return name(c.Path) == name(s.Path) })
		return i >= 0 && byDefault(shared[i]) == byDefault(s)
	})), nil
}

// everyKind returns the settings that all kinds of notifier have, as the first
// of them has them.
func (d *document) everyKind() []configs.Setting {
	var out []configs.Setting
	for _, b := range d.blocks {
		switch {
		case !strings.HasPrefix(b.Path, `notifier."`) || strings.HasSuffix(b.Path, ".tls"):
		case out == nil:
			out = slices.Clone(b.Settings)
		default:
			out = slices.DeleteFunc(out, func(s configs.Setting) bool {
				return !slices.ContainsFunc(b.Settings, func(t configs.Setting) bool {
					return name(t.Path) == name(s.Path) && t.Meaning == s.Meaning && value(t) == value(s)
				})
			})
		}
	}
	return out
}

// table shows settings.
func table(settings []configs.Setting) string {
	var out strings.Builder
	out.WriteString("| setting | value | default | meaning |\n| --- | --- | --- | --- |\n")
	for _, s := range settings {
		meaning := s.Meaning
		if s.Unsupported {
			meaning += " ([refused](#what-this-version-refuses))"
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", name(s.Path), value(s), byDefault(s), cell(meaning))
	}
	return strings.TrimSpace(out.String())
}

// same claims that a block has the settings of another one, which are written
// there. The claim is checked, inner blocks included.
func (d *document) same(path, other string) (string, error) {
	a, b := d.below(path), d.below(other)
	if len(a) == 0 || cmp.Diff(a, b) != "" {
		return "", fmt.Errorf("%s is not like %s:\n%s", path, other, cmp.Diff(b, a))
	}
	return "", nil
}

// below returns a block and those in it, with paths that begin at it.
func (d *document) below(path string) []configs.Block {
	var out []configs.Block
	for _, b := range d.blocks {
		rest, inner := strings.CutPrefix(b.Path, path)
		if !inner || rest != "" && rest[0] != '.' {
			continue
		}
		d.shown[b.Path] = true
		b.Path = rest
		b.Settings = slices.Clone(b.Settings)
		for i := range b.Settings {
			b.Settings[i].Path = strings.TrimPrefix(b.Settings[i].Path, path)
		}
		out = append(out, b)
	}
	return out
}

// refused lists what is read only to be refused, under what it is about.
func (d *document) refused() string {
	var order []string
	names := map[string][]string{}
	add := func(later, name string) {
		if names[later] == nil {
			order = append(order, later)
		}
		names[later] = append(names[later], name)
	}
	for _, b := range d.blocks {
		if b.Unsupported {
			d.shown[b.Path] = true
			var inner []string
			for _, s := range b.Settings {
				inner = append(inner, "`"+name(s.Path)+"`")
			}
			add(b.Later, "`"+b.Path+"` ("+strings.Join(inner, ", ")+")")
			continue
		}
		for _, s := range b.Settings {
			if s.Unsupported {
				add(s.Later, "`"+s.Path+"`")
			}
		}
	}
	var out strings.Builder
	for _, later := range order {
		fmt.Fprintf(&out, "- %s: %s\n", later, strings.Join(names[later], ", "))
	}
	return strings.TrimSpace(out.String())
}

// schemes is the table of what goes by the scheme of an endpoint's URL.
func schemes() string {
	var out strings.Builder
	out.WriteString("| URL | port | `tls.mode` | `interval` | `fresh_interval` | `timeout` | `suspect_interval` | `sustain` | `bootstrap` |\n" +
		"| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, p := range real().Protocols {
		d := p.Defaults
		for _, s := range p.Schemes {
			fresh := brief(d.FreshInterval)
			if !p.Holds {
				fresh = "= `interval`"
			}
			fmt.Fprintf(&out, "| `%s://` | %s | %s | %s | %s | %s | %s | %s | %v |\n", s.Name, s.Port, s.TLS,
				brief(d.Interval), fresh, brief(d.Timeout), brief(d.SuspectInterval), brief(d.Sustain), !p.Traits.StoreOfData)
		}
	}
	return strings.TrimSpace(out.String())
}

// events is the table of the kinds of notice.
func events() string {
	var out strings.Builder
	out.WriteString("| kind | severity | told without being named |\n| --- | --- | --- |\n")
	for _, k := range failover.EventKinds() {
		told := "yes"
		if k.Quiet {
			told = "no: it is quiet"
		}
		fmt.Fprintf(&out, "| [`%s`](runbook.md#%s) | %s | %s |\n", k.Name, k.Name, k.Severity, told)
	}
	return strings.TrimSpace(out.String())
}

func brief(d time.Duration) string { return d.String() }

func name(path string) string { return path[strings.LastIndex(path, ".")+1:] }

// value says what may be written.
func value(s configs.Setting) string {
	out := map[configs.Type]string{
		configs.Text: "text", configs.SecretTxt: "secret", configs.URL: "URL", configs.Duration: "duration", configs.Count: "number", configs.Bool: "`true`, `false`",
		configs.Texts: "list of texts", configs.Secrets: "list of secrets", configs.Templates: "map of keys to texts", configs.URLs: "map of names to URLs",
	}[s.Type]
	if len(s.OneOf) > 0 {
		words := "`\"" + strings.Join(s.OneOf, "\"`, `\"") + "\"`"
		if s.Type == configs.Texts {
			return "list of " + words
		}
		return words
	}
	switch {
	case s.Min != "" && s.Max != "":
		out += ", " + s.Min + " to " + s.Max
	case s.Max != "":
		out += ", at most " + s.Max
	}
	return out
}

// byDefault says what holds where nothing is written.
func byDefault(s configs.Setting) string {
	switch {
	case s.Required:
		return "*required*"
	case s.Default == "" || s.Default == `""`:
		return "none"
	case s.Default == "(by scheme)":
		return "[by scheme](#resource)"
	case strings.HasPrefix(s.Default, "("):
		return cell(strings.Trim(s.Default, "()"))
	}
	return "`" + cell(s.Default) + "`"
}

// cell keeps a text from breaking its table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

var heading = regexp.MustCompile("(?m)^(##+) (.+)$")

// contents lists the headings of a text, with links to them.
func contents(text string) string {
	var out strings.Builder
	for _, m := range heading.FindAllStringSubmatch(withoutCode(text), -1) {
		fmt.Fprintf(&out, "%s- [%s](#%s)\n", strings.Repeat("  ", len(m[1])-2), m[2], anchor(m[2]))
	}
	return strings.TrimSpace(out.String())
}

// anchor is what GitHub makes of a heading.
func anchor(heading string) string {
	out := strings.ToLower(strings.ReplaceAll(heading, " ", "-"))
	return regexp.MustCompile(`[^a-z0-9_-]`).ReplaceAllString(out, "")
}

var fenced = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")

func withoutCode(text string) string { return fenced.ReplaceAllString(text, "") }

// TestDocumentLinks follows every link within the reference, and to the files
// beside it.
func TestDocumentLinks(t *testing.T) {
	text := read(t, documentPath)
	anchors := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(withoutCode(text), -1) {
		if anchors[anchor(m[2])] {
			t.Errorf("two headings have the anchor #%s", anchor(m[2]))
		}
		anchors[anchor(m[2])] = true
	}
	links := regexp.MustCompile(`\]\(([^)#]*)(#[^)]*)?\)`).FindAllStringSubmatch(text, -1)
	if len(links) < 40 {
		t.Errorf("%d links, want at least 40", len(links))
	}
	for _, m := range links {
		switch file, at := m[1], strings.TrimPrefix(m[2], "#"); {
		case file == "" && !anchors[at]:
			t.Errorf("there is no #%s", at)
		case file != "" && !strings.Contains(file, "://"):
			if _, err := os.Stat(filepath.Join(filepath.Dir(documentPath), file)); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestDocumentExamples loads every example of the reference. One that has no
// resource is given one.
func TestDocumentExamples(t *testing.T) {
	seen := 0
	for _, m := range fenced.FindAllStringSubmatch(read(t, documentPath), -1) {
		language, example := m[1], m[2]
		if language != "hcl" && language != "json" {
			continue
		}
		seen++
		if formatted := string(hclwrite.Format([]byte(example))); language == "hcl" && formatted != example {
			t.Errorf("it is not formatted:\n%s", cmp.Diff(example, formatted))
		}
		whole := example
		if language == "hcl" && !strings.Contains(example, "resource ") {
			whole += pair("mysql", "")
		}
		opts := real()
		opts.Env = func(string) (string, bool) { return planted, true }
		c, diags := configs.Parse("example."+language, []byte(whole), opts)
		if c == nil || len(diags) > 0 {
			t.Errorf("%s\nof:\n%s", diags, whole)
		}
	}
	if seen < 12 {
		t.Errorf("%d examples, want at least 12", seen)
	}
}
