package configs

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/reattach/reattach/probe"
)

// quote returns the line at which a range begins, masked and without its
// comment, and the line that underlines the range.
func (s *source) quote(at hcl.Range, secrets []string) (line, caret string) {
	start, end := s.line(at.Start.Byte)
	end = s.comment(start, end, at.Start.Byte)
	text := strings.TrimRight(string(s.bytes[start:end]), " \t\r")
	masked := slices.Clone(s.spans())
	for _, secret := range secrets {
		for i := 0; ; {
			j := strings.Index(text[i:], secret)
			if j < 0 {
				break
			}
			masked = append(masked, span{start + i + j, start + i + j + len(secret)})
			i += j + len(secret)
		}
	}
	return underline(text, start, merge(masked), span{at.Start.Byte, max(at.End.Byte, at.Start.Byte+1)})
}

// line returns where the line of a byte begins and ends.
func (s *source) line(pos int) (start, end int) {
	pos = min(pos, len(s.bytes))
	start = bytes.LastIndexByte(s.bytes[:pos], '\n') + 1
	if i := bytes.IndexByte(s.bytes[start:], '\n'); i >= 0 {
		return start, start + i
	}
	return start, len(s.bytes)
}

// comment returns where a line's comment begins, if the finding is not in it.
func (s *source) comment(start, end, finding int) int {
	if s.json {
		return end
	}
	for _, t := range s.lex() {
		at := t.Range.Start.Byte
		if t.Type == hclsyntax.TokenComment && at >= start && at < end && at > finding {
			return at
		}
	}
	return end
}

// widest is how many columns of a line are shown; longer ones are cut.
const widest = 160

// underline writes a line with its masks, and below it carets under a range.
func underline(text string, offset int, masked []span, at span) (line, caret string) {
	var a, b strings.Builder
	next, columns := 0, 0
	put := func(s string, mark bool) {
		a.WriteString(s)
		switch {
		case mark:
			b.WriteString(strings.Repeat("^", utf8.RuneCountInString(s)))
		case s == "\t":
			b.WriteByte('\t')
		default:
			b.WriteString(strings.Repeat(" ", utf8.RuneCountInString(s)))
		}
		columns += utf8.RuneCountInString(s)
	}
	for i := 0; i < len(text); {
		pos := offset + i
		for next < len(masked) && masked[next].end <= pos {
			next++
		}
		if next < len(masked) && masked[next].start <= pos {
			sp := masked[next]
			put(probe.Mask, at.start < sp.end && sp.start < at.end)
			i = sp.end - offset
			continue
		}
		_, size := utf8.DecodeRuneInString(text[i:])
		ch := text[i : i+size]
		if ch < " " && ch != "\t" || ch == "\x7f" || !utf8.ValidString(ch) {
			ch = "?"
		}
		put(ch, pos >= at.start && pos < at.end)
		i += size
		if columns >= widest && i < len(text) && pos >= at.start {
			a.WriteString("…")
			break
		}
	}
	line, caret = a.String(), strings.TrimRight(b.String(), " \t")
	if !strings.Contains(caret, "^") {
		caret = b.String() + "^"
	}
	return line, caret
}
