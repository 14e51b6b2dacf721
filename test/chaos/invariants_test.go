package chaos

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// evidence are the classes that may count as down.
var evidence = []probe.Class{probe.Refused, probe.Unreachable, probe.Timeout, probe.Reset, probe.Garbled}

// majority of three observers.
const majority = 2

// commit is one record, with the last look before it and the first one after.
type commit struct {
	failover.Record
	index         uint64
	before, after look
}

// judge holds all that was seen of a resource against the invariants.
func (w *watcher) judge(r resource) {
	w.t.Helper()
	looks := w.seen(r)
	if len(looks) == 0 {
		w.t.Errorf("%s was never seen", r.name)
		return
	}
	violated := func(number int, format string, args ...any) {
		w.t.Helper()
		w.t.Errorf("invariant %d of %s: "+format, append([]any{number, r.name}, args...)...)
	}
	commits := commitsOf(looks)
	w.judgeHandle(r, looks, commits, violated)
	ops := map[string]uint64{}
	for i, c := range commits {
		if c.Epoch != uint64(i)+1 {
			violated(1, "record %d has epoch %d", i+1, c.Epoch)
		}
		if other := ops[c.Op]; other != 0 {
			violated(12, "epochs %d and %d are one operation", other, c.Epoch)
		}
		ops[c.Op] = c.Epoch
		w.judgeVotes(r, c, violated)
		judgeCommit(c, commits[:i], violated)
	}
	judgeBallots(looks, commits, violated)
	last := looks[len(looks)-1]
	if epoch := last.State().Epoch; epoch != uint64(len(commits)) {
		violated(1, "epoch %d with %d records", epoch, len(commits))
	}
}

// commitsOf takes the records out of what was seen, the oldest first.
func commitsOf(looks []look) (commits []commit) {
	for i, l := range looks {
		for _, k := range l.history {
			if slices.ContainsFunc(commits, func(c commit) bool { return c.index == k.index }) {
				continue
			}
			c := commit{index: k.index, after: l}
			if i > 0 {
				c.before = looks[i-1]
			}
			_ = json.Unmarshal([]byte(k.value), &c.Record)
			commits = append(commits, c)
		}
	}
	return commits
}

// writes reports whether a record's kind writes handles.
func (c commit) writes() bool { return c.Kind != policy.Adopt }

type violation func(number int, format string, args ...any)

// judgeHandle holds each version of the handle to its author.
func (w *watcher) judgeHandle(r resource, looks []look, commits []commit, violated violation) {
	before := key{}
	for i, l := range looks {
		if l.handle == before {
			continue
		}
		_, person := w.person[l.handle.index]
		at := slices.IndexFunc(commits, func(c commit) bool { return c.index == l.handle.index && c.writes() })
		switch {
		case l.handle.index == 0:
			violated(9, "the handle is gone")
		case person:
		case at < 0 && w.astray[l.handle.value] > 0:
			w.astray[l.handle.value]--
		case at < 0:
			violated(1, "version %d of the handle (%s) is nobody's", l.handle.index, r.names(l.handle.value))
		case i > 0 && r.names(before.value) == "something foreign" && commits[at].Kind != policy.Restore:
			violated(9, "a foreign value was overwritten by the %s of epoch %d", commits[at].Kind, commits[at].Epoch)
		case l.handle.value != r.url(commits[at].To):
			violated(1, "the handle names %s after the %s to %s", r.names(l.handle.value), commits[at].Kind, commits[at].To)
		}
		before = l.handle
	}
}

// judgeVotes holds a switch to the votes that stand in its record.
func (w *watcher) judgeVotes(r resource, c commit, violated violation) {
	if len(c.Forced) > 0 || c.Kind == policy.Adopt || c.Kind == policy.Refresh || c.Kind == policy.Restore {
		return
	}
	down, up, veto := 0, 0, ""
	for _, v := range c.Votes {
		if v.Nonce != c.Votes[0].Nonce || v.Hash != c.Votes[0].Hash {
			continue
		}
		for _, saw := range v.Saw {
			switch {
			case saw.Endpoint == c.From && saw.State == policy.Down && slices.Contains(evidence, saw.Class):
				down++
			case saw.Endpoint == c.From && saw.State == policy.Up:
				veto = v.Observer
			}
			if saw.Endpoint == c.To && saw.State == policy.Up && saw.Fresh {
				up++
			}
		}
	}
	if c.Kind == policy.Failover {
		if down < majority {
			violated(2, "epoch %d has %d down votes: %s", c.Epoch, down, text(c.Votes))
		}
		if veto != "" && !r.noVeto {
			violated(3, "epoch %d was vetoed by %s", c.Epoch, veto)
		}
	}
	if up < majority {
		violated(4, "epoch %d: %d votes for %s: %s", c.Epoch, up, c.To, text(c.Votes))
	}
	if c.From == c.To {
		violated(4, "epoch %d goes to what was attached, %s", c.Epoch, c.To)
	}
}

// judgeCommit holds a record to the looks around it, and to those before it.
func judgeCommit(c commit, earlier []commit, violated violation) {
	was, is := c.before.State(), c.after.State()
	sharp := c.after.at.Sub(c.before.until) < time.Second // nobody can have changed much in between
	if c.Kind != policy.Adopt {
		for _, k := range []key{c.after.all, c.after.order} {
			var control failover.Control
			if json.Unmarshal([]byte(k.value), &control) == nil && control.Pause != nil && k.index < c.index {
				violated(5, "epoch %d was committed under the pause of %s", c.Epoch, control.Pause.By)
			}
		}
	}
	if sharp && c.Person == "" && c.writes() && slices.Contains(names(was.Taints), c.To) && was.Epoch+1 == c.Epoch {
		violated(10, "epoch %d goes to %s, which was tainted", c.Epoch, c.To)
	}
	if sharp && c.Automatic && c.Kind == policy.Failover {
		n, newest := 0, uint64(0)
		for _, e := range earlier {
			if e.Automatic && e.Kind == policy.Failover {
				n, newest = n+1, e.Epoch
			}
		}
		if n >= policy.DampingLimit && was.Acked < newest {
			violated(11, "epoch %d is the automatic switch number %d, and nobody acknowledged", c.Epoch, n+1)
		}
	}
	if sharp && c.From != "" && c.From != c.To && is.Epoch == c.Epoch && !slices.Contains(names(is.Taints), c.From) {
		violated(19, "epoch %d left %s without a taint", c.Epoch, c.From)
	}
}

// judgeBallots holds commits to ballots that were open: one that was seen closed
// stays closed.
func judgeBallots(looks []look, commits []commit, violated violation) {
	closed := map[string]bool{}
	for i, l := range looks {
		for _, c := range commits {
			if c.after.at.Equal(l.at) && len(c.Votes) > 0 && closed[c.Votes[0].Nonce] {
				violated(8, "epoch %d was committed on a ballot that was closed", c.Epoch)
			}
		}
		if i == 0 {
			continue
		}
		if was := looks[i-1].Opening().Nonce; was != "" && was != l.Opening().Nonce {
			closed[was] = true
		}
	}
	if last := looks[len(looks)-1]; last.ballot.index != 0 && last.at.Sub(looks[0].at) > 0 {
		violated(20, "a ballot is open in the end: %s", text(last.Opening()))
	}
}
