package sim

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// The keys of the store, as DESIGN has them. They are written down here a second
// time, so that a wrong one in the engine is seen.
const (
	controlPrefix = "reattach/control/"
	ballotPrefix  = "reattach/ballot/"
	controlAll    = controlPrefix + "_all"
)

func stateKey(resource string) string    { return "reattach/state/" + resource }
func controlKey(resource string) string  { return controlPrefix + resource }
func ballotKey(resource string) string   { return ballotPrefix + resource + "/_" }
func ballotTree(resource string) string  { return ballotPrefix + resource + "/" }
func historyTree(resource string) string { return "reattach/history/" + resource + "/" }
func afterTree(resource string) string   { return "reattach/after/" + resource + "/" }

func historyKey(resource string, epoch uint64) string {
	return fmt.Sprintf("%s%010d", historyTree(resource), epoch)
}

// role says what a key is for, whatever its resource: it names a guard.
func role(key string) string {
	rest, ours := strings.CutPrefix(key, failover.Prefix)
	if !ours {
		return "handle"
	}
	kind, name, _ := strings.Cut(rest, "/")
	switch {
	case name == "_sentinel":
		return name[1:]
	case kind == "control" && name == "_all":
		return "control of all"
	case kind == "control":
		return "control"
	case kind == "ballot" && strings.HasSuffix(name, "/_"):
		return "ballot"
	case kind == "ballot" && strings.HasSuffix(name, "/"):
		return "votes"
	case kind == "ballot":
		return "vote"
	}
	return kind
}

// resourceOf is the resource that one of our own keys is about.
func resourceOf(key string) string {
	parts := strings.Split(key, "/")
	if len(parts) < 3 {
		return ""
	}
	return parts[2]
}

func handleKeys(r *policy.Resource) (all []string) {
	for _, h := range r.Handles {
		all = append(all, h.Key)
	}
	return all
}

// decode reads what the store holds; an absent or broken entry leaves v as it is.
func decode(e failover.Entry, v any) bool {
	return e.Exists() && json.Unmarshal(e.Value, v) == nil
}
