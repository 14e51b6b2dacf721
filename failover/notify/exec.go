package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reattach/reattach/failover/hook"
)

// Bounds of a program.
const (
	textPassed  = 32 << 10    // bytes of the text in the environment
	execTimeout = time.Minute // where the caller has set none
)

// Exec runs a program for each message: in a process group of its own, without a
// shell, in the daemon's environment and what says REATTACH_… there. The message
// is on standard input, as the JSON of a [Document]; a program need not read it.
//
// It has taken the message if it exits with 0. Any other end is tried again, also
// 126, 127 and a program that is not there: they are mended by people, and soon,
// and an alert is not to be lost over it.
type Exec struct{ command []string }

// NewExec returns a sender that runs a program with its arguments, without a
// shell. It fails if there is no command; the program need not exist yet.
func NewExec(command []string) (*Exec, error) {
	if len(command) == 0 || command[0] == "" {
		return nil, errors.New("there is no command")
	}
	return &Exec{command}, nil
}

// Send runs the program to its end, or to ctx's: then its whole process group is
// killed. An error ends with the last line that the program wrote.
func (e *Exec) Send(ctx context.Context, m Message) error {
	input, err := json.Marshal(document(m))
	if err != nil {
		return Permanent(err)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(execTimeout)
	}
	o := hook.Run(ctx, hook.Command{Argv: e.command, Env: environment(m), Stdin: input}, deadline)
	switch {
	case o.OK:
		return nil
	case o.NotStarted:
		return errors.New(o.Why)
	case ctx.Err() != nil:
		err = fmt.Errorf("%s was killed: %w", e.command[0], ctx.Err())
	default:
		err = fmt.Errorf("%s: %s", e.command[0], o.Why)
	}
	if said := lastLine(o.Output); said != "" {
		return fmt.Errorf("%w: %s", err, said)
	}
	return err
}

// environment tells what a script asks for most, about the notice that leads.
func environment(m Message) map[string]string {
	n := leading(m)
	var resources []string
	for _, n := range m.Notices {
		if n.Resource != "" && !slices.Contains(resources, n.Resource) {
			resources = append(resources, n.Resource)
		}
	}
	return map[string]string{
		"EVENT": n.Event, "SEVERITY": worst(m).String(), "RESOURCE": strings.Join(resources, ","), "KEY": n.Key, "MATTER": m.Matter,
		"FROM": n.From, "TO": n.To, "OVER": strconv.FormatBool(m.Over), "TITLE": Title(m), "TEXT": clipBytes(Text(m), textPassed),
		"WHY": n.Why, "CLASS": n.Class, "PHASE": n.Phase, "CODE": n.Code, "GATE": n.Gate, "NEXT": n.Next,
		"RUNBOOK": runbookLink(m.Runbook, n.Event), "OBSERVER": n.Observer, "AT": stamp(n.At), "COUNT": strconv.Itoa(len(m.Notices)),
	}
}

// lastLine is the last line that is not empty, in short.
func lastLine(output string) string {
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(output, "\uFFFD", "")), "\n")
	return scrub(lines[len(lines)-1], nil)
}
