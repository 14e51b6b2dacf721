package probe

import (
	"context"
	"hash/fnv"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// examineInFlight bounds how many fresh conversations an examination has open
// with one endpoint at a time. In a hang it begins anew twice before the first ones
// have ended: for a hint, for the suspicion, and for the ballot.
const (
	examineInFlight = 3
	mostInFlight    = 3 * examineInFlight
)

// Loop probes one endpoint until its context ends: a held session that is
// pinged each Interval where the protocol allows it, fresh conversations
// beside it, and, while the endpoint is examined, a fresh one every
// SuspectInterval whether or not earlier ones have ended.
//
// A session that ends is a hint; the loop at once begins an examination of its
// own, because a dead server refuses the next dial in a tenth of a millisecond.
type Loop struct {
	Name     string // spreads the first conversations of many loops
	Protocol Protocol
	Target   func() Target // asked before each conversation: secrets change
	Pace     Pace
	// Emit takes each result. It is called from several goroutines, and may block.
	Emit func(Result)

	writes  atomic.Bool
	examine chan bool
	deeper  chan struct{} // the canary is wanted now
	once    sync.Once
	fresh   atomic.Pointer[[]string] // the addresses of the last answer
}

func (l *Loop) init() {
	l.once.Do(func() { l.examine, l.deeper = make(chan bool, 1), make(chan struct{}, 1) })
}

// Examine begins or ends an examination. One that is begun, or begun again, begins
// anew: whoever asks wants conversations from now on, and those that a hang
// keeps under way do not stand in their way. It never blocks; the last call wins.
func (l *Loop) Examine(on bool) {
	l.init()
	for {
		select {
		case l.examine <- on:
			return
		default:
		}
		select {
		case <-l.examine:
		default:
		}
	}
}

// Write says whether the endpoint may be written to, as only an attached one may.
// At first it may not. It never blocks.
func (l *Loop) Write(on bool) { l.writes.Store(on) }

// Run probes until ctx ends, and returns when its last conversation has ended.
func (l *Loop) Run(ctx context.Context) {
	l.init()
	var group sync.WaitGroup
	defer group.Wait()
	if !pause(ctx, l.spread(l.Pace.Interval)) {
		return
	}
	hints := make(chan struct{}, 1)
	group.Go(func() { l.hold(ctx, hints) })
	group.Go(func() { l.canary(ctx) })
	l.converse(ctx, hints, &group)
}

// spread is this loop's own share of d, so that many loops do not beat as one.
// The first conversation is never later than half a second.
func (l *Loop) spread(d time.Duration) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(l.Name))
	return min(d, 500*time.Millisecond) * time.Duration(h.Sum32()%1000) / 1000
}

// hold keeps a session open where the protocol allows it; elsewhere it has a
// fresh conversation each Interval.
func (l *Loop) hold(ctx context.Context, hints chan<- struct{}) {
	for ctx.Err() == nil {
		began := time.Now()
		held, r := Open(ctx, l.Protocol, l.Target())
		l.emit(ctx, r)
		if held != nil && l.Protocol.Holds {
			l.ping(ctx, held, r.Addr)
			select {
			case hints <- struct{}{}:
			default:
			}
			// The hint began an examination, which sees the server at once; and one
			// that accepts and closes must not be dialled in a spin.
			began = time.Now()
		} else if held != nil {
			goodbye(ctx, held)
		}
		pause(ctx, l.Pace.Interval-time.Since(began))
	}
}

// Times of the canary: the first comes soon. While one tells of trouble, and until
// so many in a row told of none that the endpoint is believed to be well again,
// the next ones come sooner: a single reply that was late is told for seconds,
// not until the next calm pair of them.
const (
	firstCanary = time.Second
	closer      = 6
	calmAfter   = 3
)

// canary has a deeper conversation at a slow pace, and at the beginning of an
// examination, where the protocol has one and the target does not say how deep to
// go. Only what happened at that depth is told: all else the other conversations
// see, and sooner. With a WriteInterval it writes, and what that comes to is
// evidence like any other.
func (l *Loop) canary(ctx context.Context) {
	deep, calm := l.Protocol.Canary, l.Protocol.Defaults.CanaryInterval
	writes := l.Protocol.Writes && l.Pace.WriteInterval > 0
	if writes {
		deep, calm = PhaseWrite, l.Pace.WriteInterval
	}
	if deep == PhaseNone {
		return
	}
	wary := 0 // canaries that still come sooner
	for every := min(firstCanary, calm); l.rest(ctx, every); {
		if writes && !l.writes.Load() {
			every = min(firstCanary, calm) // it may be attached at any moment
			continue
		}
		t := l.Target()
		if t.Depth != PhaseNone {
			return
		}
		t.Depth = deep
		t.Timeout *= 2 // more round trips than in the conversations that the timeout was chosen for
		r := Once(ctx, l.Protocol, t)
		wary = max(0, wary-1)
		if r.Phase >= deep && (r.Failed() || l.Protocol.Deep(r.Facts).deny()) {
			wary = calmAfter
		}
		if every = calm; wary > 0 {
			every = calm / closer
		}
		if r.Phase < deep {
			continue
		}
		r.Kind = Write
		if r.Class.Evidence() && !writes { // the server lives: it had come as far as this
			r.Class = Degraded
		}
		l.emit(ctx, r)
	}
}

// rest waits for d, or until an examination wants a fact that only the canary
// learns; it reports whether ctx is still alive.
func (l *Loop) rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-l.deeper:
			if l.Protocol.wantsDeep(l.Target()) {
				return true
			}
		}
	}
}

