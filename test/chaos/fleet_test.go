package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/httpapi"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// thresholds are those of all tests here. A ballot lasts 4 s, twice the timeout.
const thresholds = `
    interval         = "200ms"
    fresh_interval   = "500ms"
    timeout          = "2s"
    suspect_interval = "100ms"
    sustain          = "1s"`

// What follows from them.
const (
	sustain    = time.Second
	interval   = 200 * time.Millisecond
	ballotTime = 4 * time.Second
)

// observer is a machine that watches, beside a Consul server of its own.
type observer struct {
	name, zone string
	machine    *lab.Server
	consul     *lab.Consul
}

// resource is one that all of them watch.
type resource struct {
	name, handle     string
	primary, standby *lab.Server
	noVeto           bool
}

// fleet is three observers at work for one test.
type fleet struct {
	t         *testing.T
	observers []*observer
	resource  resource // the first
	all       []resource
	watch     *watcher
}

var resources atomic.Int32

// newResource is a resource of the pair that no test has had, with its handle
// written as a person does before there is any reattach.
func newResource(t *testing.T) resource {
	t.Helper()
	n := resources.Add(1)
	pair := databases()
	r := resource{name: fmt.Sprintf("db-%d", n), handle: fmt.Sprintf("chaos/db-%d/URL", n), primary: pair.Active, standby: pair.Standby}
	put(t, r.handle, r.url("primary"))
	return r
}

// swapped is the same the other way round: its primary is the other server.
func (r resource) swapped(t *testing.T) resource {
	t.Helper()
	r.primary, r.standby = r.standby, r.primary
	put(t, r.handle, r.url("primary"))
	return r
}

// url is what the handle holds while an endpoint is attached.
func (r resource) url(endpoint string) string {
	if endpoint == "primary" {
		return r.primary.URL("app")
	}
	return r.standby.URL("app")
}

func (r resource) hcl() string {
	return fmt.Sprintf(`
resource %q {
  handle = %q
  endpoint "primary" { url = %q }
  endpoint "standby" { url = %q }
  policy {%s

    quorum { veto = %t }
  }
}
`, r.name, r.handle, r.url("primary"), r.url("standby"), thresholds, !r.noVeto)
}

// newFleet starts three observers afresh on these resources, and returns when each
// finds all of them protected. They end with the test.
func newFleet(t *testing.T, all ...resource) *fleet {
	t.Helper()
	f := &fleet{t: t, observers: observers(), resource: all[0], all: all}
	f.watch = newWatcher(t, all...)
	t.Cleanup(f.end)
	f.each(func(o *observer) {
		o.kill()
		o.configure(all)
		o.start()
	})
	f.protected()
	return f
}

// end mends everything, waits until no ballot is open, and ends the observers.
func (f *fleet) end() {
	f.t.Helper()
	f.mend()
	if f.t.Failed() {
		f.describe()
	}
	daemon.Eventually(f.t, 4*ballotTime, "no ballot is open", func() bool {
		for _, r := range f.all {
			if l := f.watch.last(r); l.ballot.index != 0 || len(l.votes) > 0 {
				return false
			}
		}
		return true
	}, f.watch.story)
	f.each((*observer).kill)
}

// mend ends every fault that a test can have made.
func (f *fleet) mend() {
	for _, server := range consuls().Servers {
		server.Revive()
	}
	consuls().WaitReady()
	var all []func()
	for _, o := range f.observers {
		all = append(all, func() { o.resume(); o.mend() })
	}
	for _, db := range []*lab.Server{databases().Active, databases().Standby} {
		all = append(all, func() { db.Thaw(); db.StartProcess() })
	}
	together(all...)
}

// each does something to all observers at the same time.
func (f *fleet) each(do func(*observer)) {
	var all []func()
	for _, o := range f.observers {
		all = append(all, func() { do(o) })
	}
	together(all...)
}

// others are the observers but one.
func (f *fleet) others(but *observer) (list []*observer) {
	for _, o := range f.observers {
		if o != but {
			list = append(list, o)
		}
	}
	return list
}

// named is the observer of that name.
func (f *fleet) named(name string) *observer {
	f.t.Helper()
	for _, o := range f.observers {
		if o.name == name {
			return o
		}
	}
	f.t.Fatalf("there is no observer %q", name)
	return nil
}

// protected waits until every observer finds every resource at rest and protected.
func (f *fleet) protected() {
	f.t.Helper()
	for _, o := range f.observers {
		asked := time.Now()
		for _, r := range f.all {
			daemon.Eventually(f.t, 60*time.Second, o.name+" finds "+r.name+" steady and protected", func() bool {
				s, err := o.status(r.name)
				if err != nil && time.Since(asked) > 5*time.Second {
					o.start() // what was killed may have counted as alive until now
					asked = time.Now()
				}
				return err == nil && s.Activity == "steady" && s.Protected
			}, func() string { return o.explain(r.name) })
		}
	}
}

