package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// hooks are the servers of one script by which people are told.
type hooks struct{ all map[string]*hook }

func (h *hooks) stop() {
	for _, one := range h.all {
		one.server.Close()
	}
}

// hook notes what it is told, whatever it answers.
type hook struct {
	server *httptest.Server
	mu     sync.Mutex
	status int
	told   strings.Builder
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told.Write(append(body, '\n'))
	w.WriteHeader(h.status)
	_, _ = io.WriteString(w, "ok")
}

func (h *hook) read() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.told.String()
}

func scriptHook(ts *testscript.TestScript, _ bool, args []string) {
	all := ts.Value("hooks").(*hooks).all
	status, err := strconv.Atoi(args[1])
	ts.Check(err)
	h := all[args[0]]
	if h == nil {
		h = &hook{}
		h.server = httptest.NewServer(h)
		all[args[0]] = h
		ts.Setenv(args[0], h.server.URL)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

func scriptHooked(ts *testscript.TestScript, neg bool, args []string) {
	h := ts.Value("hooks").(*hooks).all[args[0]]
	if neg {
		if regexp.MustCompile("(?m)" + args[1]).MatchString(h.read()) {
			ts.Fatalf("it was told:\n%s", h.read())
		}
		return
	}
	waitFor(ts, args[1], h.read)
}

// manager is a service manager: it hears what a service says of itself.
type manager struct {
	socket *net.UnixConn
	group  sync.WaitGroup
	mu     sync.Mutex
	heard  string
}

func scriptManager(ts *testscript.TestScript, _ bool, _ []string) {
	m := ts.Value("manager").(*manager)
	path := filepath.Join(ts.Getenv("WORK"), "sd")
	var err error
	m.socket, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	ts.Check(err)
	ts.Setenv("NOTIFY_SOCKET", path)
	m.group.Go(func() {
		b := make([]byte, 4096)
		for {
			n, err := m.socket.Read(b)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.heard += string(b[:n]) + "\n\n" // a datagram is a paragraph
			m.mu.Unlock()
		}
	})
}

func (m *manager) stop() {
	if m.socket != nil {
		_ = m.socket.Close()
	}
	m.group.Wait()
}

func (m *manager) read() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.heard
}

func scriptHeard(ts *testscript.TestScript, neg bool, args []string) {
	m := ts.Value("manager").(*manager)
	want := regexp.MustCompile("(?m)" + args[0])
	if neg {
		if want.MatchString(m.read()) {
			ts.Fatalf("it heard:\n%s", m.read())
		}
		return
	}
	waitFor(ts, args[0], m.read)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard = m.heard[want.FindStringIndex(m.heard)[1]:]
}
