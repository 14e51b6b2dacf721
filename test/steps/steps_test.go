package steps

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/test/lab"
)

func TestMariaDB(t *testing.T) {
	lab.Need(t)
	t.Parallel()
	l := lab.New(t)
	r := newRig(t, l, mariaDB, stepsInside(t)...)
	all(t, r)
	t.Run("by positions", func(t *testing.T) { byPositions(r.on(t)) })
}

func TestMySQLTarget(t *testing.T) {
	lab.NeedMySQL(t)
	t.Parallel()
	l := lab.New(t)
	all(t, newRig(t, l, mySQL, stepsInside(t)...))
}

func all(t *testing.T, r rig) {
	for _, part := range []struct {
		name string
		run  func(rig)
	}{
		{"a dry run changes nothing", dryRun},
		{"promoted with work waiting", promoted},
		{"not in time", notInTime},
		{"killed", killed},
		{"broken", broken},
		{"not receiving", notReceiving},
		{"reset", forgotten},
		{"old primary", oldPrimary},
		{"fence", fence},
		{"fence by the site", fenceBySite},
		{"nobody there", nobodyThere},
		{"rights", rights},
		{"dead host", deadHost},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(r.on(t)) })
	}
}

var dry = map[string]string{"DRY_RUN": "true"}

func dryRun(r rig) {
	r.want(r.run("promote-mysql", dry, "--reset"), true, "Would stop receiving")
	r.want(r.run("abort-mysql", dry), true, "Would turn read_only on (it is 1)")
	r.want(r.run("fence-mysql", dry), true, "Would turn read_only on (it is 0)")
	r.want(r.run("fence-mysql", map[string]string{"DRY_RUN": "true", "FROM_HOST": r.nobody}, "--", "/bin/false"), true, "Would run /bin/false")
	r.replica("Yes/Yes")
	r.writable(r.standby, false)
	r.writable(r.active, true)
}

// delay has the standby apply each transaction some seconds late.
func (r rig) delay(seconds int) {
	r.Helper()
	r.standby.SQL("STOP REPLICA")
	r.standby.SQL(fmt.Sprintf(r.words.delay, seconds))
	r.standby.SQL("START REPLICA")
}

// slow is delay until the test ends.
func (r rig) slow(seconds int) {
	r.Helper()
	r.delay(seconds)
	r.Cleanup(func() { r.delay(0) })
	r.replica("Yes/Yes")
}

// promoted: what had reached the replica is there after the promotion, though it
// was not applied when the primary died; and twice is once.
func promoted(r rig) {
	before := r.rows(r.standby)
	r.slow(4)
	r.write(50)
	if n := r.rows(r.standby); n == before+50 {
		r.Fatal("nothing is waiting")
	}
	r.active.KillProcess()
	r.Cleanup(r.active.StartProcess)
	r.want(r.run("promote-mysql", nil), true, "is writable; all that it had received")
	if n := r.rows(r.standby); n != before+50 {
		r.Errorf("%d of 50 rows are missing", before+50-n)
	}
	r.writable(r.standby, true)
	r.replica("No/No")
	r.want(r.run("promote-mysql", nil), true, "there is nothing to do")

	r.want(r.run("abort-mysql", nil), true, "is read-only again, and replicates from "+r.active.Addr())
	r.want(r.run("abort-mysql", nil), true, "is read-only again, and replicates from "+r.active.Addr())
	r.writable(r.standby, false)
}

// byPositions: a replica without GTIDs is waited for by file and position.
func byPositions(r rig) {
	file, pos := r.position()
	r.standby.SQL(fmt.Sprintf("DO MASTER_POS_WAIT('%s', %s, 8)", file, pos))
	r.standby.SQL("STOP REPLICA")
	r.standby.SQL(fmt.Sprintf("CHANGE MASTER TO MASTER_USE_GTID = no, MASTER_LOG_FILE = '%s', MASTER_LOG_POS = %s", file, pos))
	r.standby.SQL("START REPLICA")
	before := r.rows(r.standby)
	r.slow(3)
	r.write(5)
	r.want(r.run("promote-mysql", nil), true, "is writable; all that it had received")
	if n := r.rows(r.standby); n != before+5 {
		r.Errorf("%d of 5 rows are missing", before+5-n)
	}
}

