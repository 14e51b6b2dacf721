package failover

// Rule is one rule of the ballot, the commit or the steps that is no gate and no
// guard of a transaction. Each is there because its absence does harm; the
// simulation takes them away one by one and shows which.
type Rule uint8

// The rules. What each says stands in one table below.
const (
	// Of votes.
	RuleNonce Rule = iota
	RuleHash
	RuleMajority
	RuleFresh
	RuleTalk
	RuleFollow
	RuleConclusive
	RuleAmend
	RuleVeto
	RuleVetoAny
	RuleAbstain
	RuleVoteBlind
	RuleVotePaused
	RuleVoteRewound

	// Of ballots.
	RuleProcess
	RuleWithdraw
	RuleAge
	RuleClose
	RuleOwn
	RuleLitter
	RuleSpacing
	RuleTwice
	RuleFew

	// Of the commit, and of what writes state beside it.
	RuleOpened
	RuleResolve
	RuleID
	RuleResend
	RuleAbove
	RuleIdx0
	RuleTaint
	RuleAfter
	RuleObserve
	RuleQueue
	RuleAdoptSound
	RuleClearSound
	RuleRead
	RuleRewound

	// Of the target.
	RuleTargetTaint
	RuleTargetDrained
	RuleTargetRequire
	RuleTargetUp
	RuleTargetFresh
	RuleTargetVotes
	RuleTargetServer
	RuleTargetTried

	// Of what is counted, and of evidence.
	RulePromised
	RuleAckOnce
	RuleFirstSeen
	RuleVoidPause
	RuleVoidFault
	RuleVoidBlind
	RuleVoidStood
	RuleVoidRewound
	RuleSilence
	RuleHint
	RuleLocal

	// Of steps.
	RuleSteps
	RuleTarget
	RuleFenced
	RuleCarry
	RuleAbort
	RuleStart
	RuleKill
	RuleChecks
	RuleKeep
	RuleAckKeep
	RuleEpoch
	RuleMeaning
	RuleStanding
	RuleWaive
	RuleOverdue
	RuleTries
	RuleFailed
	RuleRetry
	RuleInVain
	RulePatience
	RuleLate
	RuleStepSound
	RuleTwoWritable
)

