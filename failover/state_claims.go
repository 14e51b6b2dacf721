package failover

import (
	"slices"
	"strings"
	"time"
)

// Claim is who tells people of something, under notice/<resource>/<epoch>.<what>.
// There is one only where several observers watch.
type Claim struct {
	By     string `json:"by"`               // the observer
	ID     string `json:"id"`               // drawn for each claim
	Key    string `json:"key"`              // of the notice; for an outage as a whole, its own
	Outage string `json:"outage,omitempty"` // that it is a part of
	Lasts  bool   `json:"lasts,omitempty"`  // its end is told by whoever holds the claim
	Told   bool   `json:"told,omitempty"`   // it is on its way to people
	Acked  bool   `json:"acked,omitempty"`  // that a person acknowledged it is, too
	// At is when it was claimed, by the wall clock of who did.
	At time.Time `json:"at"`
}

// ended reports whether what was told needs no end, or has had it.
func (c Claim) ended() bool { return c.Told && !c.Lasts }

// Acknowledgement is who acknowledged what a resource is held for, and why.
type Acknowledgement struct {
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

const noticePrefix = Prefix + "notice/"

// fleetClaims stands for a resource in the claims on what concerns all of them.
const fleetClaims = "_all"

func noticeTree(resource string) string { return noticePrefix + resource + "/" }

// claimResource is below whose claims a notice is.
func claimResource(n Notice) string {
	if n.Resource == "" {
		return fleetClaims
	}
	return n.Resource
}

// claimName is what a notice's claim is called there. When an outage began is no
// part of it: each observer has seen that at a moment of his own.
func claimName(n Notice) string {
	if rest, part := strings.CutPrefix(n.Key, n.Outage+"."); part && n.Outage != "" {
		return outageEpoch(n) + "." + rest
	}
	return strings.TrimPrefix(n.Key, n.Resource+"/")
}

// ofSwitch reports whether a claim with that name is on telling of a switch, or of
// what came of one.
func ofSwitch(name string) bool {
	_, what, _ := strings.Cut(name, ".")
	return slices.Contains(switchEvents, what)
}

// outageName is what the claim on an outage as a whole is called: whoever holds it
// tells its end. It also holds the outage's key, so that all have the same.
func outageName(n Notice) string { return outageEpoch(n) + ".outage" }

// outageEpoch is the epoch in which a notice's outage began.
func outageEpoch(n Notice) string {
	epoch, _, _ := strings.Cut(strings.TrimPrefix(n.Outage, n.Resource+"/"), ".")
	return epoch
}
