package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
)

// reloadTime is how long the engine may take to answer.
const reloadTime = 10 * time.Second

// refused is why what stands on disk is not in force: the configuration that
// somebody asked to be read, and what files say that the running one names. Both
// are empty when all of it is.
type refused struct {
	configuration, files string
	next                 string // what to type about the configuration; empty: look for mistakes in it
}

func (r refused) why() string {
	if r.configuration != "" && r.files != "" {
		return r.configuration + "; " + r.files
	}
	return r.configuration + r.files
}

// reloads reads the configuration again at each SIGHUP, and the files that it
// names when they change, until ctx ends.
func (s *service) reloads(ctx context.Context, hangups <-chan os.Signal) error {
	tick := time.NewTicker(secretsEvery)
	defer tick.Stop()
	closer := time.NewTimer(0)
	defer closer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
			s.manager.reload(ctx, func() { s.reload(ctx) })
			continue
		case <-tick.C:
		case <-s.hint:
		case <-closer.C:
		}
		if s.lookAtSecrets(ctx) == unsettled {
			closer.Reset(secretsSettle)
		}
	}
}

// reload puts the configuration in force that is on disk now, or says why the
// running one stays.
func (s *service) reload(ctx context.Context) {
	log := s.log.With("because", "SIGHUP")
	conf, diags := configs.Load(s.paths, s.options)
	for _, d := range diags {
		log.Warn(d.Message, "severity", d.Severity.String(), "file", d.File, "line", d.Line, "hint", d.Hint)
	}
	err := s.take(ctx, log, conf, diags, s.daemon.Reload)
	if err != nil {
		log.Error("the configuration was not taken: the running one stays", "why", err.Error())
		s.refused.configuration, s.refused.next = err.Error(), nextAfter(err, diags, s.paths)
	} else {
		s.refused = refused{} // it was made of what the files say now
	}
	s.tell(ctx, err == nil)
}

// take puts conf in force by what tells the engine of it, or returns why not:
// without a conf, by diags.
func (s *service) take(ctx context.Context, log *slog.Logger, conf *configs.Config, diags configs.Diagnostics,
	engine func(context.Context, failover.Config) (failover.Answer, error)) error {
	if conf == nil {
		return mistakes(diags)
	}
	changes := configs.Diff(s.conf.Load(), conf)
	if len(changes.Restart) > 0 {
		return fmt.Errorf("%w: %s", errRestart, strings.Join(changes.Restart, ", "))
	}
	where, err := routing(conf, s.log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	answer, err := engine(ctx, engineConfig(conf))
	switch {
	case err != nil:
		return err
	case !answer.Done:
		return errors.New(strings.TrimSuffix(answer.Text+" "+answer.Hint, " "))
	}
	s.conf.Store(conf)
	s.outbox.Configure(where)
	log.Info("the configuration is in force", "added", changes.Added, "removed", changes.Removed, "changed", changedTexts(changes.Changed), "tokens", changes.Tokens,
		"notices_changed", !changes.Notices.Empty(), "observers_changed", changes.Peers)
	return nil
}

// changedTexts says in words what changed of each resource: "orders-db: sustain".
func changedTexts(all []configs.Change) (out []string) {
	for _, c := range all {
		text := c.Name + ": " + strings.Join(c.What, ", ")
		if len(c.Dropped) > 0 {
			text += "; without " + strings.Join(c.Dropped, ", ")
		}
		out = append(out, text)
	}
	return out
}

// tell counts an attempt and tells what of the disk is not in force now.
func (s *service) tell(ctx context.Context, taken bool) {
	why := s.refused.why()
	if !taken || why == "" { // what was taken does not hide what was not
		s.metrics.Reloaded(taken)
	}
	// Only a daemon that ends does not hear it.
	if err := s.daemon.Misread(ctx, why, s.refused.next); err != nil {
		s.log.Debug("telling of the reload", "error", err)
	}
}

var errRestart = errors.New("this takes a restart")

// nextAfter is what to type about a configuration that was not taken, or nothing:
// then what shows its mistakes.
func nextAfter(err error, diags configs.Diagnostics, paths []string) string {
	switch {
	case errors.Is(err, errRestart):
		return "systemctl restart reattach"
	case diags.Denied():
		return checkAsUs(paths)
	}
	return ""
}

// checkAsUs is a check by the account that this process has: another, such as root,
// may read what it may not.
func checkAsUs(paths []string) string {
	name := strconv.Itoa(os.Getuid())
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	} else {
		name = "#" + name
	}
	words := []string{"sudo -u", shellWord(name), "reattach check"}
	for _, path := range paths {
		words = append(words, shellWord(path))
	}
	return strings.Join(words, " ")
}

// unusable reports a configuration that a command wants and cannot use.
func unusable(p *process, paths []string, diags configs.Diagnostics) error {
	fmt.Fprint(p.err, diags.String())
	n, _ := diags.Count()
	hint := "reattach check shows the same"
	if diags.Denied() {
		hint = checkAsUs(paths) + " shows the same; as root it need not"
	}
	return wrongf(hint, "%s in the configuration", plural(n, "error"))
}

// mistakes says how many there are, and the first.
func mistakes(diags configs.Diagnostics) error {
	n, _ := diags.Count()
	for _, d := range diags {
		if d.Severity == configs.Error {
			return fmt.Errorf("%s in the configuration; the first, at %s: %s", plural(n, "mistake"), place(d), d.Message)
		}
	}
	return errors.New("the configuration has mistakes")
}

// place is where a finding is, as far as it is known.
func place(d configs.Diagnostic) string {
	if d.Line == 0 {
		return d.File
	}
	return fmt.Sprintf("%s:%d", d.File, d.Line)
}
