package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// label marks every container and network of the lab, ours the second one of
// a quickstart. sweep.sh, and a quickstart after one that was killed, go by them.
const (
	label   = "reattach-lab=1"
	ours    = "reattach-quickstart=1"
	network = "reattach-quickstart"
)

// docker runs the engine's command line and returns what it printed.
func docker(ctx context.Context, args ...string) (string, error) {
	cmd := command(ctx, args...)
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return string(out), fmt.Errorf("docker %s: %w: %s", args[0], err, strings.TrimSpace(string(failed.Stderr)))
	}
	return string(out), err
}

// command is a docker command in a process group of its own: a Ctrl-C is for us,
// who then remove everything, and not for the command that is at work.
func command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// follow hands each line that a container prints to f, from its first one,
// until ctx or the container ends.
func follow(ctx context.Context, container string, f func(line []byte)) error {
	cmd := command(ctx, "logs", "--follow", container)
	read, write := io.Pipe()
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = write.CloseWithError(cmd.Wait()) }()
	lines := bufio.NewScanner(read)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		f(lines.Bytes())
	}
	return lines.Err()
}

// sweep removes what is left of a quickstart: containers, their volumes, the network.
func sweep(ctx context.Context) error {
	ids, err := docker(ctx, "ps", "-aq", "--filter", "label="+ours)
	if err != nil {
		return err
	}
	if list := strings.Fields(ids); len(list) > 0 {
		if _, err := docker(ctx, append([]string{"rm", "-fv"}, list...)...); err != nil {
			return err
		}
	}
	ids, err = docker(ctx, "network", "ls", "-q", "--filter", "label="+ours)
	if err != nil {
		return err
	}
	if list := strings.Fields(ids); len(list) > 0 {
		_, err = docker(ctx, append([]string{"network", "rm"}, list...)...)
	}
	return err
}
