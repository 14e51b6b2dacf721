//go:build !linux

package lab

import "syscall"

// diesWithParent can only be had on Linux.
func diesWithParent(*syscall.SysProcAttr) {}
