package failover

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// Options is what a Daemon is made of.
type Options struct {
	Config   Config // its Seed and Seen are filled in by the daemon, and Active if it is nil
	Store    Store
	Log      *slog.Logger
	StateDir string // where what was seen last is kept; empty: nowhere
	Disk     Disk   // how; nil: [OSDisk]
	Taps     []Tap
	Version  string
	Silent   bool    // no endpoint is spoken to: for orders that need no evidence
	Journal  Journal // keeps notices and hands them on; nil: they are only logged
	// Ask asks another observer how it is, until ctx ends; nil: nobody is asked.
	Ask func(ctx context.Context, observer string) (Health, error)
	// RunStep runs a command around a switch until it ends, ctx ends or its
	// deadline is over; nil: none can be run.
	RunStep func(context.Context, RunStep) StepOutcome
}

// Daemon is the actor around an [Engine]: it feeds it events, carries out its
// effects, and owns every goroutine that this takes.
type Daemon struct {
	opt      Options
	engine   *Engine
	events   chan Event
	calls    chan func(context.Context, time.Time)
	done     chan struct{}
	group    sync.WaitGroup
	workers  sync.WaitGroup // those that send transactions
	leaving  bool           // no transaction is begun any more
	orders   map[uint64]chan Answer
	order    uint64
	loops    map[string]*loop
	asking   map[string]context.CancelFunc // by observer
	txns     chan Transact
	outgoing outgoing
	unkept   bool            // the journal took the last notices into memory only
	late     map[string]Seen // to be written once it takes them again
	turned   time.Time       // when the loop last turned
	silence  silence
}

// loop is a running probing loop.
type loop struct {
	*probe.Loop
	def    policy.Endpoint
	pace   probe.Pace
	memory *probe.Memory
	cancel context.CancelFunc
}

// Sizes and times of the daemon's own.
const (
	tickEvery   = 100 * time.Millisecond
	standstill  = time.Second // a loop gap longer than this voids evidence
	txnWorkers  = 8
	eventBuffer = 1024
)

// ErrStopped means that the daemon has ended.
var ErrStopped = errors.New("the daemon has stopped")

// NewDaemon prepares a daemon. It fails if what was seen last cannot be read.
func NewDaemon(opt Options) (*Daemon, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Disk == nil {
		opt.Disk = OSDisk{}
	}
	if _, err := rand.Read(opt.Config.Seed[:]); err != nil {
		return nil, err
	}
	d := &Daemon{opt: opt, events: make(chan Event, eventBuffer), calls: make(chan func(context.Context, time.Time)), done: make(chan struct{}),
		orders: map[uint64]chan Answer{}, loops: map[string]*loop{}, asking: map[string]context.CancelFunc{}, txns: make(chan Transact, eventBuffer), outgoing: newOutgoing()}
	seen, err := readSeen(d.seenFile())
	if err != nil {
		return nil, fmt.Errorf("what was seen last: %w", err)
	}
	d.opt.Config.Seen = seen
	if opt.Journal != nil && opt.Config.Active == nil {
		d.opt.Config.Active = opt.Journal.Active()
	}
	d.engine = NewEngine(d.opt.Config)
	return d, nil
}

// Run watches until ctx ends. It returns after everything that it started has
// ended: no conversation, transaction or file is left half done.
func (d *Daemon) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	stop, ended := make(chan struct{}), make(chan struct{})
	go d.keepAll(stop, ended)
	defer d.keepLast(stop, ended)
	defer d.group.Wait()
	defer close(d.done)
	defer cancel()
	for range txnWorkers {
		d.workers.Go(func() { d.sendTxns(ctx) })
	}
	for _, prefix := range []string{controlPrefix, ballotPrefix} {
		d.group.Go(func() { d.watch(ctx, prefix) })
	}
	if !d.opt.Silent {
		d.startLoops(ctx, d.opt.Config.Resources)
	}
	d.askPeers(ctx, d.opt.Config)
	return d.turn(ctx)
}

