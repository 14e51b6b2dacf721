package hostile

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reattach/reattach/probe"
)

// What one attack may cost, besides its timeout.
const (
	farewell = time.Second             // a short goodbye, on a busy machine
	mostRead = probe.ReadLimit + 8<<10 // bytes: one reply, what led there, and what this test reads itself
	mostKept = 6 * probe.ReadLimit     // bytes allocated over all: a buffer that doubles comes to twice what it holds, on both sides
	gigabyte = 1 << 30
)

// attack is what a server does after its script.
type attack struct {
	name string
	// ends: it is noticed by what came, and not by the clock.
	ends bool
	do   func(net.Conn)
}

// attacks on a room, each of which goes on until the client has gone.
func attacks(r room) []attack {
	all := []attack{
		{"silence", false, silent},
		{"a byte now and then", false, func(c net.Conn) { trickle(c, r.endless) }},
		{"a gigabyte", true, func(c net.Conn) { flood(c, "x") }},
		{"a gigabyte of zeros", true, func(c net.Conn) { flood(c, "\x00") }},
		{"no end of what is lawful", true, func(c net.Conn) { say(c, r.begin); flood(c, r.endless) }},
	}
	for i, lie := range r.lies {
		all = append(all,
			attack{fmt.Sprintf("lie %d", i+1), false, func(c net.Conn) { say(c, lie); silent(c) }},
			attack{fmt.Sprintf("lie %d, and then a gigabyte", i+1), true, func(c net.Conn) { say(c, lie); flood(c, "x") }})
	}
	return all
}

func say(c net.Conn, text string) { _, _ = io.WriteString(c, text) }

func silent(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// flood sends text again and again, up to a gigabyte.
func flood(c net.Conn, text string) {
	chunk := bytes.Repeat([]byte(text), max(1, 16<<10/len(text)))
	for sent := 0; sent < gigabyte; sent += len(chunk) {
		if _, err := c.Write(chunk); err != nil {
			return
		}
	}
}

// trickle sends text again and again, a byte at a time.
func trickle(c net.Conn, text string) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		if _, err := c.Write([]byte{text[i%len(text)]}); err != nil {
			return
		}
		<-tick.C
	}
}

// serve has each connection handled until the test ends.
func serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer func() { _ = c.Close() }()
				defer context.AfterFunc(ctx, func() { _ = c.Close() })()
				handle(c)
			})
		}
	})
	t.Cleanup(func() { cancel(); _ = l.Close(); group.Wait() })
	return l.Addr().String()
}

// play says a script; it reports whether the client let it come to its end.
func play(c net.Conn, greets bool, script []string) bool {
	heard := make([]byte, 4096)
	for i, step := range script {
		if i > 0 || !greets {
			if _, err := c.Read(heard); err != nil {
				return false
			}
		}
		say(c, step)
	}
	return true
}

func target(t *testing.T, r room, addr string, patience time.Duration) probe.Target {
	t.Helper()
	path, user := "", ""
	if r.protocol.Name == "mysql" || r.protocol.Name == "amqp" {
		path, r.user = "/orders", true
	}
	if r.user {
		user = "probe:probe-secret@"
	}
	u, err := probe.ParseURL(r.scheme + "://" + user + addr + path)
	if err != nil {
		t.Fatal(err)
	}
	tg := probe.Target{URL: u, Timeout: patience, Depth: cmp.Or(r.depth, probe.PhasePing), Table: r.table, Wanted: r.wanted}
	if r.protocol.Name == "smtp" {
		tg.TLS.Mode = probe.TLSOff // or no password is sent
	}
	return tg
}

// patience is the timeout under an attack: one that ends has time enough to be noticed.
func (a attack) patience() time.Duration {
	if a.ends {
		return 5 * time.Second
	}
	return 150 * time.Millisecond
}

