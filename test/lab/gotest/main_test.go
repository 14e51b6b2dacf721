package main

import (
	"bytes"
	"regexp"
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
