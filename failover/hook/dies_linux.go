package hook

import "syscall"

// diesWithUs has the kernel kill a command when the thread that started it ends.
func diesWithUs(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
