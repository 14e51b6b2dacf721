package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ErrAlive means that another daemon listens on the socket.
var ErrAlive = errors.New("another daemon listens there")

// Bounds of a door.
const (
	headerTime  = 5 * time.Second // to send a request's header
	idleTime    = 2 * time.Minute // between two requests of a connection
	closeTime   = 3 * time.Second // for answers under way when the daemon ends
	connections = 4096            // at a time; more wait in the kernel's queue
	socketPath  = 107             // bytes of a socket's path, by the kernel
)

// Serve answers on ln until ctx ends, then lets answers under way end, at most
// three seconds, and returns nil. Requests' contexts end with ctx. Any other
// end is an error.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: 32 << 10,
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		if srv.Shutdown(patience) != nil {
			_ = srv.Close()
		}
	})
	err := srv.Serve(&limited{Listener: ln, room: make(chan struct{}, connections), closed: make(chan struct{})})
	if errors.Is(err, http.ErrServerClosed) {
		<-ended
		return nil
	}
	if !stop() {
		<-ended
	}
	return fmt.Errorf("serving %s: %w", ln.Addr(), err)
}

// limited bounds how many connections are open at a time.
type limited struct {
	net.Listener
	room   chan struct{}
	closed chan struct{}
	once   sync.Once
}

// Accept waits for room, then for a connection.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.room <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	nc, err := l.Listener.Accept()
	if err != nil {
		<-l.room
		return nil, err
	}
	return &roomy{Conn: nc, room: l.room}, nil
}

// Close ends Accept, too, where it waits for room.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// roomy gives its room back when it is closed.
type roomy struct {
	net.Conn
	room chan struct{}
	once sync.Once
}

// Close closes the connection.
func (c *roomy) Close() error {
	c.once.Do(func() { <-c.room })
	return c.Conn.Close()
}

// ListenSocket listens on the unix socket at path, which only its owner may
// open, and creates the directories above it. A socket that a dead daemon left
// is replaced; where a live one answers, the error wraps [ErrAlive]; what is no
// socket is left alone.
func ListenSocket(path string) (net.Listener, error) {
	if err := clear(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	// It is bound where nobody else can reach it, given its mode, and then moved
	// to its place: at no moment is there a door that others may open.
	private, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	defer os.RemoveAll(private)
	hidden := filepath.Join(private, "s")
	if len(hidden) > socketPath || len(path) > socketPath {
		return nil, fmt.Errorf("socket %s: the path is too long for a unix socket; choose a shorter one", path)
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	ln.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(hidden, 0o600), os.Rename(hidden, path)); err != nil {
		_ = ln.Close()
		return nil, fmt.Errorf("socket: %w", err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		_ = ln.Close()
		return nil, fmt.Errorf("socket: %w", err)
	}
	return &socket{UnixListener: ln, path: path, info: info}, nil
}

// clear makes sure that nobody answers at path, and that nothing but a socket is there.
func clear(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("socket %s: something else is there that is no socket", path)
	}
	nc, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = nc.Close()
		return fmt.Errorf("socket %s: %w", path, ErrAlive)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("socket: %w", err)
	}
	return nil
}

// socket removes its path when it is closed, unless another has taken it over.
type socket struct {
	*net.UnixListener
	path string
	info fs.FileInfo
	once sync.Once
}

// Close stops listening.
func (s *socket) Close() error {
	s.once.Do(func() {
		if info, err := os.Lstat(s.path); err == nil && os.SameFile(info, s.info) {
			_ = os.Remove(s.path)
		}
	})
	return s.UnixListener.Close()
}
