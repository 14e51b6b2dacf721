package memcached_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/memcached"
	"github.com/reattach/reattach/test/lab"
)

// target is an endpoint to probe, with the scheme's own idea of TLS.
func target(t testing.TB, raw string) probe.Target {
	t.Helper()
	u, err := probe.ParseURL(raw)
	if err != nil {
		t.Fatal(err)
	}
	return probe.Target{URL: u, Timeout: memcached.Protocol.Defaults.Timeout, Client: "reattach lab"}
}

func once(t testing.TB, tg probe.Target) probe.Result {
	t.Helper()
	return probe.Once(t.Context(), memcached.Protocol, tg)
}

// hold opens a session that the test's end closes.
func hold(t testing.TB, tg probe.Target) probe.Held {
	t.Helper()
	held, r := probe.Open(t.Context(), memcached.Protocol, tg)
	if r.Class != probe.OK {
		t.Fatalf("no session: %+v", r)
	}
	t.Cleanup(func() { bye(held) })
	return held
}

func bye(held probe.Held) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	held.Close(ctx)
}

// wait is what a held session hears within limit.
func wait(t testing.TB, held probe.Held, limit time.Duration) probe.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return held.Wait(ctx)
}

// want checks class, phase (where one is named) and code, and that no password shows.
func want(t testing.TB, r probe.Result, class probe.Class, phase probe.Phase, code string) {
	t.Helper()
	if r.Class != class || phase != probe.PhaseNone && r.Phase != phase || r.Code != code {
		t.Errorf("got %v in %v, code %q (%s); want %v in %v, code %q", r.Class, r.Phase, r.Code, r.Err, class, phase, code)
	}
	if strings.Contains(fmt.Sprintf("%+v", r), "-secret") {
		t.Errorf("the result shows a password: %+v", r)
	}
}

// wantHint checks that a held session gave a hint, with that class.
func wantHint(t testing.TB, r probe.Result, class probe.Class) {
	t.Helper()
	want(t, r, class, probe.PhasePing, r.Code)
	if !r.Hint || r.Kind != probe.Session {
		t.Errorf("hint %v of kind %v; want a hint of a session", r.Hint, r.Kind)
	}
}

// eventually waits until ok, for at most 10 s.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// cache is a real memcached with what the tests ask of it.
type cache struct {
	*lab.Server
	lab *lab.Lab
}

// client is the client library, for one conversation.
func (c cache) client() *memcache.Client {
	client := memcache.New(c.Addr())
	client.Timeout = time.Second
	return client
}

// stats asks the server over a connection that has nothing to do with the probe.
func (c cache) stats(t testing.TB) map[string]string {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", c.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	_, _ = fmt.Fprint(conn, "stats\r\n")
	text, b := "", make([]byte, 4096)
	for !strings.HasSuffix(text, "END\r\n") {
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		text += string(b[:n])
	}
	stats := map[string]string{}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 3 {
			stats[f[1]] = f[2]
		}
	}
	return stats
}

// TestRealMemcached holds the probe against one memcached, and breaks it in
// turn. The order matters: each part leaves the server as it found it.
func TestRealMemcached(t *testing.T) {
	lab.Need(t)
	l := lab.New(t)
	c := cache{l.Memcached(lab.Args("-o", "idle_timeout=2")), l}
	for _, part := range []struct {
		name string
		run  func(*testing.T, cache)
	}{
		{"ok", testOK},
		{"quiet", testQuiet},
		{"canary", testCanary},
		{"full", testFull},
		{"login", testLogin},
		{"limits", testLimits},
		{"session", testSession},
		{"network", testNetwork},
		{"hang", testHang},
		{"stopped", testStopped},
		{"killed", testKilled},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, c) })
	}
}

func testOK(t *testing.T, c cache) {
	if err := c.client().Ping(); err != nil {
		t.Fatal(err)
	}
	r := once(t, target(t, c.URL("")))
	want(t, r, probe.OK, probe.PhaseRole, "")
	stats := c.stats(t)
	for _, name := range []string{"pid", "max_connections", "curr_items", "version"} {
		if fmt.Sprint(r.Facts[name]) != stats[name] || stats[name] == "" {
			t.Errorf("%s is %v; the server says %v", name, r.Facts[name], stats[name])
		}
	}
	for _, name := range []string{"uptime", "curr_connections"} {
		if n, ok := r.Facts[name].(int64); !ok || n < 0 || n > 1000 {
			t.Errorf("%s is %v", name, r.Facts[name])
		}
	}
	for _, phase := range []probe.Phase{probe.PhaseConnect, probe.PhasePing, probe.PhaseRole} {
		if r.Timings[phase] <= 0 {
			t.Errorf("no time for %v", phase)
		}
	}
	for name := range r.Facts {
		if !documented(name) {
			t.Errorf("the fact %s is not documented", name)
		}
	}
	t.Logf("memcached %v: %v", r.Facts["version"], r.Ended.Sub(r.Began))
	for _, depth := range []probe.Phase{probe.PhaseConnect, probe.PhasePing, probe.PhaseRole, probe.PhaseRead, probe.PhaseWrite} {
		tg := target(t, c.URL(""))
		tg.Depth = depth
		want(t, once(t, tg), probe.OK, depth, "")
	}
}