// describe logs what each observer says and did, for a test that failed.
func (f *fleet) describe() {
	for _, o := range f.observers {
		for _, r := range f.all {
			f.t.Logf("%s:\n%s", o.name, o.explain(r.name))
		}
		lines := strings.Split(strings.TrimSpace(o.machine.Logs()), "\n")
		f.t.Logf("%s:\n%s", o.name, strings.Join(lines[max(0, len(lines)-60):], "\n"))
	}
	f.t.Log(f.watch.story())
}

// configure writes the observer's configuration, the same for all but the name,
// the zone and the Consul server.
func (o *observer) configure(all []resource) {
	text := fmt.Sprintf(`observer {
  name      = %q
  zone      = %q
  state_dir = "/var/lib/reattach"
  peers = {
    "mon-a" = "http://mon-a:9778"
    "mon-b" = "http://mon-b:9778"
    "mon-c" = "http://mon-c:9778"
  }
}
store "consul" {
  address = %q
  token   = %q
}
listen {
  http   = "0.0.0.0:9778"
  socket = "/run/reattach/control.sock"
}
`, o.name, o.zone, o.consul.URL(), token())
	for _, r := range all {
		text += r.hcl()
	}
	o.machine.MustExec("sh", "-c", `mkdir -p /run/reattach /var/lib/reattach && umask 077 && printf '%s' "$1" > /etc/reattach.hcl`, "sh", text)
}

// start starts the daemon and does not wait for it.
func (o *observer) start() { o.machine.MustExec("lab-ctl", "start") }

// kill ends it by SIGKILL.
func (o *observer) kill() { o.machine.KillProcess() }

// stop stops it by SIGSTOP, and resume ends that.
func (o *observer) stop()   { o.machine.Freeze() }
func (o *observer) resume() { o.machine.Thaw() }

// cut has its packets to and from those servers vanish, and mend ends that.
func (o *observer) cut(servers ...*lab.Server) { o.machine.Part(servers...) }
func (o *observer) mend()                      { o.machine.Heal() }

// command runs a reattach command on its machine, as a person does.
func (o *observer) command(args ...string) (string, error) {
	return o.machine.Exec(append([]string{"reattach"}, args...)...)
}

// explain is what a person reads there of a resource.
func (o *observer) explain(resource string) string {
	out, err := o.command("explain", resource)
	if err != nil {
		return fmt.Sprintf("explain: %v: %s", err, out)
	}
	return out
}

// client asks the observers' open doors.
var client = http.Client{Timeout: 2 * time.Second}

// ask reads a page of its open door.
func (o *observer) ask(path string) (json.RawMessage, error) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+o.machine.Addr(9778)+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return body, err
}

// overview is everything as the observer sees it.
func (o *observer) overview() (failover.Status, error) {
	raw, err := o.ask("/v1/status")
	if err != nil {
		return failover.Status{}, err
	}
	return httpapi.ParseStatus(raw)
}

// status is one resource as the observer sees it.
func (o *observer) status(resource string) (failover.ResourceStatus, error) {
	s, err := o.overview()
	if err != nil {
		return failover.ResourceStatus{}, err
	}
	for _, r := range s.Resources {
		if r.Name == resource {
			return r, nil
		}
	}
	return failover.ResourceStatus{}, fmt.Errorf("%s does not know %s", o.name, resource)
}

// heldBy waits until a gate keeps a switch back at this observer.
func (f *fleet) heldBy(o *observer, gate string) {
	f.t.Helper()
	daemon.Eventually(f.t, 20*time.Second, o.name+" holds it by the gate "+gate, func() bool {
		s, err := o.status(f.resource.name)
		return err == nil && s.Hold != nil && s.Hold.Gate == gate
	})
}

// saysOf waits until explain on an observer says what another one voted last.
func (f *fleet) saysOf(o, other *observer, saw string) {
	f.t.Helper()
	var out string
	line := regexp.MustCompile(regexp.QuoteMeta(other.name+" in "+other.zone) + ` .* ago ` + regexp.QuoteMeta(saw))
	daemon.Eventually(f.t, 10*time.Second, fmt.Sprintf("explain on %s says that %s voted %s", o.name, other.name, saw), func() bool {
		out = o.explain(f.resource.name)
		return line.MatchString(strings.Join(strings.Fields(out), " "))
	}, func() string { return out })
}

// says waits until explain on an observer holds a text. White space counts for one
// blank each time, as people read it.
func (f *fleet) says(o *observer, text string) {
	f.t.Helper()
	var out string
	daemon.Eventually(f.t, 10*time.Second, fmt.Sprintf("explain on %s says %q", o.name, text), func() bool {
		out = o.explain(f.resource.name)
		return strings.Contains(strings.Join(strings.Fields(out), " "), text)
	}, func() string { return out })
}
