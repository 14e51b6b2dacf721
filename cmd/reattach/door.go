package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/httpapi"
)

// defaultSocket is where the daemon listens, if nobody says otherwise.
const defaultSocket = "/run/reattach/control.sock"

// askTime bounds a question to the daemon.
const askTime = 15 * time.Second

// door is the way to the daemon that all commands share which ask it.
type door struct {
	*process
	socket string
}

// flags adds the flags that every such command has.
func (d *door) flags(cmd *cobra.Command) *cobra.Command {
	socket := defaultSocket
	if s, ok := d.env("REATTACH_SOCKET"); ok && s != "" {
		socket = s
	}
	cmd.Flags().StringVar(&d.socket, "socket", socket, "the daemon's unix socket (REATTACH_SOCKET)")
	return cmd
}

func (d *door) client() *httpapi.Client { return httpapi.NewClient(d.socket) }

// answerOf asks one question, and prints the answer as it came if asJSON is set.
func answerOf[T any](ctx context.Context, d *door, asJSON bool, ask func(context.Context) (json.RawMessage, error), parse func([]byte) (T, error)) (answer T, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	raw, err := ask(ctx)
	if err != nil {
		return answer, asked(err, d.socket)
	}
	if asJSON {
		return answer, writeJSON(d.out, raw)
	}
	if answer, err = parse(raw); err != nil {
		return answer, &exit{exitNo, err, "are reattach and its daemon of the same version?"}
	}
	return answer, nil
}

// completeResource offers the names of the daemon's resources, and then those
// of the resource's endpoints, if they are wanted.
func (d *door) completeResource(endpoints bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		resources, endpoint := d.names(cmd.Context(), args)
		switch {
		case len(args) == 0:
			return resources, cobra.ShellCompDirectiveNoFileComp
		case len(args) == 1 && endpoints:
			return endpoint, cobra.ShellCompDirectiveNoFileComp
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// names asks for the names of all resources, and of the endpoints of the one
// that args name. A shell waits for it, so it is brief, and silent on failure.
func (d *door) names(ctx context.Context, args []string) (resources, endpoints []string) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	raw, err := d.client().Status(ctx, "")
	if err != nil {
		return nil, nil
	}
	var s failover.Status
	if s, err = httpapi.ParseStatus(raw); err != nil {
		return nil, nil
	}
	for _, r := range s.Resources {
		resources = append(resources, r.Name+"\t"+r.Protocol+", attached: "+r.Attached)
		if len(args) == 0 || r.Name != args[0] {
			continue
		}
		for _, e := range r.Endpoints {
			endpoints = append(endpoints, e.Name+"\t"+e.State.String())
		}
	}
	return resources, endpoints
}
