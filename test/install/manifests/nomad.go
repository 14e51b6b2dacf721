package main

import (
	"os"

	"github.com/hashicorp/nomad/jobspec2"
)

// nomad parses a job as `nomad job run` does, with everything unknown an error.
func nomad(path string) (any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return jobspec2.ParseWithConfig(&jobspec2.ParseConfig{Path: path, Body: text, Strict: true})
}
