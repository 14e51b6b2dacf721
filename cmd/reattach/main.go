// Command reattach watches the backing services that applications attach to,
// and moves an application's resource handle to a standby when the attached
// service fails for good.
//
// This is the composition root: the only place that knows every part. `run` is
// the daemon, `check` and `probe` work by themselves, and all other commands
// ask a running daemon over its unix socket.
//
// Exit codes, of all commands: 0 done; 1 the answer is no; 2 wrong input; 3 the
// daemon or the store cannot be reached. What a person asked for goes to
// standard output, what went wrong to standard error. No output ever holds a
// secret.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // who asks a second time is not made to wait
	code := execute(ctx, newProcess(), os.Args[1:])
	stop()
	os.Exit(code)
}