// turn is the loop that owns the engine.
func (d *Daemon) turn(ctx context.Context) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	d.turned = time.Now()
	d.step(ctx, d.turned, Tick{})
	for {
		var ev Event
		select {
		case <-ctx.Done():
			d.leave(ctx)
			return nil
		case ev = <-d.events:
		case call := <-d.calls:
			call(ctx, time.Now())
			continue
		case <-tick.C:
			ev = Tick{}
		}
		now := time.Now()
		if stood(d.turned, now) {
			d.opt.Log.Warn("this process stood still, or its clock jumped: what was seen meanwhile is void", "since", d.turned)
			d.step(ctx, now, Stood{From: d.turned})
		}
		d.turned = now
		d.step(ctx, now, ev)
	}
}

// leave closes what is open in the store, so that nobody has to wait for its
// age: first the ballots that are known, then those whose opening was under way.
func (d *Daemon) leave(ctx context.Context) {
	d.leaving = true
	closed := map[uint64]bool{}
	closeAll := func() {
		for _, t := range d.engine.Leave() {
			if index := t.Ops[0].Index; !closed[index] {
				closed[index] = true
				d.sendTxn(ctx, t)
			}
		}
	}
	closeAll()
	d.settle(ctx)
	closeAll()
}

// settle waits for the transactions that are under way, and takes in their
// answers: a ballot that is opened by one of them is to be closed, too, and a
// switch that was committed is to be told.
func (d *Daemon) settle(ctx context.Context) {
	ended := make(chan struct{})
	d.group.Go(func() { d.workers.Wait(); close(ended) })
	take := func(ev Event) {
		if a, ok := ev.(Answered); ok {
			d.step(ctx, time.Now(), a)
		}
	}
	for {
		select {
		case ev := <-d.events:
			take(ev)
			continue
		case <-ended:
		}
		for {
			select {
			case ev := <-d.events:
				take(ev)
			default:
				return
			}
		}
	}
}

// stood reports whether either clock leapt between two turns: the monotonic one
// stands still while a machine is suspended, the wall clock may be set.
func stood(before, now time.Time) bool {
	mono := now.Sub(before)
	wall := now.Round(0).Sub(before.Round(0))
	return mono > standstill || wall > standstill+mono || wall < mono-standstill
}

// step has the engine take an event in, and its effects carried out.
func (d *Daemon) step(ctx context.Context, now time.Time, ev Event) {
	if a, ok := ev.(Answered); ok {
		d.hear(now, a)
	}
	effects := d.engine.Step(now, ev)
	for _, effect := range effects {
		d.perform(ctx, effect)
	}
	for _, tap := range d.opt.Taps {
		tap.Saw(now, ev, effects)
	}
}

func (d *Daemon) perform(ctx context.Context, effect Effect) {
	switch f := effect.(type) {
	case Transact:
		if d.leaving {
			return
		}
		select {
		case d.txns <- f:
		default: // no room: as if the store had not answered; never wait here
			d.group.Go(func() { d.send(ctx, Answered{ID: f.ID, Err: ErrUnknown, Sent: time.Now()}) })
		}
	case Examine:
		if l := d.loops[loopName(f.Resource, f.Endpoint)]; l != nil {
			l.Examine(f.On)
		}
	case Write:
		if l := d.loops[loopName(f.Resource, f.Endpoint)]; l != nil {
			l.Write(f.On)
		}
	case Respond:
		if reply := d.orders[f.ID]; reply != nil {
			delete(d.orders, f.ID)
			reply <- f.Answer
		}
	case Tell:
		d.log(ctx, f.Notice)
		d.outgoing.tell(f.Notice)
	case Switched:
		r := f.Record
		d.opt.Log.Info("switched", "resource", r.Resource, "kind", r.Kind.String(), "from", r.From, "to", r.To, "epoch", r.Epoch,
			"why", r.Why, "seconds", r.Times.Total)
	case RunStep:
		if !d.leaving {
			d.group.Go(func() { d.runStep(ctx, f) })
		}
	case Remember:
		d.outgoing.remember(f.Seen)
	}
}

// send hands an event to the engine, unless the daemon ends first.
func (d *Daemon) send(ctx context.Context, ev Event) {
	select {
	case d.events <- ev:
	case <-ctx.Done():
	}
}

