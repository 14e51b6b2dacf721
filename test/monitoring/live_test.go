package monitoring

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reattach/reattach/failover/metrics"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

func TestMain(m *testing.M) {
	code := m.Run()
	daemon.Clean()
	os.Exit(code)
}

// silent are metrics that a story on the embedded store, in which neither the
// store nor the engine fails, cannot show; each alert on them has its story for
// promtool.
var silent = map[string]string{
	`reattach_notices_active{event="another_writer"}`:                  "nobody else can write the embedded store",
	`reattach_notices_active{event="step_failed",severity="critical"}`: "no promotion is configured",
	`reattach_quorum_spare`:                                            "there is one observer only",
	`reattach_peer_up`:                                                 "there is one observer only",
	`reattach_notices_active{event="split_writes"}`:                    "nobody writes to what was left",
	`reattach_notices_active{event="denied"}`:                          "the embedded store denies nothing",
	`reattach_notices_active{event="rewound"}`:                         "nobody restores a snapshot",
	`reattach_notices_active{event="not_protected"}`:                   "it is told after a minute, and nothing lasts that long here",
	`reattach_hold{kind!="failover", gate!="observe"}`:                 "no switch but a failover is wanted for long",
}

// shouldFire are the alerts that the story below raises, and no others.
var shouldFire = []string{
	"ReattachCertificateExpiresSoon", "ReattachConfigNotReloaded", "ReattachDown", "ReattachFailover", "ReattachFailoverHeld", "ReattachLeftWork",
	"ReattachNotProtected", "ReattachNotifierFailing", "ReattachOldPrimaryWritable", "ReattachPausedForADay", "ReattachSwitchHeld", "ReattachWouldFailOver",
}

// story is a daemon, the servers that it watches, and Prometheus.
type story struct {
	*watch
	d                     *daemon.Daemon
	orders, mail, cache   *lab.Pair
	door, config          string
	queries, alertQueries []query
	seen                  map[query]bool
}

// TestPrometheusThroughFailovers: a real Prometheus scrapes a real daemon while
// real servers die. Every query of rules, dashboard and reference has data at
// some moment, and exactly those alerts fire that should.
func TestPrometheusThroughFailovers(t *testing.T) {
	lab.NeedImage(t, "monitoring")
	s := newStory(t)
	s.calm()
	s.reloads()
	s.dies()
	s.comesBack()
	s.queue()
	s.observes()
	s.pauses()
	s.freezes()
	s.summary()
}

func newStory(t *testing.T) *story {
	l := lab.New(t)
	s := &story{seen: map[query]bool{}}
	soon := lab.CertUntil(time.Now().Add(5 * 24 * time.Hour))
	pair := func(start func() *lab.Server) *lab.Pair { return &lab.Pair{Active: start(), Standby: start()} }
	s.cache = pair(func() *lab.Server { return l.Memcached() })
	s.mail = pair(func() *lab.Server { return l.Postfix(soon) })
	s.orders = pair(func() *lab.Server { return l.MariaDB() })
	door, err := net.Listen("tcp", l.Gateway()+":0") // the container network's way to this machine
	if err != nil {
		t.Skipf("a container cannot reach this machine: %v", err)
	}
	_ = door.Close()
	s.door = door.Addr().String()
	s.watch = newWatch(t, l, s.door)
	s.config = fmt.Sprintf(`
observer {
  name      = "mon-a"
  zone      = "az-1"
  state_dir = "DIR/state"
}
store "embedded" { path = "DIR/store.db" }
listen {
  http   = %q
  socket = "DIR/sock"
  token  = "of-the-readers"
}
defaults { notify = ["alerts", "broken"] }
notifier "alertmanager" "alerts" { urls = ["http://%s"] }
notifier "exec" "broken" { command = ["/bin/false"] }
`, s.door, s.server.Addr(9093))
	for _, r := range []daemon.Resource{
		{Name: "orders", A: s.orders.Active.URL("app"), B: s.orders.Standby.URL("app"), More: `  after { command = ["/bin/true"] }`},
		{Name: "mail", A: s.mail.Active.URL(""), B: s.mail.Standby.URL("")},
		{Name: "cache", A: s.cache.Active.URL(""), B: s.cache.Standby.URL("")},
	} {
		r.Handle, r.Policy = r.Name+"/URL", daemon.Fast
		s.config += r.HCL()
	}
	s.d = daemon.New(t, s.config)
	s.d.Start()
	for _, r := range append(recordings(t), alerts(t)...) {
		if r.Record != "" {
			s.queries = append(s.queries, query{r.Record, r.Expr})
		} else {
			s.alertQueries = append(s.alertQueries, query{r.Alert, r.Expr})
		}
	}
	for _, m := range metrics.Reference() {
		if m.Example != "" && !slices.Contains(ofSeveral, m.Name) {
			s.queries = append(s.queries, query{"example of " + m.Name, m.Example})
		}
	}
	s.queries = append(s.queries, dashboardQueries(t)...)
	return s
}