// ping pings a held session each Interval, until it gives a hint or ctx ends.
func (l *Loop) ping(ctx context.Context, held Held, addr string) {
	defer goodbye(ctx, held)
	for {
		if r := l.quiet(ctx, held); r.Failed() {
			l.emitHint(ctx, r)
			return
		}
		if ctx.Err() != nil {
			return
		}
		if l.moved(addr) {
			now := time.Now()
			l.emitHint(ctx, Result{Class: NoAddress, Phase: PhaseResolve, Err: "the name no longer has the address " + addr, Addr: addr, Began: now, Ended: now})
			return
		}
		// An answer later than half the timeout is a hint, and so no answer by then is one.
		r := l.pingOnce(ctx, held)
		if r.Failed() {
			l.emitHint(ctx, r)
			return
		}
		r.Kind = Session
		l.emit(ctx, r)
	}
}

// deepen asks for a canary now.
func (l *Loop) deepen() {
	select {
	case l.deeper <- struct{}{}:
	default: // it was asked for already
	}
}

func (l *Loop) quiet(ctx context.Context, held Held) Result {
	ctx, cancel := context.WithTimeout(ctx, l.Pace.Interval)
	defer cancel()
	return held.Wait(ctx)
}

func (l *Loop) pingOnce(ctx context.Context, held Held) Result {
	ctx, cancel := context.WithTimeout(ctx, l.Target().Timeout/2)
	defer cancel()
	return held.Ping(ctx)
}

// moved reports whether the name's last answer lacks addr.
func (l *Loop) moved(addr string) bool {
	addrs := l.fresh.Load()
	return addrs != nil && len(*addrs) > 0 && !slices.Contains(*addrs, addr)
}

func (l *Loop) emitHint(ctx context.Context, r Result) {
	if ctx.Err() != nil {
		return // the session ended because we did
	}
	r.Kind, r.Hint = Session, true
	l.emit(ctx, r)
}

func (l *Loop) emit(ctx context.Context, r Result) {
	if ctx.Err() != nil && r.Failed() {
		return // a conversation cut off by our own end says nothing
	}
	if r.Kind == Fresh && len(r.Addrs) > 0 {
		l.fresh.Store(&r.Addrs)
	}
	l.Emit(r)
}

// converse has fresh conversations: each FreshInterval beside a held session,
// each SuspectInterval during an examination.
func (l *Loop) converse(ctx context.Context, hints <-chan struct{}, group *sync.WaitGroup) {
	results := make(chan time.Time, mostInFlight) // when those that ended began
	calm := time.NewTicker(l.Pace.FreshInterval)
	defer calm.Stop()
	e := examination{every: l.Pace.SuspectInterval}
	defer e.stop()
	launch := func() {
		e.inFlight++
		group.Go(func() {
			began := time.Now()
			l.emit(ctx, Once(ctx, l.Protocol, l.Target()))
			results <- began // never blocks: there is room for all that are in flight
		})
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-hints:
			e.hinted()
		case on := <-l.examine:
			if on && !e.on {
				l.deepen()
			}
			e.asked(on)
		case began := <-results:
			e.ended(began)
		case <-calm.C:
			if l.Protocol.Holds && e.inFlight == 0 {
				launch()
			}
			continue
		case <-e.tick():
		}
		if e.due() {
			launch()
		}
	}
}

// examination is when fresh conversations follow quickly on one another:
// because the engine asked, or because a session gave a hint, until one
// conversation that began since has ended.
type examination struct {
	every    time.Duration
	on, hint bool
	hintAt   time.Time
	inFlight int
	older    int // of these, those that began before the examination did anew
	anew     time.Time
	quick    int // how many of the next ones follow at twice the pace: a vote waits for them
	last     time.Time
	timer    *time.Timer
}

func (e *examination) hinted() { e.hint, e.hintAt = true, time.Now() }

func (e *examination) asked(on bool) {
	if on && e.inFlight <= mostInFlight-examineInFlight {
		e.older, e.anew, e.last, e.quick = e.inFlight, time.Now(), time.Time{}, examineInFlight
	}
	e.on, e.hint = on, e.hint && on
}

// ended counts one conversation. One that began after the hint also ends it:
// from here on the engine says whether to go on.
func (e *examination) ended(began time.Time) {
	e.inFlight--
	if began.Before(e.anew) && e.older > 0 {
		e.older--
	}
	e.hint = e.hint && began.Before(e.hintAt)
}

// due reports whether to begin a conversation now, and sets the timer for the next.
func (e *examination) due() bool {
	if !e.on && !e.hint {
		return false
	}
	if e.inFlight-e.older >= examineInFlight {
		return false // the end of one of them asks again
	}
	every := e.every
	if e.quick > 0 {
		every /= 2
	}
	if wait := every - time.Since(e.last); wait > 0 {
		e.arm(wait)
		return false
	}
	e.last, e.quick = time.Now(), max(0, e.quick-1)
	e.arm(every)
	return true
}

func (e *examination) arm(d time.Duration) {
	if e.timer == nil {
		e.timer = time.NewTimer(d)
		return
	}
	e.timer.Reset(d)
}

func (e *examination) tick() <-chan time.Time {
	if e.timer == nil {
		return nil
	}
	return e.timer.C
}

func (e *examination) stop() {
	if e.timer != nil {
		e.timer.Stop()
	}
}

// pause waits for d, or until ctx ends; it reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
