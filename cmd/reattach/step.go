package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/httpapi"
	"github.com/reattach/reattach/policy"
)

// stepNames are in the order in which they run.
var stepNames = []string{policy.Fence, policy.Promote, policy.Abort, policy.After}

func (d *door) step() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "step",
		Short: "The commands around a switch: try one",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(d.stepTest())
	return cmd
}

// trial is what a person says of the step to try.
type trial struct {
	resource, step, to string
	paths              []string // a configuration to run it by, from here
	dry, asJSON        bool
}

const stepTestText = `Run a step of a resource as a switch would, and tell it by REATTACH_DRY_RUN=true that it
is a dry run: it has to say what it would do, check what reading can tell, and change
nothing. That is for the command itself to keep: the ones that are shipped do.

The running daemon runs it, so that it has the daemon's account, environment and sandbox:
without a shell, in a process group of its own, killed whole when its time is over. Nothing
is claimed, and no switch waits for it. With --config this process runs it itself, as the
account that you are, and no daemon is needed.

Exit code 0 when the step ended well, 1 when it did not, or a switch is under way, 2 when
there is no such step, 3 when the daemon cannot be reached.`

func (d *door) stepTest() *cobra.Command {
	var t trial
	cmd := &cobra.Command{
		Use:   "test RESOURCE STEP --dry-run",
		Short: "Run fence, promote, abort or after as a dry run, as the daemon would",
		Long:  stepTestText,
		Example: `  reattach step test orders-db promote --dry-run
  reattach step test orders-db fence --dry-run --to standby-2
  sudo -u reattach reattach step test orders-db promote --dry-run --config /etc/reattach`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 && slices.Contains(stepNames, args[1]) {
				return nil
			}
			return wrongf("RESOURCE is one that `reattach status` lists, STEP is "+strings.Join(stepNames, ", "), "%s wants a resource and a step", cmd.CommandPath())
		},
		ValidArgsFunction: d.completeStep,
		RunE: func(cmd *cobra.Command, args []string) error {
			t.resource, t.step = args[0], args[1]
			if !t.dry {
				return wrongf("with --dry-run it is told to change nothing; for all steps in earnest: reattach switchover "+t.resource+" --reason TEXT",
					"a step is only tried as a dry run: on its own, in earnest, it would leave two endpoints writable, or none")
			}
			return d.try(cmd.Context(), t)
		},
	}
	cmd.Flags().BoolVar(&t.dry, "dry-run", false, "needed: the step is told that it must change nothing")
	cmd.Flags().StringVar(&t.to, "to", "", "the successor, instead of the one that would be chosen")
	cmd.Flags().StringArrayVarP(&t.paths, "config", "c", nil, "run it from here, as this file or directory says; may be repeated")
	cmd.Flags().BoolVar(&t.asJSON, "json", false, "print it as JSON")
	return d.flags(cmd)
}

// try runs a step and shows how it went. Only the step's own timeout bounds it.
func (d *door) try(ctx context.Context, t trial) error {
	var r failover.Rehearsal
	var err error
	if len(t.paths) > 0 {
		r, err = tryHere(ctx, d.process, t)
	} else {
		r, err = d.client().Rehearse(ctx, t.resource, t.step, t.to)
		err = asked(err, d.socket)
	}
	if err != nil {
		return err
	}
	if t.asJSON {
		err = writeJSON(d.out, r)
	} else {
		_, err = io.WriteString(d.out, renderRehearsal(d.paint, r))
	}
	if err == nil && !r.OK {
		err = &exit{code: exitNo}
	}
	return err
}

// tryHere runs a step without a daemon.
func tryHere(ctx context.Context, p *process, t trial) (failover.Rehearsal, error) {
	conf, diags := configs.Load(t.paths, configOptions(p))
	if conf == nil {
		return failover.Rehearsal{}, unusable(p, t.paths, diags)
	}
	run, err := failover.NewEngine(engineConfig(conf)).Rehearse(time.Now(), t.resource, t.step, t.to)
	if err != nil {
		return failover.Rehearsal{}, wrongf("", "%v", err)
	}
	return rehearse(ctx, run, conf), nil
}

// renderRehearsal shows what was run, what it was told, what it said and how it ended.
func renderRehearsal(p paint, r failover.Rehearsal) string {
	t := table{paint: p}
	t.row(cell{"step", dim}, cell{r.Step + " of " + r.Resource + ", a dry run", bold})
	t.row(cell{"command", dim}, cell{strings.Join(r.Command, " "), plain})
	t.row(cell{"account", dim}, cell{r.Account, plain})
	label := "told"
	for _, name := range slices.Sorted(maps.Keys(r.Env)) {
		t.row(cell{label, dim}, cell{name + "=" + r.Env[name], plain})
		label = ""
	}
	label = "output"
	for line := range strings.Lines(r.Output) {
		t.row(cell{label, dim}, cell{strings.TrimRight(line, "\r\n"), plain})
		label = ""
	}
	end, c := "ok", green
	if !r.OK {
		end, c = "failed: "+r.Why, red
	}
	took := httpapi.Millis(time.Duration(r.Seconds * float64(time.Second)))
	t.row(cell{"ended", dim}, cell{fmt.Sprintf("%s, exit code %d, in %s of %gs", end, r.Code, took, r.Timeout), c})
	return t.String()
}

// completeStep offers the daemon's resources, then the steps.
func (d *door) completeStep(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 1 {
		return stepNames, cobra.ShellCompDirectiveNoFileComp
	}
	return d.completeResource(false)(cmd, args, prefix)
}
