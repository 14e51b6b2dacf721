package failover

import (
	"context"
	"time"
)

// How the other observers are asked how they are.
const (
	askEvery   = time.Second
	askTimeout = 2 * time.Second
)

// askPeer asks one observer, again and again, until ctx ends.
func (d *Daemon) askPeer(ctx context.Context, name string) {
	for ctx.Err() == nil {
		began := time.Now()
		ev := Polled{Observer: name}
		asked, cancel := context.WithTimeout(ctx, askTimeout)
		health, err := d.opt.Ask(asked, name)
		cancel()
		if ev.Health = health; err != nil {
			ev.Err = err.Error()
		}
		d.send(ctx, ev)
		sleep(ctx, askEvery-time.Since(began))
	}
}

// Health is how this observer is, for the others.
func (d *Daemon) Health(ctx context.Context) (h Health, err error) {
	err = d.call(ctx, func(e *Engine, now time.Time) { h = e.Health(now) })
	h.Version = d.opt.Version
	return h, err
}
