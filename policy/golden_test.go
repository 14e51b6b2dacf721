package policy_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// start is when every story begins.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// golden plays every testdata/DIR/*.txt and holds it against the .golden beside
// it. Read both as a reviewer would; rewrite them with -update.
func golden(t *testing.T, dir string, play func(t *testing.T, story string) string) {
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories in %s: %v", dir, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(file, ".txt")
		t.Run(filepath.Base(name), func(t *testing.T) {
			story, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(story))
			if *update {
				if err := os.WriteFile(name+".golden", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(name + ".golden")
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s.golden tells another story now (-update rewrites it):\n%s", name, got)
			}
		})
	}
}

// lines returns the words of each line of a story, without comments and blanks.
func lines(story string) (all [][]string) {
	for line := range strings.Lines(story) {
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) > 0 {
			all = append(all, words)
		}
	}
	return all
}

// option splits "name=value"; value is empty where there is no "=".
func option(word string) (name, value string) {
	name, value, _ = strings.Cut(word, "=")
	return name, value
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
