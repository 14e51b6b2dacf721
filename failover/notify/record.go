package notify

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/boltfile"
)

// What a delivery's state is.
const (
	pending = "pending"
	waiting = "waiting" // an end, for the other ends of the storm that told its matter
	sent    = "sent"
	dead    = "dead"
)

// record is a notice as the file has it.
type record struct {
	failover.Told
	Queued time.Time `json:"queued"`         // when it was kept
	Ends   []string  `json:"ends,omitempty"` // matters that are over by it
}

func (r *record) delivery(name string) *failover.Delivery {
	i := slices.IndexFunc(r.Deliveries, func(d failover.Delivery) bool { return d.Notifier == name })
	if i < 0 {
		return nil
	}
	return &r.Deliveries[i]
}

// onlyAcked reports whether it ends, for people, what goes on all the same.
func (r *record) onlyAcked() bool { return r.Over && r.Acked }

// busy reports whether a delivery of it is not done.
func (r *record) busy() bool {
	return slices.ContainsFunc(r.Deliveries, func(d failover.Delivery) bool { return d.State == pending || d.State == waiting })
}

// told returns the matters that a destination hears of, or hears the end of, by
// a record.
func (o *Outbox) told(name string, r *record) []string {
	if !r.Over {
		return []string{r.Matter()}
	}
	return slices.DeleteFunc(slices.Clone(r.Ends), func(id string) bool {
		m := o.matters[id]
		if m == nil {
			return true
		}
		_, known := m.Dests[name]
		return !known
	})
}

// matter is who was told of one, until its end was handed to all of them.
type matter struct {
	// Dests maps a destination to what it knows the matter by: its own name, or
	// that of the storm in which it was told; empty while it was handed to nobody.
	Dests map[string]string `json:"dests"`
	Told  map[string]bool   `json:"told,omitempty"` // destinations that took one of its notices
	Last  uint64            `json:"last"`           // its newest notice
	Over  bool              `json:"over,omitempty"` // it was ended; that may still be on its way
	open  int               // deliveries on their way
}

// storm is what one destination was told of many matters at once.
type storm struct {
	Over    map[string]uint64 `json:"over"`              // by its members: what ended that one; 0: it goes on
	Waiting []uint64          `json:"waiting,omitempty"` // the ends, until all are over
	fails   int               // attempts to hand its end over
}

func (s *storm) allOver() bool {
	for _, end := range s.Over {
		if end == 0 {
			return false
		}
	}
	return true
}

func seqKey(seq uint64) string { return string(binary.BigEndian.AppendUint64(nil, seq)) }

// load takes in what an earlier life kept.
func (o *Outbox) load(tx *bbolt.Tx) error {
	if v := tx.Bucket([]byte(inMeta)).Get([]byte("seq")); len(v) == 8 {
		o.seq = binary.BigEndian.Uint64(v)
	}
	for bucket, take := range map[string]func(k string, v []byte) error{
		inActive:  o.loadActive,
		inMatters: o.loadMatter,
		inStorms:  o.loadStorm,
	} {
		if err := tx.Bucket([]byte(bucket)).ForEach(func(k, v []byte) error { return take(string(k), v) }); err != nil {
			return err
		}
	}
	slices.SortFunc(o.active, func(a, b failover.Notice) int { return cmp.Compare(o.activeSeq[a.Key], o.activeSeq[b.Key]) })
	return tx.Bucket([]byte(inNotices)).ForEach(func(_, v []byte) error { return o.loadRecord(v) })
}

func parse(v []byte, into any) error {
	if err := json.Unmarshal(v, into); err != nil {
		return boltfile.ErrDamaged
	}
	return nil
}

func (o *Outbox) loadActive(k string, v []byte) error {
	var n failover.Told
	err := parse(v, &n)
	o.active, o.activeSeq[k] = append(o.active, n.Notice), n.Seq
	return err
}

func (o *Outbox) loadMatter(k string, v []byte) error {
	m := &matter{Dests: map[string]string{}, Told: map[string]bool{}}
	err := parse(v, m)
	o.matters[k] = m
	return err
}

func (o *Outbox) loadStorm(k string, v []byte) error {
	name, id := cutStorm(k)
	s := &storm{}
	err := parse(v, s)
	o.queue(name).storms[id] = s
	return err
}

func (o *Outbox) loadRecord(v []byte) error {
	r := &record{}
	if err := parse(v, r); err != nil {
		return err
	}
	o.count++
	o.seq = max(o.seq, r.Seq)
	switch {
	case !r.Over && r.Teller == "":
		o.keys[r.Key] = r.Seq
	case !r.Over:
	case !r.onlyAcked():
		delete(o.keys, r.Key)
	}
	for _, d := range r.Deliveries {
		switch d.State {
		case dead:
			o.dead[d.Notifier]++
		case pending, waiting:
			o.live[r.Seq] = r
			for _, id := range o.told(d.Notifier, r) {
				if m := o.matters[id]; m != nil {
					m.open++
				}
			}
			o.enqueue(d.Notifier, r)
		}
	}
	return nil
}

// read returns a record, or nil if it is gone.
func (o *Outbox) read(seq uint64) *record {
	if r := o.live[seq]; r != nil {
		return r
	}
	r := &record{}
	if v := o.disk.get(inNotices, seqKey(seq)); v == nil || parse(v, r) != nil {
		return nil
	}
	return r
}

// write has a record, and whatever became of it, on its way to the disk.
func (o *Outbox) write(r *record) {
	o.disk.put(inNotices, seqKey(r.Seq), r)
	if r.busy() {
		o.live[r.Seq] = r
	} else {
		delete(o.live, r.Seq)
	}
}
