package probe

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// lineLimit bounds what is quoted of a server's words, in characters.
const lineLimit = 240

// Line makes a server's words fit to be shown: one line of printable
// characters, at most 240 of them, with each of the secrets masked, because a
// server may say back what it was told.
func Line(s string, secrets ...Secret) string {
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret.Reveal(), Mask)
		}
	}
	var b strings.Builder
	count, gap := 0, false
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) || r == ' ' {
			gap = true
			continue
		}
		if gap && b.Len() > 0 {
			b.WriteByte(' ')
			count++
		}
		gap = false
		if count++; count > lineLimit {
			b.WriteString("…")
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
