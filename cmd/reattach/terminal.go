package main

import (
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// terminal returns the width of the terminal that f is, in columns.
func terminal(f *os.File) (width int, ok bool) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, false
	}
	if size.Col == 0 { // a terminal that does not tell
		return 80, true
	}
	return int(size.Col), true
}

// paint colours text, if it is on.
type paint struct{ on bool }

// ink is a colour, or another way to set text off.
type ink string

// The inks.
const (
	plain  ink = ""
	bold   ink = "1"
	dim    ink = "2"
	red    ink = "31"
	green  ink = "32"
	yellow ink = "33"
)

func (p paint) in(c ink, s string) string {
	if !p.on || c == plain || s == "" {
		return s
	}
	return "\x1b[" + string(c) + "m" + s + "\x1b[0m"
}

// cell is a piece of a table.
type cell struct {
	text string
	ink  ink
}

// table sets rows in columns. The last column of a row takes what it needs.
type table struct {
	paint  paint
	indent string
	width  int  // lines are cut there; 0: never
	fold   bool // what would be cut of a row's last column goes on in lines of its own instead
	rows   [][]cell
}

// leastRoom is how many columns a folded column has at least: where fewer are left, it
// stands below its row.
const leastRoom = 24

// row adds a row, without empty cells at its end.
func (t *table) row(cells ...cell) {
	for len(cells) > 0 && cells[len(cells)-1].text == "" {
		cells = cells[:len(cells)-1]
	}
	for i := range cells {
		cells[i].text = clean(cells[i].text)
	}
	t.rows = append(t.rows, cells)
}

// texts adds a row in one ink.
func (t *table) texts(c ink, texts ...string) {
	row := make([]cell, len(texts))
	for i, s := range texts {
		row[i] = cell{s, c}
	}
	t.row(row...)
}

// String returns the table, each line ended.
func (t *table) String() string { return strings.Join(t.texted(), "") }

// texted returns the rows, each with its lines ended.
func (t *table) texted() (rows []string) {
	var widths []int
	for _, row := range t.rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if i < len(row)-1 { // nothing is aligned behind the last one
				widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
			}
		}
	}
	for _, row := range t.rows {
		var b strings.Builder
		t.line(&b, row, widths)
		rows = append(rows, b.String())
	}
	return rows
}

// line sets one row, without white space at its end.
func (t *table) line(b *strings.Builder, row []cell, widths []int) {
	b.WriteString(t.indent)
	at := utf8.RuneCountInString(t.indent)
	for i, c := range row {
		text := c.text
		switch {
		case t.width > 0 && t.fold && i == len(row)-1:
			t.folded(b, c, at)
			return
		case t.width > 0 && !t.fold:
			text = cut(text, t.width-at)
		}
		b.WriteString(t.paint.in(c.ink, text))
		at += utf8.RuneCountInString(text)
		if i < len(row)-1 {
			gap := widths[i] - utf8.RuneCountInString(c.text) + 2
			b.WriteString(strings.Repeat(" ", gap))
			at += gap
		}
	}
	b.WriteByte('\n')
}

// folded sets the last cell of a row, which begins in a column, and ends its line.
func (t *table) folded(b *strings.Builder, c cell, at int) {
	room := t.width - at
	if utf8.RuneCountInString(c.text) <= room {
		b.WriteString(t.paint.in(c.ink, c.text) + "\n")
		return
	}
	if room < leastRoom {
		at = utf8.RuneCountInString(t.indent) + 3
		above := strings.TrimRight(b.String(), " ")
		b.Reset()
		b.WriteString(above + "\n" + strings.Repeat(" ", at))
		room = max(t.width-at, leastRoom)
	}
	for i, line := range fold(c.text, room) {
		if i > 0 {
			b.WriteString("\n" + strings.Repeat(" ", at))
		}
		b.WriteString(t.paint.in(c.ink, line))
	}
	b.WriteByte('\n')
}

// clean leaves nothing in s that could move a terminal's cursor or break a line:
// reasons are typed by people, and shown to others.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// cut shortens s to n columns at most.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	if n < 1 {
		return ""
	}
	return strings.TrimRight(string([]rune(s)[:n-1]), " ") + "…"
}
