//go:build tools

// Package tools pins the programs that the lab builds but never links: they
// live in a module of their own so that their requirements stay out of
// reattach's go.mod.
package tools

import _ "github.com/hashicorp/consul"
