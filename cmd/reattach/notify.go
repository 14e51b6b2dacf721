package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/httpapi"
	"github.com/reattach/reattach/failover/notify"
)

// testTime bounds a test notice, by the daemon and its socket.
const testTime = 90 * time.Second

func (d *door) notify() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "notify",
		Short: "The destinations of notices: how they fare, and whether they can be reached",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(d.notifyList(), d.notifyTest())
	return cmd
}

func (d *door) notifyList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "What each destination is told, what waits for it, and its last error",
		Long: `List the notifiers of the configuration in force: what each is told, how many notices wait
for it, how many it took since the daemon started, how many were given up, and the error
of the last attempt, if that failed.`,
		Example: "  reattach notify list\n  reattach notify list --json | jq '.[] | select(.pending > 0) | .name'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask := func(ctx context.Context) (json.RawMessage, error) { return d.client().Status(ctx, "") }
			s, err := answerOf(cmd.Context(), d, false, ask, httpapi.ParseStatus)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(d.out, append([]failover.NotifierStatus{}, s.Notifiers...))
			}
			_, err = io.WriteString(d.out, renderNotifiers(d.paint, d.width, s))
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return d.flags(cmd)
}

// renderNotifiers lists the destinations of notices.
func renderNotifiers(p paint, width int, s failover.Status) string {
	if len(s.Notifiers) == 0 {
		return "no notifier is configured: notices are only logged\n"
	}
	t := table{paint: p, width: width, fold: true}
	t.texts(dim, "NOTIFIER", "KIND", "SEVERITY", "EVENTS", "PENDING", "SENT", "DEAD", "LAST ERROR")
	for _, n := range s.Notifiers {
		events := usual()
		if len(n.Events) > 0 {
			events = strings.Join(n.Events, ",")
		}
		pending, dead := cell{fmt.Sprint(n.Pending), plain}, cell{fmt.Sprint(n.Dead), plain}
		if n.Pending > 0 {
			pending = cell{fmt.Sprintf("%d for %s", n.Pending, httpapi.Age(s.AsOf.Sub(n.Oldest))), yellow}
		}
		if n.Dead > 0 {
			dead.ink = red
		}
		last := cell{n.Error, red}
		if n.Error == "" {
			last = cell{"-", dim}
		}
		t.row(cell{n.Name, bold}, cell{n.Kind, plain}, cell{n.Severity, plain}, cell{events, plain}, pending, cell{fmt.Sprint(n.Sent), plain}, dead, last)
	}
	return t.String()
}

// usual is what a destination is told of that names no kinds of notice.
func usual() string {
	var quiet []string
	for _, k := range failover.EventKinds() {
		if k.Quiet {
			quiet = append(quiet, k.Name)
		}
	}
	return "all but " + strings.Join(quiet, ",")
}

func (d *door) notifyTest() *cobra.Command {
	var paths []string
	cmd := &cobra.Command{
		Use:   "test NAME",
		Short: "Send a test notice to one destination, now",
		Long: `Send a test notice to a notifier, past its queue, and say what it answered. The running
daemon sends it, with the configuration in force and from where real notices come from.
With --config this process sends it itself, and no daemon is needed.

Exit code 0 when the notice was taken, 1 when it was not, 2 when there is no such notifier.`,
		Example:           "  reattach notify test ops-chat\n  reattach notify test ops-chat --config /etc/reattach",
		Args:              oneArg("NAME", "`reattach notify list` lists them"),
		ValidArgsFunction: d.completeNotifier,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), testTime)
			defer cancel()
			if len(paths) > 0 {
				return testNotifier(ctx, d.process, paths, args[0])
			}
			answer, err := d.client().Test(ctx, args[0])
			if err != nil {
				return asked(err, d.socket)
			}
			return d.answered(answer)
		},
	}
	cmd.Flags().StringArrayVarP(&paths, "config", "c", nil, "send it from here, as this file or directory says; may be repeated")
	return d.flags(cmd)
}

// testNotifier sends a test notice without a daemon.
func testNotifier(ctx context.Context, p *process, paths []string, name string) error {
	conf, diags := configs.Load(paths, configOptions(p))
	if conf == nil {
		return unusable(p, paths, diags)
	}
	where, err := routing(conf, nil)
	if err != nil {
		return &exit{exitWrong, err, ""}
	}
	// An outbox of its own, for as long as it takes: what is sent is what the
	// daemon would send.
	dir, err := os.MkdirTemp("", "reattach-test")
	if err != nil {
		return &exit{exitNo, err, ""}
	}
	defer os.RemoveAll(dir)
	outbox, err := notify.Open(filepath.Join(dir, "notices.db"), notify.Options{Observer: conf.Observer.Name})
	if err != nil {
		return &exit{exitNo, err, ""}
	}
	defer outbox.Close()
	outbox.Configure(where)
	began := time.Now()
	err = testBy(ctx, outbox, name)
	switch {
	case errors.Is(err, httpapi.ErrNoNotifier):
		return wrongf("the configuration has: "+strings.Join(notifierNames(outbox), ", "), "%v", err)
	case err != nil:
		return &exit{exitNo, fmt.Errorf("%s did not take a test notice: %w", name, err), ""}
	}
	_, err = fmt.Fprintf(p.out, "%s took a test notice in %s.\n", name, httpapi.Millis(time.Since(began)))
	return err
}

// testBy sends a test notice. The error wraps httpapi.ErrNoNotifier if there is
// no destination of that name.
func testBy(ctx context.Context, outbox *notify.Outbox, name string) error {
	if !slices.Contains(notifierNames(outbox), name) {
		return fmt.Errorf("%w %q", httpapi.ErrNoNotifier, name)
	}
	return outbox.Test(ctx, name)
}

func notifierNames(outbox *notify.Outbox) (names []string) {
	for _, n := range outbox.Notifiers() {
		names = append(names, n.Name)
	}
	return names
}

// completeNotifier offers the names of the daemon's notifiers.
func (d *door) completeNotifier(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
	defer cancel()
	raw, err := d.client().Status(ctx, "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	s, err := httpapi.ParseStatus(raw)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, n := range s.Notifiers {
		names = append(names, n.Name+"\t"+n.Kind)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
