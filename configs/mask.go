package configs

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// The quoted source line is the one place where a report repeats what was
// written, and what was written may be wrong: a secret without quotes, under a
// misspelt name, in half a URL. So masking works on tokens, which even a broken
// file has, and errs on the side of too much.

// spans returns what must not be shown of the file, in order.
func (s *source) spans() []span {
	if s.masked == nil {
		m := masker{src: s, tokens: s.lex()}
		m.values()
		m.templates()
		m.lines()
		s.masked = merge(m.out)
	}
	return s.masked
}

// lex returns the file's tokens. A JSON file is near enough to the native
// syntax to be read by its lexer, but for quotes inside of interpolations,
// which JSON escapes.
func (s *source) lex() hclsyntax.Tokens {
	if s.tokens != nil {
		return s.tokens
	}
	b := s.bytes
	if s.json {
		b = slices.Clone(b)
		depth := 0
		for i := 0; i+1 < len(b); i++ {
			switch {
			case b[i] == '$' && b[i+1] == '{':
				depth++
			case b[i] == '}' && depth > 0:
				depth--
			case b[i] == '\\' && b[i+1] == '"' && depth > 0:
				b[i] = ' '
				i++
			}
		}
	}
	s.tokens, _ = hclsyntax.LexConfig(b, s.name, hcl.InitialPos)
	return s.tokens
}

// maskedTexts returns the texts of all masked spans.
func (s *source) maskedTexts() []string {
	var out []string
	for _, sp := range s.spans() {
		out = append(out, string(s.bytes[sp.start:sp.end]))
	}
	return out
}

type masker struct {
	src    *source
	tokens hclsyntax.Tokens
	out    []span
}

func (m *masker) mask(start, end int) {
	if m.src.json && end > start && m.src.bytes[end-1] == '\\' {
		end-- // the escape of the quote behind it
	}
	if start < end {
		m.out = append(m.out, span{start, end})
	}
}

// values masks the values of settings that hold secrets, and of names that are
// no settings at all, since those may be a secret's name misspelt.
func (m *masker) values() {
	free := 0 // up to here names are keys of a map, and free
	for i := range m.tokens {
		name, next, ok := m.name(i)
		if !ok {
			continue
		}
		opens := next < len(m.tokens) && (m.tokens[next].Type == hclsyntax.TokenOBrace)
		if (name == "handles" || name == "peers") && opens {
			free = max(free, m.closing(next))
			continue
		}
		if secretName(name) || (i >= free && !opens && !harmless(name)) {
			m.value(next)
		}
	}
}

// name returns the name that a value follows, written at token i, and the
// token at which that value begins.
func (m *masker) name(i int) (name string, next int, ok bool) {
	t := m.tokens
	switch {
	case t[i].Type == hclsyntax.TokenIdent && i+1 < len(t):
		name, next = string(t[i].Bytes), i+1
	case t[i].Type == hclsyntax.TokenOQuote && i+3 < len(t) && t[i+1].Type == hclsyntax.TokenQuotedLit && t[i+2].Type == hclsyntax.TokenCQuote:
		name, next = string(t[i+1].Bytes), i+3
	default:
		return "", 0, false
	}
	if t[next].Type != hclsyntax.TokenEqual && t[next].Type != hclsyntax.TokenColon {
		return "", 0, false
	}
	return name, next + 1, true
}

// closing returns the token that closes the brace at i.
func (m *masker) closing(i int) int {
	depth := 0
	for j := i; j < len(m.tokens); j++ {
		switch m.tokens[j].Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenTemplateSeqEnd:
			if depth--; depth == 0 {
				return j
			}
		}
	}
	return len(m.tokens)
}

