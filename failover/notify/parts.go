package notify

import (
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// worst is the highest severity among a message's notices.
func worst(m Message) failover.Severity { return leading(m).Severity() }

// leading is the notice that a message is titled, sorted and linked by: the most
// severe one, and of several such the newest.
func leading(m Message) failover.Notice {
	lead := m.Notices[0]
	for _, n := range m.Notices[1:] {
		if n.Severity() >= lead.Severity() {
			lead = n
		}
	}
	return lead
}

// oneResource is the resource that all notices are about, or "".
func oneResource(m Message) string {
	for _, n := range m.Notices {
		if n.Resource != m.Notices[0].Resource {
			return ""
		}
	}
	return m.Notices[0].Resource
}

// evidence is what the endpoint itself showed: class, phase, and the server's code.
func evidence(n failover.Notice) string {
	parts := []string{}
	for _, p := range []string{n.Class, n.Phase, n.Code} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ", ")
}

// gateSummary names the gates that are not simply open, each with its reason.
func gateSummary(gates []policy.Passage) string {
	var shut []string
	for _, g := range gates {
		if !g.Open {
			shut = append(shut, passage(g))
		}
	}
	if len(shut) == 0 && len(gates) > 0 {
		return fmt.Sprintf("all %d are open", len(gates))
	}
	return strings.Join(shut, "\n")
}

// passage is one gate of a decision as people read it.
func passage(p policy.Passage) string {
	state := "closed"
	switch {
	case p.Waived:
		state = "closed, waived"
	case p.Open:
		state = "open"
	}
	if p.Why == "" {
		return p.Gate + ": " + state
	}
	return p.Gate + ": " + state + ": " + p.Why
}

// runbookLink is the runbook's entry for a kind of notice, or "" without a runbook.
func runbookLink(page, event string) string {
	if page == "" {
		return ""
	}
	return page + "#" + url.PathEscape(event)
}

// stamp is a time as machines and people read it.
func stamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

// or is the first of two texts that is not empty.
func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// clip makes a text valid, without control characters other than line breaks,
// and at most limit long, whether characters are counted as runes or, as in many
// services, as UTF-16 units. A text that was cut ends in "…".
func clip(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	length, cut := 0, 0
	for i, r := range text {
		if length <= limit-1 {
			cut = i
		}
		if length += utf16.RuneLen(r); length > limit {
			return text[:cut] + "…"
		}
	}
	return text
}

// utf16Len is a text's length in UTF-16 units.
func utf16Len(text string) (n int) {
	for _, r := range text {
		n += utf16.RuneLen(r)
	}
	return n
}

// clipBytes is the longest whole beginning of a text with at most limit bytes.
func clipBytes(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
