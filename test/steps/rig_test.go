package steps

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover/hook"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// account is what the steps log in with.
const account = "[client]\nuser = steps\npassword = steps-secret\nssl-ca = /lab/tls/ca.pem\n"

// words are what the two servers say differently, and how they are had.
type words struct {
	need              func(testing.TB)
	start             func(*lab.Lab, ...lab.Option) *lab.Server
	replica, readOnly string
	delay, admin      string
	logEnd, received  string // what asks where the own log ends; the column of what was received
	wait              string // what waits a second for such an end to be applied, and answers 0 if it is
}

var (
	mariaDB = words{need: lab.Need, start: (*lab.Lab).MariaDB, replica: "Slave", readOnly: "read_only", delay: "CHANGE MASTER TO MASTER_DELAY=%d", admin: "READ_ONLY ADMIN",
		logEnd: "SELECT @@gtid_binlog_pos", received: "Gtid_IO_Pos", wait: "SELECT MASTER_GTID_WAIT('%s', 1)"}
	mySQL = words{need: lab.NeedMySQL, start: (*lab.Lab).MySQL, replica: "Replica", readOnly: "super_read_only", delay: "CHANGE REPLICATION SOURCE TO SOURCE_DELAY=%d", admin: "SYSTEM_VARIABLES_ADMIN",
		logEnd: "SELECT @@GLOBAL.gtid_executed", received: "Retrieved_Gtid_Set", wait: "SELECT WAIT_FOR_EXECUTED_GTID_SET('%s', 1)"}
)

// rig is a primary with a read-only replica.
type rig struct {
	*testing.T
	words
	active, standby *lab.Server
	nobody          string // an address that no server has
}

// newRig starts both servers with these options, and makes the account.
func newRig(t *testing.T, l *lab.Lab, w words, opts ...lab.Option) rig {
	t.Helper()
	r := rig{T: t, words: w, nobody: l.NewAddr()}
	r.active = w.start(l, append(opts[:len(opts):len(opts)], lab.Env("LAB_SERVER_ID", "1"))...)
	r.standby = w.start(l, append(opts[:len(opts):len(opts)], lab.Env("LAB_SERVER_ID", "2"), lab.ReadOnly())...)
	r.active.SQL("SET GLOBAL read_only = OFF") // whatever its options say
	r.standby.ReplicateFrom(r.active)
	for _, statement := range statements(t, w) {
		r.active.SQL(statement)
	}
	r.caughtUp()
	return r
}

// caughtUp waits until the standby has applied all that the primary has. Who stops
// a MySQL replica before that waits up to a minute, where it has received one half
// of a statement about an account.
func (r rig) caughtUp() {
	r.Helper()
	var has string
	if err := r.active.DB(r, "root").QueryRow(r.logEnd).Scan(&has); err != nil {
		r.Fatal(err)
	}
	standby := r.standby.DB(r, "root")
	daemon.Eventually(r, patience, "the standby has applied all", func() bool {
		late := -1
		return standby.QueryRow(fmt.Sprintf(r.wait, has)).Scan(&late) == nil && late == 0
	})
}

// stepsInside are the steps, their account and what runs them, for a container.
func stepsInside(t *testing.T) []lab.Option {
	t.Helper()
	opts := []lab.Option{lab.File("/etc/steps.cnf", []byte(account)), lab.Program("/steps/run", runner(t))}
	for _, name := range []string{"mysql.sh", "promote-mysql", "fence-mysql", "abort-mysql"} {
		text, err := os.ReadFile(filepath.Join("../../deployments/steps", name))
		if err != nil {
			t.Fatal(err)
		}
		opts = append(opts, lab.Program("/steps/"+name, text))
	}
	return opts
}

