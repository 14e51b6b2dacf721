// Command app is the quickstart's application: a small client of four backing
// services that knows each by nothing but its URL, as the twelve-factor method
// has it. It reads KEY=VALUE lines from the file that it is given, attaches to
// each service with that service's usual client library, and writes to each
// five times a second: a row, a message, a mail, an item.
//
// It knows nothing of reattach, of standbys, or of the file's changing:
// consul-template restarts it when that happens.
//
// It prints one line of JSON when a service has taken its first write, when
// writes begin to fail, and when they succeed again. It never prints a URL.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	pause    = 200 * time.Millisecond // between two writes to a service
	patience = time.Second            // for one write, a connection included
)

// service is a kind of backing service, and the variable that names it.
type service struct {
	name     string
	variable string
	attach   func(ctx context.Context, u *url.URL) (connection, error)
}

// connection is an attached service.
type connection interface {
	// write has the service take one small thing, and returns once it said so.
	write(ctx context.Context, n int) error
	close()
}

var services = []service{
	{"orders-db", "DATABASE_URL", attachDatabase},
	{"orders-queue", "AMQP_URL", attachQueue},
	{"mail", "SMTP_URL", attachMail},
	{"sessions", "CACHE_URL", attachCache},
}

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	if len(os.Args) != 2 {
		log.Error("usage: app FILE")
		os.Exit(2)
	}
	env, err := read(os.Args[1])
	if err != nil {
		log.Error("no environment", "error", err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log.Info("started")
	var group sync.WaitGroup
	for _, s := range services {
		u, err := url.Parse(env[s.variable])
		if err != nil || u.Host == "" {
			log.Error("no URL", "variable", s.variable) // the error would quote its password
			os.Exit(1)
		}
		group.Go(func() { s.use(ctx, log.With("service", s.name, "host", u.Hostname()), u) })
	}
	group.Wait()
}

// read reads KEY=VALUE lines.
func read(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	env := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok {
			env[key] = value
		}
	}
	return env, lines.Err()
}

// use writes to a service until ctx ends, and attaches anew after each failure.
func (s service) use(ctx context.Context, log *slog.Logger, u *url.URL) {
	var c connection
	defer func() {
		if c != nil {
			c.close()
		}
	}()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	well, attached := false, false
	for n := 1; ctx.Err() == nil; n++ {
		err := s.once(ctx, u, &c, n)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && !attached:
			log.Info("attached")
			well, attached = true, true
		case err == nil && !well:
			log.Info("writes again")
			well = true
		case err != nil && well:
			log.Info("writes fail", "error", blunt(err))
			well = false
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// once writes once, on a new connection if there is none.
func (s service) once(ctx context.Context, u *url.URL, c *connection, n int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if *c == nil {
		attached, err := s.attach(ctx, u)
		if err != nil {
			return err
		}
		*c = attached
	}
	err := (*c).write(ctx, n)
	if err != nil {
		(*c).close()
		*c = nil
	}
	return err
}

// blunt is an error without the URL that it may quote.
func blunt(err error) string {
	var quoting *url.Error
	if errors.As(err, &quoting) {
		err = quoting.Err
	}
	return fmt.Sprint(err)
}
