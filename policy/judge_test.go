package policy_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// TestJudgeStories tells, for each story, line by line, what an endpoint is
// believed to be. The language of a story:
//
//	thresholds [bad=3] [of=3] [rise=2] [sustain=10s] [also=CLASS] [also_sustain=60s] [expect=FACT] [write_sustain=0s]
//	pace       [interval=1s] [fresh=10s] [timeout=2s]
//	+AFTER     session|fresh|write CLASS [CODE] [took=TIME] [hint] [xN] [every=TIME] [fact:NAME=VALUE]
//	+AFTER     look      # what the verdict is worth by now
//	+AFTER     void      # the observer itself stood still
//	+AFTER     forget    # nothing is written any more
//
// AFTER counts from the line before; an observation begins then.
func TestJudgeStories(t *testing.T) {
	golden(t, "judge", func(t *testing.T, story string) string {
		j := judging{t: t, now: start, thresholds: policy.Thresholds{Bad: 3, Of: 3, Rise: 2, Sustain: 10 * time.Second},
			pace: probe.Pace{Interval: time.Second, FreshInterval: 10 * time.Second}, timeout: 2 * time.Second}
		for _, words := range lines(story) {
			j.line(words)
		}
		return j.out.String()
	})
}

// judging is one story of an endpoint.
type judging struct {
	t          *testing.T
	now        time.Time
	thresholds policy.Thresholds
	pace       probe.Pace
	timeout    time.Duration
	verdict    policy.Verdict
	out        strings.Builder
}

func (j *judging) line(words []string) {
	switch words[0] {
	case "thresholds":
		j.settings(words[1:])
		return
	case "pace":
		for _, word := range words[1:] {
			name, value := option(word)
			*map[string]*time.Duration{"interval": &j.pace.Interval, "fresh": &j.pace.FreshInterval, "timeout": &j.timeout}[name] = duration(j.t, value)
		}
		return
	}
	j.now = j.now.Add(duration(j.t, strings.TrimPrefix(words[0], "+")))
	switch words[1] {
	case "look":
		j.verdict = j.verdict.At(j.now, j.pace, j.timeout)
		j.say(words[1:], j.now)
	case "forget":
		j.verdict = j.verdict.Forget(probe.Write, j.now)
		j.say(words[1:], j.now)
	case "void":
		j.verdict = j.verdict.Void(j.now)
		j.say(words[1:], j.now)
	default:
		j.observe(words[1:])
	}
}

func (j *judging) settings(words []string) {
	for _, word := range words {
		name, value := option(word)
		n, _ := strconv.Atoi(value)
		switch name {
		case "bad":
			j.thresholds.Bad = n
		case "of":
			j.thresholds.Of = n
		case "rise":
			j.thresholds.Rise = n
		case "sustain":
			j.thresholds.Sustain = duration(j.t, value)
		case "also":
			j.thresholds.AlsoEvidence = append(j.thresholds.AlsoEvidence, class(j.t, value))
			j.thresholds.AlsoSustain = max(j.thresholds.AlsoSustain, time.Minute)
		case "also_sustain":
			j.thresholds.AlsoSustain = duration(j.t, value)
		case "expect":
			j.thresholds.Expect = append(j.thresholds.Expect, require(j.t, value))
		case "write_sustain":
			j.thresholds.WriteSustain = duration(j.t, value)
		default:
			j.t.Fatalf("unknown threshold %q", word)
		}
	}
}

func (j *judging) observe(words []string) {
	var o probe.Result
	if err := o.Kind.UnmarshalText([]byte(words[0])); err != nil {
		j.t.Fatal(err)
	}
	o.Class = class(j.t, words[1])
	times, every, took := 1, time.Duration(0), time.Duration(0)
	for _, word := range words[2:] {
		name, value := option(word)
		switch {
		case name == "took":
			took = duration(j.t, value)
		case name == "every":
			every = duration(j.t, value)
		case word == "hint":
			o.Hint = true
		case strings.HasPrefix(name, "fact:"):
			o.Facts = probe.Facts{strings.TrimPrefix(name, "fact:"): fact(value)}
		case word[0] == 'x':
			times, _ = strconv.Atoi(word[1:])
		default:
			o.Code = word
		}
	}
	for i := range times {
		if i > 0 {
			j.now = j.now.Add(every)
		}
		o.Began, o.Ended = j.now, j.now.Add(took)
		j.verdict = policy.Judge(j.verdict, j.thresholds.Expected(o), j.thresholds)
		j.say(words[:2], o.Ended)
	}
}

// say writes when the line happened, what it was, and the verdict after it.
func (j *judging) say(words []string, at time.Time) {
	v := j.verdict
	belief := v.State.String()
	if why := v.Why(); v.State > policy.Up && why != belief {
		belief += " (" + v.Kind.String() + " " + why + ")"
	}
	fmt.Fprintf(&j.out, "%9.3f  %-19s %-28s since %.3f", at.Sub(start).Seconds(), strings.Join(words, " "), belief, v.Since.Sub(start).Seconds())
	if first := v.FirstBad(); !first.IsZero() {
		fmt.Fprintf(&j.out, ", first bad %.3f", first.Sub(start).Seconds())
	}
	j.out.WriteString("\n")
}

func class(t *testing.T, name string) (c probe.Class) {
	t.Helper()
	if err := c.UnmarshalText([]byte(name)); err != nil {
		t.Fatal(err)
	}
	return c
}
