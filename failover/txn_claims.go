package failover

import (
	"slices"
	"strconv"
	"strings"
)

// readClaims reads all claims on what there is to be told of a resource.
func readClaims(resource string) []Op { return []Op{{Verb: GetTree, Key: noticeTree(resource)}} }

// writeClaim writes a claim over what was read in its place; nothing there is
// index 0, and then it must still be absent.
func writeClaim(read Entry, c Claim) Op {
	return Op{Verb: CAS, Key: read.Key, Value: encode(c), Flags: read.Flags, Index: read.ModifyIndex}
}

// tellOps claims a notice. Where it is part of an outage, the claim on that stands
// beside it, so that all observers give the outage one key, and one tells its end.
// What the notice makes needless goes in the same transaction.
func tellOps(read Entry, c Claim, outage Entry, whole Claim, needless []Entry) []Op {
	ops := []Op{writeClaim(read, c)}
	switch {
	case c.Outage == "":
	case outage.Exists() && whole.By != c.By:
		ops = append(ops, unchanged(outage))
	default:
		ops = append(ops, writeClaim(outage, whole))
	}
	return append(ops, dropOps(needless)...)
}

// dropOps removes claims that are as they were read.
func dropOps(entries []Entry) []Op {
	ops := make([]Op, 0, len(entries))
	for _, e := range entries[:min(len(entries), maxOps/2)] {
		ops = append(ops, Op{Verb: DeleteCAS, Key: e.Key, Index: e.ModifyIndex})
	}
	return ops
}

// claims are the claims on what there is to be told of one resource.
type claims struct {
	tree    string
	entries []Entry
	claims  []Claim
}

func claimsOf(resource string, entries []Entry) claims {
	c := claims{tree: noticeTree(resource)}
	for _, entry := range entries {
		var one Claim
		if decode(entry, &one) == nil { // one that cannot be read is as good as none, and is overwritten
			c.entries, c.claims = append(c.entries, entry), append(c.claims, one)
		}
	}
	return c
}

// named returns a claim and its entry, which does not exist where there is none.
func (c claims) named(name string) (Entry, Claim) {
	i := slices.IndexFunc(c.entries, func(e Entry) bool { return e.Key == c.tree+name })
	if i < 0 {
		return Entry{Key: c.tree + name}, Claim{}
	}
	return c.entries[i], c.claims[i]
}

// of returns the entries of an outage's claims, and of those with the names.
func (c claims) of(outage string, names ...string) (some []Entry) {
	for i, e := range c.entries {
		if slices.Contains(names, strings.TrimPrefix(e.Key, c.tree)) || outage != "" && c.claims[i].Outage == outage {
			some = append(some, e)
		}
	}
	return some
}

// toldBy reports whether an observer told what an end is of. That the claim on an
// outage as a whole is his says only that he was about to tell something of it.
func (c claims) toldBy(observer string, g *ending) bool {
	for _, entry := range c.of(g.notice.Outage, g.names...) {
		name := strings.TrimPrefix(entry.Key, c.tree)
		if _, claim := c.named(name); claim.By == observer && claim.Told && (g.notice.Outage == "" || name != outageName(g.notice)) {
			return true
		}
	}
	return false
}

// end removes claims of what has ended. That a switch was told is kept until a
// later one is: an observer whose turn it is after the end must not tell it again.
func (c claims) end(entries []Entry) (ops []Op) {
	for _, op := range dropOps(entries) {
		name := strings.TrimPrefix(op.Key, c.tree)
		switch entry, claim := c.named(name); {
		case !ofSwitch(name) || !claim.Told:
			ops = append(ops, op)
		case claim.Lasts:
			claim.Lasts = false
			ops = append(ops, writeClaim(entry, claim))
		}
	}
	return ops
}

// outdated returns the entries of what was told of switches before the last one,
// and needs no end.
func (c claims) outdated(epoch uint64) (some []Entry) {
	for i, e := range c.entries {
		text, _, _ := strings.Cut(strings.TrimPrefix(e.Key, c.tree), ".")
		old, err := strconv.ParseUint(text, 10, 64)
		if err == nil && old+1 < epoch && c.claims[i].Told && !c.claims[i].Lasts {
			some = append(some, e)
		}
	}
	return some
}
