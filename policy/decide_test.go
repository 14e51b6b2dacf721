package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/reattach/reattach/policy"
)

// TestDecideStories shows, for each situation, what its gates say and what
// became of each endpoint. A story holds several situations; each begins with
// "== KIND TITLE" from one in which everything is open (see ready), and the
// lines below change it. Shown are the gates that say something else then, or
// all, where nothing was changed. "protected" asks as if what is attached were
// down.
func TestDecideStories(t *testing.T) {
	golden(t, "decide", func(t *testing.T, story string) string {
		var out strings.Builder
		var s *policy.Situation
		var protected, changed bool
		show := func() {
			if s == nil {
				return
			}
			var usual []policy.Passage
			if changed {
				usual = policy.Decide(policy.Gates(), ready(s.Kind)).Gates
			}
			d := policy.Decide(policy.Gates(), s)
			if protected {
				d = policy.Protected(policy.Gates(), *s)
			}
			writeDecision(&out, s, d, usual)
		}
		for _, words := range lines(story) {
			switch words[0] {
			case "==":
				show()
				var k policy.Kind
				if err := k.UnmarshalText([]byte(words[1])); err != nil {
					t.Fatal(err)
				}
				s, protected, changed = ready(k), false, false
				fmt.Fprintf(&out, "== %s\n", strings.Join(words[1:], " "))
			case "protected":
				protected, changed = true, true
				out.WriteString("   protected\n")
			default:
				changed = true
				describe(t, s, words)
				fmt.Fprintf(&out, "   %s\n", strings.Join(words, " "))
			}
		}
		show()
		return out.String()
	})
}

// writeDecision shows what is not as usual, and what is done.
func writeDecision(out *strings.Builder, s *policy.Situation, d policy.Decision, usual []policy.Passage) {
	for _, p := range d.Gates {
		if slices.Contains(usual, p) {
			continue
		}
		mark := "open  "
		switch {
		case p.Waived:
			mark = "waived"
		case !p.Open:
			mark = "CLOSED"
		}
		fmt.Fprintf(out, "   %s  %-12s  %s\n", mark, p.Gate, p.Why)
	}
	for _, c := range d.Candidates {
		reason := c.Reason
		if reason == "" {
			reason = "chosen"
		}
		fmt.Fprintf(out, "   %-8s %-11s %s\n", c.Endpoint, reason, c.Why)
	}
	switch {
	case d.Act():
		fmt.Fprintf(out, "   => %s to %s\n\n", d.Kind, s.Endpoints[d.Target].Name)
	default:
		fmt.Fprintf(out, "   => held by %s\n\n", d.Closed().Gate)
	}
}
