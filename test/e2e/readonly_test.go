package e2e

import (
	"strings"
	"testing"

	"github.com/reattach/reattach/test/daemon"
)

// TestReadOnlyStandbyIsWarned: a standby that refuses writes, that nothing requires to
// take them, and that nothing promotes: check --live and doctor say what a failover
// would attach. With either in the configuration there is nothing to warn of.
func TestReadOnlyStandbyIsWarned(t *testing.T) {
	need(t)
	pair := databases()
	pair.Standby.SQL("SET GLOBAL read_only = 1")
	t.Cleanup(func() { pair.Standby.SQL("SET GLOBAL read_only = 0") })
	name := unique("readonly")
	r := daemon.Resource{Name: name, Handle: name + "/DATABASE_URL", A: pair.Active.URL("app"), B: pair.Standby.URL("app"), Policy: daemon.Fast}
	put(t, r.Handle, r.A)
	token := consul().CreateToken(policyFor(t, r.Handle))
	const warning = `b is read-only (writable is false), and there is neither require = ["writable"] nor promote: a failover would attach a server that refuses writes`
	said := func(out string) bool {
		return strings.Contains(strings.Join(strings.Fields(out), " "), warning)
	}
	for _, c := range []struct {
		more   string
		code   int
		warned bool
	}{
		{"", 0, true},
		{`  require = ["writable"]`, 1, false},
		{`  require = ["!writable"]`, 0, false},
		{"  promote {\n    command = [\"/bin/true\"]\n  }", 0, false},
	} {
		r.More = c.more
		if out := live(t, daemon.OnConsul(consul().URL(), token, r))(c.code); said(out) != c.warned {
			t.Errorf("with %q the warning is there: %v", c.more, said(out))
		}
	}
}
