package main

import (
	"slices"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// writable is the fact by which a database says whether it takes writes.
const writable = "writable"

// readOnly says what is wrong with a standby that refuses writes, where a failover
// would attach it all the same: nothing requires that it takes them, and nothing
// promotes it. Empty: nothing is. An application whose attached server is read-only,
// too, wants no other.
func (r liveResource) readOnly(def *policy.Resource, e liveEndpoint) string {
	refuses := func(e liveEndpoint) bool { return e.Class == probe.OK && e.Facts[writable] == false }
	required := slices.ContainsFunc(def.Require, func(q policy.Requirement) bool { return q.Fact == writable })
	switch {
	case r.attached(e), !refuses(e), required, def.Steps.Has(policy.Promote):
		return ""
	case slices.ContainsFunc(r.Endpoints, func(e liveEndpoint) bool { return r.attached(e) && refuses(e) }):
		return ""
	}
	return e.Name + ` is read-only (writable is false), and there is neither require = ["writable"] nor promote: a failover would attach a server that refuses writes`
}

// renderWarnings shows what the endpoints' warnings are, below what is required.
func (r liveResource) renderWarnings(p paint) string {
	t := table{paint: p, indent: "  "}
	for _, e := range r.Endpoints {
		if e.Warning == "" {
			continue
		}
		level := cell{"warning ", yellow}
		for _, line := range broken(e.Warning, textColumns) {
			t.row(level, cell{line, plain})
			level = cell{}
		}
	}
	return t.String()
}

// textColumns is where sentences behind a word are broken, so that they fit on 80 columns.
const textColumns = 68
