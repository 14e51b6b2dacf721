package failover_test

import (
	"maps"
	"slices"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/storetest"
)

// wreckage is what befalls a world beside the single transaction that fails.
type wreckage struct {
	lag      time.Duration // of watches
	watched  time.Time     // when the last change arrives that a watch shows: they keep their order
	snapshot *storetest.Model
	ours     map[string]uint64
	strays   []stray
	aliens   map[string]alien // ballots of other observers, by key
}

// alien is when another observer opened a ballot.
type alien struct {
	at    time.Time
	index uint64
}

// stray is a transaction that arrives after its sender gave it up.
type stray struct {
	at time.Time
	failover.Transact
}

// wreckBy carries out a line of a story; false: it is none of these.
func (w *world) wreckBy(words []string) bool {
	switch words[0] {
	case "snapshot":
		w.wreck.snapshot = w.store.Clone()
		if w.oracle != nil {
			w.wreck.ours = maps.Clone(w.oracle.ours)
		}
	case "rewind":
		if w.wreck.snapshot != nil {
			w.store.Restore(w.wreck.snapshot)
			clear(w.watched) // all watches wake
			clear(w.wreck.aliens)
			w.oracle.rewound(w.wreck.ours)
			if w.watcher != nil {
				w.watcher.rewound = true
			}
		}
	case "stray":
		d, err := time.ParseDuration(words[2])
		if err != nil {
			w.t.Fatal(err)
		}
		w.fate[failover.Purpose(words[1])] = func(f failover.Transact, a *failover.Answered) time.Duration {
			w.say("%s goes astray", f.Purpose)
			w.wreck.strays = append(w.wreck.strays, stray{w.now.Add(f.Timeout + d), f})
			a.Err = failover.ErrUnknown
			return f.Timeout
		}
	case "kill":
		for _, item := range w.queue {
			if send, ok := item.ev.(sending); ok {
				w.wreck.strays = append(w.wreck.strays, stray{w.now, send.Transact})
			}
		}
		w.ends(true)
		if len(words) > 1 { // empty-handed: a disk that was slow has taken nothing yet
			w.cfg.Seen, w.cfg.Active = nil, nil
		}
		w.boot()
	case "lag":
		w.wreck.lag, _ = time.ParseDuration(words[1])
	default:
		return false
	}
	return true
}

// behind is how long a change takes to be seen by a watch.
func (w *world) behind() time.Duration {
	at := w.now.Add(storeDelay/2 + w.wreck.lag)
	if at.Before(w.wreck.watched) {
		at = w.wreck.watched
	}
	w.wreck.watched = at
	return at.Sub(w.now)
}

// opened notes that another observer has a ballot open.
func (w *wreckage) opened(key string, a alien) {
	if w.aliens == nil {
		w.aliens = map[string]alien{}
	}
	if w.aliens[key].index != a.index { // the same value is no other ballot
		w.aliens[key] = a
	}
}

// straysArrive has the store carry out what comes late. Nobody waits for the answer.
func (w *world) straysArrive() {
	w.wreck.strays = slices.DeleteFunc(w.wreck.strays, func(s stray) bool {
		if w.down || s.at.After(w.now) {
			return false
		}
		w.carry(s.Transact, &failover.Answered{})
		return true
	})
}
