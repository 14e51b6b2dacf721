package configs

import (
	"fmt"
	"strings"
)

// didYouMean returns the candidate that a word was most probably meant to be,
// as a hint; "" if none is near enough.
func didYouMean(word string, candidates []string) string {
	if best := nearest(word, candidates); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return ""
}

// nearest returns the candidate that a word was most probably meant to be, or
// "" if none is near enough.
func nearest(word string, candidates []string) string {
	if len(word) > longest {
		return ""
	}
	best, least := "", max(1, len(word)/3)
	for _, c := range candidates {
		if max(len(c)-len(word), len(word)-len(c)) > least {
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d <= least && (best == "" || d < least) {
			best, least = c, d
		}
	}
	return best
}

// guess returns didYouMean's hint, or else the whole list to choose from.
func guess(word string, candidates []string) string {
	if hint := didYouMean(word, candidates); hint != "" {
		return hint
	}
	if len(candidates) == 0 {
		return ""
	}
	return "one of " + strings.Join(candidates, ", ")
}

// distance counts the insertions, deletions, substitutions and swaps of
// neighbours that make b of a (the optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last := make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row := make([]int, len(y)+1)
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(y)]
}