// sendTxns carries out transactions until ctx ends.
func (d *Daemon) sendTxns(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-d.txns:
			d.events <- d.sendTxn(ctx, t) // taken in to the last
		}
	}
}

// sendTxn carries out one transaction, if its time is not over. One that is
// under way is not cut short by the daemon's end.
func (d *Daemon) sendTxn(ctx context.Context, t Transact) Answered {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.Timeout)
	defer cancel()
	now := time.Now()
	if late(now, t.Before) {
		return Answered{ID: t.ID, Err: ErrLate, Sent: now}
	}
	reply, err := d.opt.Store.Txn(ctx, t.Ops)
	if err != nil {
		d.opt.Log.Debug("transaction", "purpose", t.Purpose, "error", err)
	}
	return Answered{ID: t.ID, Reply: reply, Err: err, Sent: now}
}

// late compares both clocks: a suspended machine stops the monotonic one.
func late(now, before time.Time) bool {
	return !before.IsZero() && (now.After(before) || now.Round(0).After(before.Round(0)))
}

// watch follows a prefix until ctx ends.
func (d *Daemon) watch(ctx context.Context, prefix string) {
	var index uint64
	for ctx.Err() == nil {
		entries, next, err := d.opt.Store.Watch(ctx, prefix, index)
		switch {
		case err != nil:
			index = 0
			if ctx.Err() == nil {
				d.opt.Log.Debug("watch", "prefix", prefix, "error", err)
				d.send(ctx, Changed{Prefix: prefix, Err: err})
			}
			sleep(ctx, time.Second)
		case next < index:
			index = 0
		default:
			index = next
			d.send(ctx, Changed{Prefix: prefix, Entries: entries})
		}
	}
}

func sleep(ctx context.Context, dur time.Duration) {
	t := time.NewTimer(dur)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func loopName(resource, endpoint string) string { return resource + "/" + endpoint }

// startLoops starts the probing loops that rs wants, stops those that it does
// not, and leaves alone those that stay as they are.
func (d *Daemon) startLoops(ctx context.Context, rs []*policy.Resource) {
	wanted := map[string]bool{}
	for _, r := range rs {
		for _, ep := range r.Endpoints {
			name := loopName(r.Name, ep.Name)
			wanted[name] = true
			memory := &probe.Memory{}
			if l := d.loops[name]; l != nil {
				if l.pace == r.Pace && reflect.DeepEqual(l.def, ep) {
					continue
				}
				l.cancel()
				memory = l.memory // a list of passwords that changed may still hold the one that serves
			}
			d.loops[name] = d.startLoop(ctx, r, ep, memory)
		}
	}
	for name, l := range d.loops {
		if !wanted[name] {
			l.cancel()
			delete(d.loops, name)
		}
	}
}

func (d *Daemon) startLoop(ctx context.Context, r *policy.Resource, ep policy.Endpoint, memory *probe.Memory) *loop {
	ctx, cancel := context.WithCancel(ctx)
	resource, endpoint, target := r.Name, ep.Name, ep.Target
	target.Memory = memory
	l := &loop{def: ep, pace: r.Pace, memory: memory, cancel: cancel, Loop: &probe.Loop{Name: loopName(resource, endpoint), Protocol: r.Protocol, Pace: r.Pace,
		Target: func() probe.Target { return target },
		Emit:   func(res probe.Result) { d.send(ctx, Observed{resource, endpoint, res}) }}}
	d.group.Go(func() {
		defer cancel()
		l.Run(ctx)
	})
	return l
}

// askPeers has every other observer of a configuration asked, and no one else.
func (d *Daemon) askPeers(ctx context.Context, cfg Config) {
	if d.opt.Ask == nil {
		return
	}
	for name, stop := range d.asking {
		if !slices.Contains(cfg.Observers, name) {
			stop()
			delete(d.asking, name)
		}
	}
	for _, name := range cfg.Observers {
		if name == cfg.Observer || d.asking[name] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		d.asking[name] = cancel
		d.group.Go(func() { d.askPeer(ctx, name) })
	}
}
