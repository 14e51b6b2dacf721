package failover_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/reattach/reattach/failover"
)

// ruleStories names, for each rule that was found by a search of the protocol's
// states, the story of testdata/fleet that needs it, and the harm that is done
// there without it. Where the engine rules out the shortest way to that harm by
// something else, the story is the nearest to it, and why is said.
var ruleStories = []struct {
	rule  failover.Rule
	story string
	harm  string // how its text begins
}{
	{failover.RuleTarget, "40-only-what-was-promoted", "I7: commits s2, and s1 was promoted"},
	{failover.RuleFenced, "41-fenced-comes-back", "stuck: primary was fenced, and is attached still"},
	{failover.RuleCarry, "42-carried-on", "stuck: an operation stands at fence"},
	// Who finds his fresh ballot refused opens another one while he has patience, so two do not give up at once.
	{failover.RuleAbort, "43-abort-is-claimed", "I13: commits what was aborted"},
	{failover.RuleStart, "44-started-and-failed", "I13: standby was promoted, is not committed, and nobody is left to abort it"},
	// A margin keeps others from taking over what runs, so it is the answer to the claim that is late.
	{failover.RuleKill, "45-claim-answered-late", "I7: fence runs while fence of mon-b does"},
	{failover.RuleChecks, "46-paused-between-steps", "I6: promote is claimed under a pause"},
	{failover.RuleKeep, "47-hand-edit-while-promoting", "I13: s1 was promoted, is not committed, and nobody is left to abort it"},
	// An adopt forgets what was fenced before it, so the fence ends after it.
	{failover.RuleEpoch, "48-fence-of-another-epoch", "I3: s2 is down by 0 votes, and it was not fenced"},
	{failover.RuleWaive, "49-forced-while-promoting", "I7: the switchover is committed in the middle of another operation"},
	{failover.RuleResend, "50-adopt-astray", "I12: the adopt lands after its sender had said that it did not happen"},
	{failover.RuleOpened, "51-adopted-in-mid-ballot", "I8: commits although reattach/state/orders-db changed since the opening"},
	// No vote is ever amended, so it is one without an answer that would be.
	{failover.RuleAmend, "52-vote-without-an-answer", "I4: standby is up by 1 votes of the ballot"},
	{failover.RuleRead, "53-late-reading", "the store is told to have gone back in time"},
	{failover.RuleAfter, "54-opener-dies-after-its-commit", "I13: after never ran"},
	// Who stands still throws away what he saw and closes his ballot, so it is a commit that was decided on before.
	{failover.RuleAge, "55-commit-held-up", "I8: commits on a ballot that was closed"},
	{failover.RuleIdx0, "56-claim-after-a-commit", "I1: app/orders-db/URL0 is not ours any more"},
	{failover.RuleID, "57-commit-after-steps-astray", "I12: the failover is told as made, and was not"},
}

// ruleTales names, for further rules, a story of testdata that comes out otherwise
// without it.
var ruleTales = map[failover.Rule]string{
	failover.RuleNonce:         "fleet/12-rejects-credentials",
	failover.RuleHash:          "fleet/18-other-configuration",
	failover.RuleMajority:      "fleet/06-two-are-dead",
	failover.RuleFresh:         "fleet/02-one-cut-off",
	failover.RuleFollow:        "scenario/35-alien-ballots",
	failover.RuleConclusive:    "fleet/01-all-see-it",
	failover.RuleVeto:          "fleet/02-one-cut-off",
	failover.RuleVetoAny:       "fleet/58-veto-from-another-configuration",
	failover.RuleAbstain:       "fleet/18-other-configuration",
	failover.RuleVoteBlind:     "fleet/59-not-fit-to-vote",
	failover.RuleVotePaused:    "fleet/59-not-fit-to-vote",
	failover.RuleProcess:       "scenario/35-alien-ballots",
	failover.RuleWithdraw:      "scenario/32-close-never-arrives",
	failover.RuleClose:         "scenario/35-alien-ballots",
	failover.RuleOwn:           "scenario/35-alien-ballots",
	failover.RuleLitter:        "fleet/02-one-cut-off",
	failover.RuleSpacing:       "fleet/03-two-cut-off",
	failover.RuleTwice:         "scenario/66-two-a-minute",
	failover.RuleResolve:       "scenario/06-lost-reply",
	failover.RuleAbove:         "scenario/14-rewound",
	failover.RuleTaint:         "fleet/16-fenced-and-alive",
	failover.RuleObserve:       "scenario/12-observe",
	failover.RuleQueue:         "scenario/221-not-queued",
	failover.RuleAdoptSound:    "scenario/14-rewound",
	failover.RuleClearSound:    "scenario/222-caught-up-under-a-pause",
	failover.RuleRewound:       "scenario/14-rewound",
	failover.RuleTargetTaint:   "scenario/10-switchover",
	failover.RuleTargetDrained: "scenario/27-drain-ends",
	failover.RuleTargetRequire: "scenario/140-requirement",
	failover.RuleTargetUp:      "fleet/08-switchover-refused",
	failover.RuleTargetFresh:   "fleet/07-switchover",
	failover.RuleTargetVotes:   "fleet/14-standby-down-for-two",
	failover.RuleTargetServer:  "scenario/220-same-server",
	failover.RuleTargetTried:   "scenario/09-there-and-back",
	failover.RuleAckOnce:       "scenario/144-ack-outlives-a-planned-move",
	failover.RuleFirstSeen:     "scenario/120-writable-before-it-was-left",
	failover.RuleVoidPause:     "scenario/07-paused",
	failover.RuleVoidFault:     "scenario/37-own-fault",
	failover.RuleVoidBlind:     "scenario/05-store-lost",
	failover.RuleVoidStood:     "scenario/116-stand-still-is-no-minute",
	failover.RuleVoidRewound:   "scenario/176-rewound-while-promoting",
	failover.RuleSilence:       "fleet/18-other-configuration",
	failover.RuleLocal:         "scenario/37-own-fault",
	failover.RuleSteps:         "fleet/15-steps",
	failover.RuleAckKeep:       "scenario/174-orders-meanwhile",
	failover.RuleMeaning:       "scenario/170-reloaded-while-promoting",
	failover.RuleStanding:      "fleet/15-steps",
	failover.RuleOverdue:       "fleet/17-runner-dies",
	failover.RuleTries:         "scenario/161-killed-twice",
	failover.RuleFailed:        "scenario/152-promote-fails",
	failover.RuleRetry:         "scenario/155-fence-fails",
	failover.RuleInVain:        "scenario/180-proceed-and-back",
	failover.RulePatience:      "scenario/216-switchover-and-behind",
	failover.RuleLate:          "scenario/181-abort-answered-late",
	failover.RuleStepSound:     "scenario/223-store-lost-between-steps",
	failover.RuleTwoWritable:   "scenario/152-promote-fails",
}

