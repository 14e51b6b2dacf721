package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/consul"
	"github.com/reattach/reattach/failover/embedded"
	"github.com/reattach/reattach/failover/notify"
	"github.com/reattach/reattach/probe"
)

// life is one life of an observer: what its process is told.
type life struct {
	World     world
	Story     string
	Number    int    // 1 is the first
	Consul    string // its address; empty: the embedded store
	Prefix    string // of its keys there
	Webhook   string
	Observer  string
	Observers []string
	Kill      place // where it ends
	// Company says that it is the other observers, who live until they are told to
	// end, and pass no places.
	Company bool
}

// patience is how long everything may take to come to rest. A step that was cut
// short is taken over after its time and a margin, 8 s, and there are four.
const patience = 90 * time.Second

// errRestless means that not everything came to rest.
var errRestless = errors.New("it does not come to rest")

func (l life) placesLog() string { return l.World.file(fmt.Sprintf("places.%d", l.Number)) }

// open opens a run's store; close it.
func (l life) open() (failover.Store, func() error, error) {
	if l.Consul == "" {
		s, err := embedded.Open(l.World.file("store.db"))
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	}
	s, err := consul.New(consul.Config{Address: l.Consul})
	if err != nil {
		return nil, nil, err
	}
	return below{s, l.Prefix}, s.Close, nil
}

// observer is a life while it lasts.
type observer struct {
	life
	story  story
	points *points
	raw    failover.Store // as the world sees it: no places
	daemon *failover.Daemon
	outbox *notify.Outbox
	ctx    context.Context
}

// live lives until everything is at rest, or until it is killed.
func (l life) live() error {
	p, err := newPoints(l.placesLog(), l.Kill)
	if err == nil {
		err = l.World.listen(p)
	}
	if err != nil {
		return err
	}
	return l.with(p, func(o *observer) error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		o.ctx = ctx
		return o.run(o.untilRest)
	})
}

// attend is the life of the observers who are not killed: until SIGTERM.
func (l life) attend() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var group sync.WaitGroup
	failed := make([]error, len(l.Observers))
	for i, name := range l.Observers[1:] {
		other := l
		other.Observer = name
		group.Go(func() {
			failed[i] = other.with(unseen(), func(o *observer) error {
				return o.run(func() error { <-ctx.Done(); return nil })
			})
		})
	}
	group.Wait()
	return errors.Join(failed...)
}

// with puts an observer together, has f use it, and takes it apart.
func (l life) with(p *points, f func(*observer) error) (err error) {
	store, closeStore, err := l.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	logs, err := os.OpenFile(l.World.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})).With("observer", l.Observer, "life", l.Number)
	o := &observer{life: l, points: p, raw: store, story: stories[l.Story]}
	dir := l.World.file("state." + l.Observer)
	if o.outbox, err = notify.Open(filepath.Join(dir, "notices.db"), notify.Options{Log: log, Observer: l.Observer}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.outbox.Close()) }()
	if err := o.route(); err != nil {
		return err
	}
	o.daemon, err = failover.NewDaemon(failover.Options{Config: o.config(), Log: log, StateDir: dir, Version: "crash",
		Store: &counted{Store: store, points: p, read: map[string]uint64{}}, Journal: journal{o.outbox, p}, Disk: disk{points: p}, RunStep: p.runStep})
	if err != nil {
		return err
	}
	return f(o)
}

// route has everything told to the one destination, as a person would set it up.
func (o *observer) route() error {
	hook, err := notify.NewWebhook(notify.WebhookOptions{URL: probe.Secret(o.Webhook)})
	if err != nil {
		return err
	}
	o.outbox.Configure(notify.Routing{
		Destinations: []notify.Destination{{Name: "ops", Kind: "webhook", Sender: sender{hook, o.points}, Resolve: true}},
		Routes:       map[string][]string{resourceName: {"ops"}, "": {"ops"}},
	})
	return nil
}

func (o *observer) config() failover.Config {
	return failover.Config{Observer: o.Observer, Observers: o.Observers, Zone: "az-" + o.Observer,
		Resources: o.resources(o.story.shape(o.World))}
}

// run runs daemon and outbox for as long as f takes.
func (o *observer) run(f func() error) error {
	running, stop := context.WithCancel(context.Background())
	silent, hush := context.WithCancel(context.Background())
	var group sync.WaitGroup
	var failed [2]error
	group.Go(func() { failed[0] = o.daemon.Run(running); hush() })
	group.Go(func() { failed[1] = o.outbox.Run(silent) })
	err := f()
	stop()
	group.Wait()
	return errors.Join(err, failed[0], failed[1])
}

// untilRest is the story, and the rest after it.
func (o *observer) untilRest() error {
	err := o.story.play(o)
	if err == nil {
		err = o.rest()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %s", errRestless, o.describe())
	}
	return err
}

// rest waits until nothing is under way any more, and nothing has happened for a
// while.
func (o *observer) rest() error {
	return o.until(func() bool {
		s, err := o.status()
		return err == nil && o.calm(s) && o.points.still() > 1300*time.Millisecond && o.told() && o.settled() && o.story.goal(o, s)
	})
}

// until waits until f is true.
func (o *observer) until(f func() bool) error {
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-o.ctx.Done():
			return o.ctx.Err()
		}
	}
	return nil
}

func (o *observer) status() (failover.ResourceStatus, error) {
	s, err := o.daemon.Status(o.ctx)
	if err != nil {
		return failover.ResourceStatus{}, err
	}
	return s.Resources[0], nil
}

// calm reports whether the observer is doing nothing, and waits for nothing but
// time or people.
func (o *observer) calm(s failover.ResourceStatus) bool {
	return (s.Activity == failover.Steady.String() || s.Activity == failover.Holding.String() && s.Hold.Gate != "ballot") && s.Operation == ""
}

// told reports whether every notice has arrived.
func (o *observer) told() bool {
	for _, n := range o.outbox.Notifiers() {
		if n.Pending > 0 {
			return false
		}
	}
	return true
}

// settled reports whether the store holds nothing that is to be ended.
func (o *observer) settled() bool {
	all := o.tree(failover.Prefix)
	if len(all) == 0 {
		return false // the store does not answer
	}
	for _, e := range all {
		own := strings.TrimPrefix(e.Key, failover.Prefix)
		switch {
		case strings.HasPrefix(own, "ballot/") && !strings.HasSuffix(own, "_sentinel"):
			return false
		case strings.HasPrefix(own, "after/"):
			var a failover.AfterRun
			if json.Unmarshal(e.Value, &a) != nil || a.End == nil {
				return false
			}
		}
	}
	return true
}

func (o *observer) tree(prefix string) []failover.Entry {
	reply, err := o.raw.Txn(o.ctx, []failover.Op{{Verb: failover.GetTree, Key: prefix}})
	if err != nil {
		return nil
	}
	return reply.Entries
}

// describe says how far it has come.
func (o *observer) describe() string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	o.ctx = ctx
	s, err := o.status()
	if err != nil {
		return err.Error()
	}
	text, _ := json.Marshal(s)
	return fmt.Sprintf("told %v, settled %v, goal %v, still for %v: %s", o.told(), o.settled(), o.story.goal(o, s), o.points.still(), text)
}
