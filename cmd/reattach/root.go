package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/reattach/reattach/failover/httpapi"
)

// Exit codes.
const (
	exitNo          = 1 // the answer is no
	exitWrong       = 2 // wrong input
	exitUnreachable = 3 // the daemon or the store cannot be reached
)

// exit is an error that knows its exit code, and what a person may do.
type exit struct {
	code int
	err  error // nil: all was said
	hint string
}

// Error implements error.
func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

// Unwrap returns what went wrong.
func (e *exit) Unwrap() error { return e.err }

func wrongf(hint, format string, args ...any) error {
	return &exit{exitWrong, fmt.Errorf(format, args...), hint}
}

// process is what commands need of the process that they run in.
type process struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) (string, bool)
	paint    paint  // for out
	errTTY   bool   // err is a terminal
	width    int    // of the terminal out; 0: it is none
	daemon   string // the daemon's account on this machine, if there is one of that name
}

func newProcess() *process {
	p := &process{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.LookupEnv, daemon: daemonAccount}
	p.width, _ = terminal(os.Stdout)
	_, p.errTTY = terminal(os.Stderr)
	noColor, _ := p.env("NO_COLOR")
	term, _ := p.env("TERM")
	p.paint = paint{on: p.width > 0 && noColor == "" && term != "dumb"}
	return p
}

// execute runs the command that args name, and returns its exit code.
func execute(ctx context.Context, p *process, args []string) int {
	root := newRoot(p)
	root.SetArgs(args)
	root.SetIn(p.in)
	root.SetOut(p.out)
	root.SetErr(p.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	e := exitOf(err)
	if e.err != nil {
		fmt.Fprintf(p.err, "reattach: %s\n", strings.TrimSpace(e.err.Error()))
	}
	if e.hint != "" {
		fmt.Fprintf(p.err, "  %s\n", clean(e.hint))
	}
	return e.code
}

// exitOf gives an error its exit code. What is none of ours comes from the
// parsing of the command line.
func exitOf(err error) *exit {
	var e *exit
	if errors.As(err, &e) {
		return e
	}
	return &exit{exitWrong, err, "reattach help lists the commands, reattach COMMAND --help explains one"}
}

// nobodyAnswers is what a person can do then.
const nobodyAnswers = "is it running (reattach run)? Another socket is named by --socket, or REATTACH_SOCKET"

// asked turns an error of the client into one with an exit code.
func asked(err error, socket string) error {
	var refusal *httpapi.Refusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refusal) && (refusal.Code == 404 || refusal.Code == 422):
		return &exit{exitWrong, err, refusal.Hint}
	case errors.As(err, &refusal) && refusal.Code == 409:
		return &exit{exitNo, err, refusal.Hint}
	case errors.As(err, &refusal):
		return &exit{exitUnreachable, err, refusal.Hint}
	case errors.Is(err, context.Canceled):
		return &exit{exitNo, errors.New("interrupted"), "a command that was sent may be carried out all the same: see reattach history"}
	case errors.Is(err, context.DeadlineExceeded):
		return &exit{exitUnreachable, errors.New("the daemon did not answer in time"), "reattach status says how it is"}
	case errors.Is(err, os.ErrPermission):
		return &exit{exitUnreachable, fmt.Errorf("no permission to open %s", socket), "the socket belongs to the user that the daemon runs as: try sudo"}
	case errors.Is(err, httpapi.ErrUnreachable):
		return &exit{exitUnreachable, fmt.Errorf("no daemon answers on %s", socket), nobodyAnswers}
	}
	return &exit{exitNo, err, ""}
}

const rootText = `reattach watches the backing services that applications attach to (databases, queues,
mail relays, caches). When one fails for good, it rewrites the application's resource
handle in Consul's KV store, or in its own, to a standby: the application re-attaches.

Start here:
  reattach probe mysql://app@db1.internal/orders      can I reach this at all?
  reattach check /etc/reattach                        every mistake in the configuration at once
  reattach doctor                                     everything that a failover needs, and what to mend
  reattach run --config /etc/reattach                 the daemon
  reattach status                                     what needs a person, first
  reattach explain orders-db                          why was it switched, or why not?

Exit codes: 0 done, 1 the answer is no, 2 wrong input, 3 daemon or store unreachable.`

func newRoot(p *process) *cobra.Command {
	root := &cobra.Command{
		Use:           "reattach",
		Short:         "Connection health and automatic failover for attached resources",
		Long:          rootText,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddGroup(
		&cobra.Group{ID: "daemon", Title: "The daemon and its configuration:"},
		&cobra.Group{ID: "ask", Title: "Ask the daemon:"},
		&cobra.Group{ID: "switch", Title: "Switch a resource (by the daemon):"},
		&cobra.Group{ID: "order", Title: "Standing orders (by the daemon):"},
	)
	d := &door{process: p}
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("daemon", newRun(p), newCheck(p), newDoctor(p), newProbe(p))
	add("ask", d.status(), d.explain(), d.history(), d.events(), d.notify(), d.step())
	add("switch", d.switches()...)
	add("order", d.orders()...)
	root.AddCommand(newVersion(p))
	return root
}
