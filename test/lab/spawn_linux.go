package lab

import "syscall"

// diesWithParent has the kernel end a process when the one that started it ends
// without a word, as a test does that panics.
func diesWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
