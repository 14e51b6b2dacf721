package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/httpapi"
)

// Times of following.
const (
	followAgain  = time.Second // before a daemon that is away is asked again
	followSettle = time.Second // for a new notice to reach its destinations before it is shown
)

const eventsText = `Show what people were told: when, how urgent, about which resource, and what became of
it at each destination. The oldest come first, so that the newest stand above the prompt.
Times are in UTC; into a pipe or a file goes one line for each. What a destination was not handed yet is pending; what it never took is
given up, with the error.

With --follow it stays, and shows each notice a second after it was told, until Ctrl-C.
The daemon may be restarted meanwhile: no notice is missed, and none is shown twice.
--json prints one notice a line, as it is kept.`

// eventsView is what a person wants to see of the notices.
type eventsView struct {
	resource string
	since    time.Duration // 0: whenever
	limit    int
	json     bool
	follow   bool
}

func (d *door) events() *cobra.Command {
	var v eventsView
	cmd := &cobra.Command{
		Use:   "events [RESOURCE]",
		Short: "What people were told, and what became of it",
		Long:  eventsText,
		Example: `  reattach events --since 24h
  reattach events orders-db --follow
  reattach events --json --limit 1000 | jq 'select(.deliveries[]?.state == "dead")'`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: d.completeResource(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				v.resource = args[0]
			}
			if err := v.check(cmd.Flags().Changed("limit")); err != nil {
				return err
			}
			f := follower{door: d, view: v, list: noticeList{paint: d.paint, width: d.width, next: v.follow}, now: time.Now()}
			return f.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&v.follow, "follow", "f", false, "stay, and show what is told from now on")
	f.Var(length{"since", &v.since}, "since", "only what was told in so long a time, as 24h")
	f.IntVarP(&v.limit, "limit", "n", 20, fmt.Sprintf("show so many of the newest at most; with --since %d", httpapi.EventsLimit))
	f.BoolVar(&v.json, "json", false, "print one notice a line as JSON")
	return d.flags(cmd)
}

// check refuses what the daemon need not be asked.
func (v *eventsView) check(limited bool) error {
	if v.since > 0 && !limited {
		v.limit = httpapi.EventsLimit
	}
	if v.limit < 1 || v.limit > httpapi.EventsLimit {
		return wrongf("", "--limit is between 1 and %d", httpapi.EventsLimit)
	}
	return nil
}

// follower shows notices, each once, by their numbers.
type follower struct {
	*door
	view eventsView
	list noticeList
	now  time.Time // when it began
	last uint64    // the number of the last notice that was seen
	away bool      // the daemon does not answer, and this was said
}

func (f *follower) run(ctx context.Context) error {
	told, err := f.ask(ctx, 0, f.view.limit, 0)
	if err != nil {
		return f.ended(ctx, err)
	}
	if err := f.show(told); err != nil {
		return err
	}
	if !f.view.follow {
		if f.last == 0 && !f.view.json {
			_, err = fmt.Fprintln(f.out, "nothing was told")
		}
		return err
	}
	for ctx.Err() == nil {
		if told, err = f.more(ctx); err != nil {
			return f.ended(ctx, err)
		}
		if err := f.show(told); err != nil {
			return err
		}
	}
	return nil
}

// ended is how it ends on an error: well, if a person who follows has had enough.
func (f *follower) ended(ctx context.Context, err error) error {
	if f.view.follow && ctx.Err() != nil {
		return nil
	}
	return asked(err, f.socket)
}

// more waits for notices that were not seen yet. A daemon that is away is waited for.
func (f *follower) more(ctx context.Context) ([]json.RawMessage, error) {
	told, err := f.ask(ctx, f.last, httpapi.EventsLimit, httpapi.EventsWait)
	if err == nil && onTheirWay(told) {
		pause(ctx, followSettle)
		told, err = f.ask(ctx, f.last, httpapi.EventsLimit, 0)
	}
	var refusal *httpapi.Refusal
	switch {
	case err == nil:
		if f.away {
			fmt.Fprintln(f.err, "reattach: the daemon answers again")
		}
		f.away = false
	case ctx.Err() != nil, errors.As(err, &refusal) && refusal.Code < http.StatusInternalServerError:
		return nil, err
	default:
		if !f.away {
			fmt.Fprintln(f.err, "reattach: the daemon does not answer; waiting for it")
		}
		f.away = true
		pause(ctx, followAgain)
		return nil, nil
	}
	return told, nil
}

func (f *follower) ask(ctx context.Context, after uint64, limit int, wait time.Duration) (told []json.RawMessage, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime+wait)
	defer cancel()
	raw, err := f.client().Events(ctx, after, f.view.resource, limit, wait)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &told); err != nil {
		return nil, &exit{exitNo, fmt.Errorf("not a list of notices: %w", err), "are reattach and its daemon of the same version?"}
	}
	return told, nil
}

// show prints what is wanted of the notices, and remembers the last of all.
func (f *follower) show(all []json.RawMessage) error {
	var told []failover.Told
	for _, raw := range all {
		var one failover.Told
		if err := json.Unmarshal(raw, &one); err != nil {
			return &exit{exitNo, fmt.Errorf("not a notice: %w", err), "are reattach and its daemon of the same version?"}
		}
		f.last = one.Seq
		if f.view.since > 0 && one.At.Before(f.now.Add(-f.view.since)) {
			continue
		}
		if told = append(told, one); f.view.json {
			if _, err := fmt.Fprintf(f.out, "%s\n", raw); err != nil {
				return err
			}
		}
	}
	if f.view.json {
		return nil
	}
	_, err := io.WriteString(f.out, f.list.render(told))
	return err
}

// onTheirWay reports whether a destination may take one of the notices any moment.
func onTheirWay(told []json.RawMessage) bool {
	return slices.ContainsFunc(told, func(raw json.RawMessage) bool {
		var one failover.Told
		return json.Unmarshal(raw, &one) == nil && slices.ContainsFunc(one.Deliveries, func(d failover.Delivery) bool { return d.State == "pending" })
	})
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