// storiesOfRules is a story that needs it, for each rule that has one.
func storiesOfRules() map[failover.Rule]string {
	all := maps.Clone(ruleTales)
	for _, c := range ruleStories {
		all[c.rule] = "fleet/" + c.story
	}
	return all
}

// TestRuleTales: without its rule, each of these stories comes out otherwise.
func TestRuleTales(t *testing.T) {
	for _, r := range failover.Rules() {
		if ruleTales[r] == "" {
			continue
		}
		t.Run(r.String(), func(t *testing.T) {
			story, err := os.ReadFile(filepath.Join("testdata", ruleTales[r]+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			tell := tellWithout
			if strings.HasPrefix(ruleTales[r], "fleet/") {
				tell = func(t *testing.T, story string, without failover.RuleSet) string {
					_, tale := playWithout(t, story, without)
					return tale
				}
			}
			if tell(t, string(story), failover.RuleSet{}) == tell(t, string(story), failover.RuleSet{}.With(r)) {
				t.Errorf("without %s (%s) the story comes out the same", r, r.Says())
			}
		})
	}
}

// tellWithout plays a story of one observer without some rules, and returns what
// came of it.
func tellWithout(t *testing.T, story string, without failover.RuleSet) string {
	l := &lenient{T: t}
	w := newWorld(l, story)
	w.cfg.Without = without
	w.boot()
	return w.play(l, story)
}

// TestRuleStories plays each of these stories with all rules, where nobody comes
// to harm, and without its rule, where the harm is done.
func TestRuleStories(t *testing.T) {
	for _, c := range ruleStories {
		t.Run(c.rule.String(), func(t *testing.T) {
			story, err := os.ReadFile(filepath.Join("testdata/fleet", c.story+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			if harms, tale := playWithout(t, string(story), failover.RuleSet{}); len(harms) > 0 {
				t.Errorf("with all rules: %s\n%s", strings.Join(harms, "\n"), tale)
			}
			harms, tale := playWithout(t, string(story), failover.RuleSet{}.With(c.rule))
			if !slices.ContainsFunc(harms, func(h string) bool { return strings.HasPrefix(h, c.harm) }) {
				t.Errorf("without %s (%s) the harm is not done: want %q, got %q\n%s", c.rule, c.rule.Says(), c.harm, harms, tale)
			}
		})
	}
}

// playWithout plays a story of a fleet without some rules, and returns the harm
// that was done.
func playWithout(t *testing.T, story string, without failover.RuleSet) (harms []string, tale string) {
	x, l := newWatcher(), &lenient{T: t}
	f := newFleet(l, story)
	for _, w := range f.worlds {
		w.watcher, w.cfg.Without = x, without
		w.boot()
	}
	f.play(l, story)
	x.end(f.worlds[0])
	return append(x.harms, l.faults...), f.worlds[0].out.String()
}

// lenient is a test that goes on where something is wrong, and notes it.
type lenient struct {
	*testing.T
	faults []string
}

// Errorf notes a fault.
func (l *lenient) Errorf(format string, args ...any) {
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}
