package probe

import (
	"encoding/json"
	"slices"
	"time"
)

// Result is what one conversation, or one ping on a held session, came to.
type Result struct {
	Kind  Kind
	Class Class
	// Hint marks a result that is no evidence by itself: a held session that
	// was closed, said its last words, or answered late. It asks for a fresh
	// conversation at once.
	Hint bool
	// Phase is where the conversation stopped; for OK, the deepest one reached.
	Phase Phase
	// Code is the server's own code: "1040", "421 4.7.0", "403". Empty if it gave none.
	Code string
	// Err says in one line what went wrong, secrets masked. Empty when OK.
	Err string
	// Addr is the address spoken to ("10.0.0.7:3306"), empty before it was known.
	Addr string
	// Addrs is every address that the name had, in the order of the answer.
	Addrs []string
	// Began and Ended bound the conversation, by the clock of this process.
	Began, Ended time.Time
	Timings      Timings
	Facts        Facts
}

// Failed reports whether the result is anything else than OK.
func (r Result) Failed() bool { return r.Class != OK }

// Timings holds how long each phase took; zero for phases that did not happen.
type Timings [phaseCount]time.Duration

// MarshalJSON encodes the phases that happened, in milliseconds.
func (t Timings) MarshalJSON() ([]byte, error) {
	ms := make(map[string]float64, phaseCount)
	for p := PhaseResolve; p < phaseCount; p++ {
		if t[p] > 0 {
			ms[p.String()] = float64(t[p].Microseconds()) / 1000
		}
	}
	return json.Marshal(ms)
}

// Facts is what a conversation learned of the server, by name: "version"
// (string), "read_only" (bool), "uptime" (seconds, int64), "tls_expiry"
// (RFC 3339, string), and each protocol's own. Values are bool, int64,
// float64 or string. A fact that could not be learned is absent.
type Facts map[string]any

// deny reports whether one of them is a no.
func (f Facts) deny() bool {
	for _, value := range f {
		if value == false {
			return true
		}
	}
	return false
}

// Deep returns those of facts that only the canary learns. They say what it saw,
// and are good until its next one.
func (p Protocol) Deep(facts Facts) Facts {
	out := Facts{}
	for _, f := range p.Facts {
		if value, known := facts[f.Name]; known && p.Canary != PhaseNone && f.Depth() >= p.Canary {
			out[f.Name] = value
		}
	}
	return out
}

// wantsDeep reports whether t wants a fact that only the canary learns.
func (p Protocol) wantsDeep(t Target) bool {
	return slices.ContainsFunc(p.Facts, func(f Fact) bool {
		return p.Canary != PhaseNone && f.Depth() >= p.Canary && slices.Contains(t.Wanted, f.Name)
	})
}
