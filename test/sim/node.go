package sim

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
)

// node is a machine with one daemon on it: failover.Daemon in simulated time, with
// the production engine inside.
type node struct {
	w      *world
	name   string
	cfg    failover.Config
	engine *failover.Engine
	twin   *failover.Engine // fed the same events; nil in most runs

	life      int // raised by each end: what was planned for a former life does not happen
	alive     bool
	retired   bool             // it does not start again
	twice     bool             // it runs under a name that is taken
	wanted    *failover.Config // what it is to be configured with from its next start on
	leaving   bool             // it was told to end, and waits for what is under way
	frozen    bool
	suspended bool // frozen with its clock
	waiting   []item
	turned    time.Time // when its loop last turned
	stood     time.Duration

	wallOff, monoOff time.Duration // of its clocks, from the world's
	paths            map[string]*path
	localFault       bool
	well             bool          // it finds everything well
	stalls           time.Duration // until when none of its conversations ends

	loops   map[string]*loop
	txns    []failover.Transact // that no worker has taken yet
	busy    int                 // workers that wait for the store
	fates   []*fate             // of transactions to come
	watches [2]*watch
	steps   map[uint64]*command
	orders  uint64
	asked   map[uint64]*asking
	disk    disk
	known   known // what the oracle knows of it
}

// disk is what survives the process.
type disk struct {
	seen    map[string]failover.Seen
	late    map[string]failover.Seen // to be written once the journal takes notices again
	active  []failover.Notice
	waiting []failover.Notice // told, and in memory only
	handed  int               // how many of these were handed on
	full    bool
}

// Sizes and times of the daemon's own.
const (
	tickEvery  = 100 * time.Millisecond
	standstill = time.Second
	txnWorkers = 8
)

func (w *world) newNode(name string, cfg failover.Config) *node {
	n := &node{w: w, name: name, cfg: cfg, paths: map[string]*path{}, asked: map[uint64]*asking{}}
	if !w.opt.SameClocks { // by a chance of its own: nothing else may depend on it
		apart := rand.New(rand.NewPCG(w.opt.Seed, uint64(len(w.nodes))))
		n.wallOff = time.Duration(apart.Int64N(int64(time.Hour))) - 30*time.Minute
	}
	n.monoOff = time.Duration(len(w.nodes)) * 1000 * time.Hour
	w.nodes = append(w.nodes, n)
	return n
}

// clock is the time by this machine's clocks.
func (n *node) clock() time.Time { return moment(n.w.now+n.wallOff, n.w.now+n.monoOff) }

// after has something happen on this machine, unless this life of its daemon ends
// first. While it is frozen, it waits.
func (n *node) after(d time.Duration, do func()) {
	n.w.queue.push(n.w.now+max(d, 0), item{do: do, on: n, life: n.life})
}

// start begins a life of the daemon.
func (n *node) start() {
	n.life++
	n.alive, n.leaving, n.frozen = true, false, false
	n.waiting, n.txns, n.busy, n.fates = nil, nil, 0, nil
	n.loops, n.steps = map[string]*loop{}, map[uint64]*command{}
	if n.wanted != nil {
		n.cfg = *n.wanted
	}
	n.cfg.Seen, n.cfg.Active = maps.Clone(n.disk.seen), slices.Clone(n.disk.active)
	for i := range n.cfg.Seed {
		n.cfg.Seed[i] = byte(n.w.rnd.Uint32())
	}
	n.engine = failover.NewEngine(n.cfg)
	if n.twin = nil; n.w.opt.Twin {
		n.twin = failover.NewEngine(n.cfg)
	}
	n.w.say(n.name, "starts")
	n.w.oracle.begins(n)
	n.turned = n.clock()
	for i, prefix := range [...]string{controlPrefix, ballotPrefix} {
		n.watches[i] = &watch{n: n, prefix: prefix}
		n.watches[i].ask()
	}
	n.startLoops()
	n.take(n.turned, failover.Tick{})
	n.after(n.w.between(0, tickEvery), n.ticks())
	n.after(n.w.between(0, time.Second), n.askPeers)
}

