package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// daemonDescriptors is how many file descriptors the process that listens on a
// socket may have: the daemon's unit sets other limits than somebody's shell.
func daemonDescriptors(socket string) (limit uint64, ok bool) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return 0, false
	}
	defer func() { _ = conn.Close() }()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, false
	}
	var peer *unix.Ucred
	if e := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil || err != nil || peer.Pid == 0 {
		return 0, false // 0: it lives in another namespace
	}
	return openFiles(fmt.Sprintf("/proc/%d/limits", peer.Pid))
}

// openFiles reads the limit in force from a process' list.
func openFiles(path string) (limit uint64, ok bool) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false
	}
	defer func() { _ = f.Close() }()
	for scan := bufio.NewScanner(f); scan.Scan(); {
		if rest, found := strings.CutPrefix(scan.Text(), "Max open files"); found {
			soft, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
			limit, err = strconv.ParseUint(soft, 10, 64)
			return limit, err == nil
		}
	}
	return 0, false
}
