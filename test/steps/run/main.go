// Command run runs one command as the daemon runs a step, and prints how it ended,
// as JSON. The steps' tests put it into a container, where the clients are.
//
//	run '{"Argv": ["…"], "Env": {"TO_HOST": "…"}, "Allowed": 20000000000}'
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/reattach/reattach/failover/hook"
)

func main() {
	var step struct {
		hook.Command
		Allowed time.Duration
	}
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: run JSON")
		os.Exit(64)
	}
	if err := json.Unmarshal([]byte(os.Args[1]), &step); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(64)
	}
	outcome := hook.Run(context.Background(), step.Command, time.Now().Add(step.Allowed))
	if err := json.NewEncoder(os.Stdout).Encode(outcome); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
