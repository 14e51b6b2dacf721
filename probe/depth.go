package probe

import "strings"

// depths are the words for how far a conversation goes, shallowest first: the
// names of phases, and what people also call them.
var depths = []struct {
	word  string
	phase Phase
}{
	{"connect", PhaseConnect}, {"greeting", PhaseGreet}, {"greet", PhaseGreet}, {"auth", PhaseAuth}, {"ping", PhasePing},
	{"role", PhaseRole}, {"read", PhaseRead}, {"write", PhaseWrite},
}

// DepthWords returns the words that [ParseDepth] knows, the shallowest first.
func DepthWords() []string {
	var out []string
	for _, d := range depths {
		out = append(out, d.word)
	}
	return out
}

// ParseDepth returns the last phase of a conversation that goes as far as word
// says, or [PhaseNone] for a word that is none of [DepthWords].
func ParseDepth(word string) Phase {
	for _, d := range depths {
		if d.word == strings.TrimSpace(word) {
			return d.phase
		}
	}
	return PhaseNone
}
