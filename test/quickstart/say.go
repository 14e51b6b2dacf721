package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// narrator prints what a stranger reads. It colours on a terminal only.
type narrator struct {
	colour   bool
	failures []string
	acts     int
}

const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
)

func (n *narrator) in(colour, text string) string {
	if !n.colour || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

func (n *narrator) line(text string) { fmt.Println(strings.TrimRight(text, " ")) }

func (n *narrator) title(text string) { n.line("\n" + n.in(bold, text)) }

// act opens the next of the play's acts.
func (n *narrator) act(title, sentence string) {
	n.acts++
	n.title(fmt.Sprintf("%d  %s", n.acts, title))
	n.line("   " + n.in(dim, sentence))
}

// done says that something of the preparation is there, and how long it took.
func (n *narrator) done(what, text string, took time.Duration) {
	n.line(fmt.Sprintf("   %-12s %-66s %s", what, text, n.in(dim, fmt.Sprintf("%5.1f s", took.Seconds()))))
}

// moment says what happened how long after an act's fault.
func (n *narrator) moment(after time.Duration, what, text string) {
	n.line(fmt.Sprintf("   %6d ms  %-12s %s", after.Milliseconds(), what, text))
}

// quote sets what a command printed apart.
func (n *narrator) quote(command, text string) {
	n.line("   " + n.in(dim, "$ "+command))
	for line := range strings.Lines(strings.TrimSpace(text)) {
		n.line("   " + n.in(dim, "│ ") + strings.TrimRight(line, "\n"))
	}
}

// expect prints an expectation that held, or did not and fails the run.
func (n *narrator) expect(held bool, text string) {
	if held {
		n.line("   " + n.in(green, "✓ ") + text)
		return
	}
	n.failures = append(n.failures, text)
	n.line("   " + n.in(red, "✗ not so: ") + text)
}

// terminal reports whether a person sits at both ends.
func terminal() bool {
	for _, f := range []*os.File{os.Stdin, os.Stdout} {
		info, err := f.Stat()
		if err != nil || info.Mode()&os.ModeCharDevice == 0 || info.Mode()&os.ModeDevice == 0 {
			return false
		}
		if null, err := os.Stat(os.DevNull); err == nil && os.SameFile(info, null) {
			return false
		}
	}
	return true
}
