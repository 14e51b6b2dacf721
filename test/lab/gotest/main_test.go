package main

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const events = `{"Action":"start","Package":"p"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: lab: left out\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p","Elapsed":1.5}
{"Action":"output","Package":"q","Test":"TestC","Output":"why\n"}
{"Action":"fail","Package":"q","Test":"TestC"}
{"Action":"fail","Package":"q"}
{"Action":"output","Package":"r","Output":"panic: oh\n"}
{"Action":"fail","Package":"r"}
a line that is no event
`

func TestReport(t *testing.T) {
	var out bytes.Buffer
	r := newReport(&out)
	if err := r.read(strings.NewReader(events)); err != nil {
		t.Fatal(err)
	}
	if !r.finish(&out, false, regexp.MustCompile("none")) {
		t.Error("a failed test, and yet no failure")
	}
	for _, want := range []string{
		"1 passed, 2 failed, 1 skipped\n", "  p TestA: lab: left out\n", "why\n", "panic: oh\n",
		"ok    p  1.5 s\n", "FAIL  q", "a line that is no event\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

// TestSlowest: the longest first, fifteen at most; a subtest is a part of its test.
func TestSlowest(t *testing.T) {
	events := `{"Action":"pass","Package":"p","Test":"TestQuick","Elapsed":4.9}
{"Action":"pass","Package":"p","Test":"TestA/part","Elapsed":70}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":71.25}
{"Action":"fail","Package":"q","Test":"TestB","Elapsed":300}
`
	for range 20 {
		events += `{"Action":"pass","Package":"p","Test":"TestOther","Elapsed":6}` + "\n"
	}
	var out bytes.Buffer
	r := newReport(&bytes.Buffer{})
	if err := r.read(strings.NewReader(events)); err != nil {
		t.Fatal(err)
	}
	r.finish(&out, false, regexp.MustCompile("none"))
	want := "\ntook longest:\n  300.0 s  q TestB\n   71.2 s  p TestA\n" + strings.Repeat("    6.0 s  p TestOther\n", 13) + "\n"
	if !strings.HasPrefix(out.String(), want) {
		t.Errorf("want\n%s\ngot\n%s", want, out.String())
	}
}

func TestStrict(t *testing.T) {
	for _, c := range []struct {
		strict bool
		allow  string
		bad    bool
	}{{false, "X", false}, {true, "X", true}, {true, "TestA", false}} {
		r := newReport(&bytes.Buffer{})
		r.left = []leftOut{{"p", "TestA", "because"}}
		if got := r.finish(&bytes.Buffer{}, c.strict, regexp.MustCompile(c.allow)); got != c.bad {
			t.Errorf("strict %v, allow %q: bad %v", c.strict, c.allow, got)
		}
	}
}

// TestAgain: what passes alone is no failure, but is named; what fails again is
// one, and so is a package that failed without a failed test.
func TestAgain(t *testing.T) {
	for _, c := range []struct {
		name, packages, events string
		second                 report
		again                  []string // the arguments of the second run
		failed                 int
	}{
		{"passes alone", "q", events, report{passed: 1}, []string{"-count=1", "-run", "^(TestC)$", "q"}, 1}, // r's panic stays
		{"panicked", "q", strings.Replace(events, "\"Output\":\"why\\n\"", "\"Output\":\"panic: why\\n\"", 1), report{passed: 9}, []string{"-count=1", "q"}, 1},
		{"fails again", "q", events, report{failed: 1}, []string{"-count=1", "-run", "^(TestC)$", "q"}, 2},
		{"is not there any more", "q", events, report{}, []string{"-count=1", "-run", "^(TestC)$", "q"}, 2},
		{"is none of these packages", "x", events, report{passed: 1}, nil, 2},
		{"too many", "q", events + `{"Action":"fail","Package":"q","Test":"TestD"}
{"Action":"fail","Package":"q","Test":"TestE"}
{"Action":"fail","Package":"q","Test":"TestF"}
{"Action":"fail","Package":"q","Test":"TestG"}
`, report{passed: 1}, nil, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			r := newReport(&out)
			if err := r.read(strings.NewReader(c.events)); err != nil {
				t.Fatal(err)
			}
			var again []string
			r.again(regexp.MustCompile(c.packages), []string{"-count=1", "./..."}, func(args []string) (*report, error) {
				again = args
				return &c.second, nil
			})
			r.finish(&out, false, regexp.MustCompile("none"))
			if !slices.Equal(again, c.again) || r.failed != c.failed {
				t.Errorf("run again %q, %d failed", again, r.failed)
			}
			if named := strings.Contains(out.String(), "unsteady"); named != (c.name == "passes alone" || c.name == "panicked") {
				t.Errorf("named as unsteady: %v\n%s", named, out.String())
			}
		})
	}
}
