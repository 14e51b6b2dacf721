package notify

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/reattach/reattach/failover"
)

// Errors of an Outbox. Test with errors.Is.
var (
	// ErrUnknownName means that no destination of that name is configured.
	ErrUnknownName = errors.New("no such notifier")
	// ErrUnwritten means that the disk did not take what is to be kept. It is in
	// memory, is handed on, and is written as soon as the disk takes it.
	ErrUnwritten = errors.New("the outbox cannot be written")
)

const (
	kept    = 10000 // notices, at least
	surplus = 100   // over that, before the oldest go
	reserve = 1000  // numbers that a life may give before it writes how many it gave
)

// Options is what an [Outbox] is made of besides its file.
type Options struct {
	Log      *slog.Logger // nil: nothing is logged
	Observer string       // who tells, in a message of [Outbox.Test]
}

// Outbox is a [failover.Journal] in a file, and hands on what it keeps. Its
// methods may be called concurrently.
//
// A notice whose key is active, and which was told, is told again only where that
// says something new: its At is at least 12 h later (a reminder), it is more
// severe than before, or a destination was not told yet. Notices that do not
// last are told once for their key, unless their kind is quiet.
type Outbox struct {
	opt     Options
	disk    *disk
	keeping sync.Mutex // held by Keep: notices are published in their order

	mu        sync.Mutex // held for moments, never while the disk or a destination works
	routing   Routing
	seq       uint64             // of the newest notice
	reserved  uint64             // the greatest number that may be given now
	count     int                // of records
	keys      map[string]uint64  // key → its newest record that ends nothing
	live      map[uint64]*record // those on their way somewhere
	active    []failover.Notice  // what lasts, oldest first
	activeSeq map[string]uint64  // its numbers, by key
	matters   map[string]*matter
	queues    map[string]*queue // by destination
	dead      map[string]int    // by destination
	failing   error             // of the disk
	news      chan struct{}     // closed when there is a newer notice
	changed   chan struct{}     // filled when the routing changed
}

var _ failover.Journal = (*Outbox)(nil)

// Open opens the outbox at path, or begins one. The folder must exist. A file that
// is damaged is set aside, with a line in the log, and a new one begun: telling
// must go on. One that another process has open is [boltfile.ErrLocked].
func Open(path string, opt Options) (*Outbox, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	o := &Outbox{opt: opt, news: make(chan struct{}), changed: make(chan struct{}, 1)}
	o.reset()
	disk, err := openDisk(path, opt.Log, func(tx *bbolt.Tx) error {
		err := o.load(tx)
		if err != nil {
			o.reset()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open outbox %s: %w", path, err)
	}
	o.disk = disk
	if v := disk.get(inMeta, "seq"); len(v) == 8 {
		o.seq = max(o.seq, binary.BigEndian.Uint64(v))
	}
	o.reserve()
	_ = o.flush() // it says itself if the disk is full
	return o, nil
}

func (o *Outbox) reset() {
	o.seq, o.count = 0, 0
	o.keys, o.live, o.matters = map[string]uint64{}, map[uint64]*record{}, map[string]*matter{}
	o.active, o.activeSeq = nil, map[string]uint64{}
	o.queues, o.dead = map[string]*queue{}, map[string]int{}
}

// Close writes what the disk has not taken yet, and lets go of the file.
// [Outbox.Run] must have returned.
func (o *Outbox) Close() error {
	o.disk.put(inMeta, "seq", []byte(seqKey(o.seq)))
	err := o.disk.flush()
	return errors.Join(err, o.disk.close())
}

// Configure says what goes where from now on. What waits is tried at once. What
// waits for a destination that is not configured any more keeps for a day.
func (o *Outbox) Configure(r Routing) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.routing = r
	for _, d := range r.Destinations {
		o.queue(d.Name).hint()
	}
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// Test sends one message straight to a destination, past its queue, and returns
// the error as it came. An unknown name is ErrUnknownName.
func (o *Outbox) Test(ctx context.Context, name string) error {
	o.mu.Lock()
	d, ok := o.routing.destination(name)
	runbook := o.routing.Runbook
	o.mu.Unlock()
	if !ok {
		return fmt.Errorf("%w: %s", ErrUnknownName, name)
	}
	now := time.Now()
	n := failover.Notice{Key: "test/" + name + "/" + now.UTC().Format("20060102T150405.000Z"), Event: "test", At: now, Observer: o.opt.Observer,
		Text: "This is a test of the notifier " + name + ". Nothing has happened, and nothing is to be done."}
	return attempt(ctx, d, []Message{{Matter: n.Matter(), Notices: []failover.Notice{n}, Runbook: runbook}})
}

// Wait returns nil once there is a notice with a number greater than after, or
// ctx's error.
func (o *Outbox) Wait(ctx context.Context, after uint64) error {
	for {
		o.mu.Lock()
		news, newest := o.news, o.seq
		o.mu.Unlock()
		if newest > after {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// number gives the next notice its number, which no other life may give.
func (o *Outbox) number() uint64 {
	o.seq++
	if o.seq+reserve/2 > o.reserved {
		o.reserve()
	}
	return o.seq
}

// reserve has written how far this life may count.
func (o *Outbox) reserve() {
	o.reserved = o.seq + reserve
	o.disk.put(inMeta, "seq", []byte(seqKey(o.reserved)))
}
