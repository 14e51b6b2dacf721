package crash

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// The resource of all stories, and its keys.
const (
	resourceName = "orders-db"
	handleURL    = "app/DATABASE_URL"
	handleDSN    = "app/DATABASE_DSN"
	stateKey     = failover.Prefix + "state/" + resourceName
)

// world is the directory of what outlives an observer: the servers, what the
// steps did, how far the story is.
type world string

func (w world) file(parts ...string) string {
	return filepath.Join(append([]string{string(w)}, parts...)...)
}

// serve says how a server is from now on: a class, and facts that are true.
func (w world) serve(endpoint, words string) error {
	tmp := w.file("servers", endpoint+".new")
	if err := os.WriteFile(tmp, []byte(words), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, w.file("servers", endpoint))
}

func (w world) is(mark string) bool {
	_, err := os.Stat(w.file("marks", mark))
	return err == nil
}

func (w world) mark(name string) error { return os.WriteFile(w.file("marks", name), nil, 0o600) }

// note appends a line to a log; one write is one line, whoever is killed.
func (w world) note(log, format string, args ...any) error {
	f, err := os.OpenFile(w.file(log), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, format+"\n", args...)
	return errors.Join(err, f.Close())
}

// endpoints are the servers; each has a port of its own that nobody listens on.
var endpoints = []string{"primary", "standby", "reserve"}

const firstPort = 3306

// Open implements [probe.Prober].
func (w world) Open(_ context.Context, t probe.Target) (probe.Held, probe.Result) {
	now := time.Now()
	r := probe.Result{Class: probe.Refused, Phase: probe.PhaseConnect, Began: now, Ended: now, Facts: probe.Facts{}}
	b, err := os.ReadFile(w.file("servers", endpoints[int(t.Addr.Port())-firstPort]))
	words := strings.Fields(string(b))
	if err != nil || len(words) == 0 || words[0] != "ok" {
		return nil, r
	}
	r.Class, r.Phase = probe.OK, probe.PhaseRole
	for _, fact := range words[1:] {
		r.Facts[fact] = true
	}
	if _, ok := r.Facts["writable"]; !ok {
		r.Facts["writable"] = false
	}
	return said{r}, r
}

// said is a conversation that is over once its result is known.
type said struct{ probe.Result }

func (s said) Ping(context.Context) probe.Result { return s.Result }
func (s said) Wait(context.Context) probe.Result { return s.Result }
func (s said) Close(context.Context)             {}

// shape is how a story wants its resource.
type shape struct {
	Steps    bool
	Password string
	Some     int // endpoints that are configured
	Sustain  time.Duration
	Boot     bool
}

func (w world) resource(s shape) *policy.Resource {
	facts := []probe.Fact{{Name: "writable", Type: "bool"}}
	r := &policy.Resource{Name: resourceName, Veto: true, Bootstrap: s.Boot, FailbackAfter: 10 * time.Minute,
		Protocol: probe.Protocol{Name: "mysql", Schemes: []probe.Scheme{{Name: "mysql", Port: "3306"}}, Prober: w, Facts: facts,
			Traits: probe.Traits{StoreOfData: true, Taints: true}},
		Pace:  probe.Pace{Interval: 100 * time.Millisecond, FreshInterval: time.Second, SuspectInterval: 20 * time.Millisecond},
		Judge: policy.Thresholds{Bad: 3, Of: 3, Rise: 2, Sustain: s.Sustain}}
	url := policy.Handle{Key: handleURL}
	dsn := policy.Handle{Key: handleDSN}
	for i, name := range endpoints[:s.Some] {
		u, err := probe.ParseURL(fmt.Sprintf("mysql://app:%s@127.0.0.1:%d/orders", s.Password, firstPort+i))
		if err != nil {
			panic(err) // it is written above
		}
		r.Endpoints = append(r.Endpoints, policy.Endpoint{Name: name, Target: probe.Target{URL: u, Timeout: 500 * time.Millisecond}})
		url.Values = append(url.Values, probe.Secret(u.Reveal()))
		dsn.Values = append(dsn.Values, probe.Secret(fmt.Sprintf("app:%s@tcp(127.0.0.1:%d)/orders", s.Password, firstPort+i)))
	}
	r.Handles = []policy.Handle{url, dsn}
	if s.Steps {
		writable, err := policy.ParseRequirement("writable", facts)
		if err != nil {
			panic(err)
		}
		r.Require = []policy.Requirement{writable}
		step := policy.Step{Command: []string{os.Args[0], stepArg, string(w)}, Timeout: 3 * time.Second}
		r.Steps = policy.Steps{Fence: step, Promote: step, Abort: step, After: step}
	}
	return r
}

// value is what a handle says for an endpoint.
func (w world) value(s shape, key, endpoint string) string {
	r := w.resource(s)
	for _, h := range r.Handles {
		if h.Key == key {
			return h.Values[r.Endpoint(endpoint)].Reveal()
		}
	}
	return ""
}

// stepArg makes this binary a step: what the commands around a switch are here.
const stepArg = "-crash-step"

// step does what the daemon asks of a step, in the world, and says so in its log
// before and after. The daemon that started it hears of both, if it lives.
func step(w world) error {
	name, op, to := os.Getenv("REATTACH_STEP"), os.Getenv("REATTACH_OP"), os.Getenv("REATTACH_TO")
	line := fmt.Sprintf("%s %s %s %s %s %d", name, op, os.Getenv("REATTACH_EPOCH"), os.Getenv("REATTACH_ATTEMPT"), to, os.Getpid())
	if err := w.note("steps", "begin %s", line); err != nil {
		return err
	}
	w.hear("step " + name + ", it runs")
	var err error
	switch name {
	case policy.Fence:
		from := os.Getenv("REATTACH_FROM")
		if b, _ := os.ReadFile(w.file("servers", from)); string(b) != "dead" || w.is("fence-revives") {
			err = w.serve(from, "ok") // it lives, and takes no writes
		}
	case policy.Promote:
		if w.is("promote-fails") {
			return fmt.Errorf("%s does not want to", to)
		}
		if !w.is("promote-does-nothing") {
			err = w.serve(to, "ok writable")
		}
	case policy.Abort:
		err = w.serve(to, "ok")
	}
	err = errors.Join(err, w.note("steps", "end %s", line))
	w.hear("step " + name + ", it has done its work")
	return err
}

// hear has the daemon that runs this step pass a place.
func (w world) hear(what string) {
	conn, err := net.Dial("unix", w.file("steps.sock"))
	if err != nil {
		return // it is dead, and so are we in a moment
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintln(conn, what)
	_, _ = bufio.NewReader(conn).ReadString('\n')
}

// listen passes the places that steps tell of, until the process ends.
func (w world) listen(p *points) error {
	_ = os.Remove(w.file("steps.sock"))
	ln, err := net.Listen("unix", w.file("steps.sock"))
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				if what, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
					p.pass(strings.TrimSpace(what))
					_, _ = fmt.Fprintln(conn)
				}
				_ = conn.Close()
			}()
		}
	}()
	return nil
}