func (s *story) command(args ...string) {
	s.t.Helper()
	if out, err := s.d.Command(args...); err != nil {
		s.t.Fatalf("reattach %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// look evaluates the queries that have had no data yet.
func (s *story) look() {
	s.t.Helper()
	variables := strings.NewReplacer("$observer", ".*", "$resource", ".*", "$__rate_interval", "1m", "$__range", "10m")
	for _, q := range s.queries {
		if !s.seen[q] {
			s.seen[q] = len(s.query(variables.Replace(q.expr))) > 0
		}
	}
}

// calm: all is well, but for the certificates.
func (s *story) calm() {
	s.t.Helper()
	daemon.Eventually(s.t, 20*time.Second, "Prometheus sees handles that were never there", func() bool { return len(s.query(`reattach_handles_condition{condition="empty"}`)) > 0 })
	s.look()
	s.command("restore", "orders", "--to", "a", "--reason", "the first day") // a store of data is not bootstrapped
	for _, r := range []string{"orders", "mail", "cache"} {
		s.d.Protected(r)
	}
	s.fires("ReattachCertificateExpiresSoon", "mail")
	daemon.Eventually(s.t, 20*time.Second, "Prometheus sees all three protected", func() bool { return len(s.query("reattach_protected == 1")) == 3 })
	s.ends("ReattachNotProtected", "") // of the time before
	s.command("drain", "cache", "b", "--for", "1h", "--reason", "a new kernel")
	s.fires("ReattachNotProtected", "cache")
	s.look()
	s.command("undrain", "cache", "b", "--reason", "done")
	s.ends("ReattachNotProtected", "cache")
}

// reloads: a mistake in the configuration, and its end.
func (s *story) reloads() {
	s.t.Helper()
	s.d.Configure(strings.Replace(s.config, "sustain", "sustian", 1))
	s.d.Signal(syscall.SIGHUP)
	s.fires("ReattachConfigNotReloaded", "")
	s.d.Configure(s.config)
	s.d.Signal(syscall.SIGHUP)
	s.ends("ReattachConfigNotReloaded", "")
}

// dies: the database's process dies, and its standby is attached.
func (s *story) dies() {
	s.t.Helper()
	s.orders.Active.KillProcess()
	s.d.AttachedTo("orders", "b", 20*time.Second)
	s.fires("ReattachFailover", "orders")
	s.fires("ReattachNotProtected", "orders")
	s.fires("ReattachNotifierFailing", "")
	s.look()
	daemon.Eventually(s.t, 30*time.Second, "Alertmanager has it from both", func() bool {
		all := s.arrived()
		return all["ReattachFailover orders"] == "active" && all["ReattachNotProtected orders"] == "suppressed" && len(all) > 3
	}, func() string { return fmt.Sprint(s.arrived()) })
}

// comesBack: the old primary takes writes, until somebody vouches for it.
func (s *story) comesBack() {
	s.t.Helper()
	s.orders.Active.StartProcess()
	s.fires("ReattachOldPrimaryWritable", "orders")
	s.look()
	s.command("clear", "orders", "a", "--reason", "nobody wrote there")
	s.ends("ReattachOldPrimaryWritable", "orders")
	s.ends("ReattachNotProtected", "orders")
}

// queue: a relay is left with its queue; then the other dies, too.
func (s *story) queue() {
	s.t.Helper()
	s.mail.Active.KillProcess()
	s.fires("ReattachLeftWork", "mail")
	s.mail.Standby.KillProcess()
	s.fires("ReattachFailoverHeld", "mail")
	s.look()
	s.mail.Active.StartProcess()
	s.mail.Standby.StartProcess()
	s.ends("ReattachFailoverHeld", "mail")
}

// observes: a resource that is only observed would be switched.
func (s *story) observes() {
	s.t.Helper()
	before, cache, ok := strings.Cut(s.config, `resource "cache"`)
	if !ok {
		s.t.Fatal("there is no resource cache")
	}
	s.config = before + `resource "cache"` + strings.Replace(cache, "policy {", "policy {\n    mode = \"observe\"", 1)
	s.d.Configure(s.config)
	s.d.Signal(syscall.SIGHUP)
	daemon.Eventually(s.t, 10*time.Second, "it is only observed", func() bool { return s.d.Status("cache").Mode == "observe" }, s.d.Logs)
	s.cache.Active.KillProcess()
	s.fires("ReattachWouldFailOver", "cache")
	s.look()
	s.cache.Active.StartProcess()
	s.ends("ReattachWouldFailOver", "cache")
}

// pauses: somebody has paused a resource whose attached endpoint dies then.
func (s *story) pauses() {
	s.t.Helper()
	s.command("pause", "orders", "--reason", "kernel update")
	s.fires("ReattachPausedForADay", "orders")
	s.orders.Standby.KillProcess() // it is the attached one now
	s.fires("ReattachSwitchHeld", "orders")
	s.orders.Standby.StartProcess()
	s.ends("ReattachSwitchHeld", "orders")
	s.command("resume", "orders", "--reason", "done")
	s.look()
}

// freezes: the daemon stands still.
func (s *story) freezes() {
	s.t.Helper()
	s.d.Signal(syscall.SIGSTOP)
	s.fires("ReattachDown", "")
	s.d.Signal(syscall.SIGCONT)
	s.ends("ReattachDown", "")
	daemon.Eventually(s.t, 20*time.Second, "it says that it stood still", func() bool { return len(s.query("reattach_standstills_total > 0")) > 0 })
	s.look()
}

// summary holds the whole story to what it should have been.
func (s *story) summary() {
	s.t.Helper()
	for _, q := range s.queries {
		if !s.seen[q] {
			s.t.Errorf("%s never had data: %s", q.where, q.expr)
		}
	}
	for _, q := range s.alertQueries {
		for _, sel := range selectors(q.expr) {
			text := sel.metric
			if sel.matchers != "" {
				text += "{" + sel.matchers + "}"
			}
			had := len(s.query("count_over_time("+text+"[30m])")) > 0
			switch reason := silent[text]; {
			case !had && reason == "":
				s.t.Errorf("%s asks for %s, which never had data", q.where, text)
			case !had:
				s.t.Logf("%s: no data for %s: %s", q.where, text, reason)
			}
		}
	}
	s.reference()
	var fired []string
	for _, sample := range s.query(`count by (alertname) (count_over_time(ALERTS{alertstate="firing"}[30m]))`) {
		fired = append(fired, sample.Metric["alertname"])
	}
	slices.Sort(fired)
	if !slices.Equal(fired, shouldFire) {
		s.t.Errorf("these alerts fired: %v\nthese should have: %v", fired, shouldFire)
	}
	for _, e := range s.ruleErrors() {
		s.t.Error(e)
	}
	if out, err := s.server.Exec("bash", "-o", "pipefail", "-c", "curl -sf http://"+s.door+"/metrics | promtool check metrics"); err != nil || out != "" {
		s.t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	s.t.Logf("%d queries had data; %d alerts fired, %d stayed quiet", len(s.queries), len(fired), len(s.alertQueries)-len(fired))
}

// ofSeveral are shown where several observers watch only: the script of three daemons
// in cmd/reattach sees them.
var ofSeveral = []string{"reattach_peer_up", "reattach_quorum_spare"}

// reference: what the real daemon showed is what the reference lists, all of it.
func (s *story) reference() {
	s.t.Helper()
	for _, m := range metrics.Reference() {
		name := m.Name
		if m.Type == "histogram" {
			name += "_count"
		}
		seen := len(s.query("count_over_time("+name+"[30m])")) > 0
		if alone := !slices.Contains(ofSeveral, m.Name); seen != alone {
			s.t.Errorf("the daemon, who is the only one, showed %s: %v", m.Name, seen)
		}
	}
	for _, sample := range s.query(`group by (__name__) ({__name__=~"reattach_.+"})`) {
		if _, ok := known(sample.Metric["__name__"]); !ok {
			s.t.Errorf("the reference does not list %s", sample.Metric["__name__"])
		}
	}
}
