package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// renderRecord shows one switch of the past as it was decided: the gates, the
// candidates and the votes that were kept with it.
func renderRecord(p paint, width int, r failover.Record) string {
	e := explanation{paint: p, width: width}
	title := fmt.Sprintf("%s: epoch %d, %s %s, at %s by %s", r.Resource, r.Epoch, r.Kind, move(r), r.At.Format("2006-01-02 15:04:05 MST"), r.By)
	lines := append([]string{p.in(bold, cut(title, e.columns()))}, e.facets(recordFacts(r))...)
	if len(r.Gates) > 0 {
		title := "Gates"
		if shut := (policy.Decision{Gates: r.Gates}).Closed(); shut.Gate == "" {
			title += ": none was closed"
		}
		lines = append(lines, e.gates(title, r.Gates)...)
	}
	lines = append(lines, e.candidacies("Who could take over", r.Candidates, len(r.Candidates))...)
	if len(r.Votes) > 0 {
		var t table
		for _, v := range r.Votes {
			t.row(cell{voter(v), plain}, cell{sawText(v), plain})
		}
		lines = append(lines, e.lines("Votes", t)...)
	}
	return strings.Join(lines, "\n") + "\n"
}

// recordFacts say why a switch was made, who asked, and how long it took.
func recordFacts(r failover.Record) (facts [][2]string) {
	add := func(name, text string) { facts = append(facts, [2]string{name, text}) }
	add("why", r.Why)
	if r.Person != "" {
		add("asked by", r.Person+": "+r.Reason)
	}
	if len(r.Forced) > 0 {
		add("waived", strings.Join(r.Forced, ", "))
	}
	for _, s := range r.Steps {
		add(s.Step, stepText(s))
	}
	if t := r.Times; t.Total > 0 {
		var parts []string
		for _, part := range []struct {
			seconds float64
			words   string
		}{{t.Detect, "to be sure"}, {t.Read, "to read the handles"}, {t.Open, "to open the ballot"}, {t.Vote, "to vote"}} {
			if part.seconds > 0 {
				parts = append(parts, fmt.Sprintf("%.3f s %s", part.seconds, part.words))
			}
		}
		add("took", fmt.Sprintf("%.2f s from the first bad probe: %s", t.Total, strings.Join(parts, ", ")))
	}
	return facts
}

// stepText says how a step ended, or stands.
func stepText(s failover.StepEnd) string {
	switch s.Outcome {
	case failover.StepDue:
		return "nobody has run it yet"
	case failover.StepRunning:
		return fmt.Sprintf("runs, attempt %d by %s", s.Attempt, s.By)
	}
	text := fmt.Sprintf("%s, %.2f s, attempt %d by %s", s.Outcome, s.Seconds, s.Attempt, s.By)
	if s.Why != "" {
		text += ": " + s.Why
	}
	return text
}

// voter says whose vote it is.
func voter(v failover.Vote) string {
	if v.Zone == "" {
		return v.Observer
	}
	return v.Observer + " in " + v.Zone
}

// sawText says what a vote saw of each endpoint.
func sawText(v failover.Vote) string {
	var saw []string
	for _, s := range v.Saw {
		text := s.Endpoint + " " + s.State.String()
		if s.Class != probe.OK && s.Class != probe.None {
			text += " (" + strings.TrimSpace(s.Class.String()+" "+s.Code) + ")"
		}
		saw = append(saw, text)
	}
	return strings.Join(saw, ", ")
}

// recordOf finds a switch by its epoch.
func recordOf(records []failover.Record, name string, epoch uint64) (failover.Record, error) {
	at := slices.IndexFunc(records, func(r failover.Record) bool { return r.Epoch == epoch })
	if at < 0 {
		return failover.Record{}, wrongf(fmt.Sprintf("`reattach history %s` lists the epochs that are kept", name), "%s has no switch with epoch %d in its history", name, epoch)
	}
	return records[at], nil
}
