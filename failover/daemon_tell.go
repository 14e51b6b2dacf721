package failover

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// What the engine tells goes, in its order, through one goroutine to the journal,
// and then what was seen last to its file. The file is never ahead of what is
// kept, so who dies in between finds in the store what he has not told.
//
// A disk may hang for as long as it likes. The engine never waits for it.
const (
	outgoingMost = 10000            // notices that wait for the disk; more are dropped, and that is logged
	lastWait     = 10 * time.Second // for a disk that hangs at the end
)

// outgoing is what was told and seen, and is not on disk yet.
type outgoing struct {
	*sync.Mutex
	wake    chan struct{}
	notices []Notice
	seen    map[string]Seen // nil: nothing new
	dropped int
}

func newOutgoing() outgoing { return outgoing{Mutex: &sync.Mutex{}, wake: make(chan struct{}, 1)} }

func (o *outgoing) tell(n Notice) {
	o.Lock()
	defer o.Unlock()
	if o.notices = append(o.notices, n); len(o.notices) > outgoingMost {
		o.notices = o.notices[1:] // the newest say what is so now
		o.dropped++
	}
	o.wakeUp()
}

func (o *outgoing) remember(seen map[string]Seen) {
	o.Lock()
	defer o.Unlock()
	o.seen = seen
	o.wakeUp()
}

func (o *outgoing) wakeUp() {
	select {
	case o.wake <- struct{}{}:
	default: // it is awake
	}
}

// take returns all that waits. What was seen is as new as the notices, or older.
func (o *outgoing) take() (notices []Notice, seen map[string]Seen, dropped int) {
	o.Lock()
	defer o.Unlock()
	notices, seen, dropped = o.notices, o.seen, o.dropped
	o.notices, o.seen, o.dropped = nil, nil, 0
	return notices, seen, dropped
}

// keepAll keeps what goes out until stop is closed, and then what is left.
// Ended is closed after the last.
func (d *Daemon) keepAll(stop <-chan struct{}, ended chan<- struct{}) {
	defer close(ended)
	for {
		select {
		case <-d.outgoing.wake:
			d.keep(d.outgoing.take())
		case <-stop:
			d.keep(d.outgoing.take())
			return
		}
	}
}

// keepLast has kept what was still to be kept when everything else had ended. A
// disk that hangs is not waited for for ever.
func (d *Daemon) keepLast(stop chan<- struct{}, ended <-chan struct{}) {
	close(stop)
	t := time.NewTimer(lastWait)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
		notices, _, _ := d.outgoing.take()
		d.opt.Log.Error("the disk does not take what was told last", "waited", lastWait, "notices", len(notices))
	}
}

func (d *Daemon) keep(notices []Notice, seen map[string]Seen, dropped int) {
	if dropped > 0 {
		d.opt.Log.Error("the disk is too slow for what is to be told: the oldest notices were dropped", "notices", dropped)
	}
	if len(notices) > 0 && d.opt.Journal != nil {
		err := d.opt.Journal.Keep(notices)
		if d.unkept = err != nil; d.unkept {
			d.opt.Log.Error("what was told could not be kept; it is handed on from memory", "notices", len(notices), "error", err)
		}
	}
	if len(notices) > 0 {
		select {
		case d.events <- Kept{notices}:
		case <-d.done: // nobody wants to know
		}
	}
	if seen != nil {
		d.late = seen
	}
	if d.late != nil && !d.unkept { // else who is killed now has to find in the store what he told
		d.keepSeen(d.late)
		d.late = nil
	}
}

// log has a line in the log for each notice.
func (d *Daemon) log(ctx context.Context, n Notice) {
	level := slog.LevelInfo
	switch {
	case n.Over: // good news
	case n.Teller != "": // and another one's to tell
	case n.Severity() == Critical:
		level = slog.LevelError
	case n.Severity() == Warning:
		level = slog.LevelWarn
	}
	about := []any{"event", n.Event, "resource", n.Resource, "key", n.Key, "over", n.Over, "next", n.Next}
	if n.Teller != "" {
		about = append(about, "told_by", n.Teller)
	}
	d.opt.Log.Log(ctx, level, n.Text, about...)
}
