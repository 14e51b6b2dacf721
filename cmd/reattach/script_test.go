package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/embedded"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"reattach": main})
}

// TestScripts runs the command line as a shell would. Beside testscript's own
// commands there are:
//
//	exit CODE COMMAND ARG…      it ends with that exit code
//	until REGEXP COMMAND ARG…   run it again and again until it prints that
//	server NAME                 start, or start again, a server; $NAME is its address
//	crash NAME                  stop it; its address then refuses
//	freeport NAME               an address that refuses; $NAME is it
//	put KEY VALUE               write a key into store.db, which nobody has open
//	del KEY                     delete it
//	hup [WORD]                  send SIGHUP to what runs in the background (and has this word in its command)
//	term [WORD]                 send SIGTERM
//	get URL REGEXP              an HTTP GET's body matches
//	getuntil URL REGEXP         get it again and again until its body matches
//	hook NAME STATUS            start, or change, a server that people are told by; $NAME is its URL
//	hooked NAME REGEXP          wait until what it was told matches
//	manager                     be the service manager: own NOTIFY_SOCKET
//	heard REGEXP                wait until what the manager was told matches, and forget it up to there
func TestScripts(t *testing.T) {
	testscript.Run(t, scripts("testdata/script", func(*testscript.Env) {}))
}

// scripts are those of a folder, with all that they can do; more is for the setup.
func scripts(dir string, more func(*testscript.Env)) testscript.Params {
	return testscript.Params{
		Dir: dir, RequireExplicitExec: true, RequireUniqueNames: true, UpdateScripts: *update,
		Deadline: time.Now().Add(2 * time.Minute), // a daemon that does not end is killed, and shows where it stood
		Setup: func(env *testscript.Env) error {
			s := &servers{all: map[string]*server{}}
			env.Values["servers"] = s
			env.Defer(s.stop)
			h := &hooks{all: map[string]*hook{}}
			env.Values["hooks"] = h
			env.Defer(h.stop)
			m := &manager{}
			env.Values["manager"] = m
			env.Defer(m.stop)
			env.Setenv("REATTACH_SOCKET", env.WorkDir+"/run/c.sock")
			env.Setenv("NO_PROXY", "*")
			// The race detector would have each command sleep for a second as it
			// ends, to see what others do meanwhile; here nobody outlives main.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			more(env)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exit": scriptExit, "until": scriptUntil, "server": scriptServer, "crash": scriptCrash, "freeport": scriptFreePort,
			"hup":  func(ts *testscript.TestScript, _ bool, args []string) { scriptSignal(ts, syscall.SIGHUP, args) },
			"term": func(ts *testscript.TestScript, _ bool, args []string) { scriptSignal(ts, syscall.SIGTERM, args) },
			"put": func(ts *testscript.TestScript, _ bool, args []string) {
				scriptWrite(ts, failover.Op{Verb: failover.Set, Key: args[0], Value: []byte(args[1])})
			},
			"del": func(ts *testscript.TestScript, _ bool, args []string) {
				scriptWrite(ts, failover.Op{Verb: failover.Delete, Key: args[0]})
			},
			"get": scriptGet, "getuntil": scriptGetUntil,
			"hook": scriptHook, "hooked": scriptHooked, "manager": scriptManager, "heard": scriptHeard,
		},
	}
}

