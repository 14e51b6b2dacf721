package configs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/json"
)

// Bounds of what is read.
const (
	maxFile    = 1 << 20 // bytes of a configuration file, or of a file() file
	maxNesting = 100     // brackets in brackets
)

// source is one configuration file.
type source struct {
	name   string
	bytes  []byte
	json   bool
	tokens hclsyntax.Tokens // see lex; computed once
	masked []span           // see spans; computed once
}

// span is a part of a file, in bytes.
type span struct{ start, end int }

// gather reads the files that paths name, directories expanded.
func (r *report) gather(paths []string) []*source {
	if len(paths) == 0 {
		r.errorf(hcl.Range{}, "name a file, or a directory of *.hcl and *.json files", "no configuration was named")
	}
	var out []*source
	for _, path := range paths {
		names, err := expand(path)
		if err != nil {
			r.errorf(hcl.Range{Filename: path}, readHint(err), "%s", err)
		}
		for _, name := range names {
			if slices.ContainsFunc(out, func(s *source) bool { return s.name == name }) {
				continue
			}
			b, err := readBounded(name)
			if err != nil {
				r.errorf(hcl.Range{Filename: name}, readHint(err), "%s", err)
				continue
			}
			out = append(out, &source{name: name, bytes: b, json: strings.HasSuffix(name, ".json")})
		}
	}
	return out
}

// expand returns the configuration files below a directory, in the order of
// their names, or the one file that path is.
func expand(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, pathless(err)
	}
	if !info.IsDir() {
		return []string{filepath.Clean(path)}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, pathless(err)
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || e.IsDir() {
			continue
		}
		if ext := filepath.Ext(name); ext == ".hcl" || ext == ".json" {
			names = append(names, filepath.Join(path, name))
		}
	}
	if len(names) == 0 {
		return nil, errors.New("the directory holds no *.hcl or *.json file")
	}
	return names, nil
}

// readBounded reads a file of at most maxFile bytes. Its errors do not repeat
// the path.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, pathless(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, pathless(err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("the file is larger than %d bytes", maxFile)
	}
	return b, nil
}

// reason is what an error of the file system says, without the path.
func reason(err error) string { return pathless(err).Error() }

// pathless is an error of the file system without the path.
func pathless(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// readHint is what to do about a file that could not be read, where the error does
// not say it. Whoever tried the configuration as root, and runs the daemon as
// another, needs it.
func readHint(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return deniedHint
	}
	return ""
}

const deniedHint = "the daemon's account has to be able to read it: chown root:reattach, chmod 0640"

// parse reads the file's syntax. It returns nil if nothing can be made of it.
func (r *report) parse(s *source) hcl.Body {
	if deepest(s.bytes) > maxNesting {
		r.errorf(hcl.Range{Filename: s.name}, "", "brackets are nested deeper than %d", maxNesting)
		return nil
	}
	if s.json {
		file, diags := json.Parse(s.bytes, s.name)
		if diags.HasErrors() {
			r.hclDiags(diags[:1]) // what follows it is mostly its echo
			return nil
		}
		return file.Body
	}
	if at, ok := s.openQuote(); ok {
		r.errorf(at, "a quote inside of a text is written \\\"", "a quote is missing: the text that begins here does not end on its line")
		return nil // every further quote would be taken for its opposite
	}
	file, diags := hclsyntax.ParseConfig(s.bytes, s.name, hcl.InitialPos)
	r.hclDiags(diags)
	if file == nil {
		return nil
	}
	return file.Body
}

// openQuote finds the first text that does not end on its line.
func (s *source) openQuote() (hcl.Range, bool) {
	var open []hcl.Range
	for _, t := range s.lex() {
		switch t.Type {
		case hclsyntax.TokenOQuote:
			open = append(open, t.Range)
		case hclsyntax.TokenCQuote:
			open = open[:max(0, len(open)-1)]
		case hclsyntax.TokenQuotedNewline:
			if len(open) > 0 {
				return open[len(open)-1], true
			}
		}
	}
	return hcl.Range{}, false
}

// deepest returns how deeply brackets are nested, whatever they stand in: it
// keeps hostile input from exhausting the parser's stack.
func deepest(b []byte) int {
	depth, most := 0, 0
	for _, c := range b {
		switch c {
		case '{', '[', '(':
			depth++
			most = max(most, depth)
		case '}', ']', ')':
			depth = max(0, depth-1)
		}
	}
	return most
}
