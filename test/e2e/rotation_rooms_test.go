package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/amqp"
	"github.com/reattach/reattach/probe/memcached"
	"github.com/reattach/reattach/probe/mysql"
	"github.com/reattach/reattach/probe/smtp"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// TestPasswordsInTurn: each protocol tells which of several passwords its server
// took, so that one login is refused, and the next conversation has none.
func TestPasswordsInTurn(t *testing.T) {
	lab.Need(t)
	cache := network().Memcached(lab.Login("app"))
	for _, c := range []struct {
		protocol probe.Protocol
		server   *lab.Server
		url      string
		refusal  []string // words of the line in the server's log; none: it has no such line
	}{
		{mysql.Protocol, databases().Active, databases().Active.URL("app"), []string{denied + "app'"}},
		{amqp.Protocol, queues().Active, queues().Active.URL("app"), []string{"login refused", "'app'"}},
		{smtp.Protocol, relays().Active, "submission://app%40lab.test:" + lab.Password("app") + "@" + relays().Active.Addr(587), []string{"SASL PLAIN authentication failed", "app@lab.test"}},
		{memcached.Protocol, cache, cache.URL("app"), nil},
	} {
		t.Run(c.protocol.Name, func(t *testing.T) {
			u, err := probe.ParseURL(c.url)
			if err != nil {
				t.Fatal(err)
			}
			refused := func() int { return logged(c.server, c.refusal...) }
			before := refused()
			target := probe.Target{URL: u, Timeout: 30 * time.Second, Client: "reattach e2e", TLS: probe.TLSConfig{Mode: probe.TLSRequire},
				Passwords: []probe.Secret{"not-this-one", u.Password}, Memory: &probe.Memory{}}
			if !strings.HasPrefix(c.url, "submission") {
				target.TLS.Mode = probe.TLSOff
			}
			ask := func() {
				t.Helper()
				if r := probe.Once(t.Context(), c.protocol, target); r.Failed() {
					t.Fatalf("%v in %v: %s", r.Class, r.Phase, r.Err)
				}
			}
			ask()
			if _, passwords := target.Credentials(); passwords[0] != u.Password {
				t.Error("the one that was taken is not the next to be tried")
			}
			if c.refusal == nil {
				return
			}
			daemon.Eventually(t, 10*time.Second, "the server's log has the refused login", func() bool { return refused() == before+1 }, c.server.Logs)
			ask()
			// What a refused login would have left is there before the next one's is.
			target.Memory = nil
			ask()
			daemon.Eventually(t, 10*time.Second, "the server's log has another refused login", func() bool { return refused() >= before+2 }, c.server.Logs)
			if n := refused() - before; n != 2 {
				t.Errorf("%d refused logins, want one for each conversation without memory", n)
			}
		})
	}
}
