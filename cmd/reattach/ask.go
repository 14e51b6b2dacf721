package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/reattach/reattach/failover/httpapi"
)

// watchEvery is how often status --watch asks again.
const watchEvery = time.Second

func (d *door) status() *cobra.Command {
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use:   "status [RESOURCE]",
		Short: "What needs a person first: protected or not, and why",
		Long: `Show what this observer watches, sorted by what needs a person.

A resource is protected if a failover would happen, and succeed, were its attached
endpoint to die now: every gate open, and a standby up that may take over. Where it is
not, the reason is given. Resources that need nobody take one line; name one to see all
of it, its handles and facts included.`,
		Example: `  reattach status
  reattach status orders-db
  reattach status --watch
  reattach status --json | jq '.resources[] | select(.protected | not) | .name'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if watch && asJSON {
				return wrongf("", "--watch is for eyes, --json for programs: not both")
			}
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			if watch {
				return d.watchStatus(cmd.Context(), name)
			}
			return d.showStatus(cmd.Context(), d.out, name, asJSON)
		},
		ValidArgsFunction: d.completeResource(false),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the daemon's answer as JSON")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it anew every second, until Ctrl-C")
	return d.flags(cmd)
}

func (d *door) showStatus(ctx context.Context, w io.Writer, name string, asJSON bool) error {
	ask := func(ctx context.Context) (json.RawMessage, error) { return d.client().Status(ctx, name) }
	s, err := answerOf(ctx, d, asJSON, ask, httpapi.ParseStatus)
	if err != nil || asJSON {
		return err
	}
	view := statusView{paint: d.paint, width: d.width, all: name != ""}
	_, err = io.WriteString(w, view.render(s))
	return err
}

// watchStatus shows the status until ctx ends; the daemon may come and go meanwhile.
func (d *door) watchStatus(ctx context.Context, name string) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		if d.width > 0 {
			fmt.Fprint(d.out, "\x1b[H\x1b[2J")
		}
		if err := d.showStatus(ctx, d.out, name, false); err != nil && ctx.Err() == nil {
			if exitOf(err).code != exitUnreachable {
				return err
			}
			fmt.Fprintln(d.out, d.paint.in(red, err.Error()))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (d *door) explain() *cobra.Command {
	var asJSON bool
	var epoch uint64
	cmd := &cobra.Command{
		Use:   "explain RESOURCE",
		Short: "Why was it switched, or why not? One screen",
		Long: `Show on one screen what a resource is attached to, whether it is protected, and the
decision that matters now, gate by gate: the last wanted switch while one is held, else
what would be decided if the attached endpoint died now. Then who could take over, what
this observer voted, and the last switches. With --epoch, one switch of the past as it
was decided: its gates, candidates, votes, steps and times.

Each gate is a condition that must hold before a switch. The first closed one is the
reason. Gates that a person may waive are named to --force.`,
		Example:           "  reattach explain orders-db\n  reattach explain orders-db --epoch 7\n  reattach explain orders-db --json | jq .last_decision",
		Args:              oneArg("RESOURCE", "`reattach status` lists them"),
		ValidArgsFunction: d.completeResource(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("epoch") {
				return d.explainEpoch(cmd.Context(), args[0], epoch, asJSON)
			}
			ask := func(ctx context.Context) (json.RawMessage, error) { return d.client().Explain(ctx, args[0]) }
			x, err := answerOf(cmd.Context(), d, asJSON, ask, httpapi.ParseExplanation)
			if err != nil || asJSON {
				return err
			}
			_, err = io.WriteString(d.out, renderExplanation(d.paint, d.width, x))
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the daemon's answer as JSON")
	cmd.Flags().Uint64Var(&epoch, "epoch", 0, "explain the switch with this epoch, from history")
	return d.flags(cmd)
}

// explainEpoch shows one switch of the past.
func (d *door) explainEpoch(ctx context.Context, name string, epoch uint64, asJSON bool) error {
	ask := func(ctx context.Context) (json.RawMessage, error) { return d.client().History(ctx, name) }
	records, err := answerOf(ctx, d, false, ask, httpapi.ParseHistory)
	if err != nil {
		return err
	}
	record, err := recordOf(records, name, epoch)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(d.out).Encode(record)
	}
	_, err = io.WriteString(d.out, renderRecord(d.paint, d.width, record))
	return err
}

// newest cuts a JSON list, the newest first, to that many; 0 is all. What is no list
// stays as it is.
func newest(list json.RawMessage, most int) json.RawMessage {
	var records []json.RawMessage
	if most <= 0 || json.Unmarshal(list, &records) != nil || len(records) <= most {
		return list
	}
	out, err := json.Marshal(records[:most])
	if err != nil {
		return list
	}
	return out
}

func (d *door) history() *cobra.Command {
	var asJSON bool
	var limit int
	cmd := &cobra.Command{
		Use:   "history [RESOURCE]",
		Short: "Every switch: what, when, why, by whom",
		Long: `List switches, the newest first: of one resource, or of all. The whole record of each,
with its gates, votes and times, is in --json.`,
		Example:           "  reattach history\n  reattach history orders-db --limit 3\n  reattach history orders-db --json | jq '.[0].votes'",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: d.completeResource(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			most := limit
			if !asJSON || !cmd.Flags().Changed("limit") {
				most = 0 // programs have all, unless they ask for less; people are told how many there are
			}
			ask := func(ctx context.Context) (json.RawMessage, error) {
				raw, err := d.client().History(ctx, name)
				return newest(raw, most), err
			}
			records, err := answerOf(cmd.Context(), d, asJSON, ask, httpapi.ParseHistory)
			if err != nil || asJSON {
				return err
			}
			_, err = io.WriteString(d.out, renderHistory(d.paint, d.width, records, limit))
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the records as JSON")
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "show so many at most, 0 for all; with --json all, unless it is given")
	return d.flags(cmd)
}