// runner is the program that runs steps in a container.
func runner(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run")
	build := exec.Command("go", "build", "-o", path, "./run")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

var (
	block = regexp.MustCompile("(?s)```sql\n(.*?)```")
	shell = regexp.MustCompile("(?s)```sh\n(.*?)```")
)

// page is the text about steps.
func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../deployments/docs/steps.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// statements are those of the page about steps that make the account on this kind
// of server, with the lab's addresses and password.
func statements(t *testing.T, w words) []string {
	t.Helper()
	for _, m := range block.FindAllStringSubmatch(page(t), -1) {
		if !strings.Contains(m[1], w.admin) {
			continue
		}
		var all []string
		for line := range strings.Lines(strings.NewReplacer("10.0.%", "%", "…", "steps-secret").Replace(m[1])) {
			if statement, _, ok := strings.Cut(line, ";"); ok {
				all = append(all, statement)
			}
		}
		return all
	}
	t.Fatalf("the page has no statements with %s", w.admin)
	return nil
}

// on is the same rig for a part of the test, with the replica as at the start.
func (r rig) on(t *testing.T) rig {
	t.Helper()
	r.T = t
	r.active.SQL("SET GLOBAL read_only = OFF")
	r.standby.SQL("STOP REPLICA")
	r.standby.SQL("SET GLOBAL " + r.readOnly + " = ON")
	r.standby.ReplicateFrom(r.active)
	return r
}

// run runs a step in the standby's container; told is what it is told besides.
func (r rig) run(step string, told map[string]string, args ...string) hook.Outcome {
	r.Helper()
	env := map[string]string{
		"STEP": strings.TrimSuffix(step, "-mysql"), "RESOURCE": "orders-db", "KIND": "failover", "FROM": "primary", "TO": "standby",
		"FROM_HOST": r.active.IP(), "FROM_PORT": strconv.Itoa(r.active.Port()), "TO_HOST": r.standby.IP(), "TO_PORT": strconv.Itoa(r.standby.Port()),
		"CLASS": "refused", "ATTEMPT": "1", "DRY_RUN": "false", "OP": "op", "EPOCH": "1", "TIMEOUT_SECONDS": "20",
	}
	allowed := 25 * time.Second
	if told["allowed"] != "" {
		allowed, _ = time.ParseDuration(told["allowed"])
	}
	maps.Copy(env, told)
	text, err := json.Marshal(map[string]any{
		"Argv": append([]string{"/steps/" + step, "--defaults-file", "/etc/steps.cnf"}, args...), "Env": env, "Allowed": allowed,
	})
	if err != nil {
		r.Fatal(err)
	}
	var o hook.Outcome
	if err := json.Unmarshal([]byte(r.standby.MustExec("/steps/run", string(text))), &o); err != nil {
		r.Fatal(err)
	}
	r.Logf("%s %s: %v, %v %s\n%s", step, strings.Join(args, " "), o.OK, o.Took.Round(time.Millisecond), o.Why, o.Output)
	return o
}

// want holds how a step ended, and that its last line says so.
func (r rig) want(o hook.Outcome, ok bool, sentence string) {
	r.Helper()
	lines := strings.Split(strings.TrimSpace(o.Output), "\n")
	if last := lines[len(lines)-1]; o.OK != ok || !strings.Contains(last, sentence) {
		r.Errorf("%+v; want %v: %s", o, ok, sentence)
	}
}

// replica holds the standby's threads: "Yes/Yes", or "" for none at all; a thread
// that starts may take a moment.
func (r rig) replica(want string) {
	r.Helper()
	var now string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		now = ""
		if s, err := r.standby.ReplicaStatus(); err == nil {
			now = s[r.words.replica+"_IO_Running"] + "/" + s[r.words.replica+"_SQL_Running"]
		}
		if now == want {
			return
		}
	}
	r.Errorf("the standby's threads are %q, not %q", now, want)
}

// writable holds whether an application can write to the server, and leaves
// nothing behind.
func (r rig) writable(s *lab.Server, want bool) {
	r.Helper()
	tx, err := s.DB(r, "app").Begin()
	if err != nil {
		r.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.Exec("INSERT INTO orders (id, note) VALUES (1000000, 'a try')"); (err == nil) != want {
		r.Errorf("%s is to be writable: %v; an application: %v", s.Name(), want, err)
	}
}

// write writes n numbered rows to the primary, each of them acknowledged, and waits
// until the standby has received them.
func (r rig) write(n int) {
	r.Helper()
	db := r.active.DB(r, "app")
	for i := range n {
		if _, err := db.Exec("INSERT INTO orders (note) VALUES (?)", fmt.Sprint(i)); err != nil {
			r.Fatal(err)
		}
	}
	file, pos := r.position()
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(20 * time.Millisecond) {
		s, err := r.standby.ReplicaStatus()
		if err != nil || time.Now().After(deadline) {
			r.Fatalf("the standby does not receive: %v %v", err, s)
		}
		if s["Master_Log_File"]+s["Source_Log_File"] == file && s["Read_Master_Log_Pos"]+s["Read_Source_Log_Pos"] == pos {
			return
		}
	}
}

// position is the end of the primary's log.
func (r rig) position() (file, pos string) {
	r.Helper()
	rows, err := r.active.DB(r, "root").Query(map[string]string{"Slave": "SHOW MASTER STATUS", "Replica": "SHOW BINARY LOG STATUS"}[r.words.replica])
	if err != nil {
		r.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	columns, _ := rows.Columns()
	cells := make([]any, len(columns))
	for i := range cells {
		cells[i] = new(any)
	}
	cells[0], cells[1] = &file, &pos
	if !rows.Next() || rows.Scan(cells...) != nil {
		r.Fatal("the primary does not tell its position")
	}
	return file, pos
}

// rows counts the rows of a server.
func (r rig) rows(s *lab.Server) (n int) {
	r.Helper()
	db := s.DB(r, "app")
	defer func() { _ = db.Close() }() // it is asked again and again
	if err := db.QueryRow("SELECT COUNT(*) FROM orders").Scan(&n); err != nil {
		r.Fatal(err)
	}
	return n
}
