//go:build !linux

package main

// daemonDescriptors is known on Linux only.
func daemonDescriptors(string) (limit uint64, ok bool) { return 0, false }