// bounded does something hostile and holds what it cost. Where the conversation
// is unsure, it may go on without what it asked for.
func bounded(t *testing.T, a attack, unsure bool, do func() probe.Result) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	read, began := bytesRead(t), time.Now()
	r := do()
	took := time.Since(began)
	read = bytesRead(t) - read
	runtime.ReadMemStats(&after)
	limit := a.patience() + farewell
	switch {
	case unsure && r.Class == probe.OK:
	case !r.Failed() || r.Class == probe.Local || r.Class == probe.None:
		t.Errorf("it came to %v in %v (%s)", r.Class, r.Phase, r.Err)
	case a.ends && r.Class == probe.Timeout:
		t.Errorf("only the clock ended it: %v in %v (%s)", r.Class, r.Phase, r.Err)
	}
	if took > limit {
		t.Errorf("it took %v", took)
	}
	if read > mostRead {
		t.Errorf("it read %d bytes", read)
	}
	if kept := after.TotalAlloc - before.TotalAlloc; kept > mostKept && !raced {
		t.Errorf("it allocated %d bytes", kept)
	}
	if testing.Verbose() {
		t.Logf("%v in %v after %v: %d bytes read, %d allocated", r.Class, r.Phase, took.Round(time.Millisecond), read, after.TotalAlloc-before.TotalAlloc)
	}
}

// bytesRead is what this process has read so far, from sockets too: what a
// server could send lies in the kernel's buffers and says nothing of the client.
func bytesRead(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skipf("this kernel does not count what a process reads: %v", err)
	}
	var n int
	if _, err := fmt.Sscanf(string(text), "rchar: %d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestConversations attacks each room at each step of a fresh conversation.
func TestConversations(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for _, r := range slices.Concat(rooms, deeper) {
		for step := r.from; step < len(r.script); step++ {
			unsure := r.unsure > 0 && step >= r.unsure
			for _, a := range attacks(r) {
				t.Run(fmt.Sprintf("%s/step %d/%s", r.name, step, a.name), func(t *testing.T) {
					reached := make(chan struct{}, 1)
					addr := serve(t, func(c net.Conn) {
						if play(c, r.greets, r.script[:step]) {
							reached <- struct{}{}
							a.do(c)
						}
					})
					tg := target(t, r, addr, a.patience())
					bounded(t, a, unsure, func() probe.Result { return probe.Once(t.Context(), r.protocol, tg) })
					select {
					case <-reached:
					default:
						t.Error("the script did not come to its end")
					}
				})
			}
		}
	}
}

// TestSessions attacks each room's held session, while it waits and while it pings.
func TestSessions(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for _, r := range rooms {
		for _, a := range attacks(r) {
			for what, do := range map[string]func(context.Context, probe.Held) probe.Result{
				"ping": func(ctx context.Context, h probe.Held) probe.Result { return h.Ping(ctx) },
				"wait": func(ctx context.Context, h probe.Held) probe.Result { return h.Wait(ctx) },
			} {
				if what == "wait" && !a.ends {
					continue // nothing is due, and nothing whole comes: all is well
				}
				t.Run(fmt.Sprintf("%s/%s/%s", r.name, what, a.name), func(t *testing.T) {
					opened := make(chan struct{})
					addr := serve(t, func(c net.Conn) {
						if play(c, r.greets, r.script) {
							<-opened
							a.do(c)
						}
					})
					tg := target(t, r, addr, a.patience())
					tg.Timeout = max(tg.Timeout, time.Second)
					tg.Idle = r.idle
					held, got := probe.Open(t.Context(), r.protocol, tg)
					close(opened)
					if held == nil {
						t.Fatalf("no session: %v %s", got.Class, got.Err)
					}
					bounded(t, a, false, func() probe.Result {
						ctx, cancel := context.WithTimeout(t.Context(), a.patience())
						defer cancel()
						got := do(ctx, held)
						bye, done := context.WithTimeout(context.WithoutCancel(ctx), farewell/2)
						defer done()
						held.Close(bye)
						return got
					})
				})
			}
		}
	}
}
