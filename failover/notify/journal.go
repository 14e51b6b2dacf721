package notify

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/boltfile"
)

// Active implements [failover.Journal]. Those that a person acknowledged though
// they last are among them, marked.
func (o *Outbox) Active() []failover.Notice {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.active)
}

// Events implements [failover.Journal].
func (o *Outbox) Events(after uint64, resource string, limit int) ([]failover.Told, error) {
	fresh := o.disk.unwritten(inNotices)
	for k := range fresh {
		if k <= seqKey(after) {
			delete(fresh, k)
		}
	}
	var all []failover.Told
	add := func(v []byte) (more bool, err error) {
		var t failover.Told
		if err := json.Unmarshal(v, &t); err != nil {
			return false, fmt.Errorf("%w: %w", boltfile.ErrDamaged, err)
		}
		if resource == "" || t.Resource == resource {
			all = append(all, t)
		}
		return len(all) < limit, nil
	}
	err := o.disk.view(func(tx *bbolt.Tx) error { return walk(tx, fresh, after, add) })
	if after == 0 {
		slices.Reverse(all)
	}
	return all, err
}

// walk visits the notices after a number, oldest first, or with 0 all of them,
// newest first, until visit has enough: those of the file, and instead of them
// what it is to hold.
func walk(tx *bbolt.Tx, fresh map[string][]byte, after uint64, visit func(v []byte) (bool, error)) error {
	var k, v []byte
	var c *bbolt.Cursor
	step, before := (*bbolt.Cursor).Next, func(a, b string) bool { return a < b }
	if after == 0 {
		step, before = (*bbolt.Cursor).Prev, func(a, b string) bool { return a > b }
	}
	if tx != nil {
		c = tx.Bucket([]byte(inNotices)).Cursor()
		if k, v = c.Seek([]byte(seqKey(after + 1))); after == 0 {
			k, v = c.Last()
		}
	}
	rest := slices.SortedFunc(maps.Keys(fresh), func(a, b string) int {
		if before(a, b) {
			return -1
		}
		return 1
	})
	more := true
	for more && (k != nil || len(rest) > 0) {
		value := v
		if len(rest) > 0 && (k == nil || !before(string(k), rest[0])) {
			value = fresh[rest[0]]
			if k != nil && string(k) == rest[0] {
				k, v = step(c)
			}
			rest = rest[1:]
		} else {
			k, v = step(c)
		}
		if value == nil {
			continue // to be deleted
		}
		var err error
		if more, err = visit(value); err != nil {
			return err
		}
	}
	return nil
}

// Notifiers implements [failover.Journal].
func (o *Outbox) Notifiers() []failover.NotifierStatus {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []failover.NotifierStatus
	for _, d := range o.routing.Destinations {
		q := o.queue(d.Name)
		s := failover.NotifierStatus{Name: d.Name, Kind: d.Kind, Severity: d.Severity.String(), Events: d.Events, Pending: len(q.items), Sent: q.sent, Dead: o.dead[d.Name], LastOK: q.lastOK, Error: q.lastErr}
		for _, it := range q.items {
			if s.Oldest.IsZero() || it.rec.Queued.Before(s.Oldest) {
				s.Oldest = it.rec.Queued
			}
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b failover.NotifierStatus) int { return strings.Compare(a.Name, b.Name) })
	return all
}
