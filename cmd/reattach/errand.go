package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// errandText says in each command's help what --config does, and what it does not.
const errandText = `With --config PATH, and if no daemon answers on the socket, the command goes straight to
the store: it is an observer of its own for as long as it takes, under the same rules, and
says so. It opens no door and tells nobody, and another observer, or the daemon's next
start, finds in the record what was done. Where several observers are configured, it
counts as none of them: a switch wants the votes of those that run, or that gate forced.
The step "after" is left to them, too; fence and promote run here, with this account.
What the store went back on (a restored snapshot) is not noticed: it has no memory.`

// readTime is how long the store may take to be read.
const readTime = 15 * time.Second

// errand carries out one command straight on the store, as an observer of its own
// that lives no longer.
func (d *door) errand(ctx context.Context, c failover.Command, paths []string) (a failover.Answer, err error) {
	conf, diags := configs.Load(paths, configOptions(d.process))
	if conf == nil {
		return a, unusable(d.process, paths, diags)
	}
	log, err := newLog(d.process, "warn", "text")
	if err != nil {
		return a, err
	}
	store, err := openStore(conf, func() probe.Secret { return conf.Store.Consul.Token }, false)
	if err != nil {
		return a, storeExit(err)
	}
	defer func() { err = errors.Join(err, store.close()) }()
	engine := errandConfig(conf, c)
	daemon, err := failover.NewDaemon(failover.Options{Config: engine, Store: store, Log: log, Version: buildVersion(),
		RunStep: stepRunner(log), Silent: !speaks(c.Verb)})
	if err != nil {
		return a, &exit{exitNo, err, ""}
	}
	where := conf.Store.Consul.Address
	if conf.Store.Kind == configs.Embedded {
		where = conf.Store.Embedded.Path
	}
	fmt.Fprintf(d.err, "no daemon answers on %s: straight on the store, %s, as the observer %s\n", d.socket, where, engine.Observer)
	running := []part{{"errand", daemon.Run}, {"command", func(ctx context.Context) error {
		a, err = ordered(ctx, daemon, c)
		return err
	}}}
	if failed := runAll(ctx, running); failed != nil {
		return a, &exit{exitUnreachable, errors.New(strings.TrimPrefix(failed.Error(), "command: ")), "reattach check --live says whether the store can be reached"}
	}
	return a, nil
}

// ordered has a daemon that has just begun carry out a command.
func ordered(ctx context.Context, daemon *failover.Daemon, c failover.Command) (failover.Answer, error) {
	late := time.After(readTime)
	for {
		err := daemon.Known(ctx)
		if err == nil {
			return carriedOut(ctx, daemon, c)
		}
		select {
		case <-ctx.Done():
			return failover.Answer{}, ctx.Err()
		case <-late:
			return failover.Answer{}, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// carriedOut has a command carried out whole before it is answered: ack --all of a
// daemon's goes on behind its answer.
func carriedOut(ctx context.Context, daemon *failover.Daemon, c failover.Command) (a failover.Answer, err error) {
	if c.Verb != "ack" || !c.All {
		return daemon.Do(ctx, c)
	}
	s, err := daemon.Status(ctx)
	if err != nil {
		return a, err
	}
	for _, r := range s.Resources {
		one := c
		one.All, one.Resource = false, r.Name
		if a, err = daemon.Do(ctx, one); err != nil || !a.Done {
			return a, err
		}
	}
	a.Text = "Acknowledged every resource."
	return a, nil
}

// errandConfig is that of an observer for one command: what it is about, and the
// observers that are configured.
func errandConfig(conf *configs.Config, c failover.Command) failover.Config {
	out := engineConfig(conf)
	out.Errand, out.Zone = true, ""
	host, _ := os.Hostname() // without one, the number of the process tells it from others
	out.Observer = fmt.Sprintf("cli-%s-%d", strings.ReplaceAll(host, "/", "-"), os.Getpid())
	if !c.All && conf.Resource(c.Resource) != nil {
		out.Resources = slices.DeleteFunc(out.Resources, func(r *policy.Resource) bool { return r.Name != c.Resource })
	}
	return out
}

// speaks reports whether a command rests on what endpoints say.
func speaks(verb string) bool {
	return slices.Contains([]string{"switchover", "failover", "failback", "restore", "refresh"}, verb)
}
