package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/httpapi"
	"github.com/reattach/reattach/policy"
)

// doTime bounds a command: a ballot, its commit, and a store that takes its time.
const doTime = 2*time.Minute + 10*time.Second

// verb describes one command that the daemon carries out.
type verb struct {
	use, short, long, example string
	to, force, all, forHow    bool
	endpoint                  bool // is the second argument
	toRequired                bool
}

// switches returns the commands that switch a resource.
func (d *door) switches() []*cobra.Command {
	return d.verbs([]verb{
		{
			use: "switchover RESOURCE", to: true, force: true,
			short: "Move to another endpoint, as planned",
			long: `Move a resource to another endpoint while all is well: before maintenance, say. The
target must be up on a fresh ballot; the attached endpoint need not be down. Without
--to, the first endpoint in order that may take over is chosen. The endpoint that was
left is tainted where its protocol may lose writes: clear it when it has caught up.`,
			example: "  reattach switchover orders-db --to standby --reason 'kernel update of db1'",
		},
		{
			use: "failover RESOURCE", to: true, force: true,
			short: "Fail over now, without waiting for sustain",
			long: `Open a ballot now: if a quorum says that the attached endpoint is down and a standby is
up, switch, without waiting until it has been down for sustain. If it answers, nothing
happens; a planned move is switchover.`,
			example: "  reattach failover orders-db --reason 'db1 is on fire'\n  reattach failover orders-db --force damping,taint --reason 'it is all we have'",
		},
		{
			use: "failback RESOURCE", force: true,
			short:   "Move home to the first endpoint",
			long:    "Move a resource back to its first endpoint, which must be up and not tainted.",
			example: "  reattach failback orders-db --reason 'db1 is repaired and has caught up'",
		},
		{
			use: "restore RESOURCE", to: true, force: true, toRequired: true,
			short: "Write the handles, whatever they hold now",
			long: `Write a resource's handles to name an endpoint, whatever they hold now: foreign values,
or nothing. No votes are asked for. This is the one command that overwrites what
somebody else wrote, so it wants --to.`,
			example: "  reattach restore orders-db --to primary --reason 'the key was deleted by accident'",
		},
		{
			use: "adopt RESOURCE", to: true,
			short: "Take the handles as they are, and record it",
			long: `Record what the handles name now, and write none of them. With --to, say which endpoint
it is that a foreign value means.`,
			example: "  reattach adopt orders-db --reason 'moved by hand last night'",
		},
		{
			use: "refresh RESOURCE", force: true,
			short:   "Write the attached endpoint in its new spelling",
			long:    "Write the handles anew, with the attached endpoint as the configuration spells it now:\nafter a password was rotated, say.",
			example: "  reattach refresh orders-db --reason 'new password'",
		},
	})
}

// orders returns the commands that give or end a standing order.
func (d *door) orders() []*cobra.Command {
	return d.verbs([]verb{
		{
			use: "pause RESOURCE", all: true, forHow: true,
			short: "No votes, proposals or switches, until resume",
			long: `Keep reattach from acting on a resource, or on all of them. Probing goes on, and status
says who paused it and why. With --for it ends by itself.`,
			example: "  reattach pause orders-db --for 2h --reason 'schema migration'\n  reattach pause --all --for 30m --reason 'network work in az-1'",
		},
		{
			use: "resume RESOURCE", all: true,
			short:   "End a pause",
			long:    "End a pause of a resource, or the pause of all. Leaving it needs fresh evidence.",
			example: "  reattach resume orders-db --reason 'migration done'",
		},
		{
			use: "ack RESOURCE", all: true,
			short: "Acknowledge: a held switch may go on",
			long: `Acknowledge what a resource is held for, so that automatic switches may go on: after
damping (it went back and forth), a mass failure, or a store that went back in time.`,
			example: "  reattach ack orders-db --reason 'the flapping switch port is replaced'",
		},
		{
			use: "drain RESOURCE ENDPOINT", endpoint: true, forHow: true,
			short: "Take an endpoint out for maintenance",
			long: `Take a standby out: it is no candidate, and its failures alert nobody, but it is still
probed. Draining the attached endpoint is refused: switchover first.`,
			example: "  reattach drain orders-db standby --for 1h --reason 'disk swap'",
		},
		{
			use: "undrain RESOURCE ENDPOINT", endpoint: true,
			short:   "Put a drained endpoint back",
			long:    "Put a drained endpoint back: it may take over again.",
			example: "  reattach undrain orders-db standby --reason 'disk swapped'",
		},
		{
			use: "clear RESOURCE ENDPOINT", endpoint: true, force: true,
			short: "Say that an endpoint has missed nothing: clear its taint",
			long: `Clear the taint of an endpoint that was left: you vouch that it has every write that
matters (it replicates again and has caught up, or was rebuilt). It may then take over.
One that was seen to be written to since it was left is cleared with --force taint only.`,
			example: "  reattach clear orders-db primary --reason 'rebuilt from a backup of today'",
		},
	})
}

func (d *door) verbs(all []verb) []*cobra.Command {
	var out []*cobra.Command
	for _, v := range all {
		out = append(out, d.verb(v))
	}
	return out
}

