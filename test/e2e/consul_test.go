package e2e

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// TestFailoverOnConsul is the main job: the attached database is lost, and an
// application that knows nothing but its rendered file writes to the standby.
func TestFailoverOnConsul(t *testing.T) {
	need(t)
	db := databases()
	faults := []struct {
		name         string
		strike, heal func()
		class        string
	}{
		{"process killed", func() { db.Active.KillProcess() }, db.Active.StartProcess, "refused"},
		{"hang", func() { db.Active.Pause() }, db.Active.Unpause, "timeout"},
		{"vanished", func() { db.Active.KillContainer() }, db.Active.StartContainer, "timeout unreachable"},
	}
	for i, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			main := newJob(t, fmt.Sprintf("main-%d", i))
			main.d.Start()
			main.d.Protected(main.r.Name)
			main.template.WaitFor("db="+db.Active.URL("app")+";", 10*time.Second)
			url, jdbc := changes(t, main.r.Handle), changes(t, main.jdbc)

			t.Cleanup(fault.heal)
			fault.strike()
			main.d.AttachedTo(main.r.Name, "b", 15*time.Second)

			rendered := main.template.WaitFor("db="+db.Standby.URL("app")+";", 5*time.Second)
			wrote := main.application(db.Standby)
			t.Logf("rendered at %v, written at %v", rendered.Format(time.StampMilli), wrote.Format(time.StampMilli))
			main.switchedOnce(fault.class)
			daemon.Eventually(t, 2*time.Second, "each handle changed once", func() bool { return url() == 1 && jdbc() == 1 },
				func() string { return fmt.Sprintf("changes: %d and %d", url(), jdbc()) })
			daemon.Throughout(t, time.Second, "each handle changed once", func() bool { return url() == 1 && jdbc() == 1 })
		})
	}
}

// job is a database with a daemon and an application on Consul.
type job struct {
	t        *testing.T
	r        daemon.Resource
	jdbc     string // its second handle
	d        *daemon.Daemon
	template *lab.Template
}

// newJob writes the handles as a person did before there was any reattach, and
// prepares a daemon with the least policy and a consul-template that may read.
func newJob(t *testing.T, name string) *job {
	t.Helper()
	name = unique(name)
	db := databases()
	j := &job{t: t, jdbc: name + "/JDBC_URL", r: daemon.Resource{
		Name: name, Handle: name + "/DATABASE_URL", A: db.Active.URL("app"), B: db.Standby.URL("app"), Policy: daemon.Fast,
	}}
	j.r.Handles = fmt.Sprintf("    %q = \"jdbc:mysql://${endpoint.host}:${endpoint.port}${endpoint.path}\"", j.jdbc)
	put(t, j.r.Handle, j.r.A+"\n") // as `consul kv put KEY @file` leaves it
	put(t, j.jdbc, "jdbc:mysql://"+db.Active.Addr()+"/orders")
	j.d = daemon.New(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, j.r.Handle, j.jdbc)), j.r))
	reader := consul().CreateToken(fmt.Sprintf("key_prefix %q { policy = \"read\" }", name+"/"))
	j.template = lab.NewTemplate(t, lab.TemplateOptions{
		Address: consul().Addr(), Token: reader, Template: fmt.Sprintf("db={{ key %q | trimSpace }};", j.r.Handle),
	})
	return j
}

// application does what a twelve-factor application does: it takes the URL from
// its file and writes a row. The row must be on that server.
func (j *job) application(want *lab.Server) time.Time {
	j.t.Helper()
	config := mysql.NewConfig()
	user, rest, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(j.template.Rendered(), "db=mysql://"), ";"), ":")
	password, rest, _ := strings.Cut(rest, "@")
	config.User, config.Passwd = user, password
	config.Net = "tcp"
	config.Addr, config.DBName, _ = strings.Cut(rest, "/")
	connector, err := mysql.NewConnector(config)
	if err != nil {
		j.t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }()
	note := j.r.Name + " by the application"
	if _, err := db.Exec("INSERT INTO orders (note) VALUES (?)", note); err != nil {
		j.t.Fatalf("the application cannot write: %v", err)
	}
	at := time.Now()
	var n int
	if err := want.DB(j.t, "root").QueryRow("SELECT COUNT(*) FROM orders WHERE note = ?", note).Scan(&n); err != nil || n != 1 {
		j.t.Errorf("%d such rows on %s: %v", n, want.Name(), err)
	}
	return at
}

// switchedOnce holds what Consul has of the one switch against the design.
func (j *job) switchedOnce(classes string) {
	j.t.Helper()
	var failovers []failover.Record
	for _, r := range records(j.t, j.r.Name) {
		if r.Kind == policy.Failover {
			failovers = append(failovers, r)
		}
	}
	if len(failovers) != 1 {
		j.t.Fatalf("%d failovers in history: %+v", len(failovers), failovers)
	}
	r := failovers[0]
	if r.From != "a" || r.To != "b" || r.Epoch != 2 || !r.Automatic || r.Person != "" {
		j.t.Errorf("the record: %+v", r)
	}
	saw := r.Votes[0].Saw[0]
	if saw.Endpoint != "a" || !strings.Contains(classes, saw.Class.String()) {
		j.t.Errorf("the vote says %s of %s, want one of %s", saw.Class, saw.Endpoint, classes)
	}
	db := databases()
	for key, want := range map[string]string{j.r.Handle: j.r.B, j.jdbc: "jdbc:mysql://" + db.Standby.Addr() + "/orders"} {
		switch e := entry(j.t, key); {
		case e == nil || string(e.Value) != want:
			j.t.Errorf("%s does not name the standby", key)
		case e.Flags != 42:
			j.t.Errorf("%s: the flags became %d", key, e.Flags)
		}
	}
	noBallot(j.t, j.r.Name)
	for _, secret := range []string{lab.Password("app")} {
		if strings.Contains(j.d.Logs(), secret) || strings.Contains(j.d.Explain(j.r.Name), secret) {
			j.t.Error("a secret in log or explanation")
		}
	}
}

// TestRestartBySupervisor: at the default sustain, a database that is back after
// the five seconds of Debian's unit is no reason for a lossy failover.
func TestRestartBySupervisor(t *testing.T) {
	need(t)
	j := newJob(t, "supervised")
	j.r.Policy = "" // the defaults
	j.d.Configure(daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, j.r.Handle, j.jdbc)), j.r))
	j.d.Start()
	j.d.Protected(j.r.Name)
	url := changes(t, j.r.Handle)
	killed := databases().Active.RestartAfter(5 * time.Second)
	daemon.Eventually(t, 3*time.Second, "a is suspect", func() bool { return j.d.Status(j.r.Name).Endpoints[0].State == policy.Suspect })
	var back time.Duration
	daemon.Eventually(t, 20*time.Second, "a is up again", func() bool {
		s := j.d.Status(j.r.Name)
		if s.Endpoints[0].State == policy.Down {
			t.Fatalf("it was called down %v after the kill", time.Since(killed))
		}
		back = time.Since(killed)
		return s.Endpoints[0].State == policy.Up
	})
	if back < 5*time.Second {
		t.Errorf("it was up again after %v: nobody restarted it", back)
	}
	daemon.Throughout(t, time.Second, "nothing was switched", func() bool { return url() == 0 && j.d.Status(j.r.Name).Attached == "a" })
	t.Logf("up again %v after the kill", back.Round(time.Millisecond))
}