func scriptExit(ts *testscript.TestScript, _ bool, args []string) {
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var e *exec.ExitError
		if !errors.As(err, &e) {
			ts.Fatalf("%v", err)
		}
		code = e.ExitCode()
	}
	ts.Logf("[exit code %d]\n%s%s", code, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// patience is how long scripts wait for something to come about.
const patience = 20 * time.Second

func scriptUntil(ts *testscript.TestScript, _ bool, args []string) {
	waitFor(ts, args[0], func() string {
		_ = ts.Exec(args[1], args[2:]...) // what it fails with is not what is waited for
		return ts.ReadFile("stdout")
	})
}

// waitFor asks again and again until the answer matches.
func waitFor(ts *testscript.TestScript, pattern string, ask func() string) {
	want := regexp.MustCompile("(?m)" + pattern)
	tick, over := time.NewTicker(20*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for {
		answer := ask()
		if want.MatchString(answer) {
			return
		}
		select {
		case <-tick.C:
		case <-over:
			ts.Fatalf("after %v no %q in\n%s", patience, pattern, answer)
		}
	}
}

func scriptSignal(ts *testscript.TestScript, s syscall.Signal, words []string) {
	for _, c := range ts.BackgroundCmds() {
		if len(words) == 0 || slices.Contains(c.Args, words[0]) {
			ts.Check(c.Process.Signal(s))
		}
	}
}

func scriptGet(ts *testscript.TestScript, neg bool, args []string) {
	body := fetch(ts, args[0])
	ts.Logf("%s", body)
	if regexp.MustCompile("(?m)"+args[1]).Match(body) == neg {
		ts.Fatalf("GET %s: %q is there: %v", args[0], args[1], neg)
	}
}

func scriptGetUntil(ts *testscript.TestScript, _ bool, args []string) {
	waitFor(ts, args[1], func() string { return string(fetch(ts, args[0])) })
}

func fetch(ts *testscript.TestScript, url string) []byte {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	return body
}

// scriptWrite writes as somebody else than reattach would.
func scriptWrite(ts *testscript.TestScript, op failover.Op) {
	store, err := embedded.Open(ts.MkAbs("store.db"))
	ts.Check(err)
	reply, err := store.Txn(context.Background(), []failover.Op{op})
	ts.Check(errors.Join(err, store.Close()))
	if !reply.OK {
		ts.Fatalf("%v", reply.Failed)
	}
}

// servers are those of one script.
type servers struct{ all map[string]*server }

func (s *servers) stop() {
	for _, one := range s.all {
		one.stop()
	}
}

func serversOf(ts *testscript.TestScript) *servers { return ts.Value("servers").(*servers) }

func scriptServer(ts *testscript.TestScript, _ bool, args []string) {
	s, addr := serversOf(ts), "127.0.0.1:0"
	if old := s.all[args[0]]; old != nil {
		addr = old.addr
	}
	one, err := startServer(addr)
	ts.Check(err)
	s.all[args[0]] = one
	ts.Setenv(args[0], one.addr)
}

func scriptCrash(ts *testscript.TestScript, _ bool, args []string) {
	serversOf(ts).all[args[0]].stop()
}

func scriptFreePort(ts *testscript.TestScript, _ bool, args []string) {
	// Below the ports that the kernel gives to whoever asks for any: nobody takes it
	// before the daemon does.
	for {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000)))
		if err != nil {
			continue
		}
		ts.Setenv(args[0], ln.Addr().String())
		ts.Check(ln.Close())
		return
	}
}

// server speaks as much of memcached's protocol as a probe asks for. The real
// one is held against the same probe by that probe's own tests.
type server struct {
	addr   string
	ln     net.Listener
	group  sync.WaitGroup
	ctx    context.Context
	cancel context.CancelFunc
	began  time.Time
}

func startServer(addr string) (*server, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &server{addr: ln.Addr().String(), ln: ln, began: time.Now()}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.group.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			s.group.Go(func() { s.serve(nc) })
		}
	})
	return s, nil
}

func (s *server) stop() {
	s.cancel()
	_ = s.ln.Close()
	s.group.Wait()
}

func (s *server) serve(nc net.Conn) {
	defer nc.Close()
	defer context.AfterFunc(s.ctx, func() { _ = nc.Close() })()
	for in := bufio.NewScanner(nc); in.Scan(); {
		switch strings.TrimSpace(in.Text()) {
		case "version":
			fmt.Fprint(nc, "VERSION 1.6.38\r\n")
		case "mn":
			fmt.Fprint(nc, "MN\r\n")
		case "stats":
			fmt.Fprintf(nc, "STAT pid 4711\r\nSTAT uptime %d\r\nSTAT curr_connections 2\r\nSTAT max_connections 1024\r\nSTAT curr_items 0\r\nEND\r\n", int(time.Since(s.began).Seconds())+100)
		case "quit":
			return
		default:
			fmt.Fprint(nc, "ERROR\r\n")
		}
	}
}

// freePort returns a port of loopback that refuses.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}