// rules is what each rule is called, and what it says.
var rules = [...]struct{ name, says string }{
	RuleNonce:       {"nonce", "a vote counts on the ballot whose nonce it names, and on no other"},
	RuleHash:        {"hash", "a vote counts only if its observer means the same by the resource: handles, endpoints, steps, observers"},
	RuleMajority:    {"majority", "a quorum is a majority of the configured observers, not of those who voted"},
	RuleFresh:       {"fresh", "a vote rests only on conversations that began since its observer saw the ballot"},
	RuleTalk:        {"talk", "a vote is on the kind of conversation that went down: a shallower one that is well says nothing"},
	RuleFollow:      {"follow", "a voter answers the question that was asked, not his own and perhaps older view of what is attached"},
	RuleConclusive:  {"conclusive", "a vote is cast when it is conclusive, or when most of the ballot's time is over"},
	RuleAmend:       {"amend", "a vote that was cast is never taken back: without an answer, the same one is sent again"},
	RuleVeto:        {"veto", "who was answered by what is attached closes the ballot; he does not merely vote against it"},
	RuleVetoAny:     {"veto-any", "a veto counts from any configuration: an answer is an answer"},
	RuleAbstain:     {"abstain", "who sees only a certificate, a name or another protocol at fault abstains"},
	RuleVoteBlind:   {"vote-blind", "who is blind does not vote"},
	RuleVotePaused:  {"vote-paused", "nobody votes under a pause"},
	RuleVoteRewound: {"vote-rewound", "who sees that the store went back in time does not vote"},

	RuleProcess:  {"process", "only the process that opened a ballot commits it, not a later one of the same name"},
	RuleWithdraw: {"withdraw", "an opener whom the attached endpoint answers withdraws his ballot at once"},
	RuleAge:      {"age", "an opener commits only within the ballot's time, counted from before he read what it rests on"},
	RuleClose:    {"close", "anybody closes a ballot that he has seen open for longer than its time"},
	RuleOwn:      {"own", "a ballot that an earlier life of one's own left open is closed at once"},
	RuleLitter:   {"litter", "votes whose ballot was closed are swept away"},
	RuleSpacing:  {"spacing", "a held switch opens its next ballot when something has changed, else 30 s later"},
	RuleTwice:    {"twice", "a resource opens at most two ballots a minute by itself"},
	RuleFew:      {"few", "an observer has few ballots open at a time, so that each is committed in time"},

	RuleOpened:     {"opened", "commit and first claim name the indexes that the opening read, never those of a later read"},
	RuleResolve:    {"resolve", "an unknown outcome is made known by closing the ballot first: then what is read is final"},
	RuleID:         {"id", "a commit happened if its operation is among the switches of state; one under way shows a claim only"},
	RuleResend:     {"resend", "what names no ballot is sent again, unchanged, until it is answered"},
	RuleAbove:      {"above", "a switch leads to an epoch above all that were seen, also if the store forgot some"},
	RuleIdx0:       {"idx0", "who writes state without the handles puts state's former index where none is recorded"},
	RuleTaint:      {"taint", "every departure taints what was left, whoever made it"},
	RuleAfter:      {"after", "a commit leaves its after step to be run by anybody, in the same transaction"},
	RuleObserve:    {"observe", "mode observe writes no handle, unless a person forces it by name"},
	RuleQueue:      {"queue", "a person's command is carried out soon or refused, never queued for later"},
	RuleAdoptSound: {"adopt-sound", "who is blind, or sees that the store went back in time, adopts nothing by himself"},
	RuleClearSound: {"clear-sound", "facts clear a taint only for who is neither blind nor paused, on a store that forgot nothing"},
	RuleRead:       {"read", "what was read before the newest state was learnt shows the past, and no store that went back in time"},
	RuleRewound:    {"rewound", "a state older than one that was seen shows a store that went back in time"},

	RuleTargetTaint:   {"target-taint", "a tainted endpoint is no target unless a person names it"},
	RuleTargetDrained: {"target-drained", "a drained endpoint is no target unless a person forces it"},
	RuleTargetRequire: {"target-require", "a target shows what is required of it"},
	RuleTargetUp:      {"target-up", "a target is up"},
	RuleTargetFresh:   {"target-fresh", "a target has answered since the suspicion, or since it was asked for"},
	RuleTargetVotes:   {"target-votes", "a target is up for a majority of the configured observers"},
	RuleTargetServer:  {"target-server", "a target is not the same server as what failed, under another name"},
	RuleTargetTried:   {"target-tried", "a resource that goes back and forth takes only a standby that was not tried within the hour"},

	RulePromised:    {"promised", "automatic switches whose steps are under way, or that were sent to the store, count against the pace"},
	RuleAckOnce:     {"ack-once", "an acknowledgement ends with the next automatic switch"},
	RuleFirstSeen:   {"first-seen", "ages count from when something was first seen here, not by the clock of who wrote it"},
	RuleVoidPause:   {"void-pause", "what was seen under a pause is void when it ends"},
	RuleVoidFault:   {"void-fault", "what was seen around a fault of one's own is void when it ends"},
	RuleVoidBlind:   {"void-blind", "what was seen while the store was lost is void when it is back"},
	RuleVoidStood:   {"void-stood", "what was seen across a standstill of one's own is void"},
	RuleVoidRewound: {"void-rewound", "what was seen before the store went back in time is void"},
	RuleSilence:     {"silence", "what was seen too long ago counts for nothing"},
	RuleHint:        {"hint", "a session that ends is a reason to look, and no evidence"},
	RuleLocal:       {"local", "a fault of one's own is no evidence against anybody"},

	RuleSteps:       {"steps", "fence and promote come before the commit"},
	RuleTarget:      {"target", "once promote ran, what was promoted is the fresh ballot's only candidate"},
	RuleFenced:      {"fenced", "a fence that succeeded counts until the next epoch: so long what is attached counts as down"},
	RuleCarry:       {"carry", "anybody carries on, or ends, an operation that stands between its steps or after them"},
	RuleAbort:       {"abort", "abort, and the end of an operation, are claimed like every step before anything runs"},
	RuleStart:       {"start", "abort follows every promote that was started, also one that failed or of which nobody knows"},
	RuleKill:        {"kill", "a runner counts a step's time from before he sent its claim, and runs nothing beyond it"},
	RuleChecks:      {"checks", "each further claim of fence or promote checks handles and controls in its transaction; abort checks neither"},
	RuleKeep:        {"keep", "an adopt keeps the operation that is under way"},
	RuleAckKeep:     {"ack-keep", "an acknowledgement keeps the fence that an operation under way rests on"},
	RuleEpoch:       {"epoch", "an operation whose epoch is not state's can only be ended, and its fence counts for nothing"},
	RuleMeaning:     {"meaning", "an operation that was begun under another configuration can only be ended"},
	RuleStanding:    {"standing", "while an operation stands no other switch begins"},
	RuleWaive:       {"waive", "that an operation stands is never waived, whatever a person forces"},
	RuleOverdue:     {"overdue", "a step is taken over only when its time and a margin are over"},
	RuleTries:       {"tries", "fence and promote are tried twice at most, takeovers included"},
	RuleFailed:      {"failed", "a step that failed ends its operation, unless a failed fence is configured to be passed"},
	RuleRetry:       {"retry", "a switch whose step failed is begun again 30 s later at the soonest"},
	RuleInVain:      {"in-vain", "the gates are asked again before a further step is begun"},
	RulePatience:    {"patience", "an operation that cannot go on is ended after a while"},
	RuleLate:        {"late", "an abort whose time was over before it began is claimed again: it has to run"},
	RuleStepSound:   {"step-sound", "who is blind, or sees that the store went back in time, claims no step"},
	RuleTwoWritable: {"two-writable", "after a promotion that was not followed by its switch nothing is switched until a person says so"},
}

// String returns the rule's name.
func (r Rule) String() string { return rules[r].name }

// Says returns the rule in one sentence, without a full stop.
func (r Rule) Says() string { return rules[r].says }

// Rules returns every rule, in their order.
func Rules() []Rule {
	all := make([]Rule, len(rules))
	for i := range all {
		all[i] = Rule(i)
	}
	return all
}

// RuleSet is a set of rules; its zero value is empty.
type RuleSet [2]uint64

// With returns s and r.
func (s RuleSet) With(r Rule) RuleSet {
	s[r/64] |= 1 << (r % 64)
	return s
}

// Has reports whether r is in s.
func (s RuleSet) Has(r Rule) bool { return s[r/64]&(1<<(r%64)) != 0 }
