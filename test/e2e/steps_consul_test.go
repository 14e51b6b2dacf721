package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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

// promoteTimeout is how long a promotion of these tests may take, and stepMargin
// what is waited beyond it before another life takes it over. The other steps are
// waited for as long as a slow machine needs.
const (
	promoteTimeout = 5 * time.Second
	stepMargin     = 5 * time.Second
)

// stepScript notes that it runs, and waits while a file holds its attempt.
const stepScript = `echo "$REATTACH_STEP $REATTACH_ATTEMPT" >> DIR/ran
echo "$REATTACH_OP" >> DIR/operations
echo $$ > DIR/pid
while [ -e "DIR/hold-$REATTACH_STEP-$REATTACH_ATTEMPT" ]; do sleep 0.05; done
`

// stepping is a cache on Consul whose switches have steps, and a daemon with the
// least policy that is killed in the middle of them.
type stepping struct {
	*testing.T
	r        daemon.Resource
	d        *daemon.Daemon
	pair     *lab.Pair
	switches func() int
}

func newStepping(t *testing.T, name string) *stepping {
	t.Helper()
	need(t)
	s := &stepping{T: t, pair: caches()}
	s.r = daemon.Resource{Name: unique(name), A: s.pair.Active.URL(""), B: s.pair.Standby.URL("")}
	s.r.Handle = s.r.Name + "/CACHE_URL"
	// A standby that hangs is awaited between two steps for a time that goes by the
	// timeout: a long one leaves time to kill the daemon meanwhile.
	s.r.Policy = strings.Replace(daemon.Fast, `timeout          = "2s"`, `timeout          = "5s"`, 1)
	for step, timeout := range map[string]time.Duration{"fence": time.Minute, "promote": promoteTimeout, "abort": time.Minute} {
		s.r.More += fmt.Sprintf("  %s {\n    command = [\"/bin/sh\", \"DIR/step.sh\"]\n    timeout = \"%v\"\n  }\n", step, timeout)
	}
	put(t, s.r.Handle, s.r.A)
	s.d = daemon.New(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, s.r.Handle)), s.r))
	s.switches = changes(t, s.r.Handle)
	s.write("step.sh", strings.ReplaceAll(stepScript, "DIR", s.d.Dir))
	t.Cleanup(s.pair.Standby.Thaw)
	t.Cleanup(s.pair.Active.StartProcess)
	s.d.Start()
	s.d.Protected(s.r.Name)
	return s
}