// value masks a whole value but for what cannot be secret: brackets, names of
// functions, what env() and file() are asked for, and references.
func (m *masker) value(i int) {
	depth, interp := 0, 0
	for began := false; i < len(m.tokens); i++ {
		t := m.tokens[i]
		switch t.Type {
		case hclsyntax.TokenNewline:
			if began && depth <= 0 && !m.src.json { // below 0: the block that it stands in was closed on its line
				return
			}
			continue
		case hclsyntax.TokenComment: // one of a line ends it, too
			if began && depth <= 0 && strings.HasSuffix(string(t.Bytes), "\n") && !m.src.json {
				return
			}
		case hclsyntax.TokenComma:
			if depth == 0 && m.src.json {
				return
			}
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen:
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen:
			if depth--; depth < 0 && m.src.json {
				return
			}
		case hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			depth, interp = depth+1, interp+1
		case hclsyntax.TokenTemplateSeqEnd:
			depth, interp = depth-1, interp-1
		case hclsyntax.TokenOQuote, hclsyntax.TokenCQuote, hclsyntax.TokenEOF,
			hclsyntax.TokenOHeredoc, hclsyntax.TokenCHeredoc:
		default:
			if !m.plain(i, interp > 0) {
				m.mask(t.Range.Start.Byte, t.Range.End.Byte)
			}
		}
		began = true
	}
}

// plain reports whether a token inside a secret's value may be shown.
func (m *masker) plain(i int, interpolated bool) bool {
	t := m.tokens
	switch t[i].Type {
	case hclsyntax.TokenIdent:
		return m.word(i, interpolated)
	case hclsyntax.TokenQuotedLit:
		return m.argument(i)
	case hclsyntax.TokenDot:
		return true
	}
	return interpolated && t[i].Type != hclsyntax.TokenStringLit && t[i].Type != hclsyntax.TokenNumberLit
}

// ours are words that may stand in an expression. Any other may be part of a
// secret that holds "${" and was not meant as an expression.
var ours = []string{"endpoint", "var", "local", "for", "in", "if", "else", "endif", "endfor", "true", "false", "null"}

// word reports whether a word in an expression is one of ours, a function, or
// a part of the endpoint.
func (m *masker) word(i int, interpolated bool) bool {
	t, text := m.tokens, string(m.tokens[i].Bytes)
	if slices.Contains(ours, text) || nearest(text, ours[:1]) != "" {
		return true
	}
	if i+1 < len(t) && t[i+1].Type == hclsyntax.TokenOParen {
		return interpolated || functions[text]
	}
	return i > 1 && t[i-1].Type == hclsyntax.TokenDot && (nearest(string(t[i-2].Bytes), ours[:1]) != "" || string(t[i-2].Bytes) == "var")
}

// argument reports whether the text at i is all that env() or file() is given.
func (m *masker) argument(i int) bool {
	t := m.tokens
	if i < 3 || i+2 >= len(t) || t[i+1].Type != hclsyntax.TokenCQuote || t[i+2].Type != hclsyntax.TokenCParen {
		return false
	}
	name := string(t[i-3].Bytes)
	return t[i-1].Type == hclsyntax.TokenOQuote && t[i-2].Type == hclsyntax.TokenOParen && (name == "env" || name == "file")
}

// templates masks the secrets inside of URLs and of parameters, in every text.
func (m *masker) templates() {
	var open [][]hclsyntax.Token // the texts that we are in, one inside of the other
	calls, interps := 0, 0       // how many parentheses and interpolations we are in
	end := func() {
		if n := len(open); n > 0 {
			m.template(open[n-1])
			open = open[:n-1]
		}
	}
	for i, t := range m.tokens {
		switch t.Type {
		case hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
			open = append(open, nil)
		case hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
			end()
		case hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit, hclsyntax.TokenTemplateInterp:
			if n := len(open); n > 0 {
				open[n-1] = append(open[n-1], t)
			}
			if t.Type == hclsyntax.TokenQuotedLit && (len(open) > 1 || calls > 0) && !m.argument(i) {
				m.mask(t.Range.Start.Byte, t.Range.End.Byte) // what a function is given
			}
			if t.Type == hclsyntax.TokenTemplateInterp {
				interps++
			}
		case hclsyntax.TokenTemplateControl:
			interps++
		case hclsyntax.TokenTemplateSeqEnd:
			interps = max(0, interps-1)
		case hclsyntax.TokenIdent:
			if interps > 0 && !m.word(i, true) {
				m.mask(t.Range.Start.Byte, t.Range.End.Byte)
			}
		case hclsyntax.TokenOParen:
			calls++
		case hclsyntax.TokenCParen:
			calls = max(0, calls-1)
		}
	}
	for len(open) > 0 {
		end()
	}
}

// hole stands for an interpolation in a text. No source holds it, because it
// is not UTF-8.
const hole = '\xff'

