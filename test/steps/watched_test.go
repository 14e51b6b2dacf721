package steps

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

func TestMain(m *testing.M) {
	code := m.Run()
	daemon.Clean()
	os.Exit(code)
}

const (
	resource = "orders-db"
	handle   = "production/DATABASE_URL"
	patience = time.Minute // for whatever takes a few seconds
)

// probed is what a resource with steps has besides them.
const probed = `
  bootstrap = true
  require   = ["writable"]
  probe {
    username = "probe"
    password = "probe-secret"
  }`

// promoting is the shipped promote step with its abort; REQUIRED is what is
// required before.
const promoting = `
  promote {
    require = [REQUIRED]
    command = ["STEPS/promote-mysql", "--defaults-file", "DIR/steps.cnf"]
    timeout = "120s"
  }
  abort { command = ["STEPS/abort-mysql", "--defaults-file", "DIR/steps.cnf"] }`

// watched is a rig that the real daemon watches and switches by the shipped steps,
// run as on a site: here, by the client that is installed here. Endpoint a is the
// primary, b its replica.
type watched struct {
	rig
	d *daemon.Daemon
	// app writes for the whole test to where the handle leads.
	app *client
}

// watch starts the daemon, with these blocks in the resource, and then the client.
func watch(r rig, l *lab.Lab, blocks string) *watched {
	r.Helper()
	r.active.SQL("GRANT SHOW VIEW ON orders.* TO probe@'%'")
	steps, err := filepath.Abs("../../deployments/steps")
	if err != nil {
		r.Fatal(err)
	}
	config, door := daemon.Embedded(r, daemon.Resource{Name: resource, Handle: handle, A: r.active.URL("app"), B: r.standby.URL("app"),
		Policy: daemon.Fast, More: probed + strings.ReplaceAll(blocks, "STEPS", steps)})
	x := &watched{rig: r, d: daemon.New(r, config)}
	options := strings.ReplaceAll(account, "/lab/tls/ca.pem", l.CAFile())
	if err := os.WriteFile(filepath.Join(x.d.Dir, "steps.cnf"), []byte(options), 0o600); err != nil {
		r.Fatal(err)
	}
	x.d.Start()
	x.d.Protected(resource)
	x.app = newClient(r.T, l, r.words, door, handle)
	return x
}

// until waits for a condition, and says what the daemon saw where it never holds.
func (x *watched) until(what string, good func() bool) {
	x.Helper()
	daemon.Eventually(x, patience, what, good, x.explain, x.d.Logs)
}

func (x *watched) explain() string { return x.d.Explain(resource) }

// writes waits until a server has acknowledged n more rows of the client's.
func (x *watched) writes(s *lab.Server, n int) {
	x.Helper()
	n += len(x.app.at(s))
	x.until("the client writes to "+s.Name(), func() bool { return len(x.app.at(s)) >= n })
}

// waiting waits until n rows of the client's are acknowledged and not applied.
func (x *watched) waiting(n int) {
	x.Helper()
	x.until("rows wait to be applied", func() bool { return len(x.app.at(x.active))-x.rows(x.standby) >= n })
}

// endpoint is one of the two, as the daemon sees it.
func (x *watched) endpoint(name string) failover.EndpointStatus {
	x.Helper()
	for _, e := range x.d.Status(resource).Endpoints {
		if e.Name == name {
			return e
		}
	}
	x.Fatalf("no endpoint %s", name)
	return failover.EndpointStatus{}
}

// held waits until a gate keeps the failover back.
func (x *watched) held(gate string) {
	x.Helper()
	x.until("held by the gate "+gate, func() bool {
		h := x.d.Status(resource).Hold
		return h != nil && h.Kind == policy.Failover && h.Gate == gate
	})
}

// promotes waits until the promotion is under way.
func (x *watched) promotes() {
	x.Helper()
	x.until("promote runs", func() bool {
		return strings.HasSuffix(x.d.Status(resource).Operation, "step promote runs")
	})
}

// stays holds that for a while a stays attached, and that b is read-only and no
// step is run: nobody promotes it.
func (x *watched) stays() {
	x.Helper()
	gate := x.d.Status(resource).Hold.Gate
	daemon.Throughout(x, 3*time.Second, "a is attached, b is read-only, and no step is run", func() bool {
		s := x.d.Status(resource)
		return s.Attached == "a" && s.Operation == "" && x.endpoint("b").Facts["writable"] == false
	}, x.explain, x.d.Logs)
	x.held(gate)
	x.writable(x.standby, false)
}

// kept holds that the standby, once promoted, has each acknowledged row that it
// had received, and each that it acknowledged itself.
func (x *watched) kept() {
	x.Helper()
	status, err := x.standby.ReplicaStatus()
	if err != nil {
		x.Fatal(err)
	}
	received := lastNumber(status[x.words.received])
	has := x.ids(x.standby)
	reached, lost := 0, 0
	for _, row := range x.app.at(x.active) {
		switch {
		case row.number > received:
			lost++
		case has[row.id]:
			reached++
		default:
			x.Errorf("row %d is missing: its transaction is number %d, and the standby had received %d", row.id, row.number, received)
		}
	}
	for _, row := range x.app.at(x.standby) {
		if !has[row.id] {
			x.Errorf("row %d is missing, which the new primary has acknowledged", row.id)
		}
	}
	x.Logf("acknowledged by the old one: %d that had reached the standby, all there, and %d that had not; by the new one: %d",
		reached, lost, len(x.app.at(x.standby)))
	if reached == 0 {
		x.Error("no row had reached the standby: this shows nothing")
	}
}

// ids are the rows that a server has.
func (x *watched) ids(s *lab.Server) map[int]bool {
	x.Helper()
	rows, err := s.DB(x, "app").QueryContext(x.Context(), "SELECT id FROM orders")
	if err != nil {
		x.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	has := map[int]bool{}
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			x.Fatal(err)
		}
		has[id] = true
	}
	if err := rows.Err(); err != nil {
		x.Fatal(err)
	}
	return has
}