func (s *stepping) write(name, text string) {
	s.Helper()
	if err := os.WriteFile(filepath.Join(s.d.Dir, name), []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

func (s *stepping) read(name string) string {
	s.Helper()
	text, err := os.ReadFile(filepath.Join(s.d.Dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.Fatal(err)
	}
	return string(text)
}

// hold has an attempt of a step wait until it is released.
func (s *stepping) hold(attempt string) { s.Helper(); s.write("hold-"+attempt, "") }

func (s *stepping) release(attempt string) {
	s.Helper()
	if err := os.Remove(filepath.Join(s.d.Dir, "hold-"+attempt)); err != nil {
		s.Fatal(err)
	}
}

// ran waits until these steps have begun, and no other.
func (s *stepping) ran(limit time.Duration, want ...string) {
	s.Helper()
	daemon.Eventually(s, limit, strings.Join(want, ", ")+" began", func() bool {
		return s.read("ran") == strings.Join(want, "\n")+"\n"
	}, func() string { return s.read("ran") }, func() string { return s.d.Explain(s.r.Name) }, s.d.Logs)
}

// state is what Consul holds of the resource.
func (s *stepping) state() (state failover.State) {
	s.Helper()
	e := entry(s.T, "reattach/state/"+s.r.Name)
	if e == nil {
		s.Fatal("no state")
	}
	if err := json.Unmarshal(e.Value, &state); err != nil {
		s.Fatal(err)
	}
	return state
}

// killed ends the daemon by SIGKILL, and holds what it leaves behind: an operation
// at that step, whose command has died with it.
func (s *stepping) killed(step string, attempt int, ended string) {
	s.Helper()
	s.d.Kill()
	if op := s.state().Operation; op == nil || op.Step != step || op.Attempt != attempt || op.Ended != ended || op.Runner != "e2e" {
		s.Fatalf("the operation under way is %+v", op)
	}
	pid := strings.TrimSpace(s.read("pid"))
	daemon.Eventually(s, 10*time.Second, "the command has died", func() bool {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
	if n := s.switches(); n != 0 {
		s.Fatalf("the handle changed %d times", n)
	}
}

// recorded holds the one failover of the history against these ends of steps.
func (s *stepping) recorded(want ...string) {
	s.Helper()
	var last failover.Record
	for _, r := range records(s.T, s.r.Name) {
		if r.Kind == policy.Failover {
			last = r
		}
	}
	var steps []string
	for _, e := range last.Steps {
		steps = append(steps, fmt.Sprintf("%s %d %s by %s", e.Step, e.Attempt, e.Outcome, e.By))
	}
	if got := strings.Join(steps, ", "); last.Epoch != 2 || last.From != "a" || last.To != "b" || got != strings.Join(want, ", ") {
		s.Errorf("the record has the steps %q: %+v", got, last)
	}
	if state := s.state(); state.Operation != nil || state.TwoWritable != "" || state.Attached != "b" {
		s.Errorf("state is left with %+v", state)
	}
	if ids := strings.Fields(s.read("operations")); strings.Count(s.read("operations"), last.Op) != len(ids) {
		s.Errorf("the steps were told the operations %v, the record has %s", ids, last.Op)
	}
	noBallot(s.T, s.r.Name)
	daemon.Eventually(s, 5*time.Second, "the handle changed once", func() bool { return s.switches() == 1 })
}

// TestKilledBetweenSteps: a daemon that is killed after its fence and before its
// promotion goes on there in its next life. The fence is not run again, and the old
// one counts as lost although it is back.
func TestKilledBetweenSteps(t *testing.T) {
	s := newStepping(t, "between")
	s.hold("fence-1")
	s.pair.Active.KillProcess()
	s.ran(20*time.Second, "fence 1")
	s.pair.Standby.Freeze() // what hangs is not promoted
	s.release("fence-1")
	daemon.Eventually(t, 20*time.Second, "the fence is recorded", func() bool {
		op := s.state().Operation
		return op != nil && op.Ended == failover.StepOK
	}, s.d.Logs)
	s.killed("fence", 1, failover.StepOK)
	if state := s.state(); state.Fenced != state.Epoch {
		t.Errorf("a is not known to be fenced: %+v", state)
	}

	s.pair.Active.StartProcess()
	s.pair.Standby.Thaw()
	s.d.Start()
	s.d.AttachedTo(s.r.Name, "b", 30*time.Second)
	s.ran(time.Second, "fence 1", "promote 1")
	s.recorded("fence 1 ok by e2e", "promote 1 ok by e2e")
}

// TestKilledInAPromotion: nobody knows what became of the promotion, so it is run
// once more, by the same observer's next life, once the first one's time is over.
func TestKilledInAPromotion(t *testing.T) {
	s := newStepping(t, "promotion")
	s.hold("promote-1")
	s.pair.Active.KillProcess()
	s.ran(20*time.Second, "fence 1", "promote 1")
	s.killed("promote", 1, "")

	began := time.Now()
	s.d.Start()
	s.ran(60*time.Second, "fence 1", "promote 1", "promote 2")
	if waited := time.Since(began); waited < promoteTimeout+stepMargin {
		t.Errorf("taken over after %v, before %v and %v were over", waited, promoteTimeout, stepMargin)
	}
	s.d.AttachedTo(s.r.Name, "b", 30*time.Second)
	s.recorded("fence 1 ok by e2e", "promote 1 lost by e2e", "promote 2 ok by e2e")
}

// TestKilledInTwoPromotions: there is no third one. What was begun is undone, the
// handle stays, and people are told that two may take writes until one says ack.
func TestKilledInTwoPromotions(t *testing.T) {
	s := newStepping(t, "promotions")
	s.hold("promote-1")
	s.hold("promote-2")
	s.pair.Active.KillProcess()
	s.ran(20*time.Second, "fence 1", "promote 1")
	s.killed("promote", 1, "")
	s.d.Start()
	s.ran(60*time.Second, "fence 1", "promote 1", "promote 2")
	s.killed("promote", 2, "")
	s.d.Start()
	s.ran(60*time.Second, "fence 1", "promote 1", "promote 2", "abort 1")
	daemon.Eventually(t, 20*time.Second, "two may take writes", func() bool {
		state := s.state()
		return state.Operation == nil && strings.Contains(state.TwoWritable, "nobody knows how promote ended: its runner ended first (abort ended well)")
	}, func() string { return fmt.Sprintf("%+v", s.state()) }, s.d.Logs)
	daemon.Throughout(t, 2*time.Second, "nothing is switched, nothing run", func() bool {
		return s.switches() == 0 && s.d.Status(s.r.Name).Attached == "a" && strings.Count(s.read("ran"), "\n") == 4
	})
	if out, err := s.d.Command("events", "--json"); err != nil || !strings.Contains(out, `"key":"`+s.r.Name+`/two_writable"`) {
		t.Errorf("nobody was told: %v\n%s", err, out)
	}
	noBallot(t, s.r.Name)
	s.release("promote-1")
	s.release("promote-2")
	if out, err := s.d.Command("ack", s.r.Name, "--reason", "nobody wrote to b"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.d.AttachedTo(s.r.Name, "b", 30*time.Second)
	s.ran(time.Second, "fence 1", "promote 1", "promote 2", "abort 1", "fence 1", "promote 1")
}