func documented(fact string) bool {
	for _, f := range memcached.Protocol.Facts {
		if f.Name == fact {
			return true
		}
	}
	return false
}

// testQuiet shows that probes change nothing that belongs to applications.
func testQuiet(t *testing.T, c cache) {
	before, logged := c.stats(t), c.Logs()
	for range 50 {
		want(t, once(t, target(t, c.URL("app"))), probe.OK, probe.PhaseRole, "") // credentials that nobody asked for
	}
	held := hold(t, target(t, c.URL("")))
	for range 50 {
		want(t, held.Ping(t.Context()), probe.OK, probe.PhasePing, "")
	}
	bye(held)
	after := c.stats(t)
	for _, name := range []string{"cmd_get", "cmd_set", "cmd_touch", "auth_cmds", "auth_errors", "curr_items", "total_items", "rejected_connections"} {
		if before[name] != after[name] || before[name] == "" {
			t.Errorf("%s went from %q to %q", name, before[name], after[name])
		}
	}
	if got := c.Logs(); got != logged {
		t.Errorf("the server logged %s", strings.TrimPrefix(got, logged))
	}
}

func testCanary(t *testing.T, c cache) {
	before := c.stats(t)
	tg := target(t, c.URL(""))
	tg.Depth = probe.PhaseWrite
	want(t, once(t, tg), probe.OK, probe.PhaseWrite, "")
	tg.Depth = probe.PhaseRead
	want(t, once(t, tg), probe.OK, probe.PhaseRead, "")
	after := c.stats(t)
	if before["cmd_set"] == after["cmd_set"] || before["get_hits"] == after["get_hits"] {
		t.Errorf("no canary: %v sets, %v hits", after["cmd_set"], after["get_hits"])
	}
}

// testFull fills a server that evicts nothing: only a canary sees that.
func testFull(t *testing.T, c cache) {
	full := cache{c.lab.Memcached(lab.Args("-M", "-m", "8")), c.lab}
	client, value := full.client(), make([]byte, 4000)
	defer func() { _ = client.Close() }()
	small := []byte("12345678901234567890")
	for i := 0; ; i++ {
		big := client.Set(&memcache.Item{Key: fmt.Sprintf("big%d", i), Value: value})
		little := client.Set(&memcache.Item{Key: fmt.Sprintf("reattach:canary:%013d", i), Value: small[:12]})
		if big != nil && little != nil {
			break
		}
		if i > 1_000_000 {
			t.Fatal("it never was full")
		}
	}
	tg := target(t, full.URL(""))
	want(t, once(t, tg), probe.OK, probe.PhaseRole, "")
	tg.Depth = probe.PhaseWrite
	want(t, once(t, tg), probe.Degraded, probe.PhaseWrite, "SERVER_ERROR")
}

func testLogin(t *testing.T, c cache) {
	locked := cache{c.lab.Memcached(lab.Login("app")), c.lab}
	want(t, once(t, target(t, locked.URL("app"))), probe.OK, probe.PhaseRole, "")
	want(t, once(t, target(t, locked.URL(""))), probe.Auth, probe.PhaseAuth, "CLIENT_ERROR")
	tg := target(t, locked.URL("app"))
	tg.URL.Password = "wrong"
	want(t, once(t, tg), probe.Auth, probe.PhaseAuth, "CLIENT_ERROR")
	tg.Passwords = []probe.Secret{"old-secret", "app-secret", "never-secret"}
	want(t, once(t, tg), probe.OK, probe.PhaseRole, "")
	held := hold(t, tg)
	want(t, held.Ping(t.Context()), probe.OK, probe.PhasePing, "")
	if err := locked.client().Ping(); err == nil {
		t.Error("the client library, which cannot log in, was let in")
	}
}

func testLimits(t *testing.T, c cache) {
	few := cache{c.lab.Memcached(lab.MaxConnections(60), lab.Args("-t", "1")), c.lab}
	var r probe.Result
	for range 100 {
		var held probe.Held
		if held, r = probe.Open(t.Context(), memcached.Protocol, target(t, few.URL(""))); held == nil {
			break
		}
		t.Cleanup(func() { bye(held) })
	}
	want(t, r, probe.Overloaded, probe.PhasePing, "ERROR")
	for range 50 { // the server closes at once: its word must be found although a write may fail
		want(t, once(t, target(t, few.URL(""))), probe.Overloaded, probe.PhasePing, "ERROR")
	}
	if err := few.client().Ping(); err == nil {
		t.Error("the client library was let in")
	}
}
