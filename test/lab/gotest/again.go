package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

// mostAgain is how many failed tests may be run a second time. Where more fail,
// it is not the machine.
const mostAgain = 4

// again runs the failed tests of the packages that match once more, each package
// alone, when nothing else keeps the machine busy. Tests against real servers
// meet standstills of the machine that no deadline foresees; one that passes
// alone is counted as passed, and named as unsteady, so that it is mended and
// not forgotten. Where one panicked, those behind it have not run: then the whole
// package is run. A package that failed without a failed test (it did not
// compile) is not run again.
func (r *report) again(packages *regexp.Regexp, args []string, run func(args []string) (*report, error)) {
	tests, count := r.failedTests(packages)
	if count == 0 || count > mostAgain {
		return
	}
	for _, pkg := range slices.Sorted(maps.Keys(tests)) {
		flags := flagsOf(args)
		if !r.cutOff[pkg] {
			flags = append(flags, "-run", "^("+strings.Join(tests[pkg], "|")+")$")
		}
		fmt.Fprintf(r.out, "\nagain, alone: %s %s\n", pkg, strings.Join(tests[pkg], " "))
		second, err := run(append(flags, pkg))
		if err != nil || second.failed > 0 || second.passed == 0 {
			continue
		}
		r.failed -= r.inPackage[pkg]
		if r.cutOff[pkg] {
			r.passed += second.passed - r.passedIn[pkg]
			r.skipped += second.skipped
			r.left = append(r.left, second.left...)
		} else {
			r.passed += r.inPackage[pkg]
		}
		delete(r.inPackage, pkg)
		for _, test := range tests[pkg] {
			r.unsteady = append(r.unsteady, pkg+" "+test)
		}
	}
}

// failedTests lists them by package, without their subtests.
func (r *report) failedTests(packages *regexp.Regexp) (tests map[string][]string, count int) {
	tests = map[string][]string{}
	for _, f := range r.failures {
		name, _, _ := strings.Cut(f.test, "/")
		if packages.MatchString(f.pkg) && !slices.Contains(tests[f.pkg], name) {
			tests[f.pkg] = append(tests[f.pkg], name)
			count++
		}
	}
	return tests, count
}

// flagsOf is args without the packages at its end.
func flagsOf(args []string) []string {
	end := len(args)
	for end > 0 && strings.HasPrefix(args[end-1], ".") {
		end--
	}
	return slices.Clone(args[:end])
}

// runAgain is run, with one line between the two.
func runAgain(args []string) (*report, error) {
	r, err := run(args)
	fmt.Fprintf(os.Stdout, "%d passed, %d failed this time\n", r.passed, r.failed)
	return r, err
}
