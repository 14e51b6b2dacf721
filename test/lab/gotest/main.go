// Command gotest runs `go test -json` with its arguments, prints what a person
// wants to see of it, names the tests that took longest and every test that was
// left out and why, and closes with the line "N passed, N failed, N skipped".
//
//	gotest [-strict] [-allow REGEXP] [-again REGEXP] [-counts FILE] [-- go test arguments]
//
// It exits 1 when a test failed, or, with -strict, when one was left out whose
// name does not match -allow.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"sort"
	"strings"
)

func main() {
	strict := flag.Bool("strict", false, "a test left out is a failure")
	allow := flag.String("allow", "MySQLTarget|EnvconsulTarget", "tests that may be left out even so, by name (a regular expression)")
	twice := flag.String("again", "", "packages whose failed tests are run once more, alone (a regular expression; none if empty)")
	counts := flag.String("counts", "", "append the counts to this `file`, as \"passed failed skipped\"")
	flag.Parse()
	allowed, err := regexp.Compile(*allow)
	packages, err2 := regexp.Compile(*twice)
	if err := errors.Join(err, err2); err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(2)
	}
	report, runErr := run(flag.Args())
	if *twice != "" {
		report.again(packages, flag.Args(), runAgain)
	}
	bad := report.finish(os.Stdout, *strict, allowed)
	if *counts != "" {
		if err := appendCounts(*counts, report); err != nil {
			fmt.Fprintln(os.Stderr, "gotest:", err)
			bad = true
		}
	}
	if runErr != nil && report.failed == 0 && len(report.unsteady) == 0 {
		fmt.Fprintln(os.Stderr, "gotest:", runErr)
		bad = true
	}
	if bad {
		os.Exit(1)
	}
}

// run starts go test and reads its events to the end.
func run(args []string) (*report, error) {
	r := newReport(os.Stdout)
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return r, err
	}
	if err := cmd.Start(); err != nil {
		return r, err
	}
	return r, errors.Join(r.read(out), cmd.Wait())
}

// event is one line of `go test -json` (see `go doc test2json`).
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
	Elapsed    float64 // seconds
}

// report gathers what happened.
type report struct {
	out                     io.Writer
	passed, failed, skipped int
	output                  map[string][]string // by package and test, until it passed
	inPackage               map[string]int      // tests that failed in a package
	left                    []leftOut
	failures                []failure
	passedIn                map[string]int  // tests that passed in a package
	cutOff                  map[string]bool // packages of which a panic kept tests from running
	unsteady                []string        // failed, and passed when run again, alone
	slow                    []took          // those that took a while
}

type leftOut struct{ pkg, test, why string }

type failure struct{ pkg, test string }

// took is how many seconds a test took, its subtests included.
type took struct {
	pkg, test string
	seconds   float64
}

// Of the tests that took longest these are named.
const (
	aWhile   = 5 // seconds
	mostSlow = 15
)

func newReport(out io.Writer) *report {
	return &report{out: out, output: map[string][]string{}, inPackage: map[string]int{}, passedIn: map[string]int{}, cutOff: map[string]bool{}}
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil && e.Action != "" {
				r.take(e)
			} else {
				_, _ = r.out.Write(line)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		r.output[key] = append(r.output[key], e.Output)
		if strings.HasPrefix(e.Output, "panic: ") || strings.HasPrefix(e.Output, "fatal error: ") {
			r.cutOff[e.Package] = true
		}
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.takePackage(e)
		} else {
			r.takeTest(e, key)
		}
		delete(r.output, key)
	}
}

func (r *report) takeTest(e event, key string) {
	if e.Elapsed >= aWhile && !strings.Contains(e.Test, "/") {
		r.slow = append(r.slow, took{e.Package, e.Test, e.Elapsed})
	}
	switch e.Action {
	case "pass":
		r.passed++
		r.passedIn[e.Package]++
	case "skip":
		r.skipped++
		r.left = append(r.left, leftOut{e.Package, e.Test, reason(r.output[key])})
	case "fail":
		r.failed++
		r.inPackage[e.Package]++
		r.failures = append(r.failures, failure{e.Package, e.Test})
		fmt.Fprint(r.out, strings.Join(r.output[key], ""))
	}
}

// takePackage prints a package's line; one that failed without a failed test (it
// did not compile, it panicked, it timed out) counts as one failure.
func (r *report) takePackage(e event) {
	switch {
	case e.Action == "fail":
		if r.inPackage[e.Package] == 0 {
			r.failed++
			r.unfinished(e.Package)
		}
		fmt.Fprintf(r.out, "FAIL  %s  %.1f s\n", e.Package, e.Elapsed)
	case e.Action == "pass":
		fmt.Fprintf(r.out, "ok    %s  %.1f s\n", e.Package, e.Elapsed)
	}
}

// unfinished prints what the tests that never ended, and the package, had said.
func (r *report) unfinished(pkg string) {
	var keys []string
	for key := range r.output {
		if strings.HasPrefix(key, pkg+" ") {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	for _, key := range keys {
		fmt.Fprint(r.out, strings.Join(r.output[key], ""))
	}
}

// slowest names the tests that took longest.
func (r *report) slowest(out io.Writer) {
	if len(r.slow) == 0 {
		return
	}
	slices.SortStableFunc(r.slow, func(a, b took) int { return cmp.Compare(b.seconds, a.seconds) })
	fmt.Fprintln(out, "\ntook longest:")
	for _, s := range r.slow[:min(len(r.slow), mostSlow)] {
		fmt.Fprintf(out, "  %5.1f s  %s %s\n", s.seconds, s.pkg, s.test)
	}
}

// finish names the tests that took longest and those left out, and prints the
// closing line; it tells whether the run as a whole failed.
func (r *report) finish(out io.Writer, strict bool, allowed *regexp.Regexp) bool {
	bad := r.failed > 0
	r.slowest(out)
	if len(r.left) > 0 {
		fmt.Fprintln(out, "\nleft out:")
	}
	for _, l := range r.left {
		mark := ""
		if strict && !allowed.MatchString(l.test) {
			bad, mark = true, "  (not allowed here)"
		}
		fmt.Fprintf(out, "  %s %s: %s%s\n", l.pkg, l.test, l.why, mark)
	}
	if len(r.unsteady) > 0 {
		fmt.Fprintln(out, "\nunsteady (failed, and passed when run again, alone):")
	}
	for _, u := range r.unsteady {
		fmt.Fprintf(out, "  %s\n", u)
	}
	fmt.Fprintf(out, "\n%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	return bad
}

// reason is what a skipped test said, without file and line.
func reason(output []string) string {
	var said []string
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "===") || strings.HasPrefix(line, "--- ") {
			continue
		}
		if _, after, ok := strings.Cut(line, ".go:"); ok {
			if _, text, ok := strings.Cut(after, ": "); ok {
				line = text
			}
		}
		said = append(said, line)
	}
	return strings.Join(said, " ")
}

func appendCounts(path string, r *report) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(file, r.passed, r.failed, r.skipped)
	return errors.Join(err, file.Close())
}
