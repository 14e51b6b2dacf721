package failover

import "github.com/reattach/reattach/policy"

// claimOps claims the first step of an operation: it closes the ballot that was
// opened for it, on the very state, handles and controls that the opening read.
func claimOps(r *policy.Resource, rd *Reading, ballot uint64, s State) []Op {
	ops := closeOps(r.Name, ballot)
	return append(ops, furtherOps(r, rd, s)...)
}

// furtherOps claims fence or promote without a ballot, takeovers too: nobody
// paused or drained, and no hand changed a handle, since they were read.
func furtherOps(r *policy.Resource, rd *Reading, s State) []Op {
	ops := allUnchanged(rd.Controls...)
	ops = append(ops, writeState(r.Name, s, rd.State))
	return append(ops, allUnchanged(rd.Handles...)...)
}

// Abort, the end of a step and the end of an operation write state alone, by
// stateOps: what has begun is ended under a pause, and after a hand edit, too.

// afterDue is the after step that a commit leaves to be run; nil if there is none.
func afterDue(r *policy.Resource, rec Record) []Op {
	if !r.Steps.Has(policy.After) {
		return nil
	}
	due := AfterRun{Epoch: rec.Epoch, Op: rec.Op, Kind: rec.Kind, From: rec.From, To: rec.To}
	ops := []Op{{Verb: Set, Key: afterKey(r.Name, rec.Epoch), Value: encode(due)}} // its record, beside it, comes once
	if rec.Epoch > historyKept {
		ops = append(ops, Op{Verb: Delete, Key: afterKey(r.Name, rec.Epoch-historyKept)})
	}
	return ops
}

// afterOps claims or ends an after step, over what was read of it.
func afterOps(read Entry, a AfterRun) []Op {
	return []Op{{Verb: CAS, Key: read.Key, Value: encode(a), Flags: read.Flags, Index: read.ModifyIndex}}
}

// readAfters reads the after steps of a resource.
func readAfters(resource string) []Op { return []Op{{Verb: GetTree, Key: afterTree(resource)}} }
