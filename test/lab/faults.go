package lab

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

// KillProcess kills the server, and everything it started, by SIGKILL. The
// container and its address live on: held connections are closed at once, dials
// are refused. It returns the moment of the kill, to a millisecond.
func (s *Server) KillProcess() time.Time {
	s.lab.t.Helper()
	return s.control("kill")
}

// StartProcess starts the server again after [Server.KillProcess] or [Server.Stop],
// and returns once it serves. It is asked for again until then: of a killed server
// threads may still hang in a write to a slow disk, and so long it counts as alive.
func (s *Server) StartProcess() {
	s.lab.t.Helper()
	s.MustExec("lab-ctl", "start")
	s.awaitReady(func() { s.MustExec("lab-ctl", "start") })
}

// RestartAfter kills the server's process and has it started d later (to 0.1 s),
// as a supervisor does; it does not wait. It returns the moment of the kill.
func (s *Server) RestartAfter(d time.Duration) time.Time {
	s.lab.t.Helper()
	return s.control("restart", strconv.FormatInt(d.Milliseconds(), 10))
}

// Stop sends SIGTERM to the server, as a supervisor stops it in good order, and
// returns the moment of that without waiting.
func (s *Server) Stop() time.Time {
	s.lab.t.Helper()
	return s.control("term")
}

// Freeze stops all of the server's processes by SIGSTOP: nothing is closed, the
// kernel goes on accepting, nobody answers. It returns the moment of that.
func (s *Server) Freeze() time.Time {
	s.lab.t.Helper()
	return s.control("freeze")
}

// Thaw ends [Server.Freeze].
func (s *Server) Thaw() {
	s.lab.t.Helper()
	s.control("thaw")
}

// Pause stops the whole container (`docker pause`), a hang as by Freeze. Nothing
// can be run in it meanwhile.
func (s *Server) Pause() time.Time {
	s.lab.t.Helper()
	return s.engine("pause", func(ctx context.Context, id string) error {
		_, err := s.lab.docker.ContainerPause(ctx, id, client.ContainerPauseOptions{})
		return err
	})
}

// Unpause ends [Server.Pause].
func (s *Server) Unpause() {
	s.lab.t.Helper()
	s.engine("unpause", func(ctx context.Context, id string) error {
		_, err := s.lab.docker.ContainerUnpause(ctx, id, client.ContainerUnpauseOptions{})
		return err
	})
}

// KillContainer is a dead host: held connections are closed by the kernel, and
// then nobody has the address, so that dials hang, or are unreachable.
func (s *Server) KillContainer() time.Time {
	s.lab.t.Helper()
	return s.engine("kill", func(ctx context.Context, id string) error {
		_, err := s.lab.docker.ContainerKill(ctx, id, client.ContainerKillOptions{})
		return err
	})
}

// StartContainer boots the host again, with its data and its address, and returns
// once the server serves.
func (s *Server) StartContainer() {
	s.lab.t.Helper()
	s.engine("start", func(ctx context.Context, id string) error {
		_, err := s.lab.docker.ContainerStart(ctx, id, client.ContainerStartOptions{})
		return err
	})
	s.WaitReady()
}

// Disconnect is a partition: the server runs, its packets vanish, nothing is closed.
func (s *Server) Disconnect() time.Time {
	s.lab.t.Helper()
	return s.engine("disconnect", func(ctx context.Context, id string) error {
		_, err := s.lab.docker.NetworkDisconnect(ctx, s.lab.net.ID, client.NetworkDisconnectOptions{Container: id})
		return err
	})
}

// Connect ends [Server.Disconnect]: the same address again.
func (s *Server) Connect() {
	s.lab.t.Helper()
	s.engine("connect", func(ctx context.Context, id string) error {
		_, err := s.lab.docker.NetworkConnect(ctx, s.lab.net.ID,
			client.NetworkConnectOptions{Container: id, EndpointConfig: s.endpoint()})
		return err
	})
}

// Drop has packets to a port of the server vanish, in held connections, too.
// Port 0 means the protocol's own.
func (s *Server) Drop(port int) {
	s.lab.t.Helper()
	s.filter(port, "-j", "DROP")
}

// RejectReset answers packets to a port with a TCP reset: held connections break,
// dials are refused.
func (s *Server) RejectReset(port int) {
	s.lab.t.Helper()
	s.filter(port, "-j", "REJECT", "--reject-with", "tcp-reset")
}

// Lose drops a share of the packets to a port, at random: 0.05 is one in twenty.
func (s *Server) Lose(port int, share float64) {
	s.lab.t.Helper()
	s.filter(port, "-m", "statistic", "--mode", "random",
		"--probability", strconv.FormatFloat(share, 'f', 4, 64), "-j", "DROP")
}

// Heal ends all of Drop, RejectReset, Lose and Part.
func (s *Server) Heal() {
	s.lab.t.Helper()
	s.MustExec("iptables", "-F")
}

func (s *Server) filter(port int, rule ...string) {
	s.lab.t.Helper()
	if port == 0 {
		port = s.port
	}
	s.MustExec(append([]string{
		"iptables", "-I", "INPUT", "-p", "tcp", "--dport", strconv.Itoa(port),
	}, rule...)...)
}

// control runs lab-ctl, which prints when it did what it was asked.
func (s *Server) control(args ...string) time.Time {
	s.lab.t.Helper()
	out := strings.TrimSpace(s.MustExec(append([]string{"lab-ctl"}, args...)...))
	micros, err := strconv.ParseInt(strings.Replace(out, ".", "", 1), 10, 64)
	if err != nil {
		s.lab.t.Fatalf("lab: lab-ctl %v in %s says %q", args, s.name, out)
	}
	return time.UnixMicro(micros)
}

// engine asks the container engine, and returns the moment before it did.
func (s *Server) engine(what string, do func(ctx context.Context, id string) error) time.Time {
	s.lab.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	at := time.Now()
	if err := do(ctx, s.container.GetContainerID()); err != nil {
		s.lab.t.Fatalf("%v", fmt.Errorf("lab: %s %s: %w", what, s.name, err))
	}
	return at
}
