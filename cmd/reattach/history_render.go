package main

import (
	"fmt"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// renderHistory lists switches; limit 0 shows all.
func renderHistory(p paint, width int, records []failover.Record, limit int) string {
	if len(records) == 0 {
		return "no switch is recorded\n"
	}
	t := table{paint: p, width: width, fold: true}
	t.texts(dim, "WHEN (UTC)", "RESOURCE", "EPOCH", "KIND", "SWITCH", "TOOK", "WHY")
	for i, r := range records {
		if limit > 0 && i == limit {
			break
		}
		kind := cell{r.Kind.String(), plain}
		if r.Kind == policy.Failover {
			kind.ink = yellow
		}
		took := "-"
		if r.Times.Total > 0 {
			took = fmt.Sprintf("%.2f s", r.Times.Total)
		}
		t.row(cell{r.At.UTC().Format("2006-01-02 15:04:05"), plain}, cell{r.Resource, bold}, cell{fmt.Sprint(r.Epoch), plain}, kind,
			cell{move(r), plain}, cell{took, plain}, cell{reasonOf(r), plain})
	}
	out := t.String()
	if limit > 0 && len(records) > limit {
		out += p.in(dim, fmt.Sprintf("and %d more: --limit 0\n", len(records)-limit))
	}
	return out
}
