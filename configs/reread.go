package configs

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/reattach/reattach/probe"
)

// File is a file that the configuration's values were read from.
type File struct {
	Path  string
	sum   [sha256.Size]byte // in memory only
	blank bool              // it held nothing but white space
}

// Files are the files that the configuration's values were read from.
type Files []File

// Read returns what the files say now. It follows links anew, so that a link
// that was pointed elsewhere is noticed.
func (fs Files) Read() Contents {
	now := Contents{}
	for _, f := range fs {
		b, err := readBounded(f.Path)
		now[f.Path] = content{text: probe.Secret(b), err: err}
	}
	return now
}

// Say reports whether now is what the configuration was made of.
func (fs Files) Say(now Contents) bool {
	return !slices.ContainsFunc(fs, func(f File) bool {
		c := now[f.Path]
		return c.err != nil || sha256.Sum256([]byte(c.text)) != f.sum
	})
}

// Contents are what files said at one moment, by their paths.
type Contents map[string]content

// content is what one file said, or why it could not be read.
type content struct {
	text probe.Secret
	err  error
}

// Equal reports whether both are the same: a file that is being written is not
// the same for long.
func (c Contents) Equal(other Contents) bool {
	return maps.EqualFunc(c, other, func(a, b content) bool {
		return a.text == b.text && (a.err == nil) == (b.err == nil)
	})
}

// Reread makes the configuration again from the text that it was loaded from,
// whatever stands on disk by now: only what file() and token_file name says what
// it says in now. The rules are those of [Load]. Besides, a file that said
// something and is empty now is an error, since it was most likely caught in the
// middle of being written.
func (c *Config) Reread(now Contents, opts Options) (*Config, Diagnostics) {
	r := &report{}
	for _, f := range c.Files {
		if said := now[f.Path]; !f.blank && said.err == nil && blank([]byte(said.text)) {
			r.errorf(hcl.Range{Filename: f.Path}, "a reload by hand (SIGHUP) takes it if it is meant to be so", "the file is empty now")
		}
	}
	if len(r.found) > 0 {
		return nil, r.diagnostics()
	}
	disk := opts.ReadFile
	if disk == nil {
		disk = readBounded
	}
	opts.ReadFile = func(path string) ([]byte, error) {
		if said, known := now[path]; known {
			return []byte(said.text), said.err
		}
		return disk(path)
	}
	return load(c.sources, r, opts)
}

func blank(b []byte) bool { return len(bytes.TrimSpace(b)) == 0 }
