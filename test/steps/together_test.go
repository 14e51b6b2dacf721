package steps

import (
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/test/lab"
)

// requiring are the blocks with these facts required before a promotion.
func requiring(facts string) string { return strings.ReplaceAll(promoting, "REQUIRED", facts) }

// documented is what the page about steps requires.
const documented = `"replica", "applied", "lag <= 30s"`

// together starts a pair of servers, the daemon with these blocks, and the client.
func together(t *testing.T, w words, blocks string, opts ...lab.Option) *watched {
	t.Helper()
	w.need(t)
	lab.NeedCommand(t, "mariadb")
	t.Parallel()
	l := lab.New(t)
	return watch(newRig(t, l, w, opts...), l, blocks)
}

func TestTogetherMySQLTarget(t *testing.T) {
	t.Run("planned", func(t *testing.T) { planned(t, mySQL) })
	t.Run("killed", func(t *testing.T) { killedForGood(t, mySQL, documented) })
	t.Run("comes back fenced", func(t *testing.T) { fencedComesBack(t, mySQL) })
	t.Run("comes back", func(t *testing.T) { comesBack(t, mySQL) })
}

func TestTogetherPlanned(t *testing.T)         { planned(t, mariaDB) }
func TestTogetherKilled(t *testing.T)          { killedForGood(t, mariaDB, `"replica"`) }
func TestTogetherFencedComesBack(t *testing.T) { fencedComesBack(t, mariaDB) }
func TestTogetherComesBack(t *testing.T)       { comesBack(t, mariaDB) }

// killedForGood: the primary dies under a client that writes, while its replica
// has much to apply still. The shipped step makes that one writable, with all that
// it had received, and the client follows the handle. (Where it is required that all
// is applied, the failover waits for that; else the step does.) The old one comes
// back, which is told, and is not attached.
func killedForGood(t *testing.T, w words, required string) {
	x := together(t, w, requiring(required))
	x.delay(5)
	x.replica("Yes/Yes")
	x.d.Protected(resource)
	x.waiting(20)
	killed := x.active.KillProcess()
	x.d.AttachedTo(resource, "b", patience)
	x.Logf("attached to b %v after the kill, with sustain 1s", time.Since(killed).Round(time.Millisecond))
	x.d.Told("failover", "a was down", patience)
	x.d.Says("promote ok", "history", resource)
	x.writes(x.standby, 20)
	x.kept()

	x.active.StartProcess()
	x.left()
	x.d.Told("old_primary_writable", "a answers and takes writes", patience)
	x.writable(x.active, true)

	// Not even where the new one dies is it attached.
	x.standby.KillProcess()
	x.d.Told("held", "a: tainted", patience)
	x.d.Says("a: tainted", "explain", resource)
	if s := x.d.Status(resource); s.Attached != "b" || s.Epoch != 2 {
		x.Errorf("%s is attached in epoch %d", s.Attached, s.Epoch)
	}
}

// left waits until a, which was left, is up again, and tainted.
func (x *watched) left() {
	x.Helper()
	x.until("a is up, and tainted", func() bool {
		return x.endpoint("a").State == policy.Up && x.endpoint("a").Tainted != ""
	})
}

// TestTogetherNotPromotable: a replica that has not applied what it received does
// not protect, which is told before anything breaks, and is not promoted when the
// primary dies; nor is one that has a row in the way. Once that is mended, the
// switch which waited is made.
func TestTogetherNotPromotable(t *testing.T) {
	x := together(t, mariaDB, requiring(`"replica", "applied"`))
	const why = "applied is false"
	x.standby.SQL("STOP REPLICA SQL_THREAD")
	x.waiting(10)
	goOn := x.app.rest()
	x.exposed(why)
	if !testing.Short() {
		x.d.Told("not_protected", why, 2*time.Minute) // which takes a minute
	}
	x.active.KillProcess()
	x.refused(why)
	x.active.StartProcess()
	x.exposed(why)
	x.standby.SQL("START REPLICA SQL_THREAD")
	x.d.Protected(resource)

	goOn()
	mend := x.inTheWay()
	x.exposed(why)
	x.active.KillProcess()
	x.refused(why)
	mend()
	x.d.AttachedTo(resource, "b", patience)
	x.writes(x.standby, 20)
	x.kept()
}

// TestTogetherNotReceiving: the same of a replica that its source turns away, so
// that it has applied all that it received, and nobody knows how much it lacks.
func TestTogetherNotReceiving(t *testing.T) {
	x := together(t, mariaDB, requiring(documented))
	const why = "lag is unknown"
	x.sourceTurnsAway("another")
	x.exposed(why)
	x.active.KillProcess()
	x.refused(why)
	x.active.StartProcess()
	x.exposed(why)
	x.app.rest()
	x.sourceTurnsAway(lab.Password("repl"))
	x.replica("Yes/Yes")
	x.d.Protected(resource)
}

// exposed waits until a is well and not protected, and that says why.
func (x *watched) exposed(why string) {
	x.Helper()
	x.until("steady, and not protected", func() bool {
		s := x.d.Status(resource)
		return s.Activity == "steady" && s.Attached == "a" && !s.Protected && s.Outage == nil
	})
	x.d.Says(why, "status", resource)
	x.d.Says(why, "explain", resource)
}