// template masks one text, given its literal parts and its interpolations.
func (m *masker) template(parts []hclsyntax.Token) {
	var text []byte
	var at []int // where each byte of text stands in the file
	for _, t := range parts {
		if t.Type == hclsyntax.TokenTemplateInterp {
			text, at = append(text, hole), append(at, -1)
			continue
		}
		for i, c := range t.Bytes {
			text, at = append(text, c), append(at, t.Range.Start.Byte+i)
		}
	}
	for _, sp := range secretsIn(string(text)) {
		for i := sp.start; i < sp.end; i++ {
			if text[i] != hole {
				m.mask(at[i], at[i]+1)
			}
		}
	}
}

var bareURL = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"]+`)

// lines masks URLs in every line, quoted or not, in case a quote is missing.
func (m *masker) lines() {
	for _, at := range bareURL.FindAllIndex(m.src.bytes, -1) {
		text := string(m.src.bytes[at[0]:at[1]])
		if strings.Contains(text, "${") || !utf8.ValidString(text) {
			continue
		}
		for _, sp := range secretsIn(text) {
			m.mask(at[0]+sp.start, at[0]+sp.end)
		}
	}
}

var (
	schemePart = regexp.MustCompile(`^\s*([A-Za-z][A-Za-z0-9+.-]*:)*//`)
	webPart    = regexp.MustCompile(`https?://|^\s*[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:\d+)?/`)
	keyPart    = regexp.MustCompile(`/([A-Za-z0-9_-]{20,})`) // of a path; a webhook's is its credential
	parameter  = regexp.MustCompile(`(?i)[\w.-]*(?:pass|pwd|secret|token|credential|signature|apikey|api_key|accesskey)[\w.-]*=([^&;\s,"]+)`)
)

// secretsIn returns the parts of a text that look like a password in a URL or
// connection string, or like a parameter that holds a secret.
func secretsIn(text string) []span {
	var out []span
	for _, at := range parameter.FindAllStringSubmatchIndex(text, -1) {
		out = append(out, span{at[2], at[3]})
	}
	if at, ok := userinfoSecret(text); ok {
		out = append(out, at)
	}
	for _, at := range keyPart.FindAllStringSubmatchIndex(text, -1) {
		if web := webPart.FindStringIndex(text); web != nil && at[2] >= web[1] {
			out = append(out, span{at[2], at[3]})
		}
	}
	return out
}

// userinfoSecret finds the password in scheme://user:password@host, also in
// one that was written so badly that it is no URL.
func userinfoSecret(text string) (span, bool) {
	start := len(schemePart.FindString(text))
	rest := text[start:]
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
	}
	sound := false
	if u, err := url.Parse(strings.ReplaceAll(strings.TrimSpace(text[:start])+authority, string([]byte{hole}), "0")); err == nil && start > 0 {
		sound = u.Host != ""
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 && !(sound && !strings.Contains(authority, "@")) {
		if sound {
			at = strings.LastIndexByte(authority, '@')
		}
		if colon := strings.IndexByte(rest[:at], ':'); colon >= 0 {
			return span{start + colon + 1, start + at}, true
		}
		return span{}, false
	}
	if colon := strings.IndexByte(authority, ':'); start > 0 && !sound && colon >= 0 {
		return span{start + colon + 1, start + len(authority)}, true // an @ was forgotten
	}
	return span{}, false
}

// secretName reports whether a setting of that name, or of one that is likely
// to be meant by it, holds a secret.
func secretName(name string) bool {
	name = strings.ToLower(name)
	if strings.HasSuffix(name, "_file") || knownName(name) && !secretSetting(name) {
		return false
	}
	for _, word := range []string{"pass", "pwd", "secret", "token", "credential", "webhook"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return slices.ContainsFunc(secretNames, func(s string) bool {
		return len(name) > 3 && distance(name, s) <= 2
	})
}

// harmless reports whether a name is a setting's, or nearly one's, or no name
// of a setting at all but a key of a map.
func harmless(name string) bool {
	return strings.ContainsAny(name, "/.: ") || knownName(name) || nearest(name, knownNames) != ""
}

// merge sorts spans and joins those that touch.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return a.start - b.start })
	out := []span{}
	for _, s := range spans {
		if n := len(out); n > 0 && s.start <= out[n-1].end {
			out[n-1].end = max(out[n-1].end, s.end)
			continue
		}
		out = append(out, s)
	}
	return out
}
