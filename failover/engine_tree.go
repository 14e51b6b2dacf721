package failover

// tree tells whether a ballot and its votes are as they were: what is written gets
// an index above all others, and what went is missing.
type tree struct {
	keys   int
	newest uint64
}

func (t tree) with(entry Entry) tree { return tree{t.keys + 1, max(t.newest, entry.ModifyIndex)} }

// knows reports whether the watch shows nothing new of a resource's ballot, whose
// opening is entry. In a storm each vote that is cast shows every ballot to every
// observer: of hundreds of ballots one is looked into, and not all.
func (r *resource) knows(t tree, entry Entry) bool {
	own := r.ballot != nil && r.ballot.seen != 0 && r.ballot.seen == entry.ModifyIndex
	return r.tree == t && (own || r.alien.index == entry.ModifyIndex)
}
