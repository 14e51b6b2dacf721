package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/reattach/reattach/failover"
)

// watcher looks at a resource's keys from outside, all at one moment, fifty times a
// second or as often as Consul answers, and keeps each look that differs from the
// one before. When the test ends it holds what it saw against the invariants, by
// their numbers:
//
//	1   every change of a handle is a person's, or that of one record, epoch + 1
//	2   an automatic failover had a quorum of down votes on one nonce and hash
//	3   and no veto among them
//	4   its target was up by a quorum of the same ballot, and was not attached
//	5   nothing was committed under a pause
//	8   nothing was committed on a ballot that was closed before
//	9   a foreign value is never overwritten but by a restore, a handle never deleted
//	10  a tainted endpoint is no target
//	11  no automatic commit while damped
//	12  one operation has one record
//	19  every departure taints
//	20  in the end no ballot is open
type watcher struct {
	t     *testing.T
	all   []resource
	began time.Time

	mu     sync.Mutex
	looks  map[string][]look
	person map[uint64]string // what a person wrote into handles, by its index
	astray map[string]int    // what a person may have written: nobody answered
	missed int               // looks that Consul did not answer
}

// key is a key's value and index; absent: index 0.
type key struct {
	value string
	index uint64
}

// look is what a resource's keys were at one moment.
type look struct {
	at, until                 time.Time // first and last seen so
	handle, state, all, order key
	ballot                    key // its question
	votes                     []key
	history                   []key
}

func (l look) same(other look) bool {
	return l.handle == other.handle && l.state == other.state && l.all == other.all && l.order == other.order && l.ballot == other.ballot &&
		slices.Equal(l.votes, other.votes) && len(l.history) == len(other.history)
}

// State is what the state's key says.
func (l look) State() (s failover.State) {
	_ = json.Unmarshal([]byte(l.state.value), &s)
	return s
}

// Opening is the open ballot's question.
func (l look) Opening() (o failover.Opening) {
	_ = json.Unmarshal([]byte(l.ballot.value), &o)
	return o
}

// newWatcher watches until the test ends, and then judges.
func newWatcher(t *testing.T, all ...resource) *watcher {
	t.Helper()
	w := &watcher{t: t, all: all, began: time.Now(), looks: map[string][]look{}, person: map[uint64]string{}, astray: map[string]int{}}
	for _, r := range all {
		w.wrote(entry(t, r.handle))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for _, r := range all {
		group.Go(func() { w.watch(ctx, r) })
	}
	t.Cleanup(func() {
		cancel()
		group.Wait()
		for _, r := range all {
			w.judge(r)
		}
	})
	return w
}

// wrote remembers a version of a handle as a person's.
func (w *watcher) wrote(pair *api.KVPair) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.person[pair.ModifyIndex] = string(pair.Value)
}

func (w *watcher) watch(ctx context.Context, r resource) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		l, err := w.look(r)
		w.mu.Lock()
		switch list := w.looks[r.name]; {
		case err != nil:
			w.missed++
		case len(list) == 0 || !list[len(list)-1].same(l):
			w.looks[r.name] = append(list, l)
		default:
			list[len(list)-1].until = l.until
		}
		w.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look reads all in one transaction, as a quorum of Consul has it.
func (w *watcher) look(r resource) (l look, err error) {
	get := func(name string) *api.TxnOp { return &api.TxnOp{KV: &api.KVTxnOp{Verb: api.KVGetOrEmpty, Key: name}} }
	tree := func(name string) *api.TxnOp { return &api.TxnOp{KV: &api.KVTxnOp{Verb: api.KVGetTree, Key: name}} }
	ballot, history := "reattach/ballot/"+r.name+"/", "reattach/history/"+r.name+"/"
	places := map[string]*key{r.handle: &l.handle, "reattach/state/" + r.name: &l.state, "reattach/control/_all": &l.all,
		"reattach/control/" + r.name: &l.order, ballot + "_": &l.ballot}
	ops := api.TxnOps{tree(ballot), tree(history)}
	for name := range places {
		ops = append(ops, get(name))
	}
	err = askConsul(func(c *api.Client, ctx context.Context) error {
		ok, answer, _, err := c.Txn().Txn(ops, (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
		if err == nil && !ok {
			err = fmt.Errorf("a transaction that only reads is refused: %s", text(answer.Errors))
		}
		if err != nil {
			return err
		}
		for _, result := range answer.Results {
			k := key{string(result.KV.Value), result.KV.ModifyIndex}
			switch place := places[result.KV.Key]; {
			case place != nil:
				*place = k
			case strings.HasPrefix(result.KV.Key, ballot):
				l.votes = append(l.votes, k)
			case strings.HasPrefix(result.KV.Key, history):
				l.history = append(l.history, k)
			}
		}
		return nil
	})
	l.at = time.Now()
	l.until = l.at
	return l, err
}

// last is the newest look.
func (w *watcher) last(r resource) look {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.looks[r.name]
	if len(list) == 0 {
		return look{}
	}
	return list[len(list)-1]
}

// all looks so far.
func (w *watcher) seen(r resource) []look {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.looks[r.name])
}

// since is when the handle was first seen with a value that it has still; zero: it
// has another one.
func (w *watcher) since(r resource, value string) (at time.Time) {
	for _, l := range w.seen(r) {
		switch {
		case l.handle.value != value:
			at = time.Time{}
		case at.IsZero():
			at = l.at
		}
	}
	return at
}

// versions counts those of the handle.
func (w *watcher) versions(r resource) int {
	n, before := 0, uint64(0)
	for _, l := range w.seen(r) {
		if l.handle.index != before {
			n++
		}
		before = l.handle.index
	}
	return n
}

// story tells what was seen, look by look.
func (w *watcher) story() string {
	var b strings.Builder
	for _, r := range w.all {
		fmt.Fprintf(&b, "%s, as seen from outside:\n", r.name)
		for _, l := range w.seen(r) {
			s, o := l.State(), l.Opening()
			fmt.Fprintf(&b, "  %7.3f  handle %s@%d  state@%d epoch %d at %s taints %v", l.at.Sub(w.began).Seconds(), r.names(l.handle.value), l.handle.index,
				l.state.index, s.Epoch, s.Attached, names(s.Taints))
			if l.ballot.index != 0 {
				fmt.Fprintf(&b, "  ballot@%d %s by %s (%.8s)", l.ballot.index, o.Kind, o.Opener, o.Nonce)
			}
			for _, v := range l.votes {
				fmt.Fprintf(&b, "  vote@%d %s", v.index, votes(v.value))
			}
			fmt.Fprintf(&b, "  controls@%d,%d  %d records\n", l.all.index, l.order.index, len(l.history))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(&b, "%d looks were not answered\n", w.missed)
	return b.String()
}

// names says what a handle's value is.
func (r resource) names(value string) string {
	switch value {
	case r.url("primary"):
		return "primary"
	case r.url("standby"):
		return "standby"
	case "":
		return "nothing"
	}
	return "something foreign"
}

func names(taints []failover.Taint) (list []string) {
	for _, t := range taints {
		list = append(list, t.Endpoint)
	}
	return list
}

func votes(raw string) string {
	var v failover.Vote
	_ = json.Unmarshal([]byte(raw), &v)
	out := v.Observer
	for _, s := range v.Saw {
		out += " " + s.String()
	}
	return out
}