// verb makes the cobra command of v.
func (d *door) verb(v verb) *cobra.Command {
	var paths []string
	name, _, _ := strings.Cut(v.use, " ")
	c := failover.Command{Verb: name}
	use := v.use
	if v.all {
		use += "|--all"
	}
	cmd := &cobra.Command{
		Use: use + " --reason TEXT", Short: v.short, Long: v.long + "\n\n" + errandText, Example: v.example, DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error { return v.args(name, c.All, args) },
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := v.fill(&c, args); err != nil {
				return err
			}
			return d.do(cmd.Context(), c, paths)
		},
		ValidArgsFunction: d.completeResource(v.endpoint),
	}
	f := cmd.Flags()
	f.StringVar(&c.Reason, "reason", "", "why: it stands in status, in history and in notices (required)")
	if v.to {
		f.StringVar(&c.Endpoint, "to", "", "the endpoint")
		_ = cmd.RegisterFlagCompletionFunc("to", func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			_, endpoints := d.names(cmd.Context(), args)
			return endpoints, cobra.ShellCompDirectiveNoFileComp
		})
	}
	if v.force {
		f.StringSliceVar(&c.Force, "force", nil, "waive these gates, by name: "+strings.Join(policy.Waivable(), ", "))
		complete(cmd, "force", policy.Waivable()...)
	}
	if v.all {
		f.BoolVar(&c.All, "all", false, "every resource")
	}
	f.StringArrayVar(&paths, "config", nil, "if no daemon answers: the configuration, to go straight to its store; may be repeated")
	if v.forHow {
		f.Var(length{"for", &c.For}, "for", "end it by itself after so long, as 30m or 2h (default: never)")
	}
	return d.flags(cmd)
}

// args checks how many arguments there are.
func (v verb) args(name string, all bool, args []string) error {
	switch {
	case all && len(args) > 0:
		return wrongf("", "%s --all is about every resource: name none", name)
	case all:
		return nil
	case v.endpoint && len(args) != 2:
		return wrongf("", "%s wants a resource and an endpoint", name)
	case !v.endpoint && len(args) != 1 && v.all:
		return wrongf("", "%s wants one resource, or --all", name)
	case !v.endpoint && len(args) != 1:
		return wrongf("", "%s wants one resource", name)
	}
	return nil
}

// fill completes a command from its arguments, and refuses what the daemon need
// not be asked about.
func (v verb) fill(c *failover.Command, args []string) error {
	if len(args) > 0 {
		c.Resource = args[0]
	}
	if v.endpoint {
		c.Endpoint = args[1]
	}
	if c.Reason = strings.TrimSpace(c.Reason); c.Reason == "" {
		return wrongf("--reason TEXT: others read it in status and history", "%s wants a reason", c.Verb)
	}
	if v.toRequired && c.Endpoint == "" {
		return wrongf("", "%s wants --to ENDPOINT", c.Verb)
	}
	for _, gate := range c.Force {
		if !slices.Contains(policy.Waivable(), gate) {
			return wrongf("one of "+strings.Join(policy.Waivable(), ", "), "--force: %q is no gate that can be waived", gate)
		}
	}
	c.By = person()
	return nil
}

// person says who types: user@host, and behind sudo the user who asked for it.
func person() string {
	name := os.Getenv("SUDO_USER")
	if u, err := user.Current(); name == "" && err == nil {
		name = u.Username
	}
	if name == "" {
		name = fmt.Sprintf("uid %d", os.Getuid())
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}

// do sends a command and says what became of it.
func (d *door) do(ctx context.Context, c failover.Command, paths []string) error {
	ctx, cancel := context.WithTimeout(ctx, doTime)
	defer cancel()
	answer, err := d.client().Do(ctx, c)
	if errors.Is(err, httpapi.ErrUnreachable) && len(paths) > 0 {
		answer, err = d.errand(ctx, c, paths)
	} else if err != nil {
		err = asked(err, d.socket)
		if e := exitOf(err); e.hint == nobodyAnswers {
			e.hint += "; --config PATH goes straight to the store"
		}
	}
	if err != nil {
		return err
	}
	if !answer.Done && !answer.Invalid && !answer.Unsure {
		answer.Text = "not done: " + answer.Text
	}
	return d.answered(answer)
}

// answered prints what became of what a person asked for.
func (d *door) answered(answer failover.Answer) error {
	text := renderAnswer(d.paint, answer)
	switch {
	case answer.Done:
		_, err := fmt.Fprint(d.out, text)
		return err
	case answer.Invalid:
		return &exit{exitWrong, errors.New(text), answer.Hint}
	case answer.Unsure:
		return &exit{exitUnreachable, errors.New(text), answer.Hint}
	}
	return &exit{exitNo, errors.New(text), answer.Hint}
}

// renderAnswer says what became of a command, and which gates were closed that
// the daemon's sentence does not name.
func renderAnswer(p paint, a failover.Answer) string {
	if a.Done || a.Decision == nil {
		return clean(a.Text) + "\n"
	}
	t := table{paint: p, indent: "  "}
	for _, g := range a.Decision.Gates {
		if !g.Open && !strings.Contains(a.Text, g.Why) {
			t.row(cell{"✗", red}, cell{g.Gate, plain}, cell{g.Why, plain})
		}
	}
	return clean(a.Text) + "\n" + t.String()
}
