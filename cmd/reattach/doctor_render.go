package main

import (
	"fmt"
	"strings"
)

// doctorColumns is where sentences are broken on what is no terminal.
const doctorColumns = 100

// render shows the findings by group: in each, what needs a person first.
func (x *examination) render(p paint, width int) string {
	if width == 0 || width > doctorColumns {
		width = doctorColumns
	}
	var b strings.Builder
	for _, group := range doctorGroups {
		head := false
		for _, level := range []string{levelError, levelWarning, levelOK} {
			for _, f := range x.findings {
				if f.Group != group || f.Level != level {
					continue
				}
				if !head {
					fmt.Fprintln(&b, p.in(bold, group))
					head = true
				}
				f.render(&b, p, width)
			}
		}
		if head {
			b.WriteByte('\n')
		}
	}
	b.WriteString(x.summary(p))
	return b.String()
}

func (f finding) render(b *strings.Builder, p paint, width int) {
	const indent = "           " // behind the level
	c := green
	switch f.Level {
	case levelWarning:
		c = yellow
	case levelError:
		c = red
	}
	lines := broken(clean(f.Text), width-len(indent))
	fmt.Fprintf(b, "  %s%s%s\n", p.in(c, f.Level), strings.Repeat(" ", len(indent)-2-len(f.Level)), lines[0])
	for _, line := range lines[1:] {
		fmt.Fprintln(b, indent+line)
	}
	if f.Next == "" {
		return
	}
	mark := "→ "
	for part := range strings.Lines(f.Next) {
		part = strings.TrimRight(part, "\n")
		lead := part[:len(part)-len(strings.TrimLeft(part, " "))]
		for _, line := range broken(clean(strings.TrimSpace(part)), width-len(indent)-len(lead)-2) {
			fmt.Fprintln(b, strings.TrimRight(indent+p.in(dim, mark+lead+line), " "))
			mark = "  "
		}
	}
}

func (x *examination) summary(p paint) string {
	errors, warnings := x.count(levelError), x.count(levelWarning)
	found := fmt.Sprintf("%s, %s, %d ok", plural(errors, "error"), plural(warnings, "warning"), x.count(levelOK))
	switch {
	case errors > 0:
		return p.in(red, found) + ": mend the errors first\n"
	case warnings > 0:
		return p.in(yellow, found) + ": it works, and may surprise\n"
	}
	return p.in(green, found) + "\n"
}

// broken breaks a text into lines of at most width columns where it has spaces.
func broken(text string, width int) (lines []string) {
	width = max(width, 20)
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len([]rune(line))+1+len([]rune(word)) > width:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}