// locked has a reader's lock keep the standby from applying, until the returned
// function is called.
func (r rig) locked() func() {
	conn, err := r.standby.DB(r, "root").Conn(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	if _, err := conn.ExecContext(r.Context(), "LOCK TABLES orders READ"); err != nil {
		r.Fatal(err)
	}
	return func() {
		if _, err := conn.ExecContext(r.Context(), "UNLOCK TABLES"); err != nil {
			r.Fatal(err)
		}
	}
}

// blocked is locked, with a row that waits to be applied.
func (r rig) blocked() func() {
	unlock := r.locked()
	r.write(1)
	return unlock
}

func notInTime(r rig) {
	unlock := r.blocked()
	o := r.run("promote-mysql", map[string]string{"TIMEOUT_SECONDS": "10"})
	r.want(o, false, "has not applied all that it received within")
	r.want(o, false, "It is a read-only replica as before.")
	if o.Took > 10*time.Second {
		r.Errorf("it took %v", o.Took)
	}
	r.replica("Yes/Yes")
	r.writable(r.standby, false)
	unlock()
}

// killed: the daemon ends a step whose time is over, nothing of it goes on, and
// abort puts right what it left.
func killed(r rig) {
	unlock := r.blocked()
	o := r.run("promote-mysql", map[string]string{"TIMEOUT_SECONDS": "60", "allowed": "8s"})
	if o.OK || !strings.HasPrefix(o.Why, "killed after 8") {
		r.Errorf("%+v", o)
	}
	r.gone("steps.cnf")
	r.replica("No/Yes")
	r.writable(r.standby, false)
	r.want(r.run("abort-mysql", nil), true, "is read-only again, and replicates")
	r.replica("Yes/Yes")
	unlock()
}

// gone holds that no process with these words is left where steps are run.
func (r rig) gone(words string) {
	r.Helper()
	if out, err := r.standby.Exec("pgrep", "-fa", words); err == nil && strings.TrimSpace(out) != "" {
		r.Errorf("this goes on: %s", out)
	}
}

// inTheWay breaks the replication by a row that the standby has and ought not to
// have, until the returned function is called.
func (r rig) inTheWay() func() {
	local := func(statement string) {
		conn, err := r.standby.DB(r, "root").Conn(context.Background())
		if err != nil {
			r.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		for _, s := range []string{"SET GLOBAL read_only = OFF", "SET SESSION sql_log_bin = 0", statement, "SET GLOBAL " + r.readOnly + " = ON"} {
			if _, err := conn.ExecContext(context.Background(), s); err != nil {
				r.Fatalf("%s: %v", s, err)
			}
		}
	}
	local("INSERT INTO orders (id, note) VALUES (2000000, 'in the way')")
	r.active.SQL("INSERT INTO orders (id, note) VALUES (2000000, 'the right one')")
	return func() {
		local("DELETE FROM orders WHERE note = 'in the way'")
		r.standby.SQL("START REPLICA SQL_THREAD")
	}
}

func broken(r rig) {
	mend := r.inTheWay()
	r.Cleanup(func() {
		mend()
		r.replica("Yes/Yes")
	})
	r.replica("Yes/No")
	o := r.run("promote-mysql", nil)
	r.want(o, false, "is broken: error 1062")
	r.want(r.run("promote-mysql", dry), false, "is broken: error 1062")
	r.replica("Yes/No")
	r.writable(r.standby, false)
	r.want(r.run("abort-mysql", nil), true, "Its replication is left as it was")
	r.replica("Yes/No")
}

// notReceiving: nobody knows how far a replica is that stopped receiving before,
// unless an earlier attempt has stopped it.
func notReceiving(r rig) {
	r.standby.SQL("STOP REPLICA IO_THREAD")
	r.want(r.run("promote-mysql", nil), false, "nobody knows how much it lacks")
	r.standby.SQL("START REPLICA IO_THREAD")
	r.standby.SQL("STOP REPLICA SQL_THREAD")
	r.want(r.run("promote-mysql", nil), false, "Applying on "+r.standby.Addr()+" was stopped before")
	r.replica("Yes/No")

	r.standby.SQL("START REPLICA SQL_THREAD")
	r.sourceTurnsAway("another")
	r.replica("Connecting/Yes")
	r.want(r.run("promote-mysql", nil), false, "had not been able to receive from "+r.active.Addr()+": error 1045")
	r.replica("Connecting/Yes")
	r.sourceTurnsAway(lab.Password("repl"))
	r.replica("Yes/Yes")
	r.caughtUp()

	r.standby.SQL("STOP REPLICA IO_THREAD")
	r.want(r.run("promote-mysql", map[string]string{"ATTEMPT": "2"}), true, "is writable")
}

// sourceTurnsAway gives the replica's account this password, and has it connect anew.
func (r rig) sourceTurnsAway(password string) {
	r.active.SQL("ALTER USER repl@'%' IDENTIFIED BY '" + password + "'")
	r.standby.SQL("STOP REPLICA IO_THREAD")
	r.standby.SQL("START REPLICA IO_THREAD")
}

// deadHost: the primary's packets vanish, so that a replica which connects to it
// waits for an answer; it is promoted all the same.
func deadHost(r rig) {
	before := r.rows(r.standby)
	r.write(5)
	r.active.Drop(0)
	r.Cleanup(r.active.Heal)
	r.standby.SQL("STOP REPLICA IO_THREAD")
	r.standby.SQL("START REPLICA IO_THREAD")
	r.replica("Connecting/Yes")
	r.want(r.run("promote-mysql", map[string]string{"ATTEMPT": "2"}), true, "is writable")
	if n := r.rows(r.standby); n != before+5 {
		r.Errorf("%d of 5 rows are missing", before+5-n)
	}
	r.writable(r.standby, true)
}

// forgotten: with --reset the source is forgotten, and abort cannot bring it back.
func forgotten(r rig) {
	r.want(r.run("promote-mysql", nil, "--reset"), true, "is writable")
	r.replica("")
	r.want(r.run("promote-mysql", nil, "--reset"), true, "there is nothing to do")
	r.want(r.run("abort-mysql", nil), true, "It is no replica any more")
	r.writable(r.standby, false)
	r.want(r.run("promote-mysql", nil), false, "is read-only and no replica")
}

func oldPrimary(r rig) {
	r.want(r.run("promote-mysql", nil, "--refuse-writable-source"), false, "still answers, and is writable: fence it first")
	r.replica("Yes/Yes")
	r.want(r.run("fence-mysql", nil), true, "is read-only")
	r.want(r.run("promote-mysql", nil, "--refuse-writable-source"), true, "is writable")
}

// fence: no connection of a client is left, a transaction that was open is gone,
// and nothing new is written; the replica goes on receiving.
func fence(r rig) {
	before := r.rows(r.active)
	idle, err := r.active.DB(r, "app").Conn(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	tx, err := r.active.DB(r, "app").Begin()
	if err != nil {
		r.Fatal(err)
	}
	if _, err := tx.Exec("INSERT INTO orders (note) VALUES ('open')"); err != nil {
		r.Fatal(err)
	}
	r.want(r.run("fence-mysql", nil), true, "is read-only")
	if err := tx.Commit(); err == nil {
		r.Error("an open transaction was committed after the fence")
	}
	if _, err := idle.ExecContext(r.Context(), "DO 1"); err == nil {
		r.Error("a client that was there before is there still")
	}
	r.writable(r.active, false)
	if n := r.rows(r.active); n != before {
		r.Errorf("%d rows were %d", n, before)
	}
	r.replica("Yes/Yes")
	r.want(r.run("fence-mysql", nil), true, "is read-only")
}

// fenceBySite: a server that hangs is not fenced, unless the site has a way.
func fenceBySite(r rig) {
	r.active.Freeze()
	r.Cleanup(r.active.Thaw)
	o := r.run("fence-mysql", nil)
	r.want(o, false, "no command of your own was given")
	if o.Took > 10*time.Second {
		r.Errorf("it took %v", o.Took)
	}
	r.want(r.run("fence-mysql", nil, "--", "/bin/false"), false, "/bin/false did not fence")
	r.want(r.run("fence-mysql", nil, "--", "/no/such"), false, "/no/such is not there")
	r.want(r.run("fence-mysql", map[string]string{"TO_HOST": "db2.internal"}, "--", "/bin/true", "db2.internal"), false, "names db2.internal, which is to take over")
	r.want(r.run("fence-mysql", nil, "--", "/bin/sh", "-c", `test "$REATTACH_FROM" = primary`), true, "is fenced by /bin/sh, as it says")
	if o := r.run("fence-mysql", map[string]string{"allowed": "6s"}, "--", "/bin/sleep", "77"); !strings.HasPrefix(o.Why, "killed after 6") {
		r.Errorf("%+v", o)
	}
	r.gone("sleep 77")
}

func nobodyThere(r rig) {
	gone := map[string]string{"TO_HOST": r.nobody, "FROM_HOST": r.nobody}
	for _, step := range []string{"promote-mysql", "abort-mysql", "fence-mysql"} {
		o := r.run(step, gone)
		r.want(o, false, r.nobody+":3306 cannot be")
		if o.Took > 10*time.Second {
			r.Errorf("%s took %v", step, o.Took)
		}
	}
	r.want(r.run("promote-mysql", map[string]string{"TO_HOST": ""}), false, "was not told REATTACH_TO_HOST")
}

// rights: a dry run names what the account lacks.
func rights(r rig) {
	r.active.SQL("REVOKE " + r.admin + " ON *.* FROM steps@'%'")
	r.Cleanup(func() {
		r.active.SQL("GRANT " + r.admin + " ON *.* TO steps@'%'")
		r.caughtUp()
	})
	r.caughtUp()
	r.want(r.run("promote-mysql", dry), false, "GRANT "+r.admin+" ON *.* TO it.")
	r.want(r.run("fence-mysql", nil), false, "it stays writable")
	o := r.run("promote-mysql", nil)
	r.want(o, false, "It is a read-only replica as before.")
	r.replica("Yes/Yes")
}
