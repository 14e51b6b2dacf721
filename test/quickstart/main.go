// Command quickstart shows what reattach does, on real servers: it starts two of
// each of four protocols, the daemon, and an application that knows nothing of
// any of this; then it takes the first servers down one after another, each in
// another way, and tells in milliseconds what was seen, decided and written, and
// when the application wrote to the standby.
//
// `make quickstart` builds what it needs and starts it at the top of the
// checkout. STORE=consul has it use a real Consul instead of the embedded store.
// On a terminal everything stays up afterwards, to be looked at, until Ctrl-C.
// With KEEP=0, or without a terminal, it ends by itself.
//
// It removes all that it started, however it ends (by SIGKILL: at its next
// start), and exits 0 only if every expectation held. It needs the docker
// command and nothing else of this machine: the daemon, the application and the
// servers talk within a network of containers.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	n := &narrator{colour: terminal() && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, n)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case err != nil && interrupted:
		os.Exit(130) // as a shell says of what Ctrl-C ended
	case err != nil:
		fmt.Fprintln(os.Stderr, "\nquickstart:", err)
		os.Exit(1)
	case len(n.failures) > 0:
		n.title(n.in(red, fmt.Sprintf("%d expectations did not hold:", len(n.failures))))
		for _, f := range n.failures {
			n.line("   " + f)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, n *narrator) (err error) {
	store := cmp.Or(os.Getenv("STORE"), "embedded")
	if store != "embedded" && store != "consul" {
		return fmt.Errorf("STORE is embedded or consul, not %q", store)
	}
	unlock, err := lock()
	if err != nil {
		return err
	}
	defer unlock()
	s, err := newStage(ctx, store)
	if err != nil {
		return err
	}
	if err := sweep(ctx); err != nil { // of one that was killed
		return err
	}
	defer func() {
		began := time.Now()
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		swept := sweep(late)
		if swept == nil {
			n.line(fmt.Sprintf("\nAll containers and the network are removed (%.1f s).", time.Since(began).Seconds()))
		}
		err = errors.Join(err, swept)
	}()
	if err := s.perform(ctx, n); err != nil {
		return err
	}
	if terminal() && os.Getenv("KEEP") != "0" {
		s.stay(ctx, n)
	}
	return nil
}

// lock makes sure that there is one quickstart at a time on this machine.
func lock() (func(), error) {
	f, err := os.OpenFile(filepath.Join(os.TempDir(), "reattach-quickstart.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, errors.New("another quickstart runs on this machine")
	}
	return func() { _ = os.Remove(f.Name()); _ = f.Close() }, nil
}

// perform sets the stage and plays all acts.
func (s *stage) perform(ctx context.Context, n *narrator) error {
	where := "the store in a file of the daemon's own"
	if s.store == "consul" {
		where = "the store a real Consul"
	}
	n.title("reattach: two real servers of each of four protocols, " + where)
	n.line(n.in(dim, "   It hurries, so that nobody has to wait: sustain 1 s, timeouts 1 s, probes each 0.5 s.\n"+
		"   The defaults wait longer (MariaDB 10 s), because supervisors restart services."))
	n.line("")
	for name, value := range secrets {
		_ = os.Setenv(name, value) // docker hands them on by name, so that no command line holds them
	}
	_ = os.Setenv("CONSUL_HTTP_TOKEN", secrets["READER_TOKEN"])
	if s.store == "consul" {
		_ = os.Unsetenv("CONSUL_HTTP_TOKEN")
	}
	steps := []struct {
		what, text string
		do         func(context.Context) error
	}{
		{"servers", "MariaDB, RabbitMQ, Postfix, memcached: two each, all serve", s.startServers},
		{"daemon", "attached each resource to its first server; all are protected", s.startDaemon},
		{"application", "writes to all four, five times a second", s.startApplication},
	}
	for _, step := range steps {
		began := time.Now()
		if err := step.do(ctx); err != nil {
			return errors.Join(err, s.hint())
		}
		n.done(step.what, step.text, time.Since(began))
	}
	if err := s.wrongPassword(ctx, n); err != nil {
		return err
	}
	for _, a := range acts {
		if err := s.play(ctx, n, a); err != nil {
			return err
		}
	}
	return s.epilogue(ctx, n)
}

// hint is what the daemon last said, for a start that failed.
func (s *stage) hint() error {
	lines := strings.Split(strings.TrimSpace(s.daemonLog.lines()), "\n")
	if len(lines) == 1 && lines[0] == "" {
		return nil
	}
	return errors.New("the daemon's last lines:\n  " + strings.Join(lines[max(0, len(lines)-8):], "\n  "))
}

// stay leaves everything up until the person has seen enough.
func (s *stage) stay(ctx context.Context, n *narrator) {
	n.title("It all stays up. Look around, from another terminal:")
	for _, command := range []string{"status", "explain orders-db", "history", "failback --help"} {
		n.line("   docker exec -it " + daemon + " reattach " + command)
	}
	n.line("   docker logs -f " + application)
	if out, err := docker(ctx, "port", daemon, "9778/tcp"); err == nil {
		if address, _, _ := strings.Cut(out, "\n"); address != "" {
			n.line("   curl http://" + address + "/metrics      # and the status page: http://" + address + "/")
		}
	}
	n.line("\nCtrl-C removes everything.")
	<-ctx.Done()
}
