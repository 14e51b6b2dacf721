// Command manifests reads the project's Nomad job and Kubernetes manifests as their
// own systems do, and prints them as JSON:
//
//	manifests nomad FILE          the job, by Nomad's parser
//	manifests kubernetes DIR      the objects, as a list, built by kustomize and
//	                              decoded strictly into Kubernetes' types
//
// It is a module of its own, so that what it needs stays out of reattach's go.mod:
// Nomad's parser is licensed for use as a tool, and is never linked into reattach.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "manifests:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: manifests nomad FILE | kubernetes DIR")
	}
	read := map[string]func(string) (any, error){"nomad": nomad, "kubernetes": kubernetes}[args[0]]
	if read == nil {
		return fmt.Errorf("unknown system %q", args[0])
	}
	what, err := read(args[1])
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(what)
}
