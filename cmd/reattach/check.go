package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/notify"
)

// defaultConfig is where the configuration is, if nobody says otherwise.
const defaultConfig = "/etc/reattach"

const checkText = `Read the configuration as the daemon would, and report every mistake at once: each
with its place, the line, and what to do about it. PATH is a file, or a directory whose
*.hcl and *.json files are read as one (default ` + defaultConfig + `).

With --live, also probe every endpoint, read the store, and say of each resource what
its handles are: ours, unmanaged, empty, moved, foreign, … and where a foreign value
differs from what the configuration spells. What is required of standbys and
of the one that is promoted, and expected of the attached one, is held against what each
server shows; a privilege that the probe's account lacks is named, with the statement
that grants it. Nothing is written.

With --facts, list instead what probes can learn of a server and what can be required:
of all protocols, of those named (PATH is then a scheme, as mysql), or of those that the
configuration at PATH uses.

Exit code 0 when nothing is wrong (warnings are not wrong), 2 when the configuration
cannot be used. With --live, 1 when an endpoint is not ok or does not show what is
required or expected of it, or a handle needs a person, 3 when the store cannot be read.`

func newCheck(p *process) *cobra.Command {
	var live, asJSON, facts bool
	cmd := &cobra.Command{
		Use:   "check [PATH…]",
		Short: "Report every mistake in the configuration; --live tries it, too",
		Long:  checkText,
		Example: `  reattach check
  reattach check ./reattach.hcl
  reattach check /etc/reattach --live
  reattach check --facts                 what probes can learn, by protocol
  reattach check --facts mysql           of one`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if facts {
				return checkFacts(p, args, asJSON)
			}
			if len(args) == 0 {
				args = []string{defaultConfig}
			}
			return check(cmd.Context(), p, args, live, asJSON)
		},
	}
	cmd.Flags().BoolVar(&live, "live", false, "probe every endpoint, and read the store")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	cmd.Flags().BoolVar(&facts, "facts", false, "list what probes can learn instead, and what can be required")
	cmd.MarkFlagsMutuallyExclusive("live", "facts")
	return cmd
}

// checkJSON is the report for programs.
type checkJSON struct {
	OK          bool                `json:"ok"`
	Diagnostics configs.Diagnostics `json:"diagnostics"`
	Live        *liveReport         `json:"live,omitempty"`
}

func check(ctx context.Context, p *process, paths []string, live, asJSON bool) error {
	conf, diags := configs.Load(paths, configOptions(p))
	var report *liveReport
	var err error
	if live && conf != nil {
		report = checkLive(ctx, conf)
		err = report.verdict()
	}
	if conf == nil {
		err = &exit{code: exitWrong}
	}
	if asJSON {
		if diags == nil {
			diags = configs.Diagnostics{}
		}
		if e := writeJSON(p.out, checkJSON{err == nil, diags, report}); e != nil {
			return e
		}
		return err
	}
	fmt.Fprint(p.out, diags.String())
	fmt.Fprintln(p.out, checkSummary(p.paint, conf, diags))
	if report != nil {
		fmt.Fprint(p.out, report.render(p.paint))
	}
	return err
}

func configOptions(p *process) configs.Options {
	o := configs.OS(protocols())
	o.Env = p.env
	for _, k := range failover.EventKinds() {
		o.Events = append(o.Events, k.Name)
	}
	o.CheckBody = func(text string) error { _, err := notify.ParseBody(text); return err }
	return o
}

func checkSummary(p paint, conf *configs.Config, diags configs.Diagnostics) string {
	errors, warnings := diags.Count()
	found := plural(warnings, "warning")
	if errors > 0 {
		return p.in(red, plural(errors, "error")) + ", " + found + ": this configuration cannot be used"
	}
	endpoints, handles := 0, 0
	for _, r := range conf.Resources {
		endpoints, handles = endpoints+len(r.Endpoints), handles+len(r.Handles)
	}
	what := fmt.Sprintf("%s, %s, %s", plural(len(conf.Resources), "resource"), plural(endpoints, "endpoint"), plural(handles, "handle"))
	if warnings > 0 {
		return p.in(yellow, found) + ", no errors: " + what
	}
	return p.in(green, "no mistakes") + ": " + what
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
