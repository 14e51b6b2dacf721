package steps

import (
	"strings"
	"testing"

	"github.com/reattach/reattach/policy"
)

// TestTogetherRehearsed: a person tries the shipped promotion by the running daemon.
// It asks the servers all that reading can tell, names a right that is missing, and
// changes nothing; the client writes all the while.
func TestTogetherRehearsed(t *testing.T) {
	x := together(t, mariaDB, requiring(`"replica", "applied"`))
	before := x.d.Status(resource).Epoch
	for step, says := range map[string]string{policy.Promote: "Would stop receiving", policy.Abort: "Would turn read_only on (it is 1)"} {
		x.tried(step, true, says, "ended    ok, exit code 0, in ", "REATTACH_DRY_RUN=true\n", "REATTACH_TO_HOST="+x.standby.IP()+"\n")
	}
	x.active.SQL("REVOKE " + x.admin + " ON *.* FROM steps@'%'")
	x.until("the replica knows of it", func() bool {
		out, _ := x.d.Command("step", "test", resource, policy.Promote, "--dry-run")
		return strings.Contains(out, "GRANT "+x.admin+" ON *.* TO it.")
	})
	x.tried(policy.Promote, false, "GRANT "+x.admin+" ON *.* TO it.", "ended    failed: exit status ")

	x.writable(x.standby, false)
	x.replica("Yes/Yes")
	if s := x.d.Status(resource); s.Attached != "a" || s.Epoch != before || s.Operation != "" {
		x.Errorf("after nothing but dry runs: %+v", s)
	}
	x.writes(x.active, 20)
}

// tried has the daemon run a step as a dry run, which ends well or not, and whose
// answer holds these texts and no password.
func (x *watched) tried(step string, well bool, texts ...string) {
	x.Helper()
	out, err := x.d.Command("step", "test", resource, step, "--dry-run")
	x.Logf("%v\n%s", err, out)
	if (err == nil) != well {
		x.Errorf("%s: %v", step, err)
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			x.Errorf("%s: no %q in\n%s", step, text, out)
		}
	}
	if strings.Contains(out, "-secret") {
		x.Errorf("%s: a password is shown", step)
	}
}
