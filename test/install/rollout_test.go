package install

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// Programs of a whole machine that a container lacks, as far as the page needs them.
const (
	sudo   = "#!/bin/sh\nexec \"$@\"\n"
	noMake = "#!/bin/sh\n[ \"$1\" = package ] && echo 'the package is there'\n"
	// unit stands for systemd with the package's unit.
	unit = `#!/bin/sh
case "$*" in
"enable --now reattach")
	install -d -o reattach -g reattach -m 0750 /run/reattach
	setsid setpriv --reuid reattach --regid reattach --init-groups reattach run > /tmp/log 2>&1 < /dev/null & ;;
"reload reattach") kill -HUP "$(pidof reattach)" ;;
*) exit 1 ;;
esac
`
)

// page is a text with what it shows, by language, in its order.
func page(t *testing.T, path string) (prose string, blocks map[string][]string) {
	t.Helper()
	prose, blocks = text(t, path), map[string][]string{}
	for _, m := range regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```").FindAllStringSubmatch(prose, -1) {
		blocks[m[1]] = append(blocks[m[1]], m[2])
	}
	return prose, blocks
}

// shown is a command that a page has within a sentence.
func shown(t *testing.T, prose, begins string) string {
	t.Helper()
	m := regexp.MustCompile("`(" + regexp.QuoteMeta(begins) + "[^`]*)`").FindStringSubmatch(prose)
	if m == nil {
		t.Fatalf("the page does not say %s …", begins)
	}
	return m[1]
}

// slack is where the page's notifier leads to: a server that takes everything.
func slack(t *testing.T, network *lab.Lab) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", network.Gateway()+":0") // a container's way to this machine
	if err != nil {
		t.Skipf("a container cannot reach this machine: %v", err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return "http://" + l.Addr().String() + "/services/T/B/x"
}

// TestRolloutPage does what rollout.md says, word for word, on a clean machine: from
// the package to a failover of a database that was only observed before.
func TestRolloutPage(t *testing.T) {
	lab.NeedConsul(t)
	lab.NeedImage(t, "packaging")
	lab.NeedTool(t, "nfpm")
	consul, err := os.ReadFile(lab.Tool("consul"))
	if err != nil {
		t.Fatal(err)
	}
	prose, blocks := page(t, "deployments/docs/rollout.md")
	sh := blocks["sh"]
	if len(sh) != 4 {
		t.Fatalf("%d blocks of commands, want: install, secrets, start, reload", len(sh))
	}
	network := lab.New(t)
	db1, db2 := network.MariaDB(lab.Named("db1.internal")), network.MariaDB(lab.Named("db2.internal"))
	grant := strings.ReplaceAll(shown(t, prose, "GRANT SHOW VIEW"), "10.0.%", "%")
	box := network.Packaging(lab.Program("/usr/local/bin/consul", consul), lab.Program("/usr/local/bin/sudo", []byte(sudo)),
		lab.Program("/usr/local/bin/make", []byte(noMake)), lab.Program("/usr/local/bin/systemctl", []byte(unit)),
		lab.File("/src/bin/dist/reattach_0.1.0_amd64.deb", packages()(t, first+".deb")))
	shell(t, box, "setsid consul agent -dev -log-level warn > /tmp/consul.log 2>&1 < /dev/null &")
	says := func(command, word string) {
		t.Helper()
		said := ""
		daemon.Eventually(t, 40*time.Second, fmt.Sprintf("%s says %q", command, word), func() bool {
			said, _ = box.Exec("sh", "-c", command+" 2>&1")
			return strings.Contains(said, word)
		}, func() string { return said }, func() string { out, _ := box.Exec("cat", "/tmp/log"); return out })
	}

	shell(t, box, "cd /src\n"+sh[0])
	shell(t, box, "cat > /etc/reattach/orders-db.hcl <<'E'\n"+blocks["hcl"][0]+"E\n"+sh[1])
	shell(t, box, `cd /etc/reattach; echo app-secret > orders-db.password; echo probe-secret > probe.password
		echo `+slack(t, network)+` > slack.url; reattach check`)
	// Whoever overlooks a line of the page is told.
	says("reattach doctor", "GRANT SHOW VIEW ON orders.* TO that account")
	for _, db := range []*lab.Server{db1, db2} {
		db.MustExec("mariadb", "-e", grant)
	}
	shell(t, box, sh[2])
	says("reattach status", "orders-db")
	says(shown(t, prose, "reattach restore orders-db --to primary"), "restore to primary")
	says("reattach check /etc/reattach --live", "names primary")
	says("reattach notify test ops-chat", "ops-chat took a test notice")
	says("reattach doctor", "\n0 errors")

	db1.KillProcess()
	says("reattach events orders-db", "would make the failover to standby now")
	if out := shell(t, box, "consul kv get production/DATABASE_URL"); !strings.Contains(out, "@db1.internal:") {
		t.Errorf("observing, it wrote the handle: %s", out)
	}
	act := regexp.MustCompile(`(?m)^  (policy \{ mode = "act" \})$`).FindStringSubmatch(blocks["hcl"][1])
	if act == nil {
		t.Fatal("the page does not show how to act")
	}
	shell(t, box, `sed -i 's/^  require = .*/&\n  `+act[1]+`/' /etc/reattach/orders-db.hcl
		`+sh[3])
	says("consul kv get production/DATABASE_URL", "@db2.internal:3306/orders")
	says("reattach history orders-db", "primary → standby")
}