// askPeers asks every other observer how he is, each second.
func (n *node) askPeers() {
	for _, name := range n.cfg.Observers {
		if name == n.cfg.Observer {
			continue
		}
		ev := failover.Polled{Observer: name, Err: "no answer"}
		for _, peer := range n.w.nodes {
			if peer.name == name && peer.alive && !peer.frozen && !peer.leaving {
				ev.Health, ev.Err = peer.engine.Health(peer.clock()), ""
			}
		}
		took := n.w.between(300*time.Microsecond, 2*time.Millisecond)
		if ev.Err != "" {
			took = n.w.between(300*time.Microsecond, 2*time.Second)
		}
		n.after(took, func() { n.step(ev) })
	}
	n.after(time.Second, n.askPeers)
}

// ticks returns the daemon's ticker, which begins again what it did.
func (n *node) ticks() (tick func()) {
	tick = func() {
		n.step(failover.Tick{})
		n.after(tickEvery, tick)
	}
	return tick
}

// startLoops starts the probing loops that the configuration wants, and stops
// those that it does not.
func (n *node) startLoops() {
	wanted := map[string]bool{}
	for _, r := range n.cfg.Resources {
		for _, ep := range r.Endpoints {
			name := r.Name + "/" + ep.Name
			wanted[name] = true
			l := n.loops[name]
			if l != nil && l.r.Pace == r.Pace && l.r.Endpoints[l.r.Endpoint(ep.Name)].Target.URL == ep.Target.URL {
				l.r = r
				continue
			}
			if l != nil {
				l.stop()
			}
			n.loops[name] = n.startLoop(r, ep.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.loops)) {
		if !wanted[name] {
			n.loops[name].stop()
			delete(n.loops, name)
		}
	}
}

// kill ends the daemon's process with all that it had in mind. What it has sent
// may still arrive.
func (n *node) kill() {
	n.w.say(n.name, "is dead")
	n.end()
}

func (n *node) end() {
	for _, name := range slices.Sorted(maps.Keys(n.loops)) {
		n.loops[name].stop()
	}
	for _, id := range slices.Sorted(maps.Keys(n.steps)) {
		n.steps[id].dies()
	}
	n.w.oracle.ends(n)
	n.life++
	n.alive, n.leaving, n.frozen = false, false, false
	n.disk.waiting, n.disk.late, n.disk.handed = nil, nil, 0
	n.engine, n.twin = nil, nil
}

// leave has the daemon end as it is told to: it closes its ballots, and waits for
// the transactions that are under way.
func (n *node) leave(then func()) {
	n.w.say(n.name, "is told to end")
	n.leaving, n.txns = true, nil
	for _, name := range slices.Sorted(maps.Keys(n.loops)) {
		n.loops[name].stop()
	}
	closed := map[uint64]bool{}
	closeAll := func() {
		for _, t := range n.engine.Leave() {
			if index := t.Ops[0].Index; !closed[index] {
				closed[index] = true
				n.send(t)
			}
		}
	}
	var settle func(again bool)
	settle = func(again bool) {
		n.after(5*time.Millisecond, func() {
			switch {
			case n.busy > 0:
				settle(again)
			case again:
				closeAll()
				settle(false)
			default:
				n.write()
				n.kill()
				then()
			}
		})
	}
	closeAll()
	settle(true)
}

// freeze stops the process, and with its machine its clock, too.
func (n *node) freeze(suspend bool) {
	n.frozen, n.suspended, n.stood = true, suspend, n.w.now
	n.w.say(n.name, "stands still")
}

func (n *node) thaw() {
	n.frozen = false
	if n.suspended {
		n.monoOff -= n.w.now - n.stood
	}
	n.known.frozen = n.w.now
	n.w.say(n.name, "goes on, after %v", n.w.now-n.stood)
	waiting := n.waiting
	n.waiting = nil
	n.w.rnd.Shuffle(len(waiting), func(i, j int) {
		if n.w.rnd.IntN(4) == 0 { // mostly in their order
			waiting[i], waiting[j] = waiting[j], waiting[i]
		}
	})
	for _, it := range waiting {
		n.w.queue.push(n.w.now, it)
	}
}

// step is a turn of the daemon's loop.
func (n *node) step(ev failover.Event) {
	now := n.clock()
	mono, wall := now.Sub(n.turned), now.Round(0).Sub(n.turned.Round(0))
	if mono > standstill || wall > standstill+mono || wall < mono-standstill {
		n.take(now, failover.Stood{From: n.turned})
	}
	n.turned = now
	if _, answer := ev.(failover.Answered); n.leaving && !answer {
		return
	}
	n.take(now, ev)
}

// take has the engine take an event in, and its effects carried out.
func (n *node) take(now time.Time, ev failover.Event) {
	n.w.report.Steps++
	n.w.oracle.before(n, ev)
	effects := n.engine.Step(now, ev)
	if n.twin != nil {
		n.w.oracle.alike(n, effects, n.twin.Step(now, ev))
	}
	for i, effect := range effects {
		n.w.oracle.does(n, ev, effects, i)
		n.w.note(n, effect)
		n.perform(effect)
	}
}

func (n *node) perform(effect failover.Effect) {
	switch f := effect.(type) {
	case failover.Transact:
		if !n.leaving {
			n.queue(f)
		}
	case failover.Examine:
		if l := n.loops[f.Resource+"/"+f.Endpoint]; l != nil && !n.leaving {
			l.examine(f.On)
		}
	case failover.Write:
		n.writes(f)
	case failover.Tell:
		n.tell(f.Notice)
	case failover.Respond:
		n.responds(f)
	case failover.RunStep:
		if !n.leaving {
			n.run(f)
		}
	case failover.Remember:
		n.remember(f.Seen)
	case failover.Switched:
		if r := f.Record; n.w.story != nil {
			n.w.say(n.name, "SWITCHED %s: %s from %s to %s, epoch %d: %s", r.Resource, r.Kind, r.From, r.To, r.Epoch, r.Why)
		}
	}
}

func (n *node) tell(notice failover.Notice) {
	if n.w.story != nil {
		word := "tells"
		switch {
		case notice.Teller != "":
			word = "leaves to " + notice.Teller
		case notice.Over:
			word = "ends"
		case notice.Urgent:
			word = "PAGES"
		}
		n.w.say(n.name, "%s %s [%s] %s", word, notice.Event, notice.Key, notice.Text)
	}
	notice.At, notice.Since = notice.At.Round(0), notice.Since.Round(0) // a file keeps one clock
	n.disk.waiting = append(n.disk.waiting, notice)
	n.after(n.w.between(time.Millisecond, 5*time.Millisecond), n.write)
}

func (n *node) remember(seen map[string]failover.Seen) {
	n.disk.late = seen
	n.after(n.w.between(time.Millisecond, 5*time.Millisecond), n.write)
}

// write keeps what was told, and then what was seen last: never ahead of it.
func (n *node) write() {
	var fresh []failover.Notice
	for i := range n.disk.waiting {
		if i >= n.disk.handed {
			fresh = append(fresh, n.disk.waiting[i])
		}
	}
	n.disk.handed = len(n.disk.waiting)
	if len(fresh) > 0 { // they are handed on from memory, if the disk does not take them
		n.w.oracle.kept(n, fresh)
		n.after(0, func() { n.step(failover.Kept{Notices: fresh}) })
	}
	if n.disk.full {
		return
	}
	for _, notice := range n.disk.waiting {
		n.disk.active = failover.Lasting(n.disk.active, notice)
	}
	n.disk.waiting, n.disk.handed = nil, 0
	if n.disk.late != nil {
		n.disk.seen, n.disk.late = n.disk.late, nil
	}
}

// reload puts another configuration in force.
func (n *node) reload(cfg failover.Config) {
	n.orders++
	id := n.orders
	n.asked[id] = &asking{n: n, id: id, life: n.life, at: n.w.now, reload: &cfg}
	n.w.say(n.name, "reloads")
	n.step(failover.Reloaded{ID: id, Config: cfg})
}

// has reports whether the node is configured with a resource.
func (n *node) has(resource string) *policy.Resource {
	i := slices.IndexFunc(n.cfg.Resources, func(r *policy.Resource) bool { return r.Name == resource })
	if i < 0 {
		return nil
	}
	return n.cfg.Resources[i]
}

// pick is one of all, by a chance of its own.
func pick[T any](rnd *rand.Rand, all []T) T { return all[rnd.IntN(len(all))] }