// refused waits until the failover is held for want of a candidate, and sees that
// nothing is promoted.
func (x *watched) refused(why string) {
	x.Helper()
	x.held("candidate")
	x.d.Says(why, "explain", resource)
	x.d.Told("held", why, patience)
	x.stays()
}

// fencedComesBack: what was fenced may come back while its successor
// is promoted; the switch goes on. The site's way to fence a server whose process
// is dead is that my.cnf has whatever starts read-only.
func fencedComesBack(t *testing.T, w words) {
	x := together(t, w, requiring(`"replica"`)+`
  fence { command = ["STEPS/fence-mysql", "--defaults-file", "DIR/steps.cnf", "--", "/bin/sh", "-c", "test $REATTACH_CLASS = refused"] }`, lab.ReadOnly())
	x.backMeanwhile(func() {
		x.writable(x.active, false)
	})
	x.d.AttachedTo(resource, "b", patience)
	x.d.Says("fence ok; promote ok", "history", resource)
	x.writes(x.standby, 20)
	x.kept()
	x.left()
	x.writable(x.active, false)
}

// comesBack: where nothing fenced it, the switch is given up, the
// promotion undone, and nothing is switched until a person has seen to it.
func comesBack(t *testing.T, w words) {
	x := together(t, w, requiring(`"replica"`))
	x.backMeanwhile(func() { x.writes(x.active, 20) })
	const two = "two endpoints may take writes"
	x.d.Told("step_failed", two, patience)
	x.d.Says("the gate class is closed: a is up (abort ended well)", "explain", resource)
	x.writable(x.standby, false)
	x.replica("Yes/Yes")
	x.writes(x.active, 20)

	x.active.KillProcess()
	x.held("step")
	x.d.Told("held", two, patience)
	x.stays()
	if out, err := x.d.Command("ack", resource, "--reason", "b is read-only again"); err != nil {
		x.Fatalf("%v: %s", err, out)
	}
	x.d.AttachedTo(resource, "b", patience)
	x.writes(x.standby, 20)
	x.kept()
}

// backMeanwhile kills the primary, and has it back 5 s later, while its replica is
// promoted, which takes 10 s. What it does then is checked before that ends.
func (x *watched) backMeanwhile(check func()) {
	x.Helper()
	unlock := x.locked()
	x.waiting(20)
	killed := x.active.KillProcess()
	x.promotes()
	began := time.Now()
	<-time.After(time.Until(killed.Add(5 * time.Second)))
	x.active.StartProcess()
	x.until("a is up", func() bool { return x.endpoint("a").State == policy.Up })
	check()
	<-time.After(time.Until(began.Add(10 * time.Second)))
	x.promotes()
	unlock()
}

// planned: a switchover under a client that writes loses nothing, though the
// replica had not received all when it was asked for.
func planned(t *testing.T, w words) {
	x := together(t, w, requiring(`"replica"`)+fencing)
	x.asked()
	x.active.Heal()
	x.d.AttachedTo(resource, "b", patience)
	x.d.Says("fence ok; promote ok", "history", resource)
	x.writes(x.standby, 20)
	has := x.ids(x.standby)
	for _, row := range x.app.at(x.active) {
		if !has[row.id] {
			t.Errorf("row %d is missing: its transaction is number %d", row.id, row.number)
		}
	}
	t.Logf("acknowledged by the old one: %d; by the new one: %d", len(x.app.at(x.active)), len(x.app.at(x.standby)))
	x.left()
	x.writable(x.active, false)
}

// TestTogetherPlannedAndDead: nothing more is waited for once the old one is dead,
// which has the rest.
func TestTogetherPlannedAndDead(t *testing.T) {
	x := together(t, mariaDB, requiring(`"replica"`)+fencing)
	x.asked()
	standby := x.standby.DB(x, "root")
	x.until("the step waits for what the old one has", func() bool {
		n := 0
		err := standby.QueryRow("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT MASTER_GTID_WAIT%'").Scan(&n)
		return err == nil && n > 0
	})
	x.active.KillProcess()
	x.d.AttachedTo(resource, "b", patience)
	x.writes(x.standby, 20)
	x.kept()
}

// fencing is the shipped fence step, for a server that answers.
const fencing = `
  fence { command = ["STEPS/fence-mysql", "--defaults-file", "DIR/steps.cnf"] }`

// asked cuts the replica off from the primary, which goes on acknowledging rows,
// and asks for a switchover, until b is being promoted. The answer is logged.
func (x *watched) asked() {
	x.Helper()
	x.writes(x.active, 20)
	x.active.MustExec("iptables", "-I", "INPUT", "-s", x.standby.IP(), "-j", "DROP")
	x.waiting(20)
	answer := make(chan string, 1)
	x.Cleanup(func() { x.Log(<-answer) })
	go func() {
		out, _ := x.d.Command("switchover", resource, "--to", "b", "--reason", "maintenance")
		answer <- out
	}()
	x.promotes()
	x.writable(x.active, false)
}
